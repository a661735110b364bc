package handler

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/rollout"
)

// takeRelease makes a rollout of a release over each fleet that follows it.
func (r *run) takeRelease(m envelope.Message) error {
	rel, err := events.ParseRelease(m.Data)
	if err != nil {
		r.refuseMessage(m, events.CodeInvalidRequest, err.Error())
		return nil
	}
	var works []rollout.Operation
	for _, region := range slices.Sorted(maps.Keys(rel.Images)) {
		if !slices.Contains(r.Rules.Regions, region) {
			r.refuseMessage(m, events.CodeRegionNotAllowed, fmt.Sprintf("region %s is not in REGILD_REGIONS", region))
			continue
		}
		images, err := r.ECD.Images(r.ctx, region, []string{rel.Images[region]})
		if err != nil {
			return fmt.Errorf("reading the image of release %s: %w", rel.ReleaseID, err)
		}
		if len(images) == 0 {
			r.refuseMessage(m, events.CodeImageNotFound, fmt.Sprintf("ECD lists no image %s in %s", rel.Images[region], region))
			continue
		}
		if rel.Image != "" {
			images[0].Name = rel.Image
		}
		works = append(works, r.worksOf(rel.ReleaseID, images[0])...)
	}
	if len(works) == 0 {
		if len(rel.Images) > 0 {
			r.refuseMessage(m, events.CodeNoFleetFollows, fmt.Sprintf("no fleet of fleets.yaml follows the image of release %s", rel.ReleaseID))
		}
		return nil
	}
	if works = r.heardRelease(m, works); len(works) == 0 {
		return nil
	}
	return r.release(asked{m, false}, works, rel.DryRun, rel.PlanDigest)
}

// takeTrail makes rollouts of an image event that ActionTrail recorded. Most of
// what it records is none of our business; that is no fault of anybody.
func (r *run) takeTrail(m envelope.Message) error {
	e, relevant, err := events.ParseActionTrail(m.Data)
	switch {
	case errors.Is(err, events.ErrECSImage), m.Type == events.TypeECSImage:
		r.refuseMessage(m, events.CodeEcsImage, events.ErrECSImage.Error())
		return nil
	case err != nil:
		r.refuseMessage(m, events.CodeInvalidRequest, err.Error())
		return nil
	case !relevant || !slices.Contains(r.Rules.Regions, e.RegionID):
		r.counts.ignored()
		return nil
	}
	var images []desktop.Image
	if e.ImageID != "" {
		images, err = r.ECD.Images(r.ctx, e.RegionID, []string{e.ImageID})
	} else {
		images, err = r.ECD.ImagesNamed(r.ctx, e.RegionID, e.ImageName)
	}
	if err != nil {
		return fmt.Errorf("reading the image of %s: %w", e.EventName, err)
	}
	if len(images) == 0 {
		r.refuseMessage(m, events.CodeImageNotFound, fmt.Sprintf("ECD lists no image %s%s in %s", e.ImageID, e.ImageName, e.RegionID))
		return nil
	}
	works := r.worksOf(images[0].ID, images[0])
	if len(works) == 0 {
		r.counts.ignored()
		return nil
	}
	if works = r.heardRelease(m, works); len(works) == 0 {
		return nil
	}
	return r.release(asked{m, true}, works, false, "")
}

// worksOf returns the rollouts of an image: one for each fleet that follows it.
func (r *run) worksOf(releaseID string, image desktop.Image) []rollout.Operation {
	var out []rollout.Operation
	for _, f := range r.Rules.Fleets.Following(image.Name, image.RegionID) {
		out = append(out, rollout.Operation{
			ID: releaseID + "/" + f.Name, Fleet: f.Name, ReleaseID: releaseID, ImageName: image.Name, ImageMade: image.Created,
			Spec: specOf(f, image.ID),
		})
	}
	return out
}

func specOf(f fleet.Fleet, imageID string) desktop.Spec {
	return desktop.Spec{RegionID: f.Region, ImageID: imageID, OperateType: f.Rebuild.OperateType,
		Language: f.Rebuild.Language, AfterStatus: f.Rebuild.AfterStatus}
}

