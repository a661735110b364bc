package simulation

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A record is one line of a journal, as far as the judge reads it. It is read
// from the JSON, as an auditor would.
type record struct {
	Kind      string    `json:"kind"`
	At        time.Time `json:"at"`
	By        string    `json:"by"`
	Operation *struct {
		ID        string              `json:"id"`
		AccountID string              `json:"accountId"`
		ImageID   string              `json:"imageId"`
		Fleet     string              `json:"fleet"`
		ReleaseID string              `json:"releaseId"`
		Undoes    string              `json:"undoes"`
		ImageMade time.Time           `json:"imageMade"`
		NotBefore time.Time           `json:"notBefore"`
		AnyTime   bool                `json:"anyTime"`
		By        string              `json:"by"`
		Desktops  []string            `json:"desktops"`
		Consent   []string            `json:"consent"`
		Back      map[string][]string `json:"back"`
	} `json:"work"`
	Call     string         `json:"call"`
	Desktops []string       `json:"desktops"`
	From     []string       `json:"from"`
	Outcomes []outcomeGroup `json:"outcomes"`
	Wave     int            `json:"wave"`
	Size     int            `json:"size"`
	Waves    int            `json:"waves"`
	Of       int            `json:"of"`
	Digest   string         `json:"digest"`
	Reason   *struct {
		Code  string     `json:"code"`
		Until *time.Time `json:"until"`
	} `json:"reason"`
	Action  string    `json:"action"`
	Who     string    `json:"who"`
	Message string    `json:"message"`
	N       int       `json:"n"`
	Until   time.Time `json:"until"`
	Invoke  string    `json:"invoke"`
	Name    string    `json:"name"`
	Regions []string  `json:"regions"`
	Fleets  []string  `json:"fleets"`
	Rings   []string  `json:"rings"`
}

type outcomeGroup struct {
	Status   string   `json:"status"`
	Code     string   `json:"code"`
	Desktops []string `json:"desktops"`
}

func decodeRecords(lines []byte) []record {
	out := make([]record, 0, bytes.Count(lines, []byte("\n")))
	for line := range bytes.Lines(lines) {
		out = append(out, record{})
		r := &out[len(out)-1]
		if r.quick(line) {
			continue
		}
		*r = record{}
		if err := json.Unmarshal(line, r); err != nil {
			panic(fmt.Sprintf("a line of the journal cannot be read: %v: %s", err, line))
		}
	}
	return out
}

// quick reads the kinds of lines that are most common, as the function writes them,
// which spares most of the decoding. It says no to all others, and to what has an
// escape in it: else a key with its quotation marks does not stand in a text.
func (r *record) quick(line []byte) bool {
	kind, rest, _ := bytes.Cut(bytes.TrimPrefix(bytes.TrimPrefix(line, []byte(`{"v":1,"kind":"`)), []byte(`{"v":2,"kind":"`)), []byte(`"`))
	switch r.Kind = string(kind); r.Kind {
	case "published": // nobody asks what it says
		return true
	case "tick":
		r.N = numberIn(line, `,"n":`)
		return true
	case "begun", "ended", "settled", "seen", "idle", "closed":
	default:
		return false
	}
	head, groups, _ := bytes.Cut(rest, []byte(`"outcomes":[`))
	var err error
	if r.At, err = time.Parse(time.RFC3339Nano, textIn(head, `"at":"`)); err != nil || bytes.IndexByte(line, '\\') >= 0 || bytes.Contains(line, []byte(`"reason":`)) {
		return false
	}
	r.By, r.Call, r.Desktops, r.From = textIn(head, `"by":"`), textIn(head, `"call":"`), textsIn(head, `"desktops":[`), textsIn(head, `"from":[`)
	r.Digest = textIn(head, `"digest":"`)
	for _, group := range bytes.Split(groups, []byte(`{"status":"`))[1:] {
		status, rest, _ := bytes.Cut(group, []byte(`"`))
		r.Outcomes = append(r.Outcomes, outcomeGroup{string(status), textIn(rest, `"code":"`), textsIn(rest, `"desktops":[`)})
	}
	return true
}

// A work is a request or a rollout as its journal tells of it.
type work struct {
	id, key    string
	account    string
	fleet      string
	image      string
	made       time.Time
	undoes     string
	consent    []string
	back       map[string]string
	opened     time.Time
	order      []string
	desktops   map[string]*progress
	waves      []waveOf
	planned    int
	size       int
	paused     bool
	halted     string
	aborted    bool
	superseded string
	closed     bool
	digest     string
	waiting    string
	waitedFor  map[string]bool
	approvals  int
	retries    int
	resumes    int // how often somebody made it go on
	tickN      int
	stood      bool // it stood still at some time, for whatever reason
	controls   map[string]bool
	stopAt     time.Time // since when it is paused or has halted
	overSince  time.Time // since when it begins nothing more, for good
	lostAt     time.Time // when a tick of it was lost for good; zero: none was since the timer came
	foundAt    time.Time // when the timer came after that
	untoldAt   time.Time // without a queue: when an instance that was given up while it was frozen wrote down how something ended
	lookedAt   time.Time // when a message about it was delivered last
	// controlledAt is when an instance that was given up while it was frozen wrote down an
	// order, in a schedule that may forget its delivery.
	controlledAt time.Time
	people       workOfPeople
}

