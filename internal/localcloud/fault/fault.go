// Package fault makes the local cloud misbehave on demand, and counts what it
// is asked: one HTTP middleware that every stand-in is wrapped in. A rule says
// which calls it meets and what goes wrong with them.
//
// It is for the local cloud and for tests, never for production.
package fault

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"
)

// A Kind names what goes wrong.
type Kind string

const (
	Throttle     Kind = "throttle"      // the service's own throttling answer; nothing is done
	Error        Kind = "error"         // the service's own error format with Status and Code; nothing is done
	ErrorAfter   Kind = "error-after"   // the same, though the work was done
	HTML         Kind = "html"          // a gateway's 502 page; nothing is done
	Empty        Kind = "empty"         // Status (default 500) and no body; nothing is done
	EmptyAfter   Kind = "empty-after"   // Status (default 200) and no body, though the work was done
	CloseBefore  Kind = "close-before"  // the connection is closed, nothing is done
	CloseAfter   Kind = "close-after"   // the work is done, then the connection is closed
	SlowBefore   Kind = "slow-before"   // Delay passes, or the client leaves and nothing is done
	SlowAfter    Kind = "slow-after"    // the work is done, then Delay passes before the answer
	Truncate     Kind = "truncate"      // the work is done, half of the answer is sent
	Desktop      Kind = "desktop"       // ECD only: a 200 in which Desktop carries Code and Message
	DesktopAfter Kind = "desktop-after" // ECD only: the same, though the rebuild of Desktop was started
	Missing      Kind = "missing"       // ECD only: the work is done, Desktop is left out of the results
)

// A Rule is one fault and when it strikes.
type Rule struct {
	Service   string `yaml:"service,omitempty"`   // ecd, mns, oss; "" meets all
	Operation string `yaml:"operation,omitempty"` // such as RebuildDesktops, PublishMessage; "" meets all
	Account   string `yaml:"account,omitempty"`   // ECD only: whose keys the call is signed with; "" meets all
	Kind      Kind   `yaml:"kind"`

	Skip        int     `yaml:"skip,omitempty"`        // calls to let pass first
	Times       int     `yaml:"times,omitempty"`       // strikes before the rule is spent; 0: never spent
	Probability float64 `yaml:"probability,omitempty"` // 0 means 1

	Status  int           `yaml:"status,omitempty"`
	Code    string        `yaml:"code,omitempty"`
	Message string        `yaml:"message,omitempty"`
	Desktop string        `yaml:"desktop,omitempty"` // "" means every desktop of the call; of error and error-after: meets calls that name it alone
	Delay   time.Duration `yaml:"delay,omitempty"`   // real time
}

// A Phase says where a call stands when an observer is told of it.
type Phase string

const (
	Received Phase = "received" // nothing was done yet
	Done     Phase = "done"     // the work is done, nothing was answered yet
	Answered Phase = "answered" // the answer was written
)

// A Point is one moment of one call.
type Point struct {
	Service, Operation string
	Account, Region    string // ECD only: where the call goes
	N                  int    // how many-th call of this operation, from 1
	Phase              Phase
}

// An Injector holds the rules and the counts. The zero value is ready, meets
// every call with nothing, and may be used from several goroutines.
type Injector struct {
	mu      sync.Mutex
	rules   []*rule
	rand    *rand.Rand
	calls   map[[2]string]int
	struck  int
	observe func(Point)
}

type rule struct {
	Rule
	seen, struck int
}

// Add puts rules behind those there are; the first that meets a call wins.
func (in *Injector) Add(rules ...Rule) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, r := range rules {
		in.rules = append(in.rules, &rule{Rule: r})
	}
}

// Clear removes all rules; the counts stay.
func (in *Injector) Clear() {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.rules = nil
}

// Seed makes rules with a probability repeatable.
func (in *Injector) Seed(seed uint64) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.rand = rand.New(rand.NewPCG(seed, seed))
}

// Observe has f called at every point of every call, on the goroutine that
// serves it: f may block it, or kill the caller.
func (in *Injector) Observe(f func(Point)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.observe = f
}

