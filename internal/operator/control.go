package operator

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// A Touch says what a control would touch, as the journal stands now.
type Touch struct {
	Facts    []string // sentences for people
	Desktops []string // that it concerns
	Back     []Back   // rollback: how many go to which image
	Refused  string   // why the function would not follow it now
	UnderWay []string // desktops that are followed to their end in any case
}

// Back is one image to which desktops return.
type Back struct {
	ImageID  string
	Desktops int
}

// TouchOf says what an action (one of events.Actions) would touch, in sentences.
// Wave is what an approve is meant for; 0: whichever waits.
func TouchOf(s *rollout.State, action string, wave int) Touch {
	of := report.TouchOf(s, action, wave)
	t := Touch{Facts: []string{}, Desktops: []string{}, Refused: of.Refusal, UnderWay: of.Running}
	switch action {
	case events.ActionPause:
		t.underWay()
		t.tell("%s not begun yet, and will not be until somebody says resume", are(of.Pending, "is", "are"))
		t.name("next are", of.Next)
	case events.ActionResume:
		t.tell("%s not begun yet, and may be begun from now on", are(of.Pending, "is", "are"))
		if of.Halted != nil {
			t.tell("it halted by itself: %s; failures until now do not count any more", of.Halted.Message)
		}
		t.name("next are", of.Next)
	case events.ActionApprove:
		if of.Waiting != nil {
			t.tell("it waits: %s", of.Waiting.Message)
		}
		if w := s.Wave(); len(of.Rings) > 0 {
			t.tell("it goes on without the fleets that it comes after, until something else is wrong there; %s not begun yet", are(of.Pending, "is", "are"))
		} else if w != nil {
			t.tell("%s is finished: %s", w.Title(), waveCounts(s, w))
			t.tell("the next wave begins when its other gates are open; %s not begun yet", are(of.Pending, "is", "are"))
		}
	case events.ActionAbort:
		t.underWay()
		rest := ""
		if rollout.Allow(s, events.ActionRollback, 0) == nil {
			rest = "; only rollback is possible then"
		}
		t.tell("%s not begun yet, and never will be by this %s%s", are(of.Pending, "is", "are"), kindOf(s), rest)
		if of.Held > 0 {
			t.tell("%s in maintenance mode or stopped by the %s, and restored", are(of.Held, "is", "are"), kindOf(s))
		}
		t.name("under way are", of.Running)
	case events.ActionRetry:
		t.tell("%s failed and will be tried again", Count(len(of.Failed), "desktop"))
		for _, x := range causes(s, of.Failed) {
			t.tell("%s", x)
		}
		t.name("they are", of.Failed)
	case events.ActionRollback:
		t.rollback(s, of)
	}
	return t
}

func (t *Touch) tell(format string, args ...any) {
	t.Facts = append(t.Facts, fmt.Sprintf(format, args...))
}

func kindOf(s *rollout.State) string {
	if s.Operation.Request() {
		return Request
	}
	return Rollout
}

// firstNamed is how many desktops a sentence names.
const firstNamed = 10

// name says which desktops an action concerns, the first of them by their ids.
func (t *Touch) name(what string, ids []string) {
	if t.Desktops = append(t.Desktops, ids...); len(ids) == 0 {
		return
	}
	t.tell("%s %s", what, First(firstNamed, " ", ids))
}

func (t *Touch) underWay() {
	if n := len(t.UnderWay); n > 0 {
		t.tell("%s under way: what was begun is followed to its end", are(n, "is", "are"))
	} else {
		t.tell("nothing is under way")
	}
}

