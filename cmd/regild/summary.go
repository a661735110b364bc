package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

// A summary is what a session came to.
type summary struct {
	zone      *time.Location
	requests  int
	rollouts  []*rollout.State
	desktops  int                   // under all requests and rollouts
	statuses  map[events.Status]int // final ones
	failures  []events.Outcome
	accepted  int
	wipes     int
	refused   int // messages
	events    int
	repeated  int
	calls     map[[2]string]int // by service and operation
	invoked   int
	worked    time.Duration
	failed    int // invocations
	givenUp   int
	cloudTime time.Duration
	real      time.Duration

	unfinished []string // operations that are open, and why
	faults     []error  // where the promise was broken
}

// summary sums the session up.
func (s *session) summary(ctx context.Context) summary {
	sum := summary{zone: s.zone, statuses: map[events.Status]int{}, calls: s.cloud.Faults.Calls(),
		cloudTime: s.cloud.Clock.Now().Sub(s.scenario.state.Clock.Start), real: time.Since(s.began)}
	if s.scenario.state.Clock.Start.IsZero() {
		sum.cloudTime = 0
	}
	states := map[string]*rollout.State{}
	for _, n := range s.watch.heard() {
		state, err := s.fold.state(ctx, n.kind, n.id)
		if err != nil {
			sum.faults = append(sum.faults, err)
			continue
		}
		if n.kind == operator.Request {
			sum.requests++
		}
		if state.Operation == nil {
			continue
		}
		states[n.id] = state
		if n.kind == operator.Rollout {
			sum.rollouts = append(sum.rollouts, state)
		}
		if state.Open() {
			why, _ := standing(state, s.zone)
			sum.unfinished = append(sum.unfinished, n.id+": "+why)
		}
	}
	s.invoker.mu.Lock()
	sum.invoked, sum.worked, sum.failed, sum.givenUp = s.invoker.invocations, s.invoker.worked, s.invoker.failures, s.invoker.givenUp
	s.invoker.mu.Unlock()
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	sum.refused, sum.events, sum.repeated = s.watch.refused, s.watch.events, s.watch.repeated
	sum.judge(s.watch, states, s.cloud.Wipes())
	return sum
}

// judge holds what was told and done against the promise: exactly one final
// outcome for each desktop of each operation that has ended, and no more wipes of a
// desktop than operations that ECD accepted it for.
func (sum *summary) judge(w *watcher, states map[string]*rollout.State, wipes []ecd.Wipe) {
	targets := map[target]bool{}
	for t := range w.last {
		targets[t] = true
	}
	for id, s := range states {
		for desktop := range s.Desktops {
			targets[target{id, desktop}] = true
		}
	}
	sum.desktops = len(targets)
	for _, t := range slices.SortedFunc(maps.Keys(targets), byTarget) {
		sum.final(t, w.finals[t], states[t.Operation])
	}
	sum.countWipes(w, states, wipes)
}

func byTarget(a, b target) int {
	return cmp.Or(strings.Compare(a.Operation, b.Operation), strings.Compare(a.Desktop, b.Desktop))
}

// final takes note of what became of one target.
func (sum *summary) final(t target, finals []events.Outcome, s *rollout.State) {
	switch n := len(finals); {
	case n == 0 && s != nil && s.Open():
		return
	case n == 0:
		sum.faults = append(sum.faults, fmt.Errorf("desktop %s of %s has no final outcome", t.Desktop, t.Operation))
		return
	case n > 1 && !retried(s):
		sum.faults = append(sum.faults, fmt.Errorf("desktop %s of %s has %d final outcomes", t.Desktop, t.Operation, n))
	}
	last := finals[len(finals)-1]
	sum.statuses[last.Status]++
	if last.Status == events.StatusFailed {
		sum.failures = append(sum.failures, last)
	}
}

// retried says whether somebody may have had failed desktops tried again.
func retried(s *rollout.State) bool { return s != nil && !s.Forgiven.IsZero() }

// countWipes holds ECD's ledger against the operations: each may have wiped a desktop
// once, if it called for it at all. A call whose answer was lost counts, though
// nobody was told that it was accepted.
func (sum *summary) countWipes(w *watcher, states map[string]*rollout.State, wipes []ecd.Wipe) {
	sum.wipes = len(wipes)
	allowed, done := map[string]int{}, map[string]int{} // by account, where it is another one, and desktop
	for t, n := range w.accepted {
		sum.accepted += n
		if s := states[t.Operation]; s == nil || s.Desktops[t.Desktop] == nil {
			allowed[path.Join(w.accounts[t.Operation], t.Desktop)]++
		}
	}
	for _, s := range states {
		for id, d := range s.Desktops {
			id = path.Join(s.Operation.AccountID, id)
			switch {
			case d.Attempt > 0 && retried(s):
				allowed[id] += d.Attempt
			case d.Attempt > 0:
				allowed[id]++
			}
		}
	}
	for _, x := range wipes {
		done[path.Join(x.AccountID, x.DesktopID)]++
	}
	for _, id := range slices.Sorted(maps.Keys(done)) {
		if done[id] > allowed[id] {
			sum.faults = append(sum.faults, fmt.Errorf("desktop %s was wiped %d times, though the requests and rollouts that called for it are %d", id,
				done[id], allowed[id]))
		}
	}
}

