package handler

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// A view is one log as an invocation sees it: its records, folded into a state,
// and the one way to add to them, Update. It may be used from several goroutines,
// and writers that come together share an append.
//
// Its version counts how often others were found to have written. What was decided
// at another version may not hold any more.
type view[S folded] struct {
	logOf
	mu      sync.Mutex // not held while the store appends
	state   S
	length  int64
	version version
	waiting []*update[S]
	writing bool
	broken  error // a panic came in the middle of reading or writing: the state may be half of one; or see reopen
	empty   func() S
	// recalled says that the state is what an earlier invocation knew, and that no append and no
	// read has shown since that nobody else has written. failed says that one of them has failed.
	recalled, failed bool
	// ahead are records that opened the log and are in the state, but not in the log yet:
	// what is written next comes behind them, in one append. reopen makes them, and makes
	// them anew if others write first; its error is that of the view from then on.
	ahead  []rollout.Record
	reopen func(S) ([]rollout.Record, error)
	// complete, if set, adds to the records of one append what follows from the state
	// that they are appended to.
	complete func(S, []rollout.Record)
}

// A folded is a state that records change.
type folded interface {
	Apply(records ...rollout.Record)
	Reached(length int64) // of the log, in bytes
}

// A version is that of a view; see there.
type version int

// A logOf says which log it is, and who writes to it.
type logOf struct {
	store journal.Store
	key   string
	by    string           // the invocation's id, for the records
	now   func() time.Time // for records without a time
}

// An update is one call of Update that waits for its append.
type update[S folded] struct {
	ctx     context.Context          //nolint:containedctx // of the caller; another caller's append may carry its records
	records func(S) []rollout.Record // nil: only fold in what others wrote
	basis   *version                 // nil: the records do not follow from a decision
	decide  func(S) error            // makes the decision anew
	flush   bool                     // what is ahead is written though nothing comes behind it
	err     error                    // why nothing was written for this one
	done    chan struct{}            // closed when it is written, or not; nil: its caller writes
}

// errOvertaken says that others have written since a decision was made, and that
// nothing was written for it.
var errOvertaken = errors.New("others have written meanwhile")

// overtaken is for UpdateBy: a decision is not made anew on the spot.
func overtaken[S folded](S) error { return errOvertaken }

// maxAppend keeps one append well below journal.MaxAppend.
const maxAppend = 2 << 20

// maxRaces bounds how often an append may lose against other instances.
const maxRaces = 20

// openView reads a log. before is what an earlier view knew of it, or nil; empty
// makes the state of a log without records.
func openView[S folded](ctx context.Context, of logOf, before *known[S], empty func() S) (*view[S], error) {
	v := &view[S]{logOf: of, state: empty(), empty: empty}
	if before != nil {
		v.state, v.length = before.state, before.length
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	err := v.catchUp(ctx)
	if errors.Is(err, journal.ErrShrunk) { // expired since it was read last
		v.state, v.length = empty(), 0
		err = v.catchUp(ctx)
	}
	return v, err
}

// recallView returns a view of a log as an earlier one knew it, and reads nothing.
func recallView[S folded](of logOf, before known[S], empty func() S) *view[S] {
	return &view[S]{logOf: of, state: before.state, length: before.length, empty: empty, recalled: true}
}

// known is what a view knows of its log.
type known[S folded] struct {
	state   S
	length  int64
	current bool // the log held just that when it was read or written last
}

func (v *view[S]) known() known[S] {
	v.mu.Lock()
	defer v.mu.Unlock()
	return known[S]{v.state, v.length, !v.recalled && !v.failed}
}

// Recalled says whether nothing has shown in this invocation that the state is that of the log.
func (v *view[S]) Recalled() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.recalled
}

// Broken says that a panic may have left the state half changed.
func (v *view[S]) Broken() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.broken != nil
}

// Look calls f with the state as it is now, and returns its version. f must not
// keep the state.
func (v *view[S]) Look(f func(S)) version {
	v.mu.Lock()
	defer v.mu.Unlock()
	f(v.state)
	return v.version
}

