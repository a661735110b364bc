package rollout_test

import (
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// called returns a request for one desktop, for which a call was made.
func called(at time.Time, image string, more ...rollout.Record) *rollout.State {
	s := rollout.NewState()
	s.Apply(
		rollout.Record{Kind: rollout.KindOpened, At: at, Operation: &rollout.Operation{ID: "r", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: image}}},
		rollout.Record{Kind: rollout.KindBegun, At: at, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
	s.Apply(more...)
	return s
}

func statusOf(d rollout.Decision) (status events.Status, code string) {
	for _, r := range d.Records {
		for _, g := range r.Outcomes {
			status, code = g.Status, g.Code
		}
	}
	return status, code
}

// ECD may list a desktop and yet refuse to tell its records. A call of unknown
// delivery was then asked about for ever.
func TestACallThatECDCannotBeAskedAboutIsGivenUp(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}
	f := rollout.NewFacts()
	f.Desktops["ecd-1"] = just(&desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Running, ImageID: "m-old"})
	f.Changes["ecd-1"] = cannot[[]desktop.Change](events.CodeFactsUnavailable)
	early := decide(called(at, "m-new"), rules, f, at.Add(6*time.Hour))
	if status, code := statusOf(early); status != "" || early.Next.IsZero() {
		t.Errorf("after 6 hours it is %s %s, to be looked at again %s; want it open", status, code, early.Next)
	}
	late := decide(called(at, "m-new"), rules, f, at.Add(24*time.Hour+5*time.Minute))
	if status, code := statusOf(late); status != events.StatusFailed || code != events.CodeOutcomeUnknown {
		t.Errorf("after a day it is %q %q, want failed OutcomeUnknown", status, code)
	}
}

// A reset that fails leaves the desktop on the very image that it was to get.
func TestAResetThatFailedIsNotCompleted(t *testing.T) {
	at := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	rules := rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}
	accepted := []rollout.Record{
		{Kind: rollout.KindEnded, At: at, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"ecd-1"}}}},
		{Kind: rollout.KindSeen, At: at.Add(time.Minute), Desktops: []string{"ecd-1"}},
	}
	for name, c := range map[string]struct {
		records []desktop.Change
		want    events.Status
	}{
		"ECD records a failure": {[]desktop.Change{{From: "m-old", To: "m-old", State: desktop.ChangeFailed, Updated: at.Add(4 * time.Minute)}}, events.StatusFailed},
		"ECD records success":   {[]desktop.Change{{From: "m-old", To: "m-old", State: desktop.ChangeSucceeded, Updated: at.Add(4 * time.Minute)}}, events.StatusCompleted},
		"ECD records no resets": {nil, events.StatusCompleted},
	} {
		t.Run(name, func(t *testing.T) {
			f := rollout.NewFacts()
			f.Desktops["ecd-1"] = just(&desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Running, ImageID: "m-old"})
			f.Changes["ecd-1"] = just(c.records)
			if status, code := statusOf(decide(called(at, "", accepted...), rules, f, at.Add(6*time.Minute))); status != c.want {
				t.Errorf("it is %q %q, want %s", status, code, c.want)
			}
		})
	}
}

var (
	began     = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	fateRules = rollout.Rules{Regions: []string{"cn-hangzhou"}, Journal: true, RebuildTimeout: 30 * time.Minute}
	acceptedC = rollout.Record{Kind: rollout.KindEnded, At: began, Call: "c", Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"ecd-1"}}}}
)

func deferredFor(code string) rollout.Record {
	return rollout.Record{Kind: rollout.KindEnded, At: began, Call: "c", Outcomes: []rollout.Group{
		{Status: events.StatusDeferred, Code: code, Until: began.Add(30 * time.Second), Desktops: []string{"ecd-1"}}}}
}

