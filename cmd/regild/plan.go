package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/rollout"
	"github.com/regild/regild/internal/visible"
)

func planCommand(w world) *cobra.Command {
	var f planFlags
	c := &cobra.Command{
		Use: "plan --image ID --fleet NAME", Short: "show who would be in which wave of a release",
		Long: strings.TrimSpace(planHelp),
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error { return runPlan(w, &f) },
	}
	fs := c.Flags()
	fs.StringVar(&f.path, "fleets", "fleets.yaml", "the fleets are in this `file`")
	fs.StringVar(&f.cloud, "cloud", "", "desktops and images are in this state `file`; by default those that\nregild local makes up for an --event")
	fs.StringVar(&f.image, "image", "", "the `id` of the image that is released")
	fs.StringVar(&f.name, "fleet", "", "the `name` of the fleet")
	fs.StringVar(&f.release, "release", "plan", "the `id` of the release")
	fs.Var(&f.at, "at", "plan as of this `time` (RFC 3339); by default the state's, or now")
	return c
}

type planFlags struct {
	path, cloud, image, name, release string
	at                                moment
}

const planHelp = `
Shows how the release of an image would go over a fleet: the waves, who is in
each and why somebody is left out, the calls and the time to expect. Desktops
and images are those of a state file, as regild local takes it; nothing is asked
of the real cloud. There, a release with dryRun publishes the same plan.`

func runPlan(w world, f *planFlags) error {
	if f.image == "" || f.name == "" {
		return usageError{errors.New("--image and --fleet are needed")}
	}
	fleets, err := readFleets(f.path)
	if err != nil {
		return err
	}
	state := localcloud.Default()
	if f.cloud != "" {
		if state, err = localcloud.Load(f.cloud); err != nil {
			return err
		}
	}
	now := time.Now()
	if !state.Clock.Start.IsZero() {
		now = state.Clock.Start
	}
	p, err := preview(fleets, state, f.name, f.image, f.release, f.at.or(now))
	if err != nil {
		return err
	}
	for _, l := range planLines(p) {
		say(w.out, "%s\n", l)
	}
	return nil
}

// preview plans a release over a fleet of a state.
func preview(fleets fleet.Fleets, state localcloud.State, name, image, release string, now time.Time) (events.Plan, error) {
	at := slices.IndexFunc(fleets, func(f fleet.Fleet) bool { return f.Name == name })
	if at < 0 {
		return events.Plan{}, fmt.Errorf("there is no fleet %q; there are %s", name, fleetNames(fleets))
	}
	f := fleets[at]
	facts, err := factsOf(fleets, state, f)
	if err != nil {
		return events.Plan{}, err
	}
	if facts.Images[image].Value == nil {
		return events.Plan{}, fmt.Errorf("the state has no image %s in %s", image, f.Region)
	}
	if imageName := facts.Images[image].Value.Name; !f.Follows(imageName) {
		return events.Plan{}, fmt.Errorf("fleet %s does not follow image %s (%s); it follows %s", f.Name, image, imageName, strings.Join(f.Images, ", "))
	}
	w := rollout.Work{ID: release + "/" + f.Name, Fleet: f.Name, ReleaseID: release, ImageName: facts.Images[image].Value.Name,
		Spec: desktop.Spec{RegionID: f.Region, ImageID: image, OperateType: f.Rebuild.OperateType, Language: f.Rebuild.Language, AfterStatus: f.Rebuild.AfterStatus}}
	p, need, _ := rollout.Preview(w, rollout.Rules{Regions: []string{f.Region}, Fleets: fleets, Declared: true, Journal: true, RebuildTimeout: 30 * time.Minute}, facts, now)
	if !need.Empty() {
		return events.Plan{}, fmt.Errorf("the state leaves open what the plan needs: %+v", need)
	}
	return p, nil
}

func fleetNames(fleets fleet.Fleets) string {
	var names []string
	for _, f := range fleets {
		names = append(names, f.Name)
	}
	return strings.Join(names, ", ")
}