// Update appends the records that f makes of the state, and folds them in. When
// others have written meanwhile, their records are folded in first and f is asked
// again: what f returns always fits the state that it is appended to. f must not
// keep the state. If it returns nothing, nothing is written.
func (v *view[S]) Update(ctx context.Context, f func(S) []rollout.Record) error {
	return v.do(&update[S]{ctx: ctx, records: f})
}

// UpdateBy is Update for records that follow from a decision, made at the version
// basis. If that is not the current one, decide is called to make the decision
// anew, and basis becomes the current version. An error of decide is returned, and
// nothing is written. decide and f hold the view's lock: they must not use it.
func (v *view[S]) UpdateBy(ctx context.Context, basis *version, decide func(S) error, f func(S) []rollout.Record) error {
	return v.do(&update[S]{ctx: ctx, records: f, basis: basis, decide: decide})
}

// OpenAhead folds in the records that open makes of the state, and has them written together
// with what is written next. If others write first, open is asked again about what they
// wrote. The log must be empty.
func (v *view[S]) OpenAhead(open func(S) ([]rollout.Record, error)) error {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.broken != nil {
		return v.broken
	}
	err := contain(func() error { return v.openAhead(open) })
	if bug, ok := errors.AsType[*PanicError](err); ok {
		v.broken = bug
	}
	return err
}

// openAhead makes the records that open the log, and folds them in. The lock is held.
func (v *view[S]) openAhead(open func(S) ([]rollout.Record, error)) error {
	records, err := open(v.state)
	if err != nil {
		return err
	}
	for i := range records {
		v.sign(&records[i])
	}
	lines, err := rollout.Encode(records)
	if err != nil {
		return err
	}
	v.state.Apply(records...)
	v.state.Reached(v.length + int64(len(lines)))
	v.ahead, v.reopen = records, open
	return nil
}

// Unopened says whether the records that open the log are not in it yet.
func (v *view[S]) Unopened() bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.ahead) > 0
}

// Length is that of the log, as it was when it was read or written last.
func (v *view[S]) Length() int64 {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.length
}

// Flush writes what is still ahead of the log.
func (v *view[S]) Flush(ctx context.Context) error {
	if !v.Unopened() {
		return nil
	}
	return v.do(&update[S]{ctx: ctx, records: func(S) []rollout.Record { return nil }, flush: true})
}

// Refresh folds in what others wrote up to now.
func (v *view[S]) Refresh(ctx context.Context) error { return v.do(&update[S]{ctx: ctx}) }

// do writes an update together with all others that wait, or leaves it to the caller
// that is writing now.
func (v *view[S]) do(u *update[S]) error {
	v.mu.Lock()
	v.waiting = append(v.waiting, u)
	if v.writing {
		u.done = make(chan struct{})
		v.mu.Unlock()
		<-u.done
		return u.err
	}
	v.writing = true
	for len(v.waiting) > 0 {
		group := v.waiting
		v.waiting = nil
		err := v.broken
		if err == nil {
			err = contain(func() error { return v.appendInTime(group) })
		}
		if bug, ok := errors.AsType[*PanicError](err); ok {
			v.broken = bug // nothing is written by such a state, and those who wait are told
		}
		for _, u := range group {
			u.err = cmp.Or(u.err, err)
			if u.done != nil {
				close(u.done)
			}
		}
	}
	v.writing = false
	v.mu.Unlock()
	return u.err
}

// appendInTime writes a group within the time of the update that has the most, so
// that what must still be written is not lost because another's time is up.
func (v *view[S]) appendInTime(group []*update[S]) error {
	ctx := group[0].ctx
	for _, u := range group[1:] {
		if endsLater(u.ctx, ctx) {
			ctx = u.ctx
		}
	}
	return v.append(ctx, group)
}

func endsLater(a, b context.Context) bool {
	of, limited := a.Deadline()
	than, bounded := b.Deadline()
	return bounded && (!limited || of.After(than))
}

// append writes one group, again until no other instance writes at the same time. The
// lock is held.
func (v *view[S]) append(ctx context.Context, group []*update[S]) error {
	if slices.ContainsFunc(group, func(u *update[S]) bool { return u.records == nil }) {
		if err := v.catchUp(ctx); err != nil {
			return err
		}
	}
	for range maxRaces {
		records := v.recordsOf(group)
		if v.complete != nil {
			v.complete(v.state, records)
		}
		if len(records) > 0 || slices.ContainsFunc(group, func(u *update[S]) bool { return u.flush }) {
			records = slices.Concat(v.ahead, records)
		}
		err := v.put(ctx, records)
		if !errors.Is(err, journal.ErrMoved) {
			return err
		}
		if err := v.catchUp(ctx); err != nil {
			return err
		}
	}
	return fmt.Errorf("writing journal %s: %w %d times in a row", v.key, journal.ErrMoved, maxRaces)
}