func seen(x *desktop.Desktop) *rollout.Facts {
	f := rollout.NewFacts()
	f.Desktops["ecd-1"], f.Changes["ecd-1"] = just(x), just[[]desktop.Change](nil)
	for i, id := range []string{"m-old", "m-new"} {
		f.Images[id] = just(&desktop.Image{ID: id, Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80, Created: began.Add(time.Duration(i-9) * time.Hour)})
	}
	return f
}

func pc(status, image string) *desktop.Desktop {
	return &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: status, Connection: desktop.Disconnected, ImageID: image, OS: "windows", SystemDiskGiB: 80}
}

// Half a day in which nobody tried counted as half a day of trying in vain.
func TestADesktopThatWasThrottledOnceIsTriedAgainHoweverLateSomebodyLooks(t *testing.T) {
	d := decide(called(began, "m-new", deferredFor(events.CodeThrottled)), fateRules, seen(pc(desktop.Running, "m-old")), began.Add(12*time.Hour))
	if status, code := statusOf(d); len(d.Begin) != 1 {
		t.Errorf("it is %q %q, want it begun", status, code)
	}
}

// ECD may leave a desktop out of one answer: only two in a row, a settling time
// apart, mean that it was released.
func TestADesktopThatIsListedAgainIsNotGone(t *testing.T) {
	s := called(began, "m-new", acceptedC)
	for _, look := range []struct {
		minute int
		now    *desktop.Desktop
		want   events.Status
	}{
		{2, nil, ""}, {4, pc(desktop.Rebuilding, "m-old"), ""}, {8, pc(desktop.Rebuilding, "m-old"), ""}, {10, nil, ""}, {16, nil, events.StatusFailed},
	} {
		d := decide(s, fateRules, seen(look.now), began.Add(time.Duration(look.minute)*time.Minute))
		s.Apply(d.Records...)
		if status, code := statusOf(d); status != look.want {
			t.Fatalf("minute %d: it is %q %q, want %q", look.minute, status, code, look.want)
		}
	}
}

// A user who restarts a desktop while it proves stable does not make a good
// rebuild a bad one.
func TestADesktopThatHasArrivedMayRestart(t *testing.T) {
	s := called(began, "m-new", acceptedC, rollout.Record{Kind: rollout.KindArrived, At: began.Add(26 * time.Minute), Desktops: []string{"ecd-1"}})
	if status, code := statusOf(decide(s, fateRules, seen(pc(desktop.Starting, "m-new")), began.Add(31*time.Minute))); status != "" {
		t.Errorf("it is %q %q, want it followed", status, code)
	}
}

