package rollout

import (
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// A desktop that we stopped is started again unless its rebuild brought it into the status
// that was asked for.
func TestWhoIsStartedAgainAfterARebuild(t *testing.T) {
	for _, c := range []struct {
		after    string
		accepted bool
		end      events.Status
		starts   bool
	}{
		{desktop.Stopped, false, events.StatusRefused, true},
		{desktop.Stopped, true, events.StatusFailed, false},
		{desktop.Stopped, true, events.StatusCompleted, false},
		{desktop.Running, false, events.StatusRefused, true},
		{desktop.Running, true, events.StatusFailed, true},
		{desktop.Running, true, events.StatusCompleted, false},
		{"", true, events.StatusCompleted, true},
	} {
		s := NewState()
		s.Apply(Record{Kind: KindOpened, Operation: &Operation{ID: "r1", Desktops: []string{"a"}, Spec: desktop.Spec{ImageID: "m", AfterStatus: c.after}}},
			Record{Kind: KindStopping, Call: "c1", Desktops: []string{"a"}})
		if c.accepted {
			s.Apply(Record{Kind: KindBegun, Call: "c2", Desktops: []string{"a"}, From: []string{"m-old"}},
				Record{Kind: KindEnded, Call: "c2", Outcomes: []Group{{Status: events.StatusAccepted, Desktops: []string{"a"}}}})
		}
		s.Apply(Record{Kind: KindSettled, Outcomes: []Group{{Status: c.end, Desktops: []string{"a"}}}})
		if d := s.Desktops["a"]; d.Phase != Final || d.Stopped != c.starts {
			t.Errorf("%+v: is to be started %t", c, d.Stopped)
		}
	}
}

// A desktop has its turn once, however often a record names it.
func TestADesktopThatIsNamedTwiceIsTakenOnOnce(t *testing.T) {
	for _, ids := range [][]string{{"a", "b", "a"}, {"a", "a", "b"}, {"a", "b"}} {
		s := NewState()
		s.Apply(Record{Kind: KindOpened, Operation: &Operation{ID: "r1", Desktops: ids, Spec: desktop.Spec{ImageID: "m"}}})
		if len(s.Desktops) != 2 || !slices.Equal(s.Order, []string{"a", "b"}) {
			t.Errorf("%q: got %q of %d", ids, s.Order, len(s.Desktops))
		}
	}
}

// What is asked for under one id: a request by all that it says, anything else by what it
// undoes, its image, its place and its fleet.
func TestWhatIsTheSameOperation(t *testing.T) {
	request := Operation{ID: "x", Desktops: []string{"a"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m"}}
	rollout := Operation{ID: "x", Fleet: "office", Spec: request.Spec}
	back, requestBack := rollout, request
	back.Undoes, back.Back = "v1/office", map[string][]string{"m-old": {"a"}}
	requestBack.Undoes, requestBack.Back = "r1", map[string][]string{"m-old": {"a"}}
	with := func(op Operation, change func(*Operation)) Operation {
		change(&op)
		return op
	}
	settings := func(op *Operation) { op.Language = "en-US" }
	for name, c := range map[string]struct {
		a, b Operation
		same bool
	}{
		"a request":                             {request, with(request, func(op *Operation) { op.Via = &events.Via{Door: "events"} }), true},
		"a request with other settings":         {request, with(request, settings), false},
		"a rollout with other settings":         {rollout, with(rollout, settings), true},
		"a rollout and a request":               {rollout, request, false},
		"a request and its rollback":            {request, requestBack, false},
		"a rollout and its rollback":            {rollout, back, false},
		"a rollback by more desktops":           {back, with(back, func(op *Operation) { op.Back = map[string][]string{"m-old": {"a", "b"}} }), true},
		"the rollback of a request by others":   {requestBack, with(requestBack, func(op *Operation) { op.Desktops = []string{"b"} }), true},
		"the rollbacks of a request, a rollout": {requestBack, with(back, func(op *Operation) { op.Undoes = "r1" }), false},
		"rollbacks of two rollouts":             {back, with(back, func(op *Operation) { op.Undoes = "v0/office" }), false},
		"another fleet":                         {rollout, with(rollout, func(op *Operation) { op.Fleet = "lab" }), false},
		"another region":                        {rollout, with(rollout, func(op *Operation) { op.RegionID = "cn-shanghai" }), false},
	} {
		if c.a.Same(c.b) != c.same || c.b.Same(c.a) != c.same {
			t.Errorf("%s: %t and %t, want %t", name, c.a.Same(c.b), c.b.Same(c.a), c.same)
		}
	}
}

// A reason that was seen ends those before it; one for which nothing could be read ends
// none, and none stands twice. How long a user is waited for goes on.
func TestForWhatADesktopWaitsBesides(t *testing.T) {
	const inUse, status, throttled, denied, frozen = events.CodeSessionWait, events.CodeStatusWait, events.CodeThrottled, events.CodeNotAuthorized, events.CodeFrozen
	start := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	for _, c := range []struct{ codes, besides []string }{
		{[]string{status, throttled}, []string{status}},
		{[]string{status, throttled, denied, throttled}, []string{status, denied}},
		{[]string{status, throttled, status}, nil},
		{[]string{inUse, status}, []string{inUse}},
		{[]string{inUse, throttled, status}, []string{inUse}},
		{[]string{inUse, throttled, inUse}, nil},
		{[]string{inUse, throttled, frozen}, nil},
	} {
		d := &Desktop{}
		for i, code := range c.codes {
			at := start.Add(time.Duration(i) * time.Minute)
			d.waitFor(code, at)
			d.RestsUntil = at
		}
		var besides []string
		for _, w := range d.Waits {
			besides = append(besides, w.Code)
		}
		if d.WaitCode != c.codes[len(c.codes)-1] || !slices.Equal(besides, c.besides) {
			t.Errorf("%v: waits for %s, and besides for %v, want %v", c.codes, d.WaitCode, besides, c.besides)
		}
	}
}

// Records of two desktops are one only if they say the same.
func TestWhichRecordsATickJoins(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	why := func(code, message string) *events.Reason { return &events.Reason{Code: code, Message: message} }
	for name, c := range map[string]struct {
		a, b   Record
		joined bool
	}{
		"the same snapshot of each":  {Record{Kind: KindSaving, N: 1}, Record{Kind: KindSaving, N: 1}, true},
		"another snapshot":           {Record{Kind: KindSaving, N: 1}, Record{Kind: KindSaving, N: 2}, false},
		"another that is complete":   {Record{Kind: KindSafe, N: 1}, Record{Kind: KindSafe, N: 2}, false},
		"a snapshot and none":        {Record{Kind: KindSaved, Snapshot: "s-1"}, Record{Kind: KindSaved}, false},
		"none for the same reason":   {Record{Kind: KindSaved, Reason: why("Throttled", "slowly")}, Record{Kind: KindSaved, Reason: why("Throttled", "slowly")}, true},
		"none for two codes":         {Record{Kind: KindSaved, Reason: why("Throttled", "x")}, Record{Kind: KindSaved, Reason: why("CallFailed", "x")}, false},
		"none for two messages":      {Record{Kind: KindSaved, Reason: why("Throttled", "x")}, Record{Kind: KindSaved, Reason: why("Throttled", "y")}, false},
		"commands of two calls":      {Record{Kind: KindSent, Invoke: "t-1"}, Record{Kind: KindSent, Invoke: "t-2"}, false},
		"one is written down later":  {Record{Kind: KindHolding}, Record{Kind: KindHolding, At: at.Add(time.Second)}, false},
		"what two calls did to them": {Record{Kind: KindHolding, Call: "c1"}, Record{Kind: KindHolding, Call: "c2"}, false},
	} {
		var p part
		for i, r := range []Record{c.a, c.b} {
			if r.At.IsZero() {
				r.At = at
			}
			r.Desktops = []string{string(rune('a' + i))}
			p.add(r)
		}
		if joined := len(p.records) == 1; joined != c.joined {
			t.Errorf("%s: joined %t, want %t", name, joined, c.joined)
		}
	}
}

// An order is known by its message and, if it allows something, by the event in that: another
// message with the event does not count.
func TestAnOrderIsKnownByItsMessageAndItsEvent(t *testing.T) {
	s := NewState()
	s.Apply(Record{Kind: KindOpened, Operation: &Operation{ID: "v1/office", Fleet: "office"}},
		Record{Kind: KindControl, Action: events.ActionPause, Who: "ada", Message: "mns:1"},
		Record{Kind: KindControl, Action: events.ActionResume, Who: "ada", Message: "mns:2", Event: "event:2"})
	if want := map[string]bool{"mns:1": true, "mns:2": true, "event:2": true}; !maps.Equal(s.Controls, want) {
		t.Errorf("got %v, want %v", s.Controls, want)
	}
}
