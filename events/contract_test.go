package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

var update = flag.Bool("update", false, "write the sidecars of invalid samples anew")

// A contract ties a schema, a type and a way to read it together. Its samples
// lie in samples/valid/<schema> and samples/invalid/<schema>.
type contract struct {
	schema string
	zero   any                            // of the Go type
	decode func(data []byte) (any, error) // the parser, or a strict decoder
	parser bool                           // decode reports *Faults for everything that the schema refuses
}

var contracts = []contract{
	{TypeRequest, Request{}, func(d []byte) (any, error) { return ParseRequest(d) }, true},
	{TypeRelease, Release{}, func(d []byte) (any, error) { return ParseRelease(d) }, true},
	{TypeControl, Control{}, func(d []byte) (any, error) { return ParseControl(d) }, true},
	{TypeFreeze, Freeze{}, func(d []byte) (any, error) { return ParseFreeze(d) }, true},
	{TypeTick, Tick{}, func(d []byte) (any, error) { return ParseTick(d) }, true},
	{TypeOutcome, Outcome{}, strictly[Outcome], false},
	{TypeRefused, Refused{}, strictly[Refused], false},
	{TypeFinished, Finished{}, strictly[Finished], false},
	{"regild.rollout.v1", Rollout{}, strictly[Rollout], false},
	{"regild.rollout.plan.v1", Plan{}, strictly[Plan], false},
	{"report", Report{}, strictly[Report], false},
}

// strictly decodes what we send ourselves, so that a sample with a field that
// the type lacks is found.
func strictly[T any](data []byte) (any, error) {
	var v T
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	err := dec.Decode(&v)
	return v, err
}

func TestValidSamplesPassSchemaAndTypeAndComeBackEqual(t *testing.T) {
	schemas := compile(t)
	for _, c := range contracts {
		for _, file := range glob(t, "samples/valid/"+c.schema+"/*.json", 1) {
			t.Run(c.schema+"/"+filepath.Base(file), func(t *testing.T) {
				data := readFile(t, file)
				if err := validate(t, schemas[c.schema], data); err != nil {
					t.Fatalf("the schema refuses it: %v", err)
				}
				got, err := c.decode(data)
				if err != nil {
					t.Fatalf("the type refuses it: %v", err)
				}
				again, err := marshal(got)
				if err != nil {
					t.Fatal(err)
				}
				if err := validate(t, schemas[c.schema], again); err != nil {
					t.Errorf("the schema refuses it after decoding and encoding: %v", err)
				}
				// A .short sample says the same in other words.
				if strings.HasSuffix(file, ".short.json") {
					if twice, err := c.decode(again); err != nil || !reflect.DeepEqual(twice, got) {
						t.Errorf("got %+v (%v), want %+v", twice, err, got)
					}
				} else if !sameJSON(t, again, data) {
					t.Errorf("got %s, want %s", again, data)
				}
			})
		}
	}
}

// The sidecar of an invalid sample holds every fault of the parser, one a
// line. A sidecar whose first line begins with "schema passes: " says why the
// schema cannot express the fault.
func TestInvalidSamplesAreRefusedWithTheirSentences(t *testing.T) {
	const passes = "schema passes: "
	schemas := compile(t)
	for _, c := range contracts {
		for _, file := range glob(t, "samples/invalid/"+c.schema+"/*.json", 1) {
			t.Run(c.schema+"/"+filepath.Base(file), func(t *testing.T) {
				data := readFile(t, file)
				sidecar := strings.TrimSuffix(file, ".json") + ".want"
				var wants []string
				var excuse string
				if c.parser {
					wants = strings.Split(strings.TrimSuffix(string(readSidecar(t, sidecar)), "\n"), "\n")
					if strings.HasPrefix(wants[0], passes) {
						excuse, wants = wants[0], wants[1:]
					}
				}
				refused := !json.Valid(data) || validate(t, schemas[c.schema], data) != nil
				if refused != (excuse == "") {
					t.Errorf("the schema refuses it: %v, and the excuse is %q", refused, excuse)
				}
				if !c.parser {
					return
				}
				_, err := c.decode(data)
				faults, ok := errors.AsType[*Faults](err)
				if !ok {
					t.Fatalf("got %v, want *Faults", err)
				}
				var got []string
				for _, f := range faults.List {
					got = append(got, f.String())
				}
				if *update {
					lines := strings.Join(got, "\n") + "\n"
					if excuse != "" {
						lines = excuse + "\n" + lines
					}
					if err := os.WriteFile(sidecar, []byte(lines), 0o644); err != nil {
						t.Fatal(err)
					}
					return
				}
				if !slices.Equal(got, wants) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(wants, "\n"))
				}
			})
		}
	}
}

