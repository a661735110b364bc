package rollout_test

import (
	"testing"

	"github.com/regild/regild/internal/rollout"
)

func TestHowManyDesktopsAnOperationIsAbout(t *testing.T) {
	opened := func(op rollout.Operation) rollout.Record {
		return rollout.Record{Kind: rollout.KindOpened, Operation: &op}
	}
	wave := rollout.Record{Kind: rollout.KindWave, Wave: 1, Waves: 2, Name: "canary", Size: 5, Desktops: []string{"ecd-1"}}
	for name, c := range map[string]struct {
		records []rollout.Record
		want    int
	}{
		"nothing is known of it":      {nil, 0},
		"a request":                   {[]rollout.Record{opened(rollout.Operation{ID: "r1", Desktops: []string{"ecd-1", "ecd-2"}})}, 2},
		"a rollout before its waves":  {[]rollout.Record{opened(rollout.Operation{ID: "v1/office", Fleet: "office"})}, 0},
		"a rollout behind its canary": {[]rollout.Record{opened(rollout.Operation{ID: "v1/office", Fleet: "office"}), wave}, 5},
		"a rollback": {[]rollout.Record{opened(rollout.Operation{ID: "v1/office/rollback", Fleet: "office", Undoes: "v1/office",
			Back: map[string][]string{"m-1": {"ecd-1", "ecd-2"}, "m-2": {"ecd-3"}}})}, 3},
	} {
		s := rollout.NewState()
		s.Apply(c.records...)
		if got := s.Extent(); got != c.want {
			t.Errorf("%s: got %d desktops, want %d", name, got, c.want)
		}
	}
}
