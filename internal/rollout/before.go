package rollout

import (
	"cmp"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// An Asking is what the journal knows of asking a desktop whether it may be rebuilt.
type Asking struct {
	Call              // in which it was asked last; none when that is answered by not now
	Since   time.Time // since when it says not now, or cannot be asked
	Later   int       // how often it said not now
	Cleared time.Time // when it last said that it may be rebuilt
	Hold    time.Time // since when a tag holds it back

	// Last is the call of the last notice, which says that not now is not heeded any
	// more, and LastUnable since when they could not be told that; zero: they could, or
	// it was not tried.
	Last       Call
	LastUnable time.Time
}

// Limits of asking.
const (
	// askMore is how much longer than its timeout a command may take to end.
	askMore = 5 * time.Minute
	// clearHolds is how long it counts that a desktop said that it may be rebuilt,
	// while it is prepared or waits for its turn.
	clearHolds = 15 * time.Minute
	// askAgain is after how long it is tried again to ask a desktop that could not
	// be asked.
	askAgain = 10 * time.Minute
	// lastLead is how long after the last notice a desktop is rebuilt.
	lastLead = 5 * time.Minute
	// holdLook is after how long a tag that holds a desktop back is read again.
	holdLook = time.Hour
)

// lastNoticeText says that not now is not heeded any more.
const lastNoticeText = `This cloud desktop cannot be postponed any more and will be renewed in 5 minutes. Save your work now; what is on drive C is lost.
此云电脑无法再推迟，将在 5 分钟后更新。请立即保存工作，C 盘上的数据将丢失。`

// heldByTag keeps a desktop waiting that a tag holds back, as far as its fleet heeds
// one. A value that is no time holds as long as any may.
func (v *view) heldByTag(c candidate) (step, bool) {
	if c.strategy == nil || c.strategy.Holds.Tag == "" || c.ours() {
		return step{}, false
	}
	holds := c.strategy.Holds
	value, tagged := c.now.Tags[holds.Tag] // see NeedTags
	if !tagged {
		return step{}, false
	}
	since, noted := c.fact.ReadAt, c.Ask != nil && !c.Ask.Hold.IsZero()
	if noted {
		since = c.Ask.Hold
	}
	until, err := time.Parse(time.RFC3339, value)
	message := fmt.Sprintf("the tag %s holds desktop %s back until %s", holds.Tag, c.ID, value)
	if limit := since.Add(holds.AtMost); err != nil || until.After(limit) {
		until = limit
		message += fmt.Sprintf("; it is heeded until %s (atMost %s)", limit.UTC().Format(time.RFC3339), holds.AtMost)
	}
	if err != nil {
		message += "; it should be a time such as 2026-11-24T18:00:00Z"
	}
	if v.now.due(until) {
		return step{}, false
	}
	var s step
	if !noted {
		s = marks(KindOnHold, c.fact.ReadAt)
	}
	return s.with(v.postponeUntil(c.Desktop, events.CodeNotNow, earlier(until, v.now.in(holdLook)), "%s", message)), true
}

// cleared lets a desktop go on that said, asked by its fleet's command, that it may
// be rebuilt, or whose not now is not heeded any more. Else it is asked. One that we
// put into maintenance mode or stopped was asked before that.
func (v *view) cleared(c candidate) (step, bool) {
	if c.strategy == nil || c.strategy.Before.Command == "" || c.ours() {
		return step{}, false
	}
	a := c.asks()
	if c.now.OS == desktop.Linux {
		return v.settle(events.StatusRefused, events.CodeBeforeFailed, "its fleet asks with a command before a rebuild, and ECD runs commands on Windows only"), true
	}
	b := c.strategy.Before
	over := !a.Since.IsZero() && c.fact.Since(a.Since) >= b.Deadline
	switch {
	case !a.Last.At.IsZero():
		return v.overruled(c)
	case !a.Cleared.IsZero() && c.fact.Since(a.Cleared) < clearHolds:
		return step{}, false
	case over && b.After == fleet.Force:
		return v.overruled(c)
	case over && a.Later > 0:
		return v.settle(events.StatusSkipped, events.CodeNotNow, "desktop %s has said not now for %s, %d times", c.ID, b.Deadline, a.Later), true
	case over:
		return v.settle(events.StatusSkipped, events.CodeNotAsked,
			"desktop %s could not be asked for %s: %s", c.ID, b.Deadline, cmp.Or(a.Why, "it was not Running, or did not answer")), true
	case c.now.Status != desktop.Running:
		return v.cannotAsk(c, "commands run on Running desktops only, and it is "+c.now.Status), true
	}
	return v.asked(c)
}

// asks returns what is known of asking the desktop.
func (x *Desktop) asks() Asking {
	if x.Ask == nil {
		return Asking{}
	}
	return *x.Ask
}

// asked sees to it that a Running desktop is asked, and looks at what it says.
func (v *view) asked(c candidate) (step, bool) {
	a := c.asks()
	switch {
	case a.CallID == "", !a.Cleared.IsZero():
		return v.ask(c), true
	case !v.now.due(a.over()): // another instance may be doing it
		return inPlace(unfinished(a.over())), true
	case a.End.IsZero(): // its answer will never be known
		return v.ask(c), true
	case a.Got == "" && c.fact.Since(a.At) >= askAgain:
		return v.ask(c), true
	case a.Got == "":
		return v.cannotAsk(c, a.Why), true
	}
	return v.answered(c, a)
}

// inPlace marks a step of a desktop that has its place at once while it is asked:
// it may be begun right after.
func inPlace(s step) step {
	s.takesPlace = true
	return s
}

// ask has the command run on the desktop.
func (v *view) ask(c candidate) step {
	b := c.strategy.Before
	return inPlace(v.soon(Act{What: Ask, Text: b.Command, Kind: b.Kind, Timeout: b.Timeout}))
}

// answered looks at what the command said.
func (v *view) answered(c candidate, a Asking) (step, bool) {
	results, s, ok := about(v, c.Desktop, ofChecks, a.Got, a.End.Add(resultTakes))
	if !ok {
		return inPlace(s), true
	}
	b := c.strategy.Before
	got := results.Value[c.ID]
	switch {
	case passed(got) && results.Since(a.End) >= b.Timeout+clearHolds: // nobody looked for so long: it may be otherwise by now
		return v.ask(c), true
	case passed(got):
		return marks(KindCleared, results.ReadAt), false
	case got.Done && got.ExitCode == fleet.NotNow && b.Deferrals > 0 && a.Later >= b.Deferrals:
		return v.lastNotice(c), true
	case got.Done && got.ExitCode == fleet.NotNow:
		return marks(KindNotNow, results.ReadAt).with(v.postponeUntil(c.Desktop, events.CodeNotNow, v.now.in(b.Again),
			"desktop %s says not now%s%s", c.ID, ofDeferrals(a.Later+1, b.Deferrals), said(got.Output))), true
	case got.Done:
		return v.settle(events.StatusRefused, events.CodeBeforeFailed,
			"the command before the rebuild ended on desktop %s with %s and exit code %d%s; nothing was touched", c.ID, got.Status, got.ExitCode, said(got.Output)), true
	case results.Since(a.End) >= b.Timeout+askMore:
		return v.settle(events.StatusRefused, events.CodeBeforeFailed, "the command before the rebuild did not end on desktop %s; nothing was touched", c.ID), true
	}
	return inPlace(v.soon()), true
}

func ofDeferrals(n, of int) string {
	if of == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of %d)", n, of)
}

