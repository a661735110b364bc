package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// This file is about data disks that are saved as snapshots before they are erased.
const (
	erasedUnsaved   = "erased-unsaved"
	savedTwice      = "saved-twice"
	savedUnrecorded = "saved-without-a-record"
)

// A diskShot is one snapshot of a data disk. It shows as late as the desktop's image.
type diskShot struct {
	id, name string
	created  time.Time
	done     time.Time // when it is complete, or has failed
	failed   bool
	work     string
}

var _ interface {
	handler.Snapshotter
	handler.Saver
} = (*ecd)(nil)

// CreateSnapshot has the data disk of a desktop saved.
func (e *ecd) CreateSnapshot(ctx context.Context, _, id, name string) (string, error) {
	by := of(ctx)
	e.mu.Lock()
	e.commands++
	shot := diskShot{id: fmt.Sprintf("s-%d", e.commands), name: name}
	e.mu.Unlock()
	_, err := e.ask(ctx, "CreateSnapshot", "CreateSnapshot "+id, false, func() error {
		m := e.machine(id)
		if m == nil || m.gone {
			return &desktop.CallError{Call: "CreateSnapshot", Delivery: desktop.Refused, Code: e.spoken("InvalidDesktopId.NotFound"), Message: id}
		}
		k := e.announced(by, id, "saving", 0)
		if shot.work = k.name(); k == nil {
			e.breaks(savedUnrecorded, "the data disk of %s is saved, and no journal says that it was to be", id)
		}
		for _, s := range m.desk.disks {
			if s.name == name && !s.failed {
				e.breaks(savedTwice, "the data disk of %s is saved a second time as %s", id, name)
			}
		}
		shot.created = time.Now()
		shot.done, shot.failed = shot.created.Add(max(m.plan.Snapshot.d(), time.Minute)), m.plan.Snapshot < 0
		m.desk.disks = append(m.desk.disks, shot)
		return nil
	})
	return shot.id, err
}

// Snapshots is DescribeSnapshots.
func (e *ecd) Snapshots(ctx context.Context, _ string, ids []string) (map[string][]desktop.Snapshot, error) {
	out := map[string][]desktop.Snapshot{}
	_, err := e.ask(ctx, "DescribeSnapshots", "DescribeSnapshots "+strings.Join(ids, ","), true, func() error {
		for _, id := range ids {
			out[id] = []desktop.Snapshot{}
			m := e.machine(id)
			if m == nil {
				continue
			}
			at := time.Now().Add(-m.plan.LagImage.d())
			for _, s := range m.desk.disks {
				if s.created.After(at) {
					continue
				}
				d := desktop.Snapshot{ID: s.id, DesktopID: id, DataDisk: true, Created: s.created, Name: s.name, GiB: 100, State: desktop.SnapshotUnderWay}
				if !s.done.After(at) {
					d.State = desktop.SnapshotDone
					if s.failed {
						d.State = desktop.SnapshotFailed
					}
				}
				out[id] = append(out[id], d)
			}
		}
		return nil
	})
	return out, err
}

// snapshotHolds is how old a snapshot may be when the rebuild begins.
const snapshotHolds = 6 * time.Hour

// savingTakesPlace is for how long a snapshot that is being made counts towards what
// may be under way.
const savingTakesPlace = 4 * time.Hour

// isSaved asks whether a data disk that is about to be erased was saved, where its
// fleet wants that.
func (w *world) isSaved(i *invocation, k *work, m *machine, spec desktop.Spec) {
	f := w.fleetFor(k, m.now.ID, i.on.epoch)
	if f == nil || f.Strategy.Snapshot != fleet.SnapshotData || spec.OperateType == "" || m.now.DataDisks == 0 {
		return
	}
	whole := slices.ContainsFunc(m.desk.disks, func(s diskShot) bool {
		return s.work == k.id && !s.failed && !s.done.After(time.Now()) && time.Since(s.created) < snapshotHolds+oldFacts
	})
	if !whole {
		w.breaks(erasedUnsaved, "the data disk of %s is erased by %s, and %d snapshots of it are no help", m.now.ID, k.id, len(m.desk.disks))
	}
}

// savesSome asks whether no more desktops are being saved than may be under way.
func (w *world) savesSome(k *work, r *record, f *fleet.Fleet) {
	if f == nil || !w.static() {
		return
	}
	n := len(r.Desktops)
	for id, p := range k.desktops {
		if !p.people.saving.IsZero() && r.At.Sub(p.people.saving) < savingTakesPlace-clocksApart && p.phase == "" && !slices.Contains(r.Desktops, id) || p.phase == "begun" || p.phase == "accepted" {
			n++
		}
	}
	if most := f.Strategy.AtOnce(k.size); n > most {
		w.breaks(tooManyAtOnce, "%s: %d are under way or being saved, %d may be", k.id, n, most)
	}
}

// savedPlan is a fleet whose data disks go, and are saved before.
func savedPlan(s *schedule, d *dice) {
	desktops(s, d, 1+d.n(4), d.one(4))
	for i := range s.Desktops {
		p := &s.Desktops[i]
		p.Disks = pick(d, 1, 1, 1, 0, 2)
		p.Snapshot = pick(d, d.between(minute, 10*minute), d.between(minute, 30*minute), d.between(minute, 30*minute), -1)
		if d.one(15) {
			p.Snapshot = 5 * hour
		}
	}
	o := quietStrategy(d)
	o["snapshot"] = "data"
	o["maxUnavailable"] = pick(d, "1", "2", `"100%"`)
	if d.one(4) {
		o["before"] = beforeOf(d)
	}
	odds := []odd{
		{"CreateSnapshot", lostAfter, pick(d, 0, 200), 0, 0}, {"CreateSnapshot", lostBefore, pick(d, 0, 200), 0, 0}, {"CreateSnapshot", killAfter, pick(d, 0, 200), 0, 0},
		{"CreateSnapshot", throttles, pick(d, 0, 200), 0, 0}, {"CreateSnapshot", isLate, pick(d, 0, 200), second, 40 * second}, {" saving", killAfter, pick(d, 0, 200), 0, 0},
		{" saved", killBefore, pick(d, 0, 200), 0, 0}, {"DescribeSnapshots", fails, pick(d, 0, 100), 0, 0},
	}
	if s.Odds = append(odds, s.Odds...); d.one(2) {
		s.Odds, s.Budget = odds, 10
	}
	s.fleet(0, "select: all", o, "rebuild: {operateType: replace, consent: [data-disk]}")
	s.release(0, "v1", "m-new1")
	if d.one(4) {
		at := d.between(minute, 3*hour)
		s.control(at, "v1/office", "pause")
		s.control(at+d.between(minute, 9*hour), "v1/office", pick(d, "resume", "resume", "rollback"))
	}
	if d.one(4) {
		freezesOf(s, d, "office")
	}
}
