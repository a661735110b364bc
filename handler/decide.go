package handler

import (
	"context"
	"crypto/rand"
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
	jobs := r.live()
	for range maxRounds {
		for _, f := range r.facts {
			f.DropBefore(r.business().Add(-factsAge))
		}
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
		if j.failed == nil && j.journal != nil {
			out = append(out, j)
		}
	}
	return out
}

// ask decides about the jobs, reading the facts that each decision asks for.
func (r *run) ask(jobs []*job) {
	undecided := jobs
	for range maxLooks {
		r.now = r.business().UTC()
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
	j.version = j.journal.Look(func(s *rollout.State) {
		if s.Operation == nil {
			return
		}
		region = s.Operation.RegionID
		d = rollout.Decide(s, r.Rules, r.factsOf(region, j.busy), r.now)
	})
	j.decision, j.decided = d, r.now
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
	if len(d.Records) > 0 {
		err := j.journal.UpdateBy(r.ctx, &j.version, overtaken, func(*rollout.State) []rollout.Record { return d.Records })
		if errors.Is(err, errOvertaken) {
			return true
		}
		if err != nil {
			r.fail(j, err)
			return false
		}
	}
	told := 0
	for _, rec := range d.Records {
		for _, g := range rec.Outcomes {
			r.out.add(j, g.Desktops)
			told++
		}
	}
	if told == 0 { // else the news comes behind what it follows from
		r.out.emitEvents(j)
	}
	if d.Acts() {
		return r.act(j, d)
	}
	for _, rec := range d.Records {
		switch rec.Kind {
		case rollout.KindWave, rollout.KindWaveEnded, rollout.KindAgain, rollout.KindHalted:
			return true // one step leads to the next
		}
	}
	return false
}

// act does to desktops what is not a rebuild. Each call is announced in the
// journal before it is made, unless somebody has written since the decision: then
// what this is about may be released, or begun, and is decided anew. So it is
// undone even if we die; and done again if it fails, which does no harm. The
// record of its end counts only if nobody has announced another call since. It
// returns whether to decide again.
func (r *run) act(j *job, d rollout.Decision) bool {
	ctx, cancel := context.WithDeadline(r.ctx, time.Now().Add(rollout.CallLimit)) // others rely on it: see rollout.Act
	defer cancel()
	call := rand.Text()
	var region string
	calls := map[string]string{} // in which each desktop was that is to be checked
	if again := r.announce(j, d, call, func(s *rollout.State) {
		region = s.Operation.RegionID
		for _, id := range d.Command.Desktops {
			calls[id] = s.Desktops[id].Call
		}
	}); again || j.failed != nil {
		return again && j.failed == nil
	}
	maintain := func(on bool) func([]string) error {
		return func(ids []string) error { return r.ECD.Maintain(ctx, region, ids, on) }
	}
	done := func(kind rollout.Kind, ids []string) {
		r.record(j, func(*rollout.State) rollout.Record { return rollout.Record{Kind: kind, Call: call, Desktops: ids} })
	}
	done(rollout.KindHeld, r.attempt(j, "maintenance on", d.Hold, maintain(true)))
	r.putOff(j, d.Hold)
	r.attempt(j, "stop", d.Stop, func(ids []string) error { return r.ECD.Stop(ctx, region, ids) })
	done(rollout.KindReleased, r.attempt(j, "maintenance off", d.Release, maintain(false)))
	done(rollout.KindStarted, r.attempt(j, "start", d.Start, func(ids []string) error { return r.ECD.Start(ctx, region, ids) }))
	r.runCheck(ctx, j, region, d.Command, calls)
	r.runTell(ctx, j, region, d.Tell, call)
	r.runAsk(ctx, j, region, d.Ask, call)
	for _, ids := range [][]string{d.Hold, d.Stop, d.Release, d.Start} { // what was read of them was so before
		for _, id := range ids {
			delete(r.facts[region].Desktops, id)
		}
	}
	return j.failed == nil
}

// announce writes down what is about to be done to desktops. It returns true, and
// writes nothing, if others have written since the decision was made.
func (r *run) announce(j *job, d rollout.Decision, call string, look func(*rollout.State)) (again bool) {
	kinds := []struct {
		kind rollout.Kind
		ids  []string
	}{{rollout.KindHolding, d.Hold}, {rollout.KindStopping, d.Stop}, {rollout.KindReleasing, d.Release}, {rollout.KindStarting, d.Start}}
	if err := j.journal.Refresh(r.ctx); err != nil { // a check announces nothing
		r.fail(j, err)
		return false
	}
	err := j.journal.UpdateBy(r.ctx, &j.version, overtaken, func(s *rollout.State) []rollout.Record {
		look(s)
		var out []rollout.Record
		for _, k := range kinds {
			if len(k.ids) > 0 {
				out = append(out, rollout.Record{Kind: k.kind, Call: call, Desktops: k.ids})
			}
		}
		return slices.Concat(out, announcedTellings(d.Tell, call), announcedAsks(d.Ask, call))
	})
	if errors.Is(err, errOvertaken) {
		return true
	}
	if err != nil {
		r.fail(j, err)
	}
	return false
}

// runCheck runs the check command on desktops and writes down its id for those
// that are still in the attempt that it is to check.
func (r *run) runCheck(ctx context.Context, j *job, region string, c rollout.Command, calls map[string]string) {
	var invoked []string
	ran := r.attempt(j, checking, c.Desktops, func(ids []string) error {
		more, err := r.ECD.Run(ctx, region, ids, c.Text, c.Kind, c.Timeout)
		if err == nil {
			invoked = append(invoked, more...)
		}
		return err
	})
	r.record(j, func(s *rollout.State) rollout.Record {
		rec := rollout.Record{Kind: rollout.KindChecking, Call: strings.Join(invoked, ",")}
		for _, id := range ran {
			if x := s.Desktops[id]; x.Phase == rollout.Accepted && x.Call == calls[id] && x.Check == "" {
				rec.Desktops = append(rec.Desktops, id)
			}
		}
		return rec
	})
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
		if desktop.DeliveryOf(err) == desktop.Forbidden {
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
	err := j.journal.Update(r.ctx, func(*rollout.State) []rollout.Record {
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

// record writes one record, if it names anybody. It is made of the state that it
// is appended to.
func (r *run) record(j *job, f func(*rollout.State) rollout.Record) {
	if j.failed != nil {
		return
	}
	err := j.journal.Update(r.ctx, func(s *rollout.State) []rollout.Record {
		if rec := f(s); len(rec.Desktops) > 0 {
			return []rollout.Record{rec}
		}
		return nil
	})
	if err != nil {
		r.fail(j, err)
	}
}

// attempt calls ECD for desktops, and returns those for which that worked. ECD
// refuses all of a call for the sake of one desktop (one that was released, or
// is in another status than it was shown in), so a call that it refused is taken
// apart; see mayTakeApart. What went wrong is logged; the journal says what is still to be done,
// and the next tick tries again.
func (r *run) attempt(j *job, what string, ids []string, do func([]string) error) []string {
	if len(ids) == 0 || j.failed != nil {
		return nil
	}
	err := do(ids)
	if err == nil {
		return ids
	}
	e, answered := errors.AsType[*desktop.CallError](err)
	if answered && len(ids) > 1 && mayTakeApart(e, what, ids) {
		half := len(ids) / 2
		return append(slices.Clip(r.attempt(j, what, ids[:half], do)), r.attempt(j, what, ids[half:], do)...)
	}
	if answered && e.Delivery == desktop.Forbidden {
		r.notAllowed(e, err)
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
