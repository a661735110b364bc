package dashboard

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// A Journal is where requests and rollouts are written down; journal.Store is
// one. Calls overlap. Errors are shown to whoever looks at the page, so they
// must hold no secret.
type Journal interface {
	Read(ctx context.Context, key string, from int64) (lines []byte, length int64, err error)
	Keys(ctx context.Context, prefix string) ([]string, error)
}

// Kinds of journals, as the function names them.
const (
	kindRequest = "request"
	kindRollout = "rollout"
	kindFleet   = "fleet"
)

// Bounds of what is kept and read.
const (
	// maxJournals bounds how many requests and rollouts are known: at 1 KB each,
	// 20 MB.
	maxJournals = 20_000
	// maxKept bounds the desktops whose state is kept to read on where a journal
	// ended: some 30 MB. What is beyond is read from its beginning when it grew.
	maxKept = 60_000
	// readers is how many journals are read at once: enough to hide the way to
	// Object Storage, few enough for its limits.
	readers = 8
	// long is how many bytes of a journal are folded while no other long one is: the
	// state of 20,000 desktops takes many times the room of its lines.
	long = 256 << 10
	// listEvery is how many looks there are to one listing of the journal, which
	// is what costs.
	listEvery = 5
	// lookLimit bounds one look. The first one may read every journal.
	lookLimit = 10 * time.Minute
)

// An index knows how all requests and rollouts of a journal stand. It may be
// used from several goroutines; look is called from one.
type index struct {
	from Journal
	heed func(names []string) // is told what has changed

	mu         sync.Mutex
	folding    sync.Mutex          // held while a long journal is folded
	operations map[string]*entry   // by key
	fleets     map[string][]string // ids of rollouts, oldest first, by fleet
	lengths    map[string]int64    // of the fleets' logs
	total      int                 // journals to be read for the first time, and those that were
	read       int
	left       int
	trouble    string
	kept       int // desktops in the states of operations
	looks      int
}

// An entry is one journal.
type entry struct {
	brief  report.Brief
	length int64
	state  *rollout.State // nil: not kept
	size   int            // desktops of state
	broken string         // why it cannot be read
}

func newIndex(from Journal, heed func([]string)) *index {
	return &index{from: from, heed: heed, operations: map[string]*entry{}, fleets: map[string][]string{}, lengths: map[string]int64{}}
}

// look reads what is new.
func (x *index) look(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, lookLimit)
	defer cancel()
	var err error
	if x.looks%listEvery == 0 {
		err = x.list(ctx)
	}
	x.looks++
	if err == nil {
		err = x.follow(ctx)
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		return
	}
	x.mu.Lock()
	before := x.trouble
	x.trouble = ""
	if err != nil {
		x.trouble = err.Error()
	}
	changed := before != x.trouble
	x.mu.Unlock()
	if changed {
		x.heed([]string{boardName})
	}
}

// list finds journals that are not known yet, and reads them: first those of the
// fleets' latest rollouts and of the requests that the index of open ones names.
func (x *index) list(ctx context.Context) error {
	keys := map[string][]string{}
	for _, kind := range []string{kindFleet, kindRollout, kindRequest} {
		list, err := x.from.Keys(ctx, kind+"/")
		if err != nil {
			return err
		}
		keys[kind] = list
	}
	if err := x.readAll(ctx, keys[kindFleet], x.readFleet); err != nil {
		return err
	}
	open, err := x.from.Keys(ctx, journal.OpenPrefix)
	if err != nil {
		return err
	}
	fresh, left := x.unread(keys, open)
	x.mu.Lock()
	changed := left != x.left || len(fresh) > 0
	x.left, x.total = left, x.read+len(fresh)
	x.mu.Unlock()
	if changed {
		x.heed([]string{boardName})
	}
	return x.readAll(ctx, fresh, func(ctx context.Context, key string) error { return x.readOperation(ctx, key, true) })
}

// unread returns the keys of operations that were not read yet, the most wanted first,
// and how many are beyond the limit.
func (x *index) unread(keys map[string][]string, open []string) (fresh []string, left int) {
	x.mu.Lock()
	defer x.mu.Unlock()
	wanted := map[string]bool{}
	for _, ids := range x.fleets {
		wanted[journal.Key(kindRollout, ids[len(ids)-1])] = true
	}
	for _, key := range open {
		if id, ok := journal.OpenID(key); ok {
			wanted[journal.Key(kindRequest, id)] = true
		}
	}
	for _, key := range slices.Concat(keys[kindRollout], keys[kindRequest]) {
		if x.operations[key] == nil {
			fresh = append(fresh, key)
		}
	}
	slices.SortStableFunc(fresh, func(a, b string) int {
		switch {
		case wanted[a] == wanted[b]:
			return 0
		case wanted[a]:
			return -1
		}
		return 1
	})
	room := max(0, maxJournals-len(x.operations))
	if len(fresh) > room {
		left = len(fresh) - room
		fresh = fresh[:room]
	}
	return fresh, left
}

// follow reads on in the journals of what is open, and of each fleet's latest
// rollout, which somebody may take back.
func (x *index) follow(ctx context.Context) error {
	x.mu.Lock()
	wanted := map[string]bool{}
	for key, e := range x.operations {
		if e.broken != "" || !e.brief.Closed {
			wanted[key] = true
		}
	}
	for _, ids := range x.fleets {
		if key := journal.Key(kindRollout, ids[len(ids)-1]); x.operations[key] != nil {
			wanted[key] = true
		}
	}
	keys := make([]string, 0, len(wanted))
	for key := range wanted {
		keys = append(keys, key)
	}
	x.mu.Unlock()
	slices.Sort(keys)
	return x.readAll(ctx, keys, func(ctx context.Context, key string) error { return x.readOperation(ctx, key, false) })
}

