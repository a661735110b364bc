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

// A factKind is a kind of fact that can be asked for.
type factKind int

const (
	desktopFacts factKind = iota
	tagFacts
	imageFacts
	changeFacts
	checkFacts
	memberFacts
	snapshotFacts
	freezeFacts
	ringFacts
	factKinds int = iota
)

// of returns the list of what is needed of one kind.
func (n *Need) of(k factKind) *[]string {
	return [factKinds]*[]string{&n.Desktops, &n.Tags, &n.Images, &n.Changes, &n.Checks, &n.Members, &n.Snapshots, &n.Freezes, &n.Rings}[k]
}

// Empty says whether nothing more must be known.
func (n *Need) Empty() bool {
	for k := range factKinds {
		if len(*n.of(factKind(k))) > 0 {
			return false
		}
	}
	return true
}

// Add adds the needs of another decision, each once.
func (n *Need) Add(o Need) {
	for k := range factKinds {
		to, from := n.of(factKind(k)), *o.of(factKind(k))
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
func find[T any](v *view, facts map[string]Fact[T], kind factKind, key string, since time.Time) (Fact[T], step, bool) {
	if f, asked := facts[key]; asked && !f.ReadAt.Before(since) {
		return f, step{}, true
	}
	if !v.now.due(since) {
		return Fact[T]{}, unfinished(since), false
	}
	return Fact[T]{}, step{needs: []missingFact{{kind, key}}}, false
}

// about is find for a fact about one desktop. If it could not be had, the step says
// that the desktop waits for it, or has failed for want of it.
func about[T any](v *view, x *Desktop, facts map[string]Fact[T], kind factKind, key string, since time.Time) (Fact[T], step, bool) {
	f, s, ok := find(v, facts, kind, key, since)
	if ok && f.Err != nil {
		return f, v.cannotRead(x, f.Err, f.ReadAt), false
	}
	return f, s, ok
}

// read returns what ECD says of the desktop, as far as that was read after all
// that we know to have happened to it.
func (v *view) read(x *Desktop) (Fact[*desktop.Desktop], step, bool) {
	return about(v, x, v.f.Desktops, desktopFacts, x.ID, x.eventful())
}

// image returns what ECD says of an image; nothing for no image.
func (v *view) image(x *Desktop, id string) (*desktop.Image, step, bool) {
	if id == "" {
		return nil, step{}, true
	}
	f, s, ok := about(v, x, v.f.Images, imageFacts, id, zero)
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
	f, s, ok := about(v, x, v.f.Snapshots, snapshotFacts, x.ID, zero)
	if ok && f.Value == nil {
		f.Value = []desktop.Snapshot{} // asked for, and there are none
	}
	return f.Value, s, ok
}

// tagged returns the desktop with its tags, where the fleets choose by tags.
func (v *view) tagged(x *Desktop, now *desktop.Desktop) (*desktop.Desktop, step, bool) {
	if now == nil || now.Tags != nil || !v.r.Fleets.NeedTags(now.RegionID) {
		return now, step{}, true
	}
	f, s, ok := about(v, x, v.f.Tags, tagFacts, x.ID, zero)
	if !ok {
		return nil, s, false
	}
	with := *now
	if with.Tags = f.Value; with.Tags == nil {
		with.Tags = map[string]string{}
	}
	return &with, s, true
}
