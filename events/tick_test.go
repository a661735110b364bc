package events

import "testing"

func TestATickIsSignedAsAWhole(t *testing.T) {
	key := []byte("0123456789abcdef0123456789abcdef")
	const source = "acs:fc:cn-hangzhou:1:functions/regild"
	signed := Tick{Kind: TickRequest, ID: "r1", N: 3, Records: []string{`{"a":1}`, `{"b":2}`}}.Sign(key, source)
	if !signed.Signed(key, source) {
		t.Fatal("a signed tick does not count as signed")
	}
	with := func(change func(*Tick)) Tick {
		c := signed
		c.Records = append([]string(nil), signed.Records...)
		change(&c)
		return c
	}
	for name, forged := range map[string]Tick{
		"kind":            with(func(c *Tick) { c.Kind = TickRollout }),
		"id":              with(func(c *Tick) { c.ID = "r2" }),
		"number":          with(func(c *Tick) { c.N++ }),
		"record":          with(func(c *Tick) { c.Records[1] = `{"b":3}` }),
		"record left out": with(func(c *Tick) { c.Records = c.Records[:1] }),
		"order":           with(func(c *Tick) { c.Records[0], c.Records[1] = c.Records[1], c.Records[0] }),
		"joined":          with(func(c *Tick) { c.Records = []string{c.Records[0] + "7:" + c.Records[1]} }),
		"no mac":          with(func(c *Tick) { c.MAC = "" }),
		"other form":      with(func(c *Tick) { c.MAC = c.MAC[len(macForm):] }),
		"cut off":         with(func(c *Tick) { c.MAC = c.MAC[:len(c.MAC)-2] }),
	} {
		if forged.Signed(key, source) {
			t.Errorf("%s: a forged tick counts as signed", name)
		}
	}
	if signed.Signed([]byte("another key of at least 32 bytes"), source) || signed.Signed(key, source+"2") {
		t.Error("a tick counts as signed under another key, or for another function")
	}
	if empty := (Tick{Kind: TickRequest, ID: "r1"}).Sign(nil, source); empty.Signed(nil, source) {
		t.Error("an empty key signs")
	}
}

func TestATickIsNamedAndRecognisedByItsName(t *testing.T) {
	for _, name := range []string{"request/r1/tick/1", "rollout/2026.11.3/office/tick/12", "request/a/tick/3/tick/4", "request//tick/0"} {
		kind, id, n, is := TickNamed(name)
		if !is || TickName(kind, id, n) != name {
			t.Errorf("%s is taken for %s %q %d, %t", name, kind, id, n, is)
		}
	}
	for _, name := range []string{"", "r1", "request/r1", "request/tick/1", "request/r1/tick/", "request/r1/tick/x", "request/r1/tick/-1", "request/r1/tick/01", "request/r1/tick/1073741825"} {
		if _, _, _, is := TickNamed(name); is {
			t.Errorf("%q is taken for the name of a tick", name)
		}
	}
}
