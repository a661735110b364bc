package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

// heard returns a watcher that heard these outcomes.
func heard(t *testing.T, outcomes ...events.Outcome) *watcher {
	t.Helper()
	w := newWatcher(nil)
	for _, o := range outcomes {
		w.watch(publication(t, o.Event("here", start)))
	}
	return w
}

func publication(t *testing.T, e events.Event) mns.Publication {
	t.Helper()
	body, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	return mns.Publication{Body: body, Tag: e.Tag, Time: start}
}

func outcome(desktop string, status events.Status, nth int) events.Outcome {
	return events.Outcome{RequestID: "r", RegionID: "cn-hangzhou", DesktopID: desktop, Status: status, Code: events.CodeSuccess, Nth: nth}
}

func TestTheSummaryFindsEveryBreachOfThePromise(t *testing.T) {
	accepted, completed := events.StatusAccepted, events.StatusCompleted
	wipe := ecd.Wipe{DesktopID: "ecd-0001"}
	called := stateOf(append(asked("r", "ecd-0001"), rollout.Record{Kind: rollout.KindBegun, At: start, Call: "1", Desktops: []string{"ecd-0001"}}))
	tests := []struct {
		name     string
		outcomes []events.Outcome
		state    *rollout.State
		wipes    []ecd.Wipe
		want     string // of the fault; "" none
	}{
		{"all is well", []events.Outcome{outcome("ecd-0001", accepted, 1), outcome("ecd-0001", completed, 1)}, nil, []ecd.Wipe{wipe}, ""},
		{"told twice under one id", []events.Outcome{outcome("ecd-0001", completed, 1), outcome("ecd-0001", completed, 1)}, nil, nil, ""},
		{"no end", []events.Outcome{outcome("ecd-0001", accepted, 1)}, nil, []ecd.Wipe{wipe}, "desktop ecd-0001 of r has no final outcome"},
		{"not finished", nil, called, nil, ""},
		{"two ends", []events.Outcome{outcome("ecd-0001", completed, 1), outcome("ecd-0001", events.StatusFailed, 1)}, nil, nil, "desktop ecd-0001 of r has 2 final outcomes"},
		{"wiped twice", []events.Outcome{outcome("ecd-0001", accepted, 1), outcome("ecd-0001", completed, 1)}, nil, []ecd.Wipe{wipe, wipe}, "desktop ecd-0001 was wiped 2 times, though the requests and rollouts that called for it are 1"},
		{"wiped in another account", []events.Outcome{outcome("ecd-0001", accepted, 1), outcome("ecd-0001", completed, 1)}, nil,
			[]ecd.Wipe{wipe, {AccountID: "2000000000000002", DesktopID: "ecd-0001"}},
			"desktop 2000000000000002/ecd-0001 was wiped 1 times, though the requests and rollouts that called for it are 0"},
		{"wiped for nobody", []events.Outcome{outcome("ecd-0001", events.StatusRefused, 1)}, nil, []ecd.Wipe{wipe}, "desktop ecd-0001 was wiped 1 times, though the requests and rollouts that called for it are 0"},
		{"wiped with the answer lost", []events.Outcome{outcome("ecd-0001", events.StatusFailed, 1)}, called, []ecd.Wipe{wipe}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			sum := summary{statuses: map[events.Status]int{}, zone: time.UTC}
			states := map[string]*rollout.State{}
			if tt.state != nil {
				states["r"] = tt.state
			}
			sum.judge(heard(t, tt.outcomes...), states, tt.wipes)
			err := sum.verdict()
			switch {
			case tt.want == "" && err != nil:
				t.Errorf("got %v, want no fault", err)
			case tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
				t.Errorf("got %v, want %q", err, tt.want)
			}
			shown := strings.Join(sum.lines(0, palette{}), "\n")
			if broken := strings.Contains(shown, "the promise is broken"); broken != (err != nil) {
				t.Errorf("the verdict is %v, and people are told\n%s", err, shown)
			}
		})
	}
}

