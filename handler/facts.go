package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// A reader reads facts and keeps them for this invocation.
type reader struct {
	*invocation
	accounts *accounts
	alarmer  Alarmer // nil: none
	rules    rollout.Rules
	jobs     *jobs
	perms    *permissions
	counts   *tally

	halvings atomic.Int64 // see maxHalvings
	sharers  atomic.Int64 // messages while they are admitted, and then places

	mu     sync.RWMutex // guards what places holds
	places map[desktop.Place]*rollout.Facts
}

// use calls f with the facts of a place, which all jobs share, and those that are of one
// of them alone; nil: those are not read. f must not keep them, nor have facts read.
func (rd *reader) use(at desktop.Place, others *rollout.Others, f func(*rollout.Facts)) {
	rd.mu.RLock()
	defer rd.mu.RUnlock()
	shared := rd.places[at]
	if shared == nil {
		shared = &rollout.Facts{}
	}
	facts := *shared
	facts.Others = rollout.Others{Unread: true}
	if others != nil {
		facts.Others = *others
	}
	f(&facts)
}

// setSharers says how many messages or places share the invocation from now on.
func (rd *reader) setSharers(n int) { rd.sharers.Store(int64(n)) }

func (rd *reader) sharing() int { return int(rd.sharers.Load()) }

// change calls f with the facts of a place, to write them.
func (rd *reader) change(at desktop.Place, f func(*rollout.Facts)) {
	facts := rd.place(at)
	rd.mu.Lock()
	defer rd.mu.Unlock()
	f(facts)
}

// forgetPlace drops all that is known of a place, while messages are admitted.
func (rd *reader) forgetPlace(at desktop.Place) {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	delete(rd.places, at)
}

// forget drops what is known of desktops, because something was done to them since.
func (rd *reader) forget(at desktop.Place, ids ...string) {
	rd.change(at, func(f *rollout.Facts) {
		for _, id := range ids {
			delete(f.Desktops, id)
		}
	})
}

// place returns the facts of a place, for those who write them under the lock.
func (rd *reader) place(at desktop.Place) *rollout.Facts {
	rd.mu.Lock()
	defer rd.mu.Unlock()
	if rd.places[at] == nil {
		rd.places[at] = &rollout.Facts{}
	}
	return rd.places[at]
}

// look reads what the decisions need to know, for each place (there is mostly one), within
// the time that there is where so many share the invocation (see patience). What
// cannot be read is noted as such, and guards count it as a no.
func (rd *reader) look(sharers int, needs map[desktop.Place]*rollout.Need) {
	rd.rings(needs)
	ctx, cancel := rd.patience(sharers)
	defer cancel()
	for at, need := range needs {
		rd.lookAt(ctx, at, need)
	}
}

// lookAt reads what must be known of a place. Its images come first: where nobody answers
// that call, with all its repetitions, the others are not made. Each would take as long.
func (rd *reader) lookAt(ctx context.Context, at desktop.Place, need *rollout.Need) {
	l := &look{reader: rd, ctx: ctx, at: at, facts: rd.place(at)}
	l.Services, l.fault = rd.accounts.of(at.Account)
	var wg sync.WaitGroup
	pages(l, &wg, need.Images, pageIDs, &l.facts.Images, (*look).images)
	wg.Wait()
	if l.silence != nil {
		l.fault = cmp.Or[error](l.fault, &unaskedError{l.silence})
	}
	pages(l, &wg, need.Desktops, pageIDs, &l.facts.Desktops, (*look).desktops)
	pages(l, &wg, need.Tags, pageIDs, &l.facts.Tags, (*look).tags)
	each(l, &wg, need.Changes, &l.facts.Changes, (*look).changes)
	each(l, &wg, need.Checks, &l.facts.Checks, (*look).checks)
	each(l, &wg, need.Members, &l.facts.Members, (*look).members)
	l.freezes(&wg, need.Freezes)
	pages(l, &wg, need.Snapshots, len(need.Snapshots), &l.facts.Snapshots, (*look).snapshots) // the adapter asks for many at once
	pages(l, &wg, need.Sessions, pageIDs, &l.facts.Sessions, (*look).sessions)
	pages(l, &wg, need.Uses, pageIDs, &l.facts.Uses, uses(need.From))
	each(l, &wg, need.Logons, &l.facts.Logons, logons(need.From))
	each(l, &wg, need.Alarms, &l.facts.Alarms, (*look).alarms)
	wg.Wait()
	l.forgetOlder(need.Members)
}