func TestEveryFolderOfSamplesBelongsToAContract(t *testing.T) {
	known := []string{"cloudevent", "actiontrail"}
	for _, c := range contracts {
		known = append(known, c.schema)
	}
	for _, dir := range glob(t, "samples/*valid/*", 2*len(contracts)) {
		if !slices.Contains(known, filepath.Base(dir)) {
			t.Errorf("no test reads %s", dir)
		}
	}
}

func TestSchemasAndTypesHaveTheSameFields(t *testing.T) {
	for _, c := range contracts {
		t.Run(c.schema, func(t *testing.T) {
			var schema fieldsOf
			decodeFile(t, "schema/"+c.schema+".json", &schema)
			if c.schema == TypeRequest {
				schema = schema.Defs["request"]
			}
			props, required := sortedNames(schema.Properties), slices.Sorted(slices.Values(schema.Required))
			names, always := jsonNames(reflect.TypeOf(c.zero))
			if c.schema == TypeRelease {
				// The short form and what pipelines add are read, never written.
				names = slices.Sorted(slices.Values(append(names, "channel", "imageId", "osType", "regionId")))
				always = nil
			}
			if !slices.Equal(props, names) {
				t.Errorf("the schema has %v, the type %v", props, names)
			}
			if !slices.Equal(required, always) {
				t.Errorf("the schema requires %v, the type always writes %v", required, always)
			}
		})
	}
}

func TestTheSpellingOfRebuildDesktopsHasTheSameForms(t *testing.T) {
	var schema fieldsOf
	decodeFile(t, "schema/"+TypeRequest+".json", &schema)
	ours, apis := schema.Defs["request"].Properties, schema.Defs["parameters"].Properties
	if len(apis) != len(apiSpelling.names()) {
		t.Errorf("the schema has %v, the parser %v", sortedNames(apis), apiSpelling.names())
	}
	for i, name := range apiSpelling.names() {
		if !sameJSON(t, apis[name], ours[ourSpelling.names()[i]]) {
			t.Errorf("%s differs from %s", name, ourSpelling.names()[i])
		}
	}
}

func TestSchemasListTheSameWordsAsTheCode(t *testing.T) {
	var defs struct {
		Defs map[string]struct {
			Enum  []string
			Items struct{ Enum []string }
		} `json:"$defs"`
	}
	decodeFile(t, "schema/defs.json", &defs)
	var statuses []string
	for _, s := range Statuses {
		statuses = append(statuses, string(s))
	}
	for name, want := range map[string][]string{
		"operateType": OperateTypes, "language": Languages, "afterStatus": AfterStatuses, "status": statuses,
	} {
		if got := defs.Defs[name].Enum; !slices.Equal(got, want) {
			t.Errorf("%s: the schema has %v, the code %v", name, got, want)
		}
	}
	if got := defs.Defs["consent"].Items.Enum; !slices.Equal(got, Consents) {
		t.Errorf("consent: the schema has %v, the code %v", got, Consents)
	}
	var control struct {
		Properties struct{ Action struct{ Enum []string } }
	}
	decodeFile(t, "schema/"+TypeControl+".json", &control)
	if got := control.Properties.Action.Enum; !slices.Equal(got, Actions) {
		t.Errorf("action: the schema has %v, the code %v", got, Actions)
	}
	whole := string(readFile(t, "schema/cloudevent.json"))
	for _, what := range Whats {
		if !strings.Contains(whole, `"`+what.Type()+`"`) {
			t.Errorf("schema/cloudevent.json does not know %s", what.Type())
		}
	}
}

