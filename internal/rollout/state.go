package rollout

import (
	"slices"
	"strconv"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// A Phase says how far one desktop is in an operation.
type Phase int

// The phases. Final is reached once and never left, but by a retry that
// somebody asked for.
const (
	Pending  Phase = iota // nothing was begun, or what was begun certainly did not happen
	Begun                 // a call is under way or its fate is unknown
	Accepted              // ECD has started the rebuild
	Final                 // completed, skipped, refused or failed
)

// A Desktop is what the journal knows of one desktop in an operation.
type Desktop struct {
	ID    string
	Wave  int // the wave it came in; 1 for a request
	Phase Phase

	Call       string    // the last call it was in
	CallEnded  time.Time // when that call's fate was written down; zero: it was not
	BegunAt    time.Time
	AcceptedAt time.Time
	DoneAt     time.Time // when it became Final
	Doubted    bool      // what is known of it came in an unsigned tick; see Doubt
	Attempt    int       // calls that may have reached ECD
	From       string    // the image it was on before the first call that may have changed it
	Touched    bool      // ECD accepted a rebuild of it at some time
	Doubtful   bool      // the fate of a call for it was unknown at some time
	Seen       bool      // seen Rebuilding since the call
	SeenAt     time.Time // when

	WaitCode   string    // why it is not begun, if it is waiting
	WaitSince  time.Time // since when, for that reason
	Waits      []Wait    // further reasons that have not passed, as far as is known, oldest first
	RestsUntil time.Time // need not be looked at before
	WaitFirst  time.Time // since when, for whatever reason
	Denied     int       // how often ECD said that the status does not allow it

	Held        bool      // we put it into maintenance mode, or are about to, and have to take it out again
	Entered     bool      // certainly in maintenance mode
	Maintenance *Act      // what we did last about that
	Stopped     bool      // we stopped it, or are about to, and have to start it unless it is rebuilt
	StoppedAt   time.Time // when we did so last
	Power       *Act      // what we did last about that
	ActedAt     time.Time // when we last did something to it besides rebuilding it

	ArrivedAt time.Time // first seen rebuilt, while it has yet to prove stable
	MissingAt time.Time // when ECD first did not list it though it was begun
	IdleAt    time.Time // when ECD first showed nothing of its call, whose fate is unknown
	Check     string    // the id of the check command that was sent to it
	CheckedAt time.Time // when

	Notice *Notice // what the people at it were told; nil: nothing
	Ask    *Ask    // what it was asked; nil: nothing

	Last   Result // its last outcome
	counts tally
	// Unpublished are outcomes that MNS has not taken yet, oldest first.
	Unpublished []Outcome
}

// A Wait is a reason for which a desktop waits.
type Wait struct {
	Code  string
	Since time.Time
}

// An Act is the last call for a desktop that was announced in one respect: for
// maintenance mode, or for power.
type Act struct {
	Kind     Kind
	Call     string    // tells its end from that of another
	At       time.Time // when it was announced, right before the call
	UnderWay bool      // its end is not written down: it may be under way, and its fate is unknown
}

// over returns when an act is certainly over, unless it is of the given kind. Zero:
// none is under way.
func (a *Act) over(other Kind) time.Time {
	if a == nil || !a.UnderWay || a.Kind == other {
		return zero
	}
	return a.At.Add(lease)
}

// ended notes the end of a call, and says whether it is the last that was begun:
// what was begun after it may have undone what it did. Records of earlier builds
// name no call.
func (a *Act) ended(call string) bool {
	if a == nil || call == "" {
		return true
	}
	if a.Call != call {
		return false
	}
	a.UnderWay = false
	return true
}

// asked returns when the fate of its last call may begin to be asked for: when
// the call ended, or certainly was over.
func (d *Desktop) asked() time.Time {
	if d.CallEnded.IsZero() { // whoever began it has not said how it ended
		return d.BegunAt.Add(lease)
	}
	return d.CallEnded
}

// eventful returns when the desktop last changed by what we did: what was read
// before says nothing of it.
func (d *Desktop) eventful() time.Time {
	switch d.Phase {
	case Begun:
		return d.asked()
	case Accepted:
		return later(d.AcceptedAt.Add(statusLag), d.SeenAt)
	case Pending:
		return later(d.DoneAt, d.ActedAt)
	case Final:
	}
	return d.ActedAt
}

// tried says whether a call for the desktop was carried out, or may have been.
func (d *Desktop) tried() bool { return d.Touched || d.Doubtful }

// restoring says whether we have begun to undo what we did to it besides
// rebuilding it.
func (d *Desktop) restoring() bool {
	return d.Maintenance != nil && d.Maintenance.Kind == KindReleasing || d.Power != nil && d.Power.Kind == KindStarting
}

// A tally counts outcomes by status: in the order of events.Statuses, and in the
// end those that this build does not know. A map would be half of what a desktop
// takes in memory.
type tally [7]uint32

func (t *tally) of(s events.Status) int { return int(*t.at(s)) }

func (t *tally) add(s events.Status) int {
	*t.at(s)++
	return t.of(s)
}

func (t *tally) set(s events.Status, n int) { *t.at(s) = uint32(min(n, maxCount)) } //nolint:gosec // bounded

// maxCount bounds a count that comes from outside.
const maxCount = 1 << 30

func (t *tally) at(s events.Status) *uint32 {
	if i := slices.Index(events.Statuses, s); i >= 0 {
		return &t[i]
	}
	return &t[len(t)-1]
}

// A Result is what an outcome says in short.
type Result struct {
	Status  events.Status
	Code    string
	Message string
}

// An Outcome is one thing to tell the world of one desktop.
type Outcome struct {
	Result
	N         int // how many-th of its status, from 1
	At        time.Time
	Until     time.Time
	RequestID string
	From      string
	Attempt   int
	Duration  time.Duration
}

// An Event is one thing to say of a rollout as a whole.
type Event struct {
	What   events.What
	Key    string // tells events of one kind apart
	At     time.Time
	Wave   int
	Waves  int
	Counts events.Counts
	Reason *events.Reason
	By     string
	Digest string
	Via    *events.Via // of the message from which it follows, where one did
}

// ID identifies the event within its operation.
func (n Event) ID() string { return string(n.What) + "/" + n.Key }

// A Wave is a part of the fleet that is rebuilt together.
type Wave struct {
	N        int // from 1
	Name     string
	Desktops []string
	BegunAt  time.Time
	EndedAt  time.Time // zero: it is under way
	Approved string    // who said go on after it
	Proved   string    // who said go on though too few of its desktops were used, or its logons failed
	Of       int       // how many desktops it has, when they are told in several records; else 0
}

// whole says whether all its desktops are known.
func (w *Wave) whole() bool { return len(w.Desktops) >= w.Of }

// Title names the wave for people: wave 1 (canary), wave 2.
func (w *Wave) Title() string { return waveTitle(w.N, w.Name) }

func waveTitle(n int, name string) string {
	title := "wave " + strconv.Itoa(n)
	if name == title || name == "" {
		return title
	}
	return title + " (" + name + ")"
}

// A State is a journal, folded: what was asked for and how far it is. It is
// made by applying records in their order; the same records give the same
// state however they were cut into appends.
type State struct {
	Operation *Operation // nil: nothing was opened
	OpenedAt  time.Time
	Desktops  map[string]*Desktop
	Order     []string // of the desktops, as they came
	Waves     []Wave
	Size      int // desktops of the fleet when the last wave began
	Planned   int // waves that there are to be

	Paused     string // who paused it; "" when it is not
	Halted     *events.Reason
	Back       Back   // how it goes back by itself, if it does
	Aborted    string // who aborted it
	Superseded string // the rollout that took over
	// Resumed is when a standstill ended last: desktops were not read during it.
	Resumed time.Time
	// Forgiven is until when failures do not count, because somebody let it go on.
	Forgiven time.Time
	Waiting  *events.Reason
	Rings    []string        // what it waits for on the fleets that it comes after
	Passed   map[string]bool // of these, what somebody approved
	Use      *UseCount       // how much a wave was used when that was asked last
	Alarms   []Alarm         // how the alarms were when that changed last

	TickN   int // the last tick that was put on the queue
	TickAt  time.Time
	Indexed bool // it is in the index of open operations

	Closed   bool
	ClosedAt time.Time
	Digest   string // over the ids of all final outcomes, when closed

	// UnpublishedEvents are what MNS has not taken yet, oldest first.
	UnpublishedEvents []Event
	// Controls are the ids of the messages that told the rollout something.
	Controls map[string]bool
	// Refusals are the ids of messages that it does not follow, as far as they are
	// written down.
	Refusals map[string]bool
	// PlansRefused are the digests of the plans with which the work was asked for
	// and refused: whoever writes late that it is opened for one of them comes too
	// late.
	PlansRefused map[string]bool

	records int
}

// NewState returns the state of an empty journal.
func NewState() *State {
	return &State{Desktops: map[string]*Desktop{}, Controls: map[string]bool{}, Refusals: map[string]bool{}}
}

// Open says whether there is an operation and it is not closed.
func (s *State) Open() bool { return s.Operation != nil && !s.Closed }

// Quiet says whether everything is published.
func (s *State) Quiet() bool {
	return len(s.UnpublishedEvents) == 0 && len(s.Fresh()) == 0
}

// Unsaid returns since when something is not published, and whether anything is not.
func (s *State) Unsaid() (since time.Time, any bool) {
	note := func(at time.Time) {
		if !any || at.Before(since) {
			since, any = at, true
		}
	}
	for _, n := range s.UnpublishedEvents {
		note(n.At)
	}
	for _, id := range s.Fresh() {
		note(s.Desktops[id].Unpublished[0].At)
	}
	return since, any
}

// Fresh returns the desktops of which something is not published yet.
func (s *State) Fresh() []string {
	var out []string
	for _, id := range s.Order {
		if len(s.Desktops[id].Unpublished) > 0 {
			out = append(out, id)
		}
	}
	return out
}

// StandsStill says whether nothing may begin, whatever the facts.
func (s *State) StandsStill() bool {
	return s.Paused != "" || s.Halted != nil || s.Aborted != "" || s.Superseded != ""
}

// CallSpec returns the spec under which the desktop is rebuilt now. Whom we
// stopped for it is to run afterwards, if nothing else was asked for: what ECD
// does without AfterStatus is not published.
func (s *State) CallSpec(id string) desktop.Spec {
	spec := s.Operation.SpecOf(id)
	if d := s.Desktops[id]; d != nil && d.Stopped && spec.AfterStatus == "" {
		spec.AfterStatus = desktop.Running
	}
	return spec
}

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
	if rule != nil && ((s.Operation == nil) == (r.Kind == KindOpened) || r.Kind == KindUnplanned) {
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
		s.TickN, s.TickAt = r.N, r.Until
	}
}

