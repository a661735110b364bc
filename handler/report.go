package handler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// A Report is the function's response.
type Report = events.Report

// tally counts what an invocation did. It may be used from several goroutines.
type tally struct {
	mu                sync.Mutex
	messages, skipped int                          // skipped: events that do not concern regild
	looked            map[desktop.Place][][]string // desktops that ECD was asked about, by call: some of them several times
	open              []string                     // operations that are unfinished
	outcomes          map[events.Status]int
}

func newTally() *tally {
	return &tally{looked: map[desktop.Place][][]string{}, outcomes: map[events.Status]int{}}
}

func (t *tally) message(n int) { t.do(func() { t.messages += n }) }

func (t *tally) ignored() { t.do(func() { t.skipped++ }) }

func (t *tally) unfinished(id string) { t.do(func() { t.open = append(t.open, id) }) }

func (t *tally) lookedAt(at desktop.Place, ids []string) {
	t.do(func() { t.looked[at] = append(t.looked[at], ids) })
}

func (t *tally) published(e events.Event) {
	if o, is := e.Data.(events.Outcome); is {
		t.do(func() { t.outcomes[o.Status]++ })
	}
}

// sum returns the report, how many events were ignored, and what is unfinished.
func (t *tally) sum(calls map[string]int) (rep Report, skipped int, open []string) {
	t.do(func() {
		rep = Report{Messages: t.messages, Outcomes: maps.Clone(t.outcomes), Calls: calls}
		for _, calls := range t.looked {
			there := map[string]bool{}
			for _, id := range slices.Concat(calls...) {
				there[id] = true
			}
			rep.Desktops += len(there)
		}
		skipped, open = t.skipped, slices.Compact(slices.Sorted(slices.Values(t.open)))
	})
	return rep, skipped, open
}

func (t *tally) do(f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f()
}

// RedeliverError is the error that asks for another delivery of the payload. FC shows
// its name as the type of the function's error.
type RedeliverError struct{ Err error }

func (e *RedeliverError) Error() string { return "deliver this again: " + e.Err.Error() }

func (e *RedeliverError) Unwrap() error { return e.Err }

// report sums the invocation up, in the response and in one line of the log.
func (r *run) report() (Report, error) {
	r.out.writeRest() // also what was published for jobs that could not go on
	r.out.close()
	calls := map[string]int{}
	for name, n := range r.meter.Snapshot() {
		if n -= r.calls[name]; n > 0 {
			calls[name] = n
		}
	}
	rep, skipped, open := r.counts.sum(calls)
	attrs := []any{"messages", rep.Messages, "jobs", len(r.jobs.all()), "desktops", rep.Desktops, "outcomes", rep.Outcomes,
		"calls", rep.Calls, "ignored", skipped, "unfinished", unfinishedNames(open), "duration_ms", time.Since(r.began).Milliseconds()}
	err := r.again.err()
	if err != nil {
		r.log.Error("invocation must be delivered again", append(attrs, "error", err.Error())...)
		return rep, err
	}
	r.log.Info("invocation", attrs...)
	return rep, nil
}

// unfinishedNames lists some names for a log line.
func unfinishedNames(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
