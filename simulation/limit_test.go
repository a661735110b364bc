package simulation

import (
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// A look is what an invocation was shown of a desktop.
type look struct {
	by            *invocation
	at            time.Time
	status, image string
}

// lookedFor says whether an invocation may have looked for a work: it was given a message of
// it, or has had its journal in hand.
func (i *invocation) lookedFor(k *work) bool {
	return slices.Contains(i.journals, k.key) || slices.ContainsFunc(i.messages, func(m *message) bool { return m.work() == k.id })
}

// kept says whether whoever looked for a work could write down what was shown: it was not
// killed, its time was not up, and no append to the journal failed since.
func (l look) kept(k *work) bool {
	return l.by.lookedFor(k) && !l.by.cutOff && !l.by.unwritten[k.key].After(l.at)
}

// unseen says whether a rebuild that a work has had done at that time is behind the limit of
// docs/guarantees.md: ECD has no records of it; it left the desktop on the image that it was
// on, since it failed, or somebody else has rebuilt the desktop since; and in each look for that
// work that could be written down, ECD showed it idle on that image. A reset is never sent twice.
func (w *world) unseen(m *machine, k *work, since time.Time) bool {
	p := k.desktops[m.now.ID]
	if w.s.Records || k.image == "" || p == nil {
		return false
	}
	showed := slices.ContainsFunc(m.looks, func(l look) bool {
		return l.at.After(since) && (l.status == desktop.Rebuilding || l.image != "" && l.image != p.from) && l.kept(k)
	})
	return !showed && (m.plan.Ends == "fail" || m.outside.After(since) ||
		slices.ContainsFunc(w.wipes, func(a *acceptance) bool { return a.desktop == m.now.ID && a.work != k.id && a.at.After(since) }))
}

// overlook notes of which desktops it is written down, as the guarantees allow, that a call was
// not carried out, though it was. What is shown of them later says nothing of that call.
func (w *world) overlook(k *work, r *record) {
	for _, id := range r.Desktops {
		if p, m := k.desktops[id], w.machine(id); p != nil && m != nil && !p.wipedAt.IsZero() {
			p.overlooked = w.unseen(m, k, p.wipedAt) && w.settled(m, k, p.wipedAt)
		}
	}
}

// settled says whether a work has looked twice at a desktop since then as it has to before it
// may make a call again: a settling time after the call, and a settling time later.
func (w *world) settled(m *machine, k *work, since time.Time) bool {
	asked, looks := since.Add(-rollout.CallLimit-clocksApart), 0 // an answer may be lost before its call is carried out
	var last time.Time
	for _, l := range m.looks {
		if !l.at.Before(asked.Add(rollout.Settling)) && l.by.lookedFor(k) && l.image != "" {
			looks, last = looks+1, l.at
		}
	}
	return looks >= 2 && !last.Before(asked.Add(2*rollout.Settling))
}

// The limit is as docs/guarantees.md says it, and no wider.
func TestASecondRebuildIsBehindTheLimitOnlyWhereNothingShowedTheFirst(t *testing.T) {
	t0 := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	at := func(s span) time.Time { return t0.Add(s.d()) }
	ours, others := &invocation{journals: []string{"request/r1.jsonl"}}, &invocation{journals: []string{"request/r2.jsonl"}}
	idle := func(s span) look { return look{ours, at(s), desktop.Running, "m-old"} }
	early := func(*world, *machine, *work) {}
	for name, c := range map[string]struct {
		but    func(w *world, m *machine, k *work)
		looks  []look
		behind bool
	}{
		"it failed":                               {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, nil, true},
		"it was taken back by hand":               {func(_ *world, m *machine, _ *work) { m.outside = at(2 * minute) }, nil, true},
		"it was taken back by another request":    {func(w *world, _ *machine, _ *work) { w.wipes[1].at = at(2 * minute) }, nil, true},
		"it is as it was to be":                   {early, nil, false},
		"it was changed by hand before":           {func(_ *world, m *machine, _ *work) { m.outside = at(-minute) }, nil, false},
		"it failed, and ECD has records":          {func(w *world, m *machine, _ *work) { m.plan.Ends, w.s.Records = "fail", true }, nil, false},
		"it failed, and was a reset":              {func(_ *world, m *machine, k *work) { m.plan.Ends, k.image = "fail", "" }, nil, false},
		"it failed, and was shown":                {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, []look{{ours, at(minute), desktop.Rebuilding, "m-old"}}, false},
		"it failed, and its image was shown":      {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, []look{{ours, at(minute), desktop.Running, "m-new1"}}, false},
		"it failed, and was shown without image":  {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, []look{{ours, at(minute), desktop.Rebuilding, ""}}, false},
		"it failed, and its image was left out":   {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, []look{{ours, at(minute), desktop.Running, ""}}, true},
		"it failed, and was shown to others":      {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, []look{{others, at(minute), desktop.Rebuilding, "m-old"}}, true},
		"it failed, and was shown before":         {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, []look{{ours, at(0), desktop.Rebuilding, "m-old"}}, true},
		"it failed, and who saw it was killed":    {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, []look{{&invocation{journals: ours.journals, cutOff: true}, at(minute), desktop.Rebuilding, "m-old"}}, true},
		"it failed, and who saw it could not say": {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, []look{{&invocation{journals: ours.journals, unwritten: map[string]time.Time{"request/r1.jsonl": at(2 * minute)}}, at(minute), desktop.Rebuilding, "m-old"}}, true},
		"it failed, and who saw it wrote since":   {func(_ *world, m *machine, _ *work) { m.plan.Ends = "fail" }, []look{{&invocation{journals: ours.journals, unwritten: map[string]time.Time{"request/r1.jsonl": at(second)}}, at(minute), desktop.Rebuilding, "m-old"}}, false},
	} {
		k := &work{id: "r1", key: "request/r1.jsonl", image: "m-new1", desktops: map[string]*progress{"ecd-0001": {from: "m-old"}}}
		m := &machine{now: desktop.Desktop{ID: "ecd-0001"}, looks: append(c.looks, idle(6*minute), idle(11*minute))}
		w := &world{s: &schedule{}, wipes: []*acceptance{{wipe{"r1", "ecd-0001"}, at(0), "m-new1"}, {wipe{"r2", "ecd-0001"}, at(-minute), "m-old"}}}
		c.but(w, m, k)
		if got := w.unseen(m, k, at(0)) && w.settled(m, k, at(0)); got != c.behind {
			t.Errorf("%s: behind the limit: %t, want %t", name, got, c.behind)
		}
	}
}

// Nor may a call be made again, where nothing showed it, before there were two looks.
func TestASecondRebuildIsNotBehindTheLimitBeforeTwoLooks(t *testing.T) {
	t0 := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC)
	k, by := &work{id: "r1", key: "request/r1.jsonl"}, &invocation{journals: []string{"request/r1.jsonl"}}
	for _, c := range []struct {
		looks []span
		want  bool
	}{
		{nil, false}, {[]span{6 * minute}, false}, {[]span{11 * minute}, false}, {[]span{6 * minute, 11 * minute}, true},
		{[]span{3 * minute, 11 * minute}, false}, {[]span{6 * minute, 7 * minute}, false}, {[]span{4 * minute, 9 * minute}, true},
	} {
		m := &machine{}
		for _, at := range c.looks {
			m.looks = append(m.looks, look{by, t0.Add(at.d()), desktop.Running, "m-old"})
		}
		if got := (&world{}).settled(m, k, t0); got != c.want {
			t.Errorf("looks at %v: settled: %t, want %t", c.looks, got, c.want)
		}
	}
	if slices.ContainsFunc([]*invocation{{}, {journals: []string{"request/r2.jsonl"}}}, func(i *invocation) bool { return i.lookedFor(k) }) {
		t.Error("an invocation that had nothing of r1 in hand is said to have looked for it")
	}
}
