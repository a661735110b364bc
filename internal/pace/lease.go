package pace

import (
	"bytes"
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"
)

const (
	// leaseTerm is for how long a lease is taken; it is renewed at half of it. For so
	// long, and leaseSkew, nobody has the lease of an instance that was killed.
	leaseTerm = time.Minute
	// leaseSkew is what the clocks of two instances may differ by.
	leaseSkew = 15 * time.Second
	// leasePoll is the pause before a lease that another instance has is asked for
	// again, and leaseRest after the log could not be read or written.
	leasePoll = 500 * time.Millisecond
	leaseRest = 5 * time.Second
	// leaseTimeout bounds one try.
	leaseTimeout = 5 * time.Second
	// leaseVersion is the version of the lines that this build writes and understands.
	leaseVersion = 1
)

// A Log is where instances tell one another who has a lease: lines are only ever
// appended, and only at the length that the log has. internal/journal has such logs.
type Log interface {
	// Read returns what stands behind a length, and the length now.
	Read(ctx context.Context, key string, from int64) (lines []byte, length int64, err error)
	// Append adds lines if the log is that long, and returns the new length.
	Append(ctx context.Context, key string, at int64, lines []byte) (length int64, err error)
}

// A Lease is what lets one instance among all make more than a few calls at once to a
// place. Each instance may always make those few (see Bind), so nobody waits for an
// instance that holds the lease, was killed with it, or cannot reach the log. With n
// instances no more calls are under way than the bound of one and the few of the n-1
// others, as long as their clocks differ by less than 15 seconds.
//
// It is asked for when calls wait for it, and in the background. All methods may be
// called from several goroutines.
type Lease struct {
	log   Log
	place string
	by    string
	key   func(place, day string) string
	warn  func(error)

	limits  []*Limiter
	longest time.Duration // that a call takes

	turn   chan struct{} // full while the log is read or written
	logged string        // the key of the day's log; this and the next two belong to whoever has the turn
	length int64
	last   entry

	mu    sync.Mutex
	until time.Time // ours ends; by the wall clock, which goes on while an instance is frozen
	next  time.Time // it is not asked for again before
	timer *time.Timer
}

// An entry is a line of the log. The last one counts.
type entry struct {
	V     int       `json:"v"`
	Kind  string    `json:"kind"`
	At    time.Time `json:"at"`
	By    string    `json:"by"`
	Place string    `json:"place"`
	Until time.Time `json:"until,omitzero"` // zero: given back
}

// NewLease returns the lease of a place as the instance named by sees it. key names the
// log of a place for a day (UTC), and warn, which may be nil, is told when it cannot be
// read or written.
func NewLease(log Log, place, by string, key func(place, day string) string, warn func(error)) *Lease {
	return &Lease{log: log, place: place, by: by, key: key, warn: warn, turn: make(chan struct{}, 1)}
}

// Bind has a limiter of calls that take timeout at most let only few of them be under way
// at once while the instance does not have the lease. It must come before the limiter's
// first use.
func (l *Lease) Bind(limit *Limiter, few int, timeout time.Duration) {
	limit.lease, limit.few = l, few
	l.limits = append(l.limits, limit)
	l.longest = max(l.longest, timeout)
}

// wall is the time without the reading of the steady clock, which may stand still while
// an instance is frozen.
func wall() time.Time { return time.Now().Round(0) }

// held says whether a call that begins now ends before the lease does.
func (l *Lease) held() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return wall().Add(l.longest).Before(l.until)
}

// want has the lease asked for, or renewed, unless that is not due. The limiters are told
// when there is news. ctx has the credentials; that it ends does not matter.
func (l *Lease) want(ctx context.Context) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := wall()
	if l.until.Sub(now) > leaseTerm/2 {
		return
	}
	if pause := l.next.Sub(now); pause > 0 {
		if l.timer == nil {
			l.timer = time.AfterFunc(min(pause, leaseRest), l.pauseOver)
		}
		return
	}
	select {
	case l.turn <- struct{}{}:
	default: // that is being done
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), leaseTimeout)
	go func() {
		defer cancel()
		l.ask(ctx)
		<-l.turn
		l.tell()
	}()
}

