package doctor

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/mns"
)

// A census is what a region has.
type census struct {
	desktops []desktop.Desktop
	images   []desktop.Image
}

func checkFleets(ctx context.Context, p *Patient, say func(Level, string, string)) {
	if p.FleetsFile == "" {
		say(Warning, "no fleets.yaml: any desktop of the allowed regions may be asked for, and releases move nothing", "write one")
		return
	}
	counted := map[string]*census{}
	for _, f := range p.Fleets {
		if f.FromExample() {
			say(Wrong, "fleet "+f.Name+" is the example's", "put your own fleets in its place")
			continue
		}
		if counted[f.Region] == nil {
			c, err := p.count(ctx, f.Region)
			if err != nil {
				trouble(say, "the desktops of "+f.Region, err)
				return
			}
			counted[f.Region] = c
		}
		p.checkFleet(f, counted[f.Region], say)
	}
}

// count reads a region's desktops and images, and tags if a fleet needs them.
func (p *Patient) count(ctx context.Context, region string) (*census, error) {
	all, err := p.Desktops.Select(ctx, region, desktop.Selector{})
	if err != nil {
		return nil, err
	}
	if p.Fleets.NeedTags(region) {
		ids := make([]string, len(all))
		for i, d := range all {
			ids[i] = d.ID
		}
		tags, err := p.Desktops.Tags(ctx, region, ids)
		if err != nil {
			return nil, err
		}
		for i, d := range all {
			if all[i].Tags = tags[d.ID]; all[i].Tags == nil {
				all[i].Tags = map[string]string{}
			}
		}
	}
	images, err := p.Desktops.AllImages(ctx, region)
	return &census{all, images}, err
}

func (p *Patient) checkFleet(f fleet.Fleet, c *census, say func(Level, string, string)) {
	size, tagged := 0, 0
	for _, d := range c.desktops {
		if owner, ok := p.Fleets.Of(d); ok && owner.Name == f.Name {
			size++
			if f.Strategy.Canary.Chosen(d) {
				tagged++
			}
		}
	}
	images := 0
	for _, i := range c.images {
		if f.Follows(i.Name) {
			images++
		}
	}
	level := Good
	warn := func(text, do string) { level = Warning; say(Warning, "fleet "+f.Name+": "+text, do) }
	canary := f.Strategy.Canary.Size(size, tagged)
	switch {
	case size == 0:
		warn("selects no desktop", "look at select and exclude with regild check, and at the desktops' tags")
	case size == len(c.desktops):
		warn(fmt.Sprintf("selects all %d desktops of %s", size, f.Region), "if that is not meant, select by a tag")
	}
	if size > 10 && canary*10 > size {
		warn(fmt.Sprintf("its canary is %d of %d desktops, more than a tenth", canary, size), "lower canary")
	}
	if images == 0 {
		warn("follows no image that there is", "look at images; a name must match as a whole")
	}
	for _, text := range f.Warnings() {
		warn(text, "regild check explains the fleet")
	}
	if level == Good {
		say(Good, fmt.Sprintf("fleet %s: %d desktops, canary of %d, follows %d images", f.Name, size, canary, images), "")
	}
}

const probeName = "probe"

const (
	// probeLimit bounds how long the outcome may take: the stream's window, an
	// invocation from cold, and MNS.
	probeLimit = 2 * time.Minute
	// probeWait is how long one receive waits, below the client's own limit.
	probeWait = 3 * time.Second
	// probeReceives bounds it where receiving does not wait.
	probeReceives = 10_000
)

// probeDesktop is asked for in the dry run. No desktop has such an id, so that
// the outcome is a refusal: it travels the same way.
const probeDesktop = "ecd-regilddoctorprobe"

func checkProbe(ctx context.Context, p *Patient, say func(Level, string, string)) {
	if p.OutcomesQueue == "" {
		say(Unknown, "no queue for outcomes is named", "run make setup, or set REGILD_OUTCOMES_QUEUE")
		return
	}
	id := "doctor-" + p.Token
	e := events.Event{Type: events.TypeRequest, ID: id, Source: "regild-doctor", Time: p.Now(),
		Data: events.Request{RequestID: id, RegionID: p.Region, DesktopIDs: []string{probeDesktop}, ImageID: "m-regilddoctorprobe", DryRun: true}}
	body, err := e.Marshal()
	if err == nil {
		_, err = p.Messages.Send(ctx, p.RequestQueue, body, 0)
	}
	if err != nil {
		trouble(say, "the request queue (sending a dry run)", err)
		return
	}
	start := p.Now()
	for range probeReceives {
		if ctx.Err() != nil || p.Now().Sub(start) > probeLimit {
			break
		}
		messages, err := p.Messages.Receive(ctx, p.OutcomesQueue, mns.MaxBatch, probeWait)
		if err != nil {
			trouble(say, "the outcomes queue", err)
			return
		}
		for _, m := range messages {
			var o struct {
				Type string
				Data struct{ RequestID, Status, Code string }
			}
			if json.Unmarshal(m.Body, &o) != nil || o.Data.RequestID != id {
				continue // somebody else's, who receives it again when it is visible
			}
			_ = p.Messages.Delete(ctx, p.OutcomesQueue, []string{m.Handle}) // else it stays, marked as the doctor's
			if o.Type == events.TypeOutcome {
				say(Good, fmt.Sprintf("a dry run came back after %s as %s, %s", p.Now().Sub(start).Round(time.Second), o.Data.Status, o.Data.Code), "")
				return
			}
		}
	}
	say(Wrong, fmt.Sprintf("no outcome of the dry run came within %s", probeLimit), "look at the function's log, and at the lines above: stream, role, topic, subscription")
}

func codeIn(err error, codes ...string) bool { return slices.Contains(codes, acs.Code(err)) }
