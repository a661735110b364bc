package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/rollout"
)

func releaseCommand(w world) *cobra.Command {
	x := &sender{}
	c := &cobra.Command{
		Use: "release ID --image-in REGION=IMAGE", Short: "roll an image out over the fleets that follow it",
		Long: `
Says that a golden image is out: the function rolls it out over every fleet that
follows it, in waves, as fleets.yaml says. It shows first which fleets those are,
as far as a fleets.yaml is at hand and ECD (or --image-name) tells the name of
the image, and asks. With --wait it follows all of the rollouts to their end and
exits as regild wait does (0, 3, 4 or 5).`,
		Example: `  regild release 2026.11.3 --image-in cn-hangzhou=m-84mztzatmlnys0001 --dry-run
  regild release 2026.11.3 --image-in cn-hangzhou=m-84mztzatmlnys0001 --yes --wait --timeout 12h`,
	}
	x.definePlan(w, c, []string{"fleets", "ecd-endpoint"})
	fs, m := c.Flags(), &x.message
	fs.StringArrayVar(&m.images, "image-in", nil, "`REGION=ID` of the image there; may be given several times")
	fs.StringVar(&m.name, "image-name", "", "the image's `name`, which fleets follow; by default ECD is asked")
	c.ValidArgsFunction = cobra.NoFileCompletions
	c.RunE = func(c *cobra.Command, args []string) error {
		if len(args) == 0 {
			return usageError{errors.New("give the release an id, such as 2026.11.3")}
		}
		if err := takesNo(args[1:]); err != nil {
			return err
		}
		if len(m.images) == 0 {
			return usageError{errors.New("name the image: --image-in REGION=ID, once for each region")}
		}
		m.release = args[0]
		return x.release(c)
	}
	return c
}

// release asks and sends, and waits for the rollouts.
func (x *sender) release(c *cobra.Command) error {
	m := &x.message
	at, err := x.ready(c)
	if err != nil {
		return err
	}
	images, err := m.byRegion()
	if err != nil {
		return err
	}
	before, err := operator.OfRelease(c.Context(), at.store, m.release, nil)
	if err != nil {
		return err
	}
	if len(before) > 0 {
		return fmt.Errorf("there is a release %s already: rollout %s; give this one another id", m.release, strings.Join(before, ", "))
	}
	names, unknown := x.imageNames(c.Context(), at.conf, images)
	about, following := aboutRelease(at.conf, m.release, images, names, unknown)
	look, err := x.heedPlan(c.Context(), at.store, following)
	if err != nil {
		return err
	}
	if _, err := x.put(c.Context(), at.conf, "release", nil, about, "release it?"); err != nil {
		return err
	}
	return x.taken(c.Context(), at, "release "+m.release, look)
}

// heedPlan is rolloutsOf, and fails as well once the function has refused the plan that was
// demanded, more often than it had when this was called.
func (x *sender) heedPlan(ctx context.Context, store journal.Store, fleets []string) (func(context.Context) (found, error), error) {
	look, digest := x.rolloutsOf(store, fleets), x.message.digest
	if digest == "" {
		return look, nil
	}
	var ids []string
	for _, name := range fleets {
		ids = append(ids, x.message.release+"/"+name)
	}
	before, err := operator.PlanRefusals(ctx, store, ids, digest)
	return func(ctx context.Context) (found, error) {
		has, err := look(ctx)
		if err != nil || has.missing == "" {
			return has, err
		}
		n, err := operator.PlanRefusals(ctx, retrying{store, &x.pacing}, ids, digest)
		if err == nil && n > before {
			err = operator.ErrPlanRefused
		}
		return has, err
	}, err
}

// nameLimit bounds how long ECD is asked for the names of images: they only say
// beforehand what the function finds out by itself.
const nameLimit = 15 * time.Second

// imageNames returns the name of each region's image: what --image-name says, else
// what ECD says. If one cannot be had, unknown says why.
func (x *sender) imageNames(ctx context.Context, conf operator.Config, images map[string]string) (names map[string]string, unknown string) {
	names = map[string]string{}
	if x.message.name != "" {
		for region := range images {
			names[region] = x.message.name
		}
		return names, ""
	}
	client, err := x.desktops(conf)
	if err != nil {
		return nil, err.Error()
	}
	ctx, cancel := context.WithTimeout(ctx, nameLimit)
	defer cancel()
	ctx, _ = pace.WithReach(ctx)
	for _, region := range sorted(images) {
		list, err := client.Images(ctx, region, []string{images[region]})
		if err != nil {
			return names, err.Error()
		}
		if len(list) == 0 {
			return names, fmt.Sprintf("ECD lists no image %s in %s", images[region], region)
		}
		names[region] = list[0].Name
	}
	return names, ""
}

// aboutRelease says what a release means. Following are the fleets over which it
// goes; nil where that is not known, which only the function finds out then.
func aboutRelease(conf operator.Config, release string, images, names map[string]string, unknown string) (about, following []string) {
	about = []string{"release " + release + ":"}
	fleets, err := readFleets(cmp.Or(conf.Fleets, defaultFleets))
	if err != nil {
		unknown = err.Error()
	}
	for _, region := range sorted(images) {
		about = append(about, fmt.Sprintf("  %s (%s) in %s", cmp.Or(names[region], "image"), images[region], region))
		if err != nil || names[region] == "" {
			continue
		}
		for _, f := range fleets {
			if f.Region != region || !f.Follows(names[region]) {
				continue
			}
			following = append(following, f.Name)
			about = append(about, fmt.Sprintf("    over fleet %s: %s", f.Name, selects(f)))
		}
	}
	switch {
	case unknown != "":
		return append(about, "  which fleets follow it is not known here: "+unknown), nil
	case len(following) == 0:
		about = append(about, "  no fleet follows it, so nothing will be rebuilt")
	}
	return about, following
}

// settledLooks is how many looks in a row must find the same rollouts before they
// count as all of them, where nothing says which there will be. The function opens
// them one after the other, within one invocation.
const settledLooks = 5

// rolloutsOf returns a function that looks for the rollouts of the release: one for
// each fleet that follows, or those that some looks in a row find.
func (x *sender) rolloutsOf(store journal.Store, fleets []string) func(context.Context) (found, error) {
	var before []string
	same := 0
	known := map[string]string{}
	return func(ctx context.Context) (found, error) {
		ids, err := operator.OfRelease(ctx, retrying{store, &x.pacing}, x.message.release, known)
		if err != nil {
			return found{}, err
		}
		if same++; !slices.Equal(ids, before) {
			before, same = ids, 1
		}
		var has found
		open := map[string]bool{}
		for _, id := range ids {
			has.names = append(has.names, name{operator.Rollout, id})
			_, fleet, _ := rollout.SplitID(id)
			open[fleet] = true
		}
		missing := slices.DeleteFunc(slices.Clone(fleets), func(f string) bool { return open[f] })
		switch {
		case len(ids) == 0:
			has.missing = "nothing in the journal shows that the function took it"
		case len(missing) > 0:
			has.missing = "it has no rollout over " + strings.Join(missing, ", ") + ", but one over " + strings.Join(sorted(open), ", ")
		case len(fleets) == 0 && same < settledLooks:
			has.missing = "more rollouts of it may open"
		case len(fleets) == 0:
			say(x.w.err, "which fleets follow it is not known here; it has rollouts over %s\n", shown(strings.Join(sorted(open), ", ")))
		}
		return has, nil
	}
}
