package acs_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/localcloud/fault"
)

func start(t *testing.T) (*localcloud.Cloud, *acs.Client) {
	t.Helper()
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{Empty: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	return cloud, client(t, cloud, credentials.Keys(cloud.Keys()))
}

func client(t *testing.T, cloud *localcloud.Cloud, keys credentials.Keys) *acs.Client {
	t.Helper()
	c, err := acs.New(acs.Config{Region: "cn-hangzhou", AccountID: "1234567890123456", Endpoint: cloud.ControlURL,
		Keys:    func(context.Context) (credentials.Keys, error) { return keys, nil },
		Backoff: []time.Duration{time.Microsecond, time.Microsecond}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestConcurrencyIsReadAndSet(t *testing.T) {
	cloud, c := start(t)
	cloud.Control.Change(func(a *control.Account) { a.Functions["regild"] = &control.Function{} })
	if n, set, err := c.Concurrency(t.Context(), "regild"); set || err != nil {
		t.Errorf("got %d, %v, %v, want none set", n, set, err)
	}
	for _, want := range []int{0, 10} {
		if err := c.SetConcurrency(t.Context(), "regild", want); err != nil {
			t.Fatal(err)
		}
		if n, set, err := c.Concurrency(t.Context(), "regild"); n != want || !set || err != nil {
			t.Errorf("got %d, %v, %v, want %d", n, set, err, want)
		}
	}
	if _, _, err := c.Concurrency(t.Context(), "other"); acs.Code(err) != "FunctionNotFound" || !acs.NotThere(err) {
		t.Errorf("got %v, want FunctionNotFound", err)
	}
}

func TestTheUsualFaultsAreSaidInASentence(t *testing.T) {
	cloud, good := start(t)
	keys := credentials.Keys(cloud.Keys())
	unknown, wrong, stale := keys, keys, keys
	unknown.ID, wrong.Secret, stale.Token = "LTAI-nobody", "not it", "not it"
	for want, c := range map[string]*acs.Client{
		"the access key is not known":      client(t, cloud, unknown),
		"the signature is wrong":           client(t, cloud, wrong),
		"the security token is wrong":      client(t, cloud, stale),
		"set ALIBABA_CLOUD_ACCESS_KEY_ID ": client(t, cloud, credentials.Keys{}),
	} {
		_, err := c.Identity(t.Context())
		if err == nil || !strings.Contains(acs.Sentence(err), want) || strings.Contains(err.Error(), keys.Secret) {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	cloud.Control.Change(func(a *control.Account) { a.Denied["fc:GetConcurrencyConfig"] = true })
	_, _, err := good.Concurrency(t.Context(), "regild")
	if !acs.Denied(err) || !strings.Contains(acs.Sentence(err), "may not call GetConcurrencyConfig") {
		t.Errorf("got %v", err)
	}
	_ = cloud.Close()
	if _, err := good.Identity(t.Context()); err == nil || !strings.Contains(acs.Sentence(err), "could not be reached") {
		t.Errorf("got %v", err)
	}
}

func TestWhatChangesSomethingIsNotSentAgainOnAnUnknownFate(t *testing.T) {
	cloud, c := start(t)
	cloud.Control.Change(func(a *control.Account) { a.Functions["regild"] = &control.Function{} })
	calls := func(name string) int { return cloud.Faults.Count("control", name) }
	cloud.Faults.Add(fault.Rule{Service: "control", Kind: fault.CloseBefore})
	_ = c.SetConcurrency(t.Context(), "regild", 0)
	if _, err := c.UpdateStack(t.Context(), "x", "{}", nil, ""); err == nil || calls("UpdateStack") != 1 {
		t.Errorf("got %v after %d calls, want a fault after one", err, calls("UpdateStack"))
	}
	if _, err := c.Identity(t.Context()); err == nil || calls("GetCallerIdentity") != 3 {
		t.Errorf("got %v after %d calls, want three", err, calls("GetCallerIdentity"))
	}
}

func TestAClientNamesEveryFaultOfItsConfig(t *testing.T) {
	_, err := acs.New(acs.Config{Region: "Hangzhou", Endpoint: "http://example.com"})
	for _, want := range []string{`"Hangzhou" is not a region`, "no source of credentials", "http is for loopback only"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to name %s", err, want)
		}
	}
	if acs.Sentence(errors.New("plain")) != "plain" {
		t.Error("another error must stay as it is")
	}
}
