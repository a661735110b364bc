package handler

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// A silentECD answers images only if it is told to, and counts the calls for desktops.
type silentECD struct {
	answeringECD
	fault    error
	desktops atomic.Int32
}

func (e *silentECD) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	if e.fault != nil {
		return nil, e.fault
	}
	return e.answeringECD.Images(ctx, region, ids)
}

func (e *silentECD) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	e.desktops.Add(1)
	return e.answeringECD.Desktops(ctx, region, ids)
}

// Where nobody answers the call for images, the pages of desktops are not asked for: each
// would take as long. Another fault of that call says nothing of the others.
func TestAPlaceThatIsSilentIsAskedOnce(t *testing.T) {
	ids := make([]string, 1000)
	for i := range ids {
		ids[i] = "ecd-" + string(rune('a'+i%26)) + string(rune('a'+i/26))
	}
	for name, c := range map[string]struct {
		fault error
		calls int32
	}{
		"it answers":                {nil, 10},
		"nobody answers":            {&desktop.CallError{Call: "DescribeImages", Message: "no answer", Err: context.DeadlineExceeded}, 0},
		"it fails":                  {&desktop.CallError{Call: "DescribeImages", Message: "unexpected EOF"}, 10},
		"it does not take the call": {&desktop.CallError{Call: "DescribeImages", Delivery: desktop.Refused, Code: "InvalidParameter"}, 10},
	} {
		b := newCallsBench(t)
		e := &silentECD{fault: c.fault}
		rd := b.run.decider.facts
		rd.accounts.own = Services{ECD: e}
		rd.look(1, map[desktop.Place]*rollout.Need{here: {Desktops: ids, Images: []string{"m-new"}}})
		if got := e.desktops.Load(); got != c.calls {
			t.Errorf("%s: desktops are asked for %d times, want %d", name, got, c.calls)
		}
		if f := rd.place(here).Desktops[ids[0]]; (f.Err != nil) != (c.calls == 0) || f.Err != nil && (f.Err.Code != events.CodeFactsUnavailable || !f.Err.Unasked) {
			t.Errorf("%s: of a desktop is known %+v", name, f)
		}
		if f := rd.place(here).Images["m-new"]; f.Err != nil && f.Err.Unasked {
			t.Errorf("%s: the image counts as not asked for", name)
		}
	}
}

// A question that was not sent is known as such, and one that was sent is not.
func TestAQuestionThatWasNotSentIsNoLook(t *testing.T) {
	for _, unasked := range []bool{false, true} {
		l := &look{}
		if got := l.unread(&desktop.CallError{Call: "DescribeDesktops", Delivery: desktop.NotSent, Unasked: unasked}); got.Unasked != unasked {
			t.Errorf("unasked %t: got %+v", unasked, got)
		}
	}
}

// What was read last of a desktop counts: a later listing of its fleet that shows it
// otherwise, or shows it at all, has it read again.
func TestALaterListingCountsMore(t *testing.T) {
	was, later := time.Unix(1000, 0), time.Unix(1001, 0)
	as := func(image string) *desktop.Desktop { return &desktop.Desktop{ID: "ecd-1", ImageID: image} }
	for name, c := range map[string]struct {
		fact   rollout.Fact[*desktop.Desktop]
		listed time.Time
		stays  bool
	}{
		"as it was":                {rollout.Read(was, as("m-new")), later, true},
		"otherwise":                {rollout.Read(was, as("m-old")), later, false},
		"otherwise, but not later": {rollout.Read(was, as("m-old")), was, true},
		"that was left out":        {rollout.Read[*desktop.Desktop](was, nil), later, false},
		"that could not be read":   {rollout.Fact[*desktop.Desktop]{ReadAt: was, Err: &rollout.Unread{}}, later, true},
	} {
		f := &rollout.Facts{}
		f.Desktops.Note("ecd-1", c.fact)
		listed := as("m-new")
		listed.Tags = map[string]string{"a": "b"}
		f.Members.Note("office", rollout.Read(c.listed, []desktop.Desktop{*listed, {ID: "ecd-2"}}))
		(&look{reader: &reader{}, facts: f}).forgetOlder([]string{"office"})
		if _, stays := f.Desktops["ecd-1"]; stays != c.stays {
			t.Errorf("a desktop %s stays: %t", name, stays)
		}
	}
}
