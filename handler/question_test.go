package handler_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal/journaltest"
)

// A pickyECD refuses to be asked about some ids, and with them about all others of the
// call.
type pickyECD struct {
	*slowECD
	bad   string // part of the ids
	reads int
}

func (e *pickyECD) refuses(ids []string) error {
	e.mu.Lock()
	e.reads++
	e.mu.Unlock()
	if slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(id, e.bad) }) {
		return &desktop.CallError{Call: "Describe", Delivery: desktop.Refused, Code: "InvalidDesktopId.NotFound", Message: "no such id"}
	}
	return nil
}

func (e *pickyECD) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	if err := e.refuses(ids); err != nil {
		return nil, err
	}
	return e.slowECD.Desktops(ctx, region, ids)
}

func (e *pickyECD) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	if err := e.refuses(ids); err != nil {
		return nil, err
	}
	return e.slowECD.Images(ctx, region, ids)
}

func (e *pickyECD) Select(ctx context.Context, region string, _ desktop.Selector) ([]desktop.Desktop, error) {
	return e.slowECD.Desktops(ctx, region, []string{"ecd-0000"})
}

// The desktops of several requests are read together. One that names an id which ECD
// does not take kept all the others waiting, for six hours, and then they failed.
func TestAnIdThatECDDoesNotTakeHarmsNoOtherRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		ecd := &pickyECD{slowECD: b.ecd, bad: "ecd-bad"}
		bad := `{"requestId":"r2","regionId":"cn-hangzhou","imageId":"m-new","desktopIds":["ecd-bad1","ecd-bad2"]}`
		b.must(b.ask(b.handler(ecd, journaltest.Memory()), 10*time.Minute, "["+bad+","+requestFor(30)+"]"))
		for i := range 30 {
			if id := fmt.Sprintf("ecd-%04d", i); b.ecd.calls[id] != 1 {
				t.Fatalf("%s was called %d times, want once: %v", id, b.ecd.calls[id], b.ecd.calls)
			}
		}
		if b.ecd.calls["ecd-bad1"]+b.ecd.calls["ecd-bad2"] != 0 {
			t.Errorf("calls were made for desktops of which nothing is known: %v", b.ecd.calls)
		}
	})
}

// Each of 2,000 ids could cost two further calls, at each look.
func TestAFloodOfIdsThatECDDoesNotTakeCostsABoundedNumberOfReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		ecd := &pickyECD{slowECD: b.ecd, bad: "ecd-"}
		b.must(b.ask(b.handler(ecd, journaltest.Memory()), 10*time.Minute, requestFor(2000)))
		if ecd.reads > 20+2*100+5 {
			t.Errorf("%d reads were made, want 20 pages, 100 of them in halves, and the image", ecd.reads)
		}
	})
}

// A plan that was made although something could not be read is none that anybody can agree
// to: not even the one who has seen it so.
func TestAReleaseWithThePlanThatECDDidNotAnswerForIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(office)
		h := b.handler(&pickyECD{slowECD: b.ecd, bad: "ecd-0000"}, journaltest.Memory())
		b.must(b.ask(h, time.Minute, strings.Replace(release, `"releaseId"`, `"dryRun":true,"releaseId"`, 1)))
		b.must(b.ask(h, time.Minute, strings.Replace(release, `"releaseId"`, fmt.Sprintf(`"planDigest":%q,"releaseId"`, b.planned()), 1)))
		if b.count("refused") == 0 || b.count("started") > 0 {
			t.Errorf("told %v, want a refusal and no rollout", b.topic.told)
		}
	})
}

// What ECD refuses today it refuses tomorrow. A message that is delivered again because
// of it comes for a day, and holds up its queue.
func TestAQuestionThatECDRefusesIsAnsweredAndDoesNotComeAgain(t *testing.T) {
	const digest = `"planDigest":"sha256:0000000000000000000000000000000000000000000000000000000000000000"`
	for name, c := range map[string]struct{ bad, payload string }{
		"a request with a plan": {"ecd-0000", strings.Replace(requestFor(1), `"requestId"`, digest+`,"requestId"`, 1)},
		"a release":             {"m-new", release},
		"a release with a plan": {"ecd-0000", strings.Replace(release, `"releaseId"`, digest+`,"releaseId"`, 1)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newWorkbench(t)
				b.declare(strings.Replace(office, "strategy:", "requests: true\n    strategy:", 1))
				if err := b.ask(b.handler(&pickyECD{slowECD: b.ecd, bad: c.bad}, journaltest.Memory()), time.Minute, c.payload); err != nil {
					t.Errorf("it is to be delivered again: %v", err)
				}
				if b.count("refused") == 0 || len(b.ecd.calls) > 0 {
					t.Errorf("told %v, called %v, want a refusal and no call", b.topic.told, b.ecd.calls)
				}
			})
		})
	}
}
