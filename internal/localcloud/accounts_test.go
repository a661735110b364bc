package localcloud_test

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/tea/dara"
	"github.com/alibabacloud-go/tea/tea"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/sts"
)

const (
	ownAccount  = "1234567890123456"
	hrAccount   = "2000000000000002"
	labAccount  = "3000000000000003"
	sharedID    = "ecd-small00000000001" // of a desktop in every account
	sharedImage = "m-old0000000000000001"
)

// threeAccounts is a cloud with the same desktop in each.
func threeAccounts() localcloud.State {
	s := small()
	for id, role := range map[string]sts.Role{
		hrAccount: {
			Name: "regild-member", Trusts: []string{sts.ARN(ownAccount, "regild-function")}, ExternalID: "hr-7",
			MaxSession: 2 * time.Hour, Allows: []string{"ecd:Describe*", "ecd:RebuildDesktops"},
		},
		labAccount: {Name: "regild-member", Trusts: []string{hrAccount}},
	} {
		s.Accounts = append(s.Accounts, localcloud.Account{ID: id, Roles: []sts.Role{role}, State: s.State})
	}
	return s
}

// call makes one call with the vendor's client and returns the answer's body.
func call(t *testing.T, url string, keys fc.Keys, action, version string, query map[string]string) (map[string]any, error) {
	t.Helper()
	client, err := openapi.NewClient(&openapi.Config{
		AccessKeyId: &keys.ID, AccessKeySecret: &keys.Secret, SecurityToken: &keys.Token, Protocol: dara.String("HTTP"),
		Endpoint: dara.String(strings.TrimPrefix(url, "http://")), RegionId: dara.String("cn-hangzhou"), HttpClient: plain{},
	})
	if err != nil {
		t.Fatal(err)
	}
	request := &openapi.OpenApiRequest{Query: map[string]*string{}}
	for name, value := range query {
		request.Query[name] = &value
	}
	answer, err := client.CallApi(&openapi.Params{
		Action: &action, Version: &version, Protocol: dara.String("HTTP"), Pathname: dara.String("/"), Method: dara.String("POST"),
		AuthType: dara.String("AK"), Style: dara.String("RPC"), ReqBodyType: dara.String("formData"), BodyType: dara.String("json"),
	}, request, &dara.RuntimeOptions{})
	body, _ := answer["body"].(map[string]any)
	return body, err
}

// plain sends the SDK's requests without its own transport.
type plain struct{}

func (plain) Call(r *http.Request, _ *http.Transport) (*http.Response, error) {
	return http.DefaultClient.Do(r)
}

