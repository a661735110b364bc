package report

import (
	"maps"
	"slices"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// A Touch is what a control would touch now: what somebody has to see before
// they ask for it.
type Touch struct {
	Action   string
	Refusal  string         // why it is not possible now; "" when it is
	Running  []string       // being rebuilt: nothing stops these
	Pending  int            // not begun, of the whole fleet
	Next     []string       // those of them whose wave has begun
	Held     int            // in maintenance mode, or stopped, by the rollout
	Failed   []string       // what a retry would try again
	Back     []Back         // what a rollback would roll back
	Lost     []string       // changed, but from an image that nobody wrote down: these cannot go back
	Wave     int            // the wave that an approve lets pass; 0: none, but Rings
	Rings    []string       // what an approve passes on the fleets that it comes after
	Halted   *events.Reason // what a resume would forgive
	Waiting  *events.Reason
	Finished bool
}

// A Back is how many desktops would return to an image.
type Back struct {
	ImageID  string
	Desktops []string
}

// TouchOf says what an action (one of events.Actions) would touch. Wave is what an
// approve is meant for; 0: whichever waits.
func TouchOf(s *rollout.State, action string, wave int) Touch {
	t := Touch{Action: action, Halted: s.Halted, Waiting: s.Waiting, Finished: s.Closed}
	if err := rollout.Allow(s, action, wave); err != nil {
		t.Refusal = err.Error()
	}
	c := s.Counts()
	t.Pending = c.Pending + c.Waiting
	if action == events.ActionApprove && wave == 0 && s.WaitsForRings() {
		t.Rings = s.Rings
	} else if w := s.Wave(); w != nil {
		t.Wave = w.N
	}
	for _, id := range s.Order {
		d := s.Desktops[id]
		switch StandOf(d) {
		case Running:
			t.Running = append(t.Running, id)
		case Pending, Waiting:
			t.Next = append(t.Next, id)
		case Failed:
			t.Failed = append(t.Failed, id)
		}
		if d.Held || d.Stopped {
			t.Held++
		}
		if d.Attempt > 0 && d.From == "" {
			t.Lost = append(t.Lost, id)
		}
	}
	undo := s.Undo()
	for _, image := range slices.Sorted(maps.Keys(undo)) {
		t.Back = append(t.Back, Back{ImageID: image, Desktops: undo[image]})
	}
	return t
}

// NotLatest says why a rollout cannot be rolled back though it has changed desktops:
// another came after it. Enrolled are the ids of its fleet's rollouts, oldest first;
// "" is returned where nothing came after it but its own rollback.
func NotLatest(id string, enrolled []string) string {
	if len(enrolled) == 0 {
		return ""
	}
	last := enrolled[len(enrolled)-1]
	if last == id || last == id+"/rollback" {
		return ""
	}
	return last + " came after it; roll that back, or publish the image that is wanted"
}
