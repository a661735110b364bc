package chaos

import (
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/rollout"
)

// A telling is one message that the world was told.
type telling struct {
	Type string          `json:"type"`
	ID   string          `json:"id"`
	Data json.RawMessage `json:"data"`
}

// judge holds what happened against what is promised.
func (w *world) judge() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.logs = w.journals()
	works := w.works()
	if n := len(w.cloud.MNS.Pending(localcloud.RequestQueue)); n > 0 {
		w.breaksLocked("%d messages are left on the request queue", n)
	}
	if all := w.desktops().Wipes(); len(all) != len(w.wipes) {
		w.breaksLocked("ECD wiped %d times, of which %d were seen", len(all), len(w.wipes))
	}
	if n := len(w.cloud.Wipes()); n != len(w.wipes) {
		w.breaksLocked("%d desktops were wiped in an account that nobody asked for", n-len(w.wipes))
	}
	if strings.Contains(w.log.String(), "WARNING: DATA RACE") {
		w.breaksLocked("the function has a data race")
	}
	finals, ends := w.heard()
	owners := w.assign(works)
	for _, id := range sortedKeys(works) {
		w.judgeWork(works[id], finals[id], ends[id], owners[id])
		w.audit(works[id])
	}
	for _, s := range w.sent {
		if works[s.id] == nil && s.valid && !s.dry {
			w.breaksLocked("request %s was never opened", s.id)
		}
	}
	w.desktopsLeft()
	w.figures.works = len(works)
	for _, k := range works {
		if !k.state.Operation.Request() {
			w.figures.rollouts++
		}
	}
}

// heard reads what was published: the final outcomes by work and desktop, each
// id once, and the digests with which works were said to have ended.
func (w *world) heard() (finals map[string]map[string][]events.Outcome, ends map[string][]string) {
	finals, ends = map[string]map[string][]events.Outcome{}, map[string][]string{}
	w.figures.told = map[string]int{}
	seen := map[string]bool{}
	for _, p := range w.cloud.MNS.Published(localcloud.ResultTopic) {
		var t telling
		if err := json.Unmarshal(p.Body, &t); err != nil {
			w.breaksLocked("%s was published, which is no JSON: %v", p.Body, err)
			continue
		}
		w.outcomes++
		var data struct {
			events.Outcome
			RolloutID string
			Digest    string
		}
		if err := json.Unmarshal(t.Data, &data); err != nil {
			w.breaksLocked("%s was published, which cannot be read: %v", p.Body, err)
			continue
		}
		w.figures.told[w.what(t, data.Outcome)]++
		if seen[t.ID] {
			continue
		}
		seen[t.ID] = true
		switch o := data.Outcome; {
		case t.Type == events.TypeOutcome:
			if o.DryRun || o.Status == events.StatusDeferred || o.Status == events.StatusAccepted || asAWhole(o.Code) {
				continue
			}
			if finals[o.RequestID] == nil {
				finals[o.RequestID] = map[string][]events.Outcome{}
			}
			finals[o.RequestID][o.DesktopID] = append(finals[o.RequestID][o.DesktopID], o)
		case t.Type == events.TypeFinished:
			ends[o.RequestID] = append(ends[o.RequestID], data.Digest)
		case data.RolloutID != "" && data.Digest != "" && t.Type != events.RolloutPlan.Type(): // completed, rolled back, aborted or superseded
			ends[data.RolloutID] = append(ends[data.RolloutID], data.Digest)
		}
	}
	return finals, ends
}

func (w *world) what(t telling, o events.Outcome) string {
	if t.Type == events.TypeOutcome {
		return string(o.Status) + " " + o.Code
	}
	return strings.TrimSuffix(strings.TrimPrefix(t.Type, "regild."), ".v1")
}

// asAWhole says whether a code refuses a request as a whole: there is no work
// behind it, but there may be one of the same name.
func asAWhole(code string) bool {
	return code == events.CodeRequestIdReused || code == events.CodeInvalidRequest || code == events.CodePlanChanged
}

// assign says for each work how often each desktop was wiped for it. A wipe that
// two works may have called for at the same moment belongs to the one whose
// journal names ECD's request id, else to the one that has fewer. One that wants
// another image did not call for it.
func (w *world) assign(works map[string]*work) map[string]map[string]int {
	out := map[string]map[string]int{}
	for id := range works {
		out[id] = map[string]int{}
	}
	for _, x := range w.wipes {
		best := ""
		for _, id := range x.owners {
			named := slices.ContainsFunc(works[id].log, func(r rollout.Record) bool { return r.RequestID == x.RequestID })
			if named {
				best = id
				break
			}
			if spec := works[id].state.Operation.SpecOf(x.DesktopID); spec.Reset() != x.Reset || !spec.Reset() && spec.ImageID != x.ImageID {
				continue
			}
			if best == "" || out[id][x.DesktopID] < out[best][x.DesktopID] {
				best = id
			}
		}
		if best != "" {
			out[best][x.DesktopID]++
		}
	}
	return out
}

