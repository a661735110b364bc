package main

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/doctor"
	"github.com/regild/regild/internal/envfile"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/localcloud/sts"
	"github.com/regild/regild/internal/rollout"
)

const member = "3000000000000003"

// Whoever has the credentials of another account makes the role there, next to the
// regild.env of the function, and gets the lines for fleets.yaml.
func TestSetupMakesTheRoleInAnotherAccount(t *testing.T) {
	s := newSite(t, fc.Function{AccountID: member})
	memberArgs := append(setupArgs, "--member")
	s.fails("in which account is the function?", memberArgs...)
	s.write("regild.env", "REGILD_ACCOUNT="+ownAccount+"\nREGILD_REGION=cn-hangzhou\n")
	s.must("make       MemberRole", append(memberArgs, "--dry-run")...)
	out := s.must("account "+member+" trusts the function of account "+ownAccount, memberArgs...)
	line := regexp.MustCompile(`- \{name: another, id: "` + member + `", role: regild-member, externalId: "([A-Z2-7]{26})", regions: \[cn-hangzhou\]\}`).FindStringSubmatch(out)
	if line == nil {
		t.Fatalf("no line for fleets.yaml in\n%s", out)
	}
	if file, err := envfile.Read(s.file); err != nil || len(file) != 2 {
		t.Errorf("the function's regild.env is now %v, %v", file, err)
	}
	look := func(policies ...string) {
		t.Helper()
		s.cloud.Control.Change(func(a *control.Account) {
			role := a.Roles["regild-member"]
			if role == nil || len(role.Policies) != len(policies) {
				t.Fatalf("got %+v", role)
			}
			for _, name := range policies {
				if !strings.Contains(role.Policies[name], "ecd:") {
					t.Errorf("policy %s is %s", name, role.Policies[name])
				}
			}
			for _, want := range []string{`"RAM":["acs:ram::` + ownAccount + `:role/regild-function"]`, `"sts:ExternalId":["` + line[1] + `"]`} {
				if !strings.Contains(role.Trust, want) {
					t.Errorf("the role trusts %s, want %s in it", role.Trust, want)
				}
			}
		})
	}
	look("regild-member")
	s.must(`externalId: "`+line[1]+`"`, append(memberArgs, "--set", "Extras=yes")...) // which stays what it is
	look("regild-member", "regild-member-extras")
	s.in = member + "\n"
	s.must("regild can then do nothing there.\nType the account to go on: ", append(memberArgs, "--remove")...)
	s.cloud.Control.Change(func(a *control.Account) {
		if len(a.Roles) != 0 {
			t.Errorf("roles are left: %v", a.Roles)
		}
	})
	s.write("regild.env", "REGILD_ACCOUNT="+member+"\nREGILD_REGION=cn-hangzhou\n")
	s.fails("which is the function's: give those of the other account", memberArgs...)
}

func TestThePolicyOfWhoeverSetsUpAnotherAccount(t *testing.T) {
	out := strings.Builder{}
	w := world{out: &out, err: &out, lookup: func(string) (string, bool) { return "", false }}
	file := filepath.Join(t.TempDir(), "none.env")
	if code := run(t.Context(), w, []string{"setup", "--policy", "member-setup", "--region", "cn-hangzhou", "--account", member, "--env-file", file}); code != 0 {
		t.Fatal(out.String())
	}
	if got := out.String(); !strings.Contains(got, `"acs:ram::`+member+`:role/regild-member"`) || strings.Contains(got, "<") {
		t.Errorf("got\n%s", got)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file was written")
	}
}

// memberFleets is a fleets.yaml of the site with a fleet in another account.
const memberFleets = officeFleet + `
  - name: tools
    account: tools
    region: cn-hangzhou
    images: ["win11-office"]
    select: {desktopIds: [ecd-pc01, ecd-pc02]}
    requests: true
    strategy:
      windows: [{from: "20:00", to: "06:00", zone: Asia/Shanghai}]
accounts:
  - {name: tools, id: "2000000000000002", role: regild-member, externalId: tools-7, regions: [cn-hangzhou]}
`

// The stack of the function gives it the roles of the accounts in fleets.yaml, and
// takes away those that are no longer there.
func TestSetupGivesTheFunctionTheRolesOfFleets(t *testing.T) {
	s := newSite(t)
	s.cloud.Control.Change(func(a *control.Account) { a.AtOnce = true })
	roles := func(want string) {
		t.Helper()
		s.cloud.Control.Change(func(a *control.Account) {
			if got := a.Roles["regild-function"].Policies["regild-function-members"]; got != want {
				t.Errorf("got policy %s, want %s", got, want)
			}
		})
	}
	args := append(setupArgs, "--fleets", s.write("fleets.yaml", memberFleets))
	const policy = `{"Statement":[{"Action":["sts:AssumeRole"],"Effect":"Allow","Resource":["acs:ram:*:2000000000000002:role/regild-member"]}],"Version":"1"}`
	s.must("done", args...)
	roles(policy)
	s.write("fleets.yaml", "fleets: [")
	s.must("is at fault, see regild check: the roles in other accounts stay as they are", args...)
	roles(policy)
	s.write("fleets.yaml", officeFleet)
	s.must("done", args...)
	roles("")
}

