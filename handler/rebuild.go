package handler

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/plan"
	"github.com/regild/regild/internal/rollout"
)

// A rebuilder is the stage that has desktops rebuilt.
type rebuilder struct {
	*invocation
	accounts    *accounts
	rules       rollout.Rules
	concurrency int // calls under way at once in a place
	jobs        *jobs
	facts       *reader
	perms       *permissions
	sched       *scheduler
	out         *outbox
	recovery    *recovery
	index       *openIndex
}

// rebuild plans all that may be begun into calls and makes them, some at once.
// What does not get its turn is deferred. When the facts have grown too old on
// the way to begin more by them, it stops and says so: they are to be read again.
func (rb *rebuilder) rebuild(jobs []*job) (again bool) {
	p := plan.Make(wishes(jobs))
	if len(p.Batches) == 0 {
		return false
	}
	rb.refuseConflicts(jobs, p.Conflicts)

	c := &calls{rebuilder: rb, owners: jobs, concern: rb.concerns(jobs), turns: map[desktop.Place]chan struct{}{},
		hopeless: map[refusal]bool{}, late: map[hindrance][]plan.Batch{}, tooOldIn: map[string]bool{}}
	byPlace := map[desktop.Place][]plan.Batch{}
	for _, b := range p.Batches {
		byPlace[b.Place()] = append(byPlace[b.Place()], b)
	}
	for at := range byPlace {
		c.turns[at] = make(chan struct{}, rb.concurrency)
	}
	var wg sync.WaitGroup
	for _, batches := range byPlace {
		c.makeAll(&wg, batches)
	}
	wg.Wait()
	c.deferRest()
	for account := range c.tooOldIn {
		again = again || c.mayNot(account).what == free
	}
	if again {
		reconsider(jobs)
	}
	return again
}

// makeAll makes the calls of one place, some at once. No place waits for another's turn.
func (c *calls) makeAll(wg *sync.WaitGroup, batches []plan.Batch) {
	next := make(chan plan.Batch, len(batches))
	for _, b := range batches {
		next <- b
	}
	close(next)
	// Twice as many as may call at once: while some call, the others write, and
	// so the journal's time is not added to that of the calls.
	for range min(2*c.concurrency, len(batches)) {
		wg.Go(func() {
			for b := range next {
				if err := contain(func() error { c.batch(b); return nil }); err != nil {
					c.log.Error("a batch made us panic", "error", err.Error())
				}
			}
		})
	}
}

// wishes yields what the jobs may begin.
func wishes(jobs []*job) iter.Seq[plan.Wish] {
	return func(yield func(plan.Wish) bool) {
		for owner, j := range jobs {
			for _, id := range j.decision.Begin {
				w := plan.Wish{Owner: owner, Target: desktop.Target{ID: id}}
				j.journal.Look(func(s *rollout.State) { w.Spec, w.Lost = s.CallSpec(id), s.Desktops[id].Attempt-s.Desktops[id].Denied })
				if !yield(w) {
					return
				}
			}
		}
	}
}

// refuseConflicts refuses what an earlier request of the same delivery rules out.
func (rb *rebuilder) refuseConflicts(jobs []*job, conflicts []plan.Conflict) {
	groups := map[int][]rollout.Group{}
	for _, c := range conflicts {
		groups[c.Owner] = append(groups[c.Owner], rollout.Group{Status: events.StatusRefused, Code: events.CodeConflictingTargets,
			Message:  fmt.Sprintf("request %s of the same delivery wants desktop %s otherwise, and came first", jobs[c.With].id, c.ID),
			Desktops: []string{c.ID}})
	}
	for _, owner := range slices.Sorted(maps.Keys(groups)) {
		rb.settle(jobs[owner], groups[owner])
	}
}

