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
	var works []rollout.Work
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
	return r.release(m, works, rel.DryRun, rel.PlanDigest)
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
	return r.release(m, works, false, "")
}

// worksOf returns the rollouts of an image: one for each fleet that follows it.
func (r *run) worksOf(releaseID string, image desktop.Image) []rollout.Work {
	var out []rollout.Work
	for _, f := range r.Rules.Fleets.Following(image.Name, image.RegionID) {
		out = append(out, rollout.Work{
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

// release opens rollouts, or shows what they would do.
func (r *run) release(m envelope.Message, works []rollout.Work, dryRun bool, digest string) error {
	if r.Journal == nil && !dryRun {
		r.refuseMessage(m, events.CodeRolloutNeedsJournal, "a rollout remembers what it began in a journal; set REGILD_JOURNAL")
		return nil
	}
	if dryRun || digest != "" {
		plans, total := r.previews(works)
		if dryRun {
			for i, p := range plans {
				r.publishPlan(p, works[i])
			}
			return nil
		}
		if total != digest && !r.allKnown(works) {
			r.refuseMessage(m, events.CodePlanChanged, "the plan made now is "+total+"; look at it with dryRun and ask again")
			return nil
		}
	}
	for _, w := range works {
		if err := r.openRollout(m, w); err != nil {
			return err
		}
	}
	return nil
}

// previews plans several rollouts. What one planDigest stands for is all of
// them together.
func (r *run) previews(works []rollout.Work) ([]events.Plan, string) {
	var plans []events.Plan
	var digests []string
	for _, w := range works {
		p := r.preview(w)
		plans, digests = append(plans, p), append(digests, p.PlanDigest)
	}
	total := digests[0]
	if len(digests) > 1 {
		total = events.Digest(digests)
	}
	for i := range plans {
		plans[i].PlanDigest = total
	}
	return plans, total
}

func (r *run) allKnown(works []rollout.Work) bool {
	for _, w := range works {
		if known, err := r.known(kindRollout, w.ID); err != nil || !known {
			return false
		}
	}
	return true
}

// openRollout puts a rollout behind the others of its fleet and makes a job of
// it. The order in the fleet's log is the order of the releases, whoever was
// delivered first.
func (r *run) openRollout(m envelope.Message, w rollout.Work) error {
	refusal, err := r.enroll(w)
	if err != nil {
		return err
	}
	if refusal != "" {
		r.refuseMessage(m, events.CodeDowngrade, refusal)
		return nil
	}
	j, fresh := r.add(kindRollout, w.ID)
	if fresh {
		j.message = m
	}
	switch err := r.beginWork(j, w); {
	case errors.Is(err, errReused):
		r.refuseMessage(m, events.CodeRequestIdReused, fmt.Sprintf("release %s was published before with another image; give every release an id of its own", w.ReleaseID))
	case err != nil:
		r.drop(j)
		return err
	}
	return nil
}

// enroll writes a rollout into its fleet's log, unless it is there. It returns
// why it may not be: an older image must not come after a newer one, but for a
// rollback.
func (r *run) enroll(w rollout.Work) (refusal string, err error) {
	entry := w
	entry.Back = nil // it may be long, and stands in the rollout's own journal
	for range maxRaces {
		works, length, err := r.fleetLog(w.Fleet)
		if err != nil {
			return "", err
		}
		if slices.ContainsFunc(works, func(o enrolled) bool { return o.ID == w.ID }) {
			return "", nil
		}
		if n := len(works); n > 0 && w.Undoes == "" && works[n-1].Undoes == "" && w.ImageMade.Before(works[n-1].ImageMade) {
			return fmt.Sprintf("image %s of release %s is older than %s of release %s, which fleet %s has already; roll back instead, or publish a newer image",
				w.ImageID, w.ReleaseID, works[n-1].ImageID, works[n-1].ReleaseID, w.Fleet), nil
		}
		line, err := rollout.Encode([]rollout.Record{{Kind: rollout.KindOpened, At: r.now, By: r.in.RequestID, Work: &entry}})
		if err != nil {
			return "", err
		}
		_, err = r.Journal.Append(r.ctx, journal.Key(kindFleet, w.Fleet), length, line)
		if !errors.Is(err, journal.ErrMoved) {
			return "", err
		}
	}
	return "", fmt.Errorf("enrolling rollout %s: %w", w.ID, journal.ErrMoved)
}

// enrolled is one rollout in a fleet's log.
type enrolled struct {
	rollout.Work
	at time.Time
}

// reopen is how long after it was enrolled a rollout whose journal is empty is
// opened: whoever enrolled it died just then. Later, its journal has expired, and
// what is long over must not begin again.
const reopen = 24 * time.Hour

// fleetLog reads which rollouts a fleet had, oldest first.
func (r *run) fleetLog(name string) ([]enrolled, int64, error) {
	lines, length, err := r.Journal.Read(r.ctx, journal.Key(kindFleet, name), 0)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the log of fleet %s: %w", name, err)
	}
	records, err := rollout.Decode(lines)
	if err != nil {
		return nil, 0, fmt.Errorf("reading the log of fleet %s: %w", name, err)
	}
	var works []enrolled
	for _, rec := range records {
		if rec.Kind == rollout.KindOpened && rec.Work != nil {
			works = append(works, enrolled{*rec.Work, rec.At})
		}
	}
	return works, length, nil
}

// origin returns what a fleet's log says of a rollout, nil if nothing, and which
// rollout the fleet had last.
func (r *run) origin(id string) (*enrolled, string, error) {
	_, name, ok := rollout.SplitID(id)
	if !ok {
		return nil, "", nil
	}
	works, _, err := r.fleetLog(name)
	if err != nil || len(works) == 0 {
		return nil, "", err
	}
	latest := works[len(works)-1].ID
	if i := slices.IndexFunc(works, func(o enrolled) bool { return o.ID == id }); i >= 0 {
		return &works[i], latest, nil
	}
	return nil, latest, nil
}

// sweep wakes the latest rollout of every fleet, so that one whose ticks were
// lost goes on. The timer trigger asks for it.
func (r *run) sweep() error {
	if r.Journal == nil {
		return nil
	}
	for _, f := range r.Rules.Fleets {
		works, _, err := r.fleetLog(f.Name)
		if err != nil {
			return err
		}
		if n := len(works); n > 0 {
			r.wake(works[n-1])
		}
	}
	return nil
}

// wake makes a job of a rollout that its fleet's log names.
func (r *run) wake(e enrolled) {
	j, fresh := r.add(kindRollout, e.ID)
	if !fresh {
		return
	}
	err := r.open(j)
	if err == nil && j.work() == nil {
		if r.now.Sub(e.at) > reopen {
			r.drop(j)
			return
		}
		if e.Undoes != "" { // what it undoes was superseded before, so nothing was begun since
			if e.Back, err = r.undoOf(e.Undoes); err == nil && len(e.Back) == 0 {
				r.drop(j) // its journal has expired: the message that asked for it finds out once more
				return
			}
		}
		if err == nil {
			err = r.beginWork(j, e.Work)
		}
	}
	if err != nil {
		r.fail(j, err)
	}
}

// superviseFleets sees to it that only the latest rollout of a fleet begins
// anything, and that it knows what the ones before it are still rebuilding. It
// goes by the fleet's log alone, so it does not matter who was told what when.
func (r *run) superviseFleets() {
	for i := 0; i < len(r.jobs); i++ { // the list may grow
		j := r.jobs[i]
		if j.kind != kindRollout || j.failed != nil || j.ledger == nil {
			continue
		}
		var w *rollout.Work
		j.ledger.view(func(s *rollout.State) { w = s.Work })
		if w == nil {
			continue
		}
		if err := r.supervise(j, w); err != nil {
			r.fail(j, err)
		}
	}
}

func (r *run) supervise(j *job, w *rollout.Work) error {
	works, _, err := r.fleetLog(w.Fleet)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(works, func(o enrolled) bool { return o.ID == w.ID })
	if at < 0 {
		return fmt.Errorf("rollout %s is not in the log of fleet %s: the journal is damaged", w.ID, w.Fleet)
	}
	if latest := works[len(works)-1]; latest.ID != w.ID {
		if err := r.supersede(j, latest.ID); err != nil {
			return err
		}
		r.wake(latest)
		return nil
	}
	j.busy = map[string]string{}
	for at--; at >= 0; at-- {
		before, _ := r.add(kindRollout, works[at].ID)
		if err := r.open(before); err != nil {
			return err
		}
		if err := r.supersede(before, w.ID); err != nil {
			return err
		}
		ended := false
		before.ledger.view(func(s *rollout.State) {
			ended = s.Closed && s.Superseded == "" || r.now.Sub(works[at+1].at) > busyLimit
			for id, d := range s.Desktops {
				// Who is still in maintenance mode, or stopped, by the one before would
				// be taken out of it under our hands.
				ours := !s.Closed && (d.Held || d.Stopped)
				if d.Phase == rollout.Begun || d.Phase == rollout.Accepted || ours {
					j.busy[id] = works[at].ID
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

// undoOf returns what a rollout changed, from its journal.
func (r *run) undoOf(id string) (map[string][]string, error) {
	j := &job{kind: kindRollout, id: id}
	if err := r.open(j); err != nil {
		return nil, err
	}
	var back map[string][]string
	j.ledger.view(func(s *rollout.State) { back = s.Undo() })
	return back, nil
}

// supersede writes down that a newer rollout took over. From then on nobody
// begins a desktop for the old one, not even an instance that is at it now.
func (r *run) supersede(j *job, by string) error {
	return j.ledger.write(r.ctx, func(s *rollout.State) []rollout.Record {
		if !s.Open() || s.Superseded != "" {
			return nil
		}
		return []rollout.Record{{Kind: rollout.KindSuperseded, At: r.now, Who: by,
			Reason: &events.Reason{Code: events.CodeSuperseded, Message: by + " took over"}}}
	})
}