// rollback says who goes back where, and what cannot come back.
func (t *Touch) rollback(s *rollout.State, of report.Touch) {
	what := kindOf(s)
	var all []string
	for _, b := range of.Back {
		t.Back = append(t.Back, Back{b.ImageID, len(b.Desktops)})
		all = append(all, b.Desktops...)
	}
	t.tell("%s by this %s, or may have been, and will be rebuilt once more:", are(len(all), "was changed", "were changed"), what)
	for _, b := range t.Back {
		t.tell("%d %s back to image %s", b.Desktops, verb(b.Desktops, "goes", "go"), b.ImageID)
	}
	t.tell("what was written to their system disks since then is lost, and what was on them before the %s does not come back: only the images do", what)
	if n := len(of.Lost); n > 0 {
		t.tell("%s left as they are: it is not known which image they were on before", are(n, "is", "are"))
	}
	if len(t.UnderWay) > 0 {
		t.tell("%s still under way and will go back when that is done", are(len(t.UnderWay), "is", "are"))
	}
	if s.Open() {
		t.tell("the %s ends by it: it begins nothing more", what)
	}
	t.name("they are", all)
}

// causes groups desktops by why they failed, the most frequent first.
func causes(s *rollout.State, ids []string) []string {
	by := map[string]int{}
	for _, id := range ids {
		g := s.Desktops[id].Last
		by[g.Code+": "+g.Message]++
	}
	list := slices.Sorted(maps.Keys(by))
	slices.SortStableFunc(list, func(a, b string) int { return by[b] - by[a] })
	const most = 5
	out := make([]string, 0, most+1)
	for i, x := range list {
		if i == most {
			out = append(out, fmt.Sprintf("and %d other causes", len(list)-most))
			break
		}
		out = append(out, fmt.Sprintf("%d × %s", by[x], x))
	}
	return out
}

func waveCounts(s *rollout.State, w *rollout.Wave) string {
	done, failed := 0, 0
	for _, id := range w.Desktops {
		switch s.Desktops[id].Last.Status {
		case events.StatusFailed:
			failed++
		case events.StatusCompleted:
			done++
		}
	}
	return fmt.Sprintf("%d of %d completed, %d failed", done, len(w.Desktops), failed)
}

// First names the first of a list, and says how many more there are.
func First(most int, by string, list []string) string {
	if len(list) <= most {
		return strings.Join(list, by)
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], by), len(list)-most)
}

// Count writes a number of things.
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// are writes a number of desktops with the verb that goes with it.
func are(n int, one, more string) string {
	return Count(n, "desktop") + " " + verb(n, one, more)
}

func verb(n int, one, more string) string {
	if n == 1 {
		return one
	}
	return more
}

// A Control is a control message that was put on the queue, and what is needed
// to recognise the function's answer to it.
type Control struct {
	events.Control
	MessageID string // MNS's
	Before    int    // how many controls the rollout's journal had before it was sent
}

// An Answer is what the function made of a control, a request or a release.
// What it refused is a RefusedError.
type Answer struct {
	Taken     string    `json:"taken"` // the operation that took it: rollout/ID or request/ID
	At        time.Time `json:"at"`
	Operation Operation `json:"work"` // as it stands now
}

// A RefusedError is the function's no to a control.
type RefusedError struct{ Reason *events.Reason }

func (e *RefusedError) Error() string {
	if e.Reason == nil {
		return "the function refuses it"
	}
	return fmt.Sprintf("the function refuses it (%s): %s", e.Reason.Code, e.Reason.Message)
}

// Answer waits until the journal shows that the function took the control, or
// fails with a RefusedError. It looks at once and then each time wait returns nil;
// wait's error ends it.
func (c Control) Answer(ctx context.Context, from Reader, wait func(context.Context) error) (Answer, error) {
	kind, id := c.Of()
	f := Follow(from, kind, id)
	back := Follow(from, kind, rollout.BackOf(id))
	var taken time.Time
	seen := 0
	for {
		records, err := f.Look(ctx)
		if err == nil {
			err = c.find(records, &seen, &taken)
		}
		if err == nil && c.Action == events.ActionRollback {
			_, err = back.Look(ctx)
		}
		if err != nil {
			return Answer{}, err
		}
		if c.Action != events.ActionRollback {
			if !taken.IsZero() {
				return Answer{kind + "/" + id, taken, OperationOf(f.State)}, nil
			}
		} else if o := back.State.Operation; o != nil && o.By == c.By && o.Why == c.Reason {
			return Answer{kind + "/" + o.ID, back.State.OpenedAt, OperationOf(back.State)}, nil
		}
		if err := wait(ctx); err != nil {
			return Answer{}, err
		}
	}
}