// settle writes outcomes down and has them published.
func (rb *rebuilder) settle(j *job, groups []rollout.Group) {
	err := j.journal.Update(rb.last, func(s *rollout.State) []rollout.Record { // calls may have taken all the time
		rec := rollout.Record{Kind: rollout.KindSettled}
		for _, g := range groups {
			g.Desktops = slices.DeleteFunc(slices.Clone(g.Desktops), func(id string) bool {
				return s.Desktops[id] == nil || s.Desktops[id].Phase != rollout.Pending // another instance has begun it
			})
			if len(g.Desktops) > 0 {
				rec.Outcomes = append(rec.Outcomes, g)
			}
		}
		if rec.Outcomes == nil {
			return nil
		}
		return []rollout.Record{rec}
	})
	if err != nil {
		rb.recovery.fail(j, err)
		return
	}
	for _, g := range groups {
		rb.out.add(j, g.Desktops)
	}
}

// calls are the RebuildDesktops calls that one pass of the stage makes.
type calls struct {
	*rebuilder
	owners  []*job
	concern concerns                        // which freezes hold a desktop; it does not change
	turns   map[desktop.Place]chan struct{} // each holds one for each call under way; the map does not change

	mu sync.Mutex
	// hopeless are refusals that every single desktop of a batch has met: they
	// are about the spec, so further batches are not taken apart for them.
	hopeless map[refusal]bool
	// late are the batches that did not get their turn, and why.
	late map[hindrance][]plan.Batch
	// tooOldIn has the accounts of desktops that were not begun because what was known
	// of them was too old: they are to be read again.
	tooOldIn map[string]bool
}

type refusal struct {
	spec desktop.Spec
	code string
}

// A hindrance is why nothing more may be begun in an account in this invocation.
type hindrance struct {
	what    int
	account string // that denied it
}

const (
	free = iota // nothing hinders
	denied
	timeShort
)

// mayNot says why no further batch may be begun in an account.
func (c *calls) mayNot(account string) hindrance {
	switch {
	case c.perms.stopped(account) != nil:
		return hindrance{denied, account}
	case c.shortOfTime():
		return hindrance{what: timeShort}
	}
	return hindrance{}
}

func (c *calls) postpone(b plan.Batch, why hindrance) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.late[why] = append(c.late[why], b)
}

// noteTooOld notes that what was known of a desktop of an account was too old to begin it.
func (c *calls) noteTooOld(account string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tooOldIn[account] = true
}

// deferRest writes down what did not get its turn.
func (c *calls) deferRest() {
	byAccount := func(a, b hindrance) int {
		return cmp.Or(cmp.Compare(a.what, b.what), cmp.Compare(a.account, b.account))
	}
	for _, why := range slices.SortedFunc(maps.Keys(c.late), byAccount) {
		batches, g := c.late[why], c.tooLate(why)
		byOwner := map[int][]string{}
		for _, b := range batches {
			for i, id := range b.IDs {
				for _, owner := range b.Owners[i] {
					byOwner[owner] = append(byOwner[owner], id)
				}
			}
		}
		for _, owner := range slices.Sorted(maps.Keys(byOwner)) {
			mine := g
			mine.Desktops = byOwner[owner]
			c.settle(c.owners[owner], []rollout.Group{mine})
		}
	}
}

// tooLate is what becomes of desktops that mayNot keeps from being begun.
func (c *calls) tooLate(why hindrance) rollout.Group {
	if why.what == denied {
		return rollout.Group{Status: events.StatusDeferred, Code: events.CodeNotAuthorized, Until: c.asOf().Add(notAuthorizedPause),
			Message: "stopped: " + c.perms.stopped(why.account).Error()}
	}
	return rollout.Group{Status: events.StatusDeferred, Code: events.CodeTimeShort, Until: c.asOf(),
		Message: "the invocation's time ran short before the desktop's turn; it goes on in the next"}
}

// notAuthorizedPause is how long to wait until the permissions may be corrected.
const notAuthorizedPause = 5 * time.Minute

