package handler

import (
	"log/slog"
	"sync"

	"github.com/regild/regild/internal/desktop"
)

// permissions are what the credentials were found not to allow in this invocation.
type permissions struct {
	log     *slog.Logger
	mu      sync.Mutex
	all     error           // why nothing more is begun; nil: it may be
	missing map[string]bool // calls that are not allowed, and others do without
}

// stop makes sure that nothing more is begun in this invocation.
func (p *permissions) stop(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.all == nil {
		p.all = err
		p.log.Error("stopped: the credentials do not allow it", "error", err.Error())
	}
}

// stopped says why nothing more is begun, or nil.
func (p *permissions) stopped() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.all
}

// deny notes that a call was not allowed, and stops everything if no rebuild is
// possible without it.
func (p *permissions) deny(e *desktop.CallError, err error) {
	if forEverybody(e) {
		p.stop(err)
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.missing[e.Call] {
		return
	}
	if p.missing == nil {
		p.missing = map[string]bool{}
	}
	p.missing[e.Call] = true
	p.log.Error("a call is not allowed", "call", e.Call, "error", err.Error())
}

// forEverybody says whether a call that was not allowed shows that nothing can be
// rebuilt in this invocation: the credentials are not accepted at all, or may not make
// one of the two calls that every rebuild needs. Any other call matters only to the
// fleets that use it.
func forEverybody(e *desktop.CallError) bool {
	return e.Credentials || e.Call == "RebuildDesktops" || e.Call == "DescribeDesktops"
}
