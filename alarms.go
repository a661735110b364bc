package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/pace"
)

// usesAlarms says whether a fleet names alarm rules. Where none does, nothing that
// reads them is made.
func usesAlarms(fleets fleet.Fleets) bool {
	for i := range fleets {
		if len(fleets[i].Strategy.Check.Alarms) > 0 {
			return true
		}
	}
	return false
}

// alarms reads CloudMonitor's alarm rules, by a client for each region, which is made
// when it is asked for first.
type alarms struct {
	endpoint string
	observe  func(pace.Call)

	mu       sync.Mutex
	byRegion map[string]*acs.Client
}

func (a *alarms) Alarms(ctx context.Context, region, name string) ([]desktop.Alarm, error) {
	c, err := a.client(region)
	if err != nil {
		return nil, fmt.Errorf("asking CloudMonitor in %s: %w", region, err)
	}
	return c.Alarms(ctx, name)
}

func (a *alarms) client(region string) (*acs.Client, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if c := a.byRegion[region]; c != nil {
		return c, nil
	}
	c, err := acs.New(acs.Config{Region: region, Endpoint: a.endpoint, Keys: credentials.From, Observe: a.observe})
	if err != nil {
		return nil, err
	}
	a.byRegion[region] = c
	return c, nil
}

// renew has every call from now on use a new connection.
func (a *alarms) renew() {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, c := range a.byRegion {
		c.Renew()
	}
}
