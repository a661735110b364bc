package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/journal"
)

// journalFlags say where a journal is, beside its URL.
type journalFlags struct{ region, endpoint string }

// openJournal opens the journal that a URL names, with the credentials of the
// environment, which a directory does not need.
func openJournal(url string, f journalFlags, lookup func(string) (string, bool)) (journal.Store, error) {
	store, err := journal.Open(url, journal.Options{
		Region: f.region, OSSEndpoint: f.endpoint,
		Keys: func(context.Context) (credentials.Keys, error) { return keysOf(lookup) },
	})
	if err != nil && !strings.Contains(url, "://") {
		return nil, fmt.Errorf("%w (is a file:///dir meant?)", err)
	}
	return store, err
}

// keysOf returns the credentials of the environment.
func keysOf(lookup func(string) (string, bool)) (credentials.Keys, error) {
	env := func(name string) string { v, _ := lookup(name); return v }
	k := credentials.Keys{ID: env("ALIBABA_CLOUD_ACCESS_KEY_ID"), Secret: env("ALIBABA_CLOUD_ACCESS_KEY_SECRET"), Token: env("ALIBABA_CLOUD_SECURITY_TOKEN")}
	if !k.Complete() {
		return credentials.Keys{}, fmt.Errorf("there are no credentials: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")
	}
	return k, nil
}
