package report_test

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/report/reporttest"
	"github.com/regild/regild/internal/rollout"
)

func reportOf(t *testing.T, records []rollout.Record) *report.Report {
	t.Helper()
	r, err := report.Of(reporttest.Lines(records))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAReportCountsWhatTheJournalSays(t *testing.T) {
	r := reportOf(t, reporttest.Rollout(reporttest.Options{}))
	want := events.Counts{Fleet: 40, Completed: 32, Skipped: 3, Refused: 1, Failed: 4}
	if r.Counts != want {
		t.Errorf("counts: got %+v want %+v", r.Counts, want)
	}
	var sum events.Counts
	for _, w := range r.Waves {
		sum.Fleet += w.Size
		sum.Completed += w.Counts.Completed
		sum.Skipped += w.Counts.Skipped
		sum.Refused += w.Counts.Refused
		sum.Failed += w.Counts.Failed
	}
	if sum != want {
		t.Errorf("the sum of the waves: got %+v want %+v", sum, want)
	}
	n := 0
	for _, x := range r.Outcomes {
		n += x.N
	}
	if n != 40 || r.State != report.StateCompleted || len(r.Waves) != 3 || r.Took.N != 32 {
		t.Errorf("got %d outcomes, %s, %d waves, %d lengths; want 40, completed, 3, 32", n, r.State, len(r.Waves), r.Took.N)
	}
}

func TestTheDigestIsCountedAnewAndNoticesAMissingOutcome(t *testing.T) {
	records := reporttest.Rollout(reporttest.Options{Size: 100})
	if d := reportOf(t, records).Digest; !d.Agrees() || d.N != 100 {
		t.Errorf("whole journal: got %+v, want 100 that agree", d)
	}
	at := slices.IndexFunc(records, func(r rollout.Record) bool {
		return r.Kind == rollout.KindSettled && r.Outcomes[0].Status == events.StatusFailed
	})
	if d := reportOf(t, slices.Delete(records, at, at+1)).Digest; d.Agrees() || d.N != 99 {
		t.Errorf("without one outcome: got %+v, want 99 that do not agree", d)
	}
}

// A desktop that failed, was tried again and failed again has the id of its
// second failure in the digest.
func TestTheDigestCountsTheLastOutcomeOfADesktopThatWasRetried(t *testing.T) {
	at := reporttest.Start
	op := rollout.Operation{ID: "r/f", Fleet: "f", ReleaseID: "r", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	failed := []rollout.Group{{Status: events.StatusFailed, Code: events.CodeRebuildFailed, Message: "no", Desktops: []string{"a"}}}
	try := func(call, id string) []rollout.Record {
		return []rollout.Record{
			{Kind: rollout.KindBegun, At: at, Call: call, Desktops: []string{"a"}, From: []string{"m-old"}},
			{Kind: rollout.KindEnded, At: at, Call: call, RequestID: id, Outcomes: []rollout.Group{{Status: events.StatusAccepted, Desktops: []string{"a"}}}},
			{Kind: rollout.KindSettled, At: at, Outcomes: failed},
		}
	}
	records := slices.Concat([]rollout.Record{
		{Kind: rollout.KindOpened, At: at, Operation: &op},
		{Kind: rollout.KindWave, At: at, Wave: 1, Waves: 1, Name: "canary", Size: 1, Desktops: []string{"a"}},
	}, try("1", "ECD-1"), []rollout.Record{{Kind: rollout.KindControl, At: at, Action: events.ActionRetry, Who: "ann", Message: "c1", Reason: &events.Reason{Message: "again"}}},
		try("2", "ECD-2"), []rollout.Record{{Kind: rollout.KindClosed, At: at, Digest: events.Digest([]string{"r/f/a/failed/2"})}})
	r := reportOf(t, records)
	if !r.Digest.Agrees() || r.Desktops[0].OutcomeID(r.ID) != "r/f/a/failed/2" || r.Desktops[0].RequestID != "ECD-2" || r.Desktops[0].Attempts != 2 {
		t.Errorf("got %+v and %+v, want the second failure in the digest and of the second call", r.Digest, r.Desktops[0])
	}
	if len(r.Said) != 1 || r.Said[0].Who != "ann" || r.Said[0].Reason != "again" {
		t.Errorf("said: got %+v, want ann's retry", r.Said)
	}
}

func TestAStandstillBeginsEndsAndHasAReason(t *testing.T) {
	r := reportOf(t, reporttest.Rollout(reporttest.Options{}))
	var got []string
	for _, s := range r.Stood {
		got = append(got, fmt.Sprintf("%s %s %s %s", s.What, s.Code, s.By, s.To.Sub(s.From)))
	}
	want := []string{
		"waiting WindowClosed  4h0m0s",
		"waiting ApprovalAwaited  23m0s",
		"halted TooManyFailures  41m0s",
		"waiting Soaking  30m0s",
		"paused  chen@example.com 35m0s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestAnOpenStandstillHasNoEnd(t *testing.T) {
	r := reportOf(t, reporttest.Rollout(reporttest.Options{Until: reporttest.Approval}))
	last := r.Stood[len(r.Stood)-1]
	if last.Code != events.CodeApprovalAwaited || !last.To.IsZero() || r.State != report.StateWaiting || r.Reason == nil {
		t.Errorf("got %+v, %s, %v; want a wait for approval that goes on", last, r.State, r.Reason)
	}
	if r.Digest.Written != "" || r.Digest.Agrees() {
		t.Errorf("an open rollout has no digest, got %+v", r.Digest)
	}
}

func TestFailuresAreGroupedByCauseWithECDsRequestIDs(t *testing.T) {
	r := reportOf(t, reporttest.Rollout(reporttest.Options{Size: 400}))
	if len(r.Causes) != 3 {
		t.Fatalf("got %d causes, want two failures and one refusal: %+v", len(r.Causes), r.Causes)
	}
	for _, c := range r.Causes {
		if strings.Contains(c.Message, "ecd-") || len(c.Desktops) < 5 || !strings.Contains(c.Message, "…") {
			t.Errorf("%s: %q groups %d desktops; want one message for all", c.Code, c.Message, len(c.Desktops))
		}
		if c.Stand == report.Failed && len(c.RequestIDs) == 0 {
			t.Errorf("%s has no request id of ECD", c.Code)
		}
	}
	if r.Causes[0].Stand != report.Failed || r.Causes[2].Stand != report.Refused {
		t.Errorf("failures come first: got %s, %s, %s", r.Causes[0].Stand, r.Causes[1].Stand, r.Causes[2].Stand)
	}
}

func TestAThousandDifferentMessagesAreNotAThousandCauses(t *testing.T) {
	op := rollout.Operation{ID: "req", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}
	records := []rollout.Record{{Kind: rollout.KindOpened, At: reporttest.Start, Operation: &op}}
	for i := range 1000 {
		id := fmt.Sprint("ecd-", i)
		op.Desktops = append(op.Desktops, id)
		records = append(records, rollout.Record{Kind: rollout.KindSettled, At: reporttest.Start, Outcomes: []rollout.Group{
			{Status: events.StatusFailed, Code: "Odd", Message: fmt.Sprint("reason ", i), Desktops: []string{id}}}})
	}
	r := reportOf(t, records)
	n := 0
	for _, c := range r.Causes {
		n += len(c.Desktops)
	}
	if len(r.Causes) > 21 || n != 1000 {
		t.Errorf("got %d causes of %d desktops, want at most 21 of 1000", len(r.Causes), n)
	}
}

func TestARebuildThatTookADayDoesNotSqueezeTheOthersIntoOneBar(t *testing.T) {
	r := reportOf(t, reporttest.Rollout(reporttest.Options{Size: 400}))
	if r.Took.P50 < 5*time.Minute || r.Took.P50 > 30*time.Minute || r.Took.Max < r.Took.P95 || r.Took.P95 < r.Took.P50 {
		t.Errorf("got %+v, want lengths of some minutes in order", r.Took)
	}
	n := 0
	for _, b := range r.Took.Bars {
		n += b.N
	}
	if n != r.Took.N || len(r.Took.Bars) < 3 {
		t.Errorf("%d bars have %d rebuilds, want all %d in several", len(r.Took.Bars), n, r.Took.N)
	}
}

func TestARequestHasOneWaveAndADigest(t *testing.T) {
	r := reportOf(t, reporttest.Request("ticket-4711", 30))
	if !r.Request() || r.Kind() != "request" || len(r.Waves) != 1 || !r.Digest.Agrees() || len(r.Stood) != 0 || r.Waves[0].Ended.IsZero() {
		t.Errorf("got %+v", r)
	}
}

// A request for later waits, and says until when; once its time has come it is under way.
func TestARequestForLaterWaits(t *testing.T) {
	at := time.Date(2026, 11, 23, 22, 0, 0, 0, time.UTC)
	op := rollout.Operation{ID: "t1", Desktops: []string{"ecd-0001", "ecd-0002"}, NotBefore: at}
	s := rollout.NewState()
	settle := func(code string, ids ...string) {
		s.Apply(rollout.Record{Kind: rollout.KindSettled, At: at, Outcomes: []rollout.Group{{Status: events.StatusDeferred, Code: code, Until: at, Desktops: ids}}})
	}
	state := func() (report.State, *events.Reason) {
		b, _ := report.BriefOf(s)
		return b.State, b.Reason
	}
	s.Apply(rollout.Record{Kind: rollout.KindOpened, At: at.Add(-5 * time.Hour), Operation: &op})
	if got, _ := state(); got != report.StateRunning {
		t.Errorf("nothing was decided yet: got %s", got)
	}
	settle(events.CodeScheduled, op.Desktops...)
	if got, why := state(); got != report.StateWaiting || why.Code != events.CodeScheduled || why.Until == nil || !why.Until.Equal(at) {
		t.Errorf("before its time: got %s, %+v", got, why)
	}
	settle(events.CodeThrottled, "ecd-0001")
	if got, why := state(); got != report.StateRunning {
		t.Errorf("when its time has come: got %s, %+v", got, why)
	}
}

// However a journal is cut into reads, the report is the same.
func TestAReportDoesNotDependOnHowTheJournalWasRead(t *testing.T) {
	records := reporttest.Rollout(reporttest.Options{Until: reporttest.Underway})
	whole := reportOf(t, records)
	b := report.NewBuilder()
	for _, line := range bytes.SplitAfter(reporttest.Lines(records), []byte("\n")) {
		if err := b.Read(line); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Report(); err != nil && !errors.Is(err, report.ErrEmpty) {
			t.Fatal(err)
		}
	}
	pieces, err := b.Report()
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(whole, pieces) {
		t.Errorf("read in pieces: got %+v\nwant %+v", pieces.Brief, whole.Brief)
	}
}

func TestWhatIsNoJournalIsSaidWithItsLine(t *testing.T) {
	lines := append(reporttest.Lines(reporttest.Request("r", 1)), "{}\n"...)
	if _, err := report.Of(lines); err == nil || !strings.Contains(err.Error(), "line "+fmt.Sprint(bytes.Count(lines, []byte("\n")))) {
		t.Errorf("got %v, want the number of the last line", err)
	}
	if _, err := report.Of(nil); !errors.Is(err, report.ErrEmpty) {
		t.Errorf("no journal: got %v, want ErrEmpty", err)
	}
}

func TestAPlanBesideWhatHappened(t *testing.T) {
	r := reportOf(t, reporttest.Rollout(reporttest.Options{}))
	p := events.Plan{RolloutID: r.ID, Fleet: r.Fleet, RegionID: r.RegionID, ImageID: r.ImageID}
	for _, w := range r.Waves {
		x := events.PlanWave{N: w.N, Name: w.Name}
		for _, d := range r.Desktops {
			if d.Wave == w.N {
				x.Desktops = append(x.Desktops, events.PlanDesktop{ID: d.ID, Action: events.PlanRebuild})
			}
		}
		p.Waves = append(p.Waves, x)
	}
	p.Waves[2].Desktops[0].ID = "ecd-left"
	p.PlanDigest = events.DigestPlan(p)
	var stream bytes.Buffer
	pages := events.PlanPages(p)
	for i := range pages {
		slices.Reverse(pages)
		e, err := pages[i].Event("test", reporttest.Start).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		stream.Write(e)
	}
	read, err := report.ReadPlan(&stream)
	if err != nil {
		t.Fatal(err)
	}
	c := r.Compare(read)
	// 4 failed, 3 were skipped, 1 was refused, 1 left and 1 is new.
	if !c.Sound || !c.Same || c.Deviated != 10 || c.AsPlanned != 31 || c.Open != 0 || len(c.Deviations) != 10 {
		t.Errorf("got %+v", c)
	}
	if got := c.Waves[2]; got.Planned != 20 || got.Came != 20 {
		t.Errorf("wave 3: got %+v, want 20 planned and 20 that came", got)
	}
	read.Waves[0].Desktops[0].Action = events.PlanSkip
	if r.Compare(read).Sound {
		t.Error("a plan that was changed counts as sound")
	}
}

func TestAPlanThatIsNotWholeIsRefused(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"nothing":        {"", "first page is missing"},
		"no plan":        {`{"waves":[]}`, "no planDigest"},
		"no JSON":        {`plan`, "reading the plan"},
		"a page missing": {`{"planDigest":"sha256:1","page":1,"pages":2}`, "page 2 of 2 is missing"},
		"two plans":      {`{"planDigest":"sha256:1","page":1,"pages":2}{"planDigest":"sha256:2","page":2,"pages":2}`, "different plans"},
	} {
		if _, err := report.ReadPlan(strings.NewReader(c.in)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", name, err, c.want)
		}
	}
}

func TestWhatAControlWouldTouch(t *testing.T) {
	fold := func(until reporttest.Moment) *rollout.State {
		b := report.NewBuilder()
		b.Add(reporttest.Rollout(reporttest.Options{Until: until})...)
		return b.State()
	}
	if x := report.TouchOf(fold(reporttest.Underway), events.ActionRollback, 0); len(x.Back) != 1 || x.Back[0].ImageID != reporttest.OldImage || len(x.Back[0].Desktops) == 0 || len(x.Running) == 0 {
		t.Errorf("rollback: got %+v, want who goes back to %s, and who is under way", x, reporttest.OldImage)
	}
	if x := report.TouchOf(fold(reporttest.Halted), events.ActionRetry, 0); x.Refusal != "" || len(x.Failed) == 0 {
		t.Errorf("retry: got %+v, want the failed", x)
	}
	if x := report.TouchOf(fold(reporttest.Approval), events.ActionApprove, 0); x.Refusal != "" || x.Wave != 1 {
		t.Errorf("approve: got %+v, want wave 1", x)
	}
	b := report.NewBuilder()
	b.Add(reporttest.Open("r1", 3)...)
	if x := report.TouchOf(b.State(), events.ActionAbort, 0); x.Refusal != "" || x.Pending != 3 || x.Finished {
		t.Errorf("abort of a request: got %+v, want 3 desktops that have not begun", x)
	}
	if x := report.TouchOf(fold(reporttest.Ended), events.ActionPause, 0); x.Refusal == "" {
		t.Errorf("pause of what has ended: got %+v, want a refusal", x)
	}
}

func TestOnlyAFleetsLatestRolloutIsTakenBack(t *testing.T) {
	for _, tt := range []struct {
		enrolled []string
		want     string
	}{
		{nil, ""},
		{[]string{"r1/f"}, ""},
		{[]string{"r0/f", "r1/f", "r1/f/rollback"}, ""},
		{[]string{"r1/f", "r2/f"}, "r2/f came after it"},
		{[]string{"r1/f", "r1/f/rollback", "r2/f"}, "r2/f came after it"},
	} {
		got := report.NotLatest("r1/f", tt.enrolled)
		if got != "" && !strings.HasPrefix(got, tt.want) || (got == "") != (tt.want == "") {
			t.Errorf("%q: got %q, want %q", tt.enrolled, got, tt.want)
		}
	}
}