func TestTheSummaryTellsAllThatWasCounted(t *testing.T) {
	s := stateOf(records())
	sum := summary{zone: hangzhou, requests: 2, rollouts: []*rollout.State{s}, desktops: 8,
		statuses: map[events.Status]int{events.StatusCompleted: 6, events.StatusFailed: 1},
		failures: []events.Outcome{outcome("ecd-b002", events.StatusFailed, 1)}, accepted: 7, wipes: 7, refused: 1, events: 5, repeated: 2,
		calls:   map[[2]string]int{{"ecd", "RebuildDesktops"}: 3, {"ecd", "DescribeDesktops"}: 9, {"mns", "PublishMessage"}: 20},
		invoked: 12, worked: 1500 * time.Millisecond, failed: 1, cloudTime: 4 * time.Hour, real: 30 * time.Second,
		unfinished: []string{"2026.11.3/office: paused by ann"}}
	golden(t, "summary", sum.lines(0, palette{}))
	golden(t, "summary-72", sum.lines(72, palette{}))
}

func TestASessionThatAskedNothingSaysSo(t *testing.T) {
	sum := summary{statuses: map[events.Status]int{}, refused: 1, zone: time.UTC}
	if got, want := strings.Join(sum.promise(0, palette{}), ""), "nothing was asked of any desktop"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestLinesTellEveryKindOfEvent(t *testing.T) {
	until := after(60)
	finished := events.Finished{RequestID: "r", Statuses: map[events.Status]int{events.StatusCompleted: 2, events.StatusRefused: 1}, StartedAt: start, FinishedAt: start}
	done := outcome("ecd-0001", events.StatusCompleted, 1)
	done.DurationSeconds = 312
	later := outcome("ecd-0001", events.StatusDeferred, 0)
	later.Code, later.Message, later.Until = events.CodeScheduled, "the request is to begin no earlier", &until
	news := events.Rollout{RolloutID: "1/f", ImageID: "m-new", Wave: 1, Waves: 3, Counts: events.Counts{Completed: 2, Pending: 4}}
	waiting, paused, back := news, news, news
	back.RolloutID, back.ReleaseID, back.Fleet = "1/f/rollback", "1", "f"
	waiting.Reason = reasonOf("WindowClosed", "the window is closed", &until)
	paused.By, paused.Reason = "ann", reasonOf("Paused", "lunch", nil)
	var got []string
	w := newWatcher(nil)
	tb := table{zone: hangzhou}
	w.told = func(l line) { got = append(got, strings.TrimRight(tb.row(l), " ")) }
	for _, e := range []events.Event{
		later.Event("here", start), outcome("ecd-0001", events.StatusAccepted, 1).Event("here", start), done.Event("here", start), finished.Event("here"),
		events.NewRefused("MalformedMessage", "it is no JSON", []byte("{")).Event("here", start),
		news.Event(events.RolloutStarted, "", "here", start), back.Event(events.RolloutStarted, "", "here", start), news.Event(events.RolloutWaveStarted, "1", "here", start),
		news.Event(events.RolloutWaveFinished, "1", "here", start), waiting.Event(events.RolloutWaiting, "1", "here", start),
		paused.Event(events.RolloutPaused, "1", "here", start), news.Event(events.RolloutCompleted, "", "here", start),
		events.Plan{RolloutID: "1/f", PlanDigest: "sha256:00", Page: 1, Pages: 2}.Event("here", start),
	} {
		w.watch(publication(t, e))
	}
	w.watch(mns.Publication{Body: []byte("hello"), Time: start})
	golden(t, "lines", append([]string{tb.head()}, got...))
}

func TestReportsAndStatusesAreMadeOfTheJournalAlone(t *testing.T) {
	s := stateOf(records())
	r := reportOf(s, records())
	golden(t, "report", r.lines(hangzhou))
	golden(t, "status", detailLines(s, hangzhou))
	request := stateOf(append(asked("ticket-1", "ecd-c001"), rollout.Record{Kind: rollout.KindClosed, At: after(3)}))
	golden(t, "status-list", listLines(operator.Listing{Operations: []operator.Operation{operator.OperationOf(s), operator.OperationOf(request)}, Ended: 2, NotRead: 3}, hangzhou))
	golden(t, "status-all", listLines(operator.Listing{Operations: []operator.Operation{operator.OperationOf(s), operator.OperationOf(request)}}, hangzhou))
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "report-json", []string{string(data)})
}

func TestRanksAreFiguresThatWereSeen(t *testing.T) {
	if got, want := lengthsOf([]int{300, 100, 200, 400}), (lengths{4, 200, 400, 400}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
	if got := lengthsOf(nil); got != (lengths{}) {
		t.Errorf("of nothing: got %+v", got)
	}
}
