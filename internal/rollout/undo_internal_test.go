package rollout

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// A rollback of a request is for what the request had rebuilt: not for what ECD denied it,
// or showed not to have begun, whoever has rebuilt that since.
func TestARollbackOfARequestIsForWhatTheRequestRebuilt(t *testing.T) {
	for name, c := range map[string]struct {
		x    Desktop
		want bool
	}{
		"rebuilt":                           {Desktop{Phase: Final, Touched: true, Attempt: 1, From: "m-old"}, true},
		"being rebuilt":                     {Desktop{Phase: Accepted, Touched: true, Attempt: 1, From: "m-old"}, true},
		"a call is under way":               {Desktop{Phase: Begun, Attempt: 1, From: "m-old"}, true},
		"its delivery was never known":      {Desktop{Phase: Final, Doubtful: true, Attempt: 1, From: "m-old", Last: Result{Status: events.StatusFailed}}, true},
		"was shown idle after its call":     {Desktop{Phase: Final, Doubtful: true, IdleAt: MomentOf(noon), Attempt: 1, From: "m-old", Last: Result{Status: events.StatusFailed}}, false},
		"shown not to have begun":           {Desktop{Phase: Pending, Doubtful: true, Attempt: 1, From: "m-old"}, false},
		"shown not to have begun, and over": {Desktop{Phase: Final, Doubtful: true, Attempt: 1, From: "m-old", Last: Result{Status: events.StatusSkipped}}, false},
		"denied":                            {Desktop{Phase: Final, Attempt: 1, Denied: 1, From: "m-old", Last: Result{Status: events.StatusFailed}}, false},
		"not tried":                         {Desktop{}, false},
	} {
		s := NewState()
		s.Operation = &Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{ImageID: "m-new"}}
		c.x.ID, c.x.BegunAt = "ecd-1", MomentOf(noon)
		s.Desktops["ecd-1"], s.Order = &c.x, []string{"ecd-1"}
		op := s.Fill(Operation{ID: "r1/rollback", Undoes: "r1"})
		if got := slices.Contains(op.Desktops, "ecd-1") && slices.Contains(op.Back["m-old"], "ecd-1") && slices.Contains(op.Since[noon.UTC().Format(time.RFC3339Nano)], "ecd-1"); got != c.want {
			t.Errorf("%s: got %+v", name, op)
		}
		if _, err := s.RollBack(events.Control{}, nil); (err == nil) != c.want {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// A rollback of a request that has changed nothing by now is for what it seemed to have
// changed, so that somebody is told; if it has changed anything it is for that alone.
func TestARollbackOfNothingIsForWhatWasBegun(t *testing.T) {
	s := NewState()
	s.Operation, s.Order = &Operation{ID: "r1"}, []string{"ecd-1", "ecd-2", "ecd-3"}
	s.Desktops = map[string]*Desktop{"ecd-1": {Phase: Final}, "ecd-2": {Phase: Final, From: "m-old"}, "ecd-3": {Phase: Begun, Attempt: 1, From: "m-old"}}
	if op := s.Fill(Operation{}); !slices.Equal(op.Desktops, []string{"ecd-3"}) {
		t.Errorf("got %v, want what it has changed", op.Desktops)
	}
	s.Desktops["ecd-3"].Phase = Final
	if op := s.Fill(Operation{}); !slices.Equal(op.Desktops, []string{"ecd-2", "ecd-3"}) || len(op.Back) > 0 {
		t.Errorf("got %v and %v, want what was begun, and no image for it", op.Desktops, op.Back)
	}
}

// backView returns a view of a rollback of a request for one desktop.
func backView() *view {
	op := &Operation{ID: "r1/rollback", Undoes: "r1", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}, Desktops: []string{"ecd-1"},
		Back: map[string][]string{"m-old": {"ecd-1"}}, Since: map[string][]string{noon.Add(-time.Hour).Format(time.RFC3339Nano): {"ecd-1"}}}
	op.index(nil)
	return viewOf(op)
}

// What ECD records of a desktop since the request had it rebuilt is the request's own change
// and no other, or the desktop is left alone.
func TestADesktopThatSomebodyElseChangedSinceDoesNotGoBack(t *testing.T) {
	at := func(m int) time.Time { return noon.Add(time.Duration(m-60) * time.Minute) } // minutes since the request had it rebuilt
	change := func(m int, from, to string) desktop.Change {
		return desktop.Change{DesktopID: "ecd-1", From: from, To: to, Updated: at(m), State: desktop.ChangeSucceeded}
	}
	for name, c := range map[string]struct {
		changes []desktop.Change // newest first
		x       Desktop
		want    bool // it is left alone
	}{
		"ECD keeps no record":           {nil, Desktop{}, false},
		"its own":                       {[]desktop.Change{change(5, "m-old", "m-new")}, Desktop{}, false},
		"its own, from ECD knows where": {[]desktop.Change{change(5, "", "m-new")}, Desktop{}, false},
		"older ones":                    {[]desktop.Change{change(-1, "m-old", "m-new"), change(-2, "m-x", "m-old")}, Desktop{}, false},
		"one within a minute of it":     {[]desktop.Change{change(0, "m-old", "m-new")}, Desktop{}, false},
		"a reset since":                 {[]desktop.Change{change(9, "m-new", "m-new"), change(5, "m-old", "m-new")}, Desktop{}, true},
		"there and back":                {[]desktop.Change{change(9, "m-x", "m-new"), change(7, "m-new", "m-x"), change(5, "m-old", "m-new")}, Desktop{}, true},
		"from another image alone":      {[]desktop.Change{change(9, "m-x", "m-new")}, Desktop{}, true},
		"to another image alone":        {[]desktop.Change{change(9, "m-old", "m-x")}, Desktop{}, true},
		"the same by somebody else":     {[]desktop.Change{change(9, "m-old", "m-new"), change(5, "m-old", "m-new")}, Desktop{}, true},
		"one of which no time is known": {[]desktop.Change{change(5, "m-old", "m-new"), {DesktopID: "ecd-1", From: "m-new", To: "m-new", State: desktop.ChangeSucceeded}}, Desktop{}, true},
		"its own, without a time":       {[]desktop.Change{{DesktopID: "ecd-1", From: "m-old", To: "m-new", State: desktop.ChangeSucceeded}}, Desktop{}, false},
		"ours of the rollback":          {[]desktop.Change{change(30, "m-new", "m-old"), change(5, "m-old", "m-new")}, Desktop{Attempt: 1, BegunAt: MomentOf(at(30))}, false},
		"that of somebody else before":  {[]desktop.Change{change(28, "m-new", "m-old"), change(5, "m-old", "m-new")}, Desktop{Attempt: 1, BegunAt: MomentOf(at(30))}, true},
		"from elsewhere since our call": {[]desktop.Change{change(31, "m-x", "m-old"), change(5, "m-old", "m-new")}, Desktop{Attempt: 1, BegunAt: MomentOf(at(30))}, true},
		"elsewhere since our call":      {[]desktop.Change{change(31, "m-new", "m-x"), change(5, "m-old", "m-new")}, Desktop{Attempt: 1, BegunAt: MomentOf(at(30))}, true},
		"and without a call of ours":    {[]desktop.Change{change(30, "m-new", "m-old"), change(5, "m-old", "m-new")}, Desktop{}, true},
	} {
		v := backView()
		c.x.ID = "ecd-1"
		v.f.Changes["ecd-1"] = Read(noon, c.changes)
		s, got := v.overtaken(candidate{Desktop: &c.x})
		if got != c.want || got && s.outcome.Code != events.CodeChangedOutside {
			t.Errorf("%s: got %t", name, got)
		}
	}
	v := backView()
	if s, left := v.overtaken(candidate{Desktop: &Desktop{ID: "ecd-1"}}); !left || len(s.needs) != 1 {
		t.Errorf("not asked: got %+v", s)
	}
	v.s.Operation.Undoes = ""
	if _, left := v.overtaken(candidate{Desktop: &Desktop{ID: "ecd-1"}}); left {
		t.Error("a request of its own asks nothing")
	}
}

// A desktop waits until the request is done with it, and is refused where nobody knows which
// image it was on.
func TestWhichDesktopsOfARequestGoBack(t *testing.T) {
	on := func(image string) *desktop.Desktop {
		return &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", ImageID: image}
	}
	for name, c := range map[string]struct {
		id, image, busy string
		want            string
		unchanged       bool
	}{
		"on the image":           {"ecd-1", "m-new", "", "", false},
		"back already":           {"ecd-1", "m-old", "", "", false},
		"still being rebuilt":    {"ecd-1", "m-old", "r1", events.CodeStatusWait, false},
		"not rebuilt after all":  {"ecd-1", "m-new", "", events.CodeChangedOutside, true},
		"on another image":       {"ecd-1", "m-x", "", events.CodeChangedOutside, false},
		"from where is unknown":  {"ecd-2", "m-new", "", events.CodeControlNotPossible, false},
		"gone, the guards' task": {"ecd-1", "", "", "", false},
		"ECD does not say":       {"ecd-1", "-", "", "", false},
	} {
		v := backView()
		if c.image != "" {
			v.f.Desktops[c.id] = Read(noon, on(strings.Trim(c.image, "-")))
		} else {
			v.f.Desktops[c.id] = Read[*desktop.Desktop](noon, nil)
		}
		if c.busy != "" {
			v.f.Busy = map[string]string{c.id: c.busy}
		}
		v.f.Unchanged = map[string]bool{c.id: c.unchanged}
		s, done := inOrder(&Desktop{ID: c.id}, v.busy, v.undone)
		got := ""
		if done && s.outcome != nil {
			got = s.outcome.Code
		}
		if got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// A time that cannot be read must not let a desktop go back that somebody changed.
func TestATimeThatCannotBeReadKeepsADesktopWhereItIs(t *testing.T) {
	op := &Operation{ID: "r1/rollback", Undoes: "r1", Back: map[string][]string{"m-old": {"ecd-1", "ecd-2"}}, Since: map[string][]string{"yesterday": {"ecd-1"}, "2026-11-30T08:00:01Z": {"ecd-2"}}}
	op.index(nil)
	if op.to["ecd-1"] != "" || op.to["ecd-2"] != "m-old" || op.since["ecd-2"].IsZero() {
		t.Errorf("got %v since %v", op.to, op.since)
	}
}

// A request that was taken back begins nothing more; one that had ended stays as it ended.
func TestARequestThatIsTakenBackBeginsNothingMore(t *testing.T) {
	for _, closed := range []bool{false, true} {
		s := NewState()
		s.Apply(Record{Kind: KindOpened, At: noon, Operation: &Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}})
		if closed {
			s.Apply(Record{Kind: KindClosed, At: noon, Digest: "d"})
		}
		first := Undoing(Operation{ID: "r1/rollback", Undoes: "r1", Desktops: []string{"ecd-1"}, By: "ada"}, noon, "m1", "e1")
		s.Apply(first, Undoing(Operation{ID: "r1/rollback", Undoes: "r1", By: "bob"}, noon, "m2", ""), Record{Kind: KindUndoing, At: noon})
		if s.Undoing == nil || s.Undoing.Message != "m1" || s.Undoing.By != "ada" || s.Undoing.Desktops != nil {
			t.Errorf("closed %t: got %+v", closed, s.Undoing)
		}
		if got := s.Superseded != ""; got == closed {
			t.Errorf("closed %t: superseded by %q", closed, s.Superseded)
		}
		if closed {
			continue
		}
		d := Decide(s, Rules{Regions: []string{"cn-hangzhou"}}, NewFacts(), noon)
		if kinds := kindsOf(d.Records); !slices.Equal(kinds, []Kind{KindSettled, KindClosed}) || d.Records[0].Outcomes[0].Code != events.CodeSuperseded || d.Records[0].Outcomes[0].Status != events.StatusSkipped {
			t.Errorf("got %+v", d.Records)
		}
	}
}

// Any rollback is known by what it undoes: what it found to have changed may differ between
// two instances that open it.
func TestARollbackIsKnownByWhatItUndoes(t *testing.T) {
	op := Operation{ID: "r1/rollback", Undoes: "r1", Spec: desktop.Spec{ImageID: "m-new"}, Desktops: []string{"ecd-1"}}
	for name, c := range map[string]struct {
		change func(*Operation)
		want   bool
	}{
		"more desktops":  {func(o *Operation) { o.Desktops = []string{"ecd-1", "ecd-2"} }, true},
		"of another one": {func(o *Operation) { o.Undoes = "r2" }, false},
		"a request":      {func(o *Operation) { o.Undoes = "" }, false},
		"another image":  {func(o *Operation) { o.ImageID = "m-x" }, false},
		"a rollout's":    {func(o *Operation) { o.Fleet = "office" }, false},
	} {
		o := op
		c.change(&o)
		if got := op.Same(o); got != c.want || o.Same(op) != got {
			t.Errorf("%s: got %t", name, got)
		}
	}
}

// A desktop that its request took out of a fleet that chooses by image is in it for the
// rollback.
func TestARollbackFindsTheFleetThatTheRequestTookTheDesktopOutOf(t *testing.T) {
	office := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default(), Select: desktop.Selector{ImageIDs: []string{"m-old"}}}
	v := backView()
	for image, want := range map[string]bool{"m-old": true, "m-new": true, "m-x": false} {
		if got := v.s.Operation.FleetOf(fleet.Fleets{office}, desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", ImageID: image}) != nil; got != want {
			t.Errorf("on %s: got %t", image, got)
		}
	}
	request := Operation{ID: "r2", Spec: desktop.Spec{ImageID: "m-new"}}
	if request.FleetOf(fleet.Fleets{office}, desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", ImageID: "m-new"}) != nil {
		t.Error("a request is not for who has left")
	}
}

// Only system disks go back, and in no language, unless whoever asks for it consents.
func TestWhatARollbackOfARequestAsksFor(t *testing.T) {
	for _, consents := range [][]string{nil, {events.ConsentDataDisk}} {
		s := NewState()
		s.Apply(Record{Kind: KindUndoing, At: noon}) // of nothing
		s.Operation = &Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{ImageID: "m-new", OperateType: "replace", Language: "zh-CN", AfterStatus: "Running"}}
		s.Apply(Record{Kind: KindUndoing, At: noon})
		s.Desktops["ecd-1"], s.Order = &Desktop{ID: "ecd-1", Touched: true, From: "m-old"}, []string{"ecd-1"}
		op, err := s.RollBack(events.Control{Consent: consents, By: "ada"}, nil)
		if err != nil || (op.OperateType != "") != (consents != nil) || op.Language != "" || op.AfterStatus != "Running" || op.ImageID != "m-new" || op.Undoes != "r1" || !slices.Contains(op.Consents, events.ConsentDowngrade) {
			t.Errorf("with %v: got %+v, %v", consents, op, err)
		}
	}
}

