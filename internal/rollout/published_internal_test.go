package rollout

import (
	"testing"

	"github.com/regild/regild/events"
)

// What is published is not kept.
func TestWhatIsPublishedIsForgotten(t *testing.T) {
	ids := []string{"ecd-1", "ecd-2"}
	for name, took := range map[string]Record{
		"by id":   {Kind: KindPublished, Outcomes: []Group{{Status: events.StatusSkipped, Desktops: ids}}},
		"by line": {Kind: KindPublished, UpTo: 2, N: 2},
	} {
		s := NewState()
		s.Apply(Record{Kind: KindOpened, Operation: &Operation{ID: "r1", Desktops: ids}},
			Record{Kind: KindSettled, Outcomes: []Group{{Status: events.StatusSkipped, Code: events.CodeAlreadyOnImage, Desktops: ids}}}, took)
		if !s.Quiet() || len(s.untold) > 0 {
			t.Errorf("%s: got %+v", name, s.untold)
		}
	}
}