// recordsOf asks the updates of a group for their records. A panic is the error of
// its update alone. The lock is held.
func (v *view[S]) recordsOf(group []*update[S]) (records []rollout.Record) {
	for _, u := range group {
		u.err = contain(func() error {
			if u.basis != nil && *u.basis != v.version {
				if err := u.decide(v.state); err != nil {
					return err
				}
				*u.basis = v.version
			}
			if u.records != nil {
				records = append(records, u.records(v.state)...)
			}
			return nil
		})
	}
	return records
}

// catchUp folds in what was written since the log was read last. The lock is held.
func (v *view[S]) catchUp(ctx context.Context) error {
	from, ahead := v.length, len(v.ahead) > 0
	if ahead { // the state has more than the log: it is made anew
		from = 0
	}
	lines, length, err := v.store.Read(ctx, v.key, from)
	var records []rollout.Record
	if err == nil {
		records, err = rollout.Decode(lines)
	}
	if v.failed = err != nil; v.failed {
		return fmt.Errorf("reading journal %s: %w", v.key, err)
	}
	v.recalled = false
	if length == v.length { // nobody has written
		return nil
	}
	if ahead {
		v.state, v.ahead = v.empty(), nil
	}
	v.state.Apply(records...)
	v.version++
	v.reached(length)
	if ahead {
		if err := v.openAhead(v.reopen); err != nil {
			v.broken = err // it is another's: nothing of ours may be written to it
			return err
		}
	}
	return nil
}

// put encodes records, appends them in pieces that the store takes, and folds in
// each piece that was written. The lock is held, but not while the store appends.
func (v *view[S]) put(ctx context.Context, records []rollout.Record) error {
	if v.store == (nowhere{}) {
		if err := ctx.Err(); err != nil {
			return fmt.Errorf("writing journal %s: %w", v.key, err)
		}
		for i := range records {
			v.sign(&records[i])
		}
		v.state.Apply(records...)
		return nil
	}
	for len(records) > 0 {
		piece, n, err := v.piece(records)
		if err != nil {
			return fmt.Errorf("writing journal %s: %w", v.key, err)
		}
		length, err := v.appendUnlocked(ctx, piece)
		if v.failed = err != nil; v.failed {
			return fmt.Errorf("writing journal %s: %w", v.key, err)
		}
		v.recalled = false
		known := min(n, len(v.ahead)) // the state has them
		v.ahead = v.ahead[known:]
		v.state.Apply(records[known:n]...)
		v.reached(length)
		records = records[n:]
	}
	return nil
}

// reached notes how long the log is. The lock is held.
func (v *view[S]) reached(length int64) {
	v.length = length
	v.state.Reached(length)
}

// appendUnlocked has the store append, and does not hold the lock meanwhile.
func (v *view[S]) appendUnlocked(ctx context.Context, piece []byte) (int64, error) {
	at := v.length
	v.mu.Unlock()
	defer v.mu.Lock()
	return v.store.Append(ctx, v.key, at, piece)
}

// sign gives a record its time, if it has none, and says who wrote it.
func (v *view[S]) sign(r *rollout.Record) {
	if r.At.IsZero() {
		r.At = v.now().UTC()
	}
	r.By = v.by
}

// piece encodes as many of the records as go into one append, and signs them.
func (v *view[S]) piece(records []rollout.Record) (_ []byte, n int, err error) {
	var piece bytes.Buffer
	for ; n < len(records) && piece.Len() < maxAppend; n++ {
		v.sign(&records[n])
		before := piece.Len()
		if err := rollout.EncodeTo(&piece, records[n:n+1]); err != nil {
			return nil, 0, err
		}
		if n > 0 && piece.Len() > journal.MaxAppend {
			piece.Truncate(before)
			break
		}
	}
	return piece.Bytes(), n, nil
}