// forgetOlder drops what was read of a desktop if a later listing of one of these fleets shows
// it otherwise: what was read last counts, and the listing alone is not enough to decide by.
func (l *look) forgetOlder(fleets []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, name := range fleets {
		listing := l.facts.Members[name]
		for _, listed := range listing.Value {
			fact := l.facts.Desktops[listed.ID]
			if fact.Err != nil || !fact.ReadAt.Before(listing.ReadAt) {
				continue
			}
			listed.Tags = nil                                                 // those of fact are nil
			if fact.Value == nil || !reflect.DeepEqual(*fact.Value, listed) { // nil: that answer left it out
				delete(l.facts.Desktops, listed.ID)
			}
		}
	}
}

// patienceShare is which share of the invocation's time what is read at once has, where
// the invocation is about more than that: so long a place that does not answer holds up
// the end of it.
const patienceShare = 4

// patience returns a context for what is read at once, where so many share the
// invocation.
func (i *invocation) patience(sharers int) (context.Context, context.CancelFunc) {
	if sharers < 2 {
		return i.ctx, func() {}
	}
	left, _ := i.timeLeft()
	return context.WithTimeout(i.ctx, left/patienceShare)
}

// look is one place being read. What is read is written under the reader's lock.
type look struct {
	*reader
	Services

	ctx   context.Context //nolint:containedctx // what is read at once ends at once
	fault error           // why nothing can be asked there; nil: it can
	// silence is the error of a call for images that nobody answered; nil: none. It is
	// written under the reader's lock.
	silence error
	at      desktop.Place
	facts   *rollout.Facts
}

// An unaskedError says that a question was not sent, since another was not answered.
type unaskedError struct{ error }

func (e *unaskedError) Unwrap() error { return e.error }

// lookWorkers is how many reads of one kind are asked for at once: the adapter
// bounds how many are under way. pageIDs is how many ids ECD takes at once, so
// that each page has the time of its own request.
const (
	lookWorkers = 16
	pageIDs     = 100
)

// pages reads so many at once, some pages at the same time. What is not in the answer
// does not exist.
func pages[T any](l *look, wg *sync.WaitGroup, ids []string, size int, facts *rollout.Table[T],
	read func(*look, []string) (map[string]T, error),
) {
	if len(ids) == 0 {
		return
	}
	l.spread(wg, (len(ids)+size-1)/size, func(page int) {
		ids := ids[page*size : min((page+1)*size, len(ids))]
		at := l.business().UTC()
		halves(l, ids, read, func(ids []string, got map[string]T, err error) {
			l.mu.Lock()
			defer l.mu.Unlock()
			for _, id := range ids {
				facts.Note(id, factOf(l, at, got[id], err))
			}
		})
	})
}

// maxHalvings bounds how often an invocation reads a page in halves: enough to find the
// ids of a whole page that ECD does not take, and few beside the calls of a flood of them.
const maxHalvings = 100

// halves reads ids at once. If ECD refuses to be asked about all of them, it reads each
// half by itself: an id that it does not take must not keep it from being asked about
// those of others.
func halves[T any](l *look, ids []string, read func(*look, []string) (map[string]T, error), note func([]string, map[string]T, error)) {
	got, err := ask(l, ids, read)
	e, answered := errors.AsType[*desktop.CallError](err)
	if !answered || e.Delivery != desktop.Refused && !e.Unlisted || len(ids) < 2 || l.halvings.Add(1) > maxHalvings {
		note(ids, got, err)
		return
	}
	half := len(ids) / 2
	halves(l, ids[:half], read, note)
	halves(l, ids[half:], read, note)
}

// each reads one by one, some at once.
func each[T any](l *look, wg *sync.WaitGroup, ids []string, facts *rollout.Table[T], read func(*look, string) (T, error)) {
	if len(ids) == 0 {
		return
	}
	l.spread(wg, len(ids), func(i int) {
		at := l.business().UTC()
		got, err := ask(l, ids[i], read)
		l.mu.Lock()
		defer l.mu.Unlock()
		facts.Note(ids[i], factOf(l, at, got, err))
	})
}

// ask reads, if anything can be asked. In a goroutine of its own a panic would end the
// instance, and with it everything else that it works on; so it is as if the answer
// could not be read.
func ask[K, T any](l *look, key K, read func(*look, K) (T, error)) (got T, err error) {
	err = l.fault
	if err == nil {
		err = contain(func() (err error) {
			got, err = read(l, key)
			return err
		})
	}
	return got, err
}

// spread does n things, some at once.
func (l *look) spread(wg *sync.WaitGroup, n int, do func(int)) {
	var next atomic.Int64
	for range min(n, lookWorkers) {
		wg.Go(func() {
			for i := next.Add(1) - 1; i < int64(n); i = next.Add(1) - 1 {
				do(int(i))
			}
		})
	}
}

func factOf[T any](l *look, at time.Time, value T, err error) rollout.Fact[T] {
	if err == nil {
		return rollout.Read(at, value)
	}
	u := l.unread(err)
	return rollout.Fact[T]{ReadAt: at, Err: &u}
}