// asked is what a rollout follows from: a message that asks for it or, if image is
// set, an event that tells of a new image.
type asked struct {
	envelope.Message
	image bool
}

// release opens rollouts, or shows what they would do.
func (r *run) release(m asked, works []rollout.Operation, dryRun bool, digest string) error {
	if r.Journal == nil && !dryRun {
		r.refuseMessage(m.Message, events.CodeRolloutNeedsJournal, "a rollout remembers what it began in a journal; set REGILD_JOURNAL")
		return nil
	}
	if dryRun || digest != "" {
		plans, total, incomplete := r.previews(works)
		if dryRun {
			for i, p := range plans {
				r.publishPlan(p, works[i])
			}
			return nil
		}
		known, err := r.checkedBefore(m, works)
		if err != nil {
			return err
		}
		switch {
		case known:
		case incomplete != nil:
			return incomplete // no plan that anybody can agree to
		case total != digest:
			if err := r.refusePlans(works, digest); err != nil {
				return err
			}
			r.refuseMessage(m.Message, events.CodePlanChanged, "the plan made now is "+total+"; look at it with dryRun and ask again")
			return nil
		}
	}
	for _, w := range works {
		if err := r.openRollout(m, w, digest); err != nil {
			return err
		}
	}
	return nil
}

// previews plans several rollouts. What one planDigest stands for is all of
// them together.
func (r *run) previews(works []rollout.Operation) (_ []events.Plan, total string, incomplete error) {
	var plans []events.Plan
	var digests []string
	for _, w := range works {
		p := r.preview(w)
		plans, digests = append(plans, p.Plan), append(digests, p.PlanDigest)
		incomplete = errors.Join(incomplete, p.complete())
	}
	total = digests[0]
	if len(digests) > 1 {
		total = events.Digest(digests)
	}
	for i := range plans {
		plans[i].PlanDigest = total
	}
	return plans, total, incomplete
}

// checkedBefore says whether the plan of the rollouts was checked before: all of
// them are in their fleets' logs, or this very message has entered one of them.
func (r *run) checkedBefore(m asked, works []rollout.Operation) (bool, error) {
	all := true
	for _, w := range works {
		log, err := r.fleetLog(w.Fleet)
		if err != nil {
			return false, err
		}
		e := log.Find(w.ID)
		if e != nil && e.Message == r.identity(m.Message) {
			return true, nil
		}
		all = all && e != nil
	}
	return all, nil
}

// refusePlans writes into the logs of the fleets that the rollouts were asked for
// with a plan that they no longer had, so that what is still on its way to enter
// one of them comes too late.
func (r *run) refusePlans(works []rollout.Operation, digest string) error {
	for _, w := range works {
		if err := r.refusePlan(w, digest); err != nil {
			return err
		}
	}
	return nil
}

func (r *run) refusePlan(w rollout.Operation, digest string) error {
	v, err := r.openList(r.ctx, fleetKey(w.Fleet))
	if err != nil {
		return fmt.Errorf("refusing the plan of rollout %s: %w", w.ID, err)
	}
	entered := false
	err = v.Update(r.ctx, func(l *recordList) []rollout.Record {
		if entered = rollout.ReadFleetLog(*l).Find(w.ID) != nil; entered {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindUnplanned, At: r.now, Name: w.ID, Digest: digest}}
	})
	if err == nil && entered { // delivered again, its plan counts as checked
		err = fmt.Errorf("rollout %s was entered meanwhile", w.ID)
	}
	return err
}

// openRollout puts a rollout behind the others of its fleet and makes a job of
// it. The order in the fleet's log is the order of the releases, whoever was
// delivered first.
func (r *run) openRollout(m asked, w rollout.Operation, plan string) error {
	w.Via = r.via(m.Message)
	e, refusal, err := r.enter(w, entering{r.identity(m.Message), m.image, plan})
	switch {
	case err != nil:
		return err
	case refusal != nil && m.image && refusal.Code == events.CodeImageReleasedBefore:
		r.counts.ignored() // most events tell of what was released by a message as well
		return nil
	case refusal != nil:
		r.refuseMessage(m.Message, refusal.Code, refusal.Message)
		return nil
	case !e.Same(w):
		r.refuseMessage(m.Message, events.CodeRequestIdReused, fmt.Sprintf("release %s was published before with another image; give every release an id of its own", w.ReleaseID))
		return nil
	}
	w.First = e.First
	j, fresh := r.add(kindRollout, w.ID)
	if fresh {
		j.message = m.Message
	}
	w.Via = e.Via // that of whoever entered it
	if err := r.openOperation(j, w, ""); err != nil {
		r.drop(j)
		return err
	}
	return nil
}