// batch claims the desktops of a batch, makes the call, and writes down how it ended.
// If nothing more may be begun it leaves the batch for later.
func (c *calls) batch(b plan.Batch) {
	if why := c.mayNot(b.AccountID); why.what != free {
		c.postpone(b, why)
		return
	}
	began := time.Now()
	call := rand.Text()
	readAt := c.claim(&b, call)
	if len(b.IDs) == 0 {
		return
	}
	for _, owners := range b.Owners {
		for _, owner := range owners {
			c.index.await(c.owners[owner]) // its entry is written beside the claim
		}
	}
	// From the claim on, the call may reach ECD only within CallLimit: after that
	// others may ask ECD what became of it.
	ctx, cancel := context.WithDeadline(c.ctx, began.Add(rollout.CallLimit))
	defer cancel()
	endings := c.inTurn(ctx, b.Batch, readAt)
	for owner := range c.owners {
		c.ended(owner, b, call, endings)
	}
	for _, e := range endings {
		if e.group.Status == events.StatusAccepted { // what was read before says nothing any more, and is much
			c.facts.forget(b.Place(), e.ids...)
		}
	}
}

// inTurn makes the call when it is the batch's turn. What has become impossible
// while it waited is not begun after all, and its claim is rolled back.
func (c *calls) inTurn(ctx context.Context, b desktop.Batch, readAt time.Time) []ending {
	select {
	case c.turns[b.Place()] <- struct{}{}:
		defer func() { <-c.turns[b.Place()] }()
	case <-ctx.Done(): // too late for a call, and the adapter says so
	}
	if why := c.mayNot(b.AccountID); why.what != free {
		return []ending{{ids: b.IDs, group: c.tooLate(why)}}
	}
	if c.old(readAt) {
		return c.tooOld(b)
	}
	// The adapter may have to wait for its turn as well, and after throttling.
	return c.send(desktop.BeginBefore(ctx, time.Now().Add(factsAge-c.business().Sub(readAt))), b, 0)
}

// tooOld is what becomes of desktops that were read too long ago to be begun now.
func (c *calls) tooOld(b desktop.Batch) []ending {
	c.noteTooOld(b.AccountID)
	return []ending{{ids: b.IDs, group: rollout.Group{Status: events.StatusDeferred, Code: events.CodeTimeShort, Until: c.business().UTC(),
		Message: "what was known of the desktop grew old before its turn; it is looked at again first"}}}
}

// claim writes down for every owner that the desktops are about to be begun,
// leaves in the batch those that all their owners may have, and returns when the
// first of them was read. An instance that loses a race against another does not call.
func (c *calls) claim(b *plan.Batch, call string) (readAt time.Time) {
	granted := make(map[string]int, len(b.IDs))
	readAt = c.business()
	for owner, j := range c.owners {
		ids := owned(*b, owner, b.IDs)
		if len(ids) == 0 {
			continue
		}
		got, at := c.claimFor(j, ids, call)
		for _, id := range got {
			granted[id]++
		}
		if len(got) > 0 && at.Before(readAt) {
			readAt = at
		}
	}
	b.Keep(func(id string, owners []int) bool {
		all := granted[id] == len(owners)
		if !all && granted[id] > 0 {
			c.rollBackClaim(owners, id, call)
		}
		return all
	})
	return readAt
}

