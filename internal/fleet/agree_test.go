package fleet_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/pattern"
)

// hangzhou is that region of the own account.
var hangzhou = desktop.Place{Region: "cn-hangzhou"}

const schemaFile = "../../events/schema/fleets.schema.json"

func compiled(t testing.TB) *jsonschema.Schema {
	t.Helper()
	s, err := jsonschema.NewCompiler().Compile(schemaFile)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// plain turns a node into what an editor hands to the schema: dates stay text.
func plain(n *yaml.Node) any {
	switch n.Kind {
	case yaml.MappingNode:
		out := map[string]any{}
		for i := 0; i+1 < len(n.Content); i += 2 {
			out[n.Content[i].Value] = plain(n.Content[i+1])
		}
		return out
	case yaml.SequenceNode:
		out := make([]any, len(n.Content))
		for i, c := range n.Content {
			out[i] = plain(c)
		}
		return out
	case yaml.AliasNode:
		return plain(n.Alias)
	}
	switch n.ShortTag() {
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!null":
		return nil
	case "!!int", "!!float":
		return json.Number(n.Value)
	}
	return n.Value
}

func document(t testing.TB, data []byte) any {
	t.Helper()
	var doc yaml.Node
	if err := yaml.Load(data, &doc); err != nil {
		t.Fatal(err)
	}
	return plain(doc.Content[0])
}

func TestShippedFileWorksAsItIs(t *testing.T) {
	const name = "../../fleets.yaml"
	data := read(t, name)
	first, _, _ := bytes.Cut(data, []byte("\n"))
	if want := "# yaml-language-server: $schema=events/schema/fleets.schema.json"; string(first) != want {
		t.Errorf("got the first line %q, want %q", first, want)
	}
	if err := compiled(t).Validate(document(t, data)); err != nil {
		t.Error(err)
	}
	fleets := parse(t, name)
	if got := fleets.Following("win11-office-2026.11", hangzhou); len(got) != 1 || got[0].Name != "office" {
		t.Errorf("got %v following win11-office-2026.11, want the fleet office", got)
	}
	if got := fleets.Following("win11-cad-2026.11", hangzhou); len(got) != 1 || got[0].Name != "design" {
		t.Errorf("got %v following win11-cad-2026.11, want the fleet design", got)
	}
}

func TestSchemaTakesWhatIsValid(t *testing.T) {
	schema := compiled(t)
	for _, name := range files(t, "testdata/valid/*.yaml") {
		parse(t, name)
		if err := schema.Validate(document(t, read(t, name))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestSchemaRefusesWhatASchemaCanSee(t *testing.T) {
	schema := compiled(t)
	beyond := map[string]bool{ // what no schema can see
		"meaning.yaml": true, "accounts-meaning.yaml": true, "anchors.yaml": true, "empty.yaml": true, "syntax.yaml": true, "two-documents.yaml": true,
	}
	for _, name := range files(t, "testdata/invalid/*.yaml") {
		if beyond[filepath.Base(name)] {
			continue
		}
		var doc yaml.Node
		if err := yaml.Load(read(t, name), &doc); err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(plain(doc.Content[0])); err == nil {
			t.Errorf("%s: the schema takes it, want a refusal", name)
		}
	}
	for _, name := range []string{"meaning.yaml", "accounts-meaning.yaml"} {
		if err := schema.Validate(document(t, read(t, "testdata/invalid/"+name))); err != nil {
			t.Errorf("%s: %v; move what a schema can see elsewhere", name, err)
		}
	}
}

// whole returns a file of one fleet with these further keys.
func whole(keys string) []byte {
	return []byte("fleets: [{name: a, region: cn-hangzhou, images: [w], select: {desktopIds: [ecd-1]}, " + keys + "}, {name: b, region: cn-hangzhou, images: [w], select: all}]")
}

func TestSchemaAndParserAgreeOnRings(t *testing.T) {
	schema := compiled(t)
	for keys, good := range map[string]bool{
		"after: [b]": true, "after: []": false, "after: b": false, "after: [B]": false, "after: [b, b]": false, "after: [1]": false, `after: [""]`: false,
	} {
		_, err := fleet.Parse("fleets.yaml", whole(keys))
		if ok := schema.Validate(document(t, whole(keys))) == nil; ok != good || (err == nil) != good {
			t.Errorf("%s: the schema takes it: %v, the parser says %v; want it taken: %v", keys, ok, err, good)
		}
	}
}

// one returns a file of one fleet with these keys of a strategy.
func one(strategy string) []byte {
	return []byte("fleets: [{name: a, region: cn-hangzhou, images: [w], select: all, strategy: {" + strategy + "}}]")
}

func TestSchemaAndParserAgreeOnEachKey(t *testing.T) {
	schema := compiled(t)
	const good, bad = true, false
	for strategy, want := range map[string]bool{
		"canary: 1": good, "canary: 0": bad, `canary: "0%"`: bad, `canary: "0.00%"`: bad, `canary: "0.01%"`: good,
		`canary: "100%"`: good, `canary: "100.01%"`: bad, `canary: "1.234%"`: bad, "canary: -1": bad,
		"canary: 1000000": good, "canary: 1000001": bad, "canary: 1.5": bad, `canary: "5"`: bad, "canary: {}": bad,
		"canary: {share: 1, tags: {a: b}}": bad, "canary: {maxFailures: 0}": good, "canary: {tags: {}}": bad,
		"waves: []": good, `waves: ["100%"]`: good, "waves: [0]": bad, "waves: 5": bad,
		"maxUnavailable: 0": bad, "maxFailures: 0": good, `maxFailures: "0%"`: good, "maxFailuresPerWave: 0": good,
		"soak: 0": good, `soak: "0"`: good, "soak: 1d1h1m1s": good, "soak: 1.5h": good, "soak: 5": bad, "soak: -1m": bad,
		"soak: 1h1d": bad, "soak: 1w": bad, "soak: d": bad, "soak: .5h": bad, `soak: ""`: bad, "soak: 100ms": good,
		"approval: first": good, "approval: none": good, "approval: canary": good, "approval: every": good, "approval: all": bad,
		"approval: [1]": good, "approval: []": bad, "approval: [0]": bad, "approval: [52]": bad,
		"check: {kind: RunBatScript}": bad, "check: {timeout: 1m}": bad, "check: {command: x, kind: RunBatScript}": good,
		"check: {command: x, kind: Bash}": bad, `check: {command: ""}`: bad, "check: {}": bad,
		"sessions: {policy: wait, deadline: 1h}": good, "sessions: {deadline: 1h}": good, "sessions: {after: force}": good,
		"sessions: {policy: skip, deadline: 1h}": bad, "sessions: {policy: force, after: skip}": bad,
		"sessions: {after: wait}": bad, "sessions: {}": bad,
		"onHalt: stay": good, "onHalt: rollback": good, "onHalt: abort": bad, "onHalt: true": bad, "onHaltNow: false": good,
		"onHaltNow: true": bad, "onHalt: stay, onHaltNow: true": bad, "onHalt: rollback, onHaltNow: true": good,
		"notice: {lead: 2h}": good, "notice: {lead: 2h, remind: [30m, 5m], text: 'at {{.At}}', zone: Asia/Shanghai}": good,
		"notice: {}": bad, "notice: {remind: [5m]}": bad, "notice: {lead: 2h, remind: []}": bad, "notice: {lead: 2h, text: ''}": bad,
		"notice: {lead: 2h, remind: [50m, 40m, 30m, 20m, 10m, 5m]}": bad, "notice: {lead: 2h, zone: Local}": bad,
		"before: {command: x}": good, "before: {command: x, kind: RunBatScript, timeout: 1m, again: 1h, deadline: 1d, after: force, deferrals: 3}": good,
		"before: {}": bad, "before: {timeout: 1m}": bad, "before: {command: x, deferrals: 0}": bad, "before: {command: x, deferrals: 101}": bad,
		"before: {command: x, after: wait}": bad, "before: {command: ''}": bad,
		"holds: {tag: regild-hold-until}": good, "holds: {tag: t, atMost: 3d}": good, "holds: {}": bad, "holds: {atMost: 3d}": bad, "holds: {tag: ''}": bad,
		"sessions: {idle: 1h}": good, "sessions: {policy: skip, idle: 1h}": good, "sessions: {policy: force, idle: 1h}": bad, "sessions: {idle: 5}": bad,
		"snapshot: data": good, "snapshot: none": good, "snapshot: system": bad, "snapshot: true": bad,
		`check: {use: {least: "30%"}}`: good, `check: {use: {least: 3, within: 8h, else: halt, failed: "20%"}}`: good,
		"check: {use: {}}": bad, "check: {use: {within: 8h}}": bad, "check: {use: {least: 0}}": bad, "check: {use: {least: 1, failed: 0}}": bad,
		"check: {use: {least: 1, else: skip}}": bad, "check: {use: 5}": bad,
		"check: {alarms: [a, {name: b, always: true}]}": good, "check: {alarms: []}": bad, "check: {alarms: ['']}": bad,
		"check: {alarms: [{always: true}]}": bad, "check: {alarms: [5]}": bad, "check: {alarms: a}": bad, "check: {alarms: [{name: b, state: OK}]}": bad,
		"windows: []": bad, "windows: [{from: '08:00', to: '24:00', zone: UTC}]": good,
		"windows: [{from: '00:00', to: '00:00', zone: UTC}]": good,
		"windows: [{from: '24:00', to: '08:00', zone: UTC}]": bad, "windows: [{from: '8:00', to: '09:00', zone: UTC}]": bad,
		"windows: [{from: '08:00', to: '24:01', zone: UTC}]": bad, "windows: [{from: '08:00', to: '09:00'}]": bad,
		"windows: [{from: '08:00', to: '09:00', zone: Local}]":                           bad,
		"windows: [{from: '08:00', to: '09:00', zone: ''}]":                              bad,
		"windows: [{from: '08:00', to: '09:00', zone: ../UTC}]":                          bad,
		"windows: [{from: '08:00', to: '09:00', zone: UTC, days: [sun, sat]}]":           good,
		"windows: [{from: '08:00', to: '09:00', zone: UTC, days: [Sun]}]":                bad,
		"windows: [{from: '08:00', to: '09:00', zone: UTC, days: [sun, sun]}]":           bad,
		"windows: [{from: '08:00', to: '09:00', zone: UTC, days: []}]":                   bad,
		"blackouts: [{from: 2026-12-24, zone: UTC}]":                                     good,
		"blackouts: [{from: 2026-12-24, to: 2026-12-24, zone: UTC}]":                     good,
		"blackouts: [{from: 2026-12-24}]":                                                bad,
		"blackouts: [{from: 2026-12-24, to: 2026-12-25T00:00:00Z, zone: UTC}]":           bad,
		"blackouts: [{from: 2026-12-24T00:00:00Z, to: 2026-12-25T00:00:00Z}]":            good,
		"blackouts: [{from: 2026-12-24T00:00:00Z}]":                                      bad,
		"blackouts: [{from: 2026-12-24T00:00:00, to: 2026-12-25T00:00:00Z}]":             bad,
		"blackouts: [{from: 2026-12-24T0:00:00Z, to: 2026-12-25T00:00:00Z}]":             bad,
		"blackouts: [{from: 2026-12-24T00:00:00Z, to: 2026-12-25T00:00:00.5Z}]":          bad,
		"blackouts: [{from: 1999-12-24, zone: UTC}]":                                     bad,
		"blackouts: [{from: 2026-12-24, zone: UTC, reason: ''}]":                         bad,
		"blackouts: [{from: 2026-12-24T00:00:00Z, to: 2026-12-25T00:00:00Z, zone: UTC}]": bad,
		"maintenance: yes": bad, "maintenance: true": good, "stopFirst: 1": bad, "rebuildTimeout: 0": good, "unknown: 1": bad,
	} {
		_, err := fleet.Parse("fleets.yaml", one(strategy))
		if got := err == nil; got != want {
			t.Errorf("%s: the parser takes it: %t, want %t (%v)", strategy, got, want, err)
		}
		err = schema.Validate(document(t, one(strategy)))
		if got := err == nil; got != want {
			t.Errorf("%s: the schema takes it: %t, want %t (%v)", strategy, got, want, err)
		}
	}
}

// object is one object of the schema: where it is, and its keys.
type object struct {
	path string // such as fleets.0.strategy
	keys []string
}

// objects returns the objects with fixed keys below a schema.
func objects(s *jsonschema.Schema, path string) []object {
	if s == nil {
		return nil
	}
	var out []object
	if s.AdditionalProperties == false {
		out = append(out, object{path, slices.Sorted(maps.Keys(s.Properties))})
	}
	join := func(key string) string { return strings.TrimPrefix(path+"."+key, ".") }
	if s.AdditionalProperties == false {
		for _, key := range slices.Sorted(maps.Keys(s.Properties)) {
			out = append(out, objects(s.Properties[key], join(key))...)
		}
	}
	if items, ok := s.Items.(*jsonschema.Schema); ok {
		out = append(out, objects(items, join("0"))...)
	}
	if items := s.Items2020; items != nil {
		out = append(out, objects(items, join("0"))...)
	}
	for _, other := range append(slices.Clone(s.OneOf), s.Ref) {
		out = append(out, objects(other, path)...)
	}
	return out
}

func TestSchemaAndParserKnowTheSameKeys(t *testing.T) {
	all := objects(compiled(t), "")
	if len(all) < 10 {
		t.Fatalf("found %d objects in the schema, want at least 10", len(all))
	}
	for _, o := range all {
		yaml := "{zzzzzzzzzzzzzzzz: 1}"
		path := strings.Split(o.path, ".")
		slices.Reverse(path)
		for _, step := range path {
			switch {
			case step == "":
			case step == "0":
				yaml = "[" + yaml + "]"
			default:
				yaml = "{" + step + ": " + yaml + "}"
			}
		}
		_, err := fleet.Parse("f", []byte(yaml))
		want := "unknown key; known here: " + strings.Join(o.keys, ", ") + "\n"
		if got := fmt.Sprint(err) + "\n"; !strings.Contains(got, want) {
			t.Errorf("at %q: got %s\nwant %s", o.path, got, want)
		}
	}
}

func TestDefaultsInTheSchemaAreTheDefaults(t *testing.T) {
	var raw struct {
		Defs map[string]struct {
			Properties map[string]struct{ Default any }
		} `json:"$defs"`
	}
	data, err := os.ReadFile(schemaFile)
	if err == nil {
		err = json.Unmarshal(data, &raw)
	}
	if err != nil {
		t.Fatal(err)
	}
	for object, format := range map[string]string{
		"strategy": "%s: %s", "canary": "canary: {%s: %s}", "check": "check: {command: x, %s: %s}", "sessions": "sessions: {%s: %s}",
	} {
		checked := 0
		for key, p := range raw.Defs[object].Properties {
			if p.Default == nil {
				continue
			}
			value, err := json.Marshal(p.Default)
			if err != nil {
				t.Fatal(err)
			}
			fleets, err := fleet.Parse("f", one(fmt.Sprintf(format, key, value)))
			if err != nil {
				t.Errorf("%s.%s: %v", object, key, err)
				continue
			}
			want := fleet.Default()
			want.Check.Command = fleets[0].Strategy.Check.Command
			if got := fleets[0].Strategy; !reflect.DeepEqual(got, want) {
				t.Errorf("%s.%s: %s gives\n%+v\nwant\n%+v", object, key, value, got, want)
			}
			checked++
		}
		if checked == 0 {
			t.Errorf("%s: the schema has no defaults", object)
		}
	}
	if got := parse(t, "testdata/valid/least.yaml")[0].Strategy; !reflect.DeepEqual(got, fleet.Default()) {
		t.Errorf("got %+v without a strategy, want the defaults", got)
	}
}

func TestEveryFieldCanBeWritten(t *testing.T) {
	f := parse(t, "testdata/valid/everything.yaml")[0]
	f.Strategy.Approval.Every, f.Strategy.Approval.First = true, true // other ways to write the same key
	for i, w := range f.Strategy.Waves {
		if w.Count > 0 {
			f.Strategy.Waves[i].Percent = 1
		} else {
			f.Strategy.Waves[i].Count = 1
		}
	}
	var walk func(v reflect.Value, path string)
	walk = func(v reflect.Value, path string) {
		switch {
		case v.Type() == reflect.TypeFor[fleet.Amount]():
			if v.Interface().(fleet.Amount).IsZero() {
				t.Errorf("%s is zero", path)
			}
		case v.IsZero():
			t.Errorf("%s is zero: testdata/valid/everything.yaml does not write it", path)
		case v.Kind() == reflect.Struct && v.Type().PkgPath() != "time":
			for i := range v.NumField() {
				walk(v.Field(i), path+"."+v.Type().Field(i).Name)
			}
		case v.Kind() == reflect.Slice && v.Index(0).Kind() == reflect.Struct:
			walk(v.Index(0), path+"["+strconv.Itoa(0)+"]")
		}
	}
	walk(reflect.ValueOf(f), "Fleet")
}

func TestFaultsIsAnErrorOfItsOwn(t *testing.T) {
	_, err := fleet.Parse("f", nil)
	faults, ok := errors.AsType[*fleet.Faults](fmt.Errorf("reading fleets: %w", err))
	if !ok || faults.List[0].File != "f" {
		t.Errorf("got %v, want the faults of f", err)
	}
}

// A region that fleets.yaml takes can be one of REGILD_REGIONS and of a request, and
// the other way round.
func TestRegionsAndNamesAreWhatTheyAreEverywhere(t *testing.T) {
	const file = "fleets:\n  - {name: %s, region: %s, images: [win11], select: all}\n"
	for _, region := range []string{"cn-hangzhou", "cn-north-2-gov-1", "abc-x", "cn", "cn-2", "CN-hangzhou", "cn-hangzhou-", "cn-" + strings.Repeat("h", 37), "cn-" + strings.Repeat("h", 38)} {
		_, err := fleet.Parse("fleets.yaml", fmt.Appendf(nil, file, "office", region))
		if got, want := err == nil, pattern.Region.Matches(region); got != want {
			t.Errorf("region %s: fleets.yaml takes it: %v; elsewhere: %v", region, got, want)
		}
	}
	for _, name := range []string{"office", "0-hz", "-hz", "Office", "office_hz", strings.Repeat("a", 63), strings.Repeat("a", 64)} {
		_, err1 := fleet.Parse("fleets.yaml", fmt.Appendf(nil, file, name, "cn-hangzhou"))
		_, err2 := events.ParseControl(fmt.Appendf(nil, `{"rolloutId":"r1/%s","action":"pause","by":"a","reason":"b"}`, name))
		if (err1 == nil) != (err2 == nil) {
			t.Errorf("fleet %s: fleets.yaml says %v, a control message %v", name, err1, err2)
		}
	}
}
