// Package ecd is the local cloud's Elastic Desktop Service: an HTTP server that
// speaks ECD's API of version 2020-09-30 well enough for the vendor's own
// clients to drive it, and that keeps a ledger of every rebuild it started. It
// is for the local cloud and for tests, never for production.
//
// What it imitates:
//
//   - Both signatures are verified for real: ACS3-HMAC-SHA256 in the headers, and
//     the older HMAC-SHA1 of the RPC style in the parameters, with STS tokens,
//     time stamps within 15 minutes of real time, and nonces that work once.
//   - Parameters come in the query or in a form body. What is required or bounded
//     is checked before anything is done; a call answered with 4xx started
//     nothing. So one unknown desktop fails a whole RebuildDesktops call, while a
//     desktop that cannot be rebuilt now is refused alone, inside a 200.
//   - There may be further accounts (Server.Member). Keys lead to the desktops and
//     images of their own account and to no others, and may call what their role
//     and session policy allow; calls are counted against limits account by account.
//   - A rebuild takes cloud time: Rebuilding, then the new image, a record in
//     DescribeImageModifiedRecords, and Running or the status asked for. It can
//     fail, or never end. DescribeDesktops can lag behind.
//   - The API's own inconsistencies: GpuCategory is a number of desktops and a
//     boolean of images, OsType is Windows here and WINDOWS there, some times have
//     no seconds, DesktopGroupId is null rather than absent, Tags are empty in
//     DescribeDesktops though they are set, pooled desktops are hidden unless
//     FilterDesktopGroup is false, and answers come in pages of 10.
//
// Where the vendor publishes no answer, it takes the one that is worse for the
// client: it rebuilds pooled desktops, desktops in maintenance or in use, and
// images larger than the disk, and leaves it to the client not to ask for it.
// Refused is only what the documentation forbids: images of the other GPU kind,
// and another OS family outside the mainland. There is no published table of
// errors either, so the codes InvalidImageId.*, IncorrectImageStatus and
// QuotaExceeded.TagsPerResource are this package's; clients do well to go by 4xx.
//
// What it does not imitate: RAM permissions, prices and orders, office sites,
// policies, desktop groups as things of their own, XML answers, and
// any operation that Server.table does not list. A reset writes a record whose two
// images are the same; the vendor does not say whether it writes one.
//
// Sources: the reference of each operation at Alibaba Cloud's help pages
// (ECD 2020-09-30), "Request syntax and signature method V3", "RPC mechanism",
// and the models of the Go SDK ecd-20200930 v5.23.0.
package ecd

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/fault"
)

// Keys are one access key that the service accepts. With a Token it is a
// temporary key, and every call must carry that token.
type Keys struct{ ID, Secret, Token string }

// Limits says how many calls of an operation are served per second of cloud
// time; what comes above gets Throttling.User. An operation that is not named
// has no limit. While the clock stands still its second does not end.
type Limits map[string]int

// Options say how the service behaves. The zero value lacks only Keys.
type Options struct {
	Clock  *clock.Clock    // nil: real time
	Faults *fault.Injector // nil: none
	Keys   []Keys          // at least one
	Limits Limits
	// AccountID is the account of the keys, and Assumed knows the keys of assumed
	// roles; nil: there are none.
	AccountID string
	Assumed   func(keyID string) (Assumed, bool)

	// Lag is how long, in cloud time, DescribeDesktops shows the state from
	// before a rebuild that was accepted. Every other operation sees the truth.
	Lag time.Duration
	// FlipEarly makes ImageId change when a rebuild is accepted; otherwise it
	// changes when the rebuild is done. The vendor says neither.
	FlipEarly bool
	// DataSnapshotsSurvive has the snapshots of a data disk outlive operateType
	// replace on the same OS. The vendor's pages contradict each other. Those of a
	// desktop that changes its OS family are always deleted.
	DataSnapshotsSurvive bool
	// SuccessCode is the code of an accepted rebuild: success, which is the
	// default, or Success. The vendor's pages have both.
	SuccessCode string
}

// A Wipe is one rebuild that was really started: the ledger that judges whether
// a desktop was ever rebuilt twice, or without consent.
type Wipe struct {
	AccountID           string `json:",omitempty"` // "": the own
	DesktopID, RegionID string
	ImageID             string // the image the desktop was rebuilt to
	PreviousImageID     string
	Reset               bool     // the call named no image
	DataLost            bool     // a data disk was replaced or erased
	SnapshotsLost       int      // snapshots that it deleted
	DataSaved           []string // snapshots of the data disk that were complete before it
	Users               []string // the people whose sessions it ended
	At                  time.Time
	RequestID           string
}

