// Package scripttest plays the scripts of tests: files of testdata/scripts that say what
// happens, and behind each line, indented, what comes of it. What comes of it is written
// by the test itself, with -update, and read by whoever changes it.
package scripttest

import (
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "write what the scripts say anew; read the difference")

// Run plays each script and compares it with what its file says. Play returns the script
// as it was played; there must be least of them.
func Run(t *testing.T, least int, play func(t *testing.T, archive *txtar.Archive, script string) string) {
	files, err := filepath.Glob(filepath.Join("testdata", "scripts", "*.txt"))
	if err != nil || len(files) < least {
		t.Fatalf("%d scripts, %v", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			archive, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(archive.Files, func(f txtar.File) bool { return f.Name == "script" })
			want := string(archive.Files[i].Data)
			got := play(t, archive, want)
			switch {
			case *update:
				archive.Files[i].Data = []byte(got)
				if err := os.WriteFile(file, txtar.Format(archive), 0o600); err != nil {
					t.Fatal(err)
				}
			case got != want:
				a, b := strings.Split(got, "\n"), strings.Split(want, "\n")
				n := 0
				for n < min(len(a), len(b))-1 && a[n] == b[n] {
					n++
				}
				t.Errorf("line %d of the script: got\n%s\nwant\n%s\nif that is meant: go test -run Scripts -update, and read the difference", n+1, a[n], b[n])
			}
		})
	}
}

// Play goes through the lines of a script that begin at the margin. It writes each to out
// and calls do with those that are no comment; do writes what comes of it, indented.
func Play(script string, out *strings.Builder, do func(line string)) {
	for line := range strings.Lines(script) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "  ") {
			continue
		}
		out.WriteString(line + "\n")
		if line != "" && !strings.HasPrefix(line, "#") {
			do(line)
		}
	}
}
