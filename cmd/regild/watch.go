package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// A line is one thing that regild told the world, as one line of a table.
type line struct {
	At        time.Time
	Operation string // the request or rollout
	Desktop   string // "" when it is about more than one
	Status    string // of an outcome, or what happened
	Code      string
	Message   string
	Until     time.Time // of a rollout that waits, or when a desktop is looked at again; zero: it is not known
}

// A target is one desktop under one request or rollout: what must have exactly
// one final outcome.
type target struct{ Operation, Desktop string }

// A watcher remembers everything that was published to the result topic. It may
// be used from several goroutines.
type watcher struct {
	told func(line) // called for each line, one at a time; may be nil

	mu         sync.Mutex
	seen       map[string]bool // ids of events
	repeated   int             // events that were published more than once
	lines      []line
	operations []name          // in the order in which they were first heard of
	known      map[string]bool // ids of operations
	last       map[target]events.Status
	finals     map[target][]events.Outcome
	accepted   map[target]int
	accounts   map[string]string // of requests and rollouts; "": the function's own
	refused    int               // messages in which no desktop could be read
	events     int               // events of rollouts
}

func newWatcher(told func(line)) *watcher {
	return &watcher{told: told, seen: map[string]bool{}, known: map[string]bool{}, last: map[target]events.Status{},
		finals: map[target][]events.Outcome{}, accepted: map[target]int{}, accounts: map[string]string{}}
}

// watch takes one publication.
func (w *watcher) watch(p mns.Publication) {
	w.mu.Lock()
	defer w.mu.Unlock()
	l, ok := w.take(p)
	if !ok {
		return
	}
	w.lines = append(w.lines, l)
	if w.told != nil {
		w.told(l)
	}
}

// take reads one publication and says whether there is something to show.
func (w *watcher) take(p mns.Publication) (line, bool) {
	var e struct {
		ID, Type string
		Time     time.Time
		Data     json.RawMessage
	}
	if err := json.Unmarshal(p.Body, &e); err != nil || e.ID == "" {
		return line{At: p.Time, Status: "?", Message: fmt.Sprintf("%d bytes that are no event of regild's", len(p.Body))}, true
	}
	if w.seen[e.ID] {
		w.repeated++
		return line{}, false
	}
	w.seen[e.ID] = true
	l, ok := line{At: e.Time, Status: "?", Message: "an event of type " + e.Type}, true
	switch {
	case e.Type == events.TypeOutcome:
		ok = reading(&l, e.Data, w.outcome)
	case e.Type == events.TypeRefused:
		ok = reading(&l, e.Data, w.refusal)
	case e.Type == events.TypeFinished:
		ok = reading(&l, e.Data, w.finished)
	case e.Type == events.RolloutPlan.Type():
		ok = reading(&l, e.Data, w.plan)
	case strings.HasPrefix(e.Type, "regild.rollout."):
		ok = reading(&l, e.Data, func(r events.Rollout) line { return w.rollout(e.Type, r) })
	}
	return l, ok
}

// reading makes the line of an event's data, but for the time, and says whether the
// data could be read.
func reading[T any](l *line, data []byte, of func(T) line) bool {
	var v T
	if json.Unmarshal(data, &v) != nil {
		return false
	}
	at := l.At
	*l = of(v)
	l.At = at
	return true
}

func (w *watcher) outcome(o events.Outcome) line {
	if o.Fleet == "" {
		w.heardOf(operator.Request, o.RequestID)
	} else {
		w.heardOf(operator.Rollout, o.RequestID)
	}
	w.accounts[o.RequestID] = o.AccountID
	t := target{o.RequestID, o.DesktopID}
	switch o.Status {
	case events.StatusAccepted:
		w.accepted[t]++
	case events.StatusDeferred:
	default:
		w.finals[t] = append(w.finals[t], o)
	}
	w.last[t] = o.Status
	l := line{Operation: o.RequestID, Desktop: o.DesktopID, Status: string(o.Status), Code: o.Code, Message: o.Message}
	if o.Until != nil {
		l.Until = *o.Until
	}
	if o.Status == events.StatusCompleted && o.Message == "" && o.DurationSeconds > 0 {
		l.Message = "took " + (time.Duration(o.DurationSeconds) * time.Second).String()
	}
	return l
}

