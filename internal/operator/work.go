package operator

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// Kinds of works, as the function names their journals.
const (
	Request = "request"
	Rollout = "rollout"
)

// How a work stands.
const (
	Running    = "running"    // something is under way, or about to be
	Waiting    = "waiting"    // it stands still and goes on by itself, or by an approval
	Paused     = "paused"     // somebody paused it
	Halted     = "halted"     // it stopped by itself; somebody has to say go on
	Aborted    = "aborted"    // somebody stopped it for good
	Superseded = "superseded" // a newer release took over
	Completed  = "completed"  // it ended, and every desktop is completed or skipped
	Incomplete = "incomplete" // it ended, and some desktop failed or was refused
	Expired    = "expired"    // its fleet's log names it, and its own journal is gone
)

// An Operation is a request or rollout in short. Times are UTC.
type Operation struct {
	Kind      string        `json:"kind"` // request or rollout
	ID        string        `json:"id"`
	State     string        `json:"state"`
	Open      bool          `json:"open"`          // it has not come to its end; an aborted one follows what was begun
	Why       string        `json:"why,omitempty"` // it stands still, in few words
	Until     *time.Time    `json:"until,omitempty"`
	ReleaseID string        `json:"releaseId,omitempty"`
	Fleet     string        `json:"fleet,omitempty"`
	AccountID string        `json:"accountId,omitempty"` // "": the function's own
	RegionID  string        `json:"regionId"`
	ImageID   string        `json:"imageId"` // "": reset to the current image
	ImageName string        `json:"imageName,omitempty"`
	Undoes    string        `json:"undoes,omitempty"`
	By        string        `json:"by,omitempty"`
	Opened    time.Time     `json:"opened"`
	Closed    *time.Time    `json:"closed,omitempty"`
	Wave      int           `json:"wave"` // the one that began last; 0: none has
	Waves     int           `json:"waves"`
	Counts    events.Counts `json:"counts"`
}

// OperationOf sums up a folded journal, whose Operation is not nil.
func OperationOf(s *rollout.State) Operation { return operationOf(s, s.Counts()) }

// endedOperation sums up an operation whose journal says at its end how it came out.
func endedOperation(e *rollout.Ending) Operation {
	s := &rollout.State{Operation: &e.Operation, OpenedAt: e.Opened, Closed: true, ClosedAt: e.Closed, Aborted: e.Aborted, Superseded: e.Superseded,
		Planned: e.Waves}
	if e.Wave > 0 {
		s.Waves = []rollout.Wave{{N: e.Wave}}
	}
	return operationOf(s, e.Counts)
}

func operationOf(s *rollout.State, c events.Counts) Operation {
	w := s.Operation
	out := Operation{Kind: Rollout, ID: w.ID, Open: !s.Closed, ReleaseID: w.ReleaseID, Fleet: w.Fleet, AccountID: w.AccountID, RegionID: w.RegionID,
		ImageID: w.ImageID, ImageName: w.ImageName, Undoes: w.Undoes, By: w.By, Opened: s.OpenedAt.UTC(), Waves: s.Planned, Counts: c}
	if w.Request() {
		out.Kind, out.Wave, out.Waves = Request, 1, 1
	} else if wave := s.Wave(); wave != nil {
		out.Wave = wave.N
	}
	if s.Closed {
		closed := s.ClosedAt.UTC()
		out.Closed = &closed
	}
	out.State = stateOf(s, out.Counts)
	switch out.State {
	case Aborted:
		out.Why = "aborted by " + s.Aborted
	case Superseded:
		out.Why = "superseded by " + s.Superseded
	case Halted:
		out.Why = s.Halted.Message
	case Paused:
		out.Why = "paused by " + s.Paused
	case Waiting:
		out.Why = s.Waiting.Message
		if s.Waiting.Until != nil {
			until := s.Waiting.Until.UTC()
			out.Until = &until
		}
	}
	return out
}

func stateOf(s *rollout.State, c events.Counts) string {
	switch {
	case s.Aborted != "":
		return Aborted
	case s.Superseded != "":
		return Superseded
	case s.Closed && c.Failed+c.Refused > 0:
		return Incomplete
	case s.Closed:
		return Completed
	case s.Halted != nil:
		return Halted
	case s.Paused != "":
		return Paused
	case s.Waiting != nil:
		return Waiting
	}
	return Running
}

// An End is how a work that is followed came out.
type End int

// The ends.
const (
	NotYet       End = iota // it is open and goes on
	AllCompleted            // every desktop is completed or skipped
	WithFailures            // it ended, and some desktop failed or was refused
	Stopped                 // it halted, was aborted or was superseded
)

// EndOf says how the work came out. One that halted has come to its end as far
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
		f.key, f.id, f.find, f.Length = journal.Key(f.kind, ids[0]), ids[0], false, 0
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

// An UnknownError says that the journal does not know a work.
type UnknownError struct{ Kind, ID string }

func (e *UnknownError) Error() string {
	return fmt.Sprintf("the journal knows no %s %s", e.Kind, e.ID)
}
