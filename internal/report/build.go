package report

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// ErrEmpty says that a journal tells of no request or rollout.
var ErrEmpty = errors.New("nothing was opened in this journal")

// Of makes the report of a journal's lines, each with its newline. The error is
// ErrEmpty, or says which line cannot be read.
func Of(lines []byte) (*Report, error) {
	b := NewBuilder()
	if err := b.Read(lines); err != nil {
		return nil, err
	}
	return b.Report()
}

// A Builder takes records down as they come. It is for one goroutine.
type Builder struct {
	state    *rollout.State
	lives    map[string]*life
	happened []Happening
	stood    []Standstill
	said     []Said
	last     time.Time
	records  int
	before   []int // scratch of apply
}

// A life is what this package remembers of one desktop beside its state.
type life struct {
	requestID string
	nth       int // of the final outcome
	waited    []string
}

// NewBuilder returns one that has seen nothing.
func NewBuilder() *Builder {
	return &Builder{state: rollout.NewState(), lives: map[string]*life{}}
}

// Read takes the records of whole lines down. They are decoded one by one, so
// that a long journal is never in memory twice.
func (b *Builder) Read(lines []byte) error { return each(lines, nil, b.Add) }

// Fold applies the records of whole lines to a state, one by one, but for those that say
// what was published: the state does not know what is not.
func Fold(s *rollout.State, lines []byte) error {
	return each(lines, rollout.OfPublished, func(records ...rollout.Record) {
		s.Apply(records...)
		s.UnpublishedEvents = s.UnpublishedEvents[:0]
		for i := range records {
			for _, g := range records[i].Outcomes {
				for _, id := range g.Desktops {
					if d := s.Desktops[id]; d != nil {
						d.Unpublished = d.Unpublished[:0]
					}
				}
			}
		}
	})
}

// each decodes whole lines one by one, but for those to leave out (nil: none).
func each(lines []byte, leaveOut func([]byte) bool, do func(...rollout.Record)) error {
	for rest := lines; len(rest) > 0; {
		n := bytes.IndexByte(rest, '\n') + 1
		if n == 0 {
			n = len(rest) // cut off: decoding says so
		}
		line := rest[:n]
		rest = rest[n:]
		if leaveOut != nil && leaveOut(line) {
			continue
		}
		records, err := rollout.Decode(line)
		if err != nil {
			_, err = rollout.Decode(lines) // with the number of the line
			return err
		}
		do(records...)
	}
	return nil
}

// Add takes records down.
func (b *Builder) Add(records ...rollout.Record) {
	for i := range records {
		b.apply(&records[i])
	}
}

// State is what the records fold to. The caller must not change it.
func (b *Builder) State() *rollout.State { return b.state }

// apply folds a record and takes down what it changed.
func (b *Builder) apply(r *rollout.Record) {
	b.records++
	if r.At.After(b.last) {
		b.last = r.At
	}
	unpublished := len(b.state.UnpublishedEvents)
	b.hear(r)
	b.before = b.before[:0]
	b.each(r, func(d *rollout.Desktop) { b.before = append(b.before, len(d.Unpublished)) })
	b.state.Apply(*r)
	i := 0
	b.each(r, func(d *rollout.Desktop) {
		if n := b.before[i]; n < len(d.Unpublished) {
			for _, o := range d.Unpublished[n:] {
				b.outcome(d.ID, o)
			}
		}
		i++
	})
	if r.Kind != rollout.KindPublished && unpublished < len(b.state.UnpublishedEvents) {
		for _, n := range b.state.UnpublishedEvents[unpublished:] {
			if !n.Finished() {
				b.happened = append(b.happened, Happening{At: n.At, What: n.What, Wave: n.Wave, Reason: n.Reason, By: n.By, Counts: n.Counts})
			}
		}
	}
	b.stand(r.At)
}

// each calls f for every desktop that the record may give an outcome. Those of
// records that give none are not asked for.
func (b *Builder) each(r *rollout.Record, f func(*rollout.Desktop)) {
	if r.Kind == rollout.KindPublished {
		return
	}
	for _, g := range r.Outcomes {
		for _, id := range g.Desktops {
			if d := b.state.Desktops[id]; d != nil {
				f(d)
			}
		}
	}
}

func (b *Builder) outcome(id string, o rollout.Outcome) {
	l := b.lives[id]
	if l == nil {
		l = &life{}
		b.lives[id] = l
	}
	if o.RequestID != "" {
		l.requestID = o.RequestID
	}
	switch o.Status {
	case events.StatusAccepted:
	case events.StatusDeferred:
		if !slices.Contains(l.waited, o.Code) {
			l.waited = append(l.waited, o.Code)
		}
	default:
		l.nth = o.N
	}
}

// hear takes down what somebody says, unless it was heard before.
func (b *Builder) hear(r *rollout.Record) {
	if back := r.Operation; r.Kind == rollout.KindUndoing && back != nil && b.state.Operation != nil && b.state.Undoing == nil {
		b.said = append(b.said, Said{At: r.At, Action: events.ActionRollback, Who: back.By, Reason: back.Why, Message: r.Message})
		return
	}
	if r.Kind != rollout.KindControl || b.state.Operation == nil || r.Message != "" && b.state.Controls[r.Message] {
		return
	}
	s := Said{At: r.At, Action: r.Action, Who: r.Who, Message: r.Message}
	if r.Reason != nil {
		s.Reason = r.Reason.Message
	}
	b.said = append(b.said, s)
}

