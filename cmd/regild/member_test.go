package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/regild/regild/internal/envfile"
	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/localcloud/fc"
)

const member = "2000000000000002"

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