func TestEverySchemaIsEmbeddedAndNamedByItsFile(t *testing.T) {
	entries, err := Schemas.ReadDir("schema")
	if err != nil {
		t.Fatal(err)
	}
	if files := glob(t, "schema/*.json", len(contracts)); len(entries) != len(files) {
		t.Errorf("%d schemas are embedded, %d are in the folder", len(entries), len(files))
	}
	for _, entry := range entries {
		var schema struct {
			ID     string `json:"$id"`
			Schema string `json:"$schema"`
			Title  string
		}
		decodeFile(t, "schema/"+entry.Name(), &schema)
		if !strings.HasSuffix(schema.ID, "/events/schema/"+entry.Name()) || schema.Title == "" ||
			schema.Schema != "https://json-schema.org/draft/2020-12/schema" {
			t.Errorf("%s: got %+v", entry.Name(), schema)
		}
	}
}

// fieldsOf is the part of a schema that lists an object's fields.
type fieldsOf struct {
	Properties map[string]json.RawMessage
	Required   []string
	Defs       map[string]fieldsOf `json:"$defs"`
}

// jsonNames lists the names under which a struct travels, and those of them
// that are always there.
func jsonNames(t reflect.Type) (names, always []string) {
	for i := range t.NumField() {
		name, options, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name == "-" {
			continue // not on the wire
		}
		names = append(names, name)
		if options == "" {
			always = append(always, name)
		}
	}
	slices.Sort(names)
	slices.Sort(always)
	return names, always
}

// compile returns every schema of the folder by its name.
func compile(tb testing.TB) map[string]*jsonschema.Schema {
	tb.Helper()
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	urls := map[string]string{}
	for _, file := range glob(tb, "schema/*.json", len(contracts)) {
		doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(readFile(tb, file)))
		if err != nil {
			tb.Fatal(err)
		}
		name := strings.TrimSuffix(filepath.Base(file), ".json")
		urls[name] = "https://github.com/regild/regild/events/schema/" + filepath.Base(file)
		if err := c.AddResource(urls[name], doc); err != nil {
			tb.Fatal(err)
		}
	}
	schemas := map[string]*jsonschema.Schema{}
	for name, url := range urls {
		schema, err := c.Compile(url)
		if err != nil {
			tb.Fatal(err)
		}
		schemas[name] = schema
	}
	return schemas
}

func validate(tb testing.TB, schema *jsonschema.Schema, data []byte) error {
	tb.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(data))
	if err != nil {
		tb.Fatal(err)
	}
	return schema.Validate(doc)
}

// glob lists the files of a pattern and stops the test when there are fewer
// than least: a pattern that matches nothing proves nothing.
func glob(tb testing.TB, pattern string, least int) []string {
	tb.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil {
		tb.Fatal(err)
	}
	if len(files) < least {
		tb.Fatalf("%s matches %d files, want at least %d", pattern, len(files), least)
	}
	return files
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// readSidecar is readFile, except that a sidecar that is about to be written
// for the first time may be missing.
func readSidecar(tb testing.TB, name string) []byte {
	tb.Helper()
	if _, err := os.Stat(name); *update && errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return readFile(tb, name)
}

func decodeFile(tb testing.TB, name string, into any) {
	tb.Helper()
	if err := json.Unmarshal(readFile(tb, name), into); err != nil {
		tb.Fatal(err)
	}
}

func sameJSON(tb testing.TB, a, b []byte) bool {
	tb.Helper()
	var x, y any
	if err := json.Unmarshal(a, &x); err != nil {
		tb.Fatal(err)
	}
	if err := json.Unmarshal(b, &y); err != nil {
		tb.Fatal(err)
	}
	return reflect.DeepEqual(x, y)
}
