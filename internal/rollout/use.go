package rollout

import (
	"cmp"
	"slices"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// A UseCount is how much the desktops of a wave were used since they were rebuilt.
type UseCount struct {
	Wave   int       `json:"wave"`
	Used   int       `json:"used"` // desktops that somebody logged on to
	Of     int       `json:"of"`   // desktops that were rebuilt
	Logons int       `json:"logons,omitempty"`
	Failed int       `json:"failed,omitempty"` // of Logons
	At     time.Time `json:"at"`               // when that was asked
}

const (
	// logonTakes is how long after a ticket was given its connection may follow: one
	// that none followed has failed. That is INFERRED; no page says so.
	logonTakes = 5 * time.Minute
	// leastFailed is how many logons must have failed before a share of them halts
	// a rollout: a single failure has other causes.
	leastFailed = 2
)

// countUse counts what was read of the desktops of a wave, of which rebuilt has the
// time at which ECD accepted each one's rebuild.
func countUse(wave int, rebuilt map[string]time.Time, sessions map[string][]desktop.Session, logons []desktop.Event, readAt time.Time) UseCount {
	c := UseCount{Wave: wave, Of: len(rebuilt), At: readAt}
	// Nobody can log on while a desktop is rebuilt, which takes minutes: what is a
	// little older than that is a matter of clocks.
	since := func(id string, at time.Time) bool {
		from, in := rebuilt[id]
		return in && !at.Before(from.Add(clockSkew))
	}
	used := map[string]bool{}
	for id, list := range sessions {
		for _, s := range list {
			used[id] = used[id] || since(id, s.Started)
		}
	}
	tries := map[[2]string][]desktop.Event{}
	for _, e := range logons {
		if since(e.DesktopID, e.At) {
			who := [2]string{e.DesktopID, e.User}
			tries[who] = append(tries[who], e)
			used[e.DesktopID] = used[e.DesktopID] || e.Kind == desktop.ConnectDone
		}
	}
	for _, list := range tries {
		all, failed := countLogons(list, readAt)
		c.Logons += all
		c.Failed += failed
	}
	for id := range rebuilt {
		if used[id] {
			c.Used++
		}
	}
	return c
}

// countLogons counts the logons of one user to one desktop, and how many of them
// failed. Tickets that follow each other closely are one logon: people try again.
// A logon that may still succeed does not count.
func countLogons(list []desktop.Event, readAt time.Time) (all, failed int) {
	list = slices.Clone(list)
	slices.SortStableFunc(list, func(a, b desktop.Event) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Kind, b.Kind)) // a ticket comes before its connection
	})
	var open time.Time // of the last ticket that nothing followed yet; zero: none
	for _, e := range list {
		late := !open.IsZero() && e.At.Sub(open) > logonTakes
		if late {
			all, failed, open = all+1, failed+1, zero
		}
		switch {
		case e.Kind == desktop.ConnectDone:
			all, open = all+1, zero
		case e.Kind == desktop.TicketAsked:
			open = e.At
		}
	}
	if !open.IsZero() && readAt.Sub(open) > logonTakes {
		all, failed = all+1, failed+1
	}
	return all, failed
}

// A useAnswer is what a count means for a rollout.
type useAnswer int

const (
	useWaits useAnswer = iota // for more use, or for somebody to approve
	useProves
	useTooFew
	useFails // too many logons failed
)

// judgeUse says what a count means, and how many desktops are wanted. over says
// that the time for it is over.
func judgeUse(u fleet.Use, c UseCount, over bool) (useAnswer, int) {
	wanted := u.Least.Of(c.Of)
	switch {
	case !u.Failed.IsZero() && c.Failed >= leastFailed && c.Failed > u.Failed.Floor(c.Logons):
		return useFails, wanted
	case c.Used >= wanted:
		return useProves, wanted
	case over && u.Else == fleet.UseHalt && c.Used > 0:
		return useTooFew, wanted
	}
	return useWaits, wanted
}

// usePause returns after how long use is looked at again that did not suffice: often
// enough to go on soon, and seldom enough to cost little. See docs/people.md.
func usePause(u fleet.Use, over bool) time.Duration {
	if over {
		return 6 * time.Hour
	}
	return max(u.Within/4, 10*time.Minute)
}
