package ecd

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// sessionsAnswer is an answer with n sessions of a user, and what it says besides.
func sessionsAnswer(n int, desktop, rest string) string {
	one := fmt.Sprintf(`{"DesktopId":%q,"EndUserId":"ann","SessionStatus":"Disconnected","SessionIdleTime":7200}`, desktop)
	return `{"RequestId":"REQ-1","Sessions":[` + strings.TrimSuffix(strings.Repeat(one+",", n), ",") + `]` + rest + `}`
}

// Whoever is on a page that is not read would count as absent.
func TestSessionsAreReadToTheEndWhateverTheirCountSays(t *testing.T) {
	for _, count := range []string{``, `,"TotalCount":null`, `,"TotalCount":0`, `,"TotalCount":"many"`, `,"TotalCount":-1`, `,"TotalCount":101`} {
		s := serve(t, func(w http.ResponseWriter, r *http.Request, _ int) {
			n := map[string]int{"1": 100, "2": 1}[r.URL.Query().Get("PageNumber")]
			say(200, sessionsAnswer(n, "ecd-1", count))(w, r, 0)
		})
		got, err := client(t, s).Sessions(t.Context(), region, []string{"ecd-1"}, time.Time{})
		if err != nil || len(got["ecd-1"]) != 101 {
			t.Errorf("%s: got %d sessions (%v), want 101", count, len(got["ecd-1"]), err)
		}
	}
}

func TestASessionThatNamesNoDesktopIsOneThatCannotBeRead(t *testing.T) {
	s := serve(t, say(200, sessionsAnswer(1, "", `,"TotalCount":1`)))
	if got, err := client(t, s).Sessions(t.Context(), region, []string{"ecd-1", "ecd-2"}, time.Time{}); err == nil {
		t.Errorf("got %+v, want an error", got)
	}
}
