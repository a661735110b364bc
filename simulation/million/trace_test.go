package million

import (
	"fmt"
	"os"
)

var tracing = os.Getenv("REGILD_MILLION_TRACE") != ""

// trace prints what happens, if that is asked for: for a small plan.
func (w *world) trace(format string, args ...any) {
	if tracing {
		fmt.Printf("%s "+format+"\n", append([]any{w.now()}, args...)...)
	}
}
