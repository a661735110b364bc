package chaos

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/rollout"
)

// A note is a message on the queue, as far as it says what it is about.
type note struct {
	id   string // of the message
	typ  string
	work string // "" for a release
	n    int    // of a tick
	text string
}

// messagesOf opens what the bridge delivers.
func messagesOf(payload []byte) []note {
	var envelopes []struct {
		Data struct{ MessageID, MessageBody string }
	}
	if err := json.Unmarshal(payload, &envelopes); err != nil {
		return nil
	}
	var out []note
	for _, e := range envelopes {
		out = append(out, open(e.Data.MessageID, []byte(e.Data.MessageBody)))
	}
	return out
}

func open(id string, body []byte) note {
	var e struct {
		Type string `json:"type"`
		Data struct {
			ID        string `json:"id"`
			RequestID string `json:"requestId"`
			RolloutID string `json:"rolloutId"`
			ReleaseID string `json:"releaseId"`
			Action    string `json:"action"`
			N         int    `json:"n"`
		} `json:"data"`
	}
	_ = json.Unmarshal(body, &e) // some are broken on purpose
	d := e.Data
	return note{id, e.Type, d.ID + d.RequestID + d.RolloutID, d.N, strings.TrimSpace(fmt.Sprintf("%s %s%s%s%s %s", strings.TrimPrefix(e.Type, "regild."), d.ID, d.RequestID, d.RolloutID, d.ReleaseID, d.Action))}
}

func about(payload []byte) string {
	var out []string
	for _, m := range messagesOf(payload) {
		text := m.text
		if m.typ == events.TypeTick {
			text = fmt.Sprintf("%s %d", text, m.n)
		}
		out = append(out, text)
	}
	return strings.Join(out, "; ")
}

// forsake notes which works nobody will look at any more, because the messages
// that would have had it done are gone: those given, and those that are no longer
// on the queue. A work that another message names is not among them. The lock is
// held.
func (w *world) forsake(gone []note) {
	pending := map[string]note{}
	for _, m := range w.cloud.MNS.Pending(localcloud.RequestQueue) {
		pending[m.ID] = open(m.ID, m.Body)
	}
	for _, g := range gone {
		delete(pending, g.id)
	}
	works := w.works()
	for id, k := range works {
		named := false
		for _, m := range pending {
			switch m.typ {
			case events.TypeTick:
				named = named || m.work == id && m.n >= k.state.TickN
			case events.TypeRequest, events.TypeControl:
				named = named || m.work == id
			}
		}
		w.lost[id] = w.lost[id] || !named && !(k.state.Closed && k.state.Quiet())
	}
	for _, s := range w.sent {
		w.lost[s.id] = w.lost[s.id] || works[s.id] == nil
	}
	for _, r := range w.releases {
		for _, f := range w.fleets {
			if id := r.id + "/" + f.Name; works[id] == nil {
				w.lost[id] = true
			}
		}
	}
}

// operate does what an operator does when things stand still, and says whether
// anything is on the queue after that.
func (w *world) operate() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	idle := len(w.cloud.MNS.Pending(localcloud.RequestQueue)) == 0
	works := w.works()
	for _, id := range sortedKeys(works) {
		s := works[id].state
		if body := w.goOn(id, s); body != nil {
			w.acted++
			w.send(body)
		} else if idle && (!s.Closed || !s.Quiet()) && !(s.Paused != "" || s.Halted != nil) {
			w.nudge(id, s)
		}
	}
	if idle && w.acted < 200 {
		for _, s := range w.sent {
			if s.valid && !s.dry && works[s.id] == nil && w.lost[s.id] {
				w.note("nobody heard of %s: sent again", s.id)
				w.lost[s.id] = false
				w.unopened++
				w.send(s.body)
			}
		}
		for _, r := range w.releases {
			for _, f := range w.fleets {
				if id := r.id + "/" + f.Name; works[id] == nil && w.lost[id] {
					w.lost[id] = false
					w.unopened++
					w.send(r.body)
				}
			}
		}
	}
	return len(w.cloud.MNS.Pending(localcloud.RequestQueue)) > 0
}

// nudge wakes a work that nothing on the queue would wake. That is needed only
// where the platform did not deliver something again.
func (w *world) nudge(id string, s *rollout.State) {
	if w.nudges++; w.nudges > 50 {
		return
	}
	w.note("nothing would ever look at %s again: woken", id)
	if !w.lost[id] {
		w.breaksLocked("nothing is on the queue for %s, which has not ended, and every message was delivered again", id)
	}
	w.lost[id] = false
	kind := events.TickRequest
	if !s.Operation.Request() {
		kind = events.TickRollout
	}
	body, err := events.Tick{Kind: kind, ID: id, N: s.TickN + 1}.Event("chaos", w.cloud.Clock.Now()).Marshal()
	if err != nil {
		panic(err) // the test is wrong
	}
	w.send(body)
}

// goOn returns what has a rollout go on that stands still until somebody says
// so, and gives it up in the end.
func (w *world) goOn(id string, s *rollout.State) []byte {
	if s.Operation.Request() || s.Closed || s.Superseded != "" || s.Aborted != "" {
		return nil
	}
	var action string
	d := w.dice(uint64(w.acted)<<40 + 1)
	wave := s.Wave()
	switch {
	case w.acted >= 8 && (s.Paused != "" || s.Halted != nil):
		action = events.ActionAbort
	case s.Paused != "":
		action = events.ActionResume
	case s.Halted != nil:
		action = pick(d, events.ActionResume, events.ActionRetry, events.ActionAbort, events.ActionRollback)
		if rollout.Allow(s, action, 0) != nil {
			action = events.ActionResume
		}
	case wave != nil && !wave.EndedAt.IsZero() && wave.Approved == "" && s.Waiting != nil && s.Waiting.Code == events.CodeApprovalAwaited:
		action = events.ActionApprove
	default:
		return nil
	}
	w.note("operator: %s %s", action, id)
	return message(events.TypeControl, fmt.Sprintf("op%d", w.acted), id, events.Control{RolloutID: id, Action: action, By: "operator", Reason: "it stands still"})
}
