package handler_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

const (
	ownAccount = "1000000000000001"
	tools      = "2000000000000002"
	lab        = "3000000000000003"
)

// errNotTrusted is what comes of every call in an account whose role cannot be assumed.
var errNotTrusted = &desktop.CallError{Call: "AssumeRole", Delivery: desktop.Forbidden, Code: "NoPermission", Message: "the role of account lab cannot be assumed"}

// An accountECD is ECD in one account. denied, if set, is the answer to every call.
type accountECD struct {
	*slowECD
	denied error
	on     string // the image that all desktops are on; default m-old
	held   []string
	lacks  bool // the account lists no new image
}

func newAccountECD() *accountECD {
	return &accountECD{slowECD: &slowECD{began: map[string]time.Time{}, calls: map[string]int{}}}
}

func (e *accountECD) Rebuild(ctx context.Context, b desktop.Batch) (desktop.Answer, error) {
	if e.denied != nil {
		return desktop.Answer{}, e.denied
	}
	return e.slowECD.Rebuild(ctx, b)
}

func (e *accountECD) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	if e.denied != nil {
		return nil, e.denied
	}
	list, err := e.slowECD.Desktops(ctx, region, ids)
	for i := range list {
		if e.on != "" {
			list[i].ImageID = e.on
		}
	}
	return list, err
}

func (e *accountECD) Maintain(_ context.Context, _ string, ids []string, on bool) error {
	if e.denied != nil {
		return e.denied
	}
	if on {
		e.held = append(e.held, ids...)
	}
	return nil
}

func (e *accountECD) Select(ctx context.Context, region string, _ desktop.Selector) ([]desktop.Desktop, error) {
	return e.Desktops(ctx, region, []string{"ecd-0000", "ecd-0001"})
}

func (e *accountECD) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	if e.denied != nil {
		return nil, e.denied
	}
	list, err := e.slowECD.Images(ctx, region, slices.DeleteFunc(slices.Clone(ids), func(id string) bool { return e.lacks && id == "m-new" }))
	for i := range list {
		list[i].Name = "win11"
		if list[i].ID == "m-other" {
			list[i].Created = time.Date(1999, 2, 1, 0, 0, 0, 0, time.UTC)
		}
	}
	return list, err
}

// accountsTopic keeps what was told, by id.
type accountsTopic struct {
	mu   sync.Mutex
	told map[string]events.Outcome
	when map[string]time.Time
	all  []string
}

func (s *accountsTopic) Publish(_ context.Context, body []byte, _ string) error {
	var e struct {
		ID   string
		Data json.RawMessage
	}
	var o events.Outcome
	if err := json.Unmarshal(body, &e); err != nil {
		return err
	}
	if err := json.Unmarshal(e.Data, &o); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.told[e.ID], s.when[e.ID] = o, time.Now()
	s.all = append(s.all, e.ID+" "+string(e.Data))
	return nil
}

// An accountsBench is a handler that serves the own account, tools and lab.
type accountsBench struct {
	*testing.T
	own, tools, lab *accountECD
	topic           *accountsTopic
	queue           *outQueue
	rules           rollout.Rules
	store           journal.Store
	log             bytes.Buffer
	h               *handler.Handler
	seen            int // how many messages of queue were looked at
}

func newAccountsBench(t *testing.T) *accountsBench {
	t.Helper()
	b := &accountsBench{T: t, own: newAccountECD(), tools: newAccountECD(), lab: newAccountECD(), queue: &outQueue{}, store: journaltest.Memory(),
		topic: &accountsTopic{told: map[string]events.Outcome{}, when: map[string]time.Time{}}}
	account := func(name, id string) fleet.Account {
		return fleet.Account{Name: name, ID: id, Role: "regild-member", Regions: []string{region}}
	}
	b.rules = rollout.Rules{Regions: []string{region, "cn-shanghai"}, Declared: true, RebuildTimeout: 30 * time.Minute, Fleets: fleet.Fleets{
		{Name: "own", Region: region, Images: []string{"win11"}, Requests: true, Strategy: fleet.Default()},
		{Name: "tools", Region: region, Images: []string{"win11"}, Requests: true, Strategy: fleet.Default(), Account: account("tools", tools)},
		{Name: "lab", Region: region, Images: []string{"win11"}, Requests: true, Strategy: fleet.Default(), Account: account("lab", lab)},
	}}
	b.wire()
	return b
}

