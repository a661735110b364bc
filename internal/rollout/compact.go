package rollout

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/regild/regild/events"
)

// Compact returns the fewest records that fold to what the state knows of the
// desktops that are not finished: for a function without a journal, which sends
// them to itself in a tick. What is finished and published is left out, so the
// result speaks of a smaller request than the journal would.
func (s *State) Compact(ids []string) []Record {
	w := *s.Operation
	w.Desktops = ids
	c := compaction{published: map[outcomeKey][]string{}}
	for _, id := range ids {
		c.desktop(s.Desktops[id])
	}
	// Kind by kind, so that joining desktops keeps the order of each one's own.
	out := []Record{{Kind: KindOpened, At: s.OpenedAt, Operation: &w}}
	for _, kind := range c.steps {
		out = append(out, merged(kind)...)
	}
	rec := Record{Kind: KindPublished, At: s.OpenedAt}
	for _, k := range slices.SortedFunc(maps.Keys(c.published), outcomeKey.compare) {
		rec.Outcomes = append(rec.Outcomes, Group{Status: k.status, N: k.n, Desktops: c.published[k]})
	}
	if rec.Outcomes == nil {
		return out
	}
	return append(out, rec)
}

// compaction gathers the records of single desktops by the step of a desktop's
// life that they tell, in the order of that life.
type compaction struct {
	steps     [7][]Record
	published map[outcomeKey][]string
	untold    []outcomeKey // of the desktop that is told, what the world does not know
}

const (
	stepWaits = iota
	stepBegun
	stepEnded
	stepAccepted
	stepAgain
	stepWaiting
	stepFinal
)

// An outcomeKey is the n-th outcome of a status.
type outcomeKey struct {
	status events.Status
	n      int
}

func (k outcomeKey) compare(o outcomeKey) int {
	return cmp.Or(cmp.Compare(k.status, o.status), cmp.Compare(k.n, o.n))
}

func (c *compaction) add(step int, r Record) { c.steps[step] = append(c.steps[step], r) }

// outcome tells an outcome with its number, and that it is published if it is.
func (c *compaction) outcome(step int, d *Desktop, r Record, g Group) {
	// A deferral's code says whether the call's fate is unknown: an earlier one,
	// for another reason, must not stand for it.
	i := slices.IndexFunc(d.Unpublished, func(o Outcome) bool {
		return o.Status == g.Status && (o.Status != events.StatusDeferred || o.Code == g.Code)
	})
	if i < 0 {
		c.told(step, d, r, g)
		return
	}
	o := d.Unpublished[i]
	c.untold = append(c.untold, outcomeKey{o.Status, o.N})
	g.Code, g.Message, g.N, r.RequestID = o.Code, o.Message, o.N, o.RequestID
	g.Desktops = []string{d.ID}
	r.Outcomes = []Group{g}
	c.add(step, r)
}

// count tells how many outcomes of a status the world has been told of, if life
// has not told as many.
func (c *compaction) count(d *Desktop, status events.Status, n int) {
	k := outcomeKey{status, n}
	if ids := c.published[k]; !slices.Contains(c.untold, k) && (len(ids) == 0 || lastOf(ids) != d.ID) {
		c.published[k] = append(ids, d.ID)
	}
}

// told tells an outcome that the world knows.
func (c *compaction) told(step int, d *Desktop, r Record, g Group) {
	g.N = max(1, d.counts.of(g.Status))
	g.Desktops = []string{d.ID}
	k := outcomeKey{g.Status, g.N}
	c.published[k] = append(c.published[k], d.ID)
	r.Outcomes = []Group{g}
	c.add(step, r)
}

func (c *compaction) desktop(d *Desktop) {
	c.untold = nil
	c.life(d)
	for _, status := range events.Statuses { // what comes next is counted on
		if n := d.counts.of(status); n > 0 {
			c.count(d, status, n)
		}
	}
	id := []string{d.ID}
	c.notice(d)
	c.ask(d)
	if d.Held {
		c.add(stepFinal, Record{Kind: KindHolding, At: d.BegunAt, Desktops: id})
	}
	if d.Stopped {
		c.add(stepFinal, Record{Kind: KindStopping, At: d.StoppedAt, Desktops: id})
	}
}

