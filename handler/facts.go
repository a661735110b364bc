package handler

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/rollout"
)

// factsOf returns the facts of a job: those of its region, which all jobs share,
// and what is busy for it alone.
func (r *run) factsOf(region string, busy map[string]string) *rollout.Facts {
	shared := r.facts[region]
	if shared == nil {
		shared = rollout.NewFacts()
		r.facts[region] = shared
	}
	f := *shared
	f.Busy = busy
	return &f
}

// look reads what the decisions need to know, for each region, all at once. What
// cannot be read is noted as such: cannot ask means no.
func (r *run) look(needs map[string]*rollout.Need) {
	var wg sync.WaitGroup
	for region, need := range needs {
		l := &look{run: r, region: region, facts: r.facts[region]}
		l.go1(&wg, need.Desktops, l.desktops)
		l.go1(&wg, need.Tags, l.tags)
		l.go1(&wg, need.Images, l.images)
		l.each(&wg, need.Changes, l.changes)
		l.each(&wg, need.Checks, l.checks)
		l.each(&wg, need.Members, l.members)
	}
	wg.Wait()
}

// look is one region being read.
type look struct {
	*run
	region string
	mu     sync.Mutex // guards facts
	facts  *rollout.Facts
}

func (l *look) go1(wg *sync.WaitGroup, ids []string, read func(context.Context, []string) error) {
	if len(ids) > 0 {
		wg.Go(func() { l.note(ids, read(l.ctx, ids)) })
	}
}

// each reads one by one, some at once: the adapter bounds what is under way.
func (l *look) each(wg *sync.WaitGroup, ids []string, read func(context.Context, string) error) {
	const workers = 16
	for part := range slices.Chunk(ids, max(1, (len(ids)+workers-1)/workers)) {
		wg.Go(func() {
			for _, id := range part {
				l.note([]string{id}, read(l.ctx, id))
			}
		})
	}
}

// note remembers that something could not be read, and why.
func (l *look) note(ids []string, err error) {
	if err == nil {
		return
	}
	u := l.unread(err)
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		for _, kind := range []string{"", "tags/", "changes/", "check/", "members/"} {
			l.facts.Unread[kind+id] = u
		}
	}
}

// unread says in our words why ECD could not be asked.
func (r *run) unread(err error) rollout.Unread {
	u := rollout.Unread{Code: events.CodeFactsUnavailable, Message: "ECD could not be asked: " + err.Error()}
	e, ok := errors.AsType[*desktop.CallError](err)
	switch {
	case ok && e.Throttled:
		u.Code = events.CodeThrottled
	case ok && e.Fate == desktop.Forbidden:
		u.Code = events.CodeNotAuthorized
		r.halt(err)
	}
	return u
}

func (l *look) desktops(ctx context.Context, ids []string) error {
	l.counts.lookedAt(ids)
	list, err := l.ECD.Desktops(ctx, l.region, ids)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.facts.Desktops[id] = nil // asked, and not listed unless it follows
	}
	for i := range list {
		list[i].Tags = nil // DescribeDesktops leaves them out; see tags
		l.facts.Desktops[list[i].ID] = &list[i]
	}
	return nil
}

func (l *look) tags(ctx context.Context, ids []string) error {
	tags, err := l.ECD.Tags(ctx, l.region, ids)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		if d := l.facts.Desktops[id]; d != nil {
			d.Tags = tags[id]
			if d.Tags == nil {
				d.Tags = map[string]string{}
			}
		}
	}
	return nil
}

func (l *look) images(ctx context.Context, ids []string) error {
	list, err := l.ECD.Images(ctx, l.region, ids)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, id := range ids {
		l.facts.Images[id] = nil
	}
	for i := range list {
		l.facts.Images[list[i].ID] = &list[i]
	}
	return nil
}

func (l *look) changes(ctx context.Context, id string) error {
	list, err := l.ECD.Changes(ctx, l.region, id)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts.Changes[id] = list
	return nil
}

// checks reads the results of one check, which may be several commands: its id
// joins theirs with commas.
func (l *look) checks(ctx context.Context, check string) error {
	byDesktop := map[string]desktop.Invocation{}
	for _, id := range strings.Split(check, ",") {
		list, err := l.ECD.Invocations(ctx, l.region, id)
		if err != nil {
			return err
		}
		for _, i := range list {
			byDesktop[i.DesktopID] = i
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts.Checks[check] = byDesktop
	return nil
}

// members reads who is in a fleet now: the desktops that belong to it before any
// other fleet of the file.
func (l *look) members(ctx context.Context, name string) error {
	i := slices.IndexFunc(l.Rules.Fleets, func(f fleet.Fleet) bool { return f.Name == name })
	if i < 0 {
		return errors.New("the fleet is not declared")
	}
	list, err := l.ECD.Select(ctx, l.region, l.Rules.Fleets[i].Select)
	if err != nil {
		return err
	}
	if l.Rules.Fleets.NeedTags(l.region) {
		var ids []string
		for _, d := range list {
			if d.Tags == nil {
				ids = append(ids, d.ID)
			}
		}
		tags, err := l.ECD.Tags(ctx, l.region, ids)
		if err != nil {
			return err
		}
		for i := range list {
			if list[i].Tags == nil {
				list[i].Tags = tags[list[i].ID]
			}
			if list[i].Tags == nil {
				list[i].Tags = map[string]string{}
			}
		}
	}
	list = slices.DeleteFunc(list, func(d desktop.Desktop) bool {
		f, in := l.Rules.Fleets.Of(d)
		return !in || f.Name != name
	})
	l.mu.Lock()
	defer l.mu.Unlock()
	l.facts.Members[name] = list
	return nil
}

// forget drops what is known of desktops that were just changed.
func (r *run) forget(region string, ids []string) {
	f := r.facts[region]
	for _, id := range ids {
		delete(f.Desktops, id)
		delete(f.Changes, id)
		delete(f.Unread, id)
	}
}

// maxLooks bounds how often the facts are asked for before a decision is made. A
// fleet of 10,000 in which nobody can be begun takes the most: each look reads
// some hundred further desktops.
const maxLooks = 250

// preview plans a work without touching anything.
func (r *run) preview(w rollout.Work) events.Plan {
	for range maxLooks {
		plan, need := rollout.Preview(w, r.Rules, r.factsOf(w.RegionID, nil), r.now)
		if need.Empty() {
			return plan
		}
		r.look(map[string]*rollout.Need{w.RegionID: &need})
	}
	return events.Plan{RegionID: w.RegionID}
}
