package handler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// A lateStore loses the answers of appends that hold certain words, and carries
// them out only when arrive is called.
type lateStore struct {
	journal.Store
	words string
	late  []func() error
	seen  func(key string) // called before each append
}

func (s *lateStore) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	if s.seen != nil {
		s.seen(key)
	}
	if s.words == "" || !strings.Contains(string(lines), s.words) {
		return s.Store.Append(ctx, key, at, lines)
	}
	s.late = append(s.late, func() error {
		_, err := s.Store.Append(context.Background(), key, at, slices.Clone(lines))
		return err
	})
	return 0, errors.New("unexpected EOF")
}

func (s *lateStore) arrive(t *testing.T) {
	t.Helper()
	if len(s.late) == 0 {
		t.Fatal("nothing is under way")
	}
	for _, do := range s.late {
		if err := do(); !errors.Is(err, journal.ErrMoved) {
			t.Errorf("what comes too late meets %v, want that the log has moved on", err)
		}
	}
}

// planned returns the digest of the only plan that was told.
func (b *workbench) planned() string {
	b.Helper()
	for id := range b.topic.told {
		if _, rest, is := strings.Cut(id, "/plan/"); is {
			digest, _, _ := strings.Cut(rest, "/")
			return digest
		}
	}
	b.Fatalf("no plan among %v", b.topic.told)
	return ""
}

func (b *workbench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *workbench) count(part string) (n int) {
	for id := range b.topic.told {
		if strings.Contains(id, part) {
			n++
		}
	}
	return n
}

func plannedRequest(more string) string {
	return strings.TrimSuffix(requestFor(2), "}") + more + "}"
}

// movedECD shows one desktop on the new image when somebody has brought it there.
type movedECD struct {
	*slowECD
	moved bool
}

func (e *movedECD) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	out, err := e.slowECD.Desktops(ctx, region, ids)
	if e.moved {
		out[0].ImageID = "m-new"
	}
	return out, err
}

// The first record of a request that was asked for with a plan reached the journal
// after its redelivery had been refused, and the request was open though the world
// knew that it was refused. (simulation: not-ended-602146)
func TestWhatOpensARequestTooLateFindsThatItsPlanWasRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		ecd, store := &movedECD{slowECD: b.ecd}, &lateStore{Store: journaltest.Memory()}
		b.must(b.ask(b.handler(ecd, store), time.Minute, plannedRequest(`,"dryRun":true`)))
		payload := plannedRequest(fmt.Sprintf(`,"planDigest":%q`, b.planned()))
		store.words = `"opened"`
		b.must(b.ask(b.handler(ecd, store), time.Minute, payload))
		store.words, ecd.moved = "", true
		b.must(b.ask(b.handler(ecd, store), time.Minute, payload))
		if n := b.count("/refused/PlanChanged/"); n != 2 {
			t.Fatalf("%d desktops are refused, want 2: %v", n, b.topic.told)
		}
		store.arrive(t)
	})
}

// A redelivery that found the demanded plan again was carried out, though an
// earlier one had told the world that it is refused. (simulation:
// ended-twice-1882789694673423)
func TestAPlanThatWasRefusedIsRefusedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		ecd := &movedECD{slowECD: b.ecd}
		h := b.handler(ecd, journaltest.Memory())
		b.must(b.ask(h, time.Minute, plannedRequest(`,"dryRun":true`)))
		payload := plannedRequest(fmt.Sprintf(`,"planDigest":%q`, b.planned()))
		for _, moved := range []bool{true, false} { // and then the plan is the old one again
			ecd.moved = moved
			b.must(b.ask(h, time.Minute, payload))
		}
		refused := 0
		for id, n := range b.topic.told {
			if strings.Contains(id, "/refused/PlanChanged/") {
				refused += n
			}
		}
		if len(b.ecd.calls) > 0 || b.count("/accepted") > 0 || refused != 4 {
			t.Errorf("desktops were rebuilt that are refused, or not told so twice: %v, told %v", b.ecd.calls, b.topic.told)
		}
	})
}

// unreadableECD cannot be asked.
type unreadableECD struct{ *slowECD }

func (unreadableECD) Desktops(context.Context, string, []string) ([]desktop.Desktop, error) {
	return nil, &desktop.CallError{Call: "DescribeDesktops", Delivery: desktop.NotSent, Message: "connection refused"}
}