// life tells how far the desktop is.
func (c *compaction) life(d *Desktop) {
	id := []string{d.ID}
	c.waits(d)
	for range d.Attempt {
		c.add(stepBegun, Record{Kind: KindBegun, At: d.BegunAt, Call: d.Call, Desktops: id, From: []string{d.From}})
	}
	final := d.Phase == Final
	switch {
	case d.Phase == Begun && !d.CallEnded.IsZero():
		c.outcome(stepEnded, d, Record{Kind: KindEnded, At: d.CallEnded, Call: d.Call},
			Group{Status: events.StatusDeferred, Code: events.CodeOutcomeUnknown, Message: d.Last.Message})
	case d.Phase == Accepted, final && d.Touched:
		c.outcome(stepAccepted, d, Record{Kind: KindSettled, At: d.AcceptedAt}, Group{Status: events.StatusAccepted, Code: events.CodeSuccess})
		if d.Seen {
			c.add(stepAgain, Record{Kind: KindSeen, At: d.AcceptedAt, Desktops: id})
		}
	case d.Attempt > 0 && d.Phase == Pending && !d.tried() && d.WaitCode == IncorrectDesktopStatus:
		c.outcome(stepEnded, d, Record{Kind: KindEnded, At: d.WaitSince, Call: d.Call},
			Group{Status: events.StatusDeferred, Code: d.WaitCode, Message: d.Last.Message, Until: d.Again})
		return
	case d.Attempt > 0 && d.Phase == Pending && !d.tried():
		c.told(stepEnded, d, Record{Kind: KindEnded, At: d.BegunAt, Call: d.Call}, Group{Status: events.StatusDeferred, Code: IncorrectDesktopStatus})
	case d.Attempt > 0 && (d.Phase == Pending || final && d.Last.Status != events.StatusFailed):
		c.add(stepAgain, Record{Kind: KindAgain, At: d.BegunAt, Desktops: id})
	}
	if d.Phase == Pending && d.WaitCode != "" {
		c.outcome(stepWaiting, d, Record{Kind: KindSettled, At: d.WaitSince},
			Group{Status: events.StatusDeferred, Code: d.WaitCode, Message: d.Last.Message, Until: d.Again})
	}
	if final {
		c.outcome(stepFinal, d, Record{Kind: KindSettled, At: d.DoneAt}, Group{Status: d.Last.Status, Code: d.Last.Code, Message: d.Last.Message})
	}
}

// waits tells the reasons that stand behind the one for which the desktop waits
// now, which comes later if it still waits. The world was told of them.
func (c *compaction) waits(d *Desktop) {
	if d.Phase != Pending && d.Phase != Begun {
		return
	}
	waits := slices.Clone(d.Waits)
	if d.Phase == Begun && d.WaitCode != "" {
		waits = append(waits, Wait{d.WaitCode, d.WaitSince})
	}
	for _, w := range waits {
		c.told(stepWaits, d, Record{Kind: KindSettled, At: w.Since}, Group{Status: events.StatusDeferred, Code: w.Code, Until: d.Again})
	}
}

// merged joins neighbouring records that say the same of several desktops.
func merged(records []Record) []Record {
	type sameness struct {
		kind  Kind
		at    time.Time
		call  string
		asked string
		run   string
		group outcome
		n     int
	}
	var out []Record
	at := map[sameness]int{}
	for _, r := range records {
		if r.Kind == KindOpened {
			out = append(out, r)
			continue
		}
		key := sameness{kind: r.Kind, at: r.At, call: r.Call, asked: r.RequestID, run: r.Invoke}
		for _, g := range r.Outcomes { // one at most
			key.group, key.n = outcome{Result: Result{g.Status, g.Code, g.Message}, until: g.Until}, g.N
		}
		// A desktop's own records must stay in their order, and begun twice is
		// two attempts: only those of other desktops are joined. Its own came
		// right before.
		i, known := at[key]
		if !known || lastOf(desktopsOf(out[i])) == desktopsOf(r)[0] {
			at[key] = len(out)
			out = append(out, r)
			continue
		}
		out[i].Desktops = append(out[i].Desktops, r.Desktops...)
		out[i].From = append(out[i].From, r.From...)
		for k := range r.Outcomes {
			out[i].Outcomes[k].Desktops = append(out[i].Outcomes[k].Desktops, r.Outcomes[k].Desktops...)
		}
	}
	return out
}

func lastOf(ids []string) string { return ids[len(ids)-1] }

func desktopsOf(r Record) []string {
	if len(r.Outcomes) > 0 {
		return r.Outcomes[0].Desktops
	}
	return r.Desktops
}