// Without a journal how often a desktop was denied is not carried along; how long
// is, and ends it.
func TestADesktopThatIsDeniedAgainAndAgainEndsWithoutAJournalToo(t *testing.T) {
	s := called(began, "m-new")
	rounds := 0
	for ; rounds < 500; rounds++ {
		at := began.Add(time.Duration(rounds) * 5 * time.Minute)
		if rounds > 0 {
			d := decide(s, fateRules, seen(pc(desktop.Running, "m-old")), at)
			if status, _ := statusOf(d); status == events.StatusFailed {
				return
			}
			s.Apply(rollout.Record{Kind: rollout.KindBegun, At: at, Call: "c", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
		}
		denied := deferredFor(rollout.IncorrectDesktopStatus)
		denied.At, denied.Outcomes[0].Until = at, at.Add(time.Minute)
		s.Apply(denied)
		carried := rollout.NewState()
		carried.Apply(s.Compact([]string{"ecd-1"})...)
		s = carried
	}
	t.Errorf("after %d calls it is still begun", rounds)
}

// A rebuild failed, and ECD showed late that the desktop was on its former image again. A
// request that was to bring it there, and had called nobody, took that for its own doing.
// (simulation: completed-is-not-so-921006196)
func TestWhatTheFailureOfAnotherRebuildBroughtBackIsNotOurOwnDoing(t *testing.T) {
	theirs := func(state desktop.ChangeState) []desktop.Change {
		return []desktop.Change{{From: "m-new", To: "m-old", State: state, Updated: began}}
	}
	ours := desktop.Change{From: "m-old", To: "m-new", State: desktop.Changing, Updated: began}
	for name, c := range map[string]struct {
		minute  float64
		changes []desktop.Change
		want    events.Status
	}{
		"its record may show late":    {4.5, nil, ""},
		"no record of it":             {5, nil, events.StatusAccepted},
		"it is under way":             {20, theirs(desktop.Changing), ""},
		"it failed":                   {20, theirs(desktop.ChangeFailed), ""},
		"it succeeded, and was over":  {5, theirs(desktop.ChangeSucceeded), events.StatusAccepted},
		"and ours came after it":      {2, append([]desktop.Change{ours}, theirs(desktop.ChangeFailed)...), events.StatusAccepted},
		"it was to yet another image": {5, []desktop.Change{{From: "m-new", To: "m-other", State: desktop.ChangeFailed, Updated: began}}, events.StatusAccepted},
		"it came from one unknown":    {20, []desktop.Change{{To: "m-old", State: desktop.ChangeFailed, Updated: began}}, ""},
		"it came from another image":  {5, []desktop.Change{{From: "m-other", To: "m-old", State: desktop.ChangeFailed, Updated: began}}, events.StatusAccepted},
	} {
		f := readAt(at(c.minute), pc(desktop.Running, "m-new"))
		f.Changes["ecd-1"] = rollout.Read(at(c.minute), c.changes)
		if status, code := statusOf(decide(called(began, "m-new", unknownC), fateRules, f, at(c.minute))); status != c.want {
			t.Errorf("%s: it is %q %q, want %q", name, status, code, c.want)
		}
	}
}

// A desktop that is on yet another image is not idle, whatever failed before.
func TestAFailureOfAnotherRebuildSaysNothingOfAThirdImage(t *testing.T) {
	for _, image := range []string{"m-third", ""} {
		for _, wanted := range []string{"m-new", ""} { // and of a reset
			s := called(began, wanted, unknownC)
			f := readAt(at(6), pc(desktop.Running, image))
			f.Changes["ecd-1"] = rollout.Read(at(6), []desktop.Change{{To: "m-old", State: desktop.ChangeFailed, Updated: began.Add(-time.Hour)}})
			s.Apply(decide(s, fateRules, f, at(6)).Records...)
			if !s.Desktops["ecd-1"].IdleAt.IsZero() {
				t.Errorf("on %q instead of %q it counts as idle", image, wanted)
			}
		}
	}
}

// Nor is it in the end: it counts as not called, and is left alone where it is.
func TestWhatTheFailureOfAnotherRebuildBroughtBackIsSkipped(t *testing.T) {
	s := called(began, "m-new", unknownC)
	for _, look := range []struct {
		minute float64
		want   events.Status
	}{{6, ""}, {12, ""}, {13, events.StatusSkipped}} {
		f := readAt(at(look.minute), pc(desktop.Running, "m-new"))
		f.Changes["ecd-1"] = rollout.Read(at(look.minute), []desktop.Change{{From: "m-new", To: "m-old", State: desktop.ChangeFailed, Updated: began}})
		d := decide(s, fateRules, f, at(look.minute))
		s.Apply(d.Records...)
		if status, code := statusOf(d); status != look.want || len(d.Begin) > 0 {
			t.Fatalf("minute %g: it is %q %q, and %v are begun; want %q and nobody", look.minute, status, code, d.Begin, look.want)
		}
	}
}

// Where ECD accepted a rebuild of ours before, what is on the image by a retry is looked at no further.
func TestWhatWasAcceptedBeforeNeedsNoRecord(t *testing.T) {
	s := called(began, "m-new", acceptedC, settled(at(6), events.StatusFailed, events.CodeCheckFailed), retry(at(10)))
	f := readAt(at(11), pc(desktop.Running, "m-new"))
	delete(f.Changes, "ecd-1")
	if d := decide(s, fateRules, f, at(11)); !d.Need.Empty() {
		t.Errorf("it asks for %+v", d.Need)
	}
}

// What is on the image behind a call that was lost is held against ECD's records first.
func TestWhatIsOnItsImageBehindALostCallIsHeldAgainstTheRecords(t *testing.T) {
	s := called(began, "m-new", unknownC, rollout.Record{Kind: rollout.KindNotBegun, At: at(12), Desktops: []string{"ecd-1"}})
	f := readAt(at(13), pc(desktop.Running, "m-new"))
	delete(f.Changes, "ecd-1")
	d := decide(s, fateRules, f, at(13))
	if status, code := statusOf(d); status != "" || !slices.Equal(d.Need.Changes, []string{"ecd-1"}) {
		t.Errorf("it is %q %q, and asks for %+v; want its records", status, code, d.Need)
	}
	f.Changes["ecd-1"] = rollout.Read[[]desktop.Change](at(13), nil)
	if status, code := statusOf(decide(s, fateRules, f, at(13))); status != events.StatusAccepted {
		t.Errorf("without a record it is %q %q, want it accepted", status, code)
	}
}

// A desktop whose call's answer was lost was on the new image, and somebody put it back before
// that counted: it is not rebuilt once more. (simulation: wiped-twice-8139545)
func TestWhatWasSeenOnTheNewImageIsNotRebuiltAgain(t *testing.T) {
	s := called(began, "m-new", unknownC)
	for _, look := range []struct {
		minute float64
		image  string
		want   events.Status
	}{{2, "m-new", ""}, {6, "m-old", ""}, {12, "m-old", ""}, {18, "m-old", ""}, {35, "m-old", events.StatusFailed}} {
		f := readAt(at(look.minute), pc(desktop.Running, look.image))
		f.Changes["ecd-1"] = rollout.Read(at(look.minute), []desktop.Change(nil))
		d := decide(s, fateRules, f, at(look.minute))
		s.Apply(d.Records...)
		if status, code := statusOf(d); status != look.want || len(d.Begin) > 0 || s.Desktops["ecd-1"].Phase == rollout.Pending {
			t.Fatalf("minute %g: it is %q %q, and %v are begun; want %q and nobody", look.minute, status, code, d.Begin, look.want)
		}
	}
}

// A desktop that was on the wanted image before its call shows nothing by being on it.
func TestTheImageThatADesktopHadSaysNothingOfItsCall(t *testing.T) {
	f := readAt(at(6), pc(desktop.Running, "m-old"))
	f.Changes["ecd-1"] = rollout.Read(at(6), []desktop.Change(nil))
	d := decide(called(began, "m-old", unknownC), fateRules, f, at(6))
	if status, code := statusOf(d); status != "" {
		t.Errorf("it is %q %q, want that it is looked at again", status, code)
	}
}

// ECD showed a desktop as Rebuilding, and its records could not be asked for. Nothing was kept
// of that, the rebuild failed, ECD had no record of it, and the desktop was rebuilt again.
func TestWhatADesktopShowsIsKeptThoughItsRecordsCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		image string
		shows *desktop.Desktop
		again bool
	}{
		"Rebuilding":             {"m-new", pc(desktop.Rebuilding, "m-old"), false},
		"on the new image":       {"m-new", pc(desktop.Running, "m-new"), false},
		"Starting on it":         {"m-new", pc(desktop.Starting, "m-new"), false},
		"on a third image":       {"m-new", pc(desktop.Running, "m-third"), false},
		"idle":                   {"m-new", pc(desktop.Running, "m-old"), true},
		"Starting":               {"m-new", pc(desktop.Starting, "m-old"), true},
		"not listed":             {"m-new", nil, true},
		"Rebuilding for a reset": {"", pc(desktop.Rebuilding, "m-old"), false},
	} {
		s := called(began, c.image, unknownC)
		f := readAt(at(1), c.shows)
		f.Changes["ecd-1"] = rollout.Fact[[]desktop.Change]{Err: &rollout.Unread{Code: events.CodeFactsUnavailable, Message: "no"}, ReadAt: at(1)}
		s.Apply(rollout.Decide(s, fateRules, f, at(1)).Records...)
		if seen := s.Desktops["ecd-1"].Seen; seen == (c.again || c.image == "") {
			t.Errorf("%s: kept as seen: %t", name, seen)
		}
		again := false
		for _, m := range []float64{6, 12, 18} {
			d := rollout.Decide(s, fateRules, readAt(at(m), pc(desktop.Running, "m-old")), at(m))
			again = again || slices.ContainsFunc(d.Records, func(r rollout.Record) bool { return r.Kind == rollout.KindNotBegun })
			s.Apply(d.Records...)
		}
		if again != c.again {
			t.Errorf("%s: called again: %t, want %t", name, again, c.again)
		}
	}
}

