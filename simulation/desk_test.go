package simulation

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// This file is what happens at the desktops: what is shown to people there, and
// what the command before a rebuild says. Commands end early, late or never, and
// their results show early, late or never, each by itself.

// askCommand is the command before a rebuild of every fleet that has one, and
// noticeText the text of every notice.
const (
	askCommand = "exit (not-now)"
	noticeText = "{{.Release}}|{{.Fleet}}|{{.At}}|{{.Zone}}|{{.Minutes}}"
)

// results are the odds, in a thousand, of what becomes of a command.
type results struct {
	Late int `json:",omitempty"` // its end shows minutes later
	Lost int `json:",omitempty"` // its end never shows
	Fail int `json:",omitempty"` // it ends badly
}

// Strikes of results.
const (
	endsLate  = "ends late"
	endsNever = "never ends"
	endsBadly = "ends badly"
)

// desk is what people at a desktop saw of us, and what they say.
type desk struct {
	told   []notice // by a command that ran, whatever became of it
	shown  []notice
	asked  []answer
	notNow int       // how often they still say not now; below 0: always
	heldAt time.Time // when the tag that holds the desktop back was set last
	usage  usage
	disks  []diskShot
}

// A notice is one text that was shown.
type notice struct {
	at   time.Time
	sort int // as in the journal: 1 the first, 2 a reminder, 3 the last word
	due  time.Time
	work string
	ran  *ranCheck
}

// An answer is one run of the command before a rebuild.
type answer struct {
	at   time.Time
	work string
	ran  *ranCheck
}

func (r ranCheck) shown(id string) desktop.Invocation {
	i := desktop.Invocation{DesktopID: id, Status: "Running"}
	if !r.shows.IsZero() && !time.Now().Before(r.shows) {
		i.Done, i.Status, i.ExitCode = true, r.status, r.exit
		if r.exit == fleet.NotNow {
			i.Output = "not now, please\nreally"
		}
	}
	return i
}

// runs has a command run on a desktop, and draws when and how it ends.
func (w *world) runs(m *machine, invoke, what string, exit int) *ranCheck {
	if m.ran == nil {
		m.ran = map[string]ranCheck{}
	}
	label := "Result of " + what + " on " + m.now.ID
	w.seen[label]++
	d := newDice(w.s.Seed, label, w.seen[label])
	r := ranCheck{people: true, at: time.Now(), shows: time.Now().Add(d.between(second, 20*second).d()), status: "Success"}
	late := d.between(minute, 12*minute).d()
	strikes := func(kind string, perMille int) bool {
		luck := newDice(w.s.Seed, label+" "+kind, w.seen[label])
		return w.strikesIf(label+" "+kind, kind, func() bool { return !w.quiet() && luck.n(1000) < perMille })
	}
	if exit != 0 {
		r.status, r.exit = "Failed", exit
	}
	if strikes(endsBadly, w.s.Results.Fail) {
		r.status, r.exit = "Failed", 1
	}
	if strikes(endsLate, w.s.Results.Late) {
		r.shows = r.shows.Add(late)
	}
	if strikes(endsNever, w.s.Results.Lost) {
		r.shows = time.Time{}
	}
	m.ran[invoke] = r
	return &r
}

// invoke names the next command.
func (e *ecd) invoke() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.commands++
	return "t-" + strconv.Itoa(e.commands)
}

// askDesktops runs the command before a rebuild.
func (e *ecd) askDesktops(ctx context.Context, ids []string) ([]string, error) {
	by, id := of(ctx), e.invoke()
	err := e.command(ctx, "Ask ", ids, func(m *machine) {
		exit := m.plan.Exit
		if m.desk.notNow != 0 {
			exit = fleet.NotNow
			m.desk.notNow--
		}
		k := e.announced(by, m.now.ID, "asking", 0)
		a := answer{at: time.Now(), ran: e.runs(m, id, "the command before", exit)}
		if a.work = k.name(); k == nil {
			e.breaks(askedUnrecorded, "%s was asked, and no journal says that it was to be", m.now.ID)
		}
		m.desk.asked = append(m.desk.asked, a)
		e.note(by.id, m.now.ID, fmt.Sprintf("says %d", a.ran.exit))
	})
	return []string{id}, err
}

var _ handler.Notifier = (*ecd)(nil)