// A rollout's desktop whose call certainly was not sent does not go back.
func TestWhatWasNotSentDoesNotGoBack(t *testing.T) {
	s := NewState()
	s.Operation = &Operation{ID: "v1/office", Fleet: "office"}
	s.Desktops["ecd-1"], s.Order = &Desktop{ID: "ecd-1", From: "m-old"}, []string{"ecd-1"}
	if got := s.Undo(); len(got) != 0 {
		t.Errorf("got %v", got)
	}
}

// What is not read is asked for; what is gone, and what is a rollout's, is for others to say.
func TestWhatIsAskedBeforeARequestGoesBack(t *testing.T) {
	v := backView()
	if s, done := v.undone(&Desktop{ID: "ecd-1"}); !done || len(s.needs) != 1 {
		t.Errorf("not read: got %+v, %t", s, done)
	}
	v.f.Desktops["ecd-1"] = Read[*desktop.Desktop](noon, nil)
	if _, done := v.undone(&Desktop{ID: "ecd-1"}); done {
		t.Error("gone: it is the guards that say so")
	}
	v.s.Operation.Fleet = "office"
	v.f.Busy, v.f.Unchanged = map[string]string{"ecd-1": "v1/office"}, map[string]bool{"ecd-1": true}
	if _, done := v.undone(&Desktop{ID: "ecd-1"}); done {
		t.Error("a rollout waits for its desktops otherwise")
	}
	newer := fleet.Fleet{Name: "newer", Region: "cn-hangzhou", Strategy: fleet.Default(), Select: desktop.Selector{ImageIDs: []string{"m-new"}}}
	office := fleet.Fleet{Name: "office", Region: "cn-hangzhou", Strategy: fleet.Default(), Select: desktop.Selector{ImageIDs: []string{"m-old"}}}
	if f := v.s.Operation.FleetOf(fleet.Fleets{newer, office}, desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", ImageID: "m-new"}); f == nil || f.Name != "newer" {
		t.Errorf("in the fleet that it is in now: got %+v", f)
	}
}