func (w *watcher) refusal(r events.Refused) line {
	w.refused++
	return line{Operation: cmp.Or(r.RequestID, r.EventID, r.MessageID), Status: "refused", Code: r.Code, Message: r.Reason}
}

func (w *watcher) finished(f events.Finished) line {
	var parts []string
	for _, s := range events.Statuses {
		if n := f.Statuses[s]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return line{Operation: f.RequestID, Status: "finished", Message: strings.Join(parts, ", ")}
}

func (w *watcher) plan(p events.Plan) line {
	w.events++
	return line{Operation: cmp.Or(p.RolloutID, p.RequestID), Status: "plan",
		Message: fmt.Sprintf("page %d of %d, %s", p.Page, p.Pages, p.PlanDigest)}
}

func (w *watcher) rollout(kind string, r events.Rollout) line {
	w.events++
	what := events.What(strings.TrimSuffix(strings.TrimPrefix(kind, "regild.rollout."), ".v1"))
	if what != events.RolloutControlRefused {
		w.heardOf(operator.Rollout, r.RolloutID)
	}
	return line{Operation: r.RolloutID, Message: eventText(what, r)}.because(what, r.Reason, r.By)
}

// because says what happened to a rollout, why, until when, and who said so, behind what the
// message says already.
func (l line) because(what events.What, why *events.Reason, who string) line {
	l.Status = strings.ReplaceAll(string(what), ".", " ")
	if why != nil {
		l.Code, l.Message = why.Code, joined(": ", l.Message, whyText(why))
		if why.Until != nil {
			l.Until = *why.Until
		}
	}
	if who != "" {
		l.Message = joined(" ", l.Message, "(by "+who+")")
	}
	return l
}

// eventText says in words what happened to a rollout.
func eventText(what events.What, r events.Rollout) string {
	switch what {
	case events.RolloutStarted:
		if r.RolloutID == rollout.BackOf(r.ReleaseID+"/"+r.Fleet) {
			return "image " + r.ImageID + " is taken back"
		}
		return "image " + r.ImageID
	case events.RolloutWaveStarted:
		return fmt.Sprintf("wave %d of %d", r.Wave, r.Waves)
	case events.RolloutWaveFinished:
		return fmt.Sprintf("wave %d of %d; so far %s", r.Wave, r.Waves, countsText(r.Counts))
	case events.RolloutCompleted, events.RolloutRolledBack:
		return countsText(r.Counts)
	}
	return ""
}

// countsText lists the counts that are not zero, in the order of a desktop's life.
func countsText(c events.Counts) string {
	var parts []string
	for _, s := range []report.Stand{report.Pending, report.Waiting, report.Running, report.Completed, report.Skipped, report.Refused, report.Failed} {
		if n := s.Of(c); n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, s))
		}
	}
	return strings.Join(parts, ", ")
}

// heardOf notes a request or rollout.
func (w *watcher) heardOf(kind, id string) {
	if !w.known[id] {
		w.known[id] = true
		w.operations = append(w.operations, name{kind, id})
	}
}

// heard returns the operations that were heard of, in their order.
func (w *watcher) heard() []name {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.operations)
}

// newest returns the last n lines, oldest first.
func (w *watcher) newest(n int) []line {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.lines[max(0, len(w.lines)-n):])
}

// statuses returns the last status of each desktop of an operation, for where there
// is no journal to ask.
func (w *watcher) statuses(id string) map[string]events.Status {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]events.Status{}
	for t, s := range w.last {
		if t.Operation == id {
			out[t.Desktop] = s
		}
	}
	return out
}

// joined joins those of the texts that are not empty.
func joined(by string, texts ...string) string {
	return strings.Join(slices.DeleteFunc(texts, func(s string) bool { return s == "" }), by)
}