// entering is what a rollout is entered for.
type entering struct {
	message string // its id
	image   bool   // an event that tells of a new image: nobody asked
	plan    string // the digest of the plan that is demanded; "": none is
}

// enter writes a rollout into its fleet's log, unless it is there, and returns its
// entry, or why it may not be entered. Whatever speaks against it is asked about
// the very log that it is appended to. A tick for it is on the queue before.
func (r *run) enter(w rollout.Operation, why entering) (rollout.Entry, *events.Reason, error) {
	e := rollout.Entry{Operation: w, At: r.now, Message: why.message}
	v, err := r.openList(r.ctx, fleetKey(w.Fleet))
	if err != nil {
		return e, nil, fmt.Errorf("entering rollout %s: %w", w.ID, err)
	}
	refusals := rollout.PlanRefusals(*v.known().state, w.ID, why.plan)
	var refusal *events.Reason
	var fault error
	err = v.Update(r.ctx, func(l *recordList) []rollout.Record {
		log := rollout.ReadFleetLog(*l)
		if before := log.Find(w.ID); before != nil {
			e, refusal, fault = *before, nil, nil
			return nil
		}
		if refusal, fault = r.mayEnterLog(log, w, why.image); refusal != nil || fault != nil {
			return nil
		}
		if rollout.PlanRefusals(*l, w.ID, why.plan) > refusals { // by another delivery, at this moment
			refusal = &events.Reason{Code: events.CodePlanChanged, Message: errPlanRefused.Error()}
			return nil
		}
		if e.First, fault = r.first(log, w); fault != nil {
			return nil
		}
		if _, fault = r.tickFor(kindRollout, w.ID); fault != nil {
			return nil
		}
		return []rollout.Record{e.Entered()}
	})
	return e, refusal, errors.Join(fault, err)
}

// mayEnterLog says why a rollout may not follow those of its fleet's log, or nil.
func (r *run) mayEnterLog(log rollout.FleetLog, w rollout.Operation, image bool) (*events.Reason, error) {
	ended := false
	if last := log.Latest(); last != nil {
		var err error
		if ended, err = r.ended(*last); err != nil {
			return nil, err
		}
	}
	return log.MayFollow(w, image, ended), nil
}

// first says whether no rollout of a fleet has gone further than its canary yet.
// What takes back is never the first.
func (r *run) first(log rollout.FleetLog, w rollout.Operation) (first bool, err error) {
	if w.Undoes != "" {
		return false, nil
	}
	for _, last := range slices.Backward(log) {
		if last.Undoes != "" {
			continue
		}
		if !last.First {
			return false, nil
		}
		err = r.peek(kindRollout, last.ID, func(s *rollout.State) {
			first = len(s.Waves) < 2 && !(s.Closed && s.Planned == 1)
		})
		return first, err
	}
	return true, nil
}

// ended says whether nothing is left to do for a rollout. What has ended does not
// begin again, so the answer may be kept.
func (r *run) ended(e rollout.Entry) (ended bool, err error) {
	err = r.peek(kindRollout, e.ID, func(s *rollout.State) {
		ended = s.Closed
		if s.Operation == nil { // nobody has opened it yet, or its journal has expired
			ended = r.now.Sub(e.At) > reopen
		}
	})
	return ended, err
}

// reopen is how long after it was entered a rollout whose journal is empty is
// opened: whoever entered it died just then. Later, its journal has expired, and
// what is long over must not begin again.
const reopen = 24 * time.Hour

func fleetKey(name string) string { return journal.Key(kindFleet, name) }