// That a request did not change a desktop after all is said of those that it does not use,
// and not once the rollback has begun it.
func TestWhatARequestDidNotChangeAfterAll(t *testing.T) {
	s := NewState()
	s.Operation = &Operation{ID: "r1"}
	for id, x := range map[string]Desktop{"ecd-1": {}, "ecd-2": {Touched: true}, "ecd-3": {}} {
		x.ID = id
		s.Desktops[id] = &x
	}
	others := Others{Busy: map[string]string{"ecd-3": "r1"}}
	others.AddUnchanged(s)
	if !maps.Equal(others.Unchanged, map[string]bool{"ecd-1": true}) || len(others.Busy) != 1 {
		t.Errorf("got %v", others)
	}
	v := backView()
	v.f.Unchanged = map[string]bool{"ecd-1": true}
	v.f.Desktops["ecd-1"] = Read(noon, &desktop.Desktop{ID: "ecd-1", ImageID: "m-new"})
	if _, done := v.undone(&Desktop{ID: "ecd-1", Touched: true}); done {
		t.Error("the rollback has begun it")
	}
}

// What an earlier rollout of the fleet still does something to is left alone by the next.
func TestWhatAnEarlierRolloutStillUsesIsBusy(t *testing.T) {
	for name, c := range map[string]struct {
		d            Desktop
		closed, busy bool
	}{
		"pending": {}, "begun": {d: Desktop{Phase: Begun}, busy: true}, "accepted": {d: Desktop{Phase: Accepted}, busy: true},
		"held": {d: Desktop{Held: true}, busy: true}, "stopped": {d: Desktop{Phase: Final, Stopped: true}, busy: true},
		"through": {d: Desktop{Phase: Final}}, "held, and closed": {d: Desktop{Phase: Final, Held: true}, closed: true},
		"through, closed": {d: Desktop{Phase: Final}, closed: true},
	} {
		var others Others
		others.Add("v1/office", &State{Desktops: map[string]*Desktop{"ecd-1": &c.d}, Closed: c.closed})
		if (others.Busy["ecd-1"] == "v1/office") != c.busy || len(others.Busy) > 1 {
			t.Errorf("%s: got %v", name, others.Busy)
		}
	}
}