// A desktop was rebuilt by a call whose answer was lost, and somebody else brought it to a third
// image, and back. A look had shown it on the third; it was rebuilt again all the same.
func TestADesktopThatWasElsewhereIsNotCalledAgain(t *testing.T) {
	for image, again := range map[string]bool{"m-third": false, "m-new": false, "m-old": true, "": true} {
		s := called(began, "m-new", unknownC)
		s.Apply(rollout.Decide(s, fateRules, readAt(at(1), pc(desktop.Running, image)), at(1)).Records...)
		got := false
		for _, m := range []float64{6, 12, 18} {
			d := rollout.Decide(s, fateRules, readAt(at(m), pc(desktop.Running, "m-old")), at(m))
			got = got || slices.ContainsFunc(d.Records, func(r rollout.Record) bool { return r.Kind == rollout.KindNotBegun })
			s.Apply(d.Records...)
		}
		if got != again {
			t.Errorf("seen on %q, it is called again: %t, want %t", image, got, again)
		}
	}
}

// What showed that a reset had begun was not known any more when it was over, if ECD keeps
// no records of resets: it was given up as not having shown up.
func TestAResetThatWasSeenWhileItsAnswerWasLostIsCompleted(t *testing.T) {
	s := called(began, "", unknownC)
	for _, look := range []struct {
		minute float64
		status string
		want   events.Status
	}{{2, desktop.Rebuilding, events.StatusAccepted}, {4, desktop.Running, events.StatusCompleted}} {
		f := readAt(at(look.minute), pc(look.status, "m-old"))
		f.Changes["ecd-1"] = rollout.Read(at(look.minute), []desktop.Change(nil))
		d := decide(s, fateRules, f, at(look.minute))
		s.Apply(d.Records...)
		if status, code := statusOf(d); status != look.want {
			t.Fatalf("minute %g: it is %q %q, want %q", look.minute, status, code, look.want)
		}
	}
}

