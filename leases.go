package main

import (
	"context"
	"crypto/rand"
	"strings"
	"sync"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/pace"
)

// leases returns what makes the lease of a region of an account, or nil where there is no
// journal: instances cannot tell one another anything then.
func (f *function) leases(store *counted) func(account string) func(region string) *pace.Lease {
	if store == nil {
		return func(string) func(string) *pace.Lease { return nil }
	}
	log := &counted{store.Store, store.meter, "Lease"}
	instance, _ := f.lookup("FC_INSTANCE_ID")
	by := strings.TrimPrefix(instance+"/"+rand.Text(), "/")
	warn := func(err error) { f.log.Warn("the lease of a place cannot be had now", "error", err.Error()) }
	return func(account string) func(string) *pace.Lease {
		return func(region string) *pace.Lease {
			return pace.NewLease(log, account+"/"+region, by, leaseKey, warn)
		}
	}
}

// leaseKey names the log that says who has the lease of a place on a day.
func leaseKey(place, day string) string { return journal.Key("lease", place+"/"+day) }

// releaseLeases releases the leases that the clients have.
func (f *function) releaseLeases(ctx context.Context) {
	var wg sync.WaitGroup
	for _, release := range f.release {
		wg.Go(func() { release(ctx) })
	}
	wg.Wait()
}