// The answer to the first call was lost, ECD showed that it was not carried out, and it
// refused the second. Somebody else had the desktop rebuilt later, and it went back.
func TestARollbackOfARequestIsNotForWhatECDRefusedAfterALostCall(t *testing.T) {
	ended := func(call string, g Group) Record {
		g.Desktops = []string{"ecd-1"}
		return Record{Kind: KindEnded, At: noon, Call: call, Outcomes: []Group{g}}
	}
	begun := func(call string) Record {
		return Record{Kind: KindBegun, At: noon, Call: call, Desktops: []string{"ecd-1"}, From: []string{"m-old"}}
	}
	lost := Group{Status: events.StatusDeferred, Code: events.CodeOutcomeUnknown}
	refused := Group{Status: events.StatusFailed, Code: "InvalidDesktopId.NotFound"}
	notSent := Group{Status: events.StatusDeferred, Code: events.CodeThrottled}
	gaveUp := Record{Kind: KindSettled, At: noon, Outcomes: []Group{{Status: events.StatusFailed, Code: events.CodeOutcomeUnknown, Desktops: []string{"ecd-1"}}}}
	idle := []Record{{Kind: KindIdle, At: noon, Desktops: []string{"ecd-1"}}, {Kind: KindNotBegun, At: noon, Desktops: []string{"ecd-1"}}}
	for name, c := range map[string]struct {
		records []Record
		want    bool
	}{
		"refused":                  {[]Record{begun("c2"), ended("c2", refused)}, false},
		"not sent, and given up":   {[]Record{begun("c2"), ended("c2", notSent), gaveUp}, false},
		"lost, and given up":       {[]Record{begun("c2"), ended("c2", lost), gaveUp}, true},
		"given up without its end": {[]Record{begun("c2"), gaveUp}, true},
		"given up":                 {[]Record{gaveUp}, false},
	} {
		s := NewState()
		s.Apply(Record{Kind: KindOpened, At: noon, Operation: &Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{ImageID: "m-new"}}}, begun("c1"), ended("c1", lost))
		s.Apply(append(slices.Clone(idle), c.records...)...)
		if got := s.Desktops["ecd-1"].rebuilt(); got != c.want {
			t.Errorf("%s: rebuilt %v, want %v", name, got, c.want)
		}
	}
}