func (s *State) waiting(r *Record) {
	s.resume(r)
	s.Waiting, s.Rings = r.Reason, r.Rings
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
		s.PlansRefused = map[string]bool{}
	}
	s.PlansRefused[r.Digest] = true
}

func (s *State) open(r *Record) {
	if r.Operation == nil {
		return
	}
	s.Operation, s.OpenedAt = r.Operation, r.At
	s.Operation.index()
	if s.Operation.Request() {
		s.Waves = []Wave{{N: 1, Desktops: r.Operation.Desktops, BegunAt: r.At}}
		for _, id := range r.Operation.Desktops {
			s.add(id, 1)
		}
		return
	}
	s.emit(events.RolloutStarted, r, r.Operation.reason(), r.Operation.By)
}

func (s *State) add(id string, wave int) {
	if s.Desktops[id] == nil {
		s.Desktops[id] = &Desktop{ID: id, Wave: wave}
		s.Order = append(s.Order, id)
	}
}

func (s *State) begin(r *Record) {
	if w := s.Wave(); w != nil && r.Wave == w.N && !w.whole() {
		s.goOn(w, r)
		return
	}
	if len(s.Waves) > 0 && r.Wave <= s.Waves[len(s.Waves)-1].N {
		return // written twice
	}
	s.Waves = append(s.Waves, Wave{N: r.Wave, Name: r.Name, Desktops: r.Desktops, BegunAt: r.At, Of: r.Of})
	s.Size, s.Planned, s.Waiting = r.Size, r.Waves, nil
	for _, id := range r.Desktops {
		s.add(id, r.Wave)
	}
	s.emit(events.RolloutWaveStarted, r, nil, "")
}

