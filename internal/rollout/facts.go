package rollout

import (
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
type Unread struct{ Code, Message string }

// Facts are what is known of one region. A nil desktop or image is one that ECD
// was asked for and does not list. A key that is absent was not asked for.
type Facts struct {
	Desktops map[string]Fact[*desktop.Desktop]
	Tags     map[string]Fact[map[string]string] // by desktop
	Images   map[string]Fact[*desktop.Image]
	Changes  map[string]Fact[[]desktop.Change]              // by desktop, newest first
	Checks   map[string]Fact[map[string]desktop.Invocation] // by check, by desktop
	Members  map[string]Fact[[]desktop.Desktop]             // by fleet
	// Snapshots are those of a desktop, where its fleet keeps any; by desktop.
	Snapshots map[string]Fact[[]desktop.Snapshot]
	// Freezes are all that the journal knows of, under FreezesKey.
	Freezes map[string]Fact[Freezes]
	// Rings are how the work's release is on the fleets that it comes after.
	Rings map[string]Fact[Ring] // by release and fleet, as rollouts are named
	// Busy are desktops that another rollout of the same fleet is rebuilding, and
	// which. It comes from the journal and differs from work to work.
	Busy map[string]string
}

// NewFacts returns facts that know nothing yet.
func NewFacts() *Facts {
	return &Facts{
		Desktops: map[string]Fact[*desktop.Desktop]{}, Tags: map[string]Fact[map[string]string]{}, Images: map[string]Fact[*desktop.Image]{},
		Changes: map[string]Fact[[]desktop.Change]{}, Checks: map[string]Fact[map[string]desktop.Invocation]{}, Members: map[string]Fact[[]desktop.Desktop]{},
		Snapshots: map[string]Fact[[]desktop.Snapshot]{}, Freezes: map[string]Fact[Freezes]{}, Rings: map[string]Fact[Ring]{},
	}
}

// DropBefore forgets what was read before t.
func (f *Facts) DropBefore(t time.Time) {
	drop(f.Desktops, t)
	drop(f.Tags, t)
	drop(f.Images, t)
	drop(f.Changes, t)
	drop(f.Checks, t)
	drop(f.Members, t)
	drop(f.Snapshots, t)
	drop(f.Freezes, t)
	drop(f.Rings, t)
}

func drop[T any](facts map[string]Fact[T], t time.Time) {
	for key, f := range facts {
		if f.ReadAt.Before(t) {
			delete(facts, key)
		}
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
}

// Empty says whether nothing more must be known.
func (n Need) Empty() bool {
	return len(n.Desktops)+len(n.Tags)+len(n.Images)+len(n.Changes)+len(n.Checks)+len(n.Members)+len(n.Snapshots)+len(n.Freezes)+len(n.Rings) == 0
}

// Add adds the needs of another decision, each once.
func (n *Need) Add(o Need) {
	for _, p := range []struct {
		to   *[]string
		from []string
	}{
		{&n.Desktops, o.Desktops}, {&n.Tags, o.Tags}, {&n.Images, o.Images},
		{&n.Changes, o.Changes}, {&n.Checks, o.Checks}, {&n.Members, o.Members},
		{&n.Snapshots, o.Snapshots}, {&n.Freezes, o.Freezes}, {&n.Rings, o.Rings},
	} {
		if len(*p.to) == 0 {
			*p.to = p.from
			continue
		}
		*p.to = append(*p.to, p.from...)
		slices.Sort(*p.to)
		*p.to = slices.Compact(*p.to)
	}
}

// A clock is the time of a decision. It says what is due and when to look again.
// It cannot say how long something has been so: only a Fact can.
type clock struct{ t time.Time }

// due says whether t has come.
func (c clock) due(t time.Time) bool { return !c.t.Before(t) }

// in returns the time after d.
func (c clock) in(d time.Duration) time.Time { return c.t.Add(d) }

// pace returns when to look again at something that began at t.
func (c clock) pace(t time.Time) time.Time { return c.t.Add(Backoff(c.t.Sub(t))) }

// find returns a fact that was read at since or later. Otherwise it asks for it
// or, if since is still to come, sees to it that somebody looks then.
func find[T any](d *decider, facts map[string]Fact[T], key string, needs *[]string, since time.Time) (Fact[T], bool) {
	if f, asked := facts[key]; asked && !f.ReadAt.Before(since) {
		return f, true
	}
	if !d.now.due(since) {
		d.open++
		d.again(since)
		return Fact[T]{}, false
	}
	d.need(needs, key)
	return Fact[T]{}, false
}

// about is find for a fact about one desktop. One that could not be had is dealt
// with here: false says that the desktop waits, or has failed, for want of it.
func about[T any](d *decider, x *Desktop, facts map[string]Fact[T], key string, needs *[]string, since time.Time) (Fact[T], bool) {
	f, ok := find(d, facts, key, needs, since)
	if ok && f.Err != nil {
		d.unread(x, f.Err, f.ReadAt)
		return f, false
	}
	return f, ok
}

// read returns what ECD says of the desktop, as far as that was read after all
// that we know to have happened to it.
func (d *decider) read(x *Desktop) (Fact[*desktop.Desktop], bool) {
	return about(d, x, d.f.Desktops, x.ID, &d.out.Need.Desktops, x.eventful())
}

// image returns what ECD says of an image; nothing for no image.
func (d *decider) image(x *Desktop, id string) (*desktop.Image, bool) {
	if id == "" {
		return nil, true
	}
	f, ok := about(d, x, d.f.Images, id, &d.out.Need.Images, zero)
	return f.Value, ok
}

// changes returns ECD's record of the desktop's image changes, newest first.
func (d *decider) changes(x *Desktop) (Fact[[]desktop.Change], bool) {
	return about(d, x, d.f.Changes, x.ID, &d.out.Need.Changes, x.eventful())
}

// snapshots adds the desktop's snapshots, where its fleet keeps any and nothing
// else keeps it from being rebuilt: they are asked for desktop by desktop. With
// consent they matter to plans alone.
func (d *decider) snapshots(x *Desktop, q *guard.Question) bool {
	consented := slices.Contains(q.Rules.Consents, events.ConsentSnapshots)
	if q.Rules.Keep == guard.KeepNone || q.Image == nil || consented && !d.planning {
		return true
	}
	bare := *q
	bare.Rules.Keep, bare.Rules.Sessions = guard.KeepNone, guard.ForceInUse
	if guard.Check(bare).Answer != guard.Go {
		return true
	}
	f, ok := about(d, x, d.f.Snapshots, x.ID, &d.out.Need.Snapshots, zero)
	if q.Snapshots = f.Value; ok && q.Snapshots == nil {
		q.Snapshots = []desktop.Snapshot{} // asked for, and there are none
	}
	return ok
}

// tagged returns the desktop with its tags, where the fleets choose by tags.
func (d *decider) tagged(x *Desktop, now *desktop.Desktop) (*desktop.Desktop, bool) {
	if now == nil || now.Tags != nil || !d.r.Fleets.NeedTags(now.RegionID) {
		return now, true
	}
	f, ok := about(d, x, d.f.Tags, x.ID, &d.out.Need.Tags, zero)
	if !ok {
		return nil, false
	}
	with := *now
	if with.Tags = f.Value; with.Tags == nil {
		with.Tags = map[string]string{}
	}
	return &with, true
}

// need asks for something once.
func (d *decider) need(list *[]string, key string) {
	type wanted struct {
		list *[]string
		key  string
	}
	if d.want == nil {
		d.want = map[any]bool{}
	}
	if w := (wanted{list, key}); !d.want[w] {
		d.want[w] = true
		*list = append(*list, key)
	}
}