// A plan says of a desktop that it is not rolled back if nobody knows to which image.
func TestAPlanRefusesWhatHasNoImageToGoBackTo(t *testing.T) {
	f := NewFacts()
	f.Desktops["a"] = Read(noon, &desktop.Desktop{ID: "a", RegionID: "cn-hangzhou", ImageID: "m-new", Status: desktop.Running, Connection: desktop.Disconnected,
		OS: desktop.Windows, SystemDiskGiB: 80})
	for _, id := range []string{"m-new", "m-old"} {
		f.Images[id] = Read(noon, &desktop.Image{ID: id, Status: desktop.ImageAvailable, OS: desktop.Windows, SizeGiB: 80})
	}
	op := Operation{ID: "r1/rollback", Undoes: "r1", Desktops: []string{"a"}, Consents: []string{events.ConsentDowngrade},
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	for _, back := range []map[string][]string{nil, {"m-old": {"a"}}} {
		op.Back = back
		p, need, unread := Preview(op, Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: time.Hour}, f, noon)
		want, code := events.PlanRebuild, ""
		if back == nil {
			want, code = events.PlanRefuse, events.CodeControlNotPossible
		}
		if x := p.Waves[0].Desktops[0]; x.Action != want || x.Code != code || !need.Empty() || unread != nil {
			t.Errorf("goes back by %v: %+v (needs %+v, unread %v), want %s", back, x, need, unread, want)
		}
	}
}

