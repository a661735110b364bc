// Package dashboard is a small web server that shows what a journal knows:
// fleets, what is under way, history, and the report of each rollout and
// request, kept up to date while somebody looks.
//
// Its rules:
//
//   - It only reads, unless it is given a Control to ask with.
//   - It answers on loopback only, unless it has a token; and controls always
//     want the token, since other people may be logged in on the same machine.
//   - Every page carries a policy that allows its own script and style and no
//     others, no frame around it, and no request to anywhere else.
//   - On loopback a request must name a loopback host, so that no web site can
//     reach it by a name of its own (DNS rebinding). What changes something must
//     come from a page of this server (the browser says so), and carry a secret
//     that only such a page has.
//   - Every input has a bound, and every wait has a limit.
//
// The files: dashboard.go has the settings and the loop, server.go the doors,
// handlers.go the pages, index.go what is known of the journal, board.go the
// first page, hub.go who is told of changes.
package dashboard

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/page"
)

// Config says what a dashboard shows, and to whom.
type Config struct {
	Journal Journal // required
	Name    string  // of the journal, for people; no secret in it
	Fleets  fleet.Fleets
	Lang    page.Lang
	Zone    *time.Location
	Version string
	// Every is how long to wait between two looks at the journal: 2 seconds if 0,
	// and not less than 100 milliseconds.
	Every time.Duration
	// Control sends a control message to the function and returns the message's
	// id. nil: nothing can be asked for. Its errors are shown.
	Control func(context.Context, events.Control) (id string, err error)
	// Token has to be shown by whoever looks. "" is possible on loopback, and
	// without Control. At least MinToken characters otherwise.
	Token string
	// Now is the clock; time.Now if nil.
	Now func() time.Time
}

// MinToken is how many characters a token has at least: it is what stands
// between a network and the fleet.
const MinToken = 20

// defaultEvery is how often the journal is looked at.
const (
	defaultEvery = 2 * time.Second
	leastEvery   = 100 * time.Millisecond
)

// A Dashboard serves pages. Make one with New.
type Dashboard struct {
	Config
	index    *index
	hub      *hub
	csrf     string
	sessions sessions
	loopback bool // it listens there only: hosts are checked
	ended    chan struct{}
	end      sync.Once
}

// New checks the settings. loopback says that it will listen on a loopback
// address only.
func New(c Config, loopback bool) (*Dashboard, error) {
	var faults []error
	if c.Journal == nil {
		faults = append(faults, errors.New("no journal (Config.Journal)"))
	}
	if c.Every == 0 {
		c.Every = defaultEvery
	}
	if c.Every < leastEvery {
		faults = append(faults, fmt.Errorf("a look at the journal every %s is too often; take %s or more", c.Every, leastEvery))
	}
	switch {
	case c.Token == "" && !loopback:
		faults = append(faults, errors.New("a dashboard that others can reach needs a token"))
	case c.Token == "" && c.Control != nil:
		faults = append(faults, errors.New("a dashboard that can send controls needs a token"))
	case c.Token != "" && len(c.Token) < MinToken:
		faults = append(faults, fmt.Errorf("the token has %d characters; take %d or more", len(c.Token), MinToken))
	}
	if len(faults) > 0 {
		return nil, fmt.Errorf("starting the dashboard: %w", errors.Join(faults...))
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Zone == nil {
		c.Zone = time.UTC
	}
	d := &Dashboard{Config: c, hub: newHub(), csrf: rand.Text(), sessions: newSessions(), loopback: loopback, ended: make(chan struct{})}
	d.index = newIndex(c.Journal, d.hub.tell)
	return d, nil
}

// Look looks at the journal again and again until ctx ends.
func (d *Dashboard) Look(ctx context.Context) {
	ticker := time.NewTicker(d.Every)
	defer ticker.Stop()
	for {
		d.index.look(ctx)
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Limits of the server. A page of 20,000 desktops is 2 MB.
const (
	headerLimit   = 5 * time.Second
	writeLimit    = 60 * time.Second
	idleLimit     = 2 * time.Minute
	shutdownLimit = 500 * time.Millisecond // a connection that was only opened is waited for
	maxHeader     = 16 << 10
	maxForm       = 16 << 10
)

// Serve answers on the listener until ctx ends, and looks at the journal
// meanwhile. It closes the listener.
func (d *Dashboard) Serve(ctx context.Context, l net.Listener) error {
	ctx, cancel := context.WithCancel(ctx)
	server := &http.Server{Handler: d.Handler(), ReadHeaderTimeout: headerLimit, ReadTimeout: headerLimit, WriteTimeout: writeLimit,
		IdleTimeout: idleLimit, MaxHeaderBytes: maxHeader}
	var wg sync.WaitGroup
	wg.Go(func() { d.Look(ctx) })
	wg.Go(func() {
		<-ctx.Done()
		d.end.Do(func() { close(d.ended) }) // pages that listen do not end by themselves
		late, stop := context.WithTimeout(context.WithoutCancel(ctx), shutdownLimit)
		defer stop()
		if server.Shutdown(late) != nil {
			_ = server.Close()
		}
	})
	err := server.Serve(l)
	cancel()
	wg.Wait()
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving the dashboard: %w", err)
}