// wire makes the handler anew, as an instance with other settings.
func (b *accountsBench) wire() {
	b.Helper()
	b.wireTo(func(a fleet.Account) handler.ECD { return map[string]handler.ECD{tools: b.tools, lab: b.lab}[a.ID] })
}

// wireTo does so with that ECD of each other account.
func (b *accountsBench) wireTo(ecd func(fleet.Account) handler.ECD) {
	b.Helper()
	h, err := handler.New(handler.Config{ECD: b.own, Topic: b.topic, Queue: b.queue, Journal: b.store, Rules: b.rules,
		Member:             func(a fleet.Account) handler.Services { return handler.Services{ECD: ecd(a)} },
		RebuildConcurrency: 1, PublishConcurrency: 2, Meter: &handler.Meter{}, Log: slog.New(slog.NewJSONHandler(&b.log, nil)), Now: time.Now})
	if err != nil {
		b.Fatal(err)
	}
	b.h = h
}

func (b *accountsBench) send(payloads ...string) {
	b.Helper()
	if err := b.deliver(payloads...); err != nil {
		b.Fatal(err)
	}
}

func (b *accountsBench) deliver(payloads ...string) error {
	ctx, cancel := context.WithTimeout(b.Context(), 5*time.Minute)
	defer cancel()
	_, err := b.h.Handle(ctx, handler.Invocation{RequestID: fmt.Sprint(time.Now().UnixNano()), Source: "acs:fc:" + region + ":" + ownAccount + ":functions/regild"},
		[]byte("["+strings.Join(payloads, ",")+"]"))
	return err
}

// atOnce delivers the ticks that were sent to come at once, one by one.
func (b *accountsBench) atOnce() {
	b.Helper()
	ticks := b.queue.sent[b.seen:]
	b.seen = len(b.queue.sent)
	time.Sleep(time.Second) //nolint:forbidigo // time of the bubble, which takes none
	for _, q := range ticks {
		if q.delay == time.Second {
			b.send(q.body)
		}
	}
}

// tick delivers the last tick for an operation.
func (b *accountsBench) tick(id string) {
	b.Helper()
	for _, q := range slices.Backward(b.queue.sent) {
		if strings.Contains(q.body, fmt.Sprintf("%q", id)) {
			time.Sleep(q.delay) //nolint:forbidigo // time of the bubble, which takes none
			b.send(q.body)
			return
		}
	}
	b.Fatalf("no tick for %s", id)
}

// want holds the outcome of an event to status, code and account.
func (b *accountsBench) want(id string, status events.Status, code, account string) events.Outcome {
	b.Helper()
	o, told := b.topic.told[id]
	if !told || o.Status != status || o.Code != code || o.AccountID != account {
		b.Errorf("%s: got %+v (told: %v), want %s, %s in account %q", id, o, told, status, code, account)
	}
	return o
}

// ask is a request for one desktop.
func ask(id, account, desktopID, image string) string {
	field := ""
	if account != "" {
		field = fmt.Sprintf(`"accountId":%q,`, account)
	}
	return fmt.Sprintf(`{"requestId":%q,%s"regionId":%q,"imageId":%q,"desktopIds":[%q]}`, id, field, region, image, desktopID)
}

func TestTheSameIDInTwoAccountsIsTwoDesktops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.lab.on = "m-new"
		b.send(ask("r-own", "", "ecd-0000", "m-new"), ask("r-tools", tools, "ecd-0000", "m-other"), ask("r-lab", lab, "ecd-0000", "m-new"))
		b.want("r-own/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, "")
		b.want("r-tools/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, tools) // another image, and no conflict
		b.want("r-lab/ecd-0000/skipped", events.StatusSkipped, events.CodeAlreadyOnImage, lab)
		if b.own.calls["ecd-0000"] != 1 || b.tools.calls["ecd-0000"] != 1 || b.lab.calls["ecd-0000"] != 0 {
			t.Errorf("got %v, %v, %v calls", b.own.calls, b.tools.calls, b.lab.calls)
		}
		b.send(ask("r-again", tools, "ecd-0001", "m-new"), ask("r-other", tools, "ecd-0001", "m-other"))
		b.want("r-other/ecd-0001/refused", events.StatusRefused, events.CodeConflictingTargets, tools)
		if b.tools.calls["ecd-0001"] != 1 || b.own.calls["ecd-0001"] != 0 {
			t.Errorf("got %v in tools and %v in the own account", b.tools.calls, b.own.calls)
		}
	})
}

