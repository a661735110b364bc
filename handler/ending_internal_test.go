package handler

import (
	"testing"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// The timer and the next rollout of a fleet look no further into a journal that has an
// ending: so there is none before the last event and the last outcome are told, whichever
// MNS takes last.
func TestNoEndingIsNotedBeforeAllIsTold(t *testing.T) {
	fresh := func() *rollout.State {
		s := rollout.NewState()
		s.Apply(rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "v1/office", Fleet: "office", ReleaseID: "v1", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
			rollout.Record{Kind: rollout.KindWave, Wave: 1, Waves: 1, Size: 2, Desktops: []string{"ecd-1", "ecd-2"}},
			rollout.Record{Kind: rollout.KindSettled, Outcomes: []rollout.Group{{Status: events.StatusSkipped, Code: events.CodeSuperseded, Desktops: []string{"ecd-1", "ecd-2"}}}},
			rollout.Record{Kind: rollout.KindClosed})
		return s
	}
	var told []string
	for _, e := range fresh().UnpublishedEvents {
		told = append(told, e.ID())
	}
	outcome := func(n int, ids ...string) rollout.Record {
		return rollout.Record{Kind: rollout.KindPublished, Outcomes: []rollout.Group{{Status: events.StatusSkipped, N: n, Desktops: ids}}}
	}
	news := func(ids ...string) rollout.Record { return rollout.Record{Kind: rollout.KindPublished, Events: ids} }
	last := len(told) - 1
	for name, c := range map[string]struct {
		before  []rollout.Record
		records []rollout.Record
		want    bool
	}{
		"all at once":                  {nil, []rollout.Record{outcome(0, "ecd-1", "ecd-2"), news(told...)}, true},
		"all but the last event":       {nil, []rollout.Record{outcome(0, "ecd-1", "ecd-2"), news(told[:last]...)}, false},
		"the last event":               {[]rollout.Record{outcome(0, "ecd-1", "ecd-2"), news(told[:last]...)}, []rollout.Record{news(told[last:]...)}, true},
		"all but an outcome":           {nil, []rollout.Record{outcome(0, "ecd-1"), news(told...)}, false},
		"an outcome of another number": {nil, []rollout.Record{outcome(2, "ecd-1", "ecd-2"), news(told...)}, false},
		"the last outcome":             {[]rollout.Record{outcome(0, "ecd-1"), news(told...)}, []rollout.Record{outcome(0, "ecd-2")}, true},
		"something else besides":       {nil, []rollout.Record{outcome(0, "ecd-1", "ecd-2"), news(told...), {Kind: rollout.KindTick, N: 1}}, false},
		"nothing":                      {[]rollout.Record{outcome(0, "ecd-1", "ecd-2"), news(told...)}, nil, false},
	} {
		s := fresh()
		s.Apply(c.before...)
		noteEnding(s, c.records)
		for i, r := range c.records {
			if got, want := r.Ending != nil, c.want && i == len(c.records)-1; got != want {
				t.Errorf("%s: record %d has an ending: %t, want %t", name, i, got, want)
			}
		}
	}
	open := rollout.NewState()
	open.Apply(rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: "r1"}})
	records := []rollout.Record{outcome(0)}
	if noteEnding(open, records); records[0].Ending != nil {
		t.Error("what is open has an ending")
	}
}