// codeOf is the code of a call that was refused, or "".
func codeOf(err error) string {
	if e, ok := errors.AsType[*tea.SDKError](err); ok {
		return tea.StringValue(e.Code)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}

func assume(t *testing.T, c *localcloud.Cloud, keys fc.Keys, query map[string]string) (fc.Keys, time.Time, error) {
	t.Helper()
	body, err := call(t, c.ControlURL, keys, "AssumeRole", "2015-04-01", query)
	if err != nil {
		return fc.Keys{}, time.Time{}, err
	}
	given, _ := body["Credentials"].(map[string]any)
	ends, err := time.Parse(time.RFC3339, fmt.Sprint(given["Expiration"]))
	if err != nil {
		t.Fatalf("AssumeRole answered %v: %v", body, err)
	}
	return fc.Keys{ID: fmt.Sprint(given["AccessKeyId"]), Secret: fmt.Sprint(given["AccessKeySecret"]), Token: fmt.Sprint(given["SecurityToken"])}, ends, nil
}

// toHR are the parameters by which the role of the account hr is assumed; change
// names those that are other, "" for none.
func toHR(change ...string) map[string]string {
	out := map[string]string{"RoleArn": sts.ARN(hrAccount, "regild-member"), "RoleSessionName": "regild-work-1", "ExternalId": "hr-7", "DurationSeconds": "900"}
	for i := 0; i < len(change); i += 2 {
		out[change[i]] = change[i+1]
		if change[i+1] == "" {
			delete(out, change[i])
		}
	}
	return out
}

const (
	mayDescribe = `{"Version":"1","Statement":[{"Effect":"Allow","Action":"ecd:DescribeDesktops","Resource":"*"}]}`
	mayNot      = `{"Version":"1","Statement":[{"Effect":"Allow","Action":["ecd:*"],"Resource":"*"},{"Effect":"Deny","Action":"ecd:rebuild*","Resource":"*"}]}`
)

func TestWhoMayAssumeARole(t *testing.T) {
	c := start(t, localcloud.Options{State: threeAccounts()})
	for _, x := range []struct {
		name  string
		query map[string]string
		want  string
	}{
		{"who is trusted and gives the external id", toHR(), ""},
		{"whatever the case of the role's name", toHR("RoleArn", sts.ARN(hrAccount, "Regild-Member")), ""},
		{"without a time", toHR("DurationSeconds", ""), ""},
		{"up to what the role allows", toHR("DurationSeconds", "7200"), ""},
		{"with a session policy", toHR("Policy", mayDescribe), ""},
		{"not without the external id", toHR("ExternalId", ""), "NoPermission"},
		{"not with another external id", toHR("ExternalId", "hr-8"), "NoPermission"},
		{"not who is not trusted", toHR("RoleArn", sts.ARN(labAccount, "regild-member")), "NoPermission"},
		{"no role that is not there", toHR("RoleArn", sts.ARN(hrAccount, "other")), "EntityNotExist.Role"},
		{"nothing that is no role", toHR("RoleArn", "acs:ram::2:user/regild"), "InvalidParameter.RoleArn"},
		{"not without a role", toHR("RoleArn", ""), "MissingRoleArn"},
		{"not without a name", toHR("RoleSessionName", ""), "MissingRoleSessionName"},
		{"not with a name of one letter", toHR("RoleSessionName", "a"), "InvalidParameter.RoleSessionName"},
		{"not with a name of 33 letters", toHR("RoleSessionName", strings.Repeat("a", 33)), "InvalidParameter.RoleSessionName"},
		{"not with a slash in the name", toHR("RoleSessionName", "regild/office"), "InvalidParameter.RoleSessionName"},
		{"not for less than 15 minutes", toHR("DurationSeconds", "899"), "InvalidParameter.DurationSeconds"},
		{"not for longer than the role allows", toHR("DurationSeconds", "7201"), "InvalidParameter.DurationSeconds"},
		{"not with an external id of one letter", toHR("ExternalId", "x"), "InvalidParameter.ExternalId"},
		{"not with a policy that is none", toHR("Policy", `{"Version":"1"}`), "InvalidParameter.PolicyGrammar"},
		{"not with a policy without a resource", toHR("Policy", strings.Replace(mayDescribe, `,"Resource":"*"`, "", 1)), "InvalidParameter.PolicyGrammar"},
		{"not with a long policy", toHR("Policy", mayDescribe+strings.Repeat(" ", 1024)), "InvalidParameter.Policy"},
	} {
		t.Run(x.name, func(t *testing.T) {
			if _, _, err := assume(t, c, c.Keys(), x.query); codeOf(err) != x.want {
				t.Errorf("got %q, want %q", codeOf(err), x.want)
			}
		})
	}
	none := fc.Keys{ID: "nobody", Secret: "x", Token: "y"}
	if _, _, err := assume(t, c, none, toHR()); codeOf(err) != "InvalidAccessKeyId.NotFound" {
		t.Errorf("unknown keys got %q", codeOf(err))
	}
	c.Faults.Add(fault.Rule{Service: "control", Operation: "AssumeRole", Kind: fault.Throttle, Times: 1})
	if _, _, err := assume(t, c, c.Keys(), toHR()); codeOf(err) != "Throttling.User" {
		t.Errorf("a throttled call got %q", codeOf(err))
	}
	c.Roles.Change(sts.ARN(hrAccount, "regild-member"), func(r *sts.Role) { r.Trusts = []string{labAccount} })
	if _, _, err := assume(t, c, c.Keys(), toHR()); codeOf(err) != "NoPermission" {
		t.Errorf("who is trusted no more got %q", codeOf(err))
	}
}

// A role that was assumed may assume another one, if that trusts it.
func TestARoleOfOneAccountCanBeTrustedByAnother(t *testing.T) {
	state := threeAccounts()
	for i, a := range state.Accounts {
		if a.ID == hrAccount {
			state.Accounts[i].Roles[0].Allows = []string{"sts:AssumeRole"}
		}
	}
	c := start(t, localcloud.Options{State: state})
	hr, _, err := assume(t, c, c.Keys(), toHR())
	if err != nil {
		t.Fatal(err)
	}
	lab, _, err := assume(t, c, hr, toHR("RoleArn", sts.ARN(labAccount, "regild-member"), "ExternalId", ""))
	if err != nil {
		t.Fatal(err)
	}
	who, err := call(t, c.ControlURL, lab, "GetCallerIdentity", "2015-04-01", nil)
	if err != nil || who["AccountId"] != labAccount || who["Arn"] != "acs:ram::"+labAccount+":assumed-role/regild-member/regild-work-1" {
		t.Errorf("got %v, %v", who, err)
	}
	if _, _, err := assume(t, c, lab, toHR()); codeOf(err) != "NoPermission" {
		t.Errorf("a role that may not call AssumeRole got %q", codeOf(err))
	}
	if _, err := call(t, c.ControlURL, lab, "GetRole", "2015-05-01", map[string]string{"RoleName": "regild-function"}); codeOf(err) != "NoPermission" {
		t.Errorf("a role of another account looked at the own account's roles: %q", codeOf(err))
	}
}

func describe(t *testing.T, c *localcloud.Cloud, keys fc.Keys) (map[string]any, error) {
	return call(t, c.ECDURL, keys, "DescribeDesktops", "2020-09-30", map[string]string{"RegionId": "cn-hangzhou"})
}

func rebuild(t *testing.T, c *localcloud.Cloud, keys fc.Keys) error {
	_, err := call(t, c.ECDURL, keys, "RebuildDesktops", "2020-09-30",
		map[string]string{"RegionId": "cn-hangzhou", "DesktopId.1": sharedID, "ImageId": sharedImage})
	return err
}

func TestKeysLeadToTheDesktopsOfTheirAccountAlone(t *testing.T) {
	c := start(t, localcloud.Options{State: threeAccounts()})
	c.Accounts[hrAccount].Add(ecd.Desktop{ID: "ecd-hr", RegionID: "cn-hangzhou", ImageID: sharedImage})
	hr, _, err := assume(t, c, c.Keys(), toHR())
	if err != nil {
		t.Fatal(err)
	}
	for keys, want := range map[fc.Keys]float64{c.Keys(): 1, hr: 2} {
		if got, err := describe(t, c, keys); err != nil || fmt.Sprint(got["TotalCount"]) != fmt.Sprint(want) {
			t.Errorf("got %v desktops, %v, want %v", got["TotalCount"], err, want)
		}
	}
	c.Clock.Advance(time.Minute)
	if err := rebuild(t, c, hr); err != nil {
		t.Fatal(err)
	}
	d, _ := c.ECD.Desktop(sharedID)
	other, _ := c.Accounts[hrAccount].Desktop(sharedID)
	if d.Status != ecd.Running || other.Status != ecd.Rebuilding {
		t.Errorf("the desktop is %s in the own account and %s in the other", d.Status, other.Status)
	}
	c.Clock.Advance(time.Minute)
	if err := rebuild(t, c, c.Keys()); err != nil {
		t.Fatal(err)
	}
	var wipes []ecd.Wipe
	told(t, c, "GET", "/admin/wipes", "", &wipes)
	if len(wipes) != 2 || wipes[0].AccountID != hrAccount || wipes[1].AccountID != "" || wipes[0].DesktopID != wipes[1].DesktopID {
		t.Errorf("got wipes %+v", wipes)
	}
	var shown map[string]any
	told(t, c, "GET", "/admin/desktops/ecd-hr?account="+hrAccount, "", &shown)
	if status, _ := ask(t, c, "GET", "/admin/desktops/ecd-hr", ""); status != http.StatusNotFound || shown["id"] != "ecd-hr" {
		t.Errorf("got %v, and %d in the own account", shown, status)
	}
	if status, _ := ask(t, c, "GET", "/admin/desktops?account=9", ""); status != http.StatusNotFound {
		t.Errorf("an account that is not there: got %d", status)
	}
}

func TestKeysMayCallWhatRoleAndSessionPolicyBothAllow(t *testing.T) {
	c := start(t, localcloud.Options{State: threeAccounts()})
	for policy, want := range map[string]string{"": "", mayDescribe: "Forbidden.RAM", mayNot: "Forbidden.RAM"} {
		keys, _, err := assume(t, c, c.Keys(), toHR("Policy", policy))
		if err != nil {
			t.Fatal(err)
		}
		if err := rebuild(t, c, keys); codeOf(err) != want {
			t.Errorf("with policy %q a rebuild got %q, want %q", policy, codeOf(err), want)
		}
		if _, err := describe(t, c, keys); err != nil {
			t.Errorf("with policy %q desktops could not be read: %v", policy, err)
		}
		_, err = call(t, c.ECDURL, keys, "StopDesktops", "2020-09-30", map[string]string{"RegionId": "cn-hangzhou", "DesktopId.1": sharedID})
		if codeOf(err) != "Forbidden.RAM" {
			t.Errorf("what the role does not allow got %q", codeOf(err))
		}
	}
	if len(c.Wipes()) != 1 {
		t.Errorf("got wipes %+v, want one", c.Wipes())
	}
}

func TestKeysEndByTheCloudsClock(t *testing.T) {
	c := start(t, localcloud.Options{State: threeAccounts()})
	keys, ends, err := assume(t, c, c.Keys(), toHR())
	if err != nil {
		t.Fatal(err)
	}
	if want := c.Clock.Now().Add(15 * time.Minute); !ends.Equal(want) {
		t.Errorf("they end at %v, want %v", ends, want)
	}
	c.Clock.Advance(15*time.Minute - time.Second)
	if _, err := describe(t, c, keys); err != nil {
		t.Errorf("a second before their end: %v", err)
	}
	c.Clock.Advance(time.Second)
	for _, url := range []string{c.ECDURL, c.ControlURL} {
		_, err := call(t, url, keys, "GetCallerIdentity", "2015-04-01", nil)
		if codeOf(err) != "InvalidSecurityToken.Expired" {
			t.Errorf("at their end %s answered %q", url, codeOf(err))
		}
	}
}

func TestAFaultCanMeetOneAccount(t *testing.T) {
	c := start(t, localcloud.Options{State: threeAccounts()})
	hr, _, err := assume(t, c, c.Keys(), toHR())
	if err != nil {
		t.Fatal(err)
	}
	for _, account := range []string{hrAccount, ownAccount} {
		c.Faults.Clear()
		c.Faults.Add(fault.Rule{Service: "ecd", Account: account, Kind: fault.Throttle})
		for of, keys := range map[string]fc.Keys{hrAccount: hr, ownAccount: c.Keys()} {
			want := map[bool]string{true: "Throttling.User"}[of == account]
			if _, err := describe(t, c, keys); codeOf(err) != want {
				t.Errorf("a fault of %s: %s got %q, want %q", account, of, codeOf(err), want)
			}
		}
	}
}

func TestEveryFaultOfAnAccountIsTold(t *testing.T) {
	state, err := localcloud.Parse([]byte(`
accounts:
  - id: "12"
    roles: [{name: "a b"}, {name: x, trusts: [nobody]}, {name: y, externalId: "?"}, {name: z, maxSession: 1m}, {name: w}, {name: W}]
  - {id: "1234567890123456"}
  - {id: "20001", desktops: [{id: d, regionId: nowhere, imageId: m}]}
`))
	if err != nil {
		t.Fatal(err)
	}
	_, err = localcloud.Start(t.Context(), localcloud.Options{State: state})
	for _, want := range []string{
		`"12" is not an id`, `role "a b"`, `role "x": it trusts`, `role "y": external id`, `role "z": maxSession 1m0s`,
		`role "W": it is there twice`, `"1234567890123456" is not an id`,
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	state.Accounts = state.Accounts[2:]
	_, err = localcloud.Start(t.Context(), localcloud.Options{State: state})
	if want := "account 20001: checking the state of ecd"; err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want %q in it", err, want)
	}
}