// An account that refuses is left alone, says why, and goes on when it is mended.
func TestAnAccountThatRefusesStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.lab.denied = errNotTrusted
		b.send(ask("r-lab", lab, "ecd-0000", "m-new"), ask("r-own", "", "ecd-0000", "m-new"), ask("r-tools", tools, "ecd-0000", "m-new"))
		b.want("r-own/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, "")
		b.want("r-tools/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, tools)
		o := b.want("r-lab/ecd-0000/deferred", events.StatusDeferred, events.CodeNotAuthorized, lab)
		if !strings.Contains(o.Message, "the role of account lab cannot be assumed") || o.Until == nil {
			t.Errorf("got %+v, want why and until when", o)
		}
		var stopped []string
		for _, line := range strings.Split(b.log.String(), "\n") {
			if strings.Contains(line, "stopped: the credentials do not allow it") {
				stopped = append(stopped, line)
			}
		}
		if len(stopped) != 1 || !strings.Contains(stopped[0], `"account_id":"`+lab+`"`) {
			t.Errorf("got %q, want one line that names the account", stopped)
		}
		b.lab.denied = nil
		b.tick("r-lab")
		b.want("r-lab/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, lab)
	})
}

// The credentials end between the facts and the call.
func TestAnAccountThatRefusesTheCallStopsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		own, labs := requestFor(40), strings.Replace(strings.Replace(requestFor(40), `"r1"`, `"r-lab"`, 1), `"regionId"`, `"accountId":"`+lab+`","regionId"`, 1)
		refuses := &refusingECD{accountECD: b.lab}
		h, err := handler.New(handler.Config{ECD: b.own, Topic: b.topic, Queue: b.queue, Journal: b.store, Rules: b.rules,
			Member:             func(fleet.Account) handler.Services { return handler.Services{ECD: refuses} },
			RebuildConcurrency: 1, PublishConcurrency: 2, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		b.h = h
		b.send(labs, own)
		if refuses.rebuilds != 1 {
			t.Errorf("lab was called %d times, want once: what follows would be refused as well", refuses.rebuilds)
		}
		for i := range 40 {
			b.want(fmt.Sprintf("r1/ecd-%04d/accepted", i), events.StatusAccepted, events.CodeSuccess, "")
			b.want(fmt.Sprintf("r-lab/ecd-%04d/deferred", i), events.StatusDeferred, events.CodeNotAuthorized, lab)
		}
	})
}

// refusingECD lets everything be read and nothing be rebuilt.
type refusingECD struct {
	*accountECD
	rebuilds int
}

func (e *refusingECD) Rebuild(context.Context, desktop.Batch) (desktop.Answer, error) {
	e.rebuilds++
	return desktop.Answer{}, &desktop.CallError{Call: "RebuildDesktops", Delivery: desktop.Forbidden, Credentials: true, Code: "InvalidSecurityToken.Expired"}
}

// A slow account keeps its own desktops waiting, and nobody else's.
func TestNoAccountWaitsForAnothersTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.tools.takes, b.own.takes = 12*time.Second, time.Second
		began := time.Now()
		slow := strings.Replace(strings.Replace(requestFor(100), `"r1"`, `"r-tools"`, 1), `"regionId"`, `"accountId":"`+tools+`","regionId"`, 1)
		b.send(slow, ask("r-own", "", "ecd-0000", "m-new"))
		if took := b.topic.when["r-own/ecd-0000/accepted"].Sub(began); took > 2*time.Second {
			t.Errorf("the own account was told after %s, want after one call of its own", took)
		}
		if took := b.topic.when["r-tools/ecd-0099/accepted"].Sub(began); took < time.Minute {
			t.Errorf("tools was told after %s: more calls at once than there may be", took)
		}
	})
}

