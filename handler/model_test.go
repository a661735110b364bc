package handler_test

import (
	"fmt"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler/handlertest"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

const region = "cn-hangzhou"

// requestSchedules is how many schedules of requests a plain run takes, and the
// measure for REGILD_SCHEDULES: the other models run in proportion.
const requestSchedules = 3000

// schedules runs a model n times, or in proportion to REGILD_SCHEDULES, each with
// a seed of its own, or once with REGILD_SEED. A seed that breaks a promise
// is printed with all that happened.
func schedules(t *testing.T, n int, model func(seed uint64) *handlertest.World, reach ...string) {
	t.Helper()
	var mu sync.Mutex
	reached := map[string]int{}
	t.Cleanup(func() { reaches(t, n, reached, reach) })
	first := uint64(1)
	if s := os.Getenv("REGILD_SCHEDULES"); s != "" {
		n = number(t, s) * n / requestSchedules
	} else if raceEnabled {
		n /= 10 // the race detector makes each cost as much as ten
	}
	if s := os.Getenv("REGILD_SEED"); s != "" {
		first, n = uint64(number(t, s)), 1
	}
	var next atomic.Int64
	var bad atomic.Int64
	workers := min(runtime.GOMAXPROCS(0), n)
	for worker := range workers {
		t.Run("worker "+strconv.Itoa(worker+1), func(t *testing.T) {
			t.Parallel()
			for i := next.Add(1) - 1; i < int64(n) && bad.Load() < 3; i = next.Add(1) - 1 {
				seed := first + uint64(i)
				synctest.Test(t, func(t *testing.T) {
					w := model(seed)
					mu.Lock()
					for _, told := range w.Topic.Told {
						reached[told.What()]++
					}
					mu.Unlock()
					if len(w.Broken) > 0 {
						bad.Add(1)
						t.Errorf("REGILD_SEED=%d breaks:\n\t%s\n%s", seed, strings.Join(w.Broken, "\n\t"), tail(w.Trace()))
					} else if os.Getenv("REGILD_SEED") != "" {
						t.Log("\n" + w.Trace())
					}
				})
			}
		})
	}
}

// reaches makes sure that the schedules come to what matters: a model in which
// nothing happens keeps every promise.
func reaches(t *testing.T, n int, reached map[string]int, reach []string) {
	t.Helper()
	for _, what := range reach {
		if n >= 500 && reached[what] == 0 && !t.Failed() {
			t.Errorf("no schedule of %d reached %q; they reached %v", n, what, reached)
		}
	}
	t.Logf("%d schedules told %v", n, reached)
}

func number(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil || n < 0 {
		t.Fatalf("%q is no number of schedules and no seed", s)
	}
	return n
}

func tail(trace string) string {
	const most = 40_000
	if len(trace) > most && os.Getenv("REGILD_SEED") == "" {
		return "…" + trace[len(trace)-most:]
	}
	return trace
}

// A sent is one request of a world.
type sent struct {
	req  events.Request
	body []byte
}

// requests makes a world in which some requests are sent, and lets it run until
// it is quiet.
func requests(seed uint64) *handlertest.World {
	w := handlertest.New(seed)
	r := w.Rand
	pick := func(n ...int) int { return n[r.IntN(len(n))] }
	w.Odds = handlertest.Odds{Fails: pick(0, 5, 20, 60), Vanishes: pick(0, 5, 20), Loses: pick(0, 5, 20, 60), Kills: pick(0, 5, 20, 40), Twice: pick(0, 50, 300), Late: pick(0, 10, 50)}
	w.Budget = pick(0, 2, 5, 10, 20)
	w.Overlap, w.Warm = r.IntN(3) > 0, r.IntN(3) > 0
	w.Timeout = time.Duration(pick(10, 60, 300)) * time.Second
	w.Rules = rollout.Rules{Regions: []string{region}, RebuildTimeout: 30 * time.Minute}
	w.ECD.Records = r.IntN(3) > 0
	w.ECD.Lag = time.Duration(pick(0, 1, 20, 50)) * time.Second
	w.ECD.Missing, w.ECD.Denies = pick(0, 50, 200), pick(0, 50)
	if r.IntN(8) == 0 {
		from := time.Now().Add(time.Duration(r.IntN(300)) * time.Second)
		w.ECD.Barred = []handlertest.Span{{From: from, To: from.Add(time.Duration(pick(10, 600, 7200)) * time.Second)}}
	}
	images(w)
	ids := machines(w, 1+r.IntN(6))
	all := compose(w, ids)
	for _, s := range all {
		w.Queue.Put(s.body, time.Duration(pick(0, 0, 1, 60, 600))*time.Second)
	}
	w.Run()
	judgeRequests(w, all)
	return w
}

// images puts an old image and some new ones into the world.
func images(w *handlertest.World) {
	made := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	for i, id := range []string{"m-old", "m-new1", "m-new2", "m-outside", "m-broken"} {
		image := desktop.Image{ID: id, Name: "win11", RegionID: region, Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80, Created: made.AddDate(0, i, 0)}
		if id == "m-broken" {
			image.Status = desktop.ImageCreateFailed
		}
		w.ECD.AddImage(image)
	}
}

// machines puts n desktops into the world, most of them ordinary.
func machines(w *handlertest.World, n int) []string {
	r := w.Rand
	var ids []string
	for i := range n {
		m := &handlertest.Machine{Takes: time.Duration(90+r.IntN(400)) * time.Second, Early: r.IntN(3) == 0,
			Now: desktop.Desktop{ID: fmt.Sprintf("ecd-%04d", i), RegionID: region, Status: desktop.Running, Connection: desktop.Disconnected,
				ImageID: "m-old", OS: "windows", SystemDiskGiB: 80, Tags: map[string]string{}}}
		switch n := r.IntN(30); {
		case n == 0:
			m.Now.Status = desktop.Stopped
		case n == 1:
			m.Now.GroupID = "dg-1"
		case n == 2:
			m.Now.ImageID = "m-new1"
		case n == 3:
			m.Now.GPU = true
		case n < 6 && w.ECD.Records:
			m.Ends = "fail"
		case n == 6:
			m.Ends = "stick"
		case n == 7:
			m.Now.Status = desktop.Starting
			m.Later(time.Now().Add(time.Duration(r.IntN(7000))*time.Second), func(m *handlertest.Machine) { m.Now.Status = desktop.Running })
		case n == 8:
			m.Later(time.Now().Add(time.Duration(r.IntN(600))*time.Second), func(m *handlertest.Machine) { m.Gone = true })
		case n == 9:
			m.Outside(time.Now().Add(time.Duration(r.IntN(600))*time.Second), "m-outside")
		case n < 13:
			m.Now.Connection, m.Now.Users = desktop.Connected, []string{"alice"}
		case n == 13:
			m.Later(time.Now().Add(time.Duration(r.IntN(60))*time.Second), func(m *handlertest.Machine) { m.Now.Connection = desktop.Connected })
		}
		w.ECD.Add(m)
		ids = append(ids, m.Now.ID)
	}
	return ids
}

// compose writes one to three requests for some of the desktops.
func compose(w *handlertest.World, ids []string) []sent {
	r := w.Rand
	var all []sent
	for n := range []int{1, 1, 2, 3}[r.IntN(4)] {
		req := events.Request{RequestID: fmt.Sprintf("r%d", n+1), RegionID: region, ImageID: "m-new1"}
		switch r.IntN(12) {
		case 0:
			req.ImageID, req.Consent = "", []string{events.ConsentReset}
		case 1, 2:
			req.ImageID = "m-new2"
		case 3:
			req.ImageID = "m-broken"
		}
		if r.IntN(6) == 0 {
			req.Consent = append(req.Consent, events.ConsentSessions)
		}
		for _, id := range ids {
			if r.IntN(4) > 0 {
				req.DesktopIDs = append(req.DesktopIDs, id)
			}
		}
		if len(req.DesktopIDs) == 0 || r.IntN(10) == 0 {
			req.DesktopIDs = append(req.DesktopIDs, "ecd-none")
		}
		body, err := events.Event{Type: events.TypeRequest, ID: req.RequestID, Source: "test", Subject: req.RequestID, Time: time.Now(), Data: req}.Marshal()
		if err != nil {
			panic(err)
		}
		all = append(all, sent{req, body})
	}
	return all
}

// judgeRequests holds what happened against what is promised.
func judgeRequests(w *handlertest.World, all []sent) {
	works := w.Journal.Works()
	for wipe, n := range w.ECD.Wiped {
		if n > 1 {
			w.Break("%s was wiped %d times for %s", wipe.Desktop, n, wipe.Work)
		}
	}
	for _, s := range all {
		key, opened := works[s.req.RequestID]
		if !opened {
			w.Break("request %s was never opened", s.req.RequestID)
			continue
		}
		state := w.Journal.State(key)
		if !state.Closed || !state.Quiet() {
			w.Break("request %s is left: closed %t, all published %t", s.req.RequestID, state.Closed, state.Quiet())
		}
		sameHoweverCut(w, key)
		finals := finalsOf(w, s.req.RequestID)
		var ids []string
		for _, id := range s.req.DesktopIDs {
			switch got := finals[id]; len(got) {
			case 1:
				ids = append(ids, got[0].ID)
				truthful(w, s.req, got[0].Outcome)
			default:
				w.Break("desktop %s of %s ended %d times: %v", id, s.req.RequestID, len(got), got)
			}
		}
		finished(w, s.req, ids)
	}
}

// finalsOf returns the final outcomes of a work by desktop, as the world was
// told.
func finalsOf(w *handlertest.World, work string) map[string][]handlertest.Telling {
	out := map[string][]handlertest.Telling{}
	for _, told := range w.Topic.Told {
		if o := told.Outcome; told.Type == events.TypeOutcome && o.RequestID == work && o.Status != events.StatusDeferred && o.Status != events.StatusAccepted {
			out[o.DesktopID] = append(out[o.DesktopID], told)
		}
	}
	return out
}

// truthful holds a final outcome against what really happened.
func truthful(w *handlertest.World, req events.Request, o events.Outcome) {
	wiped := w.ECD.Wiped[handlertest.Wipe{Work: req.RequestID, Desktop: o.DesktopID}]
	// Of two requests for one desktop and one image, one is served by the other's
	// rebuild: ECD's records do not say whose it was.
	there := slices.ContainsFunc(w.ECD.All, func(a handlertest.Acceptance) bool { return a.Desktop == o.DesktopID && a.Image == req.ImageID })
	switch {
	case o.Status == events.StatusCompleted && !there:
		w.Break("%s of %s is said to be completed, and was never rebuilt to %q", o.DesktopID, req.RequestID, req.ImageID)
	case (o.Status == events.StatusSkipped || o.Status == events.StatusRefused) && wiped > 0 && o.Code != events.CodeChangedOutside:
		w.Break("%s of %s is said to be %s (%s), and was wiped for it", o.DesktopID, req.RequestID, o.Status, o.Code)
	}
}

// finished looks for the summary and holds its digest against the outcomes.
func finished(w *handlertest.World, req events.Request, ids []string) {
	n := 0
	for _, told := range w.Topic.Told {
		if told.Type != events.TypeFinished || told.Finished.RequestID != req.RequestID {
			continue
		}
		n++
		if want := events.Digest(ids); told.Finished.Digest != want {
			w.Break("the summary of %s has digest %s, its outcomes have %s", req.RequestID, told.Finished.Digest, want)
		}
		if told.Finished.Desktops != len(req.DesktopIDs) {
			w.Break("the summary of %s counts %d desktops of %d", req.RequestID, told.Finished.Desktops, len(req.DesktopIDs))
		}
	}
	if n != 1 {
		w.Break("%s has %d summaries", req.RequestID, n)
	}
}

// sameHoweverCut folds a journal at once and record by record.
func sameHoweverCut(w *handlertest.World, key string) {
	one := rollout.NewState()
	for _, r := range w.Journal.Logs[key] {
		one.Apply(r)
	}
	if !reflect.DeepEqual(one, w.Journal.State(key)) {
		w.Break("journal %s folds otherwise when it is cut otherwise", key)
	}
}

func TestRequestsKeepThePromiseUnderEverySchedule(t *testing.T) {
	schedules(t, requestSchedules, requests, "accepted Success", "accepted Reconciled", "completed Completed", "deferred OutcomeUnknown", "deferred NotAuthorized",
		"failed ChangedOutside", "failed OutcomeUnknown", "failed RebuildFailed", "failed RebuildTimeout", "refused ConflictingTargets",
		"refused SessionActive", "skipped AlreadyOnImage", "skipped AlreadyRebuilding")
}