// verdict returns why the session did not go well, or nil.
func (sum *summary) verdict() error {
	var faults []error
	if len(sum.faults) > 0 {
		faults = append(faults, fmt.Errorf("the promise is broken: %w", errors.Join(sum.faults...)))
	}
	if sum.givenUp > 0 {
		faults = append(faults, fmt.Errorf("%d messages were given up after the function failed on them again and again", sum.givenUp))
	}
	return errors.Join(faults...)
}

// lines returns the summary for people. Width 0 leaves lines as long as they are.
func (sum *summary) lines(width int, p palette) []string {
	out := []string{"", p.paint(boldInk, "summary")}
	row := func(label, format string, args ...any) {
		text := []string{fmt.Sprintf(format, args...)}
		if width > 0 {
			text = wrap(text[0], max(width, minWidth)-summaryLabel)
		}
		for _, t := range text {
			out = append(out, "  "+p.paint(dimInk, pad(label, summaryLabel-3))+" "+t)
			label = ""
		}
	}
	row("desktops", "%d, under %s and %s", sum.desktops, operator.Count(sum.requests, "request"), operator.Count(len(sum.rollouts), "rollout"))
	out = append(out, "  "+p.paint(dimInk, pad("outcomes", summaryLabel-3))+" "+cmp.Or(sum.outcomes(p), "none"))
	for _, f := range sum.failures {
		row("", "%s", escape.Terminal(fmt.Sprintf("failed: %s, %s: %s", f.DesktopID, f.Code, f.Message)))
	}
	if sum.refused > 0 {
		row("messages", "%s refused: no desktop could be read", operator.Count(sum.refused, "message"))
	}
	for _, s := range sum.rollouts {
		text, _ := standing(s, sum.zone)
		row("rollout", "%s, %s: %s", escape.Terminal(s.Operation.ID), operator.Count(len(s.Waves), "wave"), escape.Terminal(text))
	}
	if sum.events > 0 {
		row("told", "%s of rollouts", operator.Count(sum.events, "event"))
	}
	if sum.repeated > 0 {
		row("repeated", "%s came more than once, under the same id", operator.Count(sum.repeated, "event"))
	}
	label := "API calls"
	for _, service := range []string{"ecd", "mns", "oss"} {
		if text := callsText(sum.calls, service); text != "" {
			row(label, "%s  %s", strings.ToUpper(service), text)
			label = ""
		}
	}
	if sum.desktops > 0 {
		all := totals(sum.calls)
		row("", "%.2f RebuildDesktops calls and %.1f calls of any kind for each desktop",
			float64(sum.calls[[2]string{"ecd", "RebuildDesktops"}])/float64(sum.desktops), float64(all)/float64(sum.desktops))
	}
	row("function", "%s, %s of work, %d failed", operator.Count(sum.invoked, "invocation"), span(sum.worked), sum.failed)
	row("time", "%s in the cloud, %s here", span(sum.cloudTime), span(sum.real))
	return append(out, sum.promise(width, p)...)
}

// summaryLabel is the width of the summary's left column.
const summaryLabel = 14

// outcomes lists the final outcomes by status.
func (sum *summary) outcomes(p palette) string {
	var parts []string
	for _, s := range events.Statuses {
		if n := sum.statuses[s]; n > 0 {
			parts = append(parts, p.paint(statusInk(string(s)), fmt.Sprintf("%d %s", n, s)))
		}
	}
	return strings.Join(parts, ", ")
}

// promise says whether the promise held.
func (sum *summary) promise(width int, p palette) []string {
	out := []string{""}
	say := func(i ink, text string) {
		lines := []string{text}
		if width > 0 {
			lines = wrap(text, max(width, minWidth))
		}
		for _, l := range lines {
			out = append(out, p.paint(i, l))
		}
	}
	for _, u := range sum.unfinished {
		say(yellowInk, "not finished: "+escape.Terminal(u))
	}
	if len(sum.faults) > 0 {
		say(redInk, fmt.Sprintf("the promise is broken in %s, see below", operator.Count(len(sum.faults), "place")))
		return out
	}
	ended := 0
	for _, n := range sum.statuses {
		ended += n
	}
	if sum.desktops == 0 {
		say(greenInk, "nothing was asked of any desktop")
		return out
	}
	text := fmt.Sprintf("all %d desktops have exactly one final outcome", ended)
	if ended < sum.desktops {
		text = fmt.Sprintf("all %d finished desktops have exactly one final outcome", ended)
	}
	if ended == 1 {
		text = "the desktop has exactly one final outcome"
	}
	if open := sum.desktops - ended; open > 0 {
		text += fmt.Sprintf(" (%d not finished)", open)
	}
	say(greenInk, fmt.Sprintf("%s; %d accepted, %s: none was wiped twice for one request", text, sum.accepted, operator.Count(sum.wipes, "wipe")))
	return out
}

// callsText lists the calls to a service, the most frequent first.
func callsText(calls map[[2]string]int, service string) string {
	var names []string
	for k := range calls {
		if k[0] == service {
			names = append(names, k[1])
		}
	}
	slices.SortFunc(names, func(a, b string) int {
		return cmp.Or(calls[[2]string{service, b}]-calls[[2]string{service, a}], strings.Compare(a, b))
	})
	var parts []string
	for _, n := range names {
		parts = append(parts, fmt.Sprintf("%s %d", n, calls[[2]string{service, n}]))
	}
	return strings.Join(parts, ", ")
}
