package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/internal/clock"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/journal"
)

// openJournal opens the journal that a URL names, with the credentials of the
// environment, which a directory does not need. region and endpoint are where its
// bucket is.
func openJournal(w world, url, region, endpoint string) (journal.Store, error) {
	store, err := journal.Open(url, journal.Options{Region: region, OSSEndpoint: endpoint, Keys: w.keys})
	if err != nil && !strings.Contains(url, "://") {
		return nil, fmt.Errorf("%w (is a file:///dir meant?)", err)
	}
	return store, err
}

// env returns a variable of the environment; "" it is not set.
func (w world) env(name string) string {
	v, _ := w.lookup(name)
	return v
}

// keys returns the credentials of the environment.
func (w world) keys(context.Context) (credentials.Keys, error) {
	k := credentials.Keys{ID: w.env("ALIBABA_CLOUD_ACCESS_KEY_ID"), Secret: w.env("ALIBABA_CLOUD_ACCESS_KEY_SECRET"),
		Token: w.env("ALIBABA_CLOUD_SECURITY_TOKEN")}
	if !k.Complete() {
		return credentials.Keys{}, fmt.Errorf("there are no credentials: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")
	}
	return k, nil
}

// clock returns the clock of the function: this machine's, or that of the local cloud that
// REGILD_CLOCK names, as long as it is there.
func (w world) clock() func() time.Time {
	now, err := clock.Of(w.env("REGILD_CLOCK"))
	if err != nil {
		return time.Now
	}
	return now
}
