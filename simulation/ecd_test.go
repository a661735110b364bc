package simulation

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	product "github.com/regild/regild/internal/ecd"
	"github.com/regild/regild/internal/rollout"
)

// ecd is Elastic Desktop Service.
type ecd struct{ *world }

var _ handler.ECD = (*ecd)(nil)

// ask makes one call. do is called when it reaches ECD.
func (e *ecd) ask(ctx context.Context, api, label string, reads bool, do func() error) (how, error) {
	var err error
	h := e.call(ctx, label, reads, func() { err = do() })
	if wrong := h.callError(api); wrong != nil {
		return h, wrong
	}
	return h, err
}

// Rebuild is RebuildDesktops.
func (e *ecd) Rebuild(ctx context.Context, b desktop.Batch) (desktop.Answer, error) {
	i := of(ctx)
	answer := desktop.Answer{RequestID: "call"}
	label := "RebuildDesktops " + strings.Join(b.IDs, ",") + " to " + b.ImageID
	e.mu.Lock()
	owners := e.ownersOf(i, b)
	shown := make(map[string]shot, len(b.IDs))
	for _, id := range b.IDs {
		shown[id] = i.shown[id]
	}
	e.mu.Unlock()
	h, err := e.ask(ctx, "RebuildDesktops", label, false, func() error {
		if len(b.IDs) == 0 || len(b.IDs) > desktop.MaxBatch {
			e.breaks(batchTooLarge, "a call of %d desktops", len(b.IDs))
		}
		for _, id := range b.IDs {
			if m := e.machine(id); m == nil || m.gone {
				return &desktop.CallError{Call: "RebuildDesktops", Delivery: desktop.Refused, Code: e.spoken("InvalidDesktopId.NotFound"), Message: id}
			}
		}
		no := e.answersAll(label, owners)
		if no != nil && !e.carriedOut(label, no.Delivery) {
			return no
		}
		for _, id := range b.IDs {
			answer.Results = append(answer.Results, e.answersOne(i, id, b.Spec, owners[id], shown[id]))
		}
		if no != nil {
			return no
		}
		return nil
	})
	if h.what == leavesOut && err == nil && len(answer.Results) > 0 {
		d := newDice(e.s.Seed, label, 1)
		at := d.n(len(answer.Results))
		answer.Results = slices.Delete(answer.Results, at, at+1)
	}
	if h.what == refuses {
		e.mu.Lock()
		e.spoken(rollout.IncorrectDesktopStatus)
		for _, id := range b.IDs {
			e.denied(owners[id], id)
		}
		e.mu.Unlock()
	}
	if err != nil { // what arrives later writes into answer
		return desktop.Answer{}, err
	}
	return answer, nil
}

// spoken notes that ECD itself has used a code.
func (w *world) spoken(code string) string {
	w.ownCodes[code] = true
	return code
}

// Statuses and codes that an answer of RebuildDesktops is drawn from, each for
// itself: what is on the vendor's pages, what others have seen, and nonsense.
var (
	oddStatuses = []int{400, 401, 403, 404, 409, 429, 500, 502, 503}
	oddCodes    = []string{"InternalError", "ServiceUnavailable", "Throttling.User", "OperationConflict.Timeout", "UnknownError", "DesktopInArrears",
		"InvalidImageId.GpuMismatch", "InvalidDesktopId.NotFound", "SecurityTokenExpired", "Forbidden.RAM", rollout.IncorrectDesktopStatus, ""}
)

// answersAll returns what the answer to a whole call is taken for, if it is drawn
// from all that an answer may be.
func (e *ecd) answersAll(label string, owners map[string][]string) *desktop.CallError {
	n := e.seen["Answer to "+label]
	d := newDice(e.s.Seed, "answer to "+label, n)
	if !e.strikesIf("Answer to "+label, answers, func() bool { return !e.quiet() && e.answerOdds() > d.n(1000) }) {
		return nil
	}
	which := newDice(e.s.Seed, "code of "+label, n)
	f := product.Fault("RebuildDesktops", oddStatuses[which.n(len(oddStatuses))], oddCodes[which.n(len(oddCodes))])
	e.spoken(f.Code)
	if f.Code == rollout.IncorrectDesktopStatus {
		for id, of := range owners {
			e.denied(of, id)
		}
	}
	e.note("", label, fmt.Sprintf("answers %q, taken for %s", f.Code, f.Delivery))
	return f
}

