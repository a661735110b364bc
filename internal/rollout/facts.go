package rollout

import (
	"maps"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/guard"
)

// A Fact is something that ECD was asked, with its answer and the time of the
// question. How long something has been so is measured to ReadAt, and never to
// the moment of deciding: an answer that is minutes old says nothing of the
// minutes since.
type Fact[T any] struct {
	Value  T
	ReadAt time.Time // business time right before the request was sent
	Err    *Unread   // why there is no answer; nil: Value is one
}

// Since returns how long something that began at t had been so when it was asked.
func (f Fact[T]) Since(t time.Time) time.Duration { return f.ReadAt.Sub(t) }

// Read returns the fact that ECD answered value to a question of the time at.
func Read[T any](at time.Time, value T) Fact[T] { return Fact[T]{Value: value, ReadAt: at} }

// Unread is why a fact could not be had.
type Unread struct {
	Code, Message string
	Refused       bool // ECD does not take the question, and will not the next time
	Unasked       bool // the question was not sent: nobody has looked
}

// A Table has the facts of one kind by their keys. A key that is absent was not
// asked for.
type Table[T any] map[string]Fact[T]

// Note notes a fact.
func (t *Table[T]) Note(key string, f Fact[T]) { put((*map[string]Fact[T])(t), key, f) }

// Facts are what is known of one region. A nil desktop or image is one that ECD
// was asked for and does not list.
type Facts struct {
	Desktops Table[*desktop.Desktop]
	Tags     Table[map[string]string] // by desktop
	Images   Table[*desktop.Image]
	Changes  Table[[]desktop.Change]              // by desktop, newest first
	Checks   Table[map[string]desktop.Invocation] // by the ids of the commands, as a record has them; then by desktop
	Members  Table[[]desktop.Desktop]             // by fleet
	// Snapshots are those of a desktop, where its fleet keeps any; by desktop.
	Snapshots Table[[]desktop.Snapshot]
	// Freezes are all that the journal knows of, under FreezesKey.
	Freezes Table[Freezes]
	// Rings are how the release is on the fleets that it comes after.
	Rings Table[Ring] // by release and fleet, as rollouts are named
	// Sessions are those on a desktop, where its fleet says after how long somebody
	// who is idle does not count; by desktop.
	Sessions Table[[]desktop.Session]
	// Uses are who was on a desktop, by desktop; Logons who tried to connect to it, or
	// under "" to any of the region.
	Uses   Table[History[desktop.Session]]
	Logons Table[History[desktop.Event]]
	Alarms Table[[]desktop.Alarm] // by name: all rules that have it
	// Others come from journals, and differ between operations.
	Others
}

// A History is what happened from a time on.
type History[T any] struct {
	From time.Time
	List []T
}

// Others are what other operations have to do with the desktops of one.
type Others struct {
	Busy map[string]string // desktops that an earlier rollout, or the request that is rolled back, still uses, and which
	// Unchanged are, for the rollback of a request, the desktops that the request is known
	// not to have changed, though it may have seemed so when the rollback was opened.
	Unchanged map[string]bool
	// Woken says that the rollout is looked at for another reason than its own tick, such as
	// a freeze: it says why it waits, whatever may begin.
	Woken bool
	// Unread says that the log of the fleet was not read: nothing of all this is known, nor whether
	// a later rollout of the fleet takes over.
	Unread bool
}

// Add adds the desktops that an operation still uses.
func (o *Others) Add(by string, s *State) {
	for id, d := range s.Desktops {
		// It will still release or start what it put into maintenance mode or stopped: it
		// would do so while another one uses it.
		restores := !s.Closed && (d.Held || d.Stopped)
		if d.Phase == Begun || d.Phase == Accepted || restores {
			if o.Busy == nil {
				o.Busy = map[string]string{}
			}
			o.Busy[id] = by
		}
	}
}

// AddUnchanged adds the desktops that a request does not use and has not changed, as is
// known by now.
func (o *Others) AddUnchanged(s *State) {
	o.Unchanged = map[string]bool{}
	for id, d := range s.Desktops {
		if _, uses := o.Busy[id]; !uses && !s.changed(d) {
			o.Unchanged[id] = true
		}
	}
}

// A source is one kind of fact: where it is kept, and where it is asked for.
type source[T any] struct {
	table func(*Facts) *Table[T]
	asked func(*Need) *[]string
}

