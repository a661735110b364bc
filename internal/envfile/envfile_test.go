package envfile_test

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/regild/regild/internal/envfile"
)

func TestWhatIsWrittenIsReadBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "regild.env")
	text := envfile.Format([]envfile.Line{{Comment: "written by a test"}, {Name: "REGILD_JOURNAL", Value: "oss://bucket/regild", Comment: "where"}, {Name: "REGILD_EMPTY"}})
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	got, err := envfile.Read(path)
	if want := map[string]string{"REGILD_JOURNAL": "oss://bucket/regild", "REGILD_EMPTY": ""}; err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v, %v, want %v", got, err, want)
	}
	if got, err := envfile.Read(path + ".absent"); err != nil || len(got) != 0 {
		t.Errorf("got %v, %v of a file that is not there", got, err)
	}
}

func TestEveryFaultIsNamedWithItsLine(t *testing.T) {
	_, err := envfile.Parse("x.env", []byte("A=1\n# fine\nno value\nB=$(rm -rf)\nA=2\n"))
	for _, want := range []string{"x.env:3: is not NAME=value", "x.env:4: the value of B", "x.env:5: A stands there twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	if _, err := envfile.Parse("x.env", []byte("A="+strings.Repeat("a", 70000))); err == nil {
		t.Error("a file of 70000 bytes was read")
	}
}

func TestTheEnvironmentWinsOverTheFile(t *testing.T) {
	env := map[string]string{"A": "env", "B": ""}
	lookup := envfile.Over(map[string]string{"A": "file", "B": "file"}, func(n string) (string, bool) { v, ok := env[n]; return v, ok })
	for name, want := range map[string]string{"A": "env", "B": "file", "C": ""} {
		if got, _ := lookup(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}