// hangingECD answers no read, as one that is throttled for long.
type hangingECD struct{ handler.ECD }

func (hangingECD) Desktops(ctx context.Context, _ string, _ []string) ([]desktop.Desktop, error) {
	<-ctx.Done()
	return nil, &desktop.CallError{Call: "DescribeDesktops", Delivery: desktop.NotSent, Throttled: true, Message: "no time"}
}

func TestAnAccountThatAnswersNothingLeavesTheOthersTheirTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.wireTo(func(fleet.Account) handler.ECD { return hangingECD{} })
		began := time.Now()
		b.send(ask("r-tools", tools, "ecd-0000", "m-new"), ask("r-own", "", "ecd-0000", "m-new"))
		b.want("r-own/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, "")
		b.want("r-tools/ecd-0000/deferred", events.StatusDeferred, events.CodeThrottled, tools)
		if took := b.topic.when["r-own/ecd-0000/accepted"].Sub(began); took > time.Second {
			t.Errorf("the own account was told after %s, want that it does not wait for the other", took)
		}
		if took := time.Since(began); took > 75*time.Second {
			t.Errorf("the invocation took %s of its 5 minutes, want a quarter at most", took)
		}
	})
}

// Nor does it take the time of plans that come with it.
func TestAnAccountThatAnswersNothingLeavesTimeForOtherPlans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.wireTo(func(fleet.Account) handler.ECD { return hangingECD{} })
		dry := func(request string) string { return strings.Replace(request, "{", `{"dryRun":true,`, 1) }
		began := time.Now()
		b.send(dry(ask("r-tools", tools, "ecd-0000", "m-new")), dry(ask("r-own", "", "ecd-0000", "m-new")))
		b.want("r-own/ecd-0000/skipped/dryrun", events.StatusSkipped, events.CodeDryRun, "")
		if took := time.Since(began); took > 75*time.Second {
			t.Errorf("the invocation took %s of its 5 minutes, want a quarter at most", took)
		}
	})
}

// Where nobody else waits, what is asked for has the time that there is.
func TestAnAccountThatIsAloneHasAllTheTimeThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.wireTo(func(fleet.Account) handler.ECD { return hangingECD{} })
		began := time.Now()
		b.send(ask("r-1", tools, "ecd-0000", "m-new"), ask("r-2", tools, "ecd-0001", "m-new"))
		if took := time.Since(began); took < 4*time.Minute {
			t.Errorf("it was given up after %s of 5 minutes", took)
		}
	})
}

// A panickingQueue has a bug in the tick that comes at the end.
type panickingQueue struct {
	*outQueue
	sends int
}

func (q *panickingQueue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	if q.sends++; q.sends == 3 {
		panic("index out of range")
	}
	return q.outQueue.Send(ctx, body, delay)
}

func (q *panickingQueue) SendEach(ctx context.Context, body []byte, delays ...time.Duration) error {
	if q.sends++; q.sends == 3 {
		panic("index out of range")
	}
	return q.outQueue.SendEach(ctx, body, delays...)
}

// A stage that panics in one place ends what is done there, and the delivery comes again.
func TestAPanicInOnePlaceIsAskedForAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.lab.denied = errNotTrusted // so that its tick is sent first
		h, err := handler.New(handler.Config{ECD: b.own, Topic: b.topic, Queue: &panickingQueue{outQueue: b.queue}, Journal: b.store, Rules: b.rules,
			Member:             func(fleet.Account) handler.Services { return handler.Services{ECD: b.lab} },
			RebuildConcurrency: 1, PublishConcurrency: 2, Meter: &handler.Meter{}, Log: slog.New(slog.NewJSONHandler(&b.log, nil)), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		b.h = h
		b.own.takes = time.Second
		err = b.deliver(ask("r-lab", lab, "ecd-0000", "m-new"), ask("r-own", "", "ecd-0000", "m-new"))
		if _, again := errors.AsType[*handler.RedeliverError](err); !again {
			t.Errorf("got %v, want that it is delivered again", err)
		}
		if !strings.Contains(b.log.String(), `"a stage made us panic","invocation"`) || !strings.Contains(b.log.String(), `"account_id":"`+lab+`"`) {
			t.Errorf("got %s, want a line that names the place", b.log.String())
		}
		b.want("r-own/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, "")
	})
}

