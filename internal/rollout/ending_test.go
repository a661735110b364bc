package rollout_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/report/reporttest"
	"github.com/regild/regild/internal/rollout"
)

func encoded(t *testing.T, records ...rollout.Record) []byte {
	t.Helper()
	lines, err := rollout.Encode(records)
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func ended(t *testing.T) (records []rollout.Record, e *rollout.Ending) {
	t.Helper()
	records = reporttest.Rollout(reporttest.Options{})
	s := rollout.NewState()
	s.Apply(records...)
	if e = s.Ending(); e == nil {
		t.Fatal("the rollout has not ended")
	}
	return records, e
}

func TestAnEndingIsFoundAtTheEndOfAJournal(t *testing.T) {
	records, e := ended(t)
	last := rollout.Record{Kind: rollout.KindPublished, At: reporttest.Start, Events: []string{"completed"}, Ending: e}
	lines := encoded(t, append(records, last, rollout.Record{Kind: rollout.KindRefused, Message: "late"}, rollout.Record{Kind: rollout.KindPublished},
		rollout.Record{Kind: rollout.KindPublished, UpTo: 9, N: 1})...)
	short := last
	short.UpTo, short.N = len(records), 3
	for name, part := range map[string][]byte{"the whole": lines, "in short": encoded(t, append(records, short)...), "the last lines": lines[strings.LastIndex(string(lines), `{"v":1,"kind":"published","at":"2026-11-23T08:00:00Z","news"`):]} {
		got := rollout.EndingIn(part)
		if got == nil {
			t.Errorf("%s: no ending", name)
			continue
		}
		a, errA := json.Marshal(got)
		b, errB := json.Marshal(e)
		if string(a) != string(b) || errA != nil || errB != nil {
			t.Errorf("%s: got %s, want %s", name, a, b)
		}
	}
}

// What stands behind an ending may change what it says, and a text may look like
// one.
func TestAnEndingThatMayNotHoldDoesNotCount(t *testing.T) {
	records, e := ended(t)
	last := rollout.Record{Kind: rollout.KindPublished, Ending: e}
	evil := `,"ending":{"work":{"id":"x"}}`
	for name, lines := range map[string][]byte{
		"without":                 encoded(t, records...),
		"nothing":                 nil,
		"superseded afterwards":   encoded(t, append(records, last, rollout.Record{Kind: rollout.KindSuperseded, Who: "2026.12/office"})...),
		"a kind of a later build": append(encoded(t, append(records, last)...), `{"v":1,"kind":"never-heard-of"}`+"\n"...),
		"a text of somebody":      encoded(t, rollout.Record{Kind: rollout.KindControl, Who: evil, Reason: &events.Reason{Message: evil}}),
		"of another kind":         encoded(t, rollout.Record{Kind: rollout.KindClosed, At: start, Ending: e}),
		"cut off":                 lineWith(t, last, `"kind":"published"`, `"kind":published`),
		"of the wrong type":       lineWith(t, last, `"opened":"`, `"opened":5,"was":"`),
		"of no version":           lineWith(t, last, `"v":1,`, ``),
		"of version 0":            lineWith(t, last, `"v":1,`, `"v":0,`),
		"its last part alone":     []byte(evil + "}\n"),
		"of a later version":      []byte(strings.Replace(string(encoded(t, last)), `"v":1`, `"v":3`, 1)),
	} {
		if got := rollout.EndingIn(lines); got != nil {
			t.Errorf("%s: got %+v, want none", name, got)
		}
	}
}

// lineWith is the line of a record with something in it replaced.
func lineWith(t *testing.T, r rollout.Record, old, with string) []byte {
	t.Helper()
	return []byte(strings.Replace(string(encoded(t, r)), old, with, 1))
}

func TestAnEndingNamesTheLastWave(t *testing.T) {
	_, e := ended(t)
	s := rollout.NewState()
	s.Apply(reporttest.Rollout(reporttest.Options{})...)
	if w := s.Wave(); e.Wave != w.N || w.N == 0 {
		t.Errorf("got wave %d, want %d", e.Wave, w.N)
	}
	s = release()
	s.Apply(rollout.Record{Kind: rollout.KindClosed})
	if e := s.Ending(); e == nil || e.Wave != 0 {
		t.Errorf("of a rollout that had no wave: got %+v", e)
	}
}

func TestWhatIsOpenHasNoEnding(t *testing.T) {
	s := rollout.NewState()
	if s.Ending() != nil {
		t.Error("an empty journal has an ending")
	}
	s.Apply(reporttest.Rollout(reporttest.Options{Until: reporttest.Underway})...)
	if s.Ending() != nil {
		t.Error("an open rollout has an ending")
	}
}

// An ending says nothing that folding does not know, and is of no size.
func TestAnEndingDoesNotNameDesktops(t *testing.T) {
	s := rollout.NewState()
	s.Apply(reporttest.Request("r", 2000)...)
	text, err := json.Marshal(s.Ending())
	if err != nil || len(text) > 1000 {
		t.Errorf("got %d bytes, %v", len(text), err)
	}
	if len(s.Operation.Desktops) != 2000 {
		t.Error("the state has lost its desktops")
	}
}