// A plan made while ECD could not be asked has a digest too. Who demanded it got
// whatever ECD showed later.
func TestNobodyAgreesToAPlanOfWhichNothingWasRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := journaltest.Memory()
		h := b.handler(unreadableECD{b.ecd}, store)
		b.must(b.ask(h, time.Minute, plannedRequest(`,"dryRun":true`)))
		if err := b.ask(h, time.Minute, plannedRequest(fmt.Sprintf(`,"planDigest":%q`, b.planned()))); err == nil {
			t.Error("it is taken on, want that it is delivered again")
		}
		if keys, err := store.Keys(t.Context(), "request/"); err != nil || len(keys) > 0 {
			t.Errorf("journals %v are there (%v), want none", keys, err)
		}
	})
}

const office = `fleets:
  - name: office
    region: cn-hangzhou
    images: ["win*"]
    select: all
    strategy: {canary: 1}
`

const release = `{"specversion":"1.0","type":"regild.image.published.v1","id":"v1","source":"test","data":{"releaseId":"v1","image":"win11","images":{"cn-hangzhou":"m-new"}}}`

// A release was entered and its rollout opened, and whoever did it died. When the
// release came again its fleet was not in fleets.yaml, and nobody looked at the
// rollout any more, when the fleet was back either. (simulation:
// not-ended-1882789694671023)
func TestATickForARolloutIsOnTheQueueBeforeItIsEntered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(office)
		first := map[string]int{} // ticks that were on the queue before the first append
		store := &lateStore{Store: journaltest.Memory(), words: `"opened"`}
		store.seen = func(key string) {
			if _, seen := first[key]; !seen {
				first[key] = len(b.queue.sent)
			}
		}
		if err := b.ask(b.handler(b.ecd, store), time.Minute, release); err == nil {
			t.Error("the release could not be entered, want that it is delivered again")
		}
		if n, entered := first["fleet/office.jsonl"]; n == 0 || !entered {
			t.Fatalf("appended %v, want the fleet's log behind a tick", first)
		}
		if tick := b.queue.sent[0]; !strings.Contains(tick.body, "v1/office") || !strings.Contains(tick.body, "regild.tick.v1") {
			t.Errorf("sent %s, want a tick for the rollout", tick.body)
		}
	})
}

// Of two deliveries of one release that come at the same time one finds another
// plan and refuses it; the other must not enter it then.
func TestARolloutIsNotEnteredWhosePlanIsRefusedMeanwhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.declare(office)
		store := &lateStore{Store: journaltest.Memory()}
		h := b.handler(listedECD{b.ecd}, store)
		b.must(b.ask(h, time.Minute, strings.Replace(release, `"releaseId"`, `"dryRun":true,"releaseId"`, 1)))
		digest := b.planned()
		refused, err := rollout.Encode([]rollout.Record{{Kind: rollout.KindUnplanned, Name: "v1/office", Digest: digest}})
		b.must(err)
		store.seen = func(key string) {
			if store.seen = nil; key != "fleet/office.jsonl" {
				t.Errorf("the first append is to %s, want the fleet's log", key)
			}
			_, err := store.Store.Append(t.Context(), key, 0, refused)
			b.must(err)
		}
		b.must(b.ask(h, time.Minute, strings.Replace(release, `"releaseId"`, fmt.Sprintf(`"planDigest":%q,"releaseId"`, digest), 1)))
		if keys, err := store.Keys(t.Context(), "rollout/"); err != nil || len(keys) > 0 {
			t.Errorf("journals %v are there (%v), want none", keys, err)
		}
	})
}

// One delivery of a release found its plan as it was agreed to. Before it entered the
// rollout, another delivery of the same message found the plan changed, and told so. The
// first went on all the same: the sender knew that nothing happens, and it did.
func TestADeliveryOfWhatAnotherRefusedDoesNotGoOn(t *testing.T) {
	const two = office + `  - {name: lab, region: cn-hangzhou, images: ["win*"], select: all, strategy: {canary: 1}}
`
	for name, c := range map[string]struct {
		fleets string
		at     string // before what is read first the other delivery comes
	}{
		"one fleet":  {office, "fleet/office.jsonl"},
		"two fleets": {strings.Replace(two, "select: all", `select: {tags: {fleet: office}}`, 1), "fleet/office.jsonl"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newWorkbench(t)
				b.declare(c.fleets)
				inner := journaltest.Memory()
				ecd := &movedECD{slowECD: b.ecd}
				b.must(b.ask(b.handler(selectedECD{ecd}, inner), time.Minute, strings.Replace(release, `"releaseId"`, `"dryRun":true,"releaseId"`, 1)))
				planned := strings.Replace(release, `"releaseId"`, fmt.Sprintf(`"planDigest":%q,"releaseId"`, b.planned()), 1)
				store := &readStore{Store: inner, key: c.at}
				store.before = func() {
					ecd.moved = true
					b.must(b.ask(b.handler(selectedECD{ecd}, inner), time.Minute, planned))
				}
				b.must(b.ask(b.handler(selectedECD{ecd}, store), time.Minute, planned))
				if store.before != nil || b.count("/refused") != 1 {
					t.Fatalf("the other delivery was not refused: %v", b.topic.told)
				}
				if keys, err := inner.Keys(t.Context(), "rollout/"); err != nil || len(keys) > 0 {
					t.Errorf("journals %v are there (%v), want none: it was told that the plan has changed", keys, err)
				}
			})
		})
	}
}