// The sources. A new kind of fact is a field of Facts, one of Need, and a source.
var (
	ofDesktops  = from(func(f *Facts) *Table[*desktop.Desktop] { return &f.Desktops }, func(n *Need) *[]string { return &n.Desktops })
	ofTags      = from(func(f *Facts) *Table[map[string]string] { return &f.Tags }, func(n *Need) *[]string { return &n.Tags })
	ofImages    = from(func(f *Facts) *Table[*desktop.Image] { return &f.Images }, func(n *Need) *[]string { return &n.Images })
	ofChanges   = from(func(f *Facts) *Table[[]desktop.Change] { return &f.Changes }, func(n *Need) *[]string { return &n.Changes })
	ofChecks    = from(func(f *Facts) *Table[map[string]desktop.Invocation] { return &f.Checks }, func(n *Need) *[]string { return &n.Checks })
	ofMembers   = from(func(f *Facts) *Table[[]desktop.Desktop] { return &f.Members }, func(n *Need) *[]string { return &n.Members })
	ofSnapshots = from(func(f *Facts) *Table[[]desktop.Snapshot] { return &f.Snapshots }, func(n *Need) *[]string { return &n.Snapshots })
	ofFreezes   = from(func(f *Facts) *Table[Freezes] { return &f.Freezes }, func(n *Need) *[]string { return &n.Freezes })
	ofRings     = from(func(f *Facts) *Table[Ring] { return &f.Rings }, func(n *Need) *[]string { return &n.Rings })
	ofSessions  = from(func(f *Facts) *Table[[]desktop.Session] { return &f.Sessions }, func(n *Need) *[]string { return &n.Sessions })
	ofUses      = from(func(f *Facts) *Table[History[desktop.Session]] { return &f.Uses }, func(n *Need) *[]string { return &n.Uses })
	ofLogons    = from(func(f *Facts) *Table[History[desktop.Event]] { return &f.Logons }, func(n *Need) *[]string { return &n.Logons })
	ofAlarms    = from(func(f *Facts) *Table[[]desktop.Alarm] { return &f.Alarms }, func(n *Need) *[]string { return &n.Alarms })

	sources = []interface {
		dropBefore(*Facts, time.Time)
		list(*Need) *[]string
	}{ofDesktops, ofTags, ofImages, ofChanges, ofChecks, ofMembers, ofSnapshots, ofFreezes, ofRings, ofSessions, ofUses, ofLogons, ofAlarms}
)

func from[T any](table func(*Facts) *Table[T], asked func(*Need) *[]string) source[T] {
	return source[T]{table, asked}
}

func (s source[T]) dropBefore(f *Facts, t time.Time) {
	maps.DeleteFunc(*s.table(f), func(_ string, f Fact[T]) bool { return f.ReadAt.Before(t) })
}

func (s source[T]) list(n *Need) *[]string { return s.asked(n) }

// DropBefore forgets what was read before t.
func (f *Facts) DropBefore(t time.Time) {
	for _, s := range sources {
		s.dropBefore(f, t)
	}
}

// A Need is what must be known before a decision can be made.
type Need struct {
	Desktops []string
	Tags     []string // of these desktops
	Images   []string
	Changes  []string // of these desktops
	Checks   []string
	Members  []string // of these fleets

	Snapshots []string // of these desktops
	Freezes   []string // FreezesKey
	Rings     []string // of these rollouts
	Sessions  []string // of these desktops
	Uses      []string // of these desktops, from From on
	Logons    []string // of these desktops, or "": of all, from From on
	Alarms    []string // of these names
	Order     bool     // the log of the rollout's fleet, which gives Others

	From time.Time // of the decision that wants the longest History
}

// Empty says whether nothing more must be known.
func (n *Need) Empty() bool {
	return len(n.Desktops)+len(n.Tags)+len(n.Images)+len(n.Changes)+len(n.Checks)+len(n.Members)+
		len(n.Snapshots)+len(n.Freezes)+len(n.Rings)+len(n.Sessions)+len(n.Uses)+len(n.Logons)+len(n.Alarms) == 0 && !n.Order
}

// Add adds the needs of another decision, each once.
func (n *Need) Add(o Need) {
	n.From = Soonest(n.From, o.From)
	for _, s := range sources {
		to, from := s.list(n), *s.list(&o)
		if len(*to) == 0 {
			*to = from
			continue
		}
		*to = append(*to, from...)
		slices.Sort(*to)
		*to = slices.Compact(*to)
	}
}