// fleetLog reads which rollouts a fleet had, oldest first.
func (r *run) fleetLog(name string) (rollout.FleetLog, error) {
	v, err := r.openList(r.ctx, fleetKey(name))
	if err != nil {
		return nil, fmt.Errorf("reading the log of fleet %s: %w", name, err)
	}
	return rollout.ReadFleetLog(*v.known().state), nil
}

// wakeEntered wakes a rollout whose journal is empty, if its fleet's log names it:
// whoever entered it could not open it.
func (r *run) wakeEntered(id string) error {
	_, fleet, ok := rollout.SplitID(id)
	if !ok {
		return nil
	}
	log, err := r.fleetLog(fleet)
	if err != nil {
		return err
	}
	if e := log.Find(id); e != nil {
		r.wake(*e)
	}
	return nil
}

// wake makes a job of a rollout that its fleet's log names.
func (r *run) wake(e rollout.Entry) {
	j, fresh := r.add(kindRollout, e.ID)
	if !fresh {
		return
	}
	err := r.open(j)
	if err == nil && j.work() == nil {
		if r.now.Sub(e.At) > reopen {
			r.drop(j)
			return
		}
		err = r.openEntered(j, e)
	}
	if err != nil {
		r.fail(j, err)
	}
}

// openEntered opens the journal of a rollout that its fleet's log names.
func (r *run) openEntered(j *job, e rollout.Entry) error {
	if e.Undoes != "" {
		return r.openRollback(j, e)
	}
	return r.openOperation(j, e.Operation, "")
}

// superviseFleets sees to it that only the latest rollout of a fleet begins
// anything, and that it knows what the ones before it are still rebuilding. It
// goes by the fleet's log alone, so it does not matter who was told what when.
func (r *run) superviseFleets() {
	for i := 0; i < len(r.jobs); i++ { // the list may grow
		j := r.jobs[i]
		if j.kind != kindRollout || j.failed != nil || j.journal == nil {
			continue
		}
		var w *rollout.Operation
		j.journal.Look(func(s *rollout.State) { w = s.Operation })
		if w == nil {
			continue
		}
		if err := r.supervise(j, w); err != nil {
			r.fail(j, err)
		}
	}
}

func (r *run) supervise(j *job, w *rollout.Operation) error {
	log, err := r.fleetLog(w.Fleet)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(log, func(e rollout.Entry) bool { return e.ID == w.ID })
	if at < 0 {
		return fmt.Errorf("rollout %s is not in the log of fleet %s: the journal is damaged", w.ID, w.Fleet)
	}
	if latest := log.Latest(); latest.ID != w.ID {
		if err := r.supersede(j, latest.ID); err != nil {
			return err
		}
		r.wake(*latest)
		return nil
	}
	j.busy = map[string]string{}
	for at--; at >= 0; at-- {
		before, _ := r.add(kindRollout, log[at].ID)
		if err := r.open(before); err != nil {
			return err
		}
		if err := r.supersede(before, w.ID); err != nil {
			return err
		}
		ended := false
		before.journal.Look(func(s *rollout.State) {
			ended = s.Closed && s.Superseded == "" || r.now.Sub(log[at+1].At) > busyLimit
			for id, d := range s.Desktops {
				// Who is still in maintenance mode, or stopped, by the one before would
				// be released or started by it while we use it.
				ours := !s.Closed && (d.Held || d.Stopped)
				if d.Phase == rollout.Begun || d.Phase == rollout.Accepted || ours {
					j.busy[id] = log[at].ID
				}
			}
		})
		if ended {
			break
		}
	}
	return nil
}

// busyLimit is how long after a rollout was superseded desktops may still be
// under way for it: it follows none for longer than a day.
const busyLimit = 25 * time.Hour

// supersede writes down that a newer rollout took over. From then on nobody
// begins a desktop for the old one, not even an instance that is at it now.
func (r *run) supersede(j *job, by string) error {
	return j.journal.Update(r.ctx, func(s *rollout.State) []rollout.Record {
		if !s.Open() || s.Superseded != "" {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindSuperseded, At: r.now, Who: by,
			Reason: &events.Reason{Code: events.CodeSuperseded, Message: by + " took over"}}}
	})
}