// carriedOut draws whether what an answer leaves open was done.
func (e *ecd) carriedOut(label string, delivery desktop.Delivery) bool {
	d := newDice(e.s.Seed, "carried out "+label, e.seen["Answer to "+label])
	return delivery == desktop.Unknown && d.one(2)
}

// answersOne rebuilds a desktop, and answers for it as is drawn.
func (e *ecd) answersOne(i *invocation, id string, spec desktop.Spec, owners []string, shown shot) desktop.Result {
	const api = "RebuildDesktops"
	label, n := "Answer for "+id, e.seen["Answer for "+id]
	d := newDice(e.s.Seed, label, n)
	if !e.strikesIf(label, answers, func() bool { return !e.quiet() && e.answerOdds() > d.n(1000) }) {
		return product.ResultOf(api, id, e.rebuildOne(i, id, spec, owners, shown))
	}
	which := newDice(e.s.Seed, "code for "+id, n)
	r := product.ResultOf(api, id, oddCodes[which.n(len(oddCodes)-1)])
	e.spoken(r.Code)
	if r.Code == rollout.IncorrectDesktopStatus {
		e.denied(owners, id)
	}
	done := r.Delivery == desktop.Unknown && which.one(2)
	e.note("", label, fmt.Sprintf("is %q, taken for %s; done: %t", r.Code, r.Delivery, done))
	if done {
		e.rebuildOne(i, id, spec, owners, shown)
	}
	return r
}

func (e *ecd) answerOdds() int {
	for _, o := range e.s.Odds {
		if o.What == answers {
			return o.PerMille
		}
	}
	return 0
}

func (e *ecd) rebuildOne(i *invocation, id string, spec desktop.Spec, owners []string, shown shot) string {
	m := e.machine(id)
	if m.now.Status != desktop.Running && m.now.Status != desktop.Stopped {
		e.denied(owners, id)
		return e.spoken(rollout.IncorrectDesktopStatus)
	}
	d := newDice(e.s.Seed, "deny "+id, m.rebuilt)
	luck := newDice(e.s.Seed, "denied "+id, m.rebuilt)
	if e.strikesIf("Rebuild of "+id, denies, func() bool { return !e.quiet() && e.denyOdds() > luck.n(1000) }) {
		return e.spoken("OperationDenied")
	}
	e.accepted(i, m, spec, owners, shown)
	m.byUs = true
	m.rebuild(time.Now(), spec.ImageID, cmp.Or(spec.AfterStatus, e.s.After), time.Duration(d.n(60_000)-30_000)*time.Millisecond)
	return "success"
}

func (e *ecd) denyOdds() int {
	for _, o := range e.s.Odds {
		if o.What == denies {
			return o.PerMille
		}
	}
	return 0
}

// Desktops is DescribeDesktops.
func (e *ecd) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	var out []desktop.Desktop
	_, err := e.ask(ctx, "DescribeDesktops", "DescribeDesktops "+strings.Join(ids, ","), true, func() error {
		for _, id := range ids {
			if m := e.machines[id]; m != nil && m.plan.Unreadable && e.s.Unreadable > 0 && !time.Now().Before(e.at(e.s.Unreadable)) {
				return &desktop.CallError{Call: "DescribeDesktops", Delivery: desktop.Refused, Code: e.spoken("InternalError"), Message: id}
			}
		}
		out = e.show(of(ctx), region, ids)
		return nil
	})
	e.looked(ctx, out, err)
	return out, err
}

