package handlertest

import (
	"context"
	"encoding/json"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
)

// Witness is the result topic. It remembers all that it was told.
type Witness struct {
	world *World
	Seen  map[string]int // how often each event id was published
	Told  []Telling      // each event id once, as it came first
}

var _ handler.Topic = (*Witness)(nil)

// A Telling is one event that was published.
type Telling struct {
	ID, Type string
	Outcome  events.Outcome  // of an outcome
	Finished events.Finished // of a summary
	Rollout  events.Rollout  // of news of a rollout
}

// Publish takes one event.
func (t *Witness) Publish(ctx context.Context, body []byte, _ string) error {
	var head struct {
		ID, Type string
		Data     json.RawMessage
	}
	if err := json.Unmarshal(body, &head); err != nil {
		return err
	}
	return t.world.enter(ctx, "Publish "+head.ID, func() {
		if t.Seen[head.ID]++; t.Seen[head.ID] > 1 {
			return
		}
		told := Telling{ID: head.ID, Type: head.Type}
		var err error
		switch head.Type {
		case events.TypeOutcome:
			err = json.Unmarshal(head.Data, &told.Outcome)
		case events.TypeFinished:
			err = json.Unmarshal(head.Data, &told.Finished)
		default:
			_ = json.Unmarshal(head.Data, &told.Rollout)
		}
		if err != nil {
			t.world.Break("%s cannot be read: %v", head.ID, err)
		}
		t.Told = append(t.Told, told)
	}).callError("PublishMessage")
}

// What names the kind of thing that was told: the status and code of an outcome,
// or what happened to a rollout and why.
func (t Telling) What() string {
	switch {
	case t.Outcome.Status != "":
		return string(t.Outcome.Status) + " " + t.Outcome.Code
	case t.Rollout.Reason != nil:
		return t.Type + " " + t.Rollout.Reason.Code
	}
	return t.Type
}
