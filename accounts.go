package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/ecd"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/pace"
)

// members are the accounts of fleets.yaml beside the function's own. Each has a client
// of ECD, which signs with the credentials of the account's role.
type members struct {
	byID    map[string]*ecd.Client
	renew   []func() // has the clients make new connections
	release []func(context.Context)
}

// assumedFor is how long the credentials of a role last, in seconds: what a role allows
// if nothing else is set for it.
const assumedFor = 3600

// members makes the clients of the accounts, which call nobody before they are needed.
func (f *function) members(who identity, now func() time.Time, lease func(account string) func(region string) *pace.Lease,
	observe func(pace.Call),
) (members, error) {
	m := members{byID: map[string]*ecd.Client{}}
	accounts := f.fleets.Accounts()
	if len(accounts) == 0 {
		return m, nil
	}
	sts, err := acs.New(acs.Config{Region: who.region, Endpoint: f.conf.STSEndpoint, Keys: credentials.From, Observe: observe, Timeout: 5 * time.Second})
	if err != nil {
		return m, fmt.Errorf("REGILD_STS_ENDPOINT: %w", err)
	}
	m.renew = append(m.renew, sts.Renew)
	var faults []error
	for _, a := range accounts {
		if a.ID == who.account {
			faults = append(faults, fmt.Errorf("%s: account %s (%s) is the function's own; leave it out of accounts, and account out of its fleets",
				f.conf.Fleets, a.Name, a.ID))
			continue
		}
		role := acs.NewAssumed(sts, fmt.Sprintf("account %s (%s)", a.Name, a.ID),
			acs.AssumeRole{ARN: a.RoleARN(), ExternalID: a.ExternalID, Session: sessionName(who.name), Policy: ecd.SessionPolicy(), Seconds: assumedFor}, now)
		c, err := ecd.New(ecd.Config{Endpoint: f.conf.ECDEndpoint, Regions: a.Regions, Keys: role.Keys, Rejected: role.Reject,
			Concurrency: f.conf.RebuildConcurrency, Lease: lease(a.ID), Observe: observe})
		if err != nil {
			faults = append(faults, fmt.Errorf("account %s: %w", a.Name, err))
			continue
		}
		m.byID[a.ID], m.renew, m.release = c, append(m.renew, c.Renew), append(m.release, c.ReleaseLeases)
	}
	return m, errors.Join(faults...)
}

// services are ECD in an account.
func (m members) services(a fleet.Account) handler.Services {
	c := m.byID[a.ID]
	return handler.Services{ECD: c, Snapshots: c, Notifier: c, Census: c, Saver: c}
}

// maxSession is how long the name of a session may be. The vendor's pages say 32 and 64.
const maxSession = 32

// sessionName is how ActionTrail of an account names those who call there with its role:
// by function, since all requests share the credentials.
func sessionName(function string) string {
	name := strings.Map(func(r rune) rune {
		if strings.ContainsRune(".@_-", r) || r >= '0' && r <= '9' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z' {
			return r
		}
		return '-'
	}, "regild-"+function)
	return strings.TrimRight(name[:min(len(name), maxSession)], "-")
}