// stand ends the standstill that is over, and begins the one that there is.
func (b *Builder) stand(at time.Time) {
	now := standstill(b.state)
	if n := len(b.said); now.What == StoodPaused && n > 0 {
		now.Message = b.said[n-1].Reason // nobody else pauses
	}
	if n := len(b.stood); n > 0 && b.stood[n-1].To.IsZero() {
		last := &b.stood[n-1]
		if now.What == last.What && now.Code == last.Code && now.By == last.By {
			last.Until = now.Until // as it was announced last
			return
		}
		last.To = at
	}
	if now.What != "" {
		now.From = at
		b.stood = append(b.stood, now)
	}
}

func standstill(s *rollout.State) Standstill {
	if !s.Open() || s.Operation.Request() {
		return Standstill{}
	}
	state, reason, who := stateOf(s)
	out := Standstill{By: who}
	switch state {
	case StateHalted:
		out.What = StoodHalted
	case StatePaused:
		out.What = StoodPaused
	case StateWaiting:
		out.What = StoodWaiting
	default:
		return Standstill{}
	}
	if reason != nil {
		out.Code, out.Message = reason.Code, reason.Message
		if reason.Until != nil {
			out.Until = *reason.Until
		}
	}
	return out
}

// Report returns what the records tell so far, or ErrEmpty.
func (b *Builder) Report() (*Report, error) {
	s := b.state
	brief, ok := BriefOf(s)
	if !ok {
		return nil, ErrEmpty
	}
	r := &Report{Brief: brief, ImageMade: s.Operation.ImageMade, Consents: slices.Clone(s.Operation.Consents), Why: s.Operation.Why,
		Happened: slices.Clone(b.happened), Stood: slices.Clone(b.stood), Said: slices.Clone(b.said),
		Desktops: make([]Desktop, 0, len(s.Order)), Last: b.last, Records: b.records, Untold: len(s.UnpublishedEvents)}
	for i := len(r.Said) - 1; i >= 0 && r.State == StatePaused && r.Reason == nil; i-- {
		if r.Said[i].Action == events.ActionPause {
			r.Reason = &events.Reason{Code: events.CodePaused, Message: r.Said[i].Reason}
		}
	}
	var ids []string
	for _, id := range s.Order {
		d := b.desktop(s.Desktops[id])
		if id := d.OutcomeID(r.ID); id != "" {
			ids = append(ids, id)
		}
		r.Untold += len(s.Desktops[id].Unpublished)
		r.Desktops = append(r.Desktops, d)
	}
	r.Digest = Digest{Written: s.Digest, Counted: events.Digest(ids), N: len(ids)}
	r.waves(s)
	r.tallies(b.lives)
	r.Took = tookOf(r.Desktops)
	r.Causes = causesOf(r.Desktops)
	return r, nil
}

func (b *Builder) desktop(d *rollout.Desktop) Desktop {
	out := Desktop{ID: d.ID, Wave: d.Wave, Stand: StandOf(d), Code: d.Last.Code, Message: d.Last.Message, From: d.From,
		To: b.state.Operation.SpecOf(d.ID).ImageID, Attempts: d.Attempt, Accepted: d.AcceptedAt.Time(),
		Snapshot: SnapshotOf(d)}
	l := b.lives[d.ID]
	if l != nil {
		out.RequestID = l.requestID
	}
	if out.Stand.Final() {
		out.Done = d.DoneAt.Time()
		if l != nil {
			out.Nth = l.nth
		}
	}
	return out
}

// waves counts the desktops of each wave.
func (r *Report) waves(s *rollout.State) {
	at := map[int]int{}
	for i, w := range s.Waves {
		at[w.N] = i
		r.Waves = append(r.Waves, Wave{N: w.N, Name: w.Name, Begun: w.BegunAt, Ended: w.EndedAt, Approved: w.Approved})
		if s.Operation.Request() {
			r.Waves[i].Ended = s.ClosedAt
		}
	}
	for _, d := range r.Desktops {
		i, ok := at[d.Wave]
		if !ok {
			continue
		}
		w := &r.Waves[i]
		w.Size++
		w.Counts.Fleet++
		*d.Stand.in(&w.Counts)++
	}
}

// tallies counts the last outcomes, and what desktops waited for.
func (r *Report) tallies(lives map[string]*life) {
	outcomes, waited := map[Tally]int{}, map[Tally]int{}
	for _, d := range r.Desktops {
		if d.Stand.Final() {
			outcomes[Tally{Status: events.Status(d.Stand), Code: d.Code}]++
		}
		if l := lives[d.ID]; l != nil {
			for _, code := range l.waited {
				waited[Tally{Status: events.StatusDeferred, Code: code}]++
			}
		}
	}
	r.Outcomes, r.Waited = sorted(outcomes), sorted(waited)
}

func sorted(m map[Tally]int) []Tally {
	out := make([]Tally, 0, len(m))
	for t, n := range m {
		t.N = n
		out = append(out, t)
	}
	slices.SortFunc(out, func(a, b Tally) int {
		return cmp.Or(slices.Index(events.Statuses, a.Status)-slices.Index(events.Statuses, b.Status), b.N-a.N, strings.Compare(a.Code, b.Code))
	})
	return out
}
