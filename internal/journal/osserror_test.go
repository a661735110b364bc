package journal

import (
	"testing"

	"github.com/regild/regild/internal/desktop"
)

func TestOnlyADocumentedCodeOfA429MeansThatNothingWasDone(t *testing.T) {
	for name, c := range map[string]struct {
		status    int
		code      string
		delivery  desktop.Delivery
		throttled bool
	}{
		"documented":           {503, "QpsLimitExceeded", desktop.NotSent, true},
		"documented, as a 429": {429, "TotalQpsLimitExceeded", desktop.NotSent, true},
		"another code":         {429, "FlowControl", desktop.Unknown, true},
		"internal error":       {429, "InternalError", desktop.Unknown, true},
		"a gateway's":          {429, "", desktop.Unknown, true},
	} {
		if delivery, throttled := deliveryOf(c.status, c.code); delivery != c.delivery || throttled != c.throttled {
			t.Errorf("%s: got %v, throttled %t, want %v, throttled %t", name, delivery, throttled, c.delivery, c.throttled)
		}
	}
}
