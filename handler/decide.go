package handler

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// maxRounds bounds how many steps a job may take in one invocation before its
// desktops are begun: a wave begins, desktops go into maintenance mode, …
const maxRounds = 8

// decide finds out for each job what may be done now, and does whatever comes
// before a rebuild.
func (r *run) decide() {
	r.now, r.looked = r.business().UTC(), time.Now()
	jobs := r.live()
	for range maxRounds {
		r.ask(jobs)
		var further []*job
		for _, j := range jobs {
			if j.failed == nil && r.prepare(j) {
				further = append(further, j)
			}
		}
		if jobs = further; len(jobs) == 0 {
			return
		}
	}
	for _, j := range jobs { // still moving: the tick goes on
		j.decision = rollout.Decision{Again: r.now}
	}
}

func (r *run) live() []*job {
	var out []*job
	for _, j := range r.jobs {
		if j.failed == nil && j.ledger != nil {
			out = append(out, j)
		}
	}
	return out
}

// ask decides about the jobs, reading the facts that each decision asks for.
func (r *run) ask(jobs []*job) {
	undecided := jobs
	for range maxLooks {
		needs := map[string]*rollout.Need{}
		var next []*job
		for _, j := range undecided {
			if err := contain(func() error { return r.try(j, needs) }); errors.Is(err, errNeed) {
				next = append(next, j)
			} else if err != nil {
				r.fail(j, err)
			}
		}
		if undecided = next; len(undecided) == 0 {
			return
		}
		r.look(needs)
	}
	for _, j := range undecided {
		r.fail(j, fmt.Errorf("deciding about %s: the facts were asked for %d times and still do not suffice", j.id, maxLooks))
	}
}

// errNeed says that a decision needs more facts.
var errNeed = errors.New("more facts are needed")

// try decides about one job, or adds to the needs what it must know first.
func (r *run) try(j *job, needs map[string]*rollout.Need) error {
	var region string
	var d rollout.Decision
	j.ledger.view(func(s *rollout.State) {
		if s.Work == nil {
			return
		}
		region = s.Work.RegionID
		d = rollout.Decide(s, r.Rules, r.factsOf(region, j.busy), r.now)
		j.seen = j.ledger.foreign
	})
	j.decision = d
	if d.Need.Empty() {
		return nil
	}
	if err := r.insure(j); err != nil { // reading may take all the time there is
		return err
	}
	n := needs[region]
	if n == nil {
		n = &rollout.Need{}
		needs[region] = n
	}
	n.Add(d.Need)
	return errNeed
}

// prepare writes down what follows from the facts, takes the steps that come
// before a rebuild, and says whether the job must be decided about anew.
func (r *run) prepare(j *job) bool {
	d := j.able(j.decision)
	if len(d.Begin) > 0 || len(d.Records) > 0 || d.Acts() {
		if err := r.insure(j); err != nil {
			r.fail(j, err)
			return false
		}
	}
	if len(d.Left) > 0 {
		r.log().Error("desktops are left in maintenance mode, or stopped, by us: take them out by hand", "job", j.id, "desktops", d.Left)
	}
	stale := false
	if len(d.Records) > 0 {
		err := j.ledger.write(r.ctx, func(*rollout.State) []rollout.Record {
			if stale = j.ledger.foreign != j.seen; stale {
				return nil // somebody else has decided meanwhile
			}
			return d.Records
		})
		if err != nil {
			r.fail(j, err)
			return false
		}
	}
	if stale {
		return true
	}
	told := 0
	for _, rec := range d.Records {
		for _, g := range rec.Outcomes {
			r.out.add(j, g.Desktops)
			told++
		}
	}
	if told == 0 { // else the news comes behind what it follows from
		r.out.sayNews(j)
	}
	if d.Acts() {
		// Between the decision and the deed somebody else may have released, or
		// begun, what this is about: look again right before.
		if err := j.ledger.see(r.ctx); err != nil {
			r.fail(j, err)
			return false
		}
		if j.stale() {
			return true
		}
		r.act(j, d)
		return j.failed == nil
	}
	for _, rec := range d.Records {
		switch rec.Kind {
		case rollout.KindWave, rollout.KindWaveEnded, rollout.KindAgain, rollout.KindHalted:
			return true // one step leads to the next
		}
	}
	return false
}

// stale says whether others have written since the decision was made.
func (j *job) stale() bool {
	j.ledger.mu.Lock()
	defer j.ledger.mu.Unlock()
	return j.ledger.foreign != j.seen
}

