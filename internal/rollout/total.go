package rollout

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/regild/regild/events"
)

// A total is the sum of steps, on its way to a Decision. Nothing else changes while
// a decision is made. What depends on other desktops is decided here: which share a
// record or a call, and which time a notice names.
type total struct {
	v   *view
	out Decision // its Records are those about the rollout as a whole

	outcomes []Group // as they are written down
	times    []time.Time
	groups   map[outcome]int // of outcomes
	marks    map[mark][]string
	asked    map[asked]bool
	unread   *Unread

	unfinished int // desktops that are not Final after this decision
	unrestored int // desktops that are Final and are still to be restored
	notices    int // notices that are out; -1: not counted yet
}

// asked is a key in a list of the need.
type asked struct {
	list *[]string
	key  string
}

func newTotal(v *view) *total {
	return &total{v: v, notices: -1}
}

// put sets a value in a map that is made for the first one: most decisions need none.
func put[K comparable, V any](m *map[K]V, key K, value V) {
	if *m == nil {
		*m = map[K]V{}
	}
	(*m)[key] = value
}

// add adds a step about a desktop.
func (t *total) add(x *Desktop, s step) {
	s = t.v.listed(x).with(s)
	t.join(s)
	for _, m := range s.marks {
		put(&t.marks, m, append(t.marks[m], x.ID))
	}
	if s.outcome != nil {
		t.outcome(x, s)
	}
	if s.begin {
		t.out.Begin = append(t.out.Begin, x.ID)
	}
	for _, a := range s.acts {
		t.act(x.ID, a)
	}
	if s.notify != nil {
		t.act(x.ID, t.notice(x, s.notify))
	}
	if s.unfinished {
		t.unfinished++
	}
	if s.unrestored {
		t.unrestored++
	}
	if s.givenUp {
		t.out.Unrestored = append(t.out.Unrestored, x.ID)
	}
}

// join adds a step about the rollout as a whole, or what a desktop's step says of it.
func (t *total) join(s step) {
	for _, m := range s.needs {
		list := m.list(&t.out.Need)
		if ask := (asked{list, m.key}); !t.asked[ask] {
			put(&t.asked, ask, true)
			*list = append(*list, m.key)
		}
		t.out.Need.From = Soonest(t.out.Need.From, m.from)
	}
	if s.unread != nil {
		t.unread = s.unread
	}
	t.out.Records = append(t.out.Records, s.records...)
	t.out.Next = Soonest(t.out.Next, s.next)
	t.out.Back = t.out.Back || s.goBack
}

// outcome adds the outcome of a desktop to those that say the same. A desktop that
// we put into maintenance mode or stopped is restored next.
func (t *total) outcome(x *Desktop, s step) {
	o := *s.outcome
	o.Message = cut(o.Message)
	i, known := t.groups[o]
	if !known || len(t.outcomes[i].Desktops) >= maxIDs {
		i = len(t.outcomes)
		put(&t.groups, o, i)
		t.outcomes = append(t.outcomes, Group{Status: o.Status, Code: o.Code, Message: o.Message, Until: o.until})
		t.times = append(t.times, o.at)
	}
	t.outcomes[i].Desktops = append(t.outcomes[i].Desktops, x.ID)
	if o.final() && (x.Held || x.Stopped && !s.marked(KindStarted)) {
		t.unrestored++
		t.join(look(t.v.now.t))
	}
}

// markOrder is the order in which marks are written down.
var markOrder = []Kind{KindNotBegun, KindSeen, KindLate, KindArrived, KindMissing, KindListed, KindOutside, KindIdle, KindReleased, KindStarted, KindNotified,
	KindUnnotified, KindCleared, KindNotNow, KindUnasked, KindOnHold, KindUnsaved}

// decision writes down what was gathered, and closes a request of which nothing is
// left.
func (t *total) decision() Decision {
	if !t.out.Need.Empty() {
		return t.out
	}
	if t.v.s.Operation.Request() && t.unfinished == 0 && t.unrestored == 0 {
		t.close(nil)
	}
	// What became of desktops comes before what follows from it, so that a wave
	// that ends, a halt and a closing count it in.
	t.out.Records = slices.Concat(t.markRecords(), t.outcomeRecords(), t.out.Records)
	slices.SortStableFunc(t.out.Acts, func(a, b Act) int { return cmp.Compare(a.What, b.What) })
	return t.out
}

// markRecords returns the marks kind by kind, oldest first.
func (t *total) markRecords() (out []Record) {
	list := slices.SortedFunc(maps.Keys(t.marks), func(a, b mark) int { return a.at.Compare(b.at) })
	for _, k := range markOrder {
		for _, m := range list {
			if m.kind != k {
				continue
			}
			for ids := range slices.Chunk(t.marks[m], maxIDs) {
				out = append(out, Record{Kind: k, At: m.at, Desktops: ids})
			}
		}
	}
	return out
}

// outcomeRecords returns the outcomes, oldest first.
func (t *total) outcomeRecords() (out []Record) {
	byTime := map[time.Time][]Group{}
	for i, g := range t.outcomes {
		byTime[t.times[i]] = append(byTime[t.times[i]], g)
	}
	for _, at := range slices.SortedFunc(maps.Keys(byTime), time.Time.Compare) {
		for _, groups := range portions(byTime[at]) {
			out = append(out, Record{Kind: KindSettled, At: at, Outcomes: groups})
		}
	}
	return out
}

// close ends the operation. The digest counts the outcomes of this very decision in.
func (t *total) close(reason *events.Reason) {
	s := t.v.s
	ids := s.finals()
	for id, status := range t.ended() {
		ids = append(ids, OutcomeID(s.Operation.ID, id, status, s.Desktops[id].counts.of(status)+1))
	}
	t.join(t.v.write(Record{Kind: KindClosed, Digest: events.Digest(ids), Reason: reason}))
	t.out.Next = zero
}

// ended yields the desktops that this decision ends, with their status.
func (t *total) ended() func(yield func(string, events.Status) bool) {
	return func(yield func(string, events.Status) bool) {
		for _, g := range t.outcomes {
			if g.Status == events.StatusDeferred || g.Status == events.StatusAccepted {
				continue
			}
			for _, id := range g.Desktops {
				if !yield(id, g.Status) {
					return
				}
			}
		}
	}
}

// Bounds of a record, so that its line stays far below what a journal takes:
// outcomes, desktops, and bytes of a message.
const (
	maxGroups  = 250
	maxIDs     = 10_000
	maxMessage = 512
)

// portions deals groups out to records. No group has more than maxIDs desktops.
func portions(groups []Group) [][]Group {
	var out [][]Group
	ids := 0
	for _, g := range groups {
		if n := len(out); n == 0 || len(out[n-1]) >= maxGroups || ids+len(g.Desktops) > maxIDs {
			out, ids = append(out, nil), 0
		}
		out[len(out)-1] = append(out[len(out)-1], g)
		ids += len(g.Desktops)
	}
	return out
}
