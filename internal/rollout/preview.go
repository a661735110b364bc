package rollout

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/guard"
)

// Preview says what an operation would do, without doing or writing down anything:
// the waves, who is in each and why, who is left out and why, the calls and the
// time to expect. Equal facts give equal plans. When the Need is not empty the
// plan is unfinished: call it again with more facts.
//
// Sessions do not count: who is connected now says nothing of later. A desktop
// that waits for something that passes is planned as if it had passed.
//
// A plan that was made although something could not be read says so: it must not
// be compared with another.
func Preview(op Operation, r Rules, f *Facts, now time.Time) (events.Plan, Need, *Unread) {
	s := NewState()
	s.Apply(Record{Kind: KindOpened, At: now, Operation: &op})
	v := &view{s: s, r: r, f: f, now: clock{now}, planning: true}
	t := newTotal(v)
	p := events.Plan{ReleaseID: op.ReleaseID, Fleet: op.Fleet, AccountID: op.AccountID, RegionID: op.RegionID, ImageID: op.ImageID}
	if op.Request() {
		p.RequestID = op.ID
		p.Waves = []events.PlanWave{{N: 1, Name: "request", Desktops: v.intentions(t, op.Desktops)}}
	} else {
		p.RolloutID = op.ID
		p.Waves = v.plannedWaves(t)
	}
	gates, more := v.gates()
	t.join(more)
	p.Gates = append(gates, v.roomGate(p.Waves, t.unread)...)
	rebuilds := 0
	for _, wave := range p.Waves {
		rebuilds += rebuiltIn(wave)
	}
	p.Calls, p.ExpectedSeconds = v.cost(p, rebuilds)
	p.PlanDigest = events.DigestPlan(p)
	return p, t.out.Need, t.unread
}

func rebuiltIn(wave events.PlanWave) (n int) {
	for _, x := range wave.Desktops {
		if x.Action == events.PlanRebuild {
			n++
		}
	}
	return n
}

// intentions says what would be done to each desktop.
func (v *view) intentions(t *total, ids []string) []events.PlanDesktop {
	out := make([]events.PlanDesktop, 0, len(ids))
	for _, id := range ids {
		p, s := v.intention(&Desktop{ID: id})
		t.join(s)
		out = append(out, p)
	}
	return out
}

func (v *view) intention(x *Desktop) (events.PlanDesktop, step) {
	p := events.PlanDesktop{ID: x.ID, Action: events.PlanRebuild}
	q, c, s, ok := v.question(x)
	if !ok {
		p.Action = events.PlanRefuse
		if s.outcome != nil { // it cannot be read; else it is asked for
			p.Code, p.Message = s.outcome.Code, cut(s.outcome.Message)
		}
		return p, s
	}
	if q.Desktop != nil {
		p.From = q.Desktop.ImageID
	}
	if s := v.leftAlone(x, q.Desktop); s.outcome != nil {
		p.Action, p.Code, p.Message = events.PlanSkip, s.outcome.Code, s.outcome.Message
		if s.outcome.Status == events.StatusRefused {
			p.Action = events.PlanRefuse
		}
		return p, s
	}
	if v.s.Operation.Fleet != "" || q.Rules.Sessions == guard.WaitInUse {
		q.Rules.Sessions = guard.ForceInUse
	}
	switch verdict := guard.Check(q); verdict.Answer {
	case guard.Go:
		p.Message = joined(append([]string{guard.Losses(q)}, c.before()...)...) // consented to, and said all the same
		if code, why := c.unsavable(); code != "" {
			p.Action, p.Code, p.Message = events.PlanRefuse, code, why
		}
	case guard.Skip:
		p.Action, p.Code, p.Message = events.PlanSkip, verdict.Code, verdict.Message
	case guard.Refuse:
		p.Action, p.Code, p.Message = events.PlanRefuse, verdict.Code, verdict.Message
	}
	return p, s
}

// before says in a plan what is done before the rebuild of the desktop.
func (c candidate) before() (out []string) {
	if s := c.strategy; s != nil {
		linux := c.now.OS == desktop.Linux
		switch {
		case s.Notice.Lead == 0:
		case linux:
			out = append(out, "its users are to be told before, and cannot be: ECD runs commands on Windows only")
		case c.now.Status == desktop.Stopped:
			out = append(out, fmt.Sprintf("its users are told %s before if it runs by then", s.Notice.Lead))
		default:
			out = append(out, fmt.Sprintf("its users are told %s before", s.Notice.Lead))
		}
		switch {
		case s.Before.Command == "":
		case linux:
			out = append(out, "it is to be asked before by a command, and will be refused: ECD runs commands on Windows only")
		default:
			out = append(out, "it is asked before by its fleet's command")
		}
	}
	if c.erases {
		out = append(out, "a snapshot of its data disk is made and waited for before")
	}
	return out
}

