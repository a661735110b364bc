package doctor

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
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

func checkFleets(ctx context.Context, p *Deployment, say teller) {
	if p.FleetsErr != nil {
		say(Wrong, "the fleets cannot be read: "+strings.ReplaceAll(p.FleetsErr.Error(), "\n", "; "), "mend "+p.FleetsFile+": regild check says the same")
		return
	}
	if p.FleetsFile == "" {
		say(Warning, "no fleets.yaml: any desktop of the allowed regions may be asked for, and releases move nothing", "write one")
		return
	}
	ecd, err := p.Desktops()
	if err != nil {
		say(Wrong, "ECD cannot be asked: "+err.Error(), "mend REGILD_ECD_ENDPOINT")
		return
	}
	counted := map[desktop.Place]*census{}
	for _, f := range p.Fleets {
		if allowed := p.regions(); f.Account.ID == "" && len(allowed) > 0 && !slices.Contains(allowed, f.Region) {
			say(Wrong, fmt.Sprintf("fleet %s is in %s, and the function may rebuild in %s only: it is refused (RegionNotAllowed)", f.Name, f.Region,
				strings.Join(allowed, ", ")),
				fmt.Sprintf("add REGILD_REGIONS=%s,%s to regild.env and %s", strings.Join(allowed, ","), f.Region, redeploy))
		}
		if f.FromExample() {
			say(Wrong, "fleet "+f.Name+" is the example's", "put your own fleets in its place")
			continue
		}
		at, from := f.Place(), ecd
		if f.Account.ID != "" {
			m, err := p.member(ctx, f.Account)
			if err != nil {
				say(p.unseen(err), fmt.Sprintf("fleet %s: not proven: that it has desktops and an image to follow. It is of account %s, where the doctor could not look",
					f.Name, f.Account.Name), "prove it with regild check --live, as somebody whom the role trusts; see the line on the accounts")
				continue
			}
			from = m.Desktops
		}
		if counted[at] == nil {
			c, err := p.count(ctx, from, at)
			if err != nil {
				trouble(say, "the desktops of "+at.String(), err)
				return
			}
			counted[at] = c
		}
		p.checkFleet(f, counted[at], say)
		p.checkAlarmsOf(ctx, f, say)
	}
}

// unseen is how bad it is that the doctor could not look at another account: with
// the dry run, it is no more than the line on the account says.
func (p *Deployment) unseen(err error) Level {
	if p.Probe && acs.Denied(err) {
		return Warning
	}
	return Unknown
}

// regions are those in which the function may rebuild; none when that is not
// known.
func (p *Deployment) regions() []string {
	if p.function == nil {
		return nil
	}
	var out []string
	for r := range strings.SplitSeq(p.function.EnvironmentVariables["REGILD_REGIONS"], ",") {
		if r = strings.TrimSpace(r); r != "" {
			out = append(out, r)
		}
	}
	if len(out) == 0 {
		return []string{p.Region}
	}
	return out
}

// count reads a place's desktops and images, and tags if a fleet needs them.
func (p *Deployment) count(ctx context.Context, ecd Desktops, at desktop.Place) (*census, error) {
	all, err := ecd.Select(ctx, at.Region, desktop.Selector{})
	if err != nil {
		return nil, err
	}
	for i := range all {
		all[i].AccountID = at.Account
	}
	if p.Fleets.NeedTags(at) {
		ids := make([]string, len(all))
		for i, d := range all {
			ids[i] = d.ID
		}
		tags, err := ecd.Tags(ctx, at.Region, ids)
		if err != nil {
			return nil, err
		}
		for i, d := range all {
			if all[i].Tags = tags[d.ID]; all[i].Tags == nil {
				all[i].Tags = map[string]string{}
			}
		}
	}
	images, err := ecd.AllImages(ctx, at.Region)
	return &census{all, images}, err
}

