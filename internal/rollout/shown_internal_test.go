package rollout

import (
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// minute is a time after the call was begun.
func minute(m float64) time.Time { return noon.Add(time.Duration(m * float64(time.Minute))) }

// lost is a desktop with a call of unknown delivery that ended at once.
func lost(more ...func(*Desktop)) *Desktop {
	x := &Desktop{ID: "ecd-1", Phase: Begun, From: "m-old", BegunAt: MomentOf(noon), CallEnded: MomentOf(noon)}
	for _, f := range more {
		f(x)
	}
	return x
}

func accepted(x *Desktop)   { x.Phase, x.Touched = Accepted, true }
func again(x *Desktop)      { x.Phase, x.Doubtful = Pending, true }
func retried(x *Desktop)    { x.Phase, x.Touched = Pending, true }
func touched(x *Desktop)    { x.Touched = true }
func seenBefore(x *Desktop) { x.Seen, x.SeenAt = true, MomentOf(minute(1)) }
func idle6(x *Desktop)      { x.IdleAt = MomentOf(minute(6)) }

func changed(from, to string, state desktop.ChangeState, m float64) desktop.Change {
	return desktop.Change{From: from, To: to, State: state, Updated: minute(m)}
}

const (
	runs, stopped, rebuilds, starts = desktop.Running, desktop.Stopped, desktop.Rebuilding, desktop.Starting

	changing, succeeded, failed = desktop.Changing, desktop.ChangeSucceeded, desktop.ChangeFailed
)

func TestWhatECDHasShownOfACall(t *testing.T) {
	list := func(c ...desktop.Change) []desktop.Change { return c }
	back := func(state desktop.ChangeState) []desktop.Change { return list(changed("m-new", "m-old", state, 0)) }
	for _, c := range []struct {
		name          string
		x             *Desktop
		status, image string // no status: it is not listed
		changes       []desktop.Change
		m             float64
		want          evidence
		marks         []Kind
	}{
		// ECD's record of the call outweighs all.
		{"under way", lost(), runs, "m-old", list(changed("m-old", "m-new", changing, 1)), 2, shownBegun, nil},
		{"succeeded", lost(), runs, "m-old", list(changed("m-old", "m-new", succeeded, 1)), 2, shownDone, nil},
		{"failed", lost(), runs, "m-new", list(changed("m-old", "m-new", failed, 1)), 9, shownFailed, nil},
		{"failed, and it was accepted", lost(accepted), runs, "m-old", list(changed("m-old", "m-new", failed, 1)), 9, shownFailed, nil},
		{"failed, and it is tried again", lost(retried), runs, "m-new", list(changed("m-old", "m-new", failed, 1)), 9, shownFailed, nil},
		{"failed, and another brought it elsewhere", lost(accepted), runs, "m-third", list(changed("m-old", "m-third", succeeded, 2), changed("m-old", "m-new", failed, 1)), 9, shownFailed, nil},
		{"recorded of one that is not listed", lost(), "", "", list(changed("m-old", "m-new", changing, 1)), 2, shownBegun, nil},
		{"recorded behind a way back", lost(), runs, "m-new", list(changed("m-new", "m-old", failed, 3), changed("m-old", "m-new", succeeded, 2)), 9, shownDone, nil},
		{"as old as clocks may differ by", lost(), runs, "m-old", list(changed("m-old", "m-new", changing, -1)), 2, shownBegun, nil},
		{"older", lost(), runs, "m-old", list(changed("m-old", "m-new", changing, -1.1)), 2, shownNothing, nil},
		{"older behind another", lost(), runs, "m-old", list(changed("m-old", "m-third", failed, -2), changed("m-old", "m-new", changing, 0)), 2, shownNothing, nil},
		{"of a state that nobody knows", lost(), runs, "m-old", list(changed("m-old", "m-new", desktop.ChangeUnknown, 1)), 2, shownNothing, nil},
		{"to another image", lost(), runs, "m-old", list(changed("m-old", "m-third", succeeded, 1)), 2, shownNothing, nil},
		{"from whatever image", lost(), runs, "m-old", list(changed("m-third", "m-new", changing, 1)), 2, shownBegun, nil},

		// A failure that may be another's, of before the call, waits until the call would show.
		{"failed, perhaps before the call", lost(), runs, "m-old", list(changed("m-old", "m-new", failed, 0.9)), 4.9, shownNothing, nil},
		{"failed, and not before the call", lost(), runs, "m-old", list(changed("m-old", "m-new", failed, 1)), 1, shownFailed, nil},
		{"failed, perhaps before the call, and nothing else shows", lost(), runs, "m-old", list(changed("m-old", "m-new", failed, -1)), 5, shownFailed, nil},
		{"failed, perhaps before the call, until after its end", lost(func(x *Desktop) { x.CallEnded = MomentOf(minute(1)) }), runs, "m-new", list(changed("m-old", "m-new", failed, 0.9)), 5.9, shownNothing, []Kind{KindSeen}},
		{"failed before the call, and ours is under way", lost(), runs, "m-old", list(changed("m-old", "m-new", changing, 0.5), changed("m-old", "m-new", failed, -0.5)), 2, shownBegun, nil},
		{"failed before the call, and Rebuilding", lost(), rebuilds, "m-old", list(changed("m-old", "m-new", failed, -0.5)), 2, shownBegun, nil},
		{"failed before the call, and Rebuilding later", lost(), rebuilds, "m-old", list(changed("m-old", "m-new", failed, -0.5)), 9, shownBegun, nil},
		{"failed, perhaps before the call, and accepted", lost(accepted), runs, "m-old", list(changed("m-old", "m-new", failed, 0)), 4.9, shownNothing, nil},
		{"failed, perhaps before the call, and accepted for long", lost(accepted), runs, "m-old", list(changed("m-old", "m-new", failed, 0)), 5, shownFailed, nil},
		{"failed soon, and it is tried again", lost(retried), rebuilds, "m-new", list(changed("m-old", "m-new", failed, 0.5)), 4, shownFailed, nil},
		{"failed, perhaps before the call, and not listed", lost(), "", "", list(changed("m-old", "m-new", failed, 0)), 9, shownNothing, nil},

		// Rebuilding, unless it is for somebody else.
		{"Rebuilding on the former image", lost(), rebuilds, "m-old", nil, 2, shownBegun, nil},
		{"Rebuilding on the new image", lost(), rebuilds, "m-new", nil, 2, shownBegun, nil},
		{"Rebuilding on yet another", lost(), rebuilds, "m-third", nil, 2, shownNothing, []Kind{KindSeen}},
		{"Rebuilding, the image left out", lost(), rebuilds, "", nil, 2, shownNothing, []Kind{KindSeen}},
		{"Rebuilding to another image, which is left out", lost(), rebuilds, "", list(changed("m-old", "m-third", changing, 1)), 2, shownNothing, nil},
		{"Rebuilding to another image", lost(), rebuilds, "m-old", list(changed("m-old", "m-third", changing, 1)), 9, shownNothing, nil},
		{"Rebuilding to the new image since before", lost(), rebuilds, "m-old", list(changed("m-old", "m-new", changing, -2)), 2, shownBegun, nil},
		{"Rebuilding after another's that is over", lost(), rebuilds, "m-old", list(changed("m-old", "m-third", succeeded, 1)), 9, shownBegun, nil},

		// The new image, later.
		{"on the new image at once", lost(), runs, "m-new", nil, 4.9, shownNothing, []Kind{KindSeen}},
		{"and seen there before", lost(seenBefore), runs, "m-new", nil, 4.9, shownNothing, nil},
		{"on the new image", lost(), runs, "m-new", nil, 5, shownDone, nil},
		{"and in a passing status", lost(), starts, "m-new", nil, 5, shownDone, nil},
		{"there by another's failure", lost(), runs, "m-new", back(failed), 9, shownRest, []Kind{KindSeen, KindIdle}},
		{"on its way back", lost(), runs, "m-new", back(changing), 9, shownRest, []Kind{KindSeen, KindIdle}},
		{"on its way back, Rebuilding", lost(), rebuilds, "m-new", back(changing), 9, shownNothing, []Kind{KindSeen}},
		{"back and there again", lost(), runs, "m-new", back(succeeded), 9, shownDone, nil},
		{"by another's failure from an image left out", lost(), runs, "m-new", list(changed("", "m-old", failed, 0)), 9, shownRest, []Kind{KindSeen, KindIdle}},
		{"by another's failure from a third", lost(), runs, "m-new", list(changed("m-third", "m-old", failed, 0)), 9, shownDone, nil},
		{"by another's failure to a third", lost(), runs, "m-new", list(changed("m-new", "m-third", failed, 0)), 9, shownDone, nil},
		{"by another's failure, and one more's to a third", lost(), runs, "m-new", list(changed("m-new", "m-third", failed, 2), changed("m-new", "m-old", failed, 0)), 9, shownRest, []Kind{KindSeen, KindIdle}},
		{"by another's failure, and under way to a third", lost(), runs, "m-new", list(changed("m-new", "m-third", changing, 2), changed("", "m-old", failed, 0)), 9, shownRest, []Kind{KindSeen, KindIdle}},
		{"there by another's success, after a failure", lost(), runs, "m-new", list(changed("m-third", "m-new", succeeded, -2), changed("m-new", "m-old", failed, -3)), 9, shownDone, nil},
		{"on the new image at once, accepted", lost(accepted), runs, "m-new", nil, 2, shownDone, nil},
		{"on the new image at once, an earlier call accepted", lost(retried), runs, "m-new", nil, 2, shownDone, nil},
		{"and one under way", lost(touched), runs, "m-new", nil, 2, shownNothing, []Kind{KindSeen}},
		{"on the new image at once, tried again", lost(again), runs, "m-new", nil, 2, shownNothing, nil},
		{"on the new image, tried again", lost(again), runs, "m-new", nil, 5, shownDone, nil},
		{"there by another's failure, tried again", lost(again), runs, "m-new", back(failed), 9, shownNothing, nil},

		// At rest.
		{"at rest, too soon", lost(), runs, "m-old", nil, 4.9, shownNothing, nil},
		{"at rest", lost(), stopped, "m-old", nil, 5, shownRest, []Kind{KindIdle}},
		{"a settling time after the call's end", lost(func(x *Desktop) { x.CallEnded = MomentOf(minute(1)) }), runs, "m-old", nil, 5.9, shownNothing, nil},
		{"at rest still", lost(idle6), runs, "m-old", nil, 10.9, shownRest, nil},
		{"at rest for long enough", lost(idle6), runs, "m-old", nil, 11, shownNotBegun, nil},
		{"at rest for long enough, but for the call's end", lost(idle6, func(x *Desktop) { x.CallEnded = MomentOf(minute(7)) }), runs, "m-old", nil, 11.9, shownNothing, nil},
		{"there by another's failure for long enough", lost(idle6, seenBefore), runs, "m-new", back(failed), 11, shownNotBegun, nil},
		{"in a passing status", lost(idle6), starts, "m-old", nil, 20, shownNothing, nil},
		{"on a third image", lost(idle6), runs, "m-third", nil, 20, shownNothing, []Kind{KindSeen}},
		{"on a third image, after another's failure", lost(idle6), runs, "m-third", back(failed), 20, shownNothing, []Kind{KindSeen}},
		{"the image left out", lost(idle6), runs, "", nil, 20, shownNothing, nil},
		{"on its former image, and was on the new one", lost(idle6, seenBefore), runs, "m-old", nil, 20, shownNothing, nil},
		{"not listed", lost(idle6), "", "", nil, 20, shownNothing, nil},
		{"a record of a state that nobody knows", lost(idle6), runs, "m-old", list(changed("m-old", "m-new", desktop.ChangeUnknown, 1)), 20, shownNothing, nil},
		{"such a record, too late for a first look", lost(), runs, "m-old", list(changed("m-old", "m-new", desktop.ChangeUnknown, 1)), 6, shownNothing, nil},
		{"such a record of before", lost(idle6), runs, "m-old", list(changed("m-old", "m-new", desktop.ChangeUnknown, -1.1)), 20, shownNotBegun, nil},
		{"such a record as old as clocks may differ by", lost(idle6), runs, "m-old", list(changed("m-old", "m-new", desktop.ChangeUnknown, -1)), 20, shownNothing, nil},
		{"such a record to another image", lost(idle6), runs, "m-old", list(changed("m-old", "m-third", desktop.ChangeUnknown, 1)), 20, shownNotBegun, nil},
		{"a record without the image that is wanted", lost(idle6), runs, "m-old", list(changed("m-old", "", failed, 1)), 20, shownNothing, nil},
		{"a record without a time", lost(idle6), runs, "m-old", list(desktop.Change{From: "m-old", To: "m-new", State: changing}), 20, shownNothing, nil},
		{"a record without a time, to another image", lost(idle6), runs, "m-old", list(desktop.Change{From: "m-old", To: "m-third", State: changing}), 20, shownNotBegun, nil},
		{"at rest, and accepted", lost(accepted, idle6), runs, "m-old", nil, 20, shownNothing, nil},
	} {
		var now *desktop.Desktop
		if c.status != "" {
			now = &desktop.Desktop{ID: "ecd-1", Status: c.status, ImageID: c.image}
		}
		checkShown(t, c.name, c.x.shown("m-new", answers{now: now, changes: c.changes, at: minute(c.m)}), c.want, c.marks)
	}
}

// What was seen after a call counts though others wrote before it could be written down: as long as
// it is about that call, whose delivery is unknown still.
func TestWhatWasSeenCountsThoughOthersWroteFirst(t *testing.T) {
	begun := minute(0).Add(lease)
	for name, c := range map[string]struct {
		x    *Desktop
		kind Kind
		at   time.Time
		want bool
	}{
		"still under way":       {lost(), KindSeen, minute(2), true},
		"at the end of it":      {lost(), KindSeen, minute(0), true},
		"before it":             {lost(), KindSeen, minute(-1), false},
		"its end is not known":  {lost(func(x *Desktop) { x.CallEnded = 0 }), KindSeen, begun, true},
		"it may not be over":    {lost(func(x *Desktop) { x.CallEnded = 0 }), KindSeen, begun.Add(-1), false},
		"seen by others":        {lost(seenBefore), KindSeen, minute(2), false},
		"settled by others":     {lost(accepted), KindSeen, minute(2), false},
		"it was idle":           {lost(), KindIdle, minute(2), false},
		"of somebody not of it": {&Desktop{ID: "ecd-2", Phase: Begun}, KindSeen, minute(2), false},
	} {
		s := NewState()
		s.Desktops = map[string]*Desktop{c.x.ID: c.x}
		records := []Record{{Kind: c.kind, At: c.at, Desktops: []string{"ecd-1"}}}
		got := s.StillSeen(records)
		if (len(got) == 1) != c.want || c.want && !slices.Equal(got[0].Desktops, records[0].Desktops) {
			t.Errorf("%s: got %v", name, got)
		}
		if len(records[0].Desktops) != 1 {
			t.Errorf("%s: what was decided is changed", name)
		}
	}
}

// For a reset the image says nothing.
func TestWhatECDHasShownOfAReset(t *testing.T) {
	for _, c := range []struct {
		name          string
		x             *Desktop
		status, image string
		changes       []desktop.Change
		m             float64
		want          evidence
		marks         []Kind
	}{
		{"its record", lost(), runs, "m-old", []desktop.Change{changed("m-old", "m-old", succeeded, 1)}, 2, shownDone, nil},
		{"its record without the image before", lost(), runs, "m-old", []desktop.Change{changed("", "m-old", failed, 1)}, 2, shownFailed, nil},
		{"a record of somebody else's way here", lost(), runs, "m-old", []desktop.Change{changed("m-third", "m-old", succeeded, 1)}, 2, shownNothing, nil},
		{"somebody else's way here, at rest for long enough", lost(idle6), runs, "m-old", []desktop.Change{changed("m-third", "m-old", succeeded, 1)}, 20, shownNotBegun, nil},
		{"Rebuilding", lost(), rebuilds, "m-old", nil, 2, shownBegun, []Kind{KindSeen}},
		{"Rebuilding, and recorded", lost(), rebuilds, "m-old", []desktop.Change{changed("m-old", "m-old", changing, 1)}, 2, shownBegun, []Kind{KindSeen}},
		{"Rebuilding for somebody else", lost(), rebuilds, "m-old", []desktop.Change{changed("m-old", "m-third", changing, 1)}, 2, shownNothing, nil},
		{"Rebuilding on a third image", lost(), rebuilds, "m-third", nil, 2, shownNothing, nil},
		{"seen Rebuilding before", lost(accepted, seenBefore), rebuilds, "m-old", nil, 2, shownBegun, nil},
		{"accepted, and Rebuilding for whomever", lost(accepted), rebuilds, "m-third", nil, 2, shownNothing, []Kind{KindSeen}},
		{"accepted, and not seen Rebuilding", lost(accepted), runs, "m-old", nil, 20, shownNothing, nil},
		{"accepted, and seen Rebuilding", lost(accepted, seenBefore), runs, "m-old", nil, 2, shownDone, nil},
		{"accepted, seen Rebuilding, and recorded as under way", lost(accepted, seenBefore), runs, "m-old", []desktop.Change{changed("m-old", "m-old", changing, 1)}, 2, shownBegun, nil},
		{"on its image for long", lost(), runs, "m-old", nil, 9, shownRest, []Kind{KindIdle}},
	} {
		now := &desktop.Desktop{ID: "ecd-1", Status: c.status, ImageID: c.image}
		checkShown(t, c.name, c.x.shown("", answers{now: now, changes: c.changes, at: minute(c.m)}), c.want, c.marks)
	}
}

// What cannot be held against the records shows nothing, but is known later.
func TestWhatECDHasShownWhileItsRecordsCannotBeRead(t *testing.T) {
	seen := []Kind{KindSeen}
	for _, c := range []struct {
		name, wanted, status, image string
		marks                       []Kind
	}{
		{"at rest", "m-new", runs, "m-old", nil},
		{"Rebuilding", "m-new", rebuilds, "m-old", seen},
		{"Rebuilding elsewhere, perhaps", "m-new", rebuilds, "m-third", seen},
		{"on the new image", "m-new", runs, "m-new", seen},
		{"a reset, Rebuilding", "", rebuilds, "m-old", nil},
	} {
		a := answers{now: &desktop.Desktop{ID: "ecd-1", Status: c.status, ImageID: c.image}, unread: true, at: minute(20)}
		checkShown(t, c.name, lost().shown(c.wanted, a), shownNothing, c.marks)
		checkShown(t, c.name+", and seen before", lost(seenBefore).shown(c.wanted, a), shownNothing, nil)
	}
}

// ECD's records cost a call for each desktop, and are asked only if they tell more of an
// accepted rebuild.
func TestWhenRecordsTellMore(t *testing.T) {
	for _, c := range []struct {
		wanted, status, image string
		m                     float64
		late, want            bool
	}{
		{"m-new", rebuilds, "m-old", 9, false, false},
		{"m-new", rebuilds, "m-old", 9, true, true},
		{"m-new", runs, "m-new", 9, true, false},
		{"m-new", runs, "m-old", 4.9, false, false},
		{"m-new", runs, "m-old", 5, false, true},
		{"m-new", runs, "m-old", 4, true, true},
		{"m-new", runs, "m-third", 2, false, true},
		{"m-new", runs, "", 4.9, false, false},
		{"m-new", runs, "", 5, false, true},
		{"", rebuilds, "m-old", 9, false, false},
		{"", stopped, "m-old", 2, false, true},
		{"", runs, "", 2, false, false},
	} {
		v := viewOf(&Operation{ID: "r1", Desktops: []string{"ecd-1"}, Spec: desktop.Spec{ImageID: c.wanted}})
		x := lost(accepted)
		x.AcceptedAt = MomentOf(noon)
		if got := v.recordsTell(x, Read(minute(c.m), &desktop.Desktop{ID: "ecd-1", Status: c.status, ImageID: c.image}), c.late); got != c.want {
			t.Errorf("%+v: got %t", c, got)
		}
	}
}

func checkShown(t *testing.T, name string, s shown, want evidence, marks []Kind) {
	t.Helper()
	var got []Kind
	for _, m := range s.marks {
		got = append(got, m.kind)
	}
	if s.evidence != want || !slices.Equal(got, marks) {
		t.Errorf("%s: got %d and marks %v, want %d and %v", name, s.evidence, got, want, marks)
	}
}