// readAll reads several journals at once, and returns the first error that is
// not of one journal alone.
func (x *index) readAll(ctx context.Context, keys []string, read func(context.Context, string) error) error {
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(readers)
	for _, key := range keys {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return read(ctx, key)
		})
	}
	return group.Wait()
}

// readFleet reads a fleet's log.
func (x *index) readFleet(ctx context.Context, key string) error {
	x.mu.Lock()
	from := x.lengths[key]
	x.mu.Unlock()
	lines, length, err := x.from.Read(ctx, key, from)
	if errors.Is(err, journal.ErrShrunk) {
		from = 0
		lines, length, err = x.from.Read(ctx, key, 0)
	}
	if err != nil {
		return fmt.Errorf("reading journal %s: %w", key, err)
	}
	if len(lines) == 0 {
		return nil
	}
	records, err := rollout.Decode(lines)
	if err != nil {
		return fmt.Errorf("reading journal %s: %w", key, err)
	}
	name := "" // the key may hold a hash of it
	var ids []string
	for _, r := range records {
		if r.Kind == rollout.KindOpened && r.Operation != nil {
			name = r.Operation.Fleet
			ids = append(ids, r.Operation.ID)
		}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if from == 0 {
		delete(x.fleets, name)
	}
	if len(ids) > 0 {
		x.fleets[name] = append(x.fleets[name], ids...)
	}
	x.lengths[key] = length
	return nil
}

// readOperation reads on in one journal, and takes note of how it stands.
func (x *index) readOperation(ctx context.Context, key string, first bool) error {
	x.mu.Lock()
	old := entry{}
	if e := x.operations[key]; e != nil {
		old = *e
	}
	x.mu.Unlock()
	e, changed, err := x.fold(ctx, key, old)
	if err != nil && ctx.Err() != nil {
		return err // not of this journal
	}
	if err != nil && !errors.Is(err, journal.ErrDamaged) && !errors.As(err, new(unreadableError)) {
		return fmt.Errorf("reading journal %s: %w", key, err)
	}
	if err != nil {
		e, changed = entry{brief: old.brief, broken: err.Error()}, old.broken != err.Error()
	}
	x.keep(key, e, old, first)
	if changed {
		x.heed([]string{boardName, e.brief.Name()})
	}
	return nil
}

// unreadableError is a journal that this build cannot read.
type unreadableError struct{ error }

// fold reads what is new in a journal. A state that was not kept is folded anew
// when the journal has grown.
func (x *index) fold(ctx context.Context, key string, old entry) (entry, bool, error) {
	lines, length, err := x.from.Read(ctx, key, old.length)
	if errors.Is(err, journal.ErrShrunk) || err == nil && len(lines) > 0 && old.state == nil && old.length > 0 {
		old = entry{}
		lines, length, err = x.from.Read(ctx, key, 0)
	}
	if err != nil || len(lines) == 0 {
		return old, false, err
	}
	s := old.state
	if s == nil {
		s = rollout.NewState()
	}
	if len(lines) > long {
		x.folding.Lock()
		defer x.folding.Unlock()
	}
	if err := report.Fold(s, lines); err != nil {
		return entry{}, false, unreadableError{err}
	}
	brief, _ := report.BriefOf(s)
	return entry{brief: brief, length: length, state: s, size: len(s.Desktops)}, true, nil
}

// keep stores an entry, and its state if it is open and there is room.
func (x *index) keep(key string, e, old entry, first bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if old.state != nil {
		x.kept -= old.size
	}
	if e.state != nil && (e.brief.Closed || x.kept+e.size > maxKept) {
		e.state, e.size = nil, 0
	}
	x.kept += e.size
	x.operations[key] = &e
	if first {
		x.read++
	}
}

// rollouts returns the ids of a fleet's rollouts, oldest first, as far as they are
// known.
func (x *index) rollouts(fleet string) []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return slices.Clone(x.fleets[fleet])
}

// A picture is the index at one moment.
type picture struct {
	operations  []report.Brief
	latest      map[string]report.Brief // the last rollout of each fleet, where it is known
	fleets      map[string][]string
	read, total int
	left        int
	broken      int
	brokenWhy   string
	trouble     string
}

// now returns the index as it is.
func (x *index) now() picture {
	x.mu.Lock()
	defer x.mu.Unlock()
	p := picture{latest: map[string]report.Brief{}, fleets: map[string][]string{}, read: x.read, total: x.total, left: x.left, trouble: x.trouble,
		operations: make([]report.Brief, 0, len(x.operations))}
	for key, e := range x.operations {
		if e.broken != "" {
			if p.broken++; p.brokenWhy == "" || key < p.brokenWhy {
				p.brokenWhy = key + ": " + e.broken
			}
		}
		if e.brief.ID != "" {
			p.operations = append(p.operations, e.brief)
		}
	}
	for name, ids := range x.fleets {
		p.fleets[name] = ids
		if e := x.operations[journal.Key(kindRollout, ids[len(ids)-1])]; e != nil && e.brief.ID != "" {
			p.latest[name] = e.brief
		}
	}
	// The newest first; where two came at once, by name, so that a page does not
	// change by itself.
	slices.SortFunc(p.operations, func(a, b report.Brief) int {
		return cmp.Or(b.Opened.Compare(a.Opened), strings.Compare(a.Name(), b.Name()))
	})
	return p
}
