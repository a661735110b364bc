package handler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/envelope"
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
	var refused []events.Reason
	var failed error
	for _, region := range slices.Sorted(maps.Keys(rel.Images)) {
		found, err := a.search(region, func(ctx context.Context, d Describer) ([]desktop.Image, error) {
			return d.Images(ctx, region, []string{rel.Images[region]})
		})
		if failed = errors.Join(failed, found.failed); err != nil || failed != nil && (rel.DryRun || rel.PlanDigest != "") {
			return fmt.Errorf("reading the image of release %s: %w", rel.ReleaseID, errors.Join(err, failed))
		}
		of, not := a.released(rel, region, found)
		operations, refused = append(operations, of...), append(refused, not...)
		if len(found.images) > 0 {
			refused = append(refused, a.omitted(cmp.Or(rel.Image, found.images[0].Name), rel.Images[region], found)...)
		}
	}
	if len(operations) == 0 && len(refused) == 0 && len(rel.Images) > 0 && failed == nil {
		a.refuse.message(m, events.CodeNoFleetFollows, fmt.Sprintf("no fleet of fleets.yaml follows the image of release %s", rel.ReleaseID))
	}
	err = a.openHeard(asked{m, false}, operations, refused, rel.DryRun, rel.PlanDigest)
	return errors.Join(err, failed) // delivered again, what is open stays as it is
}

// openHeard opens those rollouts whose fleets take the message from where it came, or shows
// what they would do, and refuses the others beside what is refused already.
func (a *admission) openHeard(m asked, operations []rollout.Operation, refused []events.Reason, dryRun bool, digest string) error {
	heard, unheard := a.heardRelease(m.Message, operations)
	a.refuseSome(m.Message, append(refused, unheard...))
	if len(heard) == 0 {
		return nil
	}
	return a.openRollouts(m, heard, dryRun, digest)
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
	case !relevant || len(a.placesIn(e.RegionID)) == 0:
		a.counts.ignored()
		return nil
	}
	found, err := a.search(e.RegionID, func(ctx context.Context, d Describer) ([]desktop.Image, error) {
		if e.ImageID != "" {
			return d.Images(ctx, e.RegionID, []string{e.ImageID})
		}
		return d.ImagesNamed(ctx, e.RegionID, e.ImageName)
	})
	if err != nil {
		return fmt.Errorf("reading the image of %s: %w", e.EventName, err)
	}
	if len(found.images) == 0 {
		if found.failed == nil {
			a.refuse.message(m, events.CodeImageNotFound, fmt.Sprintf("ECD lists no image %s%s in %s", e.ImageID, e.ImageName, e.RegionID))
		}
		return found.failed
	}
	var operations []rollout.Operation
	for _, image := range found.images {
		operations = append(operations, a.operationsOf(image.ID, image)...)
	}
	if len(operations) == 0 {
		a.counts.ignored()
	}
	err = a.openHeard(asked{m, true}, operations, a.denied(found.images[0].Name, found), false, "")
	return errors.Join(err, found.failed)
}

// A search is what came of asking for an image in a region of each account.
type search struct {
	images []desktop.Image // at most one of an account
	absent []desktop.Place // accounts that do not list it
	denied []denial        // by other accounts than the own
	failed error           // why others of them could not be asked this time
}

// A denial is why an account may not be asked.
type denial struct {
	at  desktop.Place
	err error
}

