package rollout

import (
	"testing"
	"testing/quick"
	"time"

	"github.com/regild/regild/internal/desktop"
)

func TestWhoCountsAsUsingADesktop(t *testing.T) {
	day := time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)
	session := func(user, status string, started time.Time, idle time.Duration) desktop.Session {
		return desktop.Session{User: user, Status: status, Started: started, Idle: idle, IdleKnown: idle > 0}
	}
	const on, off = desktop.Connected, desktop.Disconnected
	for _, c := range []struct {
		name       string
		connection string
		users      []string
		sessions   []desktop.Session
		want       bool
	}{
		{"idle for 59 minutes", on, []string{"ann"}, []desktop.Session{session("ann", on, day, 59*time.Minute)}, false},
		{"idle for an hour", on, []string{"ann"}, []desktop.Session{session("ann", on, day, time.Hour)}, true},
		{"disconnected for an hour", off, []string{"ann"}, []desktop.Session{session("ann", off, day, time.Hour)}, true},
		{"disconnected for less", off, []string{"ann"}, []desktop.Session{session("ann", off, day, time.Hour-time.Second)}, false},
		{"the field is missing", off, []string{"ann"}, []desktop.Session{session("ann", off, day, 0)}, false},
		{"no session is listed", off, []string{"ann"}, nil, false},
		{"nobody, and no session", off, nil, nil, true},
		{"another's session is listed", off, []string{"ann"}, []desktop.Session{session("bob", off, day, time.Hour)}, false},
		{"one of two is at work", on, []string{"ann", "bob"}, []desktop.Session{session("ann", on, day, time.Hour), session("bob", on, day, time.Minute)}, false},
		{"both are idle", on, []string{"ann", "bob"}, []desktop.Session{session("ann", on, day, time.Hour), session("bob", off, day, 2*time.Hour)}, true},
		{"somebody is connected whom DescribeDesktops does not name", off, nil, []desktop.Session{session("bob", on, day, time.Minute)}, false},
		{"connected, and no session says so", on, []string{"ann"}, []desktop.Session{session("ann", off, day, time.Hour)}, false},
		{"the connection is not known", "Unknown", []string{"ann"}, []desktop.Session{session("ann", off, day, time.Hour)}, false},
		{"the connection is left out", "", []string{"ann"}, []desktop.Session{session("ann", off, day, time.Hour)}, false},
		{"an older session is over", on, []string{"ann"}, []desktop.Session{session("ann", off, day.Add(-time.Hour), 0), session("ann", on, day, time.Hour)}, true},
		{"the newer of two says nothing", off, []string{"ann"}, []desktop.Session{session("ann", off, day, 0), session("ann", off, day.Add(-time.Hour), time.Hour)}, false},
		{"which is newer is not known", off, []string{"ann"}, []desktop.Session{session("ann", off, time.Time{}, 0), session("ann", off, day, time.Hour)}, false},
		{"two began at once, and the first is idle", off, []string{"ann"}, []desktop.Session{session("ann", off, day, time.Hour), session("ann", off, day, 0)}, false},
		{"two began at once, and both are idle", off, []string{"ann"}, []desktop.Session{session("ann", off, day, time.Hour), session("ann", off, day, 2*time.Hour)}, true},
		{"for how long is not known", off, []string{"ann"}, []desktop.Session{{User: "ann", Status: off, Started: day, Idle: time.Hour}}, false},
		{"two began at once", off, []string{"ann"}, []desktop.Session{session("ann", off, day, 0), session("ann", off, day, time.Hour)}, false},
		{"a newer session names nobody", off, []string{"ann"}, []desktop.Session{session("ann", off, day, time.Hour), session("", off, day.Add(time.Hour), time.Minute)}, false},
		{"whose session it is is not known", off, []string{"unknown"}, []desktop.Session{session("", off, day, time.Hour)}, false},
	} {
		if got := atRest(&desktop.Desktop{Connection: c.connection, Users: c.users}, c.sessions, time.Hour); got != c.want {
			t.Errorf("%s: nobody uses it: %t, want %t", c.name, got, c.want)
		}
	}
}

// Taking away what is known of a session never makes a desktop look less used.
func TestWhatIsNotKnownNeverMakesADesktopIdle(t *testing.T) {
	if err := quick.Check(func(idle []uint16, hide uint8, connected uint8) bool {
		if len(idle) == 0 {
			return true
		}
		d := &desktop.Desktop{Connection: desktop.Disconnected}
		var all []desktop.Session
		for i, m := range idle {
			s := desktop.Session{User: string(rune('a' + i%5)), Status: desktop.Disconnected, Started: time.Unix(int64(i)*60, 0), Idle: time.Duration(m%120) * time.Minute, IdleKnown: true}
			if i%7 == int(connected%7) {
				s.Status, d.Connection = desktop.Connected, desktop.Connected
			}
			all = append(all, s)
			d.Users = append(d.Users, s.User)
		}
		before := atRest(d, all, time.Hour)
		all[int(hide)%len(all)].IdleKnown = false
		return before || !atRest(d, all, time.Hour)
	}, &quick.Config{MaxCount: 2000}); err != nil {
		t.Error(err)
	}
}