// ECD shows late that a call was carried out, and somebody else's way back has failed since:
// the desktop was said to be skipped, though ECD's records show that it was rebuilt.
func TestWhatECDRecordsOfALostCallOutweighsWhatCameAfterIt(t *testing.T) {
	s := called(began, "m-new", unknownC, rollout.Record{Kind: rollout.KindNotBegun, At: at(12), Desktops: []string{"ecd-1"}})
	f := readAt(at(14), pc(desktop.Running, "m-new"))
	f.Changes["ecd-1"] = rollout.Read(at(14), []desktop.Change{
		{From: "m-new", To: "m-old", State: desktop.ChangeFailed, Updated: at(6)}, {From: "m-old", To: "m-new", State: desktop.ChangeSucceeded, Updated: at(4)}})
	if status, code := statusOf(decide(s, fateRules, f, at(14))); status != events.StatusAccepted {
		t.Errorf("it is %q %q, want it accepted", status, code)
	}
}

// A retry may come before ECD shows how the failed rebuild has left the desktop.
func TestARetryDoesNotTakeTheImageOfAFailedRebuildForItsOwn(t *testing.T) {
	failed := desktop.Change{From: "m-old", To: "m-new", State: desktop.ChangeFailed, Updated: at(4)}
	for name, first := range map[string]rollout.Record{"whose answer was lost": unknownC, "that was accepted": acceptedC} {
		for minute, want := range map[float64]events.Status{6: "", 8.9: "", 9: events.StatusAccepted, 11: events.StatusAccepted} {
			s := called(began, "m-new", first, settled(at(5), events.StatusFailed, events.CodeRebuildFailed), retry(at(5.5)))
			f := readAt(at(minute), pc(desktop.Running, "m-new"))
			f.Changes["ecd-1"] = rollout.Read(at(minute), []desktop.Change{failed})
			d := decide(s, fateRules, f, at(minute))
			if status, code := statusOf(d); status != want || len(d.Begin) > 0 || status == "" && d.Next.IsZero() {
				t.Errorf("one %s, minute %g: it is %q %q, looked at again %s, and %v are begun; want %q and nobody", name, minute, status, code, d.Next, d.Begin, want)
			}
		}
	}
}