// looked notes what an invocation was told, where ECD has no records.
func (e *ecd) looked(ctx context.Context, list []desktop.Desktop, err error) {
	if err != nil || e.s.Records {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	i := of(ctx)
	for _, d := range list {
		m := e.machines[d.ID]
		m.looks = append(m.looks, look{i, i.shown[d.ID].at, d.Status, d.ImageID})
	}
}

func (e *ecd) show(i *invocation, region string, ids []string) []desktop.Desktop {
	now := time.Now()
	var out []desktop.Desktop
	for _, id := range ids {
		m := e.machine(id)
		if m == nil || m.now.RegionID != region {
			continue
		}
		d := newDice(e.s.Seed, id, int(now.Sub(e.t0)/time.Millisecond))
		s := m.show(now, &d)
		if out := newDice(e.s.Seed, "left out "+id, int(now.Sub(e.t0)/time.Millisecond)); out.n(1000) < e.s.LeftOut {
			s.is.ImageID = ""
		}
		i.shown[id] = s
		if !s.gone {
			out = append(out, s.is)
		}
	}
	return out
}

// Select lists the desktops that match.
func (e *ecd) Select(ctx context.Context, region string, s desktop.Selector) ([]desktop.Desktop, error) {
	return e.selects(ctx, region, s, "")
}

func (e *ecd) selects(ctx context.Context, region string, s desktop.Selector, account string) ([]desktop.Desktop, error) {
	var out []desktop.Desktop
	_, err := e.ask(ctx, "DescribeDesktops", "DescribeDesktops of "+region, true, func() error {
		for _, d := range e.show(of(ctx), region, e.idsOf(account)) {
			if s.Matches(d) {
				out = append(out, d)
			}
		}
		return nil
	})
	e.looked(ctx, out, err)
	return out, err
}

// Tags is ListTagResources.
func (e *ecd) Tags(ctx context.Context, _ string, ids []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	_, err := e.ask(ctx, "ListTagResources", "ListTagResources "+strings.Join(ids, ","), true, func() error {
		for _, id := range ids {
			if m := e.machines[id]; m != nil {
				out[id] = m.now.Tags
			}
		}
		return nil
	})
	return out, err
}

// Images is DescribeImages.
func (e *ecd) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	var out []desktop.Image
	_, err := e.ask(ctx, "DescribeImages", "DescribeImages "+strings.Join(ids, ","), true, func() error {
		for _, id := range ids {
			if i := e.images[id]; i != nil && i.is.RegionID == region {
				out = append(out, i.show())
				of(ctx).images[id] = i.show()
			}
		}
		return nil
	})
	return out, err
}

// ImagesNamed is DescribeImages by name.
func (e *ecd) ImagesNamed(ctx context.Context, region, name string) ([]desktop.Image, error) {
	var out []desktop.Image
	_, err := e.ask(ctx, "DescribeImages", "DescribeImages named "+name, true, func() error {
		for _, i := range e.images {
			if i.is.Name == name && i.is.RegionID == region {
				out = append(out, i.show())
			}
		}
		slices.SortFunc(out, func(a, b desktop.Image) int { return b.Created.Compare(a.Created) })
		return nil
	})
	return out, err
}

