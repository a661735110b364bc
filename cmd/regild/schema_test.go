package main

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/operator"
)

// schemaDir has a schema for each document that -o json and -o yaml show. They
// are made of the Go types: go test ./cmd/regild -update writes them.
const schemaDir = "../../events/schema/operator"

// documents are what commands show, each with a sentence.
var documents = map[string]struct {
	zero any
	text string
}{
	"works":   {operator.Listing{}, "What regild status, rollout list, request send, release and wait show."},
	"work":    {detail{}, "What regild rollout show and request show show."},
	"history": {history{}, "What regild rollout history shows of one rollout."},
	"answer":  {operator.Answer{}, "What regild rollout pause, resume, approve, abort, retry and rollback show: what the function made of it."},
	"report":  {reportDocument{}, "What regild report shows."},
	"plan":    {planDoc{}, "What regild plan shows."},
	"check":   {checkDoc{}, "What regild check shows."},
	"config":  {configDoc{}, "What regild config shows."},
}

// states are all that a work's state may be.
var states = []string{operator.Running, operator.Waiting, operator.Paused, operator.Halted, operator.Aborted, operator.Superseded,
	operator.Completed, operator.Incomplete, operator.Expired}

// schemaOf makes a JSON Schema of a Go type as encoding/json writes it.
func schemaOf(t *testing.T, typ reflect.Type) map[string]any {
	t.Helper()
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case typ.Kind() == reflect.Pointer:
		return schemaOf(t, typ.Elem())
	}
	switch typ.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Int:
		return map[string]any{"type": "integer"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t, typ.Elem())}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t, typ.Elem())}
	case reflect.Struct:
		properties := map[string]any{}
		required := []string{}
		fieldsOf(t, typ, properties, &required)
		return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	}
	t.Fatalf("no schema for %s", typ)
	return nil
}

func fieldsOf(t *testing.T, typ reflect.Type, properties map[string]any, required *[]string) {
	t.Helper()
	for f := range typ.Fields() {
		name, rest, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "":
			fieldsOf(t, f.Type, properties, required)
			continue
		case !f.IsExported():
			continue
		case name == "":
			t.Fatalf("%s.%s has no name in JSON", typ, f.Name)
		}
		property := schemaOf(t, f.Type)
		if typ == reflect.TypeFor[operator.Operation]() && name == "state" {
			property["enum"] = states
		}
		properties[name] = property
		if !strings.Contains(rest, "omitempty") && !strings.Contains(rest, "omitzero") {
			*required = append(*required, name)
		}
	}
}

func TestTheSchemasOfTheOperatorsDocumentsAreCurrent(t *testing.T) {
	var want []string
	for name, d := range documents {
		schema := schemaOf(t, reflect.TypeOf(d.zero))
		schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
		schema["$id"] = "https://github.com/regild/regild/events/schema/operator/" + name + ".json"
		schema["title"], schema["description"] = "regild: "+name, d.text
		data, err := document(schema)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(schemaDir, name+".json")
		want = append(want, path)
		if *update {
			if err := os.WriteFile(path, data, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, data) {
			t.Errorf("%s is not what the type says (go test ./cmd/regild -update writes it)", path)
		}
	}
	slices.Sort(want)
	found, err := filepath.Glob(filepath.Join(schemaDir, "*.json"))
	if err != nil || !slices.Equal(found, want) {
		t.Errorf("schemas: got %q, %v; want %q", found, err, want)
	}
}

// What is shown fits its schema, as JSON and as YAML, with all that a terminal
// would obey made visible.
func TestWhatIsShownFitsItsSchema(t *testing.T) {
	s := stateOf(records())
	evil := "a\x1b[31m\u009b\u202e: #b\nc"
	s.Desktops["ecd-b002"].Last.Message = evil
	work := operator.OperationOf(s)
	work.Why = evil
	now := after(0)
	for name, doc := range map[string]any{
		"works":   operator.Listing{Operations: []operator.Operation{work, operator.OperationOf(stateOf(asked("ticket-1", "ecd-1")))}},
		"work":    documentOf(s),
		"history": history{ID: "x", Entries: entriesOf(records())},
		"answer":  operator.Answer{Taken: "rollout/x", At: now, Operation: work},
		"report":  reportOf(s, records()),
		"plan": planDoc{Plan: events.Plan{Waves: []events.PlanWave{{N: 1, Desktops: []events.PlanDesktop{{ID: evil, Action: "skip"}}}}, Calls: map[string]int{}},
			Diff: &operator.Diff{Against: "x", Added: []operator.Differ{{ID: evil}}, Gone: []operator.Differ{}, Changed: []operator.Differ{}}},
		"check":  checkDoc{Path: "fleets.yaml", Fleets: []checkedFleet{checked(office(t)[0], 36, -1, now)}, InNoFleet: map[string]int{"cn-hangzhou": 1}},
		"config": configDoc{Profiles: []string{evil}, Settings: []operator.Value{{Key: "by", Value: evil, From: "--by"}}},
	} {
		c := jsonschema.NewCompiler()
		schema, err := c.Compile(filepath.Join(schemaDir, name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range []output{outputJSON, outputYAML} {
			var out bytes.Buffer
			if err := o.show(world{out: &out}, doc, nil); err != nil {
				t.Fatal(err)
			}
			for _, bad := range []string{"\x1b", "\u009b", "\u202e"} {
				if bytes.Contains(out.Bytes(), []byte(bad)) {
					t.Errorf("%s as %s has %q in it", name, o, bad)
				}
			}
			if err := schema.Validate(decoded(t, o, out.Bytes())); err != nil {
				t.Errorf("%s as %s: %v\n%s", name, o, err, out.String())
			}
			var want, got any
			whole, err := json.Marshal(doc)
			if err != nil {
				t.Fatal(err)
			}
			if err := json.Unmarshal(whole, &want); err != nil {
				t.Fatal(err)
			}
			if got = decoded(t, o, out.Bytes()); !sameAsJSON(t, got, want) {
				t.Errorf("%s as %s does not come back as it was:\n%s", name, o, out.String())
			}
		}
	}
	if _, ok := documents["works"]; !ok || len(documents) != 8 {
		t.Errorf("%d documents are known, and 8 are shown here", len(documents))
	}
}

// decoded reads a document as its form says.
func decoded(t *testing.T, o output, data []byte) any {
	t.Helper()
	if o == outputYAML {
		data = fromYAML(t, data)
	}
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	return v
}

func sameAsJSON(t *testing.T, a, b any) bool {
	t.Helper()
	x, err1 := json.Marshal(a)
	y, err2 := json.Marshal(b)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	return bytes.Equal(x, y)
}

// fromYAML returns what YAML says, as JSON.
func fromYAML(t *testing.T, data []byte) []byte {
	t.Helper()
	var v any
	if err := yaml.Unmarshal(data, &v); err != nil {
		t.Fatalf("%v\n%s", err, data)
	}
	out, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
