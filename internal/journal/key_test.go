package journal

import (
	"math/rand/v2"
	"path"
	"path/filepath"
	"strings"
	"testing"
)

func TestKeysAreReadableWherePossible(t *testing.T) {
	for id, want := range map[string]string{
		"win11-2026.11.3-hz-0007": "request/win11-2026.11.3-hz-0007.jsonl",
		"D6D5-f7_x":               "request/=d6=d5-f7_x.jsonl",
		"":                        "request/~.jsonl",
		"..":                      "request/~2e..jsonl",
		"../../etc/passwd":        "request/~2e.~2f..~2fetc~2fpasswd.jsonl",
		"acs.mns#a b\x00\xff":     "request/acs.mns~23a~20b~00~ff.jsonl",
		"é":                       "request/~c3~a9.jsonl",
		"a.jsonl":                 "request/a.jsonl.jsonl",
	} {
		if got := Key("request", id); got != want {
			t.Errorf("%q: got %s, want %s", id, got, want)
		}
	}
	if got := Key("a/b", "c"); got != "a~2fb/c.jsonl" {
		t.Errorf("a kind with a slash: got %s", got)
	}
	long := Key("request", strings.Repeat("long-", 100))
	if !strings.HasPrefix(long, "request/long-long-") || len(long) != len("request/")+maxName+len(suffix) {
		t.Errorf("an overlong id: got %s (%d bytes)", long, len(long))
	}
}

func TestDifferentIDsNeverShareAKey(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	const letters = "aA.=~/_2e\x00é-"
	seen := map[string][2]string{}
	for range 20_000 {
		parts := [2]string{}
		for i := range parts {
			b := make([]byte, random.IntN(5))
			for j := range b {
				b[j] = letters[random.IntN(len(letters))]
			}
			parts[i] = string(b)
			if random.IntN(50) == 0 {
				parts[i] += strings.Repeat("x", 170+random.IntN(20))
			}
		}
		key := Key(parts[0], parts[1])
		if before, ok := seen[key]; ok && before != parts {
			t.Fatalf("%q and %q have both the key %s", before, parts, key)
		}
		seen[key] = parts
		checkMadeKey(t, parts[0], parts[1])
	}
}

func TestAnEntryOfTheIndexTellsItsRequest(t *testing.T) {
	for _, id := range []string{"ticket-4711", "D6/x@0123456789abcdef", "é", ""} {
		key := OpenKey(id)
		if got, ok := OpenID(key); !ok || got != id || !strings.HasPrefix(key, OpenPrefix) || checkKey(key) != nil {
			t.Errorf("%q: got %q, %t from %s", id, got, ok, key)
		}
	}
	if key := OpenKey("ticket-4711"); key != "open/d4f8-ticket-4711.jsonl" {
		t.Errorf("got %s: entries of earlier builds would not be found", key)
	}
	for _, key := range []string{OpenKey(strings.Repeat("long", 100)), Key("request", "ffff-a"), Key("open", "0000-a"), Key("open", "a"), "open/x"} {
		if id, ok := OpenID(key); ok {
			t.Errorf("%s: got %q, want none", key, id)
		}
	}
}

func FuzzKey(f *testing.F) {
	f.Add("request", "win11-2026.11.3-hz-0007")
	f.Add("", "../A")
	f.Add("rollout", strings.Repeat("X", 200))
	f.Fuzz(func(t *testing.T, kind, id string) { checkMadeKey(t, kind, id) })
}

func checkMadeKey(t *testing.T, kind, id string) {
	t.Helper()
	key := Key(kind, id)
	if err := checkKey(key); err != nil {
		t.Fatalf("Key(%q, %q): %v", kind, id, err)
	}
	if path.Clean(key) != key || !filepath.IsLocal(filepath.FromSlash(key)) || strings.ToLower(key) != key {
		t.Fatalf("Key(%q, %q) = %q is not a plain relative path in lower case", kind, id, key)
	}
	k, i, ok := SplitKey(key)
	if ok != !strings.Contains(key, hashMark) || ok && (k != kind || i != id) {
		t.Fatalf("Key(%q, %q) = %s: SplitKey returns %q, %q, %v", kind, id, key, k, i, ok)
	}
}

func FuzzSplitKey(f *testing.F) {
	f.Add("request/=d6~2f.jsonl")
	f.Add("a/~.jsonl")
	f.Add("=/~f.jsonl")
	f.Fuzz(func(t *testing.T, key string) {
		if kind, id, ok := SplitKey(key); ok && Key(kind, id) != key {
			t.Fatalf("SplitKey(%q) = %q, %q, whose key is %q", key, kind, id, Key(kind, id))
		}
	})
}