// claimFor writes down for one owner which of the desktops are about to be begun. If
// others have written since it was decided, that is decided anew first.
func (c *calls) claimFor(j *job, ids []string, call string) (got []string, readAt time.Time) {
	anew := func(s *rollout.State) error { c.redecide(j, s); return nil }
	err := j.journal.UpdateBy(c.ctx, &j.decision.basis, anew, func(s *rollout.State) []rollout.Record {
		rec := rollout.Record{Kind: rollout.KindBegun, Call: call}
		readAt = c.business()
		c.facts.use(s.Operation.Place(), nil, func(facts *rollout.Facts) {
			for _, id := range ids {
				fact := facts.Desktops[id]
				if !c.mayClaim(j, s.Operation.AccountID, s.Desktops[id], fact) {
					continue
				}
				if fact.ReadAt.Before(readAt) {
					readAt = fact.ReadAt
				}
				rec.Desktops, rec.From = append(rec.Desktops, id), append(rec.From, fact.Value.ImageID)
			}
		})
		if got = rec.Desktops; len(got) == 0 {
			return nil
		}
		return []rollout.Record{rec}
	})
	if err != nil {
		c.recovery.fail(j, err)
		return nil, readAt
	}
	return got, readAt
}

// redecide decides about a job anew, by the state in which others have left it
// and without asking ECD. If their tick has overtaken the watchdog of this invocation,
// another one is put on the queue first.
func (c *calls) redecide(j *job, s *rollout.State) {
	now := c.business().UTC()
	c.facts.use(s.Operation.Place(), j.others, func(f *rollout.Facts) { j.decision.Decision = rollout.Decide(s, c.rules, f, now) })
	if !j.decision.Need.Empty() || !c.sched.watched(j, s) {
		j.decision.Begin = nil
		c.noteTooOld(s.Operation.AccountID)
	}
	j.decision.raced, j.decision.at = true, now
}

// mayClaim says whether a desktop may be begun by what is known of it.
func (c *calls) mayClaim(j *job, account string, x *rollout.Desktop, fact rollout.Fact[*desktop.Desktop]) bool {
	if x == nil || x.Phase != rollout.Pending || j.decision.raced && !slices.Contains(j.decision.Begin, x.ID) {
		return false
	}
	// What was dropped since the decision, for its age, was read at no time at all. The
	// last: read anew for another job since.
	if c.old(fact.ReadAt) || fact.ReadAt.After(j.decision.at) {
		c.noteTooOld(account)
		return false
	}
	return fact.Value != nil
}

// rollBackClaim rolls back the claim of a desktop that not all its owners may have.
func (c *calls) rollBackClaim(owners []int, id, call string) {
	g := rollout.Group{Status: events.StatusDeferred, Code: events.CodeStatusWait, Until: c.asOf().Add(time.Minute),
		Message: "another instance is at work on this desktop"}
	for _, owner := range owners {
		c.write(c.owners[owner], call, []ending{{group: g, ids: []string{id}}})
	}
}

func owned(b plan.Batch, owner int, ids []string) []string {
	var out []string
	for _, id := range ids {
		if slices.Contains(b.OwnersOf(id), owner) {
			out = append(out, id)
		}
	}
	return out
}

// An ending is what became of some desktops of a call.
type ending struct {
	ids       []string
	requestID string
	group     rollout.Group // without Desktops
}

// ended writes down for one owner how its desktops of a call ended.
func (c *calls) ended(owner int, b plan.Batch, call string, endings []ending) {
	var mine []ending
	for _, e := range endings {
		if e.ids = owned(b, owner, e.ids); len(e.ids) > 0 {
			mine = append(mine, e)
		}
	}
	if len(mine) > 0 {
		c.write(c.owners[owner], call, mine)
	}
}

func (c *calls) write(j *job, call string, endings []ending) {
	err := j.journal.Update(c.last, func(*rollout.State) []rollout.Record { // the call was made: that must be written down even if time is up
		var out []rollout.Record
		for _, e := range endings {
			e.group.Desktops = e.ids
			if n := len(out); n > 0 && out[n-1].RequestID == e.requestID {
				out[n-1].Outcomes = append(out[n-1].Outcomes, e.group)
				continue
			}
			out = append(out, rollout.Record{Kind: rollout.KindEnded, Call: call, RequestID: e.requestID, Outcomes: []rollout.Group{e.group}})
		}
		return out
	})
	if err != nil {
		c.recovery.fail(j, err) // the facts will show what became of the call
		return
	}
	for _, e := range endings {
		c.out.add(j, e.ids)
	}
}