// A wholeStore counts how often journals were read from their beginning.
type wholeStore struct {
	journal.Store
	mu    sync.Mutex
	whole map[string]int
}

func (s *wholeStore) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if from == 0 {
		s.mu.Lock()
		s.whole[key]++
		s.mu.Unlock()
	}
	return s.Store.Read(ctx, key, from)
}

// A rollout that is over is not kept in memory for the sake of the next, and of what came
// before it the end alone is looked at: this store cannot read a part, and reads the whole.
func TestWhatIsOverIsNoJobOfTheNextRelease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		store := &wholeStore{Store: b.store, whole: map[string]int{}}
		b.store = store
		b.rules.Fleets, b.own.on = b.rules.Fleets[:1], "m-new"
		b.rules.Fleets[0].Strategy.Waves, b.rules.Fleets[0].Strategy.Approval = nil, fleet.Approval{}
		b.wire()
		b.send(released)
		b.want("rel-1/own/ecd-0000/skipped", events.StatusSkipped, events.CodeAlreadyOnImage, "")
		for range 10 { // until it has ended
			b.tick("rel-1/own")
		}
		b.log.Reset()
		b.own.on = "m-other"
		b.send(strings.NewReplacer("rel-1", "rel-2", "m-new", "m-other").Replace(released))
		if !strings.Contains(b.log.String(), `"jobs":1,`) {
			t.Errorf("got %s, want one job", b.log.String())
		}
		key := journal.Key("rollout", "rel-1/own")
		for range 10 {
			b.tick("rel-2/own")
		}
		b.wire()
		clear(store.whole)
		b.send(strings.NewReplacer("rel-1", "rel-3", "m-new", "m-other").Replace(released))
		if told := strings.Join(b.topic.all, "\n"); store.whole[key] != 1 || !strings.Contains(told, "rel-3/own/started") {
			t.Errorf("got %v, want one look at the end of the first; told %s", store.whole, told)
		}
	})
}

// What comes before a rebuild is done in the account of the desktop too.
func TestADesktopIsMadeReadyInItsOwnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		for i := range b.rules.Fleets {
			b.rules.Fleets[i].Strategy.Maintenance = true
		}
		b.wire()
		b.send(ask("r-tools", tools, "ecd-0000", "m-new"))
		if !slices.Equal(b.tools.held, []string{"ecd-0000"}) || b.own.held != nil {
			t.Errorf("put into maintenance mode: %v in tools and %v in the own account, want one in tools", b.tools.held, b.own.held)
		}
		b.lab.denied = errNotTrusted
		b.send(ask("r-lab", lab, "ecd-0001", "m-new"), ask("r-own", "", "ecd-0001", "m-new"))
		if !slices.Equal(b.own.held, []string{"ecd-0001"}) || b.lab.held != nil {
			t.Errorf("put into maintenance mode: %v in the own account and %v in lab", b.own.held, b.lab.held)
		}
		b.want("r-lab/ecd-0001/deferred", events.StatusDeferred, events.CodeNotAuthorized, lab)
	})
}

func TestTheFenceOfAnAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.send(ask("r-unknown", "4000000000000004", "ecd-0000", "m-new"))
		o := b.want("r-unknown/ecd-0000/refused", events.StatusRefused, events.CodeAccountNotAllowed, "4000000000000004")
		if !strings.Contains(o.Message, "no account of fleets.yaml has the id 4000000000000004") {
			t.Errorf("got %q", o.Message)
		}
		b.send(strings.Replace(ask("r-region", tools, "ecd-0000", "m-new"), region, "cn-shanghai", 1))
		o = b.want("r-region/ecd-0000/refused", events.StatusRefused, events.CodeRegionNotAllowed, tools)
		if !strings.Contains(o.Message, "not in the regions of account "+tools) {
			t.Errorf("got %q", o.Message)
		}
		b.rules.Fleets[1].Requests = false
		b.wire()
		b.send(ask("r-fleet", tools, "ecd-0000", "m-new")) // the own fleet, which allows requests, does not contain it
		b.want("r-fleet/ecd-0000/refused", events.StatusRefused, events.CodeOutsideFleet, tools)
		if len(b.own.calls)+len(b.tools.calls)+len(b.lab.calls) > 0 {
			t.Errorf("got the calls %v, %v, %v, want none", b.own.calls, b.tools.calls, b.lab.calls)
		}
	})
}