// judgeWork holds one work against the promise.
func (w *world) judgeWork(k *work, finals map[string][]events.Outcome, ends []string, wiped map[string]int) {
	s, retries := k.state, 0
	cut := rollout.NewState()
	for _, r := range k.log {
		if r.Kind == rollout.KindControl && r.Action == events.ActionRetry {
			retries++
		}
		cut.Apply(r)
	}
	if !reflect.DeepEqual(cut, s) {
		w.breaksLocked("journal %s folds otherwise when it is cut otherwise", k.id)
	}
	if !s.Closed || !s.Quiet() {
		w.breaksLocked("%s is left: closed %t, all told %t, halted %v, paused %q, superseded %q", k.id, s.Closed, s.Quiet(), s.Halted, s.Paused, s.Superseded)
	}
	var ids []string
	for _, id := range s.Order {
		x, got := s.Desktops[id], finals[id]
		if n := wiped[id]; n > 1+retries {
			w.breaksLocked("%s was wiped %d times for %s, with %d retries", id, n, k.id, retries)
		}
		if x.Phase != rollout.Final {
			w.breaksLocked("%s has not ended under %s", id, k.id)
			continue
		}
		last := rollout.OutcomeID(k.id, id, x.Last.Status, 1)
		told := slices.IndexFunc(got, func(o events.Outcome) bool { return o.Status == x.Last.Status })
		if told < 0 {
			w.breaksLocked("%s ended as %s under %s and the world was not told: %v", id, x.Last.Status, k.id, got)
			continue
		}
		if len(got) > 1+retries {
			w.breaksLocked("%s ended %d times under %s with %d retries: %v", id, len(got), k.id, retries, got)
		}
		ids = append(ids, last)
		w.truthful(k, got[len(got)-1], wiped[id], retries)
	}
	switch want := events.Digest(ids); {
	case len(ends) != 1:
		w.breaksLocked("%s was said to have ended %d times", k.id, len(ends))
	case ends[0] != s.Digest:
		w.breaksLocked("%s was said to have ended with digest %s, its journal has %s", k.id, ends[0], s.Digest)
	case retries == 0 && ends[0] != want:
		w.breaksLocked("%s ended with digest %s, its outcomes have %s", k.id, ends[0], want)
	}
}

// truthful holds a final outcome against what really happened.
func (w *world) truthful(k *work, o events.Outcome, wiped, retries int) {
	there := slices.ContainsFunc(w.wipes, func(x *wipe) bool {
		return x.DesktopID == o.DesktopID && (o.ImageID == "" || x.ImageID == o.ImageID)
	})
	switch x := w.declared(o.DesktopID); {
	case o.Status == events.StatusCompleted && x.EndsAs == "fail":
		w.breaksLocked("%s of %s is said to be completed, and every rebuild of it fails", o.DesktopID, k.id)
	case o.Status == events.StatusCompleted && !there:
		w.breaksLocked("%s of %s is said to be completed, and was never rebuilt to %q", o.DesktopID, k.id, o.ImageID)
	case (o.Status == events.StatusSkipped || o.Status == events.StatusRefused) && wiped > 0 && retries == 0:
		w.breaksLocked("%s of %s is said to be %s (%s), and was wiped for it", o.DesktopID, k.id, o.Status, o.Code)
	}
}

// audit replays a journal and asks at each record whether it may be there.
func (w *world) audit(k *work) {
	s := rollout.NewState()
	for _, r := range k.log {
		if r.Kind == rollout.KindBegun {
			w.auditBegun(k, s, r)
		}
		if r.Kind == rollout.KindWave {
			w.auditWave(k, s, r)
		}
		was := map[string]bool{}
		for id, d := range s.Desktops {
			was[id] = d.Phase == rollout.Final
		}
		s.Apply(r)
		for id, final := range was {
			if final && s.Desktops[id].Phase != rollout.Final && (r.Kind != rollout.KindControl || r.Action != events.ActionRetry) {
				w.breaksLocked("%s: %s came back from its end by %s", k.id, id, r.Kind)
			}
		}
	}
}

// stopped says whether nothing may begin, whatever the facts.
func stopped(s *rollout.State) bool {
	return s.Paused != "" || s.Halted != nil || s.Aborted != "" || s.Superseded != ""
}

