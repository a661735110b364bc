package report

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/regild/regild/events"
)

// A Comparison holds a plan against what happened.
type Comparison struct {
	Digest string // of the plan, as the plan says it
	// Sound says whether the digest is that of what the plan says: whether the
	// plan is whole and unchanged.
	Sound bool
	Same  bool // the plan is of this rollout or request
	Waves []PlannedWave
	// Deviations are desktops of which something else became than was planned,
	// at most MaxDeviations of them; Deviated is how many there are.
	Deviations []Deviation
	Deviated   int
	AsPlanned  int
	Open       int // of the plan, and yet to come or to end
}

// MaxDeviations bounds the deviations that are listed.
const MaxDeviations = 1000

// A PlannedWave is one wave of the plan beside the one that there was.
type PlannedWave struct {
	N                      int
	Name                   string
	Planned, ToRebuild     int // of the plan
	Came, Completed, Ended int // of the wave: desktops, those rebuilt, those final
}

// A Deviation is one desktop of which something else became.
type Deviation struct {
	ID          string
	Wave        int // planned; 0: it was not in the plan
	Action      string
	PlannedCode string
	Came        int // the wave it came in; 0: it did not come
	Stand       Stand
	Code        string
}

// maxPlan bounds a file with a plan, in bytes: one of 50,000 desktops is some
// ten MiB.
const maxPlan = 64 << 20

// ReadPlan reads a plan: an events.Plan as JSON, or its pages one behind the
// other, each bare or as the data of a CloudEvent, in any order.
func ReadPlan(from io.Reader) (events.Plan, error) {
	data, err := io.ReadAll(io.LimitReader(from, maxPlan+1))
	if err != nil {
		return events.Plan{}, fmt.Errorf("reading the plan: %w", err)
	}
	if len(data) > maxPlan {
		return events.Plan{}, fmt.Errorf("reading the plan: it is longer than %d MiB", maxPlan>>20)
	}
	pages := map[int]events.Plan{}
	dec := json.NewDecoder(bytes.NewReader(data))
	for {
		var p struct {
			events.Plan
			Data *events.Plan `json:"data"`
		}
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return events.Plan{}, fmt.Errorf("reading the plan: %w; give what regild plan -o json wrote, or the regild.rollout.plan.v1 events", err)
		}
		if p.Data != nil {
			p.Plan = *p.Data
		}
		if p.PlanDigest == "" {
			return events.Plan{}, errors.New("reading the plan: it has no planDigest; give what regild plan -o json wrote, or the regild.rollout.plan.v1 events")
		}
		pages[max(p.Page, 1)] = p.Plan
	}
	return bind(pages)
}

// bind puts the pages of one plan together.
func bind(pages map[int]events.Plan) (events.Plan, error) {
	first, ok := pages[1]
	if !ok {
		return events.Plan{}, errors.New("reading the plan: its first page is missing")
	}
	for n := 2; n <= max(first.Pages, len(pages)); n++ {
		p, ok := pages[n]
		switch {
		case !ok:
			return events.Plan{}, fmt.Errorf("reading the plan: page %d of %d is missing", n, max(first.Pages, len(pages)))
		case p.PlanDigest != first.PlanDigest:
			return events.Plan{}, errors.New("reading the plan: these are pages of different plans; give those with one planDigest")
		}
		for _, w := range p.Waves {
			if last := len(first.Waves) - 1; last >= 0 && first.Waves[last].N == w.N {
				first.Waves[last].Desktops = append(first.Waves[last].Desktops, w.Desktops...)
				continue
			}
			first.Waves = append(first.Waves, w)
		}
	}
	first.Page, first.Pages = 1, 1
	return first, nil
}

// Compare holds a plan against the report.
func (r *Report) Compare(p events.Plan) Comparison {
	c := Comparison{Digest: p.PlanDigest, Sound: events.DigestPlan(p) == p.PlanDigest,
		Same: p.AccountID == r.AccountID && p.RegionID == r.RegionID &&
			p.ImageID == r.ImageID && (p.RolloutID == r.ID || p.RequestID == r.ID || p.Fleet != "" && p.Fleet == r.Fleet)}
	came := map[string]Desktop{}
	for _, d := range r.Desktops {
		came[d.ID] = d
	}
	at := map[int]int{}
	for _, w := range p.Waves {
		wave := PlannedWave{N: w.N, Name: w.Name, Planned: len(w.Desktops)}
		for _, x := range w.Desktops {
			if x.Action == events.PlanRebuild {
				wave.ToRebuild++
			}
			d, ok := came[x.ID]
			c.judge(w.N, x, d, ok, r.Closed)
			delete(came, x.ID)
		}
		at[w.N] = len(c.Waves)
		c.Waves = append(c.Waves, wave)
	}
	for _, w := range r.Waves {
		i, ok := at[w.N]
		if !ok {
			i = len(c.Waves)
			c.Waves = append(c.Waves, PlannedWave{N: w.N, Name: w.Name})
		}
		x := &c.Waves[i]
		x.Came, x.Completed = w.Size, w.Counts.Completed
		x.Ended = w.Counts.Completed + w.Counts.Skipped + w.Counts.Refused + w.Counts.Failed
	}
	for _, d := range r.Desktops { // in their order, those that no plan knew
		if _, left := came[d.ID]; left {
			c.deviates(Deviation{ID: d.ID, Came: d.Wave, Stand: d.Stand, Code: d.Code})
		}
	}
	return c
}

// judge says whether one desktop went as planned.
func (c *Comparison) judge(wave int, x events.PlanDesktop, d Desktop, came, closed bool) {
	want := map[string]Stand{events.PlanRebuild: Completed, events.PlanSkip: Skipped, events.PlanRefuse: Refused}[x.Action]
	switch {
	case came && d.Stand == want && d.Wave == wave:
		c.AsPlanned++
	case !closed && (!came || d.Wave == wave && !d.Stand.Final()):
		c.Open++
	default:
		c.deviates(Deviation{ID: x.ID, Wave: wave, Action: x.Action, PlannedCode: x.Code, Came: d.Wave, Stand: d.Stand, Code: d.Code})
	}
}

func (c *Comparison) deviates(d Deviation) {
	c.Deviated++
	if len(c.Deviations) < MaxDeviations {
		c.Deviations = append(c.Deviations, d)
	}
}