// A clock is the time of a decision. It says what is due and when to look again.
// It cannot say how long something has been so: only a Fact can.
type clock struct{ t time.Time }

// due says whether t has come.
func (c clock) due(t time.Time) bool { return !c.t.Before(t) }

// in returns the time after d.
func (c clock) in(d time.Duration) time.Time { return c.t.Add(d) }

// backoff returns when to look again at something that began at t.
func (c clock) backoff(t time.Time) time.Time { return c.t.Add(Backoff(c.t.Sub(t))) }

// find returns a fact that was read at since or later. Otherwise false, and the
// step asks for it or, if since is still to come, looks again then.
func find[T any](v *view, from source[T], key string, since time.Time) (Fact[T], step, bool) {
	if f, asked := (*from.table(v.f))[key]; asked && !f.ReadAt.Before(since) {
		return f, step{}, true
	}
	if !v.now.due(since) {
		return Fact[T]{}, unfinished(since), false
	}
	return Fact[T]{}, step{needs: []missingFact{{list: from.asked, key: key}}}, false
}

// findHistory is find for what happened from a time on. What is known of less than
// that is asked for again.
func findHistory[T any](v *view, of source[History[T]], key string, from, since time.Time) (Fact[History[T]], step, bool) {
	f, s, ok := find(v, of, key, since)
	if f.Value.From.After(from) {
		s, ok = step{needs: []missingFact{{list: of.asked, key: key}}}, false
	}
	for i := range s.needs {
		s.needs[i].from = from
	}
	return f, s, ok
}

// about is find for a fact about one desktop. If it could not be had, the step says
// that the desktop waits for it, or has failed for want of it.
func about[T any](v *view, x *Desktop, from source[T], key string, since time.Time) (Fact[T], step, bool) {
	f, s, ok := find(v, from, key, since)
	if ok && f.Err != nil {
		return f, v.cannotRead(x, f.Err, f.ReadAt), false
	}
	return f, s, ok
}

// read returns what ECD says of the desktop, as far as that was read after all
// that we know to have happened to it.
func (v *view) read(x *Desktop) (Fact[*desktop.Desktop], step, bool) {
	return about(v, x, ofDesktops, x.ID, x.eventful())
}

// image returns what ECD says of an image; nothing for no image.
func (v *view) image(x *Desktop, id string) (*desktop.Image, step, bool) {
	if id == "" {
		return nil, step{}, true
	}
	f, s, ok := about(v, x, ofImages, id, zero)
	return f.Value, s, ok
}

// snapshots returns the desktop's snapshots, where its fleet keeps any and nothing
// else keeps it from being rebuilt: they are asked for desktop by desktop. With
// consent they matter to plans alone.
func (v *view) snapshots(x *Desktop, q guard.Question) ([]desktop.Snapshot, step, bool) {
	consented := slices.Contains(q.Rules.Consents, events.ConsentSnapshots)
	if q.Rules.Keep == guard.KeepNone || q.Image == nil || consented && !v.planning {
		return nil, step{}, true
	}
	q.Rules.Keep, q.Rules.Sessions = guard.KeepNone, guard.ForceInUse
	if guard.Check(q).Answer != guard.Go {
		return nil, step{}, true
	}
	f, s, ok := about(v, x, ofSnapshots, x.ID, zero)
	if ok && f.Value == nil {
		f.Value = []desktop.Snapshot{} // asked for, and there are none
	}
	// Our own are to be deleted with the disk, if ECD does that: see snapshot.go.
	return slices.DeleteFunc(slices.Clone(f.Value), func(s desktop.Snapshot) bool { return v.own(x, s) }), s, ok
}

// tagged returns the desktop with its tags, where the fleets choose by tags.
func (v *view) tagged(x *Desktop, now *desktop.Desktop) (*desktop.Desktop, step, bool) {
	if now == nil || now.Tags != nil || !v.r.Fleets.NeedTags(now.Place()) {
		return now, step{}, true
	}
	f, s, ok := about(v, x, ofTags, x.ID, zero)
	if !ok {
		return nil, s, false
	}
	with := *now
	if with.Tags = f.Value; with.Tags == nil {
		with.Tags = map[string]string{}
	}
	return &with, s, true
}
