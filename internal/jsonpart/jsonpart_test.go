package jsonpart_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"github.com/regild/regild/internal/jsonpart"
)

var objects = []string{
	`{}`, `{ }`, `{ "a" : 1 , "b":[1,{"c":"}"}],"a":"\"},","\u0069d":null, "":{"":{}} }`, `{"a":"\\","b\\":"x:y","é":true}`, "{\"\xff\":\"\xff\"}", `{"a":"[","b":{}}`,
	"{\n\t\"a\" \r:\n[ 1 , 2 ]\n,\"b\":-1e5}",
}

var arrays = []string{`[]`, `[ ]`, `[1]`, `[ "a,]" , [1,[2]], {"b":[","]},null ]`, "[\n1,\t\"\\\"]\"\r]"}

func TestPartsAreWhatDecodingGives(t *testing.T) {
	for _, object := range append(objects, samples(t)...) {
		sameMembers(t, []byte(object))
	}
	for _, array := range arrays {
		sameElements(t, []byte(array))
	}
}

func FuzzParts(f *testing.F) {
	for _, seed := range append(objects, arrays...) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		data = bytes.TrimSpace(data)
		switch {
		case !json.Valid(data):
		case data[0] == '{':
			sameMembers(t, data)
		case data[0] == '[':
			sameElements(t, data)
		}
	})
}

func sameMembers(t *testing.T, object []byte) {
	t.Helper()
	want := map[string]json.RawMessage{}
	if err := json.Unmarshal(object, &want); err != nil {
		t.Fatal(err)
	}
	got := map[string]json.RawMessage{}
	for _, m := range jsonpart.Members(object) {
		got[string(m.Name)] = m.Value
	}
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("%s: got %q, want %q", object, got, want)
	}
	for name, value := range want {
		var text string
		err := json.Unmarshal(value, &text)
		if got, gotErr := jsonpart.Text(value); string(value) != "null" && (got != text || (gotErr == nil) != (err == nil)) {
			t.Fatalf("%s: %s is %q and %v, want %q and %v", object, name, got, gotErr, text, err)
		}
	}
}

func sameElements(t *testing.T, array []byte) {
	t.Helper()
	var want []json.RawMessage
	if err := json.Unmarshal(array, &want); err != nil {
		t.Fatal(err)
	}
	got := jsonpart.Elements(array)
	if len(got) != len(want) {
		t.Fatalf("%s: got %q, want %q", array, got, want)
	}
	for i := range want {
		if !bytes.Equal(got[i], want[i]) {
			t.Fatalf("%s: element %d is %s, want %s", array, i, got[i], want[i])
		}
	}
}

// samples are the payloads that are objects.
func samples(t *testing.T) (out []string) {
	t.Helper()
	files, err := filepath.Glob("../../events/samples/envelopes/*")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if data = bytes.TrimSpace(data); len(data) > 0 && data[0] == '{' && json.Valid(data) {
			out = append(out, string(data))
		}
	}
	return out
}
