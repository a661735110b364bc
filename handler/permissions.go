package handler

import (
	"log/slog"
	"sync"

	"github.com/regild/regild/internal/desktop"
)

// permissions are what the credentials of each account were found not to allow in this
// invocation.
type permissions struct {
	log     *slog.Logger
	mu      sync.Mutex
	all     map[string]error  // by account: why nothing more is begun in it
	missing map[lack]struct{} // calls that are not allowed, and others do without
}

// A lack is a call that is not allowed in an account.
type lack struct{ account, call string }

func newPermissions(log *slog.Logger) *permissions {
	return &permissions{log: log, all: map[string]error{}, missing: map[lack]struct{}{}}
}

// stop makes sure that nothing more is begun in an account in this invocation.
func (p *permissions) stop(account string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all[account] == nil {
		p.all[account] = err
		inAccount(p.log, account).Error("stopped: the credentials do not allow it", "error", err.Error())
	}
}

// stopped says why nothing more is begun in an account, or nil.
func (p *permissions) stopped(account string) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all[account]
}

// deny notes that a call was not allowed in an account, and stops everything there if
// no rebuild is possible without it.
func (p *permissions) deny(account string, e *desktop.CallError, err error) {
	if forEverybody(e) {
		p.stop(account, err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if _, known := p.missing[lack{account, e.Call}]; known {
		return
	}
	p.missing[lack{account, e.Call}] = struct{}{}
	inAccount(p.log, account).Error("a call is not allowed", "call", e.Call, "error", err.Error())
}

// forEverybody says whether a call that was not allowed shows that nothing can be
// rebuilt in the account in this invocation: the credentials are not accepted at all, or
// cannot be had, or may not make one of the two calls that every rebuild needs. Any other
// call matters only to the fleets that use it.
func forEverybody(e *desktop.CallError) bool {
	return e.Credentials || e.Call == callAssume || e.Call == "RebuildDesktops" || e.Call == "DescribeDesktops"
}