func (p *Deployment) checkFleet(f fleet.Fleet, c *census, say teller) {
	size, tagged := 0, 0
	for _, d := range c.desktops {
		if owner := p.Fleets.Of(d); owner != nil && owner.Name == f.Name {
			size++
			if f.Strategy.Canary.Chosen(d) {
				tagged++
			}
		}
	}
	var images []string
	for _, i := range c.images {
		if f.Follows(i.Name) {
			images = append(images, i.ID+" ("+i.Name+")")
		}
	}
	say = summing(say)
	warn := func(text, do string) { say(Warning, "fleet "+f.Name+": "+text, do) }
	canary := f.Strategy.Canary.Size(size, tagged)
	switch {
	case size == 0:
		warn("selects no desktop", "look at select and exclude with regild check, and at the desktops' tags")
	case size == len(c.desktops):
		warn(fmt.Sprintf("selects all %d desktops of %s", size, f.Place()), "if that is not meant, select by a tag")
	}
	if size > 10 && canary*10 > size {
		warn(fmt.Sprintf("its canary is %d of %d desktops, more than a tenth", canary, size), "lower canary")
	}
	if len(images) == 0 {
		warn("follows no image that there is", "look at images; a name must match as a whole")
	}
	for _, text := range f.Warnings() {
		warn(text, "regild check explains the fleet")
	}
	say(allWell, fmt.Sprintf("fleet %s: %d desktops, canary of %d, follows %s", f.Name, size, canary, few(images)), "")
}

