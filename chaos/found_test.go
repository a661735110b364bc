package chaos

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/ecd"
)

// One desktop that ECD would not put into maintenance mode kept all others of
// its request in maintenance mode and waiting, for ever.
func TestADesktopThatCannotBeHeldKeepsNobodyWaiting(t *testing.T) {
	p := steady(3)
	p.state.Desktops[0].Ghost = true
	p.use(`
fleets:
  - name: office
    region: cn-hangzhou
    images: ["win11*"]
    select: all
    requests: true
    strategy: {maintenance: true, check: {stable: 0s}}
`)
	req := events.Request{RequestID: "r1", RegionID: region, ImageID: "m-new1", DesktopIDs: []string{"ecd-0000", "ecd-0001", "ecd-0002"}}
	body := message(events.TypeRequest, "r1", "r1", req)
	p.sent = []sent{{id: "r1", req: req, body: body, valid: true}}
	p.send(0, "request r1", body)
	// What follows says nothing new, and the request would wait for days.
	p.deeds = append(p.deeds, deed{2 * time.Hour, "ecd-0000 can be held", func(w *world) {
		w.desktops().Update("ecd-0000", func(d *ecd.Desktop) { d.Ghost = false })
	}})
	w := live(t, p, "")
	if len(w.broken) > 0 {
		t.Fatal(w.story())
	}
	soon := map[string]bool{}
	for _, m := range w.cloud.MNS.Published(localcloud.ResultTopic) {
		var e struct {
			Subject string
			Time    time.Time
			Data    events.Outcome
		}
		if err := json.Unmarshal(m.Body, &e); err != nil {
			t.Fatal(err)
		}
		if e.Data.Status == events.StatusCompleted && e.Time.Sub(begin) < time.Hour {
			soon[e.Subject] = true
		}
	}
	if !soon["ecd-0001"] || !soon["ecd-0002"] {
		t.Errorf("completed within an hour: %v, want ecd-0001 and ecd-0002\n%s", soon, w.story())
	}
}