func (w *world) auditBegun(k *work, s *rollout.State, r rollout.Record) {
	if stopped(s) || s.Closed {
		w.breaksLocked("%s: %v begun after it was stopped", k.id, r.Desktops)
	}
	running := len(r.Desktops)
	for _, id := range r.Desktops {
		if d := s.Desktops[id]; d == nil || d.Phase != rollout.Pending {
			w.breaksLocked("%s: %s begun and not pending", k.id, id)
		}
	}
	for _, d := range s.Desktops {
		if d.Phase == rollout.Begun || d.Phase == rollout.Accepted {
			running++
		}
	}
	for _, f := range w.fleets {
		if most := f.Strategy.AtOnce(s.Size); f.Name == s.Operation.Fleet && running > most {
			w.breaksLocked("%s: %d are under way, %d may be", k.id, running, most)
		}
	}
}

func (w *world) auditWave(k *work, s *rollout.State, r rollout.Record) {
	last := s.Wave()
	if stopped(s) {
		w.breaksLocked("%s: wave %d after it was stopped", k.id, r.Wave)
	}
	for _, f := range w.fleets {
		if last == nil || f.Name != s.Operation.Fleet {
			continue
		}
		switch {
		case r.Wave == last.N && r.Of > 0 && last.EndedAt.IsZero(): // a canary that has shown nothing grows
			if r.Wave > 1 || s.Operation.Undoes != "" || shows(s) {
				w.breaksLocked("%s: wave %d grows, and shows already what the image does", k.id, r.Wave)
			}
		case r.Wave <= last.N:
			w.breaksLocked("%s: wave %d after wave %d", k.id, r.Wave, last.N)
		case last.EndedAt.IsZero():
			w.breaksLocked("%s: wave %d before wave %d has ended", k.id, r.Wave, last.N)
		case last.N < s.Planned && f.Strategy.Approval.After(last.N, false) && last.Approved == "":
			w.breaksLocked("%s: wave %d without approval after wave %d", k.id, r.Wave, last.N)
		case last.N < s.Planned && r.At.Before(last.EndedAt.Add(f.Strategy.Soak)):
			w.breaksLocked("%s: wave %d while wave %d soaks", k.id, r.Wave, last.N)
		}
	}
}

// shows says whether a desktop shows what the image does: it was rebuilt, well or
// badly, or had the image already.
func shows(s *rollout.State) bool {
	for _, d := range s.Desktops {
		if d.Touched || d.Last.Code == events.CodeAlreadyOnImage {
			return true
		}
	}
	return false
}

// desktopsLeft looks at how the desktops were left.
func (w *world) desktopsLeft() {
	stops := slices.ContainsFunc(w.sent, func(s sent) bool { return s.req.AfterStatus == ecd.Stopped })
	wipes := map[string]int{}
	for _, x := range w.wipes {
		wipes[x.DesktopID]++
	}
	for _, d := range w.desktops().Desktops() {
		was := w.declared(d.ID)
		if d.Maintenance && !was.Maintenance {
			w.breaksLocked("%s was left in maintenance mode", d.ID)
		}
		// Of works that rebuild one desktop in turns, none knows who stopped it.
		if d.Status == ecd.Stopped && (was.Status == "" || was.Status == ecd.Running) && !stops && wipes[d.ID] < 2 {
			w.breaksLocked("%s was left stopped", d.ID)
		}
	}
}

// sum counts what the schedule came to.
func (w *world) sum() {
	w.schedules, w.findings = 1, len(w.broken)
	w.figures.wipes = len(w.wipes)
	w.strikes = w.cloud.Faults.Struck()
	w.cloudTime = w.cloud.Clock.Now().Sub(begin)
	for _, n := range w.cloud.Faults.Calls() {
		w.calls += n
	}
}

// story tells what was broken, how to see it again and what happened.
func (w *world) story() string {
	var out strings.Builder
	fmt.Fprintf(&out, "%s\nbreaks:\n\t%s\n", w.rerun, strings.Join(w.broken, "\n\t"))
	most := 60_000
	if os.Getenv("REGILD_CHAOS_SEED") != "" {
		most = 100_000_000
	}
	trace := strings.Join(w.trace, "\n")
	if len(trace) > most {
		trace = trace[:most/4] + "\n…\n" + trace[len(trace)-most*3/4:]
	}
	fmt.Fprintf(&out, "fleets.yaml:\n%s\n%s\n", w.yaml, trace)
	for _, key := range sortedKeys(w.logs) {
		log := w.logs[key]
		fmt.Fprintf(&out, "journal %s:\n%.*s\n…\n%s\n", key, min(len(log), most/12), log, log[max(0, len(log)-most/12):])
	}
	return out.String()
}
