package doctor

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/regild/regild/internal/acs"
)

// checkShares looks at the function that requests have to themselves, as at the first
// one: it has to be the same but for its triggers.
func checkShares(ctx context.Context, p *Deployment, say teller) {
	switch {
	case p.Requests == "":
		say(Good, "requests and doors share the function's instances: a flood of requests can take all of them (docs/ram.md, Shares)", "")
		return
	case p.function == nil:
		say(Unknown, "nothing is known of the function", "mend the line on the function first")
		return
	case p.ControlDoor == "" && p.ReleaseDoor == "":
		say(Wrong, "requests have a function of their own, and nothing else has a door: everything comes with the requests",
			"set REGILD_CONTROL_QUEUE and REGILD_RELEASE_QUEUE in regild.env and "+redeploy)
		return
	}
	heard := func(l Level, text, do string) {
		if l == Good || l == allWell {
			return
		}
		if denied, after, cut := strings.Cut(strings.TrimPrefix(text, deniedMark), deniedMark); cut { // keep the mark in front
			say(l, deniedMark+denied+deniedMark+p.Requests+": "+after, do)
			return
		}
		say(l, p.Requests+": "+text, do)
	}
	second := p.second()
	for _, check := range []func(context.Context, *Deployment, teller){checkFunction, checkCode, checkTriggers, checkConcurrency, checkAsync} {
		if check(ctx, second, heard); second.absent {
			return
		}
	}
	if second.function != nil && !maps.Equal(second.function.EnvironmentVariables, p.function.EnvironmentVariables) {
		heard(Wrong, "its settings are not those of "+p.Function+": they would not be one regild", redeploy)
	}
	for _, name := range p.requestTriggers() {
		_, err := p.Cloud.Trigger(ctx, p.Function, name)
		switch {
		case err == nil:
			say(Wrong, fmt.Sprintf("%s still has the trigger %s: requests take its instances as well", p.Function, name),
				"remove it: deploy/node_modules/.bin/s remove --trigger "+name)
		case !acs.NotThere(err):
			trouble(say, "trigger "+name, err)
		}
	}
	say(allWell, "requests have "+p.Requests+", with instances of its own", "")
}

// second is the deployment as the checks of a function see it, for the one of requests.
func (p *Deployment) second() *Deployment {
	second := *p
	second.Function, second.function, second.absent = p.Requests, nil, false
	second.Triggers, second.Requests = p.requestTriggers(), ""
	second.doorless = true
	return &second
}

// requestTriggers are those of the triggers that requests come by.
func (p *Deployment) requestTriggers() []string {
	return slices.DeleteFunc(slices.Clone(p.Triggers), func(name string) bool { return !slices.Contains(p.RequestTriggers, name) })
}

// triggers are the names of those that there must be: each door has one of its own,
// both doors one if they are the same. What requests come by is the other function's,
// where they have one.
func (p *Deployment) triggers() []string {
	out := slices.Clone(p.Triggers)
	if p.Requests != "" {
		out = slices.DeleteFunc(out, func(name string) bool { return slices.Contains(p.RequestTriggers, name) })
	}
	if p.doorless {
		return out
	}
	for _, d := range []struct{ name, door string }{{"control", p.ControlDoor}, {"releases", p.ReleaseDoor}} {
		kind, _, _ := strings.Cut(d.door, "/")
		switch {
		case d.name == "releases" && d.door == p.ControlDoor:
		case kind == "queues":
			out = append(out, d.name)
		case kind == "topics":
			out = append(out, d.name+"-topic")
		}
	}
	return out
}