// send makes one call, and takes it apart when ECD refuses it as a whole, by a
// code that is documented to mean so, or denies it for the sake of one desktop:
// then nothing of it was started, and one bad id must not fail nineteen others. A batch
// of n takes at most 2n-2 further calls; see hopeless for when it takes none.
func (c *calls) send(ctx context.Context, b desktop.Batch, depth int) []ending {
	b, held := c.unfrozen(ctx, b)
	if len(b.IDs) == 0 {
		return held
	}
	return append(held, c.call(ctx, b, depth)...)
}

// call is send for what no freeze holds back.
func (c *calls) call(ctx context.Context, b desktop.Batch, depth int) []ending {
	services, err := c.accounts.of(b.AccountID)
	var answer desktop.Answer
	if err == nil {
		answer, err = services.ECD.Rebuild(ctx, b)
	}
	if err == nil {
		return c.read(b, answer)
	}
	e, ok := errors.AsType[*desktop.CallError](err)
	if !ok {
		e = &desktop.CallError{Call: "RebuildDesktops", Message: err.Error()}
	}
	switch {
	case errors.Is(err, desktop.ErrTooLate):
		return c.tooOld(b)
	case e.Delivery == desktop.Refused, aboutOne(e, b.IDs):
		return c.takeApart(ctx, b, e, depth)
	case e.Delivery == desktop.Forbidden:
		c.perms.deny(b.AccountID, e, err)
	}
	return []ending{{b.IDs, e.RequestID, callOutcome(e, c.business().UTC())}}
}

// takeApart finds out which desktops of a refused batch are to blame.
func (c *calls) takeApart(ctx context.Context, b desktop.Batch, e *desktop.CallError, depth int) []ending {
	why := refusal{b.Spec, e.Code}
	if len(b.IDs) == 1 || c.isHopeless(why) {
		return []ending{{b.IDs, e.RequestID, callOutcome(e, c.business().UTC())}}
	}
	half := len(b.IDs) / 2
	first, second := b, b
	first.IDs, second.IDs = b.IDs[:half], b.IDs[half:]
	endings := append(c.send(ctx, first, depth+1), c.send(ctx, second, depth+1)...)
	if depth == 0 && deniedToAll(endings) {
		c.perms.deny(b.AccountID, e, e) // the answers name desktops, and mean all
	}
	if depth == 0 && !slices.ContainsFunc(endings, func(o ending) bool { return o.group.Status != events.StatusFailed || o.group.Code != e.Code }) {
		c.mu.Lock()
		c.hopeless[why] = true
		c.mu.Unlock()
	}
	return endings
}

func (c *calls) isHopeless(why refusal) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.hopeless[why]
}

// read takes an answer apart by what it says of each desktop.
func (c *calls) read(b desktop.Batch, answer desktop.Answer) []ending {
	by := make(map[string]desktop.Result, len(answer.Results))
	for _, res := range answer.Results {
		by[res.DesktopID] = res
	}
	var out []ending
	index := map[[3]string]int{}
	add := func(id string, g rollout.Group) {
		key := [3]string{string(g.Status), g.Code, g.Message}
		i, known := index[key]
		if !known {
			i = len(out)
			index[key] = i
			out = append(out, ending{requestID: answer.RequestID, group: g})
		}
		out[i].ids = append(out[i].ids, id)
	}
	now := c.business().UTC()
	for _, id := range b.IDs {
		if res := by[id]; res.Code != "" {
			add(id, desktopOutcome(res, now))
			continue
		}
		add(id, rollout.Group{Status: events.StatusDeferred, Code: events.CodeOutcomeUnknown, Until: now.Add(time.Minute),
			Message: "ECD's answer does not mention the desktop" + rollout.UntilShown})
	}
	return out
}
