package doctor

import (
	"testing"

	"github.com/regild/regild/docs/ram"
	"github.com/regild/regild/internal/fleet"
)

func TestPatternsOfPoliciesCoverAndOverlap(t *testing.T) {
	for _, tt := range []struct {
		pattern, name   string
		covers, overlap bool
	}{
		{"*", "acs:oss:*:1:b/p/*", true, true},
		{"acs:oss:*:1:b/p/*", "acs:oss:*:1:b/p/*", true, true},
		{"acs:oss:*:*:b/*", "acs:oss:*:1:b/p/*", true, true},
		{"acs:oss:*:1:b/p/x", "acs:oss:*:1:b/p/*", false, true},
		{"acs:oss:cn-hangzhou:1:b/p/*", "acs:oss:*:1:b/p/*", false, true},
		{"acs:oss:*:2:b/p/*", "acs:oss:*:1:b/p/*", false, true}, // stars run over colons, as in RAM
		{"ecd:Describe*", "ecd:RebuildDesktops", false, false},
		{"ecd:?ebuildDesktops", "ecd:RebuildDesktops", true, true},
		{"a?", "a*", false, true},
		{"", "", true, true},
		{"", "*", false, true},
		{"a", "", false, false},
		{"[a]", "a", false, false},
		{"**********************b", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa*a", false, false},
	} {
		if got := covers(tt.pattern, tt.name); got != tt.covers {
			t.Errorf("covers(%q, %q): got %v", tt.pattern, tt.name, got)
		}
		if got := overlap(tt.pattern, tt.name); got != tt.overlap || got != overlap(tt.name, tt.pattern) {
			t.Errorf("overlap(%q, %q): got %v, %v the other way round", tt.pattern, tt.name, got, overlap(tt.name, tt.pattern))
		}
	}
}

// One and the same condition may be written in several ways.
func TestConditionsAreComparedWhateverTheirSpelling(t *testing.T) {
	of := func(condition string) string {
		grants, err := grantsOf(map[string]string{"p": `{"Statement":[{"Effect":"Allow","Action":"a:B","Resource":["*"],"Condition":` + condition + `}]}`})
		if err != nil || len(grants) != 1 {
			t.Fatal(grants, err)
		}
		return grants[0].condition
	}
	want := of(`{"StringLike":{"oss:Prefix":["<prefix>/*","b"]},"Bool":{"x":true}}`)
	if got := of(`{"Bool":{"x":["true"]},"StringLike":{"oss:Prefix":["b","<prefix>/*"]}}`); got != want || of("{}") != "" {
		t.Errorf("got %s, want %s", got, want)
	}
	if of(`{"StringLike":{"oss:Prefix":["<prefix>/*"]}}`) != `{"StringLike":{"oss:Prefix":["<prefix>/*"]}}` {
		t.Error("a placeholder is not found any more")
	}
}

// Each of these has the function make calls that function-extras.json allows.
func TestEveryOptionThatNeedsMoreRightsIsKnown(t *testing.T) {
	for _, option := range []string{"strategy: {maintenance: true}", "strategy: {stopFirst: true}", "strategy: {check: {command: 'exit 0', kind: RunPowerShellScript}}",
		"strategy: {notice: {lead: 2h}}", "strategy: {before: {command: 'exit 0', kind: RunPowerShellScript}}", "rebuild: {keepSnapshots: user}",
		"strategy: {snapshot: data}", "strategy: {sessions: {idle: 1h}}", "strategy: {check: {use: {least: 3}}}", "strategy: {check: {alarms: [office-logon-errors]}}"} {
		for rest, want := range map[string]bool{option: true, "requests: true": false} {
			fleets, err := fleet.Parse("fleets.yaml", []byte("fleets:\n  - {name: a, region: cn-hangzhou, images: [x], select: {tags: {a: b}}, "+rest+"}\n"))
			if err != nil {
				t.Fatal(err)
			}
			if got := (&Deployment{Fleets: fleets}).needsExtras(); got != want {
				t.Errorf("%s: got %v, want %v", rest, got, want)
			}
		}
	}
}

// The doctor's policy allows what its checks call, and nothing else. To take the
// roles in other accounts it is given what the function is given for that.
func TestTheDoctorMayDoWhatItsChecksDo(t *testing.T) {
	documents := map[string]string{}
	for _, file := range []string{"doctor.json", "function-members.json"} {
		text, err := ram.Files.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		documents[file] = string(text)
	}
	grants, err := grantsOf(documents)
	if err != nil {
		t.Fatal(err)
	}
	allowed, called := map[string]bool{}, map[string]bool{}
	for _, g := range grants {
		allowed[g.action] = true
	}
	for _, c := range Checks() {
		for _, action := range c.Calls {
			called[action] = true
			if !allowed[action] && action != "sts:GetCallerIdentity" { // which everybody may
				t.Errorf("check %s calls %s, which neither policy allows", c.Name, action)
			}
		}
	}
	for action := range allowed {
		if !called[action] {
			t.Errorf("a policy of the doctor allows %s, which no check calls", action)
		}
	}
}
