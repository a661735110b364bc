package rollout

import (
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// A desktop is given up by a look soon after its time is over, or by two that are an hour apart.
func TestSilenceAloneIsNotOverdue(t *testing.T) {
	for _, c := range []struct {
		name       string
		at, seen   time.Duration // after its time was over
		over, late bool
	}{
		{"before", -1, -time.Hour, false, false},
		{"at once", 0, -time.Hour, true, false},
		{"soon", lateLook - 1, -time.Hour, true, false},
		{"late", lateLook, -time.Hour, false, true},
		{"late, and seen right before it was over", lateLook, -1, false, true},
		{"late, and seen when it was over", lateLook, 0, false, false},
		{"nearly an hour on", 5*time.Hour + readyLimit - 1, 5 * time.Hour, false, false},
		{"an hour on", 5*time.Hour + readyLimit, 5 * time.Hour, true, false},
	} {
		x := &Desktop{SeenAt: MomentOf(noon.Add(c.seen))}
		if over, s := overdue(x, noon.Add(c.at), noon); over != c.over || s.marked(KindLate) != c.late {
			t.Errorf("%s: over %t, noted %t; want %t, %t", c.name, over, s.marked(KindLate), c.over, c.late)
		}
	}
	if over, s := overdueUnread(&Desktop{}, &Unread{Unasked: true}, noon.Add(time.Hour), noon); over || s.marked(KindLate) {
		t.Errorf("a question that was not sent is a look")
	}
}

// A desktop waits for so long for one reason, and anew if it was not tried meanwhile.
func TestSilenceDoesNotEndAWait(t *testing.T) {
	const code, other = events.CodeStatusWait, events.CodeThrottled
	rests := noon.Add(30 * time.Second)
	for _, c := range []struct {
		name       string
		x          Desktop
		at         time.Duration
		over, anew bool
	}{
		{"for a while", Desktop{WaitCode: code, WaitFirst: MomentOf(noon), WaitSince: MomentOf(noon), RestsUntil: rests}, readyLimit - 1, false, false},
		{"for as long as it may", Desktop{WaitCode: code, WaitFirst: MomentOf(noon), WaitSince: MomentOf(noon), RestsUntil: rests}, readyLimit, true, false},
		{"a little longer", Desktop{WaitCode: code, WaitFirst: MomentOf(noon), WaitSince: MomentOf(noon), RestsUntil: rests}, readyLimit + lateLook - 1, true, false},
		{"nobody looked", Desktop{WaitCode: code, WaitFirst: MomentOf(noon), WaitSince: MomentOf(noon), RestsUntil: rests}, readyLimit + lateLook, false, true},
		{"it rested", Desktop{WaitCode: code, WaitFirst: MomentOf(noon), WaitSince: MomentOf(noon), RestsUntil: noon.Add(2 * time.Hour)}, 2*time.Hour + MaxTick, true, false},
		{"it rested, and nobody looked", Desktop{WaitCode: code, WaitFirst: MomentOf(noon), WaitSince: MomentOf(noon), RestsUntil: noon.Add(2 * time.Hour)}, 2*time.Hour + MaxTick + 1, false, true},
		{"it could not be read since", Desktop{WaitCode: other, WaitFirst: MomentOf(noon), WaitSince: MomentOf(noon), Waits: []Wait{{code, noon}}, RestsUntil: rests}, 5 * time.Hour, true, false},
		{"for another reason", Desktop{WaitCode: other, WaitFirst: MomentOf(noon), WaitSince: MomentOf(noon), RestsUntil: rests}, 5 * time.Hour, false, true},
		{"it waits for a week, anew each time", Desktop{WaitCode: code, WaitFirst: MomentOf(noon.Add(2*time.Hour - waitLimit)), WaitSince: MomentOf(noon), RestsUntil: rests}, 2 * time.Hour, true, false},
		{"it waits for almost a week", Desktop{WaitCode: code, WaitFirst: MomentOf(noon.Add(2*time.Hour + 1 - waitLimit)), WaitSince: MomentOf(noon), RestsUntil: rests}, 2 * time.Hour, false, true},
		{"nobody looked for a week", Desktop{WaitCode: code, WaitFirst: MomentOf(noon.Add(-time.Hour)), WaitSince: MomentOf(noon), RestsUntil: rests}, waitLimit, false, true},
	} {
		v := viewOf(&Operation{ID: "r1", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}})
		v.now = clock{noon.Add(c.at)}
		over, s := v.waited(&c.x, code, v.now.t, readyLimit, "it is Starting")
		if over != c.over || (s.outcome != nil) != c.anew {
			t.Errorf("%s: over %t, deferred %t; want %t, %t", c.name, over, s.outcome != nil, c.over, c.anew)
		}
		if s.outcome == nil {
			continue
		}
		if c.x.waitFor(code, v.now.t); c.x.WaitSince.Time() != v.now.t {
			t.Errorf("%s: it waits since %s, want now", c.name, c.x.WaitSince.Time())
		}
	}
	v := viewOf(&Operation{ID: "v1/office", Fleet: "office"})
	resumed := Desktop{WaitCode: code, WaitFirst: MomentOf(noon.Add(-2 * waitLimit)), WaitSince: MomentOf(noon.Add(-time.Hour)), RestsUntil: rests}
	v.s.Resumed = noon
	if over, s := v.waited(&resumed, code, noon.Add(2*time.Hour), readyLimit, ""); over || s.outcome == nil {
		t.Error("a week counts from before it went on")
	}
	v.s.Waiting = &events.Reason{Code: events.CodeWindowClosed}
	if over, _ := v.waited(&Desktop{WaitCode: code, WaitSince: MomentOf(noon), RestsUntil: rests}, code, noon.Add(readyLimit), readyLimit, ""); over {
		t.Error("a wait while the window was closed counts")
	}
}
