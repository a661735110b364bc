package rollout_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/regild/regild/internal/rollout"
)

// testdata/journals has journals that the build of November 2026 wrote, most of them
// in stories, and what that build read in each: once in its first half and once in
// all of it. A later build may know more of them; it must not know anything else.
// Only the names of Go fields in what was read follow the code.
const journals2026 = "testdata/journals"

var write = flag.Bool("write-journals", false, "write what this build reads in the journals of testdata: for new journals alone")

// read returns what a build reads in lines of a journal, without what is empty.
func read(t *testing.T, name string, lines []byte) any {
	t.Helper()
	records, err := rollout.Decode(lines)
	if err != nil {
		t.Fatal(err)
	}
	var out any
	switch kind, _, _ := strings.Cut(name, "-"); kind {
	case "fleet":
		out = rollout.ReadFleetLog(records)
	case "freeze":
		out = rollout.ReadFreezes(records)
	default:
		s := fold(records)
		var compact bytes.Buffer
		enc := json.NewEncoder(&compact)
		enc.SetEscapeHTML(false)
		for _, r := range s.Compact(s.Order) {
			r.V = r.Kind.Versions()[0] // in full, as that build wrote it
			if err := enc.Encode(r); err != nil {
				t.Fatal(err)
			}
		}
		out = map[string]any{"State": s, "Counts": s.Counts(), "Compact": strings.Split(compact.String(), "\n")}
	}
	data, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(data, &plain); err != nil {
		t.Fatal(err)
	}
	return pruned(plain)
}

// pruned leaves out what is zero or empty; nil stands for nothing.
func pruned(v any) any {
	switch v := v.(type) {
	case map[string]any:
		for k, x := range v {
			if x = pruned(x); x == nil {
				delete(v, k)
			} else {
				v[k] = x
			}
		}
		if len(v) == 0 {
			return nil
		}
	case []any:
		for i := range v {
			v[i] = pruned(v[i])
		}
		if len(v) == 0 {
			return nil
		}
	case string:
		if v == "" || v == "0001-01-01T00:00:00Z" {
			return nil
		}
	case float64:
		if v == 0 {
			return nil
		}
	case bool:
		if !v {
			return nil
		}
	}
	return v
}

// within says where got lacks something that want has, or has something else; "" if
// nowhere.
func within(at string, want, got any) string {
	switch want := want.(type) {
	case map[string]any:
		got, ok := got.(map[string]any)
		if !ok {
			return at
		}
		for k, x := range want {
			if where := within(at+"."+k, x, got[k]); where != "" {
				return where
			}
		}
		return ""
	case []any:
		got, ok := got.([]any)
		if !ok || len(got) != len(want) {
			return at
		}
		for i := range want {
			if where := within(at, want[i], got[i]); where != "" {
				return where
			}
		}
		return ""
	}
	if !reflect.DeepEqual(want, got) {
		return at
	}
	return ""
}

func TestJournalsOfNovember2026AreReadAsBefore(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(journals2026, "*.jsonl"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d journals, %v", len(files), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".jsonl")
		t.Run(name, func(t *testing.T) {
			lines, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			all := bytes.SplitAfter(lines, []byte("\n"))
			got := []any{read(t, name, bytes.Join(all[:len(all)/2], nil)), read(t, name, lines)}
			golden := strings.TrimSuffix(file, ".jsonl") + ".json"
			if *write {
				data, err := json.MarshalIndent(got, "", " ")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, append(data, '\n'), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			data, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			var want any
			if err := json.Unmarshal(data, &want); err != nil {
				t.Fatal(err)
			}
			if where := within("", want, got); where != "" {
				t.Errorf("read differently: %s", where)
			}
		})
	}
}

func TestEveryRecordHasTheFieldsOfItsKind(t *testing.T) {
	files, err := filepath.Glob(filepath.Join(journals2026, "*.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	seen := map[rollout.Kind]bool{}
	for _, file := range files {
		lines, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		records, err := rollout.Decode(lines)
		if err != nil {
			t.Fatal(err)
		}
		for n, r := range records {
			seen[r.Kind] = true
			if err := r.Check(); err != nil {
				t.Errorf("%s:%d: %v", file, n+1, err)
			}
		}
	}
	for _, k := range rollout.Kinds() {
		if !seen[k] {
			t.Errorf("no journal has a record of kind %s", k)
		}
	}
	for _, r := range []rollout.Record{
		{V: 1, Kind: rollout.KindBegun, At: start, Desktops: []string{"ecd-1"}},
		{V: 1, Kind: rollout.KindSeen, At: start, Desktops: []string{"ecd-1"}, Call: "c"},
	} {
		if r.Check() == nil {
			t.Errorf("%+v is taken", r)
		}
	}
}
