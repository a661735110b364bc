package rollout

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// An Ask is what the journal knows of asking a desktop whether it may be rebuilt.
type Ask struct {
	Call    string    // in which it was asked last; "" when that is answered by not now
	At      time.Time // when that was announced
	Sent    time.Time // when the call ended; zero: its end is not written down
	Invoke  string    // what to ask for its answer; "" when the call was not made
	Why     string    // why it was not made
	Since   time.Time // since when it says not now, or cannot be asked
	Later   int       // how often it said not now
	Cleared time.Time // when it last said go on
	Last    time.Time // when it was announced that its users are told that not now is not heeded any more
	Told    time.Time // when that call ended; zero: its end is not written down
	Final   string    // that call
	Hold    time.Time // since when a tag holds it back
}

// Limits of asking.
const (
	// askMore is how much longer than its timeout a command may take to end.
	askMore = 5 * time.Minute
	// clearHolds is how long go on holds, while the desktop is made ready or waits
	// for its turn.
	clearHolds = 15 * time.Minute
	// askAgain is after how long it is tried again to ask a desktop that could not
	// be asked.
	askAgain = 10 * time.Minute
	// lastWord is how long the users have whose not now is not heeded any more.
	lastWord = 5 * time.Minute
	// holdLook is after how long a tag that holds a desktop back is read again.
	holdLook = time.Hour
)

// lastWordText is what they are told.
const lastWordText = `This cloud desktop cannot be postponed any more and will be renewed in 5 minutes. Save your work now; what is on drive C is lost.
此云电脑无法再推迟，将在 5 分钟后更新。请立即保存工作，C 盘上的数据将丢失。`

// notHeld says whether no tag of the desktop holds it back, as far as its fleet
// heeds one. A value that is no time holds as long as any may.
func (d *decider) notHeld(x *Desktop, fact Fact[*desktop.Desktop], s *fleet.Strategy) bool {
	if s == nil || s.Holds.Tag == "" || x.Held || x.Stopped {
		return true
	}
	now, ok := d.tagged(x, fact.Value)
	if !ok {
		return false
	}
	value, tagged := now.Tags[s.Holds.Tag]
	if !tagged {
		return true
	}
	since := fact.ReadAt
	if x.Ask != nil && !x.Ask.Hold.IsZero() {
		since = x.Ask.Hold
	}
	until, err := time.Parse(time.RFC3339, value)
	message := fmt.Sprintf("the tag %s holds desktop %s back until %s", s.Holds.Tag, x.ID, value)
	if limit := since.Add(s.Holds.AtMost); err != nil || until.After(limit) {
		until = limit
		message += fmt.Sprintf("; it is heeded until %s (atMost %s)", limit.UTC().Format(time.RFC3339), s.Holds.AtMost)
	}
	if err != nil {
		message += "; it should be a time such as 2026-11-24T18:00:00Z"
	}
	if d.now.due(until) {
		return true
	}
	if x.Ask == nil || x.Ask.Hold.IsZero() {
		d.mark(KindOnHold, x, fact.ReadAt)
	}
	d.postponeUntil(x, events.CodeNotNow, message, earlier(until, d.now.in(holdLook)))
	return false
}