func (l *Lease) pauseOver() {
	l.mu.Lock()
	l.timer = nil
	l.mu.Unlock()
	l.tell()
}

// tell has the limiters look again at what they may grant.
func (l *Lease) tell() {
	for _, limit := range l.limits {
		limit.again()
	}
}

func (l *Lease) ask(ctx context.Context) {
	until, err := l.take(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.until, l.next = until, wall().Add(leasePoll)
		return
	}
	l.next = wall().Add(leaseRest)
	if l.warn != nil {
		l.warn(err)
	}
}

// take writes down that the lease is ours, and returns until when: not at all if another
// instance has it. An append that failed may have been written, or have lost against
// another instance's: reading tells.
func (l *Lease) take(ctx context.Context) (until time.Time, err error) {
	const tries = 2
	for range tries {
		now := wall() // of the day whose log is read
		if err = l.read(ctx, now); err != nil {
			return time.Time{}, err
		}
		if l.last.By != l.by && l.last.Until.Add(leaseSkew).After(now) {
			return time.Time{}, nil
		}
		// It ends before the day does by anybody's clock, so that the log of another day
		// need not be looked at.
		midnight := now.UTC().Truncate(24 * time.Hour).Add(24 * time.Hour)
		until = now.Add(leaseTerm)
		if end := midnight.Add(-leaseSkew); until.After(end) {
			until = end
		}
		if err = l.write(ctx, entry{At: now.UTC(), Until: until.UTC()}); err == nil {
			return until, nil
		}
	}
	return time.Time{}, err
}

// read reads what is new in the log of the day that now is of.
func (l *Lease) read(ctx context.Context, now time.Time) error {
	if key := l.key(l.place, now.UTC().Format(time.DateOnly)); key != l.logged {
		l.logged, l.length, l.last = key, 0, entry{}
	}
	lines, length, err := l.log.Read(ctx, l.logged, l.length)
	if err != nil {
		l.length, l.last = 0, entry{} // it may be another one by now
		return err
	}
	l.length = length
	lines = bytes.TrimSuffix(lines, []byte("\n"))
	if len(lines) == 0 {
		return nil
	}
	l.last = entry{}
	err = json.Unmarshal(lines[bytes.LastIndexByte(lines, '\n')+1:], &l.last)
	if err != nil || l.last.V > leaseVersion {
		// Somebody may have the lease by it, for the term of one that was taken just now.
		l.last = entry{Until: now.Add(leaseTerm)}
	}
	return nil
}

func (l *Lease) write(ctx context.Context, e entry) error {
	e.V, e.Kind, e.By, e.Place = leaseVersion, "lease", l.by, l.place
	line, err := json.Marshal(e)
	if err != nil {
		return err
	}
	length, err := l.log.Append(ctx, l.logged, l.length, append(line, '\n'))
	if err == nil {
		l.length, l.last = length, e
	}
	return err
}

// Give gives the lease back, if the instance has it and no call is under way: at the end
// of an invocation, since the instance may be frozen then. What cannot be given back ends
// by itself.
func (l *Lease) Give(ctx context.Context) {
	select {
	case l.turn <- struct{}{}:
		defer func() { <-l.turn }()
	case <-ctx.Done():
		return
	}
	l.mu.Lock()
	until := l.until
	l.until, l.next = time.Time{}, time.Time{}
	l.mu.Unlock()
	switch {
	case !until.After(wall()):
	case slices.ContainsFunc(l.limits, (*Limiter).inUse): // by another invocation
		l.mu.Lock()
		l.until = until
		l.mu.Unlock()
	default:
		if err := l.write(ctx, entry{At: wall().UTC()}); err != nil && l.warn != nil {
			l.warn(err)
		}
	}
}