// The own account has one name, whichever a sender uses.
func TestTheOwnAccountsIDIsNoOtherAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.send(ask("r1", ownAccount, "ecd-0000", "m-new"), ask("r1", "", "ecd-0000", "m-new"), ask("r2", ownAccount, "ecd-0000", "m-new"))
		b.want("r1/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, "")
		b.want("r2/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, "")
		if b.own.calls["ecd-0000"] != 1 {
			t.Errorf("got %d calls for one desktop", b.own.calls["ecd-0000"])
		}
		for _, e := range b.topic.all {
			if strings.Contains(e, "accountId") {
				t.Errorf("got %s: the own account has no accountId", e)
			}
		}
	})
}

// An account is taken out of fleets.yaml: what is pending there is refused, what was
// begun ends after a day, and nobody calls.
func TestAnAccountThatIsTakenOutIsNotCalled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		later := strings.Replace(ask("r-later", tools, "ecd-0001", "m-new"), `"imageId"`, fmt.Sprintf(`"notBefore":%q,"imageId"`, time.Now().Add(10*time.Minute).UTC().Format(time.RFC3339)), 1)
		b.send(ask("r-begun", tools, "ecd-0000", "m-new"), later)
		b.want("r-begun/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, tools)
		b.rules.Fleets = slices.DeleteFunc(b.rules.Fleets, func(f fleet.Fleet) bool { return f.Account.ID == tools })
		b.tools.denied = &desktop.CallError{Call: "RebuildDesktops", Message: "somebody called"}
		b.wire()
		for range 600 {
			b.tick("r-begun")
			b.tick("r-later")
			if _, ended := b.topic.told["r-begun/ecd-0000/failed"]; ended {
				break
			}
		}
		b.want("r-later/ecd-0001/refused", events.StatusRefused, events.CodeAccountNotAllowed, tools)
		b.want("r-begun/ecd-0000/failed", events.StatusFailed, events.CodeRebuildTimeout, tools)
		for _, e := range b.topic.all {
			if strings.Contains(e, "somebody called") {
				t.Errorf("got %s", e)
			}
		}
	})
}

const released = `{"specversion":"1.0","type":"regild.image.published.v1","id":"rel-1","source":"ci","data":{"releaseId":"rel-1","imageId":"m-new","regionId":"cn-hangzhou"}}`

// A release goes over the fleets of each account that lists its image, and says of the
// others why they do not follow.
func TestAReleaseFollowsInEachAccountThatListsItsImage(t *testing.T) {
	for name, c := range map[string]struct {
		change  func(*accountsBench)
		follow  []string
		refused string
	}{
		"all list it":       {func(*accountsBench) {}, []string{"own", "tools", "lab"}, ""},
		"one does not":      {func(b *accountsBench) { b.lab.lacks = true }, []string{"own", "tools"}, "ECD lists no image m-new in cn-hangzhou of account " + lab + ": share it"},
		"one may not":       {func(b *accountsBench) { b.lab.denied = errNotTrusted }, []string{"own", "tools"}, "could not be asked for in cn-hangzhou of account " + lab + ": AssumeRole: forbidden: NoPermission"},
		"a member's own":    {func(b *accountsBench) { b.own.lacks, b.lab.lacks = true, true }, []string{"tools"}, "release it again for own"},
		"nobody":            {func(b *accountsBench) { b.own.lacks, b.tools.lacks, b.lab.lacks = true, true, true }, nil, "ECD lists no image m-new in cn-hangzhou"},
		"others may follow": {func(b *accountsBench) { b.lab.lacks = true; b.rules.Fleets[2].Images = []string{"linux"} }, []string{"own", "tools"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newAccountsBench(t)
				c.change(b)
				b.wire()
				b.send(released)
				b.atOnce()
				told := strings.Join(b.topic.all, "\n")
				for f, ecd := range map[string]*accountECD{"own": b.own, "tools": b.tools, "lab": b.lab} {
					got, canary, want := strings.Contains(told, "rel-1/"+f+"/"), len(ecd.calls) == 1, slices.Contains(c.follow, f)
					if got != want || canary != want {
						t.Errorf("fleet %s follows: %v, and its canary is rebuilt: %v, want %v; told %s", f, got, canary, want, told)
					}
				}
				if refused := strings.Contains(told, "/refused"); refused != (c.refused != "") || !strings.Contains(told, c.refused) {
					t.Errorf("got %s, want the refusal %q", told, c.refused)
				}
			})
		})
	}
}