type waveOf struct {
	n, size, at int // at: how many desktops had come before it
	ended       bool
	begun       time.Time
	endedAt     time.Time
	approved    bool
	desktops    []string
}

// progress is one desktop under a work.
type progress struct {
	wave      int
	phase     string // "", begun, accepted or final
	call, by  string
	begunAt   time.Time
	from      string
	begun     int
	status    string
	code      string
	denials   int       // by ECD, for its status
	inUse     time.Time // when it was first found in use
	finals    int
	finalAt   time.Time
	retried   int
	accepted  time.Time
	wipedAt   time.Time
	restarted time.Time // when a retry set it back
	people    peopleAt
	ready     readiness
	lost      bool // its call's answer was lost, and what ECD showed, or shows later, is taken for its own
	idle      bool // ECD showed it idle on its former image after the call
	// overlooked: it was rebuilt, and ECD has shown that it was not, as far as it can.
	overlooked bool
}

func (k *work) request() bool { return k.fleet == "" }

func (k *work) describe() string {
	var out []string
	for _, id := range k.order {
		p := k.desktops[id]
		if p.phase != "final" {
			out = append(out, strings.TrimSpace(id+" "+cmpOr(p.phase, "pending")+" "+p.code))
		}
	}
	for what, is := range map[string]bool{"paused": k.paused, "halted " + k.halted: k.halted != "", "aborted": k.aborted,
		"superseded by " + k.superseded: k.superseded != "", "waiting " + k.waiting: k.waiting != ""} {
		if is {
			out = append(out, what)
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

func (w *world) workList() []*work {
	var out []*work
	for _, id := range slices.Sorted(maps.Keys(w.works)) {
		out = append(out, w.works[id])
	}
	return out
}

// An enrolment is a rollout in its fleet's log.
type enrolment struct {
	id, image, undoes string
	made              time.Time
}

// wrote takes one line of a journal that was just written.
func (w *world) wrote(key string, r *record, by *invocation) {
	w.placed(key, r)
	if strings.HasPrefix(key, "fleet/") {
		if r.Kind == "opened" && r.Operation != nil {
			w.backedOut(key, r, by)
			w.enrolled(key, enrolment{r.Operation.ID, r.Operation.ImageID, r.Operation.Undoes, r.Operation.ImageMade})
			w.lookAtRings()
		}
		return
	}
	if strings.HasPrefix(key, "freeze/") {
		w.froze(r)
		return
	}
	k := w.byKey[key]
	if k == nil {
		if r.Kind != "opened" || r.Operation == nil {
			return
		}
		k = &work{id: r.Operation.ID, key: key, account: r.Operation.AccountID, fleet: r.Operation.Fleet, image: r.Operation.ImageID, made: r.Operation.ImageMade, undoes: r.Operation.Undoes,
			consent: r.Operation.Consent, opened: time.Now(), desktops: map[string]*progress{}, back: map[string]string{}, waitedFor: map[string]bool{}, controls: map[string]bool{}}
		for image, ids := range r.Operation.Back {
			for _, id := range ids {
				k.back[id] = image
			}
		}
		for _, id := range r.Operation.Desktops {
			k.order = append(k.order, id)
			k.desktops[id] = &progress{wave: 1}
		}
		k.people.notBefore, k.people.anyTime = r.Operation.NotBefore, r.Operation.AnyTime
		w.byKey[key], w.works[k.id] = k, k
		w.lookAtRings()
		return
	}
	if w.s.Lossy && by.frozen && by.given && r.Kind == "control" {
		k.controlledAt = time.Now()
	}
	if w.s.NoQueue && by.frozen && by.given && (r.Kind == "settled" || r.Kind == "ended" || r.Kind == "closed") {
		k.untoldAt = time.Now()
	}
	w.audit(k, r, by)
	w.auditPeople(k, r, by)
	k.applyPeople(r, by)
	k.apply(r)
	w.lookAtRings()
}

func (k *work) stopped() bool {
	return k.paused || k.halted != "" || k.aborted || k.superseded != "" || k.closed
}

// apply folds a line.
func (k *work) apply(r *record) {
	switch r.Kind {
	case "wave":
		if n := len(k.waves); n > 0 && r.Wave <= k.waves[n-1].n {
			if r.Of > 0 && r.Wave == k.waves[n-1].n { // a further part of it
				k.waves[n-1].desktops = slices.Concat(k.waves[n-1].desktops, r.Desktops)
				k.come(r)
			}
			return
		}
		k.waves = append(k.waves, waveOf{n: r.Wave, size: r.Size, at: len(k.order), desktops: r.Desktops, begun: time.Now()})
		k.planned, k.size, k.waiting = r.Waves, r.Size, ""
		k.come(r)
	case "wave-ended":
		if n := len(k.waves); n > 0 && k.waves[n-1].n == r.Wave && !k.waves[n-1].ended {
			k.waves[n-1].ended, k.waves[n-1].endedAt, k.waiting = true, r.At, ""
		}
	case "begun":
		for i, id := range r.Desktops {
			if p := k.desktops[id]; p != nil {
				p.phase, p.call, p.idle = "begun", r.Call, false
				p.begun++
				if len(r.From) > 0 {
					p.from = r.From[min(i, len(r.From)-1)] // there may be one for all
				}
			}
		}
		k.waiting = ""
	case "idle":
		for _, id := range r.Desktops {
			if p := k.desktops[id]; p != nil {
				p.idle = true
			}
		}
	case "again":
		for _, id := range r.Desktops {
			if p := k.desktops[id]; p != nil && p.phase == "begun" {
				p.phase = ""
			}
		}
	case "ended", "settled":
		for _, g := range r.Outcomes {
			for _, id := range g.Desktops {
				k.outcome(r, g.Status, g.Code, id)
			}
		}
	case "waiting":
		k.stood = true
		if r.Reason != nil {
			k.waiting = r.Reason.Code
			k.waitedFor[r.Reason.Code] = true
		}
	case "halted":
		k.stood, k.stopAt = true, time.Now()
		k.halted = "halted"
		if r.Reason != nil {
			k.halted = r.Reason.Code
		}
	case "superseded":
		if k.superseded == "" {
			k.superseded = r.Who
			k.over()
		}
	case "undoing":
		if !k.closed && k.superseded == "" && r.Operation != nil {
			k.superseded = r.Operation.ID
			k.over()
		}
	case "closed":
		k.closed, k.digest = true, r.Digest
	case "tick":
		k.tickN = max(k.tickN, r.N)
	case "control":
		k.control(r)
	}
}

// over notes since when nothing more is begun.
func (k *work) over() {
	if k.overSince.IsZero() {
		k.overSince = time.Now()
	}
}

// come takes the desktops of a wave, or of a part of one.
func (k *work) come(r *record) {
	for _, id := range r.Desktops {
		if k.desktops[id] == nil {
			k.order = append(k.order, id)
			k.desktops[id] = &progress{wave: r.Wave}
		}
	}
}

func (k *work) outcome(r *record, status, code, id string) {
	p := k.desktops[id]
	if p == nil {
		return
	}
	switch {
	case r.Kind == "ended" && (p.phase != "begun" || p.call != r.Call),
		r.Kind == "settled" && p.phase == "final",
		r.Kind == "settled" && status == "accepted" && p.phase != "begun" && !(p.phase == "" && p.begun > 0), // an earlier call brought it there
		r.Kind == "settled" && status == "completed" && p.phase != "accepted",
		r.Kind == "settled" && (status == "skipped" || status == "refused" || status == "deferred") && p.phase != "":
		return
	}
	p.status, p.code = status, code
	switch status {
	case "accepted":
		p.lost = code == "Reconciled"
		p.phase, p.accepted, p.people = "accepted", time.Now(), peopleAt{}
	case "deferred":
		if r.Kind == "ended" && code != "OutcomeUnknown" {
			p.phase = ""
		}
		if code == "SessionWait" && p.inUse.IsZero() {
			p.inUse = r.At
		}
	default:
		p.lost = p.lost || code == "OutcomeUnknown" && !p.idle || code == "RebuildFailed" && p.phase == "begun"
		p.phase, p.finalAt = "final", time.Now()
		p.finals++
	}
}

func (k *work) control(r *record) {
	if r.Message != "" {
		if k.controls[r.Message] {
			return
		}
		k.controls[r.Message] = true
	}
	switch r.Action {
	case "pause":
		k.paused, k.stood, k.stopAt = true, true, time.Now()
	case "resume":
		k.goesOnWithout(k.halted)
		k.paused, k.halted, k.waiting = false, "", ""
		k.resumes++
	case "approve":
		if k.passRings(r) || k.goesOnWithout(k.waiting) {
			return
		}
		k.approvals++
		if n := len(k.waves); n > 0 {
			k.waves[n-1].approved = true
		}
	case "abort":
		k.aborted = true
		k.over()
	case "retry":
		k.goesOnWithout(k.halted)
		k.retries++
		if !k.paused {
			k.resumes++
		}
		k.halted, k.waiting = "", ""
		for _, p := range k.desktops {
			if p.phase == "final" && p.status == "failed" {
				p.phase, p.inUse, p.denials = "", time.Time{}, 0
				p.retried++
				p.restarted, p.people = time.Now(), peopleAt{}
				if n := len(k.waves); n > 0 {
					k.waves[n-1].ended, k.waves[n-1].approved = false, false
				}
			}
		}
	}
}