// placesIn returns where in a region desktops may be rebuilt: the own account first.
func (a *admission) placesIn(region string) (out []desktop.Place) {
	if own := (desktop.Place{Region: region}); a.rules.Allows(own) {
		out = append(out, own)
	}
	for _, f := range a.rules.Fleets {
		if at := f.Place(); at.Account != "" && at.Region == region && !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

// search asks for an image in each account that has fleets in the region, in all at
// once.
func (a *admission) search(region string, find func(context.Context, Describer) ([]desktop.Image, error)) (s search, err error) {
	places := a.placesIn(region)
	ctx, cancel := a.patience(len(places))
	defer cancel()
	images, faults := make([][]desktop.Image, len(places)), make([]error, len(places))
	var wg sync.WaitGroup
	for i, at := range places {
		wg.Go(func() {
			faults[i] = contain(func() error {
				services, err := a.accounts.of(at.Account)
				if err == nil {
					images[i], err = find(ctx, services.ECD)
				}
				return err
			})
		})
	}
	wg.Wait()
	for i, at := range places {
		switch err := faults[i]; {
		case err == nil && len(images[i]) > 0:
			images[i][0].AccountID = at.Account
			s.images = append(s.images, images[i][0])
		case err == nil, desktop.DeliveryOf(err) == desktop.Refused: // it takes no such id
			s.absent = append(s.absent, at)
		case at.Account != "" && desktop.DeliveryOf(err) == desktop.Forbidden:
			s.denied = append(s.denied, denial{at, err})
		case at.Account != "":
			s.failed = errors.Join(s.failed, fmt.Errorf("reading the image in %s: %w", at, err))
		default:
			return s, err
		}
	}
	return s, nil
}

// released returns the rollouts of a release in one region.
func (a *admission) released(rel events.Release, region string, s search) (out []rollout.Operation, refused []events.Reason) {
	id := rel.Images[region]
	switch {
	case len(a.placesIn(region)) == 0:
		return nil, []events.Reason{{Code: events.CodeRegionNotAllowed, Message: fmt.Sprintf("region %s is not in REGILD_REGIONS", region)}}
	case len(s.images) == 0 && s.failed == nil:
		why := fmt.Sprintf("ECD lists no image %s in %s", id, region)
		for _, d := range s.denied {
			why += fmt.Sprintf("; it could not be asked for in %s: %s", d.at, d.err)
		}
		return nil, []events.Reason{{Code: events.CodeImageNotFound, Message: why}}
	}
	for _, image := range s.images {
		image.Name = cmp.Or(rel.Image, image.Name)
		out = append(out, a.operationsOf(rel.ReleaseID, image)...)
	}
	return out, nil
}

// omitted says which fleets follow an image name and do not get the image, since their
// account does not list it, or may not be asked. Waiting for it would hold up the others.
func (a *admission) omitted(name, id string, s search) (out []events.Reason) {
	for _, at := range s.absent {
		if fleets := a.following(name, at); fleets != "" {
			out = append(out, events.Reason{Code: events.CodeImageNotFound, Message: fmt.Sprintf(
				"ECD lists no image %s in %s: share it with that account, or copy it there, and release it again for %s", id, at, fleets)})
		}
	}
	return append(out, a.denied(name, s)...)
}

func (a *admission) denied(name string, s search) (out []events.Reason) {
	for _, d := range s.denied {
		if fleets := a.following(name, d.at); fleets != "" {
			out = append(out, events.Reason{Code: events.CodeNotAuthorized, Message: fmt.Sprintf(
				"the image could not be asked for in %s: %s; release it again for %s", d.at, d.err, fleets)})
		}
	}
	return out
}

// refuseSome refuses a release for some regions, accounts and fleets, in one event. They may be
// others when the message comes again: that is another event.
func (a *admission) refuseSome(m envelope.Message, list []events.Reason) {
	if len(list) == 0 {
		return
	}
	var words []string
	for _, r := range list {
		words = append(words, r.Message)
	}
	text := strings.Join(words, "; ")
	a.refuse.part(m, digestOf([]byte(text)), list[0].Code, text)
}

// following names the fleets of a place that follow an image name.
func (a *admission) following(name string, at desktop.Place) string {
	var names []string
	for _, f := range a.rules.Fleets.Following(name, at) {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// operationsOf returns the rollouts of an image: one for each fleet that follows it.
func (a *admission) operationsOf(releaseID string, image desktop.Image) []rollout.Operation {
	var out []rollout.Operation
	for _, f := range a.rules.Fleets.Following(image.Name, image.Place()) {
		out = append(out, rollout.Operation{
			ID: releaseID + "/" + f.Name, Fleet: f.Name, ReleaseID: releaseID, ImageName: image.Name, ImageMade: image.Created,
			Spec: f.Spec(image.ID),
		})
	}
	return out
}

// asked is what a rollout follows from: a message that asks for it or, if image is
// set, an event about a new image.
type asked struct {
	envelope.Message
	image bool
}

// openRollouts opens rollouts, or shows what they would do. Of several at once it decides
// the order alone, and leaves each to an invocation of its own.
func (a *admission) openRollouts(m asked, operations []rollout.Operation, dryRun bool, digest string) error {
	if !a.hasJournal && !dryRun {
		a.refuse.part(m.Message, events.CodeRolloutNeedsJournal, events.CodeRolloutNeedsJournal, "a rollout remembers what it began in a journal; set REGILD_JOURNAL")
		return nil
	}
	var open []rollout.Operation
	agreed, err := a.agreed(agreement{
		operations: operations, dryRun: dryRun, digest: digest,
		checked: func() (bool, error) {
			var err error
			open, err = a.unchecked(m, operations)
			return len(open) == 0, err
		},
		refuse: func() (bool, error) { return false, a.refusePlans(m, open, digest) },
	})
	if !agreed || err != nil {
		return err
	}
	var failed error // of some fleets, which must not keep the others from beginning
	for _, op := range operations {
		e, err := a.fleets.enrol(m, op, digest)
		if errors.Is(err, errPlanRefused) { // one plan stands for all of them
			return failed
		}
		if e != nil {
			err = a.beginEntered(m.Message, *e, len(operations))
		}
		failed = errors.Join(failed, err)
	}
	return failed
}

// beginEntered has one of so many rollouts begun that a message has entered. One that was
// entered long ago is opened here: its journal may have expired, and no tick opens it then.
func (a *admission) beginEntered(m envelope.Message, e rollout.Entry, of int) error {
	if a.fleets.separately(of) && a.asOf().Sub(e.At) <= reopen {
		return a.sched.at(kindRollout, e.ID, tickIfIdle)
	}
	j, fresh := a.jobs.add(kindRollout, e.ID)
	if fresh {
		j.message = m
	}
	return a.jobs.begin(j, e.Operation, "", nil)
}

// refusePlans refuses the rollouts that are not entered yet, since their plan has changed.
func (a *admission) refusePlans(m asked, open []rollout.Operation, digest string) error {
	for _, op := range open {
		if err := a.fleets.refusePlan(op, digest, a.orderID(m.Message)); err != nil {
			return err
		}
	}
	a.refuse.part(m.Message, events.CodePlanChanged, events.CodePlanChanged, rollout.PlanChanged)
	return nil
}

// unchecked returns those of the rollouts whose plan is still to be checked: none if
// this very message has entered one of them, or another with the event in it, else those that are not in their fleets'
// logs.
func (a *admission) unchecked(m asked, operations []rollout.Operation) (left []rollout.Operation, err error) {
	id := a.orderID(m.Message)
	for _, op := range operations {
		log, err := a.jobs.fleetLog(op.Fleet)
		if err != nil {
			return nil, err
		}
		e := log.Find(op.ID)
		if e == nil {
			left = append(left, op)
		} else if e.AskedBy(id.message, id.event) {
			return nil, nil
		}
	}
	return left, nil
}
