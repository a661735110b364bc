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

// Preview says what a work would do, without doing or writing down anything:
// the waves, who is in each and why, who is left out and why, the calls and the
// time to expect. Equal facts give equal plans. When the Need is not empty the
// plan is unfinished: call it again with more facts.
//
// Sessions do not count: who is connected now says nothing of later. A desktop
// that waits for something that passes is planned as if it had passed.
//
// A plan that was made although something could not be read says so: it must not
// be compared with another.
func Preview(w Operation, r Rules, f *Facts, now time.Time) (events.Plan, Need, *Unread) {
	s := NewState()
	s.Apply(Record{Kind: KindOpened, At: now, Operation: &w})
	d := newDecider(s, r, f, now)
	d.planning = true
	p := events.Plan{ReleaseID: w.ReleaseID, Fleet: w.Fleet, RegionID: w.RegionID, ImageID: w.ImageID}
	if w.Request() {
		p.RequestID = w.ID
		p.Waves = []events.PlanWave{{N: 1, Name: "request", Desktops: d.intentions(w.Desktops)}}
	} else {
		p.RolloutID = w.ID
		d.plannedWaves(&p)
	}
	p.Gates = d.gates()
	rebuilds := 0
	for _, wave := range p.Waves {
		for _, x := range wave.Desktops {
			if x.Action == events.PlanRebuild {
				rebuilds++
			}
		}
	}
	p.Calls, p.ExpectedSeconds = d.cost(p, rebuilds)
	p.PlanDigest = events.DigestPlan(p)
	return p, d.out.Need, d.vain
}

// intentions says what would be done to each desktop.
func (d *decider) intentions(ids []string) []events.PlanDesktop {
	out := make([]events.PlanDesktop, 0, len(ids))
	for _, id := range ids {
		out = append(out, d.intention(&Desktop{ID: id}))
	}
	return out
}

func (d *decider) intention(x *Desktop) events.PlanDesktop {
	q := guard.Question{Target: desktop.Target{ID: x.ID, Spec: d.s.Operation.SpecOf(x.ID)}}
	p := events.PlanDesktop{ID: x.ID, Action: events.PlanRebuild}
	_, strategy, ok := d.question(x, &q)
	if !ok {
		p.Action = events.PlanRefuse
		for _, g := range d.settled { // none if it is asked for; else it is unreadable
			if slices.Contains(g.Desktops, x.ID) {
				p.Code, p.Message = g.Code, g.Message
			}
		}
		return p
	}
	if q.Desktop != nil {
		p.From = q.Desktop.ImageID
	}
	if d.s.Operation.Fleet != "" || q.Rules.Sessions == guard.WaitInUse {
		q.Rules.Sessions = guard.ForceInUse
	}
	switch v := guard.Check(q); v.Answer {
	case guard.Go:
		p.Message = joined(guard.Losses(q), foretold(q.Desktop, strategy), foreasked(q.Desktop, strategy)) // consented to, and said all the same
	case guard.Skip:
		p.Action, p.Code, p.Message = events.PlanSkip, v.Code, v.Message
	case guard.Refuse:
		p.Action, p.Code, p.Message = events.PlanRefuse, v.Code, v.Message
	}
	return p
}

// joined joins the parts of a message that there are.
func joined(parts ...string) string {
	return strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), "; ")
}

// plannedWaves deals the fleet out into waves as a rollout would.
func (d *decider) plannedWaves(p *events.Plan) {
	f := d.fleet()
	if f == nil {
		return
	}
	members, ok := find(d, d.f.Members, f.Name, &d.out.Need.Members, zero)
	if !ok || members.Err != nil {
		d.vain = members.Err
		return
	}
	order, tagged := d.turns(f, members.Value)
	ends := f.Strategy.WaveEnds(len(order), f.Strategy.Canary.Size(len(order), tagged))
	from := 0
	for i, end := range ends {
		if end > from {
			p.Waves = append(p.Waves, events.PlanWave{N: i + 1, Name: waveName(i+1, len(ends)), Desktops: d.intentions(order[from:end])})
			from = end
		}
	}
}

// cost estimates the calls of a plan, and how long it takes within the windows.
func (d *decider) cost(p events.Plan, rebuilds int) (map[string]int, int) {
	all := 0
	for _, w := range p.Waves {
		all += len(w.Desktops)
	}
	calls := map[string]int{
		"RebuildDesktops":  ceil(rebuilds, desktop.MaxBatch),
		"DescribeDesktops": ceil(all, 100) + ceil(rebuilds, 100),
		"DescribeImages":   1,
	}
	f := d.fleet()
	if f == nil {
		return calls, int((10 * time.Minute).Seconds())
	}
	at := d.now.t
	calls["RebuildDesktops"] = 0
	room := f.Strategy.AtOnce(all)
	for i, w := range p.Waves {
		n := 0
		for _, x := range w.Desktops {
			if x.Action == events.PlanRebuild {
				n++
			}
		}
		for n > 0 {
			now := min(n, room)
			calls["RebuildDesktops"] += ceil(now, desktop.MaxBatch)
			at = opens(f, opens(f, at).Add(f.Strategy.Notice.Lead)).Add(f.Strategy.Expected + f.Strategy.Check.Stable)
			n -= now
		}
		if i < len(p.Waves)-1 {
			at = at.Add(f.Strategy.Soak)
		}
	}
	return calls, int(at.Sub(d.now.t).Seconds())
}

// opens returns when a rebuild may begin at or after t.
func opens(f *fleet.Fleet, t time.Time) time.Time {
	d := &decider{now: clock{t}}
	for range 1000 {
		open, until := d.window(f)
		if open || until.IsZero() {
			break
		}
		d.now = clock{until}
	}
	return d.now.t
}

func ceil(n, by int) int { return (n + by - 1) / by }

// Outcomes returns a plan as the outcomes of a dry run.
func Outcomes(p events.Plan, w Operation) []events.Outcome {
	var out []events.Outcome
	for _, wave := range p.Waves {
		for _, x := range wave.Desktops {
			o := events.Outcome{RequestID: w.ID, RegionID: w.RegionID, DesktopID: x.ID, ImageID: w.SpecOf(x.ID).ImageID,
				PreviousImageID: x.From, Fleet: w.Fleet, ReleaseID: w.ReleaseID, DryRun: true, Code: x.Code, Message: x.Message}
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
