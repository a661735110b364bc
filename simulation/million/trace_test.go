package million

import (
	"fmt"
	"os"
)

var tracing = os.Getenv("REGILD_MILLION_TRACE") != ""

func (w *world) trace(format string, args ...any) {
	if tracing {
		fmt.Printf("%s "+format+"\n", append([]any{w.now()}, args...)...)
	}
}
