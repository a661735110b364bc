package rollout

import (
	"cmp"
	"slices"
	"strconv"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// This file is about how records change a state: one function for each kind or sort
// of kinds, named in forms.

// Apply folds records into the state.
func (s *State) Apply(records ...Record) {
	for i := range records {
		s.apply(&records[i])
		s.records++
	}
}

// apply folds one record by the rule of its kind. Kinds that this build does not
// know are ignored, and nothing means anything before the operation was opened.
func (s *State) apply(r *Record) {
	rule := forms[r.Kind].fold
	opens := r.Kind == KindOpened || r.Kind == KindBack
	if rule != nil && ((s.Operation == nil) == opens || r.Kind == KindUnplanned || r.Kind == KindRefused) {
		rule(s, r)
	}
}

// each folds a record into each of its desktops that the operation has.
func each(rule func(*Desktop, *Record)) func(*State, *Record) {
	return func(s *State, r *Record) {
		for _, id := range r.Desktops {
			if d := s.Desktops[id]; d != nil {
				rule(d, r)
			}
		}
	}
}

// outcomes folds what became of desktops.
func (s *State) outcomes(r *Record) {
	for _, g := range r.Outcomes {
		for _, id := range g.Desktops {
			s.outcome(r, g, id)
		}
	}
}

func (s *State) tick(r *Record) {
	s.Indexed = s.Indexed || r.Indexed
	if r.N > s.TickN {
		s.TickN, s.TickAt, s.AgainAt = r.N, r.Until, r.Again
		s.looked.ticked(r)
	}
}

func (s *State) waiting(r *Record) {
	s.resume(r)
	s.Waiting, s.WaitingAt, s.Rings = r.Reason, r.At, r.Rings
	if r.Reason != nil {
		s.emit(events.RolloutWaiting, r, r.Reason, "")
	}
}

func (s *State) halted(r *Record) {
	s.Halted = r.Reason
	s.backOut(r)
	s.emit(events.RolloutHalted, r, r.Reason, "")
}

func (s *State) superseded(r *Record) {
	if s.Superseded == "" {
		s.Superseded = r.Who
		s.emit(events.RolloutSuperseded, r, r.Reason, r.Who)
	}
}

// refusePlan may come before anything was opened, and mostly does.
func (s *State) refusePlan(r *Record) {
	if s.PlansRefused == nil {
		s.PlansRefused = map[string]int{}
	}
	s.PlansRefused[r.Digest]++
	if r.Message != "" {
		s.refuse(r)
	}
}

// refuse notes that a message is not followed. What was said first counts.
func (s *State) refuse(r *Record) {
	told := cmp.Or(s.Answers[r.Message], s.Answers[r.Event])
	if told == nil {
		why := r.Reason
		if why == nil { // an earlier build wrote down that the plan was refused, and not what it told
			why = &events.Reason{Code: events.CodePlanChanged, Message: PlanChanged}
		}
		told = s.Refusal(why)
	}
	for _, id := range []string{r.Message, r.Event} {
		if id != "" { // an answer under "" would be that of every order without an event
			s.Answers[id] = cmp.Or(s.Answers[id], told)
		}
	}
	if r.Message != "" {
		s.Refusals[r.Message] = true
	}
}

// Refusal is that a message is not followed as the operation stands now.
func (s *State) Refusal(why *events.Reason) *Refusal {
	out := Refusal{Reason: why, Opened: s.Operation != nil, Waves: s.Planned, Counts: s.Counts()}
	if w := s.Wave(); w != nil {
		out.Wave = w.N
	}
	return &out
}

func (s *State) takeOn(r *Record) {
	if r.Operation == nil {
		return
	}
	s.Operation, s.OpenedAt = r.Operation, r.At
	s.Operation.index(s.back)
	s.back = nil
	if s.Operation.Request() {
		s.Waves = []Wave{{N: 1, Desktops: r.Operation.Desktops, BegunAt: r.At}}
		s.add(r.Operation.Desktops, 1)
		return
	}
	s.emit(events.RolloutStarted, r, r.Operation.reason(), r.Operation.By)
}

// takeBack notes which desktops go back to an image. It may be written twice, when an
// invocation was ended before the rollback was opened.
func (s *State) takeBack(r *Record) {
	if s.back == nil {
		s.back = map[string]string{}
	}
	for _, id := range r.Desktops {
		s.back[id] = r.Name
	}
}

func (s *State) add(ids []string, wave int) {
	if len(s.Desktops) == 0 {
		s.Desktops = make(map[string]*Desktop, len(ids))
	}
	fresh := make([]Desktop, 0, len(ids)) // one allocation for all of them
	for _, id := range ids {
		if s.Desktops[id] == nil {
			fresh = append(fresh, Desktop{ID: id, Wave: wave})
			s.Desktops[id] = &fresh[len(fresh)-1]
		}
	}
	if s.Order == nil && len(fresh) == len(ids) {
		s.Order = slices.Clip(ids) // nobody changes what is in it
		return
	}
	for i := range fresh {
		s.Order = append(s.Order, fresh[i].ID)
	}
}

func (s *State) beginWave(r *Record) {
	if w := s.Wave(); w != nil && r.Wave == w.N && (!w.whole() || w.EndedAt.IsZero() && r.Of > len(w.Desktops)) {
		s.continueWave(w, r)
		return
	}
	if len(s.Waves) > 0 && r.Wave <= s.Waves[len(s.Waves)-1].N {
		return // written twice
	}
	s.Waves = append(s.Waves, Wave{N: r.Wave, Name: r.Name, Desktops: r.Desktops, BegunAt: r.At, Of: r.Of})
	s.Size, s.Planned, s.Waiting = r.Size, r.Waves, nil
	s.add(r.Desktops, r.Wave)
	s.emit(events.RolloutWaveStarted, r, nil, "")
}

// continueWave adds a further part of a wave that takes several records.
func (s *State) continueWave(w *Wave, r *Record) {
	w.Of = r.Of
	w.Desktops = slices.Clip(w.Desktops) // the record's own are not written to
	for i, id := range r.Desktops {
		if s.Desktops[id] == nil {
			s.add(r.Desktops[i:i+1], r.Wave)
			w.Desktops = append(w.Desktops, id)
		}
	}
}

func (s *State) endWave(r *Record) {
	if w := s.Wave(); w != nil && w.N == r.Wave && w.EndedAt.IsZero() {
		w.EndedAt, s.Waiting = r.At, nil
		s.emit(events.RolloutWaveFinished, r, nil, "")
	}
}

func (s *State) begun(r *Record) {
	for i, id := range r.Desktops {
		d := s.Desktops[id]
		if d == nil {
			continue
		}
		d.Phase, d.Call, d.BegunAt, d.CallEnded = Begun, r.Call, MomentOf(r.At), 0
		d.Refuted, d.Seen, d.SeenAt, d.ArrivedAt, d.MissingAt, d.OutsideAt, d.IdleAt, d.Check = false, false, 0, 0, 0, 0, 0, ""
		d.Attempt++
		if !d.Touched && i < len(r.From) {
			d.From = r.From[i]
		}
		s.former = d.From
	}
	s.resume(r)
	s.Waiting = nil
}

// resume notes that the window has opened.
func (s *State) resume(r *Record) {
	if s.Waiting != nil && s.Waiting.Code == events.CodeWindowClosed {
		s.Resumed = r.At
	}
}

// mark folds what was seen of one desktop.
func (d *Desktop) mark(r *Record) {
	switch r.Kind {
	case KindNotBegun:
		if d.Phase == Begun {
			d.Phase, d.CallEnded, d.Doubtful, d.Refuted = Pending, MomentOf(r.At), true, true
		}
	case KindSeen:
		d.Seen, d.SeenAt = true, MomentOf(r.At)
	case KindLate:
		d.SeenAt = MomentOf(r.At)
	case KindMissing:
		d.MissingAt = MomentOf(r.At)
	case KindListed:
		d.MissingAt, d.OutsideAt = 0, 0
	case KindOutside:
		d.OutsideAt = MomentOf(r.At)
	case KindIdle:
		d.IdleAt = MomentOf(r.At)
	case KindChecking:
		d.Check, d.CheckedAt = r.Call, MomentOf(r.At)
	}
}

// outcome gives one desktop an outcome and moves it to the phase that follows.
func (s *State) outcome(r *Record, g Group, id string) {
	d := s.Desktops[id]
	if d == nil || !d.may(r, g.Status) {
		return
	}
	o := Outcome{Result: Result{g.Status, g.Code, g.Message}, At: r.At, Until: g.Until,
		RequestID: r.RequestID, From: d.From}
	published := g.Status == events.StatusDeferred && g.Code == d.WaitCode // that it waits for this
	switch g.Status {
	case events.StatusAccepted:
		d.Phase, d.AcceptedAt, d.CallEnded, d.Touched = Accepted, MomentOf(r.At), MomentOf(r.At), true
		d.waitNoMore()
		d.Notice, d.Ask = nil, nil
	case events.StatusDeferred:
		s.deferred(r, g, d)
	default:
		d.Doubtful = d.Doubtful || d.Phase == Begun && r.Kind == KindSettled
		d.Refuted = d.Refuted || r.Kind == KindEnded
		if d.Phase == Pending { // an earlier build may have meant that it is not in its fleet: it may have to be restored
			d.MissingAt = 0
		}
		d.Phase, d.DoneAt = Final, MomentOf(r.At)
		if g.Status == events.StatusCompleted {
			o.Duration = r.At.Sub(d.AcceptedAt.Time())
		}
		if d.Touched && s.Operation.AfterStatus == desktop.Stopped || g.Status == events.StatusCompleted && s.Operation.AfterStatus != "" {
			d.Stopped = false // it is in the status that was asked for; else we start it if it does not run
		}
	}
	o.Attempt, o.Snapshot = d.Attempt, d.Saved.id()
	d.Last = o.Result
	if published {
		return
	}
	if o.N = g.N; o.N > 0 { // carried along by a tick, for want of a journal
		d.counts.set(g.Status, g.N)
	} else {
		o.N = d.counts.add(g.Status)
	}
	d.Unpublished = append(d.Unpublished, o)
	s.untold = append(s.untold, told{s.records, d, o.Status, o.N})
}

// may says whether a record may give the desktop that status now. A record that was
// written too late, or twice, or after that of another instance, changes nothing: a
// desktop whose rebuild was begun is not refused any more, and what is final stays so.
func (d *Desktop) may(r *Record, status events.Status) bool {
	if r.Kind == KindEnded {
		return d.Phase == Begun && d.Call == r.Call
	}
	switch status {
	case events.StatusSkipped, events.StatusRefused, events.StatusDeferred:
		return d.Phase == Pending || d.Doubted && d.Phase == Begun
	case events.StatusAccepted:
		return d.Phase == Begun || d.Phase == Pending && d.tried()
	case events.StatusCompleted:
		return d.Phase == Accepted
	}
	return d.Phase != Final // failed, and what a later version may know
}

// deferred keeps a desktop whose call is of unknown delivery where it is, and makes every other
// pending again.
func (s *State) deferred(r *Record, g Group, d *Desktop) {
	if r.Kind == KindEnded {
		d.CallEnded = MomentOf(r.At)
		switch g.Code {
		case events.CodeOutcomeUnknown:
			d.Doubtful = true
			return
		case IncorrectDesktopStatus:
			d.Denied++
		default: // certainly not sent: it was no attempt
			d.Attempt--
		}
		d.Phase, d.Refuted, d.Seen = Pending, true, false
	}
	d.waitFor(g.Code, r.At)
	d.RestsUntil = g.Until
	if g.Code == events.CodeFrozen {
		d.RestsUntil = r.At // it may be lifted
	}
}

// withoutFirst returns the list without the first of which is holds. The list itself
// is not written to; nothing of it is kept if none is left.
func withoutFirst[T any](list []T, is func(T) bool) []T {
	i := slices.IndexFunc(list, is)
	switch {
	case i < 0:
		return list
	case len(list) == 1:
		return nil
	}
	return append(list[:i:i], list[i+1:]...)
}

func (s *State) close(r *Record) {
	if s.Closed {
		return
	}
	s.Closed, s.ClosedAt, s.Digest = true, r.At, r.Digest
	if s.Operation.Request() {
		s.emit(whatFinished, r, nil, "")
		return
	}
	what := events.RolloutCompleted
	switch { // what did not come to its end is not told to be completed
	case s.Superseded != "":
		what = events.RolloutSuperseded
	case s.Aborted != "":
		what = events.RolloutAborted
	case s.Operation.Undoes != "":
		what = events.RolloutRolledBack
	}
	s.emit(what, r, r.Reason, "")
}

// emit adds an event. Requests have none but their summary.
func (s *State) emit(what events.What, r *Record, reason *events.Reason, by string) {
	if s.Operation.Request() && what != whatFinished {
		return
	}
	n := Event{What: what, Key: strconv.Itoa(s.records), At: r.At, Waves: s.Planned, Counts: s.Counts(), Reason: reason, By: by, Digest: s.Digest, Via: r.via()}
	if w := s.Wave(); w != nil {
		n.Wave = w.N
	}
	s.UnpublishedEvents = append(s.UnpublishedEvents, n)
}

// via returns how the message reached us from which the record follows, or nil.
func (r *Record) via() *events.Via {
	if r.Operation != nil {
		return r.Operation.Via
	}
	return r.Via
}
