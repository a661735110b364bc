package operator

import (
	"os"
	"path/filepath"
	"testing"
	"unicode/utf8"
)

// Whatever is in regild.yaml, what is taken of it has passed the check of its
// setting, and a fault is a sentence.
func FuzzSettings(f *testing.F) {
	for _, seed := range []string{
		"default: p\nprofiles:\n  p: {region: cn-hangzhou, account: '1234567890123456', queue: q, controlQueue: queues/c}\n", "profiles: {p: {journal: file:///x, mnsEndpoint: http://127.0.0.1:1}}",
		"profiles: {p: &a {by: *a}}", "a: [", "profiles: {p: {region: [x]}}", "? ", "--- \n---\n", "\xff", "profiles: {\"p\\e[2J\": {}}\ndefault: x",
	} {
		f.Add([]byte(seed))
	}
	name := filepath.Join(f.TempDir(), DefaultFile)
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(Source{File: name, Lookup: func(string) (string, bool) { return "", false }})
		if err != nil {
			if text := err.Error(); len(text) > 1<<14 || !utf8.ValidString(text) {
				t.Errorf("a fault of %d bytes: %.200q", len(text), text)
			}
			return
		}
		for _, s := range Settings {
			if v := *s.field(&c.Profile); v != "" && s.check != nil && s.check(v) != nil {
				t.Errorf("%s: %q was taken", s.Key, v)
			}
		}
	})
}