// said returns the first line of a command's output, behind a colon.
func said(output string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(output), "\n")
	if line = strings.TrimSpace(line); line == "" {
		return ""
	}
	return ": " + line
}

// overruled lets a desktop go on whose not now is not heeded any more, once its users
// were told so. One that is not Running has no users to tell.
func (v *view) overruled(c candidate) (step, bool) {
	a := c.asks()
	switch told := !a.Last.End.IsZero() && a.Last.Code == ""; {
	case told && v.now.due(a.Last.End.Add(lastLead)):
		return step{}, false
	case told:
		return inPlace(unfinished(a.Last.End.Add(lastLead))), true
	case !v.now.due(a.Last.At.Add(lease)): // another instance may be doing it
		return inPlace(unfinished(a.Last.At.Add(lease))), true
	case c.now.Status != desktop.Running:
		return step{}, false
	case !a.LastUnable.IsZero():
		return v.cannotOverrule(c)
	}
	return v.lastNotice(c), true // they were not told, or it is not known whether they were
}

// cannotOverrule keeps a desktop waiting whose users could not be told that not now is
// not heeded any more, for as long as one whose users cannot be told at all.
func (v *view) cannotOverrule(c candidate) (step, bool) {
	a := c.asks()
	limit, after := untoldFor(c.strategy)
	const why = "desktop %s said not now, and its users could not be told that it is not heeded any more"
	switch over := c.fact.Since(a.LastUnable) >= limit; {
	case over && after == fleet.Force && !v.now.due(a.Last.At.Add(lastLead)): // some of them may have seen it
		return inPlace(unfinished(a.Last.At.Add(lastLead))), true
	case over && after == fleet.Force:
		return step{}, false
	case over:
		return v.settle(events.StatusSkipped, events.CodeNoticeNotGiven, why+", for %s", c.ID, limit), true
	case v.now.due(a.Last.At.Add(askAgain)):
		return v.lastNotice(c), true
	}
	return v.postpone(c.Desktop, events.CodeNoticeNotGiven, why+"; it is tried for %s", c.ID, limit), true
}

