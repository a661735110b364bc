package fc_test

import (
	"testing"

	"github.com/regild/regild/internal/localcloud/fc"
)

func TestThePeakMemoryIsTheProcessesOwn(t *testing.T) {
	ballast := make([]byte, 256<<20) // a child's ru_maxrss would count it
	for i := 0; i < len(ballast); i += 4096 {
		ballast[i] = 1
	}
	h := start(t, fc.Function{})
	echoed(t, h, `{}`)
	got := h.Instances()[0].PeakRSS
	if got < 1<<20 || got > 128<<20 {
		t.Errorf("peak memory is %d bytes, want that of a small function", got)
	}
	ballast[0]++
}
