package deploy

import (
	"bytes"
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/regild/regild/internal/ecd"
)

// A policy is a RAM policy document. RAM takes a single string where a list has one element; ours are written as lists, but
// for the one resource `*`.
type policy struct {
	Version   string
	Statement []struct {
		Effect    string
		Action    stringOrList
		Resource  stringOrList
		Principal *struct{ Service, RAM []string }
		Condition map[string]map[string][]string
	}
}

type stringOrList []string

func (s *stringOrList) UnmarshalJSON(b []byte) error {
	if bytes.HasPrefix(b, []byte(`"`)) {
		*s = make(stringOrList, 1)
		return json.Unmarshal(b, &(*s)[0])
	}
	return json.Unmarshal(b, (*[]string)(s))
}

// withoutResource are the actions that RAM cannot confine to a resource: every ECD action, EventBridge's, some of Function
// Compute's (its pages say "all resources"), and the making of
// service-linked roles. Only these may name the resource `*`.
var withoutResource = regexp.MustCompile(`^(ecd|eventbridge|cms):|^ros:(ListStacks|ValidateTemplate)$|^ram:(Create|Check)ServiceLinkedRole(Existence)?$|^fc:(Get|Put)ConcurrencyConfig$|^fc:GetTempBucketToken$`)

func TestPoliciesAreExactAboutActionsAndResources(t *testing.T) {
	files, err := filepath.Glob("../docs/ram/*.json")
	if err != nil || len(files) < 7 {
		t.Fatalf("got %d policies (%v), want 7 at least", len(files), err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			p := load(t, file)
			if p.Version != "1" || len(p.Statement) == 0 {
				t.Errorf("got version %q and %d statements", p.Version, len(p.Statement))
			}
			for _, statement := range p.Statement {
				if statement.Effect != "Allow" || len(statement.Action) == 0 {
					t.Errorf("got effect %q for %q", statement.Effect, statement.Action)
				}
				for _, action := range statement.Action {
					if !regexp.MustCompile(`^[a-z]+:[A-Z][A-Za-z]+$`).MatchString(action) {
						t.Errorf("%q is not one action of one service", action)
					}
					if slices.Contains(statement.Resource, "*") && !withoutResource.MatchString(action) {
						t.Errorf("%s is allowed on everything", action)
					}
				}
				if statement.Principal == nil && len(statement.Resource) == 0 {
					t.Errorf("%q names no resource", statement.Action)
				}
				for _, resource := range statement.Resource {
					if resource != "*" && !strings.Contains(resource, "<account>") && !strings.Contains(resource, "<member-account>") {
						t.Errorf("%s is not confined to one account", resource)
					}
				}
			}
		})
	}
}

// The function may call what the adapter calls: what is missing fails in production only, what is left over helps a thief.
func TestTheFunctionMayCallExactlyWhatTheAdapterCalls(t *testing.T) {
	files, err := filepath.Glob("../internal/ecd/*.go")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no source of the adapter (%v)", err)
	}
	called := map[string]bool{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range regexp.MustCompile(`\.([A-Z][A-Za-z]+)WithContext\b`).FindAllSubmatch(text, -1) {
			called["ecd:"+string(match[1])] = true
		}
	}
	if len(called) == 0 {
		t.Fatal("found no call in the adapter: has the SDK's naming changed?")
	}

	allowed := actions(t, "function.json", "function-extras.json")
	for action := range called {
		if !allowed[action] {
			t.Errorf("the adapter calls %s, which no policy allows", action)
		}
	}
	for action := range allowed {
		if !called[action] {
			t.Errorf("the policies allow %s, which the adapter never calls", action)
		}
	}
}

// actions are those of ECD that policies allow.
func actions(t *testing.T, files ...string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for _, file := range files {
		for _, statement := range load(t, "../docs/ram/"+file).Statement {
			for _, action := range statement.Action {
				if strings.HasPrefix(action, "ecd:") {
					out[action] = true
				}
			}
		}
	}
	return out
}

// In another account the function may do of ECD what it may do in its own, and
// nothing else: it has no queue, bucket or log there.
func TestARoleInAnotherAccountMayWhatTheFunctionMayOfECDAlone(t *testing.T) {
	for member, function := range map[string]string{"member.json": "function.json", "member-extras.json": "function-extras.json"} {
		if got, want := actions(t, member), actions(t, function); !maps.Equal(got, want) {
			t.Errorf("%s allows %v, %s allows %v", member, got, function, want)
		}
		for _, statement := range load(t, "../docs/ram/"+member).Statement {
			for _, action := range statement.Action {
				if !strings.HasPrefix(action, "ecd:") {
					t.Errorf("%s allows %s", member, action)
				}
			}
		}
	}
}

// The keys that the function gets there may do what both the role and the session
// policy allow: the two are the same list.
func TestTheSessionPolicyIsThatOfTheRole(t *testing.T) {
	want := actions(t, "member.json", "member-extras.json")
	for _, name := range ecd.Actions {
		if !want["ecd:"+name] {
			t.Errorf("the session policy allows %s, which the role may not", name)
		}
		delete(want, "ecd:"+name)
	}
	if len(want) > 0 {
		t.Errorf("the role may %v, which no session may", want)
	}
}

// Who may take the role: the function's role, with the external id, and nobody else.
// What the function may take: named roles, and nothing else.
func TestARoleInAnotherAccountTrustsTheFunctionsRoleAlone(t *testing.T) {
	for _, s := range load(t, "../docs/ram/member-trust.json").Statement {
		if !slices.Equal(s.Principal.RAM, []string{"acs:ram::<account>:role/<function>-function"}) || len(s.Principal.Service) > 0 {
			t.Errorf("it trusts %+v", *s.Principal)
		}
		if !slices.Equal(s.Condition["StringEquals"]["sts:ExternalId"], []string{"<external-id>"}) {
			t.Errorf("it asks for %v", s.Condition)
		}
	}
	for _, s := range load(t, "../docs/ram/function-members.json").Statement {
		if !slices.Equal(s.Action, []string{"sts:AssumeRole"}) || !slices.Equal(s.Resource, []string{"acs:ram:*:<member-account>:role/<member-role>"}) {
			t.Errorf("the function may %v on %v", s.Action, s.Resource)
		}
	}
}

func TestEveryPolicyAndPlaceholderIsExplained(t *testing.T) {
	text, err := os.ReadFile("../docs/ram.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("../docs/ram/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !bytes.Contains(text, []byte("ram/"+filepath.Base(file))) {
			t.Errorf("docs/ram.md does not mention %s", filepath.Base(file))
		}
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, placeholder := range regexp.MustCompile(`<[a-z-]+>`).FindAll(content, -1) {
			if !bytes.Contains(text, append([]byte("`"), append(placeholder, '`')...)) {
				t.Errorf("docs/ram.md does not explain %s of %s", placeholder, filepath.Base(file))
			}
		}
	}
}

func load(t *testing.T, file string) policy {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	var p policy
	if err := decoder.Decode(&p); err != nil {
		t.Fatalf("reading %s: %v", file, err)
	}
	return p
}
