package docs

import (
	"bytes"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/regild/regild/internal/rollout"
)

// comments returns what stands at the line's end of constants and of fields in
// Go files of internal/rollout: of constants by their value, of fields by Type.name
// with the name in JSON.
func comments(t *testing.T, files ...string) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(root, "internal", "rollout", name), nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.ValueSpec:
				if len(n.Values) == 1 && n.Comment != nil {
					if lit, is := n.Values[0].(*ast.BasicLit); is {
						out[strings.Trim(lit.Value, `"`)] = strings.TrimSpace(n.Comment.Text())
					}
				}
			case *ast.TypeSpec:
				if s, is := n.Type.(*ast.StructType); is {
					fieldComments(n.Name.Name, s, out)
				}
			}
			return true
		})
	}
	return out
}

func fieldComments(typ string, s *ast.StructType, out map[string]string) {
	for _, f := range s.Fields.List {
		if f.Tag == nil {
			continue
		}
		text := f.Comment.Text()
		if text == "" {
			text = f.Doc.Text()
		}
		tag := reflect.StructTag(strings.Trim(f.Tag.Value, "`"))
		out[typ+"."+nameInJSON(tag)] = strings.Join(strings.Fields(text), " ")
	}
}

func nameInJSON(tag reflect.StructTag) string {
	name, _, _ := strings.Cut(tag.Get("json"), ",")
	return name
}

func TestThePageOfTheJournalHasEveryRecord(t *testing.T) {
	says := comments(t, "record.go")
	var kinds, fields strings.Builder
	kinds.WriteString("| kind | tells | has | may have |\n|---|---|---|---|\n")
	for _, k := range rollout.Kinds() {
		if says[string(k)] == "" {
			t.Errorf("kind %s has no comment in record.go", k)
		}
		required, optional := k.Fields()
		fmt.Fprintf(&kinds, "| `%s` | %s | %s | %s |\n", k, says[string(k)], quoted(required[3:]), quoted(optional[1:])) // besides v, kind, at and by
	}
	fields.WriteString("| field | is |\n|---|---|\n")
	for f := range reflect.TypeFor[rollout.Record]().Fields() {
		name := nameInJSON(f.Tag)
		if says["Record."+name] == "" {
			t.Errorf("field %s has no comment in record.go", f.Name)
		}
		fmt.Fprintf(&fields, "| `%s` | %s |\n", name, says["Record."+name])
	}
	between(t, "docs/journal.md", "kinds", kinds.String())
	between(t, "docs/journal.md", "fields", fields.String())
}

func quoted(names []string) string {
	var out []string
	for _, n := range names {
		out = append(out, "`"+n+"`")
	}
	return strings.Join(out, ", ")
}

// journalSchema is a schema of one line of a journal. It is made of the Go types and
// of the fields of each kind: go test ./docs -update writes it.
const journalSchema = "docs/journal.schema.json"

func TestTheSchemaOfTheJournalIsCurrent(t *testing.T) {
	schema := schemaOf(t, reflect.TypeFor[rollout.Record](), comments(t, "record.go", "operation.go", "ending.go"))
	delete(schema, "additionalProperties") // a later build may add kinds and fields
	schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	schema["$id"] = "https://github.com/regild/regild/" + journalSchema
	schema["title"] = "regild: a line of a journal"
	schema["description"] = "Which fields a record has follows from its kind. Kinds that are not listed are of a later build: keep them and ignore them. A version (v) that is not theirs must not be read."
	schema["properties"].(map[string]any)["v"] = map[string]any{"enum": []int{rollout.Version, 2}, "description": "the version of the record"}
	var rules []any
	for _, k := range rollout.Kinds() {
		required, optional := k.Fields()
		version := map[string]any{"enum": k.Versions()}
		if v := k.Versions(); len(v) == 1 {
			version = map[string]any{"const": v[0]}
		}
		rules = append(rules, map[string]any{
			"if": map[string]any{"properties": map[string]any{"kind": map[string]any{"const": k}}},
			"then": map[string]any{"required": required, "propertyNames": map[string]any{"enum": append(required, optional...)},
				"properties": map[string]any{"v": version}},
		})
	}
	schema["allOf"] = rules
	var want bytes.Buffer
	enc := json.NewEncoder(&want)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(schema); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(root, filepath.FromSlash(journalSchema))
	if *update {
		if err := os.WriteFile(path, want.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if read(t, journalSchema) != want.String() {
		t.Errorf("%s is not what the code says (go test ./docs -update writes it)", journalSchema)
	}
}

// schemaOf makes a JSON Schema of a Go type as encoding/json writes it.
func schemaOf(t *testing.T, typ reflect.Type, says map[string]string) map[string]any {
	t.Helper()
	switch {
	case typ == reflect.TypeFor[time.Time]():
		return map[string]any{"type": "string", "format": "date-time"}
	case typ.Kind() == reflect.Pointer:
		return schemaOf(t, typ.Elem(), says)
	}
	switch typ.Kind() {
	case reflect.String:
		return map[string]any{"type": "string"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Slice:
		return map[string]any{"type": "array", "items": schemaOf(t, typ.Elem(), says)}
	case reflect.Map:
		return map[string]any{"type": "object", "additionalProperties": schemaOf(t, typ.Elem(), says)}
	case reflect.Struct:
		properties, required := map[string]any{}, []string{}
		for _, f := range reflect.VisibleFields(typ) {
			name := nameInJSON(f.Tag)
			if f.Anonymous || !f.IsExported() {
				continue
			}
			if name == "" {
				t.Fatalf("%s.%s has no name in JSON", typ, f.Name)
			}
			p := schemaOf(t, f.Type, says)
			if text := says[typ.Name()+"."+name]; text != "" {
				p["description"] = text
			}
			properties[name] = p
			if tag := f.Tag.Get("json"); !strings.Contains(tag, "omitempty") && !strings.Contains(tag, "omitzero") {
				required = append(required, name)
			}
		}
		return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
	default:
		t.Fatalf("no schema for %s", typ)
		return nil
	}
}

func TestTheSchemaOfTheJournalTakesJournalsAndNothingElse(t *testing.T) {
	schema, err := jsonschema.NewCompiler().Compile(filepath.Join(root, filepath.FromSlash(journalSchema)))
	if err != nil {
		t.Fatal(err)
	}
	fits := func(line string) error {
		v, err := jsonschema.UnmarshalJSON(strings.NewReader(line))
		if err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		return schema.Validate(v)
	}
	files, err := filepath.Glob(filepath.Join(root, "internal/rollout/testdata/journals/*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d journals, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(strings.TrimSuffix(string(data), "\n"), "\n") {
			if err := fits(line); err != nil {
				t.Errorf("%s:%d: %v", file, n+1, err)
			}
		}
	}
	const at = `"at":"2026-11-23T08:00:00Z"`
	for _, line := range []string{
		`{"v":2,"kind":"going-back",` + at + `}`, `{"v":1,"kind":"going-back"}`, `{"v":1,"kind":"seen",` + at + `}`,
		`{"v":1,"kind":"seen",` + at + `,"desktops":["ecd-1"],"call":"c"}`, `{"v":1,"kind":"settled",` + at + `,"outcomes":[{"status":"failed"}]}`,
	} {
		if fits(line) == nil {
			t.Errorf("it takes %s", line)
		}
	}
	if err := fits(`{"v":1,"kind":"of-a-later-build",` + at + `,"anything":1}`); err != nil {
		t.Errorf("it refuses a kind of a later build: %v", err)
	}
}
