package events

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
)

// MaxPlanPage bounds the data of one page of a plan, in bytes. It leaves room
// for the CloudEvent around it below MaxBytes.
const MaxPlanPage = 60_000

// Bounds of what stands in a plan, in bytes: the sentence for one desktop, and
// the name of a wave or of a code.
const (
	maxPlanMessage = 512
	maxPlanName    = 128
)

// What a plan intends for one desktop.
const (
	PlanRebuild = "rebuild"
	PlanSkip    = "skip"
	PlanRefuse  = "refuse"
)

// Plan is the data of regild.rollout.plan.v1: one page of what a rollout, or
// a request, would do. All pages of one plan have the same PlanDigest.
type Plan struct {
	RolloutID  string     `json:"rolloutId,omitempty"` // of a release
	RequestID  string     `json:"requestId,omitempty"` // of a request
	ReleaseID  string     `json:"releaseId,omitempty"`
	Fleet      string     `json:"fleet,omitempty"`
	AccountID  string     `json:"accountId,omitempty"` // "": the function's own
	RegionID   string     `json:"regionId"`
	ImageID    string     `json:"imageId"` // "" for a reset to the current image
	PlanDigest string     `json:"planDigest"`
	Page       int        `json:"page"` // counts from 1
	Pages      int        `json:"pages"`
	Waves      []PlanWave `json:"waves"`
	// Gates are sentences about the work as a whole: what holds it back, and what
	// it does by itself. They are not part of the digest.
	Gates []string `json:"gates,omitempty"`
	// Calls are the calls to expect of the whole plan, by API name.
	Calls map[string]int `json:"calls"`
	// ExpectedSeconds is how long the whole plan takes, windows included.
	ExpectedSeconds int `json:"expectedSeconds"`
}

// A PlanWave is one wave of a plan. On a page it holds the desktops that stand
// on this page; a wave that is cut goes on on the next one.
type PlanWave struct {
	N        int           `json:"n"` // counts from 1
	Name     string        `json:"name"`
	Desktops []PlanDesktop `json:"desktops"`
}

// A PlanDesktop says what is intended for one desktop and why.
type PlanDesktop struct {
	ID      string `json:"id"`
	Action  string `json:"action"`            // rebuild, skip or refuse
	Code    string `json:"code,omitempty"`    // why it is skipped or refused: the name of one of Codes
	Message string `json:"message,omitempty"` // for people; cut at 512 bytes
	From    string `json:"from,omitempty"`    // the image it is on now
}

// DigestPlan returns "sha256:" and the SHA-256, in lower-case hex, over what
// the plan would do: account, region, image, and wave by wave each desktop, its action,
// its code and the image it is on. What is only told to people does not count
// (messages, expected calls and time), nor does the paging.
func DigestPlan(p Plan) string {
	type line struct{ ID, Action, Code, From string }
	type wave struct {
		N        int
		Name     string
		Desktops []line
	}
	core := struct {
		AccountID         string `json:",omitempty"` // digests of earlier builds stay as they are
		RegionID, ImageID string
		Waves             []wave
	}{AccountID: p.AccountID, RegionID: p.RegionID, ImageID: p.ImageID}
	for _, w := range p.Waves {
		lines := make([]line, 0, len(w.Desktops))
		for _, d := range w.Desktops {
			lines = append(lines, line{d.ID, d.Action, d.Code, d.From})
		}
		core.Waves = append(core.Waves, wave{w.N, w.Name, lines})
	}
	data, err := marshal(core)
	if err != nil { // there are only strings and numbers in it
		return ""
	}
	return Digest([]string{string(data)})
}

// PlanPages cuts a whole plan into pages of at most MaxPlanPage bytes each,
// numbers them, and fills PlanDigest with DigestPlan when it is empty. Every
// page carries the calls and the time of the whole plan. Equal plans give
// equal pages. It leaves p as it is.
func PlanPages(p Plan) []Plan {
	if p.PlanDigest == "" {
		p.PlanDigest = DigestPlan(p)
	}
	waves := p.Waves
	// Nines stand for page numbers that are not known yet.
	p.Waves, p.Page, p.Pages = []PlanWave{}, 999_999, 999_999
	p.Gates = slices.Clone(p.Gates)
	for i := range p.Gates {
		p.Gates[i] = cut(p.Gates[i], maxPlanMessage)
	}
	if p.Calls == nil {
		p.Calls = map[string]int{}
	}
	b := binder{blank: p, room: MaxPlanPage - size(p)}
	b.turn()
	for _, w := range waves {
		b.open(PlanWave{N: w.N, Name: cut(w.Name, maxPlanName), Desktops: []PlanDesktop{}})
		for _, d := range w.Desktops {
			d.Code, d.Message, d.From = cut(d.Code, maxPlanName), cut(d.Message, maxPlanMessage), cut(d.From, maxPlanName)
			b.write(d)
		}
	}
	for i := range b.pages {
		b.pages[i].Page, b.pages[i].Pages = i+1, len(b.pages)
		b.pages[i].Calls = maps.Clone(p.Calls)
	}
	return b.pages
}

// A binder fills pages.
type binder struct {
	blank Plan
	room  int // bytes that a blank page leaves for waves
	pages []Plan
	left  int // bytes of the last page that are free
	wave  PlanWave
}

// turn begins a page.
func (b *binder) turn() {
	b.pages, b.left = append(b.pages, b.blank), b.room
}

// open begins a wave, or goes on with it on a new page.
func (b *binder) open(w PlanWave) {
	need := size(w) + 1 // with a comma
	if b.left < need {
		b.turn()
	}
	page := &b.pages[len(b.pages)-1]
	page.Waves = append(page.Waves, w)
	b.wave, b.left = w, b.left-need
}

// write adds a desktop to the wave that is open.
func (b *binder) write(d PlanDesktop) {
	need := size(d) + 1
	if b.left < need {
		b.turn()
		b.open(b.wave)
	}
	page := &b.pages[len(b.pages)-1]
	w := &page.Waves[len(page.Waves)-1]
	w.Desktops = append(w.Desktops, d)
	b.left -= need
}

// Event returns one page as a CloudEvent from source, dated at. Its id is made
// of the plan's digest and the page.
func (p Plan) Event(source string, at time.Time) Event {
	subject := cmp.Or(p.RolloutID, p.RequestID)
	return Event{
		Type: RolloutPlan.Type(), ID: fmt.Sprintf("%s/plan/%s/%d", subject, p.PlanDigest, p.Page), Source: source,
		Subject: subject, Time: at, Tag: TagRollout, Data: p,
	}
}

// size returns the bytes that v takes on the wire.
func size(v any) int {
	data, err := marshal(v)
	if err != nil {
		return 0
	}
	return WireSize(armour(data))
}
