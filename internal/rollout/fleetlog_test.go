package rollout_test

import (
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// entry is a rollout of the image that was made on that day of the month.
func entry(id string, day int, undoes string) rollout.Entry {
	return rollout.Entry{Operation: rollout.Operation{ID: id, Fleet: "office", ReleaseID: id, Undoes: undoes, ImageMade: time.Date(2026, 11, day, 0, 0, 0, 0, time.UTC),
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-" + string(rune('a'+day))}}}
}

func TestWhatMayFollowInAFleetsLog(t *testing.T) {
	v5, v7, back7 := entry("v5", 5, ""), entry("v7", 7, ""), entry("v7/rollback", 7, "v7")
	for name, c := range map[string]struct {
		log   rollout.FleetLog
		w     rollout.Entry
		image bool
		ended bool // the latest
		want  string
	}{
		"the first":              {nil, v5, false, false, ""},
		"a newer one":            {rollout.FleetLog{v5}, v7, false, false, ""},
		"an older one":           {rollout.FleetLog{v7}, v5, false, true, events.CodeDowngrade},
		"a rollback of the last": {rollout.FleetLog{v5, v7}, back7, false, false, ""},
		// A release came between a rollback's check and its entry, and was taken over
		// by the rollback of the release before it.
		"a rollback of what is not the last any more": {rollout.FleetLog{v7, entry("v8", 8, "")}, back7, false, false, events.CodeControlNotPossible},
		"a rollback of nothing":                       {nil, back7, false, false, events.CodeControlNotPossible},
		// A release older than everything stopped the rollback that was under way.
		"older than all, during a rollback":                             {rollout.FleetLog{v5, v7, back7}, entry("v3", 3, ""), false, false, events.CodeDowngrade},
		"older than what is taken back":                                 {rollout.FleetLog{v5, v7, back7}, entry("v6", 6, ""), false, false, events.CodeDowngrade},
		"the same, once that is over":                                   {rollout.FleetLog{v5, v7, back7}, entry("v6", 6, ""), false, true, ""},
		"older than what is left, once it is":                           {rollout.FleetLog{v5, v7, back7}, entry("v3", 3, ""), false, true, events.CodeDowngrade},
		"older than all there was, once it is":                          {rollout.FleetLog{v7, back7}, v5, false, true, events.CodeDowngrade},
		"a newer one, during a rollback":                                {rollout.FleetLog{v5, v7, back7}, entry("v8", 8, ""), false, false, ""},
		"what was taken back, released again":                           {rollout.FleetLog{v5, v7, back7}, entry("v7b", 7, ""), false, true, ""},
		"what was taken back, by a late event":                          {rollout.FleetLog{v5, v7, back7}, entry("v7b", 7, ""), true, true, events.CodeImageReleasedBefore},
		"the same image again, under way":                               {rollout.FleetLog{v5}, entry("v5b", 5, ""), false, false, events.CodeImageReleasedBefore},
		"the same image again, after its end":                           {rollout.FleetLog{v5}, entry("v5b", 5, ""), false, true, ""},
		"an event that tells of what was sent":                          {rollout.FleetLog{v5}, entry("v5b", 5, ""), true, true, events.CodeImageReleasedBefore},
		"an event that tells of a former image":                         {rollout.FleetLog{v5, v7}, entry("v5b", 5, ""), true, true, events.CodeImageReleasedBefore},
		"an event that tells of something newer":                        {rollout.FleetLog{v5}, v7, true, false, ""},
		"an event that tells of what was the image of a rollback alone": {rollout.FleetLog{entry("v9/rollback", 5, "v9")}, entry("v5b", 5, ""), true, true, ""},
		"the image that is being taken back, released again":            {rollout.FleetLog{v5, v7, back7}, entry("v7b", 7, ""), false, false, ""},
		"older than what was taken back before the last":                {rollout.FleetLog{v5, v7, back7, entry("v8", 8, "")}, entry("v6", 6, ""), false, false, events.CodeDowngrade},
		"older than what was taken back before the last, and is left":   {rollout.FleetLog{v5, v7, back7, entry("v5b", 5, "")}, entry("v6", 6, ""), false, false, ""},
		"the same, once the last was taken back too":                    {rollout.FleetLog{v5, v7, back7, entry("v8", 8, ""), entry("v8/rollback", 8, "v8")}, entry("v6", 6, ""), false, true, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := ""
			if why := c.log.MayFollow(c.w.Operation, c.image, c.ended); why != nil {
				got = why.Code
			}
			if got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

// A deployment that changed the options of rebuilds made a release that came again
// look like another one.
func TestAReleaseIsTheSameWhateverTheSettingsSayByNow(t *testing.T) {
	a := entry("v5", 5, "").Operation
	b := a
	b.Language, b.AfterStatus, b.OperateType, b.ImageName = "zh-CN", desktop.Stopped, "replace", "office"
	if !a.Same(b) {
		t.Error("another language makes it another release")
	}
	b.ImageID = "m-other"
	if a.Same(b) {
		t.Error("another image does not make it another release")
	}
}

// A fleet's log is read from whatever records there are, and what it enters is read
// back as it was, but for what stands in the rollout's own journal.
func TestAFleetsLogIsReadBack(t *testing.T) {
	back := entry("v7/rollback", 7, "v7")
	back.Back, back.Message, back.At = map[string][]string{"m-old": {"ecd-1"}}, "m1", start
	entered := back.Entered()
	if entered.Operation.Back != nil || back.Back == nil {
		t.Errorf("entered with %v, and the entry has %v; want the desktops left out of the record alone", entered.Operation.Back, back.Back)
	}
	records := []rollout.Record{
		{Kind: rollout.KindUnplanned, Name: "v7", Digest: "d1"}, {Kind: rollout.KindOpened}, entered,
		{Kind: rollout.KindUnplanned, Name: "v7", Digest: "d1"}, {Kind: rollout.KindUnplanned, Name: "v8", Digest: "d1"}, {Kind: rollout.KindUnplanned, Name: "v7", Digest: "d2"},
		{Kind: rollout.KindTick, Operation: entered.Operation}, {Kind: rollout.KindFreeze, Name: "v7", Digest: "d1"},
	}
	log := rollout.ReadFleetLog(records)
	if len(log) != 1 || log[0].ID != back.ID || log[0].Message != "m1" || !log[0].At.Equal(start) {
		t.Errorf("got %+v, want the one entry", log)
	}
	if got := rollout.PlanRefusals(records, "v7", "d1"); got != 2 {
		t.Errorf("its plan was refused %d times, want 2", got)
	}
}

// A refusal of a plan is known by its message, rollout and plan.
func TestWhichPlanWasRefusedForWhichMessage(t *testing.T) {
	log := []rollout.Record{
		{Kind: rollout.KindUnplanned, Name: "v1/office", Digest: "sha256:1", Message: "m1", Event: "e1"},
		{Kind: rollout.KindUnplanned, Name: "v1/office", Digest: "sha256:1"}, // by an earlier build
		{Kind: rollout.KindOpened, Name: "v2/office", Digest: "sha256:2", Message: "m2"},
	}
	for _, c := range []struct {
		id, digest, message, event string
		want                       bool
	}{
		{"v1/office", "sha256:1", "m1", "", true}, {"v2/office", "sha256:1", "m1", "", false}, {"v1/office", "sha256:2", "m1", "", false},
		{"v1/office", "sha256:1", "m2", "", false}, {"v1/office", "sha256:1", "", "", false}, {"v2/office", "sha256:2", "m2", "", false},
		{"v1/office", "sha256:1", "m2", "e1", true}, {"v1/office", "sha256:1", "m2", "e2", false},
	} {
		if got := rollout.PlanRefusedFor(log, c.id, c.digest, c.message, c.event); got != c.want {
			t.Errorf("%+v: got %t", c, got)
		}
	}
}

// A message whose plan was refused, and which was refused for good later, has the later
// reason: what else the log says of it is none.
func TestWhyAMessageWasRefused(t *testing.T) {
	why := &events.Reason{Code: events.CodeDowngrade, Message: "older"}
	log := []rollout.Record{
		{Kind: rollout.KindUnplanned, Name: "v1/office", Message: "m1"},
		{Kind: rollout.KindRefused, Message: "m2", Reason: &events.Reason{Code: events.CodeJournalFull}},
		{Kind: rollout.KindRefused, Message: "m1", Event: "e1", Reason: why},
	}
	for id, want := range map[[2]string]*events.Reason{{"m1"}: why, {"m3"}: nil, {"m3", "e1"}: why, {"m3", "e3"}: nil} {
		if got := rollout.RefusedBefore(log, id[0], id[1]); got != want {
			t.Errorf("%s: %+v, want %+v", id, got, want)
		}
	}
}
