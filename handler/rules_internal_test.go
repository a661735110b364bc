package handler

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// A denial that names a desktop is about that one; one about credentials, or that names
// none, is about all.
func TestWhomADenialIsAbout(t *testing.T) {
	for _, c := range []struct {
		e    desktop.CallError
		want bool
	}{
		{desktop.CallError{Delivery: desktop.Forbidden, Message: "not for ecd-1"}, true}, {desktop.CallError{Delivery: desktop.Forbidden, Message: "not for you"}, false},
		{desktop.CallError{Delivery: desktop.Forbidden, Credentials: true, Message: "not for ecd-1"}, false}, {desktop.CallError{Delivery: desktop.Refused, Message: "not for ecd-1"}, false},
	} {
		if got := aboutOne(&c.e, []string{"ecd-0", "ecd-1"}); got != c.want {
			t.Errorf("%+v: got %t", c.e, got)
		}
	}
	denied, refused := ending{group: rollout.Group{Code: events.CodeNotAuthorized}}, ending{group: rollout.Group{Code: events.CodeThrottled}}
	if !deniedToAll([]ending{denied, denied}) || deniedToAll([]ending{denied, refused}) || deniedToAll([]ending{refused}) {
		t.Error("which call was denied to all")
	}
}

// Whose order an entry of a fleet's log is: its message says so, or in logs of earlier
// builds who asked, and why.
func TestWhoseOrderAnEntryIs(t *testing.T) {
	of := func(message, by, why string) rollout.Entry {
		return rollout.Entry{Message: message, Operation: rollout.Operation{By: by, Why: why}}
	}
	for _, c := range []struct {
		e    rollout.Entry
		want bool
	}{
		{of("m1", "", ""), true}, {of("m2", "ada", "because"), false}, {rollout.Entry{Message: "m2", Event: "e1"}, true}, {rollout.Entry{Message: "m2", Event: "e2"}, false},
		{of("", "ada", "because"), true}, {of("", "bob", "because"), false}, {of("", "ada", "so"), false},
	} {
		if got := asksFor(c.e, orderID{"m1", "e1"}, events.Control{By: "ada", Reason: "because"}); got != c.want {
			t.Errorf("%+v: got %t", c.e, got)
		}
	}
}

// Ids that are too long become shorter ones of their own; texts are cut between letters.
func TestIdsAndTextsThatAreTooLong(t *testing.T) {
	js := jobsOf(t)
	id := func(n int) string {
		return js.identity(envelope.Message{MessageID: strings.Repeat("a", n)})
	}
	seen := map[string]bool{}
	for _, n := range []int{1, 50, 10_000, 10_001} {
		if got := id(n); seen[got] || len(got) > events.MaxRequestID {
			t.Errorf("of %d letters: %s", n, got)
		} else {
			seen[got] = true
		}
	}
	for in, want := range map[string]string{"abc": "abc", "abcd": "abc…", "ab云": "ab…", "": ""} {
		if got := clip(in, 3); got != want {
			t.Errorf("%q is cut to %q, want %q", in, got, want)
		}
	}
}

// Doors hear requests apart as soon as anything else has a door of its own.
func TestWhenSendersAreKeptApart(t *testing.T) {
	for _, c := range []struct {
		d    Doors
		want bool
	}{{Doors{}, false}, {Doors{Request: "q"}, false}, {Doors{Control: "q"}, true}, {Doors{Release: "q"}, true}, {Doors{Apart: true}, true}} {
		if got := c.d.apart(); got != c.want {
			t.Errorf("%+v: got %t", c.d, got)
		}
	}
}

