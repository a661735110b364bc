package handler

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/rollout"
)

// sentBodies is a queue that keeps what is sent.
type sentBodies []string

func (s *sentBodies) Send(_ context.Context, body []byte, _ time.Duration) error {
	*s = append(*s, string(body))
	return nil
}

// A job that cannot go on is logged with the message by which it came: what is sent back
// has another id, and an audit goes on with this one.
func TestAJobThatFailsIsLoggedWithItsMessage(t *testing.T) {
	b := newCallsBench(t)
	var log bytes.Buffer
	var queue sentBodies
	rc := b.run.decider.recovery
	rc.log = slog.New(slog.NewJSONHandler(&log, nil))
	rc.sched.queue, rc.sched.hasQueue = &queue, true
	for id, message := range map[string]string{"r1": "8A3F", "r2": ""} {
		j := b.job(id, "ecd-1")
		if j.message.MessageID = message; message != "" {
			j.message.Raw = []byte("{}")
		}
		log.Reset()
		rc.fail(j, errors.New("the disk is full"))
		for _, want := range []string{`"msg":"job failed"`, `"job":"` + id + `"`, `"message_id":"` + message + `"`, "the disk is full"} {
			if !strings.Contains(log.String(), want) {
				t.Errorf("the log says %s, want %s in it", log.String(), want)
			}
		}
	}
	if len(queue) != 2 {
		t.Errorf("sent back %s, want both", queue)
	}
}

// Without a journal only the invocation knows what was begun for a job that fails: a tick
// carries it. Where there is no queue either, the delivery has to come again.
func TestWithoutAJournalWhatAFailedJobKnowsTravelsInATick(t *testing.T) {
	for _, hasQueue := range []bool{true, false} {
		b := newCallsBench(t)
		var queue sentBodies
		rc := b.run.decider.recovery
		j := b.job("r1", "ecd-1")
		b.note(j, rollout.Record{Kind: rollout.KindBegun, Call: "c1", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
		j.message.Raw = []byte("{}")
		rc.hasJournal, rc.hasQueue, rc.sched.queue = false, hasQueue, &queue
		rc.fail(j, errors.New("the disk is full"))
		if !hasQueue {
			if len(queue) != 0 || rc.again.err() == nil {
				t.Errorf("without a queue: sent back %s, delivered again for %v", queue, rc.again.err())
			}
			continue
		}
		if len(queue) != 1 || !strings.Contains(queue[0], `\"kind\":\"begun\"`) {
			t.Errorf("sent back %s, want a tick that says what was begun", queue)
		}
	}
}
