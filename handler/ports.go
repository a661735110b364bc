package handler

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// The errors of every method here are *desktop.CallError, whose Delivery says what
// may be done next. All methods may be called from several goroutines and give
// up when ctx ends.

// ECD is Elastic Desktop Service as the handler uses it.
type ECD interface {
	Rebuilder
	Describer
	Maintainer
	Checker
}

// A Rebuilder wipes system disks.
type Rebuilder interface {
	// Rebuild makes one RebuildDesktops call of at most desktop.MaxBatch ids. It
	// repeats the call by itself only as long as it certainly was not carried
	// out. Of a desktop that is missing from the answer it is not known whether its
	// rebuild was started.
	Rebuild(context.Context, desktop.Batch) (desktop.Answer, error)
}

// A Describer reads facts. What ECD does not list is absent from the results.
type Describer interface {
	Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error)
	Select(ctx context.Context, region string, s desktop.Selector) ([]desktop.Desktop, error)
	Tags(ctx context.Context, region string, ids []string) (map[string]map[string]string, error)
	Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error)
	ImagesNamed(ctx context.Context, region, name string) ([]desktop.Image, error) // newest first
	Changes(ctx context.Context, region, id string) ([]desktop.Change, error)      // newest first
}

// A Maintainer makes desktops ready for a rebuild, and restores them afterwards.
type Maintainer interface {
	Maintain(ctx context.Context, region string, ids []string, on bool) error
	Stop(ctx context.Context, region string, ids []string) error
	Start(ctx context.Context, region string, ids []string) error
}

// A Checker runs a command on desktops. Run may make several calls, each with
// an id of its own.
type Checker interface {
	Run(ctx context.Context, region string, ids []string, command, kind string, timeout time.Duration) (invokeIDs []string, err error)
	Invocations(ctx context.Context, region, invokeID string) ([]desktop.Invocation, error)
}

// A Snapshotter reads the snapshots of desktops, each of which has an entry in
// the result, if only an empty one.
type Snapshotter interface {
	Snapshots(ctx context.Context, region string, ids []string) (map[string][]desktop.Snapshot, error)
}

// A Saver makes a snapshot of a desktop's data disk, of that name, and returns its id.
// Whether one was made whose answer was lost shows by its name.
type Saver interface {
	CreateSnapshot(ctx context.Context, region, id, name string) (snapshotID string, err error)
}

// A Notifier shows a text on Windows desktops: in the session of a user, or to all.
// It returns ids for Invocations. That the command ran does not mean that the
// text was read.
type Notifier interface {
	Tell(ctx context.Context, region string, ids []string, user, text string) (invokeIDs []string, err error)
}

// A Census reads who is on desktops, and who tried to get there. Each desktop has an
// entry in Sessions, if only an empty one; from a time on, what was over before may be
// left out.
type Census interface {
	Sessions(ctx context.Context, region string, ids []string, from time.Time) (map[string][]desktop.Session, error)
	Events(ctx context.Context, region, id string, from, to time.Time) ([]desktop.Event, error) // id "": of all desktops
}

// An Alarmer reads alarm rules by their exact name; there may be several of one name,
// or none.
type Alarmer interface {
	Alarms(ctx context.Context, region, name string) ([]desktop.Alarm, error)
}

// A Topic publishes events. Publishing one twice does no harm: its id is the same.
type Topic interface {
	Publish(ctx context.Context, body []byte, tag string) error
}

// A Queue is where requests come from and ticks go to.
type Queue interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
	// SendEach puts a message there that comes once after each of the delays, in one call.
	// After an error none, some or all of them may be there.
	SendEach(ctx context.Context, body []byte, delays ...time.Duration) error
}

// A Meter counts API calls by name. The zero value is ready; it may be used from
// several goroutines.
type Meter struct {
	mu    sync.Mutex
	calls map[string]int
}

// Count adds one call.
func (m *Meter) Count(name string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.calls == nil {
		m.calls = map[string]int{}
	}
	m.calls[name]++
}

// Snapshot returns the counts so far.
func (m *Meter) Snapshot() map[string]int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return maps.Clone(m.calls)
}
