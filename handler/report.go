package handler

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/events"
)

// A Report is the function's response.
type Report = events.Report

// tally counts what an invocation did. It may be used from several goroutines.
type tally struct {
	mu       sync.Mutex
	messages int
	skipped  int             // events that are none of our business
	looked   map[string]bool // desktops that ECD was asked about
	outcomes map[events.Status]int
	open     map[string]bool
}

func (t *tally) message(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.messages += n
}

func (t *tally) ignored() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.skipped++
}

func (t *tally) lookedAt(ids []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.looked == nil {
		t.looked = map[string]bool{}
	}
	for _, id := range ids {
		t.looked[id] = true
	}
}

func (t *tally) unfinished(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.open == nil {
		t.open = map[string]bool{}
	}
	t.open[id] = true
}

func (t *tally) published(e events.Event) {
	o, is := e.Data.(events.Outcome)
	if !is {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.outcomes == nil {
		t.outcomes = map[events.Status]int{}
	}
	t.outcomes[o.Status]++
}

// RedeliverError is the error that asks for another delivery of the payload. FC shows
// its name as the type of the function's error.
type RedeliverError struct{ Err error }

func (e *RedeliverError) Error() string { return "deliver this again: " + e.Err.Error() }

func (e *RedeliverError) Unwrap() error { return e.Err }

// report sums the invocation up, in the response and in one line of the log.
func (r *run) report() (Report, error) {
	r.out.drain()
	r.out.close()
	rep := Report{Messages: r.counts.messages, Desktops: len(r.counts.looked), Outcomes: r.counts.outcomes, Calls: map[string]int{}}
	if rep.Outcomes == nil {
		rep.Outcomes = map[events.Status]int{}
	}
	for name, n := range r.meter.Snapshot() {
		if n -= r.calls[name]; n > 0 {
			rep.Calls[name] = n
		}
	}
	err := r.again.err()
	attrs := []any{"messages", rep.Messages, "jobs", len(r.jobs.all()), "desktops", rep.Desktops, "outcomes", rep.Outcomes,
		"calls", rep.Calls, "ignored", r.counts.skipped, "unfinished", unfinishedNames(r.counts.open),
		"duration_ms", time.Since(r.began).Milliseconds()}
	if err != nil {
		r.log.Error("invocation must be delivered again", append(attrs, "error", err.Error())...)
		return rep, err
	}
	r.log.Info("invocation", attrs...)
	return rep, nil
}

// unfinishedNames lists some names for a log line.
func unfinishedNames(ids map[string]bool) string {
	names := slices.Sorted(maps.Keys(ids))
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
