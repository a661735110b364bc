package doctor

import (
	"context"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/pace"
)

// taking returns a check that takes so long and then says its own name.
func taking(name string, d time.Duration) Check {
	return Check{Name: name, run: func(ctx context.Context, _ *Deployment, say teller) {
		_ = pace.Sleep(ctx, d)
		say(Good, name+" was looked at", "")
	}}
}

// Checks of a group are made at the same time, and told in their order; who waits hears for
// what.
func TestChecksAreMadeAtTheSameTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var told []string
		began := time.Now()
		at := func(what string) { told = append(told, time.Since(began).String()+" "+what) }
		_, reach := pace.WithReach(t.Context())
		v := &visit{Deployment: &Deployment{}, reach: reach, tell: func(f Finding) { at(f.Check) }, waiting: func(check string) { at("waits for " + check) }}
		v.all(t.Context(), []Check{taking("account", time.Second)}, []Check{taking("role", 12*time.Second), taking("queues", 2*time.Second), taking("topics", 3*time.Second)})
		want := []string{"1s account", "6s waits for role", "11s waits for role", "13s role", "13s queues", "13s topics"}
		if !slices.Equal(told, want) {
			t.Errorf("told %q, want %q", told, want)
		}
	})
}

// Nothing more is looked at, and said, where no credentials count.
func TestTheRestIsNotLookedAtWithoutCredentials(t *testing.T) {
	var told []string
	_, reach := pace.WithReach(t.Context())
	v := &visit{Deployment: &Deployment{}, reach: reach, tell: func(f Finding) { told = append(told, f.Check) }}
	hopeless := Check{Name: "account", run: func(_ context.Context, p *Deployment, say teller) {
		p.hopeless = true
		say(Wrong, "the access key is not known", "")
	}}
	v.all(t.Context(), []Check{hopeless}, []Check{taking("role", time.Hour)})
	if got := strings.Join(told, " "); got != "account the rest" {
		t.Errorf("told %q", got)
	}
}