// A region that only another account has can be frozen too, and a freeze of a region
// holds in all accounts.
func TestAFreezeHoldsInAllAccounts(t *testing.T) {
	freeze := func(id, region string) string {
		return fmt.Sprintf(`{"specversion":"1.0","type":"regild.freeze.v1","id":%q,"source":"ops","data":{"freezeId":%q,"action":"freeze","regions":[%q],"until":"2000-01-01T06:00:00Z","by":"ada","reason":"term"}}`,
			id, id, region)
	}
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.rules.Fleets[1].Region, b.rules.Fleets[1].Account.Regions = "cn-beijing", []string{"cn-beijing"}
		b.wire()
		b.send(freeze("f1", "cn-beijing"), freeze("f2", region), freeze("f3", "cn-shenzhen"))
		told := strings.Join(b.topic.all, "\n")
		if strings.Contains(told, "region cn-beijing is not") || strings.Contains(told, "region "+region+" is not") || !strings.Contains(told, "region cn-shenzhen is not") {
			t.Errorf("got %s, want that cn-shenzhen alone is refused", told)
		}
		b.send(strings.Replace(ask("r-tools", tools, "ecd-0000", "m-new"), region, "cn-beijing", 1), ask("r-lab", lab, "ecd-0000", "m-new"), ask("r-own", "", "ecd-0000", "m-new"))
		b.want("r-tools/ecd-0000/deferred", events.StatusDeferred, events.CodeFrozen, tools)
		b.want("r-lab/ecd-0000/deferred", events.StatusDeferred, events.CodeFrozen, lab)
		b.want("r-own/ecd-0000/deferred", events.StatusDeferred, events.CodeFrozen, "")
	})
}

// An account that cannot be asked this time is asked when the release comes again; the
// others do not wait for that.
func TestAReleaseGoesOnWhileAnAccountCannotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.lab.denied = &desktop.CallError{Call: "DescribeImages", Delivery: desktop.NotSent, Throttled: true, Message: "slowly"}
		if err := b.deliver(released); err == nil || !strings.Contains(err.Error(), "in cn-hangzhou of account "+lab) {
			t.Errorf("got %v, want that it is delivered again, for lab", err)
		}
		b.atOnce()
		told := strings.Join(b.topic.all, "\n")
		if !strings.Contains(told, "rel-1/own/") || !strings.Contains(told, "rel-1/tools/") || strings.Contains(told, "rel-1/lab/") || strings.Contains(told, "/refused") {
			t.Errorf("got %s, want rollouts over own and tools", told)
		}
		if err := b.deliver(strings.Replace(released, `"releaseId"`, `"dryRun":true,"releaseId"`, 1)); err == nil || strings.Contains(strings.Join(b.topic.all, "\n"), "/plan/") {
			t.Errorf("got %v, want no plan of a part", err)
		}
		digest := `"planDigest":"sha256:` + strings.Repeat("0", 64) + `","releaseId"`
		if err := b.deliver(strings.NewReplacer(`"releaseId"`, digest, "rel-1", "rel-2").Replace(released)); err == nil || strings.Contains(strings.Join(b.topic.all, "\n"), "/refused") {
			t.Errorf("got %v, want no judgement of a part", err)
		}
		b.lab.denied = nil
		b.send(released)
		b.atOnce()
		if told = strings.Join(b.topic.all, "\n"); !strings.Contains(told, "rel-1/lab/") || strings.Count(told, "rel-1/own/started") != 1 {
			t.Errorf("got %s, want a rollout over lab as well, and nothing twice", told)
		}
		if b.own.calls["ecd-0000"]+b.own.calls["ecd-0001"] != 1 {
			t.Errorf("got the calls %v, want one for the canary", b.own.calls)
		}
	})
}