// cleared says whether the desktop, asked by its fleet's command, does not mind to
// be rebuilt, or may not mind any more. Otherwise it sees to that. One that we put
// into maintenance mode or stopped was asked before.
func (d *decider) cleared(x *Desktop, fact Fact[*desktop.Desktop], s *fleet.Strategy) bool {
	if s == nil || s.Before.Command == "" || x.Held || x.Stopped {
		return true
	}
	a := x.Ask
	if a == nil {
		a = &Ask{}
	}
	over := !a.Since.IsZero() && fact.Since(a.Since) >= s.Before.Deadline
	switch {
	case fact.Value.OS == desktop.Linux:
		d.settle(x, events.StatusRefused, events.CodeBeforeFailed, "its fleet asks with a command before a rebuild, and ECD runs commands on Windows only")
	case !a.Last.IsZero():
		return d.overruled(x, fact, a)
	case !a.Cleared.IsZero() && fact.Since(a.Cleared) < clearHolds:
		return true
	case over && s.Before.After == fleet.Force:
		return d.overruled(x, fact, a)
	case over && a.Later > 0:
		d.settle(x, events.StatusSkipped, events.CodeNotNow, fmt.Sprintf("desktop %s has said not now for %s, %d times", x.ID, s.Before.Deadline, a.Later))
	case over:
		d.settle(x, events.StatusSkipped, events.CodeNotAsked, fmt.Sprintf("desktop %s could not be asked for %s: %s", x.ID, s.Before.Deadline, cmp.Or(a.Why, "it was not Running, or did not answer")))
	case fact.Value.Status != desktop.Running:
		d.unasked(x, fact, a, "commands run on Running desktops only, and it is "+fact.Value.Status)
	case a.Call == "", !a.Cleared.IsZero():
		d.ask(x, s)
	case a.Sent.IsZero() && !d.now.due(a.At.Add(lease)): // perhaps another instance is at it
		d.asking++
		d.open++
		d.again(a.At.Add(lease))
	case a.Sent.IsZero(): // nobody knows what it would have said
		d.ask(x, s)
	case a.Invoke == "" && fact.Since(a.At) >= askAgain:
		d.ask(x, s)
	case a.Invoke == "":
		d.unasked(x, fact, a, a.Why)
	default:
		return d.answered(x, a, s)
	}
	return false
}

// ask has the command run on the desktop. It takes its room, for it may be begun
// right after.
func (d *decider) ask(x *Desktop, s *fleet.Strategy) {
	d.asking++
	d.open++
	d.again(d.now.in(30 * time.Second))
	b := s.Before
	i := slices.IndexFunc(d.out.Ask, func(c Command) bool { return c.Text == b.Command && c.Kind == b.Kind && c.Timeout == b.Timeout })
	if i < 0 {
		i, d.out.Ask = len(d.out.Ask), append(d.out.Ask, Command{Text: b.Command, Kind: b.Kind, Timeout: b.Timeout})
	}
	d.out.Ask[i].Desktops = append(d.out.Ask[i].Desktops, x.ID)
}