// checkAlarmsOf looks whether the alarm rules are there that a fleet's rollouts read
// between their waves: for one that is not, they stand still.
func (p *Deployment) checkAlarmsOf(ctx context.Context, f fleet.Fleet, say teller) {
	if len(f.Strategy.Check.Alarms) == 0 {
		return
	}
	cloud, err := p.Alarms(f.Region)
	if err != nil {
		trouble(say, "the alarms of fleet "+f.Name, err)
		return
	}
	var there []string
	for _, a := range f.Strategy.Check.Alarms {
		rules, err := cloud.Alarms(ctx, a.Name)
		switch {
		case err != nil:
			trouble(say, "the alarms of fleet "+f.Name, err)
			return
		case len(rules) == 0:
			say(Wrong, fmt.Sprintf("fleet %s: there is no alarm rule %s in %s, and its rollouts wait for one (AlarmUnknown)", f.Name, a.Name, f.Region),
				"make it in CloudMonitor, or mend its name under check.alarms: it must match as a whole")
		case slices.ContainsFunc(rules, func(r desktop.Alarm) bool { return !r.On }):
			say(Wrong, fmt.Sprintf("fleet %s: the alarm rule %s in %s is off, and its rollouts wait for it (AlarmUnknown)", f.Name, a.Name, f.Region),
				"switch it on in CloudMonitor")
		default:
			there = append(there, a.Name)
		}
	}
	if len(there) == len(f.Strategy.Check.Alarms) {
		say(Good, fmt.Sprintf("fleet %s: its alarms are there: %s", f.Name, few(there)), "")
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

func checkProbe(ctx context.Context, p *Deployment, say teller) {
	messages, err := p.mns()
	switch {
	case err != nil:
		trouble(say, "the request queue", err)
		return
	case p.absent:
		say(Unknown, "there is no function that would take a dry run", "mend the line on the function first")
		return
	case p.RequestQueue == "" || p.OutcomesQueue == "":
		say(Unknown, "no queue for requests or none for outcomes is named", "run make setup, or set REGILD_REQUEST_QUEUE and REGILD_OUTCOMES_QUEUE")
		return
	}
	region := p.Region
	if allowed := p.regions(); len(allowed) > 0 && !slices.Contains(allowed, region) {
		region = allowed[0]
	}
	p.probe(ctx, messages, fleet.Account{Regions: []string{region}}, say)
	for _, a := range p.Fleets.Accounts() {
		p.probe(ctx, messages, a, say)
	}
}

// probe sends a dry run for one account, the own if it has no id, and judges its
// outcome.
func (p *Deployment) probe(ctx context.Context, messages Messages, a fleet.Account, say teller) {
	id := "doctor-" + p.Token
	if a.ID != "" {
		id += "-" + a.ID
	}
	e := events.Event{Type: events.TypeRequest, ID: id, Source: "regild-doctor", Time: p.Now(),
		Data: events.Request{RequestID: id, AccountID: a.ID, RegionID: a.Regions[0], DesktopIDs: []string{probeDesktop}, ImageID: "m-regilddoctorprobe",
			DryRun: true}}
	body, err := e.Marshal()
	if err == nil {
		_, err = messages.Send(ctx, p.RequestQueue, body, 0)
	}
	if err != nil {
		trouble(say, "the request queue (sending a dry run)", err)
		return
	}
	p.awaitProbe(ctx, messages, id, a, say)
}

// awaitProbe waits for the outcome of the dry run and judges it. A refusal shows
// that queue, function, ECD and topic work; a desktop that is put off shows that
// ECD did not answer.
func (p *Deployment) awaitProbe(ctx context.Context, messages Messages, id string, a fleet.Account, say teller) {
	limit := cmp.Or(p.ProbeLimit, probeLimit)
	start := p.Now()
	in, codes := "", probeCodes
	if a.ID != "" { // a desktop that ECD was not asked for says nothing of the role
		in, codes = fmt.Sprintf(" in account %s (%s)", a.Name, a.ID), []string{events.CodeDesktopNotFound}
	}
	for range probeReceives {
		received, err := messages.Receive(ctx, p.OutcomesQueue, mns.MaxBatch, min(probeWait, limit))
		if err != nil {
			trouble(say, "the outcomes queue", err)
			return
		}
		for _, m := range received {
			o, ours := p.probeOutcome(ctx, messages, m, id)
			if !ours {
				continue
			}
			text := fmt.Sprintf("a dry run%s came back after %s as %s, %s", in, p.Now().Sub(start).Round(time.Second), o.Data.Status, o.Data.Code)
			if o.Data.Status == events.StatusRefused && slices.Contains(codes, o.Data.Code) {
				say(Good, text, "")
			} else {
				say(Wrong, text+": "+o.Data.Message, "it should be refused, since there is no such desktop: "+codeAdvice(o.Data.Code))
			}
			return
		}
		if ctx.Err() != nil || p.Now().Sub(start) >= limit {
			break
		}
	}
	say(Wrong, fmt.Sprintf("no outcome of the dry run%s came within %s", in, limit),
		"look at the function's log, and at the lines above: stream, role, topic, subscription")
}

// A probed is what comes back of a dry run.
type probed struct {
	Type string
	Data struct {
		RequestID, Code, Message string
		Status                   events.Status
	}
}

// probeOutcome reads a message of the outcomes queue, and deletes it if it is about
// the dry run. ours says that it is the outcome of that.
func (p *Deployment) probeOutcome(ctx context.Context, messages Messages, m mns.Received, id string) (o probed, ours bool) {
	// A door or a source is part of the id that outcomes have.
	if json.Unmarshal(m.Body, &o) != nil || !strings.HasPrefix(o.Data.RequestID, id) {
		return o, false // somebody else's, who receives it again when it is visible
	}
	_ = messages.Delete(ctx, p.OutcomesQueue, []string{m.Handle}) // else it stays, marked as the doctor's
	return o, o.Type == events.TypeOutcome
}

// probeCodes are those with which a desktop is refused that does not exist: ECD
// was asked, or no fleet has it.
var probeCodes = []string{events.CodeDesktopNotFound, events.CodeOutsideFleet}

// codeAdvice says what to look at when the dry run met with something else.
func codeAdvice(code string) string {
	switch code {
	case events.CodeNotAuthorized:
		return "look at the lines on the role"
	case events.CodeFactsUnavailable:
		return "the function cannot reach ECD; look at REGILD_ECD_ENDPOINT"
	}
	return "docs/codes.md explains the code"
}

func codeIn(err error, codes ...string) bool { return slices.Contains(codes, acs.Code(err)) }
