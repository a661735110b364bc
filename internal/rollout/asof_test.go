package rollout_test

import (
	"time"

	"github.com/regild/regild/internal/rollout"
)

// just is a fact that is read whenever somebody decides; see decide.
func just[T any](v T) rollout.Fact[T] { return rollout.Fact[T]{Value: v} }

// cannot is a fact that could not be had.
func cannot[T any](code string) rollout.Fact[T] {
	return rollout.Fact[T]{Err: &rollout.Unread{Code: code, Message: "no"}}
}

// decide decides by facts that were all read just now, but for those that say
// when they were read.
func decide(s *rollout.State, r rollout.Rules, f *rollout.Facts, now time.Time) rollout.Decision {
	g := rollout.NewFacts()
	g.Busy = f.Busy
	asOf(g.Desktops, f.Desktops, now)
	asOf(g.Tags, f.Tags, now)
	asOf(g.Images, f.Images, now)
	asOf(g.Changes, f.Changes, now)
	asOf(g.Checks, f.Checks, now)
	asOf(g.Members, f.Members, now)
	asOf(g.Snapshots, f.Snapshots, now)
	return rollout.Decide(s, r, g, now)
}

func asOf[T any](to, from map[string]rollout.Fact[T], now time.Time) {
	for k, v := range from {
		if v.ReadAt.IsZero() {
			v.ReadAt = now
		}
		to[k] = v
	}
}
