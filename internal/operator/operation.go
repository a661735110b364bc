package operator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// Kinds of operations, as the function names their journals.
const (
	Request = "request"
	Rollout = "rollout"
)

// How an operation stands.
const (
	Running    = string(report.StateRunning)    // something is under way, or about to be
	Waiting    = string(report.StateWaiting)    // it stands still and goes on by itself, or by an approval
	Paused     = string(report.StatePaused)     // somebody paused it
	Halted     = string(report.StateHalted)     // it stopped by itself; somebody has to say go on
	Aborted    = string(report.StateAborted)    // somebody stopped it for good
	Superseded = string(report.StateSuperseded) // a newer release took over
	Completed  = "completed"                    // it ended, and every desktop is completed or skipped
	Incomplete = "incomplete"                   // it ended, and some desktop failed or was refused
	Expired    = "expired"                      // its fleet's log names it, and its own journal is gone
)

// An Operation is a request or rollout in short. Times are UTC.
type Operation struct {
	Kind  string     `json:"kind"` // request or rollout
	ID    string     `json:"id"`
	State string     `json:"state"`
	Open  bool       `json:"open"`          // it has not come to its end; an aborted one follows what was begun
	Why   string     `json:"why,omitempty"` // it stands still, in few words
	Until *time.Time `json:"until,omitempty"`
	report.Subject
	Opened time.Time     `json:"opened"`
	Closed *time.Time    `json:"closed,omitempty"`
	Wave   int           `json:"wave"` // the one that began last; 0: none has
	Waves  int           `json:"waves"`
	Counts events.Counts `json:"counts"`
}

// OperationOf sums up a folded journal, whose Operation is not nil.
func OperationOf(s *rollout.State) Operation {
	b, _ := report.BriefOf(s)
	return operationOf(b)
}

// endedOperation sums up an operation whose journal says at its end how it came out.
func endedOperation(e *rollout.Ending) Operation {
	s := &rollout.State{Operation: &e.Operation, OpenedAt: e.Opened, Closed: true, ClosedAt: e.Closed, Aborted: e.Aborted, Superseded: e.Superseded,
		Planned: e.Waves}
	if e.Wave > 0 {
		s.Waves = []rollout.Wave{{N: e.Wave}}
	}
	b, _ := report.BriefOf(s)
	b.Counts = e.Counts
	return operationOf(b)
}

func operationOf(b report.Brief) Operation {
	out := Operation{Kind: b.Kind(), ID: b.ID, State: string(b.State), Open: !b.Closed, Subject: b.Subject, Opened: b.Opened.UTC(), Wave: b.Wave, Waves: b.Waves,
		Counts: b.Counts}
	if b.Request() {
		out.Wave, out.Waves = 1, 1
	}
	if b.Closed {
		closed := b.Ended.UTC()
		out.Closed = &closed
	}
	switch b.State {
	case report.StateCompleted, report.StateRolledBack:
		out.State = Completed
		if b.Counts.Failed+b.Counts.Refused > 0 {
			out.State = Incomplete
		}
	case report.StateAborted, report.StateSuperseded, report.StatePaused:
		out.Why = out.State + " by " + b.Who
	case report.StateHalted, report.StateWaiting:
		out.Why = b.Reason.Message
		if b.State == report.StateWaiting && b.Reason.Until != nil {
			until := b.Reason.Until.UTC()
			out.Until = &until
		}
	}
	return out
}

// An End is how an operation that is followed came out.
type End int

// The ends.
const (
	NotYet       End = iota // it is open and goes on
	AllCompleted            // every desktop is completed or skipped
	WithFailures            // it ended, and some desktop failed or was refused
	Stopped                 // it halted, was aborted or was superseded
)

// EndOf says how the operation came out. One that halted has come to its end as far
// as a pipeline is concerned: it stands until somebody says go on.
func EndOf(w Operation) End {
	switch {
	case w.State == Halted, !w.Open && (w.State == Aborted || w.State == Superseded):
		return Stopped
	case w.Open:
		return NotYet
	case w.State == Incomplete:
		return WithFailures
	}
	return AllCompleted
}

// SplitName takes a name such as rollout/2026.11.3/office or request/ID apart.
func SplitName(name string) (kind, id string, err error) {
	kind, id, ok := strings.Cut(name, "/")
	if !ok || kind != Request && kind != Rollout || id == "" {
		return "", "", fmt.Errorf("%q names nothing; write request/ID or rollout/RELEASE/FLEET", name)
	}
	return kind, id, nil
}