// act does to desktops what is not a rebuild. Each is written down before it is
// done, so that it is undone even if we die; and done again if it fails, which
// does no harm.
func (r *run) act(j *job, d rollout.Decision) {
	var region string
	j.ledger.view(func(s *rollout.State) { region = s.Work.RegionID })
	if r.record(j, rollout.Record{Kind: rollout.KindHolding, Desktops: d.Hold}) {
		held := r.attempt(j, "maintenance on", d.Hold, func(ids []string) error { return r.ECD.Maintain(r.ctx, region, ids, true) })
		r.record(j, rollout.Record{Kind: rollout.KindHeld, Desktops: held})
		r.putOff(j, d.Hold)
	}
	if r.record(j, rollout.Record{Kind: rollout.KindStopping, Desktops: d.Stop}) {
		r.attempt(j, "stop", d.Stop, func(ids []string) error { return r.ECD.Stop(r.ctx, region, ids) })
	}
	released := r.attempt(j, "maintenance off", d.Release, func(ids []string) error { return r.ECD.Maintain(r.ctx, region, ids, false) })
	r.record(j, rollout.Record{Kind: rollout.KindReleased, Desktops: released})
	started := r.attempt(j, "start", d.Start, func(ids []string) error { return r.ECD.Start(r.ctx, region, ids) })
	r.record(j, rollout.Record{Kind: rollout.KindStarted, Desktops: started})
	if c := d.Command; len(c.Desktops) > 0 {
		var calls []string
		ran := r.attempt(j, "checking", c.Desktops, func(ids []string) error {
			more, err := r.ECD.Run(r.ctx, region, ids, c.Text, c.Kind, c.Timeout)
			if err == nil {
				calls = append(calls, more...)
			}
			return err
		})
		r.record(j, rollout.Record{Kind: rollout.KindChecking, Desktops: ran, Call: strings.Join(calls, ",")})
	}
	for _, ids := range [][]string{d.Hold, d.Stop, d.Release, d.Start, d.Command.Desktops} {
		r.forget(region, ids)
	}
}

// holdPause is when to try again to put a desktop into maintenance mode.
const holdPause = 5 * time.Minute

// putOff defers the desktops that could not be put into maintenance mode. They
// are given up like those that could not be rebuilt, and hold up nobody else.
func (r *run) putOff(j *job, ids []string) {
	var groups []rollout.Group
	for _, id := range ids {
		err := j.unable[id]
		if err == nil {
			continue
		}
		g := rollout.Group{Status: events.StatusDeferred, Code: events.CodeCallFailed, Until: r.business().UTC().Add(holdPause),
			Message: "putting it into maintenance mode: " + err.Error()}
		if desktop.FateOf(err) == desktop.Forbidden {
			g.Code = events.CodeNotAuthorized
		}
		i := slices.IndexFunc(groups, func(o rollout.Group) bool { return o.Message == g.Message })
		if i < 0 {
			i, groups = len(groups), append(groups, g)
		}
		groups[i].Desktops = append(groups[i].Desktops, id)
	}
	if len(groups) == 0 || j.failed != nil {
		return
	}
	err := j.ledger.write(r.ctx, func(*rollout.State) []rollout.Record {
		return []rollout.Record{{Kind: rollout.KindSettled, Outcomes: groups}}
	})
	if err != nil {
		r.fail(j, err)
		return
	}
	for _, g := range groups {
		r.out.add(j, g.Desktops)
	}
}

// record writes one record, if it names anybody.
func (r *run) record(j *job, rec rollout.Record) bool {
	if len(rec.Desktops) == 0 || j.failed != nil {
		return false
	}
	if err := j.ledger.write(r.ctx, func(*rollout.State) []rollout.Record { return []rollout.Record{rec} }); err != nil {
		r.fail(j, err)
		return false
	}
	return true
}

// attempt calls ECD for desktops, and returns those for which that worked. ECD
// refuses all of a call for the sake of one desktop (one that was released, or
// is in another status than it was shown in), so a call that it refused is taken
// apart. What went wrong is logged; the journal says what is still to be done,
// and the next tick tries again.
func (r *run) attempt(j *job, what string, ids []string, do func([]string) error) []string {
	if len(ids) == 0 || j.failed != nil {
		return nil
	}
	err := do(ids)
	if err == nil {
		return ids
	}
	if desktop.FateOf(err) == desktop.Refused && len(ids) > 1 {
		half := len(ids) / 2
		return append(slices.Clip(r.attempt(j, what, ids[:half], do)), r.attempt(j, what, ids[half:], do)...)
	}
	if desktop.FateOf(err) == desktop.Forbidden {
		r.halt(err)
	}
	r.log().Warn("desktops could not be made ready", "job", j.id, "what", what, "desktops", len(ids), "error", err.Error())
	if j.unable == nil {
		j.unable = map[string]error{}
	}
	for _, id := range ids {
		j.unable[id] = err
	}
	return nil
}
