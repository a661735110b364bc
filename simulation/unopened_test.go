package simulation

import (
	"encoding/json"
	"slices"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// What the queue loses of a request that comes instead of its first tick, the sweep makes good
// for: the entry among the open requests has the request (decision 40).

// leftUnopened is a request that a sweep should have sent again, and did not.
const leftUnopened = "sweep-leaves-a-request-unopened"

// An unopened request has an entry with all that it asks for, and a journal perhaps.
type unopened struct {
	id   string
	at   time.Time
	sent time.Time // when a message of it was put on the queue last
}

// entered takes an entry among the open requests.
func (w *world) entered(key string, line []byte) {
	if !w.s.Sweep { // nobody asks for it
		return
	}
	var is struct {
		ID      string
		At      time.Time
		Request json.RawMessage
	}
	_ = json.Unmarshal(line, &is)
	w.indexed[is.ID] = true
	if is.Request != nil {
		w.unopened[key] = &unopened{id: is.ID, at: time.Now()}
	}
}

// unopenedOf returns the entry of a request that comes instead of a tick, or nil.
func (w *world) unopenedOf(id string) *unopened {
	if id == "" || !w.s.Sweep {
		return nil
	}
	return w.unopened[journal.OpenKey(id)]
}

// sentBySweep says whether the timer makes good for a request that is lost on the queue, where
// it comes instead of a tick.
func (w *world) sentBySweep(id string) bool {
	return w.unopenedOf(id) != nil || w.s.Sweep && w.works[id] != nil && w.indexed[id]
}

// isLost says whether a message that is due does not come: the queue has lost it, and the
// timer makes good for that.
func (w *world) isLost(m *message) bool {
	if !m.lost || m.visible.After(time.Now()) {
		return false
	}
	if m.lost = w.sentBySweep(m.head.again()); m.lost {
		w.note("", "Delivery of "+m.work(), "never comes")
		if k := w.works[m.work()]; k != nil {
			k.lostAt = time.Now()
		}
	}
	return m.lost
}

// unopenedYet says whether a request is in the index with all that it asks for, and nobody has
// opened it.
func (w *world) unopenedYet() bool {
	for _, u := range w.unopened {
		if w.works[u.id] == nil {
			return true
		}
	}
	return false
}

// sweptBy holds the end of an invocation that a timer was delivered to against what it had to
// send: whatever nobody has opened in an hour.
func (w *world) sweptBy(i *invocation, err error) {
	if err != nil || i.cutOff || i.frozen || !slices.ContainsFunc(i.messages, func(m *message) bool { return string(m.body) == timer }) {
		return
	}
	for _, u := range w.unopened {
		due := w.works[u.id] == nil && i.began.Sub(u.at) > rollout.MaxTick+2*clocksApart
		onQueue := slices.ContainsFunc(w.messages, func(m *message) bool { return m.work() == u.id }) ||
			slices.ContainsFunc(w.alive, func(o *invocation) bool {
				return slices.ContainsFunc(o.messages, func(m *message) bool { return m.work() == u.id })
			})
		if due && !onQueue && u.sent.Before(i.began) {
			w.breaks(leftUnopened, "request %s was entered among the open ones more than an hour ago, nobody has opened it, and the sweep did not send it again", u.id)
		}
	}
}