// goOn adds a further part of a wave that takes several records.
func (s *State) goOn(w *Wave, r *Record) {
	w.Of = r.Of
	w.Desktops = slices.Clip(w.Desktops) // the record's own are not written to
	for _, id := range r.Desktops {
		if s.Desktops[id] == nil {
			s.add(id, r.Wave)
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

// Wave returns the wave that began last, or nil.
func (s *State) Wave() *Wave {
	if len(s.Waves) == 0 {
		return nil
	}
	return &s.Waves[len(s.Waves)-1]
}

func (s *State) begun(r *Record) {
	for i, id := range r.Desktops {
		d := s.Desktops[id]
		if d == nil {
			continue
		}
		d.Phase, d.Call, d.BegunAt, d.CallEnded = Begun, r.Call, r.At, time.Time{}
		d.Seen, d.SeenAt, d.ArrivedAt, d.MissingAt, d.IdleAt, d.Check = false, zero, zero, zero, zero, ""
		d.Attempt++
		if !d.Touched && i < len(r.From) {
			d.From = r.From[i]
		}
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
			d.Phase, d.CallEnded, d.Doubtful = Pending, r.At, true
		}
	case KindSeen:
		d.Seen, d.SeenAt = true, r.At
	case KindArrived:
		d.ArrivedAt = r.At
	case KindMissing:
		d.MissingAt = r.At
	case KindListed:
		d.MissingAt = time.Time{}
	case KindIdle:
		d.IdleAt = r.At
	case KindChecking:
		d.Check, d.CheckedAt = r.Call, r.At
	}
}

// act notes what we do to a desktop besides rebuilding it. Each call is announced
// before it is made; its end counts if nothing else was announced since.
func (d *Desktop) act(r *Record) {
	now := &Act{Kind: r.Kind, Call: r.Call, At: r.At, UnderWay: true}
	d.ActedAt = later(d.ActedAt, r.At)
	switch r.Kind {
	case KindHolding:
		d.Held, d.Entered, d.Maintenance = true, false, now
	case KindHeld:
		if d.Maintenance.ended(r.Call) {
			d.Held, d.Entered = true, true
		}
	case KindReleasing:
		d.Entered, d.Maintenance = false, now
	case KindReleased:
		if d.Maintenance.ended(r.Call) {
			d.Held, d.Entered = false, false
		}
	case KindStopping:
		d.Stopped, d.StoppedAt, d.Power = true, r.At, now
	case KindStarting:
		d.Power = now
	case KindStarted:
		if d.Power.ended(r.Call) {
			d.Stopped = false
		}
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
		d.Phase, d.AcceptedAt, d.CallEnded, d.Touched = Accepted, r.At, r.At, true
		d.waitNoMore()
		d.Notice, d.Ask = nil, nil
	case events.StatusDeferred:
		s.deferred(r, g, d)
	default:
		d.Doubtful = d.Doubtful || d.Phase == Begun && r.Kind == KindSettled
		d.Phase, d.DoneAt = Final, r.At
		if g.Status == events.StatusCompleted {
			o.Duration = r.At.Sub(d.AcceptedAt)
		}
		if d.Touched && s.Operation.AfterStatus == desktop.Stopped || g.Status == events.StatusCompleted && s.Operation.AfterStatus != "" {
			d.Stopped = false // it is in the status that was asked for; else we start it if it does not run
		}
	}
	o.Attempt = d.Attempt
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

// deferred keeps a desktop of unknown fate where it is, and makes every other
// pending again.
func (s *State) deferred(r *Record, g Group, d *Desktop) {
	if r.Kind == KindEnded {
		d.CallEnded = r.At
		switch g.Code {
		case events.CodeOutcomeUnknown:
			d.Doubtful = true
			return
		case IncorrectDesktopStatus:
			d.Denied++
		default: // certainly not sent: it was no attempt
			d.Attempt--
		}
		d.Phase = Pending
	}
	d.waitFor(g.Code, r.At)
	d.RestsUntil = g.Until
	if g.Code == events.CodeFrozen {
		d.RestsUntil = r.At // it may be lifted
	}
}

// blind are the reasons for which a desktop could not be read: they say nothing of any
// other reason.
var blind = map[string]bool{
	events.CodeFactsUnavailable: true, events.CodeThrottled: true, events.CodeNotAuthorized: true, events.CodeCallFailed: true, events.CodeTimeShort: true,
}

// waitFor notes that the desktop waits, and for what. A reason for which it could not
// be read leaves the others as they are. One that was seen ends those, and all others
// that were seen but one: how long its user has been waited for counts from when it
// was due and found in use, until it is begun.
func (d *Desktop) waitFor(code string, at time.Time) {
	switch {
	case ordered[code]:
		d.WaitFirst = zero
	case d.WaitFirst.IsZero():
		d.WaitFirst = at
	}
	since, waits := d.waitsSince(code)
	if !waits || d.WaitCode == code && at.Sub(d.RestsUntil) > MaxTick { // it was not tried meanwhile: that does not count
		since = at
	}
	others := make([]Wait, 0, len(d.Waits)+1)
	if d.WaitCode != "" {
		others = append(others, Wait{d.WaitCode, d.WaitSince})
	}
	others = slices.DeleteFunc(append(slices.Clone(d.Waits), others...), func(w Wait) bool {
		return w.Code == code || !blind[code] && w.Code != events.CodeSessionWait || ordered[code]
	})
	d.WaitCode, d.WaitSince, d.Waits = code, since, slices.Clip(others)
	if len(others) == 0 {
		d.Waits = nil
	}
}

// waitsSince returns since when the desktop waits for that reason, if it does.
func (d *Desktop) waitsSince(code string) (since time.Time, waits bool) {
	if d.WaitCode == code {
		return d.WaitSince, code != ""
	}
	for _, w := range d.Waits {
		if w.Code == code {
			return w.Since, true
		}
	}
	return zero, false
}

func (d *Desktop) waitNoMore() {
	d.WaitCode, d.WaitSince, d.Waits, d.WaitFirst, d.RestsUntil = "", zero, nil, zero, zero
}

// IncorrectDesktopStatus is ECD's code for a desktop whose status does not
// allow the rebuild. Source: RebuildDesktops.
const IncorrectDesktopStatus = "IncorrectDesktopStatus"

// published notes what MNS took of outcomes and of events.
func (s *State) published(r *Record) {
	for _, g := range r.Outcomes {
		for _, id := range g.Desktops {
			if d := s.Desktops[id]; d != nil {
				d.published(g.Status, max(g.N, 1))
			}
		}
	}
	for _, id := range r.Events {
		s.UnpublishedEvents = withoutFirst(s.UnpublishedEvents, func(e Event) bool { return e.ID() == id })
	}
}

// published notes that MNS took the n-th outcome of a status.
func (d *Desktop) published(status events.Status, n int) {
	if n > d.counts.of(status) { // a tick, which carries no more of it
		d.counts.set(status, n)
	}
	d.Unpublished = withoutFirst(d.Unpublished, func(o Outcome) bool { return o.Status == status && o.N == n })
}

// withoutFirst returns the list without the first of which is holds. The list itself
// is not written to.
func withoutFirst[T any](list []T, is func(T) bool) []T {
	if i := slices.IndexFunc(list, is); i >= 0 {
		return append(list[:i:i], list[i+1:]...)
	}
	return list
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

// whatFinished stands for the summary of a request among the events.
const whatFinished events.What = "finished"

// Finished says whether the event is the summary of a request.
func (n Event) Finished() bool { return n.What == whatFinished }

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

// Counts says how many desktops stand where.
func (s *State) Counts() events.Counts {
	c := events.Counts{Fleet: max(s.Size, len(s.Desktops))}
	for _, d := range s.Desktops {
		switch {
		case d.Phase == Begun || d.Phase == Accepted:
			c.Running++
		case d.Phase == Pending && d.WaitCode != "":
			c.Waiting++
		case d.Phase == Pending:
		case d.Last.Status == events.StatusCompleted:
			c.Completed++
		case d.Last.Status == events.StatusSkipped:
			c.Skipped++
		case d.Last.Status == events.StatusRefused:
			c.Refused++
		default:
			c.Failed++
		}
	}
	c.Pending = c.Fleet - c.Waiting - c.Running - c.Completed - c.Skipped - c.Refused - c.Failed
	return c
}
