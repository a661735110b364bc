package handler

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// release makes a rollout of a release over each fleet that follows it.
func (a *admission) release(m envelope.Message) error {
	rel, err := events.ParseRelease(m.Data)
	if err != nil {
		a.refuse.message(m, events.CodeInvalidRequest, err.Error())
		return nil
	}
	var operations []rollout.Operation
	for _, region := range slices.Sorted(maps.Keys(rel.Images)) {
		if !slices.Contains(a.rules.Regions, region) {
			a.refuse.message(m, events.CodeRegionNotAllowed, fmt.Sprintf("region %s is not in REGILD_REGIONS", region))
			continue
		}
		images, err := a.ecd.Images(a.ctx, region, []string{rel.Images[region]})
		if err != nil {
			return fmt.Errorf("reading the image of release %s: %w", rel.ReleaseID, err)
		}
		if len(images) == 0 {
			a.refuse.message(m, events.CodeImageNotFound, fmt.Sprintf("ECD lists no image %s in %s", rel.Images[region], region))
			continue
		}
		if rel.Image != "" {
			images[0].Name = rel.Image
		}
		operations = append(operations, a.operationsOf(rel.ReleaseID, images[0])...)
	}
	if len(operations) == 0 {
		if len(rel.Images) > 0 {
			a.refuse.message(m, events.CodeNoFleetFollows, fmt.Sprintf("no fleet of fleets.yaml follows the image of release %s", rel.ReleaseID))
		}
		return nil
	}
	if operations = a.heardRelease(m, operations); len(operations) == 0 {
		return nil
	}
	return a.openRollouts(asked{m, false}, operations, rel.DryRun, rel.PlanDigest)
}

// trail makes rollouts of an image event that ActionTrail recorded. Most of what it
// records does not concern regild, and is not refused but counted as ignored.
func (a *admission) trail(m envelope.Message) error {
	e, relevant, err := events.ParseActionTrail(m.Data)
	switch {
	case errors.Is(err, events.ErrECSImage), m.Type == events.TypeECSImage:
		a.refuse.message(m, events.CodeEcsImage, events.ErrECSImage.Error())
		return nil
	case err != nil:
		a.refuse.message(m, events.CodeInvalidRequest, err.Error())
		return nil
	case !relevant || !slices.Contains(a.rules.Regions, e.RegionID):
		a.counts.ignored()
		return nil
	}
	var images []desktop.Image
	if e.ImageID != "" {
		images, err = a.ecd.Images(a.ctx, e.RegionID, []string{e.ImageID})
	} else {
		images, err = a.ecd.ImagesNamed(a.ctx, e.RegionID, e.ImageName)
	}
	if err != nil {
		return fmt.Errorf("reading the image of %s: %w", e.EventName, err)
	}
	if len(images) == 0 {
		a.refuse.message(m, events.CodeImageNotFound, fmt.Sprintf("ECD lists no image %s%s in %s", e.ImageID, e.ImageName, e.RegionID))
		return nil
	}
	operations := a.operationsOf(images[0].ID, images[0])
	if len(operations) == 0 {
		a.counts.ignored()
		return nil
	}
	if operations = a.heardRelease(m, operations); len(operations) == 0 {
		return nil
	}
	return a.openRollouts(asked{m, true}, operations, false, "")
}

// operationsOf returns the rollouts of an image: one for each fleet that follows it.
func (a *admission) operationsOf(releaseID string, image desktop.Image) []rollout.Operation {
	var out []rollout.Operation
	for _, f := range a.rules.Fleets.Following(image.Name, image.RegionID) {
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
// set, an event about a new image.
type asked struct {
	envelope.Message
	image bool
}

// openRollouts opens rollouts, or shows what they would do.
func (a *admission) openRollouts(m asked, operations []rollout.Operation, dryRun bool, digest string) error {
	if !a.hasJournal && !dryRun {
		a.refuse.message(m.Message, events.CodeRolloutNeedsJournal, "a rollout remembers what it began in a journal; set REGILD_JOURNAL")
		return nil
	}
	if dryRun || digest != "" {
		if agreed, err := a.agreed(m, operations, dryRun, digest); !agreed || err != nil {
			return err
		}
	}
	for _, w := range operations {
		if err := a.fleets.openRollout(m, w, digest); err != nil {
			return err
		}
	}
	return nil
}

// agreed plans rollouts. It publishes the plan of a dry run, and otherwise says whether
// the plan is the one that is demanded, or was checked before; if not, it refuses them.
func (a *admission) agreed(m asked, operations []rollout.Operation, dryRun bool, digest string) (bool, error) {
	plans, total, incomplete := a.previews(operations)
	if dryRun {
		for i, p := range plans {
			a.refuse.publishPlan(p, operations[i])
		}
		return false, nil
	}
	known, err := a.checkedBefore(m, operations)
	switch {
	case known || err != nil:
		return known, err
	case incomplete != nil:
		return false, incomplete // no plan that anybody can agree to
	case total == digest:
		return true, nil
	}
	for _, w := range operations {
		if err := a.fleets.refusePlan(w, digest); err != nil {
			return false, err
		}
	}
	a.refuse.message(m.Message, events.CodePlanChanged, "the plan made now is "+total+"; look at it with dryRun and ask again")
	return false, nil
}

// previews plans several rollouts. One planDigest stands for all of them together.
func (a *admission) previews(operations []rollout.Operation) (_ []events.Plan, total string, incomplete error) {
	var plans []events.Plan
	var digests []string
	for _, w := range operations {
		p := a.facts.preview(w)
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
func (a *admission) checkedBefore(m asked, operations []rollout.Operation) (bool, error) {
	all := true
	for _, w := range operations {
		log, err := a.jobs.fleetLog(w.Fleet)
		if err != nil {
			return false, err
		}
		e := log.Find(w.ID)
		if e != nil && e.Message == a.identity(m.Message) {
			return true, nil
		}
		all = all && e != nil
	}
	return all, nil
}
