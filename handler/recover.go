package handler

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/rollout"
)

// recovery is what becomes of jobs that cannot go on in this invocation.
type recovery struct {
	*invocation
	doors  Doors
	sched  *scheduler
	refuse *refusals
	again  *redeliveries
}

// fail ends a job for this invocation. What it was about to do is not done.
func (rc *recovery) fail(j *job, err error) {
	if !j.fail(err) {
		return
	}
	from := "" // what is sent back has another id: an audit goes on with this one
	if j.message.Raw != nil {
		from = rc.via(j.message).Message
	}
	rc.log.Error("job failed", "job", j.id, "message_id", from, "error", err.Error())
	if errors.Is(err, errReused) && j.request != nil { // another had the id before this one was written down
		rc.refuse.request(j.message, *j.request, j.id, events.CodeRequestIdReused, err.Error())
		return
	}
	rc.flush(j)
	if _, bug := errors.AsType[*PanicError](err); bug {
		rc.refuse.message(j.message, events.CodePanicked, err.Error())
		if j.known() { // what was begun for it must still be followed, if a later build can
			rc.sendBack(j, rollout.MaxTick)
		}
		return
	}
	rc.sendBack(j, time.Minute)
}

// flush writes down that a job was opened, so that a tick suffices for it from now on.
func (rc *recovery) flush(j *job) {
	if j.journal == nil || !j.journal.Unopened() {
		return
	}
	if err := j.journal.Flush(rc.last); err != nil {
		rc.log.Warn("not opened: the request comes again", "job", j.id, "error", err.Error())
	}
}

// failToo is fail for a further message about a job that has failed in this invocation.
// j is the job as this message alone would have made it. The message is put back too,
// unless a tick that looks at the job was put back already.
func (rc *recovery) failToo(failed, j *job) {
	if j.byTick() && failed.byTick() {
		return // one tick has it looked at
	}
	rc.fail(j, failed.failure())
}

// sendBack puts what brought a job back on the queue, for another try: a tick,
// as soon as there is a journal that knows what to do; else a request, written
// anew so that it keeps its identity under a new message; else what came.
func (rc *recovery) sendBack(j *job, delay time.Duration) {
	if j.journal != nil && j.journal.Unopened() {
		return // the request is on the queue already, instead of its first tick
	}
	if !rc.hasJournal && rc.hasQueue && j.known() {
		rc.sched.carry(j, rc.business().Add(delay)) // only this state knows what was begun
		return
	}
	body := j.message.Raw
	var err error
	switch {
	case rc.doors.apart() && !j.known() && j.tick < 0 && body != nil:
		if j.request == nil || rc.doorOf(j.message) != rc.doors.Request {
			// If regild sent it, it would come through another door.
			rc.again.add(fmt.Errorf("%s %s: %w", j.kind, j.id, j.failure()))
			return
		}
		body, err = sameRequest(*j.request, j.message, rc.asOf())
	case rc.hasJournal && j.byTick():
		body, err = events.Tick{Kind: j.kind, ID: j.id, N: events.TickAnyway}.Event(rc.in.Source, rc.asOf()).Marshal()
	case j.request != nil:
		again := *j.request
		again.RequestID = j.id
		body, err = sameRequest(again, j.message, rc.asOf())
	}
	if err == nil {
		err = rc.sched.send(j.kind, body, delay)
	}
	if err != nil {
		rc.again.add(fmt.Errorf("%s %s: %w; and it could not be put back on the queue: %w", j.kind, j.id, j.failure(), err))
	}
}

// named keeps the name of a request that came instead of a tick: it does so once more.
func named(e events.Event, m envelope.Message) events.Event {
	if _, _, _, is := events.TickNamed(m.ID); is {
		e.ID = m.ID
	}
	return e
}

// sameRequest is a request as it came, but for an id if it had none: from the source
// that it came from, which tells it from others where senders are kept apart, or will be.
func sameRequest(req events.Request, m envelope.Message, now time.Time) ([]byte, error) {
	if m.Type == "" {
		return json.Marshal(req)
	}
	return named(requestEvent(req, m.Source, now), m).Marshal()
}

// requestEvent is a request as the CloudEvent in which it can be sent again.
func requestEvent(req events.Request, source string, at time.Time) events.Event {
	return events.Event{Type: events.TypeRequest, ID: req.RequestID, Source: source, Subject: req.RequestID, Time: at, Data: req}
}