// answered looks at what the command said.
func (d *decider) answered(x *Desktop, a *Ask, s *fleet.Strategy) bool {
	results, ok := find(d, d.f.Checks, a.Invoke, &d.out.Need.Checks, a.Sent.Add(resultTakes))
	if !ok {
		d.asking++
		return false
	}
	b := s.Before
	got, there := results.Value[x.ID]
	switch {
	case there && got.Done && got.Status == "Success" && got.ExitCode == 0:
		d.mark(KindCleared, x, results.ReadAt)
		return true
	case there && got.Done && got.ExitCode == fleet.NotNow && b.Deferrals > 0 && a.Later >= b.Deferrals:
		d.lastWord(x)
	case there && got.Done && got.ExitCode == fleet.NotNow:
		d.mark(KindNotNow, x, results.ReadAt)
		d.postponeUntil(x, events.CodeNotNow, fmt.Sprintf("desktop %s says not now%s%s", x.ID, ofDeferrals(a.Later+1, b.Deferrals), said(got.Output)), d.now.in(b.Again))
	case there && got.Done:
		d.settle(x, events.StatusRefused, events.CodeBeforeFailed, fmt.Sprintf("the command before the rebuild ended on desktop %s with %s and exit code %d%s; nothing was touched", x.ID, got.Status, got.ExitCode, said(got.Output)))
	case results.Since(a.Sent) >= b.Timeout+askMore:
		d.settle(x, events.StatusRefused, events.CodeBeforeFailed, fmt.Sprintf("the command before the rebuild did not end on desktop %s; nothing was touched", x.ID))
	default:
		d.asking++
		d.open++
		d.again(d.now.in(30 * time.Second))
	}
	return false
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

// overruled says whether a desktop may be rebuilt whose not now is not heeded any
// more: once its users were told so, as far as anybody is there.
func (d *decider) overruled(x *Desktop, fact Fact[*desktop.Desktop], a *Ask) bool {
	switch {
	case a.Last.IsZero() && fact.Value.Status == desktop.Running:
		d.lastWord(x)
		return false
	case a.Last.IsZero(), !a.Told.IsZero() && d.now.due(a.Told.Add(lastWord)):
		return true
	case a.Told.IsZero() && d.now.due(a.Last.Add(lease)) && fact.Value.Status == desktop.Running: // nobody knows whether they were told
		d.lastWord(x)
		return false
	}
	d.asking++
	d.open++
	d.again(later(a.Last.Add(lease), a.Told.Add(lastWord)))
	return false
}

// lastWord tells the users that not now is not heeded any more.
func (d *decider) lastWord(x *Desktop) {
	d.asking++
	d.open++
	d.again(d.now.in(30 * time.Second))
	i := slices.IndexFunc(d.out.Tell, func(t Notification) bool { return t.Last && len(t.Desktops) < maxTold })
	if i < 0 {
		i, d.out.Tell = len(d.out.Tell), append(d.out.Tell, Notification{Text: lastWordText, Due: d.now.in(lastWord), Last: true})
	}
	d.out.Tell[i].Desktops = append(d.out.Tell[i].Desktops, x.ID)
}

// unasked keeps a desktop waiting that cannot be asked.
func (d *decider) unasked(x *Desktop, fact Fact[*desktop.Desktop], a *Ask, why string) {
	if a.Since.IsZero() {
		d.mark(KindUnasked, x, fact.ReadAt)
	}
	d.postpone(x, events.CodeNotAsked, fmt.Sprintf("desktop %s cannot be asked whether it may be rebuilt: %s", x.ID, why))
}

// ask folds what a desktop was asked, and what it said.
func (d *Desktop) ask(r *Record) {
	if d.Ask == nil {
		d.Ask = &Ask{}
	}
	a := d.Ask
	switch r.Kind {
	case KindAsking:
		a.Call, a.At, a.Sent, a.Invoke, a.Why, a.Cleared = r.Call, r.At, zero, "", "", zero
	case KindAsked:
		if a.Call == r.Call {
			a.Sent, a.Invoke, a.Why = r.At, r.Invoke, ""
			if r.Reason != nil {
				a.Why = r.Reason.Message
			}
		}
	case KindCleared:
		a.Cleared, a.Since = r.At, zero
	case KindNotNow:
		a.Later++
		a.Call, a.Invoke, a.Sent = "", "", zero
		a.since(r.At)
	case KindUnasked:
		a.since(r.At)
	case KindOnHold:
		if a.Hold.IsZero() {
			a.Hold = r.At
		}
	case KindNotifying:
		a.Last, a.Told, a.Final = r.At, zero, r.Call
	}
}

func (a *Ask) since(at time.Time) {
	if a.Since.IsZero() {
		a.Since = at
	}
}

// ask tells what the desktop was asked.
func (c *compaction) ask(d *Desktop) {
	a, id := d.Ask, []string{d.ID}
	if a == nil {
		return
	}
	if !a.Since.IsZero() {
		c.add(stepFinal, Record{Kind: KindUnasked, At: a.Since, Desktops: id})
	}
	for range a.Later {
		c.add(stepFinal, Record{Kind: KindNotNow, At: a.Since, Desktops: id})
	}
	if a.Call != "" {
		c.add(stepFinal, Record{Kind: KindAsking, At: a.At, Call: a.Call, Desktops: id})
		if !a.Sent.IsZero() {
			c.add(stepFinal, Record{Kind: KindAsked, At: a.Sent, Call: a.Call, Invoke: a.Invoke, Desktops: id})
		}
	}
	if !a.Cleared.IsZero() {
		c.add(stepFinal, Record{Kind: KindCleared, At: a.Cleared, Desktops: id})
	}
	if !a.Hold.IsZero() {
		c.add(stepFinal, Record{Kind: KindOnHold, At: a.Hold, Desktops: id})
	}
	if !a.Last.IsZero() {
		c.add(stepFinal, Record{Kind: KindNotifying, At: a.Last, N: tellsLast, Call: a.Final, Desktops: id})
		if !a.Told.IsZero() {
			c.add(stepFinal, Record{Kind: KindSent, At: a.Told, Call: a.Final, Desktops: id})
		}
	}
}

// foreasked says in a plan who is asked before.
func foreasked(now *desktop.Desktop, s *fleet.Strategy) string {
	switch {
	case s == nil || s.Before.Command == "" || now == nil:
		return ""
	case now.OS == desktop.Linux:
		return "it is to be asked before by a command, and will be refused: ECD runs commands on Windows only"
	}
	return "it is asked before by its fleet's command"
}
