package handler

import (
	"errors"
	"sync"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// announcedSaves returns the records that announce snapshots. Desktops that share a
// record are in one round.
func announcedSaves(list []rollout.Saving, call string) []rollout.Record {
	byRound := map[int]int{}
	var out []rollout.Record
	for _, x := range list {
		i, known := byRound[x.Round]
		if !known {
			i, byRound[x.Round] = len(out), len(out)
			out = append(out, rollout.Record{Kind: rollout.KindSaving, Call: call, N: x.Round})
		}
		out[i].Desktops = append(out[i].Desktops, x.DesktopID)
	}
	return out
}

// saveWorkers is how many snapshots are asked for at once; the adapter bounds how many
// calls are under way.
const saveWorkers = 8

// save asks for snapshots of data disks, and writes down for each desktop what became of
// the call.
func (a *acting) save(list []rollout.Saving) {
	if len(list) == 0 || a.job.failure() != nil {
		return
	}
	records := make([]rollout.Record, len(list))
	var wg sync.WaitGroup
	turns := make(chan struct{}, saveWorkers)
	for i, x := range list {
		wg.Go(func() {
			turns <- struct{}{}
			defer func() { <-turns }()
			records[i] = rollout.Record{Kind: rollout.KindSaved, Call: a.call, Desktops: []string{x.DesktopID}}
			snapshot, err := a.snapshot(x)
			if records[i].Snapshot = snapshot; err != nil {
				records[i].Reason = saveReason(err)
				a.log.Warn("a data disk could not be saved", "job", a.job.id, "desktop_id", x.DesktopID, "error", err.Error())
			}
		})
	}
	wg.Wait()
	a.facts.forgetSnapshots(a.at, list) // what was read of them was so before
	if err := a.job.journal.Update(a.ctx, func(*rollout.State) []rollout.Record { return records }); err != nil {
		a.recovery.fail(a.job, err)
	}
}

func (a *acting) snapshot(x rollout.Saving) (id string, err error) {
	if a.fault != nil {
		return "", a.fault
	}
	if a.Saver == nil {
		return "", &desktop.CallError{Call: "CreateSnapshot", Delivery: desktop.Refused, Message: "snapshots cannot be made here"}
	}
	err = contain(func() (err error) {
		id, err = a.Saver.CreateSnapshot(a.within, a.at.Region, x.DesktopID, x.Name)
		return err
	})
	return id, err
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