// Changes is DescribeImageModifiedRecords.
func (e *ecd) Changes(ctx context.Context, _, id string) ([]desktop.Change, error) {
	var out []desktop.Change
	_, err := e.ask(ctx, "DescribeImageModifiedRecords", "DescribeImageModifiedRecords "+id, true, func() error {
		m := e.machine(id)
		if m == nil || !e.s.Records {
			return nil
		}
		at := time.Now().Add(-m.plan.LagRecord.d())
		for _, r := range slices.Backward(m.record) {
			c := desktop.Change{DesktopID: id, From: r.from, To: r.to, State: desktop.Changing, Updated: r.began.Add(r.skewed)}
			switch {
			case r.began.After(at):
				continue
			case r.ended.IsZero() || r.ended.After(at):
			case r.failed:
				c.State, c.Reason, c.Updated = desktop.ChangeFailed, "the disk was full", r.ended.Add(r.skewed)
			default:
				c.State, c.Updated = desktop.ChangeSucceeded, r.ended.Add(r.skewed)
			}
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

// Maintain is SetDesktopMaintenance. Like Stop, Start and Run it refuses all of
// the desktops for the sake of one.
func (e *ecd) Maintain(ctx context.Context, _ string, ids []string, on bool) error {
	word := map[bool]string{true: "on", false: "off"}[on]
	by := of(ctx).id
	return e.change(ctx, "SetDesktopMaintenance", "Maintenance "+word+" ", ids, "", func(m *machine) {
		m.held, m.freedBy = on, nil
		var freeing []*work
		for _, k := range e.workList() {
			if p := k.desktops[m.now.ID]; !on && p != nil && p.ready.freeing == by {
				m.freedBy = append(m.freedBy, k.id)
				freeing = append(freeing, k)
			}
		}
		e.restores(m, "the end of maintenance mode", freeing)
	})
}

// Stop is StopDesktops.
func (e *ecd) Stop(ctx context.Context, _ string, ids []string) error {
	return e.change(ctx, "StopDesktops", "StopDesktops ", ids, desktop.Running, func(m *machine) {
		m.halted = true
		m.move(desktop.Stopping, desktop.Stopped)
	})
}

// Start is StartDesktops.
func (e *ecd) Start(ctx context.Context, _ string, ids []string) error {
	by := of(ctx).id
	return e.change(ctx, "StartDesktops", "StartDesktops ", ids, desktop.Stopped, func(m *machine) {
		e.restores(m, "the start", slices.DeleteFunc(e.workList(), func(k *work) bool {
			p := k.desktops[m.now.ID]
			return p == nil || p.ready.starting != by
		}))
		m.halted = false
		m.move(desktop.Starting, desktop.Running)
	})
}

// change does something to desktops that are all there and in one status.
func (e *ecd) change(ctx context.Context, api, label string, ids []string, status string, do func(*machine)) error {
	_, err := e.ask(ctx, api, label+strings.Join(ids, ","), false, func() error {
		for _, id := range ids {
			switch m := e.machine(id); {
			case m == nil || m.gone:
				return &desktop.CallError{Call: api, Delivery: desktop.Refused, Code: e.spoken("InvalidDesktopId.NotFound"), Message: id}
			case status != "" && m.now.Status != status:
				return &desktop.CallError{Call: api, Delivery: desktop.Refused, Code: e.spoken(rollout.IncorrectDesktopStatus), Message: fmt.Sprintf("%s is %s", id, m.now.Status)}
			}
		}
		for _, id := range ids {
			do(e.machines[id])
		}
		return nil
	})
	return err
}

// Run is RunCommand.
func (e *ecd) Run(ctx context.Context, _ string, ids []string, command, _ string, _ time.Duration) ([]string, error) {
	if command == askCommand {
		return e.askDesktops(ctx, ids)
	}
	e.mu.Lock()
	e.commands++
	id := "t-" + strconv.Itoa(e.commands)
	e.mu.Unlock()
	err := e.change(ctx, "RunCommand", "RunCommand ", ids, desktop.Running, func(m *machine) {
		if m.ran == nil {
			m.ran = map[string]ranCheck{}
		}
		ok := m.fails <= 0
		m.fails--
		m.ran[id] = ranCheck{at: time.Now(), ok: ok}
		if ok {
			m.checked = time.Now()
		}
	})
	return []string{id}, err
}

// Invocations is DescribeInvocations.
func (e *ecd) Invocations(ctx context.Context, _, invoke string) ([]desktop.Invocation, error) {
	var out []desktop.Invocation
	_, err := e.ask(ctx, "DescribeInvocations", "DescribeInvocations "+invoke, true, func() error {
		for _, id := range e.ids {
			ran, did := e.machines[id].ran[invoke]
			if !did {
				continue
			}
			if ran.people {
				out = append(out, ran.shown(id))
				continue
			}
			i := desktop.Invocation{DesktopID: id, Status: "Running"}
			if time.Since(ran.at) > 20*time.Second {
				i.Done, i.Status = true, "Success"
				if !ran.ok {
					i.Status, i.ExitCode = "Failed", 1
				}
			}
			out = append(out, i)
		}
		return nil
	})
	return out, err
}
