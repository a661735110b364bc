package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/sts"
)

const accountsFile = `
accounts:
  - {name: tools, id: "2000000000000002", role: regild-member, externalId: tools-7, regions: [cn-hangzhou]}
  - {name: lab, id: "3000000000000003", role: regild-member, regions: [cn-hangzhou]}
fleets:
  - {name: own, region: cn-hangzhou, images: [w], select: all}
  - {name: tools, account: tools, region: cn-hangzhou, images: [w], select: all}
  - {name: lab, account: lab, region: cn-hangzhou, images: [w], select: all}
`

// accountsCloud has the same desktop in three accounts; tools trusts the function, and
// lab does not.
func accountsCloud(t *testing.T) *localcloud.Cloud {
	t.Helper()
	state := func(name string) ecd.State {
		return ecd.State{
			Images:   []ecd.Image{{ID: "m-old0000000000000001", RegionID: "cn-hangzhou"}},
			Desktops: []ecd.Desktop{{ID: "ecd-small00000000001", OfficeSiteID: name, RegionID: "cn-hangzhou", ImageID: "m-old0000000000000001"}},
		}
	}
	role := sts.Role{Name: "regild-member", Trusts: []string{sts.ARN("1234567890123456", "regild-function")}, ExternalID: "tools-7"}
	c, err := localcloud.Start(t.Context(), localcloud.Options{Clock: clock.New(time.Now(), 0), State: localcloud.State{State: state("own"), Accounts: []localcloud.Account{
		{ID: "2000000000000002", Roles: []sts.Role{role}, State: state("tools")},
		{ID: "3000000000000003", Roles: []sts.Role{{Name: "regild-member", Trusts: []string{"9000000000000009"}}}, State: state("lab")},
	}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// wiredMembers are the clients that the function makes against a cloud.
func wiredMembers(t *testing.T, c *localcloud.Cloud, calls *[]string) (fleet.Fleets, members, context.Context) {
	t.Helper()
	f := &function{}
	f.conf.STSEndpoint, f.conf.ECDEndpoint, f.conf.RebuildConcurrency = c.ControlURL, c.ECDURL, 4
	var err error
	if f.fleets, err = fleet.Parse("fleets.yaml", []byte(accountsFile)); err != nil {
		t.Fatal(err)
	}
	m, err := f.members(identity{"1234567890123456", "cn-hangzhou", "regild"}, c.Clock.Now, f.leases(nil), countAttempts(func(call string) { *calls = append(*calls, call) }))
	if err != nil {
		t.Fatal(err)
	}
	return f.fleets, m, credentials.With(t.Context(), credentials.Keys(c.Keys()))
}

func TestEachAccountIsCalledWithItsOwnRole(t *testing.T) {
	cloud := accountsCloud(t)
	var calls []string
	fleets, m, ctx := wiredMembers(t, cloud, &calls)
	services := func(name string) desktopReader {
		i := slices.IndexFunc(fleets, func(f fleet.Fleet) bool { return f.Name == name })
		return m.services(fleets[i].Account).ECD
	}
	list, err := services("tools").Desktops(ctx, "cn-hangzhou", []string{"ecd-small00000000001"})
	if err != nil || len(list) != 1 || list[0].OfficeSiteID != "tools" {
		t.Fatalf("got %+v (%v), want the desktop of tools", list, err)
	}
	_, err = services("lab").Desktops(ctx, "cn-hangzhou", []string{"ecd-small00000000001"})
	e, ok := errors.AsType[*desktop.CallError](err)
	if !ok || e.Call != "AssumeRole" || e.Delivery != desktop.Forbidden || e.Code != "NoPermission" || !strings.Contains(e.Message, "account lab (3000000000000003)") {
		t.Errorf("got %v, want that the role of lab cannot be assumed", err)
	}
	if want := []string{"AssumeRole", "DescribeDesktops", "AssumeRole"}; !slices.Equal(only(calls, want), want) {
		t.Errorf("got the calls %v, want %v", calls, want)
	}
}

// The keys of an hour end in the middle: by the cloud's clock, and before their time.
func TestCredentialsThatEndInTheMiddleAreReplaced(t *testing.T) {
	cloud := accountsCloud(t)
	var calls []string
	fleets, m, ctx := wiredMembers(t, cloud, &calls)
	tools := m.services(fleets[1].Account).ECD
	read := func(what string, assumed int) {
		t.Helper()
		list, err := tools.Desktops(ctx, "cn-hangzhou", []string{"ecd-small00000000001"})
		if n := len(only(calls, []string{"AssumeRole"})); err != nil || len(list) != 1 || n != assumed {
			t.Errorf("%s: got %d desktops (%v) after the role was assumed %d times, want it %d times", what, len(list), err, n, assumed)
		}
	}
	read("at first", 1)
	cloud.Clock.Advance(54 * time.Minute)
	read("six minutes before their end", 1)
	cloud.Clock.Advance(2 * time.Minute)
	read("four minutes before their end", 2)
	cloud.Faults.Add(fault.Rule{Service: "ecd", Operation: "DescribeDesktops", Kind: fault.Error, Status: 400, Code: "InvalidSecurityToken.Expired", Times: 1})
	read("when ECD says that they have ended", 3)
	got, err := tools.Rebuild(ctx, desktop.Batch{Spec: desktop.Spec{AccountID: "2000000000000002", RegionID: "cn-hangzhou", ImageID: "m-old0000000000000001"}, IDs: []string{"ecd-small00000000001"}})
	if err != nil || len(got.Results) != 1 {
		t.Errorf("got %+v (%v)", got, err)
	}
	for _, w := range cloud.Wipes() {
		if w.AccountID != "2000000000000002" {
			t.Errorf("got the wipe %+v, want one in tools alone", w)
		}
	}
}

func TestTheFunctionsOwnAccountIsNoMember(t *testing.T) {
	f := &function{}
	var err error
	if f.fleets, err = fleet.Parse("fleets.yaml", []byte(accountsFile)); err != nil {
		t.Fatal(err)
	}
	_, err = f.members(identity{"2000000000000002", "cn-hangzhou", "regild"}, time.Now, f.leases(nil), nil)
	if err == nil || !strings.Contains(err.Error(), "account tools (2000000000000002) is the function's own") {
		t.Errorf("got %v, want that it is told", err)
	}
}

func TestTheNameOfASessionIsWhatSTSTakes(t *testing.T) {
	for function, want := range map[string]string{
		"regild": "regild-regild", "": "regild", "a b/c": "regild-a-b-c", "prod_1.x@y": "regild-prod_1.x@y",
		strings.Repeat("f", 64): "regild-" + strings.Repeat("f", 25), "桌面": "regild",
	} {
		if got := sessionName(function); got != want {
			t.Errorf("%q: got %q, want %q", function, got, want)
		}
	}
}

type desktopReader interface {
	Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error)
}

// only returns those of calls that are of these names.
func only(calls, names []string) []string {
	return slices.DeleteFunc(slices.Clone(calls), func(c string) bool { return !slices.Contains(names, c) })
}
