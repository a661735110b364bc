package envelope

import (
	"encoding/json"
	"reflect"
	"testing"
)

func TestWhatIsCutOutOfAnObjectIsWhatDecodingItGives(t *testing.T) {
	objects := []string{
		`{}`, `{ "a" : 1 , "b":[1,{"c":"}"}],"a":"\"},","\u0069d":null, "":{"":{}} }`, `{"a":"\\","b\\":"x:y","é":true}`, "{\"\xff\":\"\xff\"}", `{"a":"[","b":{}}`,
	}
	for _, file := range samples(t) {
		if body := trim(readFile(t, file)); len(body) > 0 && body[0] == '{' && json.Valid(body) {
			objects = append(objects, string(body))
		}
	}
	for _, object := range objects {
		var want fields
		if err := json.Unmarshal([]byte(object), &want); err != nil {
			t.Fatal(err)
		}
		got := fields{}
		for _, m := range members([]byte(object)) {
			got[m.name] = m.value
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %q, want %q", object, got, want)
		}
		for name := range want {
			var text string
			if json.Unmarshal(want[name], &text) == nil && got.text(name) != text {
				t.Errorf("%s: %s is %q, want %q", object, name, got.text(name), text)
			}
		}
	}
}
