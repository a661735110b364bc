package operator

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// A Query says which operations are listed.
type Query struct {
	Kinds []string // Request, Rollout
	Fleet string   // only rollouts of this fleet; "": of any, and requests
	Ended bool     // those that have ended, too
	// Most bounds how many journals of each kind are read: those that were written
	// last. Beyond those it bounds how many more are read because an index says that
	// they are open, or that they are their fleet's latest. 0 means MostRead.
	Most int
	// Readers bounds how many are read at once; 0 means one for each processor,
	// which suits a directory. Object Storage takes more.
	Readers int
	// Over remembers from one listing to the next which journals have ended: by
	// key, how long they were. Those that are still as long are not read again.
	// It goes with Ended false; nil: nothing is remembered.
	Over map[string]int64
}

// mayBeOf says whether a journal may be that of a rollout of the fleet, by its key.
func mayBeOf(key, fleet string) bool {
	kind, id, ok := journal.SplitKey(key)
	if !ok {
		return true
	}
	_, of, ok := rollout.SplitID(id)
	return kind == Rollout && ok && of == fleet
}

func (q Query) readers() int { return cmp.Or(q.Readers, runtime.GOMAXPROCS(0)) }

// MostRead is how many journals of a kind one listing reads unless it is told
// otherwise.
const MostRead = 20_000

// A Listing is what a Query found, the latest opened first.
type Listing struct {
	Operations []Operation `json:"works"`
	Ended      int         `json:"ended"`   // that have ended and are not among them
	NotRead    int         `json:"notRead"` // that were left out: their journals were written longest ago, and nothing says that they are open
	Empty      bool        `json:"empty"`   // the journal has no request and no rollout at all
}

// List reads journals and sums them up. It holds as many of them in memory as it
// has readers, and no more.
func List(ctx context.Context, store journal.Store, q Query) (Listing, error) {
	l := Listing{Operations: []Operation{}, Empty: true}
	var keys []journal.Entry
	for _, kind := range q.Kinds {
		found, err := l.find(ctx, store, kind, q)
		if err != nil {
			return l, err
		}
		for _, e := range found {
			if size, over := q.Over[e.Key]; over && size == e.Size {
				l.Ended++
				continue
			}
			keys = append(keys, e)
		}
	}
	if err := l.read(ctx, store, keys, q); err != nil {
		return l, err
	}
	if q.Fleet != "" { // a key that holds a hash does not tell
		l.Operations = slices.DeleteFunc(l.Operations, func(x Operation) bool { return x.Fleet != q.Fleet })
	}
	if err := l.checkEmpty(ctx, store, q); err != nil {
		return l, err
	}
	slices.SortStableFunc(l.Operations, func(a, b Operation) int {
		return cmp.Or(b.Opened.Compare(a.Opened), strings.Compare(a.Kind+a.ID, b.Kind+b.ID))
	})
	return l, nil
}

// find returns the journals of a kind that are to be read, and counts those that
// are not.
func (l *Listing) find(ctx context.Context, store journal.Store, kind string, q Query) ([]journal.Entry, error) {
	found, err := journal.Entries(ctx, store, kind+"/")
	if err != nil {
		return nil, err
	}
	l.Empty = l.Empty && len(found) == 0
	if q.Fleet != "" {
		found = slices.DeleteFunc(found, func(e journal.Entry) bool { return !mayBeOf(e.Key, q.Fleet) })
	}
	slices.SortStableFunc(found, func(a, b journal.Entry) int { return b.Written.Compare(a.Written) })
	most := cmp.Or(q.Most, MostRead)
	if len(found) <= most {
		return found, nil
	}
	open, err := stillOpen(ctx, store, kind, most, q.readers())
	if err != nil {
		return nil, err
	}
	late := slices.DeleteFunc(slices.Clone(found[most:]), func(e journal.Entry) bool { return !open[e.Key] })
	l.NotRead += len(found) - most - len(late)
	return slices.Concat(found[:most], late), nil
}

// checkEmpty looks at the kinds that were not asked for: only a journal that has
// none of them either is empty.
func (l *Listing) checkEmpty(ctx context.Context, store journal.Store, q Query) error {
	for _, kind := range []string{Request, Rollout} {
		if !l.Empty || slices.Contains(q.Kinds, kind) {
			continue
		}
		some, err := store.Some(ctx, kind+"/", "", 1)
		if err != nil {
			return err
		}
		l.Empty = len(some) == 0
	}
	return nil
}

// read sums up the journals of the keys, some at once.
func (l *Listing) read(ctx context.Context, store journal.Store, keys []journal.Entry, q Query) error {
	var mu sync.Mutex // guards l and q.Over
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(q.readers())
	for _, e := range keys {
		group.Go(func() error {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			o, ended, err := brief(ctx, store, e, q.Ended)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			switch {
			case ended:
				l.Ended++
				if q.Over != nil && e.Size > 0 {
					q.Over[e.Key] = e.Size
				}
			case o.ID != "":
				l.Operations = append(l.Operations, o)
			}
			return nil
		})
	}
	return group.Wait()
}

// The end of a journal that is read before the whole of it is, and the size from
// which on that pays: it is one more call where it does not help.
const (
	tailBytes = 64 << 10
	tailFrom  = 4 * tailBytes
)

// brief sums up one journal, or says that it has ended where such are not asked
// for. Of a long one it reads the end first, where an ended one says how it came
// out.
func brief(ctx context.Context, store journal.Store, e journal.Entry, wanted bool) (o Operation, ended bool, err error) {
	if e.Size > tailFrom {
		lines, err := journal.Tail(ctx, store, e.Key, tailBytes)
		if err != nil {
			return o, false, err
		}
		if o, ended, ok := atItsEnd(lines, wanted); ok {
			return o, ended, nil
		}
	}
	lines, _, err := store.Read(ctx, e.Key, 0)
	if err != nil {
		return o, false, err
	}
	if o, ended, ok := atItsEnd(lines, wanted); ok {
		return o, ended, nil
	}
	s := rollout.NewState()
	err = report.Fold(s, lines)
	switch {
	case err != nil:
		return o, false, fmt.Errorf("reading journal %s: %w", e.Key, err)
	case s.Operation == nil: // opened by nobody: not an operation yet
		return o, false, nil
	case s.Closed && !wanted:
		return o, true, nil
	}
	return OperationOf(s), false, nil
}

// atItsEnd sums up a journal by its last lines; ok is false where they do not
// tell.
func atItsEnd(lines []byte, wanted bool) (o Operation, ended, ok bool) {
	if !wanted {
		return o, true, closed(lines)
	}
	if e := rollout.EndingIn(lines); e != nil {
		return endedOperation(e), false, true
	}
	return o, false, false
}

// closedLine is how a record begins that ends an operation, as rollout.Encode writes
// it. A test holds it to that.
var closedLine = []byte(`{"v":1,"kind":"closed",`)

// closed says whether the lines surely end an operation, without decoding them: in a
// large journal most operations have ended. False means that only folding tells. A
// text within a record cannot look like the beginning of a line, since JSON
// escapes line feeds.
func closed(lines []byte) bool {
	at := bytes.LastIndex(lines, closedLine)
	return at >= 0 && (at == 0 || lines[at-1] == '\n')
}
