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
	op := *s.Operation
	op.Desktops = ids
	c := compaction{published: map[outcomeKey][]string{}}
	for _, id := range ids {
		c.desktop(s.Desktops[id])
	}
	// Kind by kind, so that joining desktops keeps the order of each one's own.
	out := []Record{{Kind: KindOpened, At: s.OpenedAt, Operation: &op}}
	for _, p := range c.parts {
		out = append(out, p.records...)
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

// compaction gathers the records of single desktops by the part of a desktop's
// history that they tell, in the order of that history.
type compaction struct {
	parts       [7]part
	published   map[outcomeKey][]string
	unpublished []outcomeKey // of the desktop at hand
}

const (
	partWaits = iota
	partBegun
	partEnded
	partAccepted
	partAgain
	partWaiting
	partFinal
)

// An outcomeKey is the n-th outcome of a status.
type outcomeKey struct {
	status events.Status
	n      int
}

func (k outcomeKey) compare(o outcomeKey) int {
	return cmp.Or(cmp.Compare(k.status, o.status), cmp.Compare(k.n, o.n))
}

func (c *compaction) add(part int, r Record) { c.parts[part].add(r) }

// note writes that something was so of a desktop at a time; zero: it was not.
func (c *compaction) note(part int, d *Desktop, kind Kind, at time.Time) {
	if !at.IsZero() {
		c.add(part, Record{Kind: kind, At: at, Desktops: []string{d.ID}})
	}
}

// outcome writes an outcome with its number, and that it is published if it is.
func (c *compaction) outcome(part int, d *Desktop, r Record, g Group) {
	// A deferral's code says whether the call's delivery is unknown: an earlier one,
	// for another reason, must not stand for it.
	i := slices.IndexFunc(d.Unpublished, func(o Outcome) bool {
		return o.Status == g.Status && (o.Status != events.StatusDeferred || o.Code == g.Code)
	})
	if i < 0 {
		c.known(part, d, r, g)
		return
	}
	o := d.Unpublished[i]
	c.unpublished = append(c.unpublished, outcomeKey{o.Status, o.N})
	g.Code, g.Message, g.N, r.RequestID = o.Code, o.Message, o.N, o.RequestID
	g.Desktops = []string{d.ID}
	r.Outcomes = []Group{g}
	c.add(part, r)
}

// count writes how many outcomes of a status are published, if history has not
// written as many.
func (c *compaction) count(d *Desktop, status events.Status, n int) {
	k := outcomeKey{status, n}
	if ids := c.published[k]; !slices.Contains(c.unpublished, k) && (len(ids) == 0 || ids[len(ids)-1] != d.ID) {
		c.published[k] = append(ids, d.ID)
	}
}

// known writes an outcome that is published.
func (c *compaction) known(part int, d *Desktop, r Record, g Group) {
	g.N = max(1, d.counts.of(g.Status))
	g.Desktops = []string{d.ID}
	k := outcomeKey{g.Status, g.N}
	c.published[k] = append(c.published[k], d.ID)
	r.Outcomes = []Group{g}
	c.add(part, r)
}

func (c *compaction) desktop(d *Desktop) {
	c.unpublished = nil
	c.history(d)
	for _, status := range events.Statuses { // what comes next is counted on
		if n := d.counts.of(status); n > 0 {
			c.count(d, status, n)
		}
	}
	id := []string{d.ID}
	c.notice(d)
	c.ask(d)
	c.save(d)
	c.note(partFinal, d, KindMissing, d.MissingAt.Time()) // outside is noted of a rollout's alone
	if d.Held {
		c.add(partFinal, Record{Kind: KindHolding, At: d.BegunAt.Time(), Desktops: id})
	}
	if d.Stopped {
		c.add(partFinal, Record{Kind: KindStopping, At: d.StoppedAt.Time(), Desktops: id})
	}
}

// history writes how far the desktop is.
func (c *compaction) history(d *Desktop) {
	id := []string{d.ID}
	c.waits(d)
	for range d.Attempt {
		c.add(partBegun, Record{Kind: KindBegun, At: d.BegunAt.Time(), Call: d.Call, Desktops: id, From: []string{d.From}})
	}
	final := d.Phase == Final
	switch {
	case d.Phase == Begun && !d.CallEnded.IsZero():
		c.outcome(partEnded, d, Record{Kind: KindEnded, At: d.CallEnded.Time(), Call: d.Call},
			Group{Status: events.StatusDeferred, Code: events.CodeOutcomeUnknown, Message: d.Last.Message})
	case d.Phase == Accepted, final && d.Touched:
		c.outcome(partAccepted, d, Record{Kind: KindSettled, At: d.AcceptedAt.Time()}, Group{Status: events.StatusAccepted, Code: events.CodeSuccess})
	case d.denied() && d.WaitCode == IncorrectDesktopStatus:
		c.outcome(partEnded, d, Record{Kind: KindEnded, At: d.WaitSince.Time(), Call: d.Call},
			Group{Status: events.StatusDeferred, Code: d.WaitCode, Message: d.Last.Message, Until: d.RestsUntil})
		return
	case d.denied():
		c.known(partEnded, d, Record{Kind: KindEnded, At: d.BegunAt.Time(), Call: d.Call}, Group{Status: events.StatusDeferred, Code: IncorrectDesktopStatus})
	case d.Attempt > 0 && (d.Phase == Pending || final && d.Last.Status != events.StatusFailed):
		c.add(partAgain, Record{Kind: KindNotBegun, At: d.BegunAt.Time(), Desktops: id})
	}
	c.looks(d)
	if d.Phase == Pending && d.WaitCode != "" {
		c.outcome(partWaiting, d, Record{Kind: KindSettled, At: d.WaitSince.Time()},
			Group{Status: events.StatusDeferred, Code: d.WaitCode, Message: d.Last.Message, Until: d.RestsUntil})
	}
	if final {
		c.outcome(partFinal, d, Record{Kind: KindSettled, At: d.DoneAt.Time()}, Group{Status: d.Last.Status, Code: d.Last.Code, Message: d.Last.Message})
	}
}

// looks writes what was seen of the desktop since its call, and when. Arrived is noted here
// only of one of whose snapshot ECD could not be asked. Idle is not: a tick may come again after
// a call that it does not know of, and what ECD showed before that proves nothing after it.
func (c *compaction) looks(d *Desktop) {
	seen, called := d.SeenAt.Time(), d.Phase == Begun || d.Phase == Accepted
	if d.Touched && d.Phase != Begun {
		seen = d.AcceptedAt.Time()
	}
	if d.Seen {
		c.add(partAgain, Record{Kind: KindSeen, At: seen, Desktops: []string{d.ID}})
	}
	if called && (!d.Seen || d.SeenAt.Sub(seen) >= lateLook) {
		c.note(partAgain, d, KindLate, d.SeenAt.Time())
	}
	if d.Phase == Accepted && d.Saved != nil {
		c.note(partAgain, d, KindArrived, d.ArrivedAt.Time())
	}
}

// denied says whether the desktop is pending, and its last call that was sent was
// denied.
func (d *Desktop) denied() bool { return d.Attempt > 0 && d.Phase == Pending && !d.tried() }

// waits writes the reasons that stand behind the one for which the desktop waits
// now, which comes later if it still waits. They are published.
func (c *compaction) waits(d *Desktop) {
	if d.Phase != Pending && d.Phase != Begun {
		return
	}
	waits := slices.Clone(d.Waits)
	if d.Phase == Begun && d.WaitCode != "" {
		waits = append(waits, Wait{d.WaitCode, d.WaitSince.Time()})
	}
	part := partWaits
	if d.denied() && d.WaitCode != IncorrectDesktopStatus { // it waits for them still, or again: what was denied does not end them
		part = partAgain
	}
	for _, w := range waits {
		c.known(part, d, Record{Kind: KindSettled, At: w.Since}, Group{Status: events.StatusDeferred, Code: w.Code, Until: d.RestsUntil})
	}
}

// A part is one part of the histories of desktops: records that say the same of
// several of them are joined as they come.
type part struct {
	records []Record
	at      map[sameness]int
	last    map[string]int // where the last record of each desktop is
}

// A sameness is what records have in common that may be joined.
type sameness struct {
	kind  Kind
	at    time.Time
	call  string
	asked string
	run   string
	saved string // the snapshot, and why there is none
	group outcome
	n     int
}

func samenessOf(r *Record) sameness {
	key := sameness{kind: r.Kind, at: r.At, call: r.Call, asked: r.RequestID, run: r.Invoke, saved: r.Snapshot}
	if r.Kind == KindSaving || r.Kind == KindSafe {
		key.n = r.N
	}
	if r.Reason != nil {
		key.saved += r.Reason.Code + r.Reason.Message
	}
	for _, g := range r.Outcomes { // one at most
		key.group, key.n = outcome{Result: Result{g.Status, g.Code, g.Message}, until: g.Until}, g.N
	}
	return key
}

// add adds a record of one desktop. A desktop's own records must stay in their order,
// and begun twice is two attempts: it joins none that is not behind its own last.
func (p *part) add(r Record) {
	if p.at == nil {
		p.at, p.last = map[sameness]int{}, map[string]int{}
	}
	key, id := samenessOf(&r), desktopsOf(&r)[0]
	i, known := p.at[key]
	before, has := p.last[id]
	if !known || has && i <= before {
		p.at[key], p.last[id] = len(p.records), len(p.records)
		p.records = append(p.records, r)
		return
	}
	p.last[id] = i
	to := &p.records[i]
	to.Desktops, to.From = append(to.Desktops, r.Desktops...), append(to.From, r.From...)
	for k := range r.Outcomes {
		to.Outcomes[k].Desktops = append(to.Outcomes[k].Desktops, r.Outcomes[k].Desktops...)
	}
}

func desktopsOf(r *Record) []string {
	if len(r.Outcomes) > 0 {
		return r.Outcomes[0].Desktops
	}
	return r.Desktops
}