// The doctor takes each role itself, where it may, and otherwise leaves it to the
// dry run.
func TestTheDoctorLooksAtOtherAccounts(t *testing.T) {
	s := healthySite(t)
	s.must("done", append(setupArgs, "--fleets", s.write("fleets.yaml", memberFleets))...)
	const arn = "acs:ram::2000000000000002:role/regild-member"
	role := func(f func(*sts.Role)) func() { return func() { s.cloud.Roles.Change(arn, f) } }
	fleets := func(old, new string) func() {
		return func() { s.write("fleets.yaml", strings.Replace(memberFleets, old, new, 1)) }
	}
	for _, tt := range []struct {
		name  string
		ail   func()
		mend  func()
		check string
		level doctor.Level
		want  string
	}{
		{"all is well", func() {}, func() {}, "accounts", doctor.Good, "account tools (2000000000000002): role " + arn + " can be taken, and may read desktops in cn-hangzhou"},
		{"and its fleet", func() {}, func() {}, "fleets", doctor.Good, "fleet tools: 2 desktops, canary of 1, follows m-tools (win11-office)"},
		{"and the function's role", func() {}, func() {}, "role", doctor.Good, "and no more"},
		{"a role that trusts somebody else", role(func(r *sts.Role) { r.Trusts = []string{"3000000000000003"} }), role(func(r *sts.Role) { r.Trusts = nil }),
			"accounts", doctor.Unknown, "not proven: that the function may take role " + arn},
		{"the same, for the fleet", role(func(r *sts.Role) { r.Trusts = []string{"3000000000000003"} }), role(func(r *sts.Role) { r.Trusts = nil }),
			"fleets", doctor.Unknown, "fleet tools: not proven: that it has desktops and an image to follow. It is of account tools"},
		{"a role that is not there", fleets("role: regild-member", "role: other"), fleets("", ""), "accounts", doctor.Wrong, "there is no role acs:ram::2000000000000002:role/other"},
		{"a role that the function may not take", fleets("role: regild-member", "role: other"), fleets("", ""), "role", doctor.Wrong,
			"the role may not: sts:AssumeRole on acs:ram:*:2000000000000002:role/other"},
		{"the own account", fleets(`id: "2000000000000002"`, `id: "`+ownAccount+`"`), fleets("", ""), "accounts", doctor.Wrong, "is the function's own"},
		{"a role without rights", role(func(r *sts.Role) { r.Allows = []string{"ecs:*"} }), role(func(r *sts.Role) { r.Allows = nil }),
			"accounts", doctor.Wrong, "role " + arn + " may not read desktops"},
		{"an STS that does not answer", func() {
			s.cloud.Faults.Add(fault.Rule{Service: "control", Operation: "AssumeRole", Kind: fault.Error, Status: 400, Code: "Odd"})
		}, s.cloud.Faults.Clear, "accounts", doctor.Unknown, "could not be taken: AssumeRole: Odd"},
		{"a fault of the file", fleets("accounts:", "acounts:"), fleets("", ""), "accounts", doctor.Unknown, "which accounts there are is not known"},
		{"no account", func() { s.write("fleets.yaml", officeFleet) }, fleets("", ""), "accounts", doctor.Good, "the function's own alone"},
		{"a role that is no longer needed", func() { s.write("fleets.yaml", officeFleet) }, fleets("", ""), "role", doctor.Warning,
			"more than it needs: sts:AssumeRole on acs:ram:*:2000000000000002:role/regild-member"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.ail()
			defer tt.mend()
			findings, _ := s.examine()
			findings = slices.DeleteFunc(findings, func(f doctor.Finding) bool { return f.Check != tt.check })
			for _, f := range findings {
				if f.Level == tt.level && strings.Contains(f.Text, tt.want) && (f.Do == "") == (f.Level == doctor.Good) {
					return
				}
			}
			t.Errorf("check %s did not find %q as %s in %+v", tt.check, tt.want, tt.level, findings)
		})
	}
}

// The sample that the README names, as far as it can be told without playing it.
func TestTheSampleOfSeveralAccountsIsWhole(t *testing.T) {
	fleets, err := readFleets("show/accounts/fleets.yaml")
	if err != nil {
		t.Fatal(err)
	}
	state, err := localcloud.Load("show/accounts/cloud.yaml")
	if err != nil {
		t.Fatal(err)
	}
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{State: state})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	for _, a := range fleets.Accounts() {
		if cloud.Accounts[a.ID] == nil || !cloud.Roles.Change(a.RoleARN(), func(r *sts.Role) {
			if r.ExternalID != a.ExternalID {
				t.Errorf("role %s asks for another external id than %q", a.RoleARN(), a.ExternalID)
			}
		}) {
			t.Errorf("cloud.yaml has no account %s with role %s", a.ID, a.RoleARN())
		}
	}
}

