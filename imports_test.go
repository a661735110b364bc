package main

import (
	"flag"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

var updateImports = flag.Bool("update-imports", false, "write testdata/imports.txt anew")

// The function carries what is on the list and nothing else. What the
// operator's command or the tests import never gets here by accident: each
// module makes the function larger and its start slower.
// go test . -run Carries -update-imports writes the list; read the difference.
func TestTheFunctionCarriesOnlyWhatIsListed(t *testing.T) {
	const list = "testdata/imports.txt"
	cmd := exec.CommandContext(t.Context(), "go", "list", "-deps", "-f", `{{if not .Standard}}{{if .Module.Main}}{{.ImportPath}}{{else}}{{.Module.Path}}{{end}}{{end}}`, ".")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64") // as make package builds it
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("listing what the function imports: %v", err)
	}
	got := strings.Fields(string(out))
	slices.Sort(got)
	got = slices.Compact(got)
	if len(got) < 10 {
		t.Fatalf("only %d imports were found", len(got))
	}
	if *updateImports {
		if err := os.WriteFile(list, []byte(strings.Join(got, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(list)
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields(string(data))
	for _, path := range got {
		if !slices.Contains(want, path) {
			t.Errorf("the function imports %s, which is not in %s", path, list)
		}
	}
	for _, path := range want {
		if !slices.Contains(got, path) {
			t.Errorf("the function does not import %s any more: take it off %s", path, list)
		}
	}
}