// lastNotice tells the users that not now is not heeded any more.
func (v *view) lastNotice(c candidate) step {
	return inPlace(v.notify(notification{candidate: c, n: lastNotice, due: v.now.in(lastLead)}))
}

// cannotAsk keeps a desktop waiting that cannot be asked.
func (v *view) cannotAsk(c candidate, why string) (s step) {
	if c.asks().Since.IsZero() {
		s = marks(KindUnasked, c.fact.ReadAt)
	}
	return s.with(v.postpone(c.Desktop, events.CodeNotAsked, "desktop %s cannot be asked whether it may be rebuilt: %s", c.ID, why))
}

// ask folds what a desktop was asked, and what it said.
func (d *Desktop) ask(r *Record) {
	if d.Ask == nil {
		d.Ask = &Asking{}
	}
	a := d.Ask
	switch r.Kind {
	case KindAsking:
		a.Call, a.Cleared = callOf(r), zero
	case KindAsked:
		a.ended(r)
	case KindCleared:
		a.Cleared, a.Since = r.At, zero
	case KindNotNow:
		a.Later++
		a.Call = Call{}
		first(&a.Since, r.At)
	case KindUnasked:
		first(&a.Since, r.At)
	case KindOnHold:
		first(&a.Hold, r.At)
	case KindNotifying:
		a.Last = callOf(r)
	}
}

// lastEnded folds what became of the call that tells the users that not now is not
// heeded any more.
func (a *Asking) lastEnded(r *Record) {
	if r.Reason != nil {
		first(&a.LastUnable, r.At)
	}
}

// ask writes what the desktop was asked.
func (c *compaction) ask(d *Desktop) {
	a := d.Ask
	if a == nil {
		return
	}
	if a.Cleared.IsZero() {
		c.note(partFinal, d, KindUnasked, a.Since)
	}
	for range a.Later {
		c.add(partFinal, Record{Kind: KindNotNow, At: a.Since, Desktops: []string{d.ID}})
	}
	c.call(d, a.Call, Record{Kind: KindAsking})
	if !a.Cleared.IsZero() {
		c.note(partFinal, d, KindCleared, a.Cleared)
		c.note(partFinal, d, KindUnasked, a.Since) // it could not be asked once more
	}
	c.note(partFinal, d, KindOnHold, a.Hold)
	last := Record{Kind: KindNotifying, N: lastNotice}
	if !a.LastUnable.IsZero() && a.LastUnable.Before(a.Last.At) { // tells since when
		c.call(d, Call{CallID: a.Last.CallID, At: a.LastUnable, End: a.LastUnable, Code: events.CodeCallFailed}, last)
	}
	c.call(d, a.Last, last)
}