// unread returns why ECD could not be asked, by one of our codes.
func (l *look) unread(err error) rollout.Unread {
	u := rollout.Unread{Code: events.CodeFactsUnavailable, Message: "ECD could not be asked: " + err.Error()}
	if other, ok := errors.AsType[*cloudMonitorError](err); ok {
		u.Message = "CloudMonitor could not be asked: " + other.Error()
	}
	if bug, ok := errors.AsType[*PanicError](err); ok {
		u.Message = "reading it shows a bug of regild: " + bug.Value
		l.log.Error("a step made us panic", "step", "reading facts", "error", bug.Value)
	}
	if many, ok := errors.AsType[*tooManyError](err); ok {
		return rollout.Unread{Code: events.CodeFleetTooLarge, Message: many.why, Refused: true}
	}
	e, ok := errors.AsType[*desktop.CallError](err)
	u.Refused = ok && e.Delivery == desktop.Refused
	_, unasked := errors.AsType[*unaskedError](err)
	u.Unasked = unasked || ok && e.Unasked
	switch {
	case ok && e.Throttled:
		u.Code = events.CodeThrottled
	case ok && e.Delivery == desktop.Forbidden:
		u.Code = events.CodeNotAuthorized
		l.perms.deny(l.at.Account, e, err)
	}
	return u
}

func (l *look) desktops(ids []string) (map[string]*desktop.Desktop, error) {
	l.counts.lookedAt(l.at, ids)
	list, err := l.ECD.Desktops(l.ctx, l.at.Region, ids)
	out := make(map[string]*desktop.Desktop, len(list))
	for i := range list {
		list[i].AccountID = l.at.Account
		list[i].Tags = nil // DescribeDesktops leaves them out; see tags
		out[list[i].ID] = &list[i]
	}
	return out, err
}

func (l *look) tags(ids []string) (map[string]map[string]string, error) {
	return l.ECD.Tags(l.ctx, l.at.Region, ids)
}

func (l *look) images(ids []string) (map[string]*desktop.Image, error) {
	list, err := l.ECD.Images(l.ctx, l.at.Region, ids)
	if errors.Is(err, context.DeadlineExceeded) {
		l.mu.Lock()
		l.silence = err
		l.mu.Unlock()
	}
	out := make(map[string]*desktop.Image, len(list))
	for i := range list {
		out[list[i].ID] = &list[i]
	}
	return out, err
}

func (l *look) changes(id string) ([]desktop.Change, error) {
	return l.ECD.Changes(l.ctx, l.at.Region, id)
}

// checks reads the results of one check, which may be several commands: its id
// joins theirs with commas.
func (l *look) checks(check string) (map[string]desktop.Invocation, error) {
	byDesktop := map[string]desktop.Invocation{}
	for _, id := range strings.Split(check, ",") {
		list, err := l.ECD.Invocations(l.ctx, l.at.Region, id)
		if err != nil {
			return nil, err
		}
		for _, i := range list {
			byDesktop[i.DesktopID] = i
		}
	}
	return byDesktop, nil
}

// snapshots reads those of desktops whose fleets keep them. A right that lacks
// keeps these desktops waiting, and does not hold up others.
func (l *look) snapshots(ids []string) (map[string][]desktop.Snapshot, error) {
	if l.Services.Snapshots == nil {
		return nil, errors.New("snapshots cannot be asked for here")
	}
	got, err := l.Services.Snapshots.Snapshots(l.ctx, l.at.Region, ids)
	if desktop.DeliveryOf(err) == desktop.Forbidden {
		return nil, fmt.Errorf("%s (docs/ram/function-extras.json has the right)", err.Error())
	}
	return got, err
}

// members reads who is in a fleet now.
func (l *look) members(name string) ([]desktop.Desktop, error) {
	f, declared := l.rules.Fleets.Named(name)
	if !declared {
		return nil, errors.New("the fleet is not declared")
	}
	list, err := Members(l.ctx, l.ECD, l.rules.Fleets, f)
	if errors.Is(err, desktop.ErrTooMany) {
		return nil, &tooManyError{fmt.Sprintf("ECD lists more for fleet %s than is read of one listing (%s); select it by office site or policy group, "+
			"or split it in fleets.yaml", name, err)}
	}
	return list, err
}

// Members reads who is in a fleet now: the desktops that belong to it before any other
// of the fleets.
func Members(ctx context.Context, d Describer, fleets fleet.Fleets, f fleet.Fleet) ([]desktop.Desktop, error) {
	list, err := d.Select(ctx, f.Region, f.Select)
	if err != nil {
		return nil, err
	}
	for i := range list {
		list[i].AccountID = f.Account.ID
	}
	if fleets.NeedTags(f.Place()) {
		if err := addTags(ctx, d, f.Region, list); err != nil {
			return nil, err
		}
	}
	return slices.DeleteFunc(list, func(x desktop.Desktop) bool {
		of := fleets.Of(x)
		return of == nil || of.Name != f.Name
	}), nil
}