// A readStore calls a hook before a log is read for the first time.
type readStore struct {
	journal.Store
	key    string
	before func()
}

func (s *readStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if before := s.before; before != nil && key == s.key {
		s.before = nil
		before()
	}
	return s.Store.Read(ctx, key, from)
}

// selectedECD is listedECD for desktops that may have moved.
type selectedECD struct{ *movedECD }

func (e selectedECD) Select(ctx context.Context, region string, _ desktop.Selector) ([]desktop.Desktop, error) {
	return e.Desktops(ctx, region, []string{"ecd-0000"})
}

func (e selectedECD) Tags(_ context.Context, _ string, ids []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	for _, id := range ids {
		out[id] = map[string]string{"fleet": "office"}
	}
	return out, nil
}

// listedECD has one desktop in every fleet.
type listedECD struct{ *slowECD }

func (e listedECD) Select(ctx context.Context, region string, _ desktop.Selector) ([]desktop.Desktop, error) {
	return e.Desktops(ctx, region, []string{"ecd-0000"})
}

// However often a request is delivered, one tick is on its way that comes in time,
// and not one for each delivery.
func TestTicksDoNotMultiplyWithDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		store := journaltest.Memory()
		b.handle(store, time.Minute, requestFor(1))
		n := len(b.queue.sent)
		for range 5 {
			b.handle(store, time.Minute, requestFor(1))
		}
		if more := len(b.queue.sent) - n; more > 0 {
			t.Errorf("%d more ticks were sent for 5 more deliveries: %v", more, b.queue.sent)
		}
	})
}

// unreadStore cannot be read as often as it says.
type unreadStore struct {
	journal.Store
	fails int
}

func (s *unreadStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if s.fails--; s.fails >= 0 {
		return nil, 0, errors.New("connection refused")
	}
	return s.Store.Read(ctx, key, from)
}

const tickForR1 = `{"specversion":"1.0","type":"regild.tick.v1","id":"r1/1","source":"test","subject":"r1","data":{"kind":"request","id":"r1","n":1}}`

// The first tick for a request came together with the request, whose journal could not
// be read then. Only a tick was put back; it found nothing, and nobody heard of the
// request any more. A tick of one request and another request under the same id are the
// same case. (simulation: not-ended-1883236242347513, never-opened-1883236242364018)
func TestEachMessageIsPutBackOfAJobThatCannotGoOn(t *testing.T) {
	for name, messages := range map[string][]string{
		"a tick and its request":       {tickForR1, requestFor(1)},
		"a request and another's tick": {requestFor(1), tickForR1},
		"two requests with one id":     {requestFor(1), requestFor(2)},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newWorkbench(t)
				b.handle(&unreadStore{journaltest.Memory(), 1}, time.Minute, "["+strings.Join(messages, ",")+"]")
				for message, part := range map[string]string{tickForR1: `"regild.tick.v1"`, requestFor(1): `["ecd-0000"]`, requestFor(2): `"ecd-0001"]`} {
					back := slices.ContainsFunc(b.queue.sent, func(q queued) bool { return strings.Contains(q.body, part) })
					if came := slices.Contains(messages, message); back != came {
						t.Errorf("put back is %v, want that %s is: %t", b.queue.sent, part, came)
					}
				}
			})
		})
	}
}

// Of several ticks for a job that cannot go on, one is put back.
func TestTicksThatComeTogetherArePutBackAsOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		b.handle(&unreadStore{journaltest.Memory(), 1}, time.Minute, "["+tickForR1+","+strings.Replace(tickForR1, `"n":1`, `"n":2`, 1)+"]")
		if len(b.queue.sent) != 1 {
			t.Errorf("put back is %v, want one tick", b.queue.sent)
		}
	})
}