// factsOf reads a state as ECD would tell it of the fleet's region.
func factsOf(fleets fleet.Fleets, state localcloud.State, f fleet.Fleet) (*rollout.Facts, error) {
	server, err := ecd.New(state.State, ecd.Options{Keys: []ecd.Keys{{ID: "plan", Secret: "plan"}}})
	if err != nil {
		return nil, err
	}
	facts, at := rollout.NewFacts(), time.Now()
	for _, i := range server.Images() {
		if i.RegionID == "" || i.RegionID == f.Region {
			facts.Images[i.ID] = rollout.Read(at, &desktop.Image{ID: i.ID, Name: i.Name, RegionID: f.Region, Status: i.Status, Type: i.Type,
				OS: strings.ToLower(i.OS), GPU: i.GPU, Protocol: i.Protocol, SessionType: i.SessionType,
				SizeGiB: i.GiB, DataDiskGiB: i.DataGiB, Created: i.Created})
		}
	}
	var all []desktop.Desktop
	for _, d := range server.Desktops() {
		x := inOurWords(d)
		if _, known := facts.Images[x.ImageID]; !known {
			facts.Images[x.ImageID] = rollout.Read[*desktop.Image](at, nil)
		}
		facts.Desktops[x.ID] = rollout.Read(at, &x)
		facts.Snapshots[x.ID] = rollout.Read(at, snapshotsOf(d))
		all = append(all, x)
	}
	facts.Members[f.Name] = rollout.Read(at, selected(fleets, f.Name, all))
	return facts, nil
}

func snapshotsOf(d ecd.Desktop) []desktop.Snapshot {
	var out []desktop.Snapshot
	for _, s := range d.Snapshots {
		out = append(out, desktop.Snapshot{ID: s.ID, DesktopID: d.ID, DataDisk: s.Disk == "DATA", Auto: s.Auto, Created: s.Created})
	}
	return out
}

// inOurWords returns a desktop of a state as the function would see it.
func inOurWords(d ecd.Desktop) desktop.Desktop {
	x := desktop.Desktop{ID: d.ID, Name: d.Name, RegionID: d.RegionID, Status: d.Status, Connection: d.Connection, Flags: d.Flags,
		ImageID: d.ImageID, Type: d.Type, OS: strings.ToLower(d.OS), GPU: d.GPU > 0, Protocol: d.Protocol, SessionType: d.SessionType,
		GroupID: d.GroupID, OfficeSiteID: d.OfficeSiteID, PolicyGroupID: d.PolicyGroupID, EndUsers: d.EndUsers,
		Tags: d.Tags, CreationTime: d.Created, ExpiredTime: d.Expires}
	if x.Tags == nil {
		x.Tags = map[string]string{}
	}
	for _, s := range d.Sessions {
		x.Users = append(x.Users, s.User)
	}
	for _, k := range d.Disks {
		if k.Type == "DATA" {
			x.DataDisks++
		} else {
			x.SystemDiskGiB = k.GiB
		}
	}
	return x
}

// planLines shows a plan.
func planLines(p events.Plan) []string {
	out := []string{fmt.Sprintf("%s: image %s over fleet %s in %s", p.RolloutID, p.ImageID, p.Fleet, p.RegionID)}
	next := 1
	for _, wave := range p.Waves {
		for ; next < wave.N; next++ {
			out = append(out, "", fmt.Sprintf("wave %d: nobody", next))
		}
		next++
		title := fmt.Sprintf("wave %d", wave.N)
		if wave.Name != title {
			title += " (" + wave.Name + ")"
		}
		out = append(out, "", title+", "+count(len(wave.Desktops), "desktop"))
		for _, d := range wave.Desktops {
			text := "  " + pad(d.ID, desktopColumn) + " " + pad(d.Action, 8) + " " + pad(d.From, 22)
			if d.Code != "" {
				text += " " + pad(d.Code, codeColumn) + " " + visible.Text(d.Message)
			}
			out = append(out, strings.TrimRight(text, " "))
		}
	}
	if len(p.Waves) == 0 {
		out = append(out, "", "the fleet has no desktop")
	}
	var calls []string
	for _, name := range sorted(p.Calls) {
		calls = append(calls, fmt.Sprintf("%s %d", name, p.Calls[name]))
	}
	return append(out, "", "calls     "+strings.Join(calls, ", "), "expected  "+span(time.Duration(p.ExpectedSeconds)*time.Second), "digest    "+p.PlanDigest)
}