// That only a rollback is possible is said where one is.
func TestWhatIsSaidOfARolloutThatTakesNothing(t *testing.T) {
	const but = "; only rollback is possible now"
	spec := desktop.Spec{ImageID: "m-new"}
	changed := Desktop{ID: "ecd-1", Phase: Final, Touched: true, Attempt: 1, From: "m-old"}
	for name, c := range map[string]struct {
		op      Operation
		x       Desktop
		aborted string
		back    *Entry
		want    string
	}{
		"ended":                              {Operation{ID: "v1/office", Fleet: "office", Spec: spec}, changed, "", nil, "it has ended" + but},
		"ended, and changed nothing":         {Operation{ID: "v1/office", Fleet: "office", Spec: spec}, Desktop{ID: "ecd-1", Phase: Final}, "", nil, "it has ended"},
		"a rollback that has ended":          {Operation{ID: "v1/office/rollback", Undoes: "v1/office", Fleet: "office", Spec: spec}, changed, "", nil, "it has ended"},
		"a reset that has ended":             {Operation{ID: "r1"}, changed, "", nil, "it has ended"},
		"a request that is rolled back":      {Operation{ID: "r1", Spec: spec}, changed, "", &Entry{Operation: Operation{ID: "r1/rollback"}}, "it has ended"},
		"aborted":                            {Operation{ID: "v1/office", Fleet: "office", Spec: spec}, changed, "ada", nil, "it was aborted by ada" + but},
		"aborted before anything was begun":  {Operation{ID: "v1/office", Fleet: "office", Spec: spec}, Desktop{ID: "ecd-1"}, "ada", nil, "it was aborted by ada"},
		"a request aborted after it changed": {Operation{ID: "r1", Spec: spec}, changed, "ada", nil, "it was aborted by ada" + but},
	} {
		s := NewState()
		s.Operation, s.Closed, s.Aborted, s.Undoing, s.Order = &c.op, c.aborted == "", c.aborted, c.back, []string{"ecd-1"}
		s.Desktops = map[string]*Desktop{"ecd-1": &c.x}
		if err := Allow(s, events.ActionPause, 0); err == nil || err.Error() != c.want {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
		if err := Allow(s, events.ActionRollback, 0); c.x.Attempt == 0 && (err == nil || err.Error() != "it has not changed any desktop") {
			t.Errorf("%s: of a rollback: %v", name, err)
		}
	}
}