// What could not be done to a desktop in this invocation is not tried again in it, and no
// call is made about nobody.
func TestWhatWasTriedIsNotTriedAgain(t *testing.T) {
	j := &job{unable: map[string]error{"a": errors.New("no")}}
	var acts, want []rollout.Act
	for what := rollout.Hold; what <= rollout.Save; what++ {
		acts = append(acts, rollout.Act{What: what, Text: "1", Desktops: []string{"a"}})
		for i := range maxCalls {
			x := rollout.Act{What: what, N: i, Text: "2", Desktops: []string{"b"}}
			if i < maxCalls-1 || what == rollout.Save { // the first counts, though nothing of it is left
				want = append(want, x)
			}
			x.Desktops = []string{"a", "b"}
			acts = append(acts, x)
		}
		acts = append(acts, rollout.Act{What: what, N: maxCalls, Desktops: []string{"b"}}) // too many for one step
	}
	if got := j.able(rollout.Decision{Acts: acts}).Acts; !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// The records of a tick that nobody signed are those of the request that it names, or none.
func TestWhatAnUnsignedTickMayCarry(t *testing.T) {
	good := func() *rollout.Operation {
		return &rollout.Operation{ID: "r1", Desktops: []string{"ecd-gx2x1dhsmucyy0001"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	}
	fits := map[string]func(op *rollout.Operation, t *events.Tick) *rollout.Operation{
		"good":         func(op *rollout.Operation, _ *events.Tick) *rollout.Operation { return op },
		"nothing":      func(*rollout.Operation, *events.Tick) *rollout.Operation { return nil },
		"another kind": func(op *rollout.Operation, t *events.Tick) *rollout.Operation { t.Kind = kindRollout; return op },
		"another id":   func(op *rollout.Operation, t *events.Tick) *rollout.Operation { t.ID = "r2"; return op },
		"a rollout": func(op *rollout.Operation, _ *events.Tick) *rollout.Operation {
			op.Fleet = "office"
			op.Desktops = nil
			return op
		},
		"a rollback": func(op *rollout.Operation, _ *events.Tick) *rollout.Operation { op.Undoes = "r0"; return op },
		"images of others": func(op *rollout.Operation, _ *events.Tick) *rollout.Operation {
			op.Back = map[string][]string{"m-0": {"ecd-1"}}
			return op
		},
		"no such id": func(op *rollout.Operation, t *events.Tick) *rollout.Operation {
			op.ID = "a\nb"
			t.ID = op.ID
			return op
		},
		"no desktops": func(op *rollout.Operation, _ *events.Tick) *rollout.Operation {
			op.Desktops = []string{"no id!"}
			return op
		},
	}
	for _, name := range slices.Sorted(maps.Keys(fits)) {
		s, tick := rollout.NewState(), events.Tick{Kind: kindRequest, ID: "r1"}
		s.Operation = fits[name](good(), &tick)
		if why := fitsRequest(s, tick); (why == "") != (name == "good") {
			t.Errorf("%s: got %q", name, why)
		}
	}
}

// Right before a desktop is wiped it is looked at once more: what was read of it and
// decided about it is to be new, and nobody else has begun it.
func TestWhatMayBeClaimed(t *testing.T) {
	js := jobsOf(t)
	now := js.business()
	for name, c := range map[string]struct {
		x              *rollout.Desktop
		gone, raced    bool
		read, decided  time.Duration // ago
		begin          []string
		may, readAgain bool
	}{
		"good": {x: &rollout.Desktop{}, may: true}, "unknown": {}, "begun": {x: &rollout.Desktop{Phase: rollout.Begun}}, "accepted": {x: &rollout.Desktop{Phase: rollout.Accepted}},
		"through": {x: &rollout.Desktop{Phase: rollout.Final}}, "gone": {x: &rollout.Desktop{}, gone: true},
		"decided anew, and again to begin": {x: &rollout.Desktop{}, raced: true, begin: []string{"ecd-0", "ecd-1"}, may: true},
		"decided anew, and not to begin":   {x: &rollout.Desktop{}, raced: true, begin: []string{"ecd-0"}}, "not raced": {x: &rollout.Desktop{}, begin: []string{"ecd-0"}, may: true},
		"read long ago": {x: &rollout.Desktop{}, read: time.Hour, readAgain: true}, "decided long ago": {x: &rollout.Desktop{}, decided: time.Hour, readAgain: true},
	} {
		call := &calls{rebuilder: &rebuilder{invocation: js.invocation}, tooOldIn: map[string]bool{}}
		if c.x != nil {
			c.x.ID = "ecd-1"
		}
		fact := rollout.Read(now.Add(-c.read), &desktop.Desktop{ID: "ecd-1"})
		if c.gone {
			fact.Value = nil
		}
		j := &job{decision: decision{raced: c.raced, at: now.Add(-c.decided), Decision: rollout.Decision{Begin: c.begin}}}
		if got := call.mayClaim(j, "1", c.x, fact); got != c.may || call.tooOldIn["1"] != c.readAgain {
			t.Errorf("%s: got %t, read again %v", name, got, call.tooOldIn)
		}
	}
}

// Which denials stop everything, and which calls are repeated with fewer desktops: one
// that may have been carried out is not, where that would ask or tell somebody twice.
func TestWhatADenialStopsAndWhatIsTakenApart(t *testing.T) {
	for _, c := range []struct {
		e    desktop.CallError
		want bool
	}{
		{desktop.CallError{Call: "RebuildDesktops"}, true}, {desktop.CallError{Call: "DescribeDesktops"}, true}, {desktop.CallError{Call: callAssume}, true},
		{desktop.CallError{Call: "DescribeImages"}, false}, {desktop.CallError{Call: "DescribeImages", Credentials: true}, true},
	} {
		if got := forEverybody(&c.e); got != c.want {
			t.Errorf("%+v: got %t", c.e, got)
		}
	}
	for _, c := range []struct {
		e    desktop.CallError
		what rollout.What
		want bool
	}{
		{desktop.CallError{Delivery: desktop.Refused}, rollout.Ask, true}, {desktop.CallError{Delivery: desktop.Unknown}, rollout.Stop, false}, {desktop.CallError{Delivery: desktop.Forbidden, Message: "ecd-1"}, rollout.Ask, true},
		{desktop.CallError{Unlisted: true}, rollout.Stop, true}, {desktop.CallError{Unlisted: true}, rollout.Ask, false}, {desktop.CallError{Unlisted: true}, rollout.Tell, false}, {desktop.CallError{Unlisted: true}, rollout.Check, false},
	} {
		if got := mayTakeApart(&c.e, c.what, []string{"ecd-1", "ecd-2"}); got != c.want {
			t.Errorf("%+v, %d: got %t", c.e, c.what, got)
		}
	}
}

// Whose freezes hold a desktop back right before its rebuild: those of the fleet that it
// belongs to, which may depend on its tags.
func TestWhoseFreezesHoldADesktop(t *testing.T) {
	f := fleet.Fleet{Name: "office", Region: region1, Select: desktop.Selector{Tags: map[string]string{"dept": "x"}}}
	rb := &rebuilder{rules: rollout.Rules{Fleets: fleet.Fleets{f}}}
	facts := &rollout.Facts{}
	facts.Desktops.Note("in", rollout.Read(time.Now(), &desktop.Desktop{ID: "in", RegionID: region1}))
	facts.Tags.Note("in", rollout.Read(time.Now(), map[string]string{"dept": "x"}))
	facts.Desktops.Note("tagged", rollout.Read(time.Now(), &desktop.Desktop{ID: "tagged", RegionID: region1, Tags: map[string]string{"dept": "x"}}))
	facts.Desktops.Note("out", rollout.Read(time.Now(), &desktop.Desktop{ID: "out", RegionID: region1, Tags: map[string]string{"dept": "y"}}))
	request := &rollout.Operation{ID: "r1", Desktops: []string{"in"}, Spec: desktop.Spec{RegionID: region1}}
	for id, want := range map[string]string{"in": "office", "tagged": "office", "out": "", "unread": ""} {
		if got, _ := rb.fleetOf(request, id, facts); got != want {
			t.Errorf("%s: got %q, want %q", id, got, want)
		}
		if got, _ := rb.fleetOf(&rollout.Operation{ID: "v1/home", Fleet: "home"}, id, facts); got != "home" {
			t.Errorf("%s of a rollout: got %q", id, got)
		}
	}
}

const region1 = "cn-hangzhou"

// Ticks without a journal carry each desktop that anything is still to be done or said
// about, and no other.
func TestWhichDesktopsTicksCarry(t *testing.T) {
	js := jobsOf(t)
	j, _ := js.add(kindRequest, "r1")
	if err := js.open(j); err != nil {
		t.Fatal(err)
	}
	s := j.journal.known().state
	s.Operation = &rollout.Operation{ID: "r1", Spec: desktop.Spec{RegionID: region1, ImageID: "m-new"}}
	for id, d := range map[string]rollout.Desktop{
		"pending": {}, "begun": {Phase: rollout.Begun}, "accepted": {Phase: rollout.Accepted}, "held": {Phase: rollout.Final, Held: true}, "stopped": {Phase: rollout.Final, Stopped: true},
		"untold": {Phase: rollout.Final, Unpublished: []rollout.Outcome{{Result: rollout.Result{Status: events.StatusCompleted}, N: 1}}}, "through": {Phase: rollout.Final},
	} {
		d.ID = id
		s.Desktops[id], s.Order = &d, append(s.Order, id)
		s.Operation.Desktops = append(s.Operation.Desktops, id)
	}
	sent, err := carriedBy(js, j, 0, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range s.Order {
		if got := strings.Contains(strings.Join(sent, ""), id); got == (id == "through") {
			t.Errorf("%s is carried: %t", id, got)
		}
	}
	fault := errors.New("the queue is full")
	if _, err := carriedBy(js, j, 0, fault); !errors.Is(err, fault) {
		t.Errorf("got %v, want that it is not sent", err)
	}
}

// carriedBy returns the ticks that carry a job. To send one takes so long and ends with the
// error fault.
func carriedBy(js *jobs, j *job, takes time.Duration, fault error) (sent []string, err error) {
	var mu sync.Mutex
	sc := &scheduler{invocation: js.invocation}
	err = sc.carriers(j, time.Now(), func(body []byte) error {
		mu.Lock()
		sent = append(sent, string(body))
		mu.Unlock()
		<-time.After(takes)
		return fault
	})
	return sent, err
}

// Ticks that carry more desktops than fit one are sent some at once, each desktop once;
// and no more are made once one could not be sent.
func TestManyDesktopsAreCarriedByManyTicks(t *testing.T) { synctest.Test(t, testManyTicks) }

func testManyTicks(t *testing.T) {
	js := jobsOf(t)
	j, _ := js.add(kindRequest, "r1")
	if err := js.open(j); err != nil {
		t.Fatal(err)
	}
	s := j.journal.known().state
	s.Operation = &rollout.Operation{ID: "r1", Spec: desktop.Spec{RegionID: region1, ImageID: "m-new"}}
	for i := range 40 * firstFit {
		id := fmt.Sprintf("ecd-%06d", i)
		s.Desktops[id], s.Order = &rollout.Desktop{ID: id, Phase: rollout.Accepted, Touched: true, Call: id}, append(s.Order, id)
	}
	s.Operation.Desktops = s.Order
	began := time.Now()
	sent, err := carriedBy(js, j, time.Second, nil)
	if err != nil {
		t.Fatal(err)
	}
	if took, want := time.Since(began), time.Duration((len(sent)+carryWorkers-1)/carryWorkers)*time.Second; took != want {
		t.Errorf("%d ticks were sent in %s, want %s", len(sent), took, want)
	}
	var carried []string
	for _, body := range sent {
		carried = append(carried, slices.Compact(slices.Sorted(slices.Values(regexp.MustCompile(`ecd-\d{6}`).FindAllString(body, -1))))...)
	}
	if slices.Sort(carried); !slices.Equal(carried, s.Order) {
		t.Errorf("%d desktops are carried by %d ticks, want each of %d once", len(carried), len(sent), len(s.Order))
	}
	fault := errors.New("the queue is full")
	if failed, err := carriedBy(js, j, time.Second, fault); !errors.Is(err, fault) || len(failed) > carryWorkers+1 {
		t.Errorf("%d of %d were sent, and %v, want that it ends with the first", len(failed), len(sent), err)
	}
}

// A meter counts calls by name, and a snapshot of it does not change with it.
func TestAMeterCounts(t *testing.T) {
	m := &Meter{}
	m.Count("DescribeDesktops")
	before := m.Snapshot()
	m.Count("DescribeDesktops")
	m.Count("Tags")
	if after := m.Snapshot(); before["DescribeDesktops"] != 1 || after["DescribeDesktops"] != 2 || after["Tags"] != 1 || len(before) != 1 {
		t.Errorf("got %v, then %v", before, after)
	}
}