// addTags reads the tags of the desktops that have none yet.
func addTags(ctx context.Context, d Describer, region string, list []desktop.Desktop) error {
	var ids []string
	for _, x := range list {
		if x.Tags == nil {
			ids = append(ids, x.ID)
		}
	}
	tags, err := d.Tags(ctx, region, ids)
	if err != nil {
		return err
	}
	for i := range list {
		if list[i].Tags == nil {
			list[i].Tags = tags[list[i].ID]
		}
		if list[i].Tags == nil {
			list[i].Tags = map[string]string{}
		}
	}
	return nil
}

// freezes reads the freezes for decisions.
func (l *look) freezes(wg *sync.WaitGroup, keys []string) {
	if len(keys) == 0 {
		return
	}
	wg.Go(func() {
		fact := rollout.Read[rollout.Freezes](l.business().UTC(), nil)
		if l.hasJournal {
			err := contain(func() (err error) {
				fact.Value, err = l.jobs.readFreezes(l.reader.ctx)
				return err
			})
			if err != nil {
				fact.Err = &rollout.Unread{Code: events.CodeFactsUnavailable, Message: err.Error()}
			}
		}
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, key := range keys {
			l.facts.Freezes.Note(key, fact)
		}
	})
}

// rings reads how far rollouts of other fleets are, for fleets that come after them.
func (rd *reader) rings(needs map[desktop.Place]*rollout.Need) {
	for at, need := range needs {
		for _, id := range need.Rings {
			readAt := rd.business().UTC()
			ring, err := rd.ring(id)
			fact := rollout.Read(readAt, ring)
			if err != nil {
				fact.Err = &rollout.Unread{Code: events.CodeFactsUnavailable, Message: err.Error()}
			}
			rd.change(at, func(f *rollout.Facts) { f.Rings.Note(id, fact) })
		}
	}
}

func (rd *reader) ring(id string) (ring rollout.Ring, err error) {
	_, fleet, _ := rollout.SplitID(id)
	log, err := rd.jobs.fleetLog(fleet)
	if err != nil {
		return "", err
	}
	err = rd.jobs.peek(kindRollout, id, func(s *rollout.State) { ring = rollout.RingOf(log, id, s) })
	return ring, err
}

// maxLooks bounds how often the facts are asked for before a decision is made. A
// fleet of 10,000 of which no desktop can be begun takes the most: each look reads
// some hundred further desktops.
const maxLooks = 250

// preview plans an operation, and changes nothing.
func (rd *reader) preview(op rollout.Operation) preview {
	for range maxLooks {
		var p preview
		var need rollout.Need
		rd.use(op.Place(), nil, func(f *rollout.Facts) { p.Plan, need, p.unread = rollout.Preview(op, rd.rules, f, rd.asOf()) })
		if need.Empty() {
			return p
		}
		rd.look(rd.sharing(), map[desktop.Place]*rollout.Need{op.Place(): &need})
	}
	return preview{events.Plan{AccountID: op.AccountID, RegionID: op.RegionID}, &rollout.Unread{Code: events.CodeFactsUnavailable,
		Message: "the facts do not suffice"}}
}

// Plan says what an operation would do at a time by what ECD says, and changes nothing. It
// fails if something cannot be read: a plan that leaves something open would be taken for
// one that does not.
func Plan(ctx context.Context, d Describer, s Snapshotter, rules rollout.Rules, op rollout.Operation, now time.Time) (events.Plan, error) {
	i := &invocation{ctx: ctx, log: slog.New(slog.DiscardHandler), clock: func() time.Time { return now }}
	i.decideAt(now)
	services := Services{ECD: reads{Describer: d}, Snapshots: s}
	rd := &reader{invocation: i, rules: rules, perms: newPermissions(i.log), counts: newTally(), places: map[desktop.Place]*rollout.Facts{},
		accounts: &accounts{own: services, member: func(fleet.Account) Services { return services }, fleets: rules.Fleets}}
	p := rd.preview(op)
	if p.unread != nil {
		return events.Plan{}, fmt.Errorf("the plan is not whole: %s: %s", p.unread.Code, p.unread.Message)
	}
	return p.Plan, nil
}

// reads is an ECD of which nothing but what is read for plans can be called.
type reads struct {
	Describer
	Rebuilder
	Maintainer
	Checker
}

// A preview is a plan, and what could not be read for it.
type preview struct {
	events.Plan
	unread *rollout.Unread
}