// Tell is RunCommand with a text to show.
func (e *ecd) Tell(ctx context.Context, _ string, ids []string, _, text string) ([]string, error) {
	by, id := of(ctx), e.invoke()
	n := notice{sort: tellsLast}
	var named bool
	if parts := strings.Split(text, "|"); len(parts) == 5 {
		zone, err := time.LoadLocation(parts[3])
		if err != nil {
			return nil, err
		}
		if n.due, err = time.ParseInLocation("2006-01-02 15:04", parts[2], zone); err != nil {
			return nil, err
		}
		n.sort, named = tellsFirst, true
	}
	label := "Tell "
	if len(ids) > 50 {
		return nil, &desktop.CallError{Call: "RunCommand", Delivery: desktop.Refused, Message: "too many"}
	}
	err := e.command(ctx, label, ids, func(m *machine) {
		n := n
		n.at = time.Now()
		k := e.announced(by, m.now.ID, "telling", n.sort)
		if k == nil && named { // a reminder names the same time
			n.sort = tellsReminder
			k = e.announced(by, m.now.ID, "telling", n.sort)
		}
		if n.work = k.name(); k == nil {
			e.breaks(toldUnrecorded, "%s was told, and no journal says that it was to be", m.now.ID)
		} else if named && !n.due.Equal(k.desktops[m.now.ID].people.told.due.Truncate(time.Minute)) {
			e.breaks(toldUnrecorded, "%s was told of %s, and the journal says %s", m.now.ID, n.due, k.desktops[m.now.ID].people.told.due)
		}
		n.ran = e.runs(m, id, "a notice", 0)
		m.desk.told = append(m.desk.told, n)
		if n.ran.status == "Success" {
			m.desk.shown = append(m.desk.shown, n)
		}
		e.note(by.id, m.now.ID, fmt.Sprintf("is told (%d) of %s", n.sort, n.due.Format(time.RFC3339)))
	})
	return []string{id}, err
}

// command runs something on desktops that are all Running, and of Windows.
func (e *ecd) command(ctx context.Context, label string, ids []string, do func(*machine)) error {
	if e.s.Linux {
		return &desktop.CallError{Call: "RunCommand", Delivery: desktop.Refused, Code: "OperationDenied.OsType", Message: "Windows only"}
	}
	return e.change(ctx, "RunCommand", label, ids, desktop.Running, do)
}

// announced finds the work whose journal says that the invocation is about to tell,
// or ask, the desktop, and takes that for used.
func (w *world) announced(by *invocation, id, kind string, sort int) *work {
	for _, k := range w.workList() {
		p := k.desktops[id]
		if p == nil {
			continue
		}
		for n, a := range p.people.announced {
			if a.by == by.id && a.kind == kind && a.sort == sort {
				p.people.announced = slices.Delete(p.people.announced, n, n+1)
				return k
			}
		}
	}
	return nil
}

func (k *work) name() string {
	if k == nil {
		return ""
	}
	return k.id
}

// peopleDo has people do something at their desktop, and says whether they could.
func (w *world) peopleDo(m *machine, e eventPlan, idle bool) bool {
	switch {
	case e.What == "not-now":
		m.desk.notNow, _ = strconv.Atoi(e.Arg)
	case e.What == "hold":
		tags := map[string]string{}
		for k, v := range m.now.Tags {
			tags[k] = v
		}
		tags[holdTag] = e.Arg
		if in, err := time.ParseDuration(e.Arg); err == nil {
			tags[holdTag] = time.Now().Add(in).Format(time.RFC3339)
		}
		m.now.Tags, m.desk.heldAt = tags, time.Now()
	case e.What == "idle" || e.What == "active" || e.What == "ticket" || e.What == "leave":
		m.usesDesk(e.What)
	case !idle || m.gone || m.held:
		return false
	case e.What == "start" && m.now.Status == desktop.Stopped:
		m.move(desktop.Starting, desktop.Running)
		m.halted = false
	case e.What == "stop" && m.now.Status == desktop.Running:
		m.move(desktop.Stopping, desktop.Stopped)
	default:
		return false
	}
	return true
}

// instant is a time of the schedule, or none.
func (w *world) instant(s span) time.Time {
	if s == 0 {
		return time.Time{}
	}
	return w.at(s).UTC()
}

// freezeOf is a message that freezes, or lifts that.
func (w *world) freezeOf(m messagePlan) events.Freeze {
	f := events.Freeze{FreezeID: m.ID, Action: events.FreezeBegin, By: "alice", Reason: "because", Until: w.instant(m.Until), Regions: m.Regions, Fleets: m.Fleets}
	if m.Kind == "lift" {
		return events.Freeze{FreezeID: m.ID, Action: events.FreezeLift, By: "alice", Reason: "because"}
	}
	return f
}

// readFreezes reads the log of freezes, which takes its time.
func (l *log) readFreezes(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	i := of(ctx)
	var lines []byte
	var length int64
	var err error
	var at time.Time
	h := l.call(ctx, "Read "+key, true, func() {
		lines, length, err = l.store.Read(context.Background(), key, from)
		at = time.Now()
	})
	switch {
	case h.dead:
		return nil, 0, errDead
	case h.what != "" || err != nil:
		return nil, 0, errors.New("reading: connection refused")
	}
	l.mu.Lock()
	i.thawedAt = at
	l.mu.Unlock()
	return lines, length, nil
}
