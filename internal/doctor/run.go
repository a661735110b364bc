package doctor

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/regild/regild/internal/pace"
)

// shared is what checks have opened that are made at the same time.
type shared struct {
	mu       sync.Mutex
	messages Messages // nil: not yet
	members  map[string]opened
}

// quietLimit is how long nothing is told before it is told what is still being looked at.
const quietLimit = 5 * time.Second

// Run makes every check, those that do not go by one another at the same time, and tells
// each finding, in the order of the checks. A check that cannot be made does not keep the
// others from being made, unless there are no credentials that count. Where no host can be
// reached it says so once. Waiting is told, every few seconds in which nothing else is, which
// check the next findings are of.
func Run(ctx context.Context, p *Deployment, tell func(Finding), waiting func(check string)) {
	p.shared = &shared{members: map[string]opened{}}
	ctx, reach := pace.WithReach(ctx)
	v := &visit{Deployment: p, reach: reach, tell: tell, waiting: waiting}
	c := Checks()
	// By what the first three find out of account and function the others go. The last is the
	// probe, which takes minutes.
	v.all(ctx, c[:1], c[1:2], c[2:3], c[3:len(c)-1], c[len(c)-1:])
}

// A visit is one look at a deployment.
type visit struct {
	*Deployment
	reach   *pace.Reach
	tell    func(Finding)
	waiting func(check string)
	held    []Finding // until it is known that there is a network
}

// all makes the checks of one group after the other, and those of a group at the same time.
func (v *visit) all(ctx context.Context, groups ...[]Check) {
	for _, checks := range groups {
		if v.together(ctx, checks); v.hopeless {
			v.say(Finding{Check: "the rest", Level: Unknown, Text: "nothing else can be looked at without credentials that are valid", Do: "mend the line above first"})
			break
		}
	}
	v.end()
}

// together makes checks at the same time, and says what they find in their order.
func (v *visit) together(ctx context.Context, checks []Check) {
	found := make([]chan []Finding, len(checks))
	for i, c := range checks {
		found[i] = make(chan []Finding, 1)
		go func() { found[i] <- v.one(ctx, c) }()
	}
	quiet := time.NewTicker(quietLimit)
	defer quiet.Stop()
	for i := 0; i < len(checks); {
		select {
		case findings := <-found[i]:
			for _, f := range findings {
				v.say(f)
			}
			quiet.Reset(quietLimit)
			i++
		case <-quiet.C:
			v.waiting(checks[i].Name)
		}
	}
}

// one makes one check.
func (v *visit) one(ctx context.Context, c Check) (findings []Finding) {
	if c.Name == probeName && !v.Probe {
		return nil
	}
	c.run(ctx, v.Deployment, summing(func(l Level, text, do string) {
		findings = append(findings, Finding{Check: c.Name, Level: l, Text: text, Do: do}.withRight(c))
	}))
	return findings
}

// say tells a finding. As long as there may be no network it is kept: then one line says it.
func (v *visit) say(f Finding) {
	v.held = append(v.held, f)
	if hosts, _ := v.reach.Failed(); v.reach.Any() || len(hosts) == 0 {
		v.release()
	}
}

func (v *visit) release() {
	for _, f := range v.held {
		v.tell(f)
	}
	v.held = nil
}

// end tells what was kept: of what could not be looked at, without a network, that alone.
func (v *visit) end() {
	hosts, why := v.reach.Failed()
	if v.reach.Any() || len(hosts) == 0 {
		v.release()
		return
	}
	v.tell(Finding{Check: "network", Level: Unknown,
		Text: fmt.Sprintf("there is no network: no host could be reached of the %d that were tried; %s: %s", len(hosts), hosts[0], why),
		Do:   "mend the network of this machine, its name server, or the proxy that HTTPS_PROXY names; a region that is written wrong has no hosts either"})
	for _, f := range v.held {
		if f.Level == Wrong || f.Level == Warning {
			v.tell(f)
		}
	}
}