// A Server is one ECD for all regions. All methods may be called at once from
// several goroutines.
type Server struct {
	opts       Options
	start      time.Time // cloud time that the offsets of the state count from
	gate       gate
	operations map[string]operation
	account    string             // "": the own
	members    map[string]*Server // further accounts

	mu          sync.Mutex
	desktops    map[string]*entry
	order       []*entry
	images      []*picture
	sequence    int
	wipes       []Wipe
	invocations []*invocation
	spent       map[string]window
}

// New returns a service in the given state, which is copied. The error names
// every fault of state and options.
func New(state State, opts Options) (*Server, error) {
	return newServer(state, opts, checkOptions(opts))
}

// Member adds an account besides the own, which behaves as the own does. It
// must not be called once calls are served.
func (s *Server) Member(account string, state State) (*Server, error) {
	opts := s.opts
	opts.Keys = nil // its calls are signed with the keys of assumed roles
	m, err := newServer(state, opts, nil)
	if err != nil {
		return nil, fmt.Errorf("account %s: %w", account, err)
	}
	m.account, m.start = account, s.start
	s.members[account] = m
	return m, nil
}

// member returns the server of the account that a call's keys lead to, or nil
// for the own.
func (s *Server) member(r *http.Request) *Server {
	if len(s.members) == 0 {
		return nil
	}
	f, err := readForm(r)
	if err != nil {
		return nil
	}
	c, err := readClaim(r, f)
	if err != nil {
		return nil
	}
	by, _ := s.gate.of(c.keyID)
	return s.members[by.AccountID]
}

// accountOf names the account that a call's keys lead to.
func (s *Server) accountOf(r *http.Request) string {
	if m := s.member(r); m != nil {
		return m.account
	}
	return s.opts.AccountID
}

func newServer(state State, opts Options, faults []error) (*Server, error) {
	desktops, unrolled := expand(state.Desktops)
	faults = append(faults, unrolled...)
	faults = append(faults, checkImages(state.Images)...)
	faults = append(faults, checkDesktops(desktops, state.Images)...)
	if err := errors.Join(faults...); err != nil {
		return nil, fmt.Errorf("checking the state of ecd: %w", err)
	}
	if opts.Clock == nil {
		opts.Clock = clock.New(time.Now(), 1)
	}
	if opts.Faults == nil {
		opts.Faults = new(fault.Injector)
	}
	if opts.SuccessCode == "" {
		opts.SuccessCode = "success"
	}
	s := &Server{
		opts:     opts,
		start:    opts.Clock.Now(),
		gate:     newGate(opts.Keys),
		members:  map[string]*Server{},
		desktops: map[string]*entry{},
		spent:    map[string]window{},
	}
	s.gate.assumed, s.gate.cloud = opts.Assumed, opts.Clock.Now
	s.operations = s.table()
	for _, d := range desktops {
		s.put(d)
	}
	for _, i := range state.Images {
		s.putImage(i)
	}
	return s, nil
}

func checkOptions(o Options) []error {
	var faults []error
	if len(o.Keys) == 0 {
		faults = append(faults, errors.New("no keys: nobody could sign a call"))
	}
	for i, k := range o.Keys {
		if k.ID == "" || k.Secret == "" {
			faults = append(faults, fmt.Errorf("key %d: an id or a secret is missing", i+1))
		}
	}
	if o.Lag < 0 {
		faults = append(faults, fmt.Errorf("lag %s is negative", o.Lag))
	}
	if o.SuccessCode != "" && !strings.EqualFold(o.SuccessCode, "success") {
		faults = append(faults, fmt.Errorf("success code %q is neither success nor Success", o.SuccessCode))
	}
	for _, name := range sortedKeys(o.Limits) {
		if o.Limits[name] < 1 {
			faults = append(faults, fmt.Errorf("limit of %s: %d calls a second is less than 1", name, o.Limits[name]))
		}
	}
	return faults
}

// Handler returns the service as an HTTP handler, with the injector's faults
// around it.
func (s *Server) Handler() http.Handler {
	return s.opts.Faults.Wrap(fault.Service{
		Name:           "ecd",
		Operation:      operationOf,
		Account:        s.accountOf,
		Fail:           fail,
		ThrottleStatus: http.StatusBadRequest,
		ThrottleCode:   "Throttling.User",
	}, http.HandlerFunc(s.serve))
}

// Wipes returns every rebuild that was started, oldest first.
func (s *Server) Wipes() []Wipe {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Wipe, len(s.wipes))
	for i, w := range s.wipes {
		w.Users, w.DataSaved = slices.Clone(w.Users), slices.Clone(w.DataSaved)
		out[i] = w
	}
	return out
}

// A RunCommand is one command that was started on one desktop.
type RunCommand struct {
	DesktopID, User, Kind, Text string
	At                          time.Time
}