// Calls returns how often each operation was called, by service and operation.
func (in *Injector) Calls() map[[2]string]int {
	in.mu.Lock()
	defer in.mu.Unlock()
	out := make(map[[2]string]int, len(in.calls))
	for k, n := range in.calls {
		out[k] = n
	}
	return out
}

// Struck returns how many calls a rule has struck, also of rules that are gone.
func (in *Injector) Struck() int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.struck
}

// Count returns how often one operation was called.
func (in *Injector) Count(service, operation string) int {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.calls[[2]string{service, operation}]
}

func (in *Injector) meet(service, operation string, account func() string, names func(desktop string) bool) (int, *Rule, func(Point)) {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.calls == nil {
		in.calls = map[[2]string]int{}
	}
	in.calls[[2]string{service, operation}]++
	n := in.calls[[2]string{service, operation}]
	for _, r := range in.rules {
		if r.means(service, operation, account, names) && in.strikes(r) {
			hit := r.Rule
			return n, &hit, in.observe
		}
	}
	return n, nil, in.observe
}

// means says whether a rule is about such a call.
func (r Rule) means(service, operation string, account func() string, names func(desktop string) bool) bool {
	return (r.Service == "" || r.Service == service) && (r.Operation == "" || r.Operation == operation) &&
		(r.Account == "" || r.Account == account()) &&
		(r.Kind != Error && r.Kind != ErrorAfter || r.Desktop == "" || names(r.Desktop))
}

// strikes counts a call that a rule is about, and says whether the rule strikes it.
func (in *Injector) strikes(r *rule) bool {
	r.seen++
	if r.seen <= r.Skip || r.Times > 0 && r.struck >= r.Times {
		return false
	}
	if r.Probability > 0 {
		if in.rand == nil {
			in.rand = rand.New(rand.NewPCG(1, 1))
		}
		if in.rand.Float64() >= r.Probability {
			return false
		}
	}
	r.struck++
	in.struck++
	return true
}

// A Service tells the middleware how its stand-in speaks.
type Service struct {
	Name string // ecd, mns, oss
	// Operation names a call by what the client asked. It must not consume the body.
	Operation func(*http.Request) string
	// Account names the account that a call is made in; nil: there is one only.
	// Neither may it consume the body.
	Account func(*http.Request) string
	// Fail writes the service's own error answer.
	Fail func(w http.ResponseWriter, r *http.Request, status int, code, message string)
	// ThrottleStatus and ThrottleCode are the service's throttling answer.
	ThrottleStatus int
	ThrottleCode   string
}

func (s Service) account(r *http.Request) string {
	if s.Account == nil {
		return ""
	}
	return s.Account(r)
}

// names says whether a call of ECD names a desktop, in its query.
func names(r *http.Request, desktop string) bool {
	for _, values := range r.URL.Query() {
		if slices.Contains(values, desktop) {
			return true
		}
	}
	return false
}

type desktopFault struct{}

// OfDesktops returns the Desktop, DesktopAfter or Missing rule that struck the call, or nil;
// only the ECD stand-in asks.
func OfDesktops(ctx context.Context) *Rule {
	r, _ := ctx.Value(desktopFault{}).(*Rule)
	return r
}

// Wrap returns next with the injector's faults, observer and counts around it.
func (in *Injector) Wrap(s Service, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		op := s.Operation(r)
		n, hit, observe := in.meet(s.Name, op, func() string { return s.account(r) }, func(desktop string) bool { return names(r, desktop) })
		at := Point{Service: s.Name, Operation: op, N: n}
		if observe != nil && s.Account != nil {
			at.Account, at.Region = s.Account(r), r.URL.Query().Get("RegionId")
		}
		tell := func(p Phase) {
			if at.Phase = p; observe != nil {
				observe(at)
			}
		}
		tell(Received)
		defer tell(Answered)
		if hit == nil {
			hit = &Rule{}
		}
		if r = s.strikeBefore(hit, w, r); r == nil {
			return
		}
		answer := &recorder{header: http.Header{}, status: http.StatusOK}
		next.ServeHTTP(answer, r)
		tell(Done)
		s.strikeAfter(hit, w, r, answer)
	})
}