// joined joins the parts of a message that there are.
func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "; ")
}

// plannedWaves deals the fleet out into waves as a rollout would.
func (v *view) plannedWaves(t *total) (waves []events.PlanWave) {
	f := v.fleet()
	if f == nil {
		return nil
	}
	members, s, ok := find(v, ofMembers, f.Name, zero)
	t.join(s)
	if !ok || members.Err != nil {
		t.unread = members.Err
		return nil
	}
	order, tagged := v.turns(f, members.Value)
	ends := f.Strategy.WaveEnds(len(order), f.Strategy.Canary.Size(len(order), tagged))
	from := 0
	for i, end := range ends {
		if end > from {
			wave := events.PlanWave{N: i + 1, Name: waveName(i+1, len(ends)), Desktops: v.intentions(t, order[from:end])}
			for from = end; i == 0 && v.s.Operation.Undoes == "" && from < len(order) && !showsIn(wave); from = end { // see endWave
				end = min(2*from, len(order))
				wave.Desktops = append(wave.Desktops, v.intentions(t, order[from:end])...)
			}
			waves = append(waves, wave)
		}
	}
	return waves
}

// showsIn says whether a desktop of a planned canary is to show what the image does.
func showsIn(wave events.PlanWave) bool {
	return slices.ContainsFunc(wave.Desktops, func(x events.PlanDesktop) bool {
		return x.Action == events.PlanRebuild || x.Code == events.CodeAlreadyOnImage
	})
}

// cost estimates the calls of a plan, and how long it takes within the windows.
func (v *view) cost(p events.Plan, rebuilds int) (map[string]int, int) {
	all := 0
	for _, w := range p.Waves {
		all += len(w.Desktops)
	}
	calls := map[string]int{
		"RebuildDesktops":  ceil(rebuilds, desktop.MaxBatch),
		"DescribeDesktops": ceil(all, 100) + ceil(rebuilds, 100),
		"DescribeImages":   1,
	}
	f := v.fleet()
	if f == nil {
		return calls, int((10 * time.Minute).Seconds())
	}
	at := v.now.t
	calls["RebuildDesktops"] = 0
	room := f.Strategy.AtOnce(all)
	for i, w := range p.Waves {
		n := rebuiltIn(w)
		if n > 0 { // all of a wave are told when it begins, the later ones of later times
			at = v.opens(f, at).Add(f.Strategy.Notice.Lead)
		}
		for n > 0 {
			now := min(n, room)
			calls["RebuildDesktops"] += ceil(now, desktop.MaxBatch)
			at = v.opens(f, at).Add(f.Strategy.Expected + f.Strategy.Check.Stable)
			n -= now
		}
		if i < len(p.Waves)-1 {
			at = at.Add(f.Strategy.Soak)
		}
	}
	return calls, int(at.Sub(v.now.t).Seconds())
}

// opens returns when a rebuild may begin at or after t. A rollback may be allowed to
// begin at any time.
func (v *view) opens(f *fleet.Fleet, t time.Time) time.Time {
	for range 1000 {
		if v.s.Operation.AnyTime {
			break
		}
		open, until := windowAt(f, clock{t})
		if open || until.IsZero() {
			break
		}
		t = until
	}
	return t
}

func ceil(n, by int) int { return (n + by - 1) / by }

// Outcomes returns a plan as the outcomes of a dry run.
func Outcomes(p events.Plan, op Operation) []events.Outcome {
	var out []events.Outcome
	for _, wave := range p.Waves {
		for _, x := range wave.Desktops {
			o := events.Outcome{RequestID: op.ID, AccountID: op.AccountID, RegionID: op.RegionID, DesktopID: x.ID, ImageID: op.SpecOf(x.ID).ImageID,
				PreviousImageID: x.From, Fleet: op.Fleet, ReleaseID: op.ReleaseID, DryRun: true, Code: x.Code, Message: x.Message}
			switch x.Action {
			case events.PlanRebuild:
				o.Status, o.Code = events.StatusSkipped, events.CodeDryRun
				o.Message = fmt.Sprintf("would be rebuilt from %s in %s; nothing was done", x.From, waveTitle(wave.N, wave.Name))
				if x.Message != "" {
					o.Message += "; " + x.Message
				}
			case events.PlanSkip:
				o.Status = events.StatusSkipped
			default:
				o.Status = events.StatusRefused
			}
			out = append(out, o)
		}
	}
	return slices.Clip(out)
}