// Commands returns every command that was started and is still kept, oldest
// first, desktop by desktop.
func (s *Server) Commands() []RunCommand {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []RunCommand
	for _, i := range s.invocations {
		text, _ := base64.StdEncoding.DecodeString(i.content) // checked when it came in
		for _, r := range i.runs {
			out = append(out, RunCommand{DesktopID: r.desktop, User: i.user, Kind: i.kind, Text: string(text), At: i.created})
		}
	}
	return out
}

// Desktop returns one desktop as it is now, whatever DescribeDesktops shows.
func (s *Server) Desktop(id string) (Desktop, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(id)
	if e == nil {
		return Desktop{}, false
	}
	return e.clone(), true
}

// Desktops returns all desktops as they are now, in the order they were added.
func (s *Server) Desktops() []Desktop {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Clock.Now()
	out := make([]Desktop, 0, len(s.order))
	for _, e := range s.order {
		e.settle(now)
		out = append(out, e.clone())
	}
	return out
}

// Images returns all images as they are now, in the order they were added.
func (s *Server) Images() []Image {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.opts.Clock.Now()
	out := make([]Image, 0, len(s.images))
	for _, p := range s.images {
		p.settle(now)
		out = append(out, p.clone())
	}
	return out
}

// Add puts desktops into the service; one whose id is taken replaces that one.
// Count and Cycle work as in a state file, and nothing is checked.
func (s *Server) Add(desktops ...Desktop) {
	s.mu.Lock()
	defer s.mu.Unlock()
	unrolled, _ := expand(desktops)
	for _, d := range unrolled {
		s.remove(d.ID)
		s.put(d)
	}
}

// Update changes one desktop by hand and reports whether it is there. Changing
// its Status calls off whatever was under way on it; its ID stays.
func (s *Server) Update(id string, change func(*Desktop)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(id)
	if e == nil {
		return false
	}
	was, sessions := e.Status, slices.Clone(e.Sessions)
	change(&e.Desktop)
	for _, gone := range sessions {
		if !slices.ContainsFunc(e.Sessions, func(n Session) bool { return n.User == gone.User }) {
			e.past = append(e.past, ended{gone, s.opts.Clock.Now()})
		}
	}
	e.ID = id
	if e.Status != was {
		e.job = nil
	}
	e.before = nil
	e.schedule(s.start)
	e.rest(s.opts.Clock.Now())
	return true
}

// Remove takes a desktop away, as a release of it would.
func (s *Server) Remove(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.remove(id)
}

// AddImage puts an image into the service; one whose id is taken replaces that one.
func (s *Server) AddImage(i Image) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.images = slices.DeleteFunc(s.images, func(p *picture) bool { return p.ID == i.ID })
	s.putImage(i)
}

// UpdateImage changes one image by hand and reports whether it is there. Its ID
// stays.
func (s *Server) UpdateImage(id string, change func(*Image)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	p := s.imageByID(id)
	if p == nil {
		return false
	}
	change(&p.Image)
	p.ID = id
	p.schedule(s.start)
	return true
}

// Connect has a user connect to a desktop as a client would, and says whether
// that was possible: the desktop must be Running and not in maintenance.
func (s *Server) Connect(id, user string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(id)
	return e != nil && e.try(Logon{User: user}, s.opts.Clock.Now())
}

// LogOn has a user try to connect to a desktop, in vain: fails says at what, ticket
// or connect. It says whether the desktop is there.
func (s *Server) LogOn(id, user, fails string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entry(id)
	if e != nil {
		e.try(Logon{User: user, Fails: fails}, s.opts.Clock.Now())
	}
	return e != nil
}

func (s *Server) put(d Desktop) {
	s.sequence++
	e := &entry{Desktop: d.clone(), position: s.sequence}
	e.complete()
	e.schedule(s.start)
	e.rest(s.opts.Clock.Now())
	if d.Settles > 0 {
		e.job = passing(e, s.start)
	}
	s.desktops[d.ID] = e
	s.order = append(s.order, e)
}

func (s *Server) remove(id string) {
	if e := s.desktops[id]; e != nil {
		delete(s.desktops, id)
		s.order = slices.DeleteFunc(s.order, func(o *entry) bool { return o == e })
	}
}

func (s *Server) putImage(i Image) {
	s.sequence++
	p := &picture{Image: i.clone(), position: s.sequence}
	p.complete()
	p.schedule(s.start)
	s.images = append(s.images, p)
}

// entry returns the desktop of that id as it is now, or nil.
func (s *Server) entry(id string) *entry {
	e := s.desktops[id]
	if e != nil {
		e.settle(s.opts.Clock.Now())
	}
	return e
}

// imageByID returns the image of that id as it is now, or nil.
func (s *Server) imageByID(id string) *picture {
	for _, p := range s.images {
		if p.ID == id {
			p.settle(s.opts.Clock.Now())
			return p
		}
	}
	return nil
}
