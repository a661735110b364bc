package fleet_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	_ "time/tzdata" // zones must not depend on the machine

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/internal/fleet"
)

var update = flag.Bool("update", false, "write the wanted faults of testdata/invalid anew")

// files returns the samples that match, of which there must be some.
func files(t testing.TB, pattern string) []string {
	t.Helper()
	names, err := filepath.Glob(pattern)
	if err != nil || len(names) == 0 {
		t.Fatalf("no files match %s (%v)", pattern, err)
	}
	return names
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func parse(t testing.TB, name string) fleet.Fleets {
	t.Helper()
	fleets, err := fleet.Parse(name, read(t, name))
	if err != nil {
		t.Fatal(err)
	}
	return fleets
}

func TestEveryFaultIsReportedAtOnceWithItsPlace(t *testing.T) {
	for _, name := range files(t, "testdata/invalid/*.yaml") {
		t.Run(filepath.Base(name), func(t *testing.T) {
			fleets, err := fleet.Parse(filepath.Base(name), read(t, name))
			if faults, ok := errors.AsType[*fleet.Faults](err); !ok || len(faults.List) == 0 {
				t.Fatalf("got error %v, want faults", err)
			}
			if fleets != nil {
				t.Error("got fleets beside faults, want none")
			}
			got := err.Error() + "\n"
			golden := strings.TrimSuffix(name, ".yaml") + ".want"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			if want := string(read(t, golden)); got != want {
				t.Errorf("got faults\n%s\nwant\n%s", got, want)
			}
		})
	}
}

func TestWhatIsTooMuchIsAFault(t *testing.T) {
	list := func(n int, format string) string {
		items := make([]string, n)
		for i := range items {
			items[i] = fmt.Sprintf(format, i+1)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	one := func(keys string) string {
		return "fleets: [{name: a, region: cn-hangzhou, images: [w], select: all, " + keys + "}]"
	}
	cases := map[string]struct{ yaml, want string }{
		"fleets": {
			"fleets: " + list(fleet.MaxFleets+1, "{name: a%d, region: cn-hangzhou, images: [w], select: {tags: {a: b}}}"),
			"fleets.yaml:1:9: fleets: must have at most 1000, has 1001",
		},
		"waves": {
			one("strategy: {waves: " + list(fleet.MaxWaves+1, "%d0") + "}"),
			"fleets[0].strategy.waves: must have at most 50, has 51",
		},
		"zones": {
			one("strategy: {windows: [{zone: UTC}], blackouts: " + list(fleet.MaxZones, "{from: 2026-12-24, zone: Z%d}") + "}"),
			"fleets[0].strategy.blackouts[99].zone: is one time zone too many; at most 100 different ones are read",
		},
		"windows": {
			one("strategy: {windows: " + list(fleet.MaxWindows+1, "{from: '10:%02d', to: '12:00', zone: UTC}") + "}"),
			"fleets[0].strategy.windows: must have at most 50, has 51",
		},
		"blackouts": {
			one("strategy: {blackouts: " + list(fleet.MaxBlackouts+1, "{from: 2026-12-24, zone: UTC, reason: r%d}") + "}"),
			"fleets[0].strategy.blackouts: must have at most 200, has 201",
		},
		"images": {
			strings.Replace(one("requests: true"), "[w]", list(fleet.MaxImages+1, "w%d"), 1),
			"fleets[0].images: must have at most 100, has 101",
		},
		"ids": {
			one("exclude: {desktopIds: " + list(fleet.MaxIDs+1, "ecd-%d") + "}"),
			"fleets[0].exclude.desktopIds: must have at most 2000, has 2001",
		},
		"tags": {
			one("exclude: {tags: " + strings.NewReplacer("[", "{", "]", "}").Replace(list(fleet.MaxTags+1, "k%d: v")) + "}"),
			"fleets[0].exclude.tags: must have at most 20, has 21",
		},
		"command": {
			one("strategy: {check: {command: " + strings.Repeat("x", fleet.MaxCommand+1) + "}}"),
			"fleets[0].strategy.check.command: must be 1 to 12288 bytes, is 12289",
		},
		"file": {
			strings.Repeat("#", fleet.MaxFile+1),
			"fleets.yaml:1:1: is 1048577 bytes long; at most 1048576 are read",
		},
		"nesting": {
			strings.Repeat("[", 40),
			"exceeded max depth",
		},
		"faults": {
			"fleets: " + list(2*fleet.MaxFaults, "%d"),
			"\nand 1 more",
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			_, err := fleet.Parse("fleets.yaml", []byte(c.yaml))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %.300v, want %q", err, c.want)
			}
		})
	}
}

func TestAFaultRepeatsLittleOfTheFile(t *testing.T) {
	long := strings.Repeat("é", 100000)
	_, err := fleet.Parse("f", []byte("fleets: [{name: "+long+", "+long+": 1}]"))
	if err == nil || len(err.Error()) > 2000 {
		t.Errorf("got a message of %d bytes, want at most 2000", len(fmt.Sprint(err)))
	}
}

// FuzzParse holds that any bytes are either read or refused with faults, and
// that what is read is also good to the schema.
func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/valid/*.yaml", "testdata/invalid/*.yaml", "../../fleets.yaml"} {
		for _, name := range files(f, pattern) {
			f.Add(read(f, name))
		}
	}
	schema := compiled(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		fleets, err := fleet.Parse("f", data)
		if err != nil {
			faults, ok := errors.AsType[*fleet.Faults](err)
			if !ok || len(faults.List) == 0 || len(faults.List) > fleet.MaxFaults || fleets != nil {
				t.Fatalf("got %v and %T, want only faults", fleets, err)
			}
			for _, fault := range faults.List {
				if fault.Line < 1 || fault.Column < 1 || fault.Problem == "" {
					t.Fatalf("got the fault %+v, want a place and a problem", fault)
				}
			}
			return
		}
		var doc yaml.Node
		if err := yaml.Load(bytes.TrimSpace(data), &doc); err != nil {
			return // a stray document mark; Parse read the one document there is
		}
		if err := schema.Validate(plain(doc.Content[0])); err != nil {
			t.Fatalf("the schema refuses what was read: %v", err)
		}
	})
}