// The image of a call of unknown delivery proves nothing at once, after a retry either.
func TestARetryDoesNotTakeTheImageForItsOwnAtOnce(t *testing.T) {
	for minute, want := range map[float64]events.Status{3: "", 4.9: "", 5: events.StatusAccepted} {
		s := called(began, "m-new", unknownC, settled(at(2), events.StatusFailed, events.CodeRebuildFailed), retry(at(2.5)))
		f := readAt(at(minute), pc(desktop.Running, "m-new"))
		f.Changes["ecd-1"] = rollout.Read(at(minute), []desktop.Change(nil))
		d := decide(s, fateRules, f, at(minute))
		if status, code := statusOf(d); status != want || len(d.Begin) > 0 {
			t.Errorf("minute %g: it is %q %q, and %v are begun; want %q and nobody", minute, status, code, d.Begin, want)
		}
	}
}

// ECD's record that the rebuild has failed says more than where somebody else has brought the desktop.
func TestARebuildThatHasFailedIsToldAsFailedWhereverTheDesktopIs(t *testing.T) {
	arrived := rollout.Record{Kind: rollout.KindArrived, At: at(3), Desktops: []string{"ecd-1"}}
	for name, c := range map[string]struct {
		image string
		more  []rollout.Record
	}{"on a third image": {"m-third", nil}, "back on its former one": {"m-old", []rollout.Record{arrived}}} {
		f := readAt(at(9), pc(desktop.Running, c.image))
		f.Changes["ecd-1"] = rollout.Read(at(9), []desktop.Change{{From: "m-old", To: "m-new", State: desktop.ChangeFailed, Updated: at(4)}})
		if status, code := statusOf(decide(called(began, "m-new", append([]rollout.Record{acceptedC}, c.more...)...), fateRules, f, at(9))); code != events.CodeRebuildFailed {
			t.Errorf("%s: it is %q %q, want failed RebuildFailed", name, status, code)
		}
	}
}

// A reset that is asked for again is done again: that it succeeded before says nothing.
func TestARetriedResetIsNotTakenForTheOneBefore(t *testing.T) {
	s := called(began, "", acceptedC, settled(at(5), events.StatusFailed, events.CodeCheckFailed), retry(at(5.5)))
	f := readAt(at(7), pc(desktop.Running, "")) // the image is left out
	f.Changes["ecd-1"] = rollout.Read(at(7), []desktop.Change{{From: "m-old", To: "m-old", State: desktop.ChangeSucceeded, Updated: at(4)}})
	if status, code := statusOf(decide(s, fateRules, f, at(7))); status == events.StatusAccepted {
		t.Errorf("it is %q %q, want that it waits to be reset", status, code)
	}
}
