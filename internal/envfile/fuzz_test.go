package envfile

import (
	"maps"
	"testing"
)

// What is read holds nothing that a shell would act on, and is read the same after
// it was written.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"A=b\n", "# c\r\nREGILD_REGION=cn-hangzhou\nX=\n", "A=b\nA=c", "A=$(x)", "a=b", "=", "A==b=c", "\ufeffA=b", "A=b\x00"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := Parse("regild.env", data)
		if err != nil {
			return
		}
		var lines []Line
		for name, value := range got {
			if !nameForm.MatchString(name) || !valueForm.MatchString(value) {
				t.Errorf("%q=%q", name, value)
			}
			lines = append(lines, Line{Name: name, Value: value})
		}
		if again, err := Parse("regild.env", Format(lines)); err != nil || !maps.Equal(again, got) {
			t.Errorf("got %q (%v) after %q", again, err, got)
		}
	})
}
