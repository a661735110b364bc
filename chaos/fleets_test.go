package chaos

import (
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/localcloud/ecd"
)

// otherAccount is that of a schedule in another account.
const otherAccount = "2000000000000002"

// declare makes up a fleets.yaml of one or two fleets.
func (p *plan) declare(d dice) {
	var out strings.Builder
	if p.seed%4 == 3 { // a schedule in another account
		p.account = otherAccount
		fmt.Fprintf(&out, "accounts: [{name: other, id: %q, role: regild-member, regions: [%s]}]\n", p.account, region)
	}
	out.WriteString("fleets:\n")
	if d.of(4) {
		p.fleet(d, &out, "lab", "officeSiteIds: [cn-hangzhou+dir-1]")
	}
	p.fleet(d, &out, "office", "tags: {fleet: office}")
	p.use(out.String())
}

func (p *plan) use(yaml string) {
	fleets, err := fleet.Parse("fleets.yaml", []byte(yaml))
	if err != nil {
		panic(err) // the test is wrong
	}
	p.yaml, p.fleets = yaml, fleets
}

func (p *plan) fleet(d dice, out *strings.Builder, name, who string) {
	line := func(depth int, format string, args ...any) {
		fmt.Fprintf(out, "%s%s\n", strings.Repeat("  ", depth), fmt.Sprintf(format, args...))
	}
	line(1, "- name: %s", name)
	if p.account != "" {
		line(2, "account: other")
	}
	line(2, "region: %s", region)
	line(2, `images: ["win11*"]`)
	line(2, "select: {%s}", who)
	line(2, "requests: %t", !d.of(4))
	if d.of(4) {
		line(2, "rebuild: {consent: [%s]}", pick(d, "sessions", "downgrade", "data-disk"))
	}
	line(2, "strategy:")
	line(3, "canary: %s", pick(d, "1", "2", `{share: 1, maxFailures: 1}`))
	line(3, "waves: %s", pick(d, "[]", `["50%"]`, `["25%", "60%"]`))
	line(3, "maxUnavailable: %s", pick(d, "1", "2", `"30%"`, `"100%"`))
	line(3, "maxFailures: %s", pick(d, "0", "1", `"50%"`, `"100%"`))
	line(3, "maxFailuresPerWave: %s", pick(d, "0", `"100%"`))
	line(3, "soak: %s", pick(d, "0s", "10m", "3h"))
	line(3, "approval: %s", pick(d, "none", "none", "canary", "every"))
	line(3, "check: {stable: %s%s}", pick(d, "0s", "5m"), pick(d, "", "", "", `, command: "exit 0"`))
	if d.of(3) {
		line(3, "windows:")
		line(4, `- {from: "%02d:00", to: "%02d:00", zone: UTC}`, d.IntN(12), 13+d.IntN(10))
	}
	if d.of(2) {
		line(3, "sessions: {policy: %s}", pick(d, "skip", "force"))
	} else {
		line(3, "sessions: {policy: wait, deadline: %s, after: %s}", pick(d, "10m", "5h"), pick(d, "skip", "force"))
	}
	line(3, "maintenance: %t", d.of(3))
	line(3, "stopFirst: %t", d.of(4))
}

// A scenario is a fixed schedule in which nothing breaks, but for one kill.
type scenario struct {
	name string
	plan func() *plan
}

var scenarios = []scenario{{"request", aRequest}, {"rollout", aRollout}}

func steady(n int) *plan {
	p := &plan{journal: "oss", workers: 1, batch: 10, tries: 4, timeout: 60 * time.Second}
	p.images()
	for i := range n {
		p.state.Desktops = append(p.state.Desktops, ecd.Desktop{ID: fmt.Sprintf("ecd-%04d", i), RegionID: region, ImageID: "m-old",
			Tags: map[string]string{"fleet": "office"}, RebuildTakes: 4 * time.Minute})
	}
	return p
}

// aRequest names three ordinary desktops, one whose rebuild fails, one in use
// and one that is there already.
func aRequest() *plan {
	p := steady(6)
	p.state.Desktops[3].EndsAs = "fail"
	p.state.Desktops[4].Sessions = []ecd.Session{{User: "alice"}}
	p.state.Desktops[5].ImageID = "m-new1"
	req := events.Request{RequestID: "r1", RegionID: region, ImageID: "m-new1"}
	for _, x := range p.state.Desktops {
		req.DesktopIDs = append(req.DesktopIDs, x.ID)
	}
	body := message(events.TypeRequest, "r1", "r1", req)
	p.sent = []sent{{id: "r1", req: req, body: body, valid: true}}
	p.send(0, "request r1", body)
	return p
}

// aRollout goes over two desktops in two waves, with maintenance mode and a stop
// before each rebuild, and is superseded while its canary is under way.
func aRollout() *plan {
	p := steady(2)
	p.use(`
fleets:
  - name: office
    region: cn-hangzhou
    images: ["win11*"]
    select: {tags: {fleet: office}}
    strategy:
      canary: 1
      waves: []
      soak: 0s
      check: {stable: 0s}
      maintenance: true
      stopFirst: true
`)
	p.publish("v1", "m-new1", 0)
	p.publish("v2", "m-new2", 3*time.Minute)
	return p
}
