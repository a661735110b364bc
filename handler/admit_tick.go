package handler

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// tick makes a job of a tick. A tick that a later one has overtaken is done: the later
// one looks at everything.
func (a *admission) tick(m envelope.Message) error {
	t, err := events.ParseTick(m.Data)
	if err != nil {
		a.refuse.message(m, events.CodeInvalidRequest, err.Error())
		return nil
	}
	name := t.Kind + "/" + t.ID
	if !a.hasJournal {
		name += "/" + digestOf(m.Raw) // each carries other desktops
	}
	j, fresh := a.jobs.addAs(name, t.Kind, t.ID)
	if fresh {
		j.message, j.tick = m, t.N
		if a.full() { // its journal is not even read
			a.handOver(j)
			return nil
		}
		if a.jobs.cache.overtaken(j.key(), t.N, a.asOf()) {
			a.jobs.drop(j)
			return nil
		}
	}
	if j.failure() != nil {
		a.recovery.failToo(j, &job{kind: t.Kind, id: t.ID, message: m, tick: t.N})
		return nil
	}
	if !fresh || !a.jobs.recall(j, t.N) {
		if err := a.jobs.open(j); err != nil {
			a.recovery.fail(j, err)
			return nil
		}
	}
	j.use(t.N)
	j.woken = j.woken || t.N == events.TickAnyway
	if !a.hasJournal && fresh {
		return a.carried(j, t)
	}
	if fresh && a.stale(j, t) {
		a.jobs.keepOne(j)
		a.jobs.drop(j)
		if j.operation() == nil {
			return a.fleets.wakeEntered(t.Kind, t.ID)
		}
	}
	return nil
}

// stale says whether there is nothing to look at for a tick.
func (a *admission) stale(j *job, t events.Tick) (stale bool) {
	j.journal.Look(func(s *rollout.State) {
		stale = s.Operation == nil || s.Closed && s.Quiet() ||
			laterComes(s, t.N, a.asOf())
	})
	return stale
}

// carried gives a job the records that a tick brought along, for want of a
// journal that lasts.
func (a *admission) carried(j *job, t events.Tick) error {
	records, err := rollout.Decode([]byte(strings.Join(t.Records, "\n") + "\n"))
	if err != nil {
		a.refuse.message(j.message, events.CodeInvalidRequest, fmt.Sprintf(
			"the tick for %s carries no records that can be read, and there is no journal: %v", t.ID, err))
		a.jobs.drop(j)
		return nil
	}
	s := j.journal.known().state // no other has it yet, and nothing of it is in a journal that lasts
	s.Apply(records...)
	s.TickN = t.N
	if t.Signed(a.key, a.in.Source) {
		s.Expire(a.asOf())
		return nil
	}
	if why := fitsRequest(s, t); why != "" {
		a.refuse.message(j.message, events.CodeInvalidRequest, fmt.Sprintf("the unsigned tick for %s: %s", t.ID, why))
		a.jobs.drop(j)
		return nil
	}
	a.log.Warn("an unsigned tick carries records: what it says is doubted; set REGILD_JOURNAL or REGILD_TICK_KEY", "request_id", t.ID)
	s.Doubt(a.asOf())
	s.Operation.Via = a.via(j.message)
	return nil
}

// fitsRequest says why a state that nothing proves is not one of a request that a
// sender could have sent, or "".
func fitsRequest(s *rollout.State, t events.Tick) string {
	op := s.Operation
	if op == nil || t.Kind != kindRequest || op.ID != t.ID || !op.Request() || op.Undoes != "" || len(op.Back) > 0 {
		return "its records are not those of the request that it names"
	}
	if why := events.CheckRequestID(rollout.Unmarked(op.ID)); why != "" {
		return "its id " + why
	}
	body, err := json.Marshal(events.Request{AccountID: op.AccountID, RegionID: op.RegionID, DesktopIDs: op.Desktops, ImageID: op.ImageID,
		OperateType: op.OperateType, Language: op.Language, AfterStatus: op.AfterStatus})
	if err == nil {
		_, err = events.ParseRequest(body)
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