// A Reader gives what is new in a journal; journal.Store is one.
type Reader interface {
	Read(ctx context.Context, key string, from int64) (lines []byte, length int64, err error)
}

// A Follower folds one journal and keeps what it has folded, so that looking
// again costs only what is new. It is for one goroutine.
type Follower struct {
	from     Reader
	key      string
	kind, id string
	find     bool           // see Find
	State    *rollout.State // as of the last look; its Operation is nil while there is no journal
	Length   int64          // of the journal, as of the last look
}

// Follow returns a follower of a request or rollout. It reads nothing yet.
func Follow(from Reader, kind, id string) *Follower {
	return &Follower{from: from, key: journal.Key(kind, id), kind: kind, id: id, State: rollout.NewState()}
}

// Find is Follow for an id that a person gave. A request that is kept apart by its
// door (rollout.Apart) is found by the id as it was sent, where there is one such
// and the reader can list keys.
func Find(from Reader, kind, id string) *Follower {
	f := Follow(from, kind, id)
	f.find = kind == Request
	return f
}

// maxApart is how many requests of one id, kept apart by their doors, are named.
const maxApart = 10

// apart looks for the one request that has the follower's id with a mark behind it,
// and follows that from now on.
func (f *Follower) apart(ctx context.Context) (found bool, err error) {
	l, ok := f.from.(interface {
		Some(ctx context.Context, prefix, after string, limit int) ([]string, error)
	})
	if !ok {
		return false, nil
	}
	prefix := strings.TrimSuffix(journal.Key(f.kind, f.id+"@"), ".jsonl")
	keys, err := l.Some(ctx, prefix, "", maxApart)
	if err != nil {
		return false, err
	}
	var ids []string
	for _, key := range keys {
		if _, id, ok := journal.SplitKey(key); ok && rollout.IsApart(id) && strings.LastIndexByte(id, '@') == len(f.id) {
			ids = append(ids, id)
		}
	}
	switch len(ids) {
	case 0:
		return false, nil
	case 1:
		f.key, f.id, f.find, f.Length, f.State = journal.Key(f.kind, ids[0]), ids[0], false, 0, rollout.NewState()
		return true, nil
	}
	return false, fmt.Errorf("there are several requests %s, which came through different doors; name one of them: %s", f.id, strings.Join(ids, ", "))
}

// Look reads and folds what is new, and returns those records.
func (f *Follower) Look(ctx context.Context) ([]rollout.Record, error) { return f.Each(ctx, nil) }

// Each is Look, and calls folded after each record is folded; State is then as
// of that record.
func (f *Follower) Each(ctx context.Context, folded func(rollout.Record)) ([]rollout.Record, error) {
	lines, length, err := f.from.Read(ctx, f.key, f.Length)
	if err != nil {
		return nil, err
	}
	records, err := rollout.Decode(lines)
	if err != nil {
		return nil, fmt.Errorf("reading journal %s: %w", f.key, err)
	}
	for _, r := range records {
		f.State.Apply(r)
		if folded != nil {
			folded(r)
		}
	}
	f.Length = length
	if f.find && f.State.Operation == nil {
		if found, err := f.apart(ctx); found && err == nil {
			return f.Each(ctx, folded)
		} else if err != nil {
			return nil, err
		}
	}
	return records, nil
}

// Read folds the journal of one operation, as Find finds it, and returns its
// records too. It fails when there is none.
func Read(ctx context.Context, from Reader, kind, id string) (*rollout.State, []rollout.Record, error) {
	f := Find(from, kind, id)
	records, err := f.Look(ctx)
	if err != nil {
		return nil, nil, err
	}
	if f.State.Operation == nil {
		return nil, nil, &UnknownError{Kind: kind, ID: id}
	}
	return f.State, records, nil
}

// An UnknownError says that the journal does not know an operation.
type UnknownError struct{ Kind, ID string }

func (e *UnknownError) Error() string {
	text := fmt.Sprintf("the journal knows no %s %s", e.Kind, e.ID)
	if e.Kind == Rollout && !strings.Contains(e.ID, "/") {
		text += "; the id of a rollout is RELEASE/FLEET"
	}
	return text
}