// find looks for the control among records that follow on those looked at before,
// of which seen are controls. It fails where the function refused it.
func (c Control) find(records []rollout.Record, seen *int, taken *time.Time) error {
	for _, r := range records {
		if r.Kind == rollout.KindRefused && r.Message == "mns:"+c.MessageID {
			return &RefusedError{r.Reason}
		}
		if r.Kind == rollout.KindUnplanned && r.Message == "mns:"+c.MessageID {
			return &RefusedError{cmp.Or(r.Reason, planChanged)}
		}
		if r.Kind != rollout.KindControl {
			continue
		}
		if *seen++; *seen > c.Before && c.is(r) {
			*taken = r.At
		}
	}
	return nil
}

// planChanged is what is told of a plan, where the journal does not say it.
var planChanged = &events.Reason{Code: events.CodePlanChanged, Message: rollout.PlanChanged}

// ErrPlanRefused is the function's no to a release whose plan is another one by now.
var ErrPlanRefused error = &RefusedError{planChanged}

// RefusedRequest is a RefusedError if the journal of a request, which has not been opened, says
// that the function refused the MNS message, or a request of this plan ("": of none).
func RefusedRequest(s *rollout.State, messageID, digest string) error {
	switch told := s.Answers["mns:"+messageID]; {
	case told != nil:
		return &RefusedError{told.Reason}
	case digest != "" && s.PlansRefused[digest] > 0:
		return &RefusedError{planChanged}
	}
	return nil
}

// is says whether a record that came after the message was sent is about it. MNS
// may have the message twice, under two ids: then who said what decides.
func (c Control) is(r rollout.Record) bool {
	return r.Message == "mns:"+c.MessageID || r.Action == c.Action && r.Who == c.By && r.Reason != nil && r.Reason.Message == c.Reason
}

// Controls counts the controls among the records of a journal.
func Controls(records []rollout.Record) (n int) {
	for _, r := range records {
		if r.Kind == rollout.KindControl {
			n++
		}
	}
	return n
}

// Opened waits until the journal has an operation, as Control.Answer waits.
func Opened(ctx context.Context, from Reader, kind, id string, wait func(context.Context) error) (Answer, error) {
	f := Follow(from, kind, id)
	for {
		if _, err := f.Look(ctx); err != nil {
			return Answer{}, err
		}
		if f.State.Operation != nil {
			return Answer{kind + "/" + id, f.State.OpenedAt, OperationOf(f.State)}, nil
		}
		if err := wait(ctx); err != nil {
			return Answer{}, err
		}
	}
}

// OfRelease returns the ids of the rollouts of a release that were opened, but for
// rollbacks. known remembers from one look to the next which those are, by the keys of their
// journals, so that they are read once; nil: nothing is remembered.
func OfRelease(ctx context.Context, store journal.Store, release string, known map[string]string) ([]string, error) {
	// Of an overlong id the key holds a hash, and only the beginning can be sought.
	prefix, _, _ := strings.Cut(strings.TrimSuffix(journal.Key(Rollout, release+"/"), ".jsonl"), "~~")
	keys, err := store.Keys(ctx, prefix)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, key := range keys {
		id := known[key]
		if id == "" { // a journal may hold nothing but what was refused of a rollout that is not there
			o, _, err := brief(ctx, store, journal.Entry{Key: key}, true)
			if err != nil {
				return nil, err
			}
			if id = o.ID; id != "" && known != nil {
				known[key] = id
			}
		}
		if of, _, ok := rollout.SplitID(id); ok && of == release && !strings.HasSuffix(id, "/rollback") {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids, nil
}
