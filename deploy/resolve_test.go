package deploy

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v4"
)

// account is the default of vars.account.
const account = "1234567890123456"

func source(t *testing.T) []byte {
	t.Helper()
	text, err := os.ReadFile("../s.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// props returns the function's props with every variable resolved to its default, numbers as json.Number.
func props(t *testing.T) map[string]any {
	t.Helper()
	return propsOf(t, source(t))
}

func propsOf(t *testing.T, text []byte) map[string]any {
	t.Helper()
	var file map[string]any
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
	vars := dig(t, file, "vars")
	for name, value := range vars {
		vars[name] = resolve(t, value, vars)
	}
	resolved := marshal(t, resolve(t, dig(t, file, "resources", "regild", "props"), vars))
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(resolved))
	if err != nil {
		t.Fatal(err)
	}
	return value.(map[string]any)
}

var (
	variable = regexp.MustCompile(`\$\{([^}]*)\}`)
	env      = regexp.MustCompile(`^env\('[A-Z][A-Z0-9_]*', (?:'([^']*)'|vars\.([a-z]+))\)$`)
)

// resolve puts in the default of each `${env('NAME', 'default')}` and the value of each `${vars.name}`. A default cannot be a
// number: Serverless Devs would keep it one, but make a text of the same number from the environment.
func resolve(t *testing.T, value any, vars map[string]any) any {
	t.Helper()
	switch value := value.(type) {
	case map[string]any:
		resolved := make(map[string]any, len(value))
		for key, v := range value {
			resolved[key] = resolve(t, v, vars)
		}
		return resolved
	case []any:
		resolved := make([]any, len(value))
		for i, v := range value {
			resolved[i] = resolve(t, v, vars)
		}
		return resolved
	case string:
		return variable.ReplaceAllStringFunc(value, func(found string) string {
			expression := variable.FindStringSubmatch(found)[1]
			if name, ok := strings.CutPrefix(expression, "vars."); ok {
				return lookUp(t, vars, name)
			}
			match := env.FindStringSubmatch(expression)
			switch {
			case match == nil:
				t.Fatalf("cannot resolve %s", found)
			case match[2] != "":
				return lookUp(t, vars, match[2])
			}
			return match[1]
		})
	default:
		return value
	}
}

func lookUp(t *testing.T, vars map[string]any, name string) string {
	t.Helper()
	value, ok := vars[name].(string)
	if !ok {
		t.Fatalf("vars.%s is not a string in s.yaml", name)
	}
	return value
}

// dig goes down the keys to an object.
func dig(t *testing.T, value map[string]any, keys ...string) map[string]any {
	t.Helper()
	for _, key := range keys {
		next, ok := value[key].(map[string]any)
		if !ok {
			t.Fatalf("%s is not an object: %v", key, value[key])
		}
		value = next
	}
	return value
}

func trigger(t *testing.T, props map[string]any, name string) map[string]any {
	t.Helper()
	for _, element := range props["triggers"].([]any) {
		if trigger := element.(map[string]any); trigger["triggerName"] == name {
			return trigger
		}
	}
	t.Fatalf("no trigger %s", name)
	return nil
}

// marshal returns JSON with sorted keys, so that equal values are equal texts.
func marshal(t *testing.T, value any) string {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