// fail writes the service's own error as the rule wants it.
func (s Service) fail(hit *Rule, w http.ResponseWriter, r *http.Request, status int, code string) {
	s.Fail(w, r, or(hit.Status, status), orText(hit.Code, code), orText(hit.Message, "injected by the local cloud"))
}

// strikeBefore does what a rule wants before any work is done, and returns the
// request to go on with, or nil if that was all.
func (s Service) strikeBefore(hit *Rule, w http.ResponseWriter, r *http.Request) *http.Request {
	switch hit.Kind {
	case Throttle:
		s.fail(hit, w, r, s.ThrottleStatus, s.ThrottleCode)
	case Error:
		s.fail(hit, w, r, 500, "InternalError")
	case HTML:
		w.Header().Set("Content-Type", "text/html")
		w.WriteHeader(or(hit.Status, 502))
		_, _ = io.WriteString(w, "<html><head><title>502 Bad Gateway</title></head><body>Tengine</body></html>")
	case Empty:
		w.WriteHeader(or(hit.Status, 500))
	case CloseBefore:
		hangUp(w)
	case SlowBefore:
		// The server notices that a client leaves only once its body is read.
		body, err := io.ReadAll(r.Body)
		if err != nil {
			hangUp(w)
			return nil
		}
		r.Body = io.NopCloser(bytes.NewReader(body))
		select {
		case <-time.After(hit.Delay):
			return r
		case <-r.Context().Done():
			hangUp(w)
		}
	case Desktop, DesktopAfter, Missing:
		return r.WithContext(context.WithValue(r.Context(), desktopFault{}, hit))
	default:
		return r
	}
	return nil
}

// strikeAfter answers a call whose work is done, as the rule wants.
func (s Service) strikeAfter(hit *Rule, w http.ResponseWriter, r *http.Request, answer *recorder) {
	switch hit.Kind {
	case CloseAfter:
		hangUp(w)
	case ErrorAfter:
		s.fail(hit, w, r, 500, "InternalError")
	case EmptyAfter:
		w.WriteHeader(or(hit.Status, 200))
	case SlowAfter:
		select {
		case <-time.After(hit.Delay):
			answer.send(w, answer.body.Len())
		case <-r.Context().Done():
			hangUp(w)
		}
	case Truncate:
		answer.send(w, answer.body.Len()/2)
	default:
		answer.send(w, answer.body.Len())
	}
}

// recorder holds an answer back until it is known what becomes of it.
type recorder struct {
	header http.Header
	status int
	body   bytes.Buffer
}

func (a *recorder) Header() http.Header         { return a.header }
func (a *recorder) WriteHeader(status int)      { a.status = status }
func (a *recorder) Write(p []byte) (int, error) { return a.body.Write(p) }

// send writes the first n bytes of the answer under its full length; when that
// is less than all of it, the connection ends there.
func (a *recorder) send(w http.ResponseWriter, n int) {
	for k, v := range a.header {
		w.Header()[k] = v
	}
	if a.status != http.StatusNoContent && a.header.Get("Content-Length") == "" {
		w.Header().Set("Content-Length", strconv.Itoa(a.body.Len()))
	}
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body.Bytes()[:n])
	if n < a.body.Len() {
		panic(http.ErrAbortHandler)
	}
}

// hangUp resets the client's connection.
func hangUp(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(interface{ SetLinger(sec int) error }); ok {
		_ = tcp.SetLinger(0)
	}
	_ = conn.Close()
}

func or(v, d int) int {
	if v != 0 {
		return v
	}
	return d
}

func orText(v, d string) string {
	if v != "" {
		return v
	}
	return d
}

// String describes a rule for people.
func (r Rule) String() string {
	return fmt.Sprintf("%s on %s %s", r.Kind, orText(r.Service, "any service"), orText(r.Operation, "any operation"))
}