// theFunctionAloneMayTakeTheRole goes on with a healthy site: a role trusts the
// function alone, as setup leaves it, and the dry run shows whether it may. Once
// nobody may, that is found out too.
func (s *site) theFunctionAloneMayTakeTheRole() {
	s.t.Helper()
	find := func(wantCode int, check string, level doctor.Level, want string) {
		s.t.Helper()
		findings, code := s.examine("--probe")
		findings = slices.DeleteFunc(findings, func(f doctor.Finding) bool { return f.Check != check })
		if code != wantCode || !slices.ContainsFunc(findings, func(f doctor.Finding) bool { return f.Level == level && strings.Contains(f.Text, want) }) {
			s.t.Errorf("exit code %d, and check %s did not find %q as %s in %+v", code, check, want, level, findings)
		}
	}
	const arn = "acs:ram::2000000000000002:role/regild-member"
	s.cloud.Control.Change(func(a *control.Account) { a.Denied["sts:AssumeRole"] = true }) // the function has its keys by now
	find(0, "accounts", doctor.Warning, "the doctor itself may not take role "+arn+"; the dry run below shows whether the function may")
	s.host.Kill()
	find(exitFailed, "probe", doctor.Wrong, "a dry run in account tools (2000000000000002) came back after ")
	s.cloud.Control.Change(func(a *control.Account) { delete(a.Denied, "sts:AssumeRole") })
}

// What other accounts have is asked for by their roles: the same ids are other desktops
// there.
func TestAFleetOfAnotherAccountIsReadThere(t *testing.T) {
	s := newSite(t)
	s.env["REGILD_STS_ENDPOINT"] = s.cloud.ControlURL
	file := s.write("fleets.yaml", memberFleets)
	says := func(code int, want string, args ...string) string {
		t.Helper()
		out, got := s.regildPlain(args...)
		if got != code || !strings.Contains(out, want) {
			t.Errorf("%v: exit code %d, want %d and %q in\n%s", args, got, code, want, out)
		}
		return out
	}
	plan := []string{"plan", "--live", "--fleets", file, "--fleet", "tools", "--image"}
	if out := says(0, "tools  in cn-hangzhou of account 2000000000000002", "check", file, "--live"); !strings.Contains(out, "2 desktops") || !strings.Contains(out, "40 desktops") {
		t.Errorf("got\n%s", out)
	}
	says(0, "image m-old over fleet office in cn-hangzhou\n", "plan", "--live", "--fleets", file, "--fleet", "office", "--image", "m-old")
	says(0, "image m-tools over fleet tools in cn-hangzhou of account 2000000000000002", append(plan, "m-tools")...)
	says(1, "ECD lists no image m-new in cn-hangzhou", append(plan, "m-new")...)
	s.cloud.Roles.Change("acs:ram::2000000000000002:role/regild-member", func(r *sts.Role) { r.Trusts = []string{"9000000000000009"} })
	says(1, "account tools (2000000000000002) can be read by whom its role trusts", append(plan, "m-tools")...)
}

// What is asked for once more is asked for in the same account.
func TestARetryIsForTheAccountOfItsRequest(t *testing.T) {
	s := newSite(t)
	dir := t.TempDir()
	store, err := journal.Open("file://"+dir, journal.Options{})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	lines, err := rollout.Encode([]rollout.Record{
		{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r1", Desktops: []string{"ecd-pc01"},
			Spec: desktop.Spec{AccountID: "2000000000000002", RegionID: "cn-hangzhou", ImageID: "m-tools"}}},
		{Kind: rollout.KindSettled, At: at, Outcomes: []rollout.Group{{Status: events.StatusFailed, Code: "RebuildTimeout", Desktops: []string{"ecd-pc01"}}}},
		{Kind: rollout.KindClosed, At: at, Digest: "sha256:0"},
	})
	if err == nil {
		_, err = store.Append(t.Context(), journal.Key("request", "r1"), 0, lines)
	}
	if err != nil {
		t.Fatal(err)
	}
	s.cloud.MNS.CreateQueue("requests", mns.QueueAttributes{})
	for name, value := range map[string]string{"REGILD_JOURNAL": "file://" + dir, "REGILD_ACCOUNT": ownAccount, "REGILD_REQUEST_QUEUE": "requests"} {
		s.env[name] = value
	}
	for _, args := range [][]string{
		{"request", "retry", "r1", "--yes", "--no-wait"},
		{"request", "send", "ecd-pc01", "--image", "m-tools", "--of-account", "2000000000000002", "--yes", "--no-wait"},
	} {
		out, code := s.regildPlain(args...)
		if code != 0 || !strings.Contains(out, "1 desktop in cn-hangzhou of account 2000000000000002") {
			t.Errorf("%v: exit code %d\n%s", args, code, out)
		}
	}
	got := s.cloud.MNS.Receive(t.Context(), "requests", 16, 0)
	for _, m := range got {
		if !strings.Contains(string(m.Body), `"accountId":"2000000000000002"`) {
			t.Errorf("got %s, want a request for that account", m.Body)
		}
	}
	if len(got) != 2 {
		t.Errorf("got %d messages", len(got))
	}
}
