package acs_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/sts"
)

func TestARoleOfAnotherAccountIsTaken(t *testing.T) {
	const account = "2000000000000002"
	still := 0.0
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{Empty: true, State: localcloud.State{
		Clock:    localcloud.Clock{Start: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), Rate: &still},
		Accounts: []localcloud.Account{{ID: account, Roles: []sts.Role{{Name: "regild-member", ExternalID: "x-1"}}}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	c := client(t, cloud, credentials.Keys(cloud.Keys()))
	ask := acs.AssumeRole{ARN: sts.ARN(account, "regild-member"), Session: "regild-regild", ExternalID: "x-1", Seconds: 900,
		Policy: `{"Version":"1","Statement":[{"Effect":"Allow","Action":"ecd:DescribeDesktops","Resource":"*"}]}`}
	cloud.Faults.Add(fault.Rule{Service: "control", Operation: "AssumeRole", Kind: fault.CloseAfter, Times: 1})
	keys, ends, err := c.AssumeRole(t.Context(), ask)
	if err != nil || !ends.Equal(cloud.Clock.Now().Add(15*time.Minute)) {
		t.Fatalf("got an end at %v, %v", ends, err)
	}
	if who, err := client(t, cloud, keys).Identity(t.Context()); err != nil || who.AccountID != account {
		t.Errorf("the credentials are of %+v, %v", who, err)
	}
	for want, change := range map[string]func(*acs.AssumeRole){
		"NoPermission":        func(a *acs.AssumeRole) { a.ExternalID = "" },
		"EntityNotExist.Role": func(a *acs.AssumeRole) { a.ARN += "x" },
	} {
		other := ask
		change(&other)
		if keys, _, err := c.AssumeRole(t.Context(), other); acs.Code(err) != want || keys.Complete() {
			t.Errorf("got %v, want %s", err, want)
		}
	}
}

// An answer without a key, without a token or without an end is none.
func TestCredentialsThatAreNotCompleteAreNotTaken(t *testing.T) {
	for _, lacks := range []string{"AccessKeyId", "AccessKeySecret", "SecurityToken", "Expiration"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			text := `{"RequestId":"1","Credentials":{"AccessKeyId":"STS.1","AccessKeySecret":"s3cret","SecurityToken":"t0ken","Expiration":"2026-11-23T09:00:00Z"}}`
			_, _ = fmt.Fprint(w, strings.Replace(text, lacks, "Not"+lacks, 1))
		}))
		t.Cleanup(server.Close)
		c, err := acs.New(acs.Config{Region: "cn-hangzhou", Endpoint: server.URL,
			Keys: func(context.Context) (credentials.Keys, error) { return credentials.Keys{ID: "a", Secret: "b"}, nil }})
		if err != nil {
			t.Fatal(err)
		}
		keys, _, err := c.AssumeRole(t.Context(), acs.AssumeRole{ARN: "acs:ram::2:role/x", Session: "regild", Seconds: 900})
		if desktop.DeliveryOf(err) != desktop.Unknown || keys.Complete() || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("without %s: got %v", lacks, err)
		}
	}
}
