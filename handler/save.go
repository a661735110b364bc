package handler

import (
	"errors"
	"sync"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// saveWorkers is how many snapshots are asked for at once; the adapter bounds how many
// calls are under way.
const saveWorkers = 8

// save asks for snapshots of data disks, and writes down for each desktop what became of
// the call.
func (a *acting) save(x rollout.Act, call string) {
	if a.job.failure() != nil {
		return
	}
	operation, records := a.job.operation().ID, make([]rollout.Record, len(x.Desktops))
	var wg sync.WaitGroup
	turns := make(chan struct{}, saveWorkers)
	for i, id := range x.Desktops {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			records[i] = rollout.Record{Kind: x.Ends(), Call: call, Desktops: []string{id}}
			snapshot, err := a.snapshot(id, rollout.SnapshotName(operation, id, x.N))
			if records[i].Snapshot = snapshot; err != nil {
				records[i].Reason = saveReason(err)
				a.log.Warn("a data disk could not be saved", "job", a.job.id, "desktop_id", id, "error", err.Error())
			}
		})
	}
	wg.Wait()
	a.facts.change(a.at, func(f *rollout.Facts) { // what was read of them was so before
		for _, id := range x.Desktops {
			delete(f.Snapshots, id)
		}
	})
	if err := a.job.journal.Update(a.ctx, func(*rollout.State) []rollout.Record { return records }); err != nil {
		a.recovery.fail(a.job, err)
	}
}

func (a *acting) snapshot(id, name string) (snapshot string, err error) {
	if a.fault != nil {
		return "", a.fault
	}
	if a.Saver == nil {
		return "", &desktop.CallError{Call: "CreateSnapshot", Delivery: desktop.Refused, Message: "snapshots cannot be made here"}
	}
	err = contain(func() (err error) {
		snapshot, err = a.Saver.CreateSnapshot(a.within, a.at.Region, id, name)
		return err
	})
	return snapshot, err
}

// saveReason says by one of our codes why a snapshot was not made, or may not have been.
func saveReason(err error) *events.Reason {
	r := &events.Reason{Code: events.CodeOutcomeUnknown, Message: rollout.Cut(err.Error())}
	e, ok := errors.AsType[*desktop.CallError](err)
	switch {
	case !ok:
	case e.Throttled && e.Delivery != desktop.Unknown:
		r.Code = events.CodeThrottled
	case e.Delivery == desktop.NotSent:
		r.Code = events.CodeCallFailed
	case e.Delivery == desktop.Forbidden:
		r.Code = events.CodeNotAuthorized
	case e.Delivery == desktop.Refused && e.Code == rollout.IncorrectDesktopStatus:
		r.Code = e.Code
	case e.Delivery == desktop.Refused:
		r.Code = events.CodeSnapshotFailed
	}
	return r
}