// What an account that cannot be asked now lists is not known: nothing is refused before.
func TestAReleaseThatOnlyAnAccountFollowsWhichCannotBeAskedIsNotRefused(t *testing.T) {
	for _, of := range []string{"own", "tools"} { // the other two list nothing, or do not follow
		synctest.Test(t, func(t *testing.T) {
			b := newAccountsBench(t)
			b.lab.denied = &desktop.CallError{Call: "DescribeImages", Delivery: desktop.NotSent, Throttled: true, Message: "slowly"}
			b.own.lacks, b.tools.lacks = true, true
			if of == "own" { // it lists the image, and its fleets follow others
				b.own.lacks = false
				b.rules.Fleets[0].Images, b.rules.Fleets[1].Images = []string{"linux"}, []string{"linux"}
			} else {
				b.rules.Fleets[0].Images, b.rules.Fleets[1].Images = []string{"linux"}, []string{"linux"}
			}
			b.wire()
			if err := b.deliver(released); err == nil {
				t.Error("it is not delivered again")
			}
			if told := strings.Join(b.topic.all, "\n"); strings.Contains(told, "/refused") {
				t.Errorf("got %s, want no refusal", told)
			}
		})
	}
}

// An account with two fleets in a region is asked once, and each fleet has one rollout.
func TestAnAccountWithTwoFleetsIsAskedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.rules.Fleets = append(b.rules.Fleets, b.rules.Fleets[2])
		b.rules.Fleets[3].Name, b.rules.Fleets[3].Images = "lab-2", []string{"linux"}
		b.lab.lacks = true
		b.wire()
		b.send(released)
		if told := strings.Join(b.topic.all, "\n"); strings.Count(told, "share it with that account") != 1 {
			t.Errorf("got %s, want that lab's fleet is named once", told)
		}
	})
}

// Why an account may not be asked is said, also when no other lists the image.
func TestAReleaseOfAnUnknownImageSaysWhichAccountCouldNotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.own.lacks, b.tools.lacks, b.lab.denied = true, true, errNotTrusted
		b.send(released)
		if told := strings.Join(b.topic.all, "\n"); !strings.Contains(told, "it could not be asked for in cn-hangzhou of account "+lab) {
			t.Errorf("got %s, want that lab could not be asked", told)
		}
	})
}

// A freeze that comes right before the calls holds the fleet that it names, and not the
// desktop of the same id in another account.
func TestAFreezeOfAFleetHoldsNoOtherAccount(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		store := &hookedStore{Store: journaltest.Memory()}
		store.begins = func() {
			store.freeze(t, rollout.Record{Kind: rollout.KindFreeze, Name: "f1", Who: "ada", Fleets: []string{"own"}, At: time.Now(), Until: time.Now().Add(time.Hour)})
		}
		b.store = store
		b.wire()
		b.send(ask("r-own", "", "ecd-0000", "m-new"), ask("r-tools", tools, "ecd-0000", "m-new"))
		b.want("r-tools/ecd-0000/accepted", events.StatusAccepted, events.CodeSuccess, tools)
		b.want("r-own/ecd-0000/deferred", events.StatusDeferred, events.CodeFrozen, "")
	})
}

// An event about a new image says which fleets do not get it, since their account may not
// be asked.
func TestAnImageEventSaysWhichAccountCouldNotBeAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newAccountsBench(t)
		b.lab.denied = errNotTrusted
		b.send(`{"specversion":"1.0","type":"ecd:ActionTrail:ApiCall","id":"e1","source":"acs.ecd","data":{"eventName":"CreateImage","acsRegion":"` + region +
			`","serviceName":"ecd","requestParameters":{"ImageName":"win11"},"responseElements":{"ImageId":"m-new"}}}`)
		b.atOnce()
		told := strings.Join(b.topic.all, "\n")
		if !strings.Contains(told, "release it again for lab") || !strings.Contains(told, "m-new/own/") || strings.Contains(told, "m-new/lab/") {
			t.Errorf("got %s, want that lab could not be asked, and rollouts over the others", told)
		}
	})
}
