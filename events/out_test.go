package events

import (
	"encoding/json"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const source = "acs:fc:cn-hangzhou:1234567890123456:functions/regild"

// at is the moment of the samples, told in another zone and too finely, as a
// clock would.
var at = time.Date(2026, 11, 23, 16, 0, 0, 1234, time.FixedZone("CST", 8*3600))

func sampleOf[T any](t *testing.T, name string) T {
	t.Helper()
	var v T
	decodeFile(t, "samples/valid/"+name+".json", &v)
	return v
}

func TestEventsTravelAsTheirSamples(t *testing.T) {
	finished := sampleOf[Finished](t, "regild.request.finished.v1/finished")
	refused := sampleOf[Refused](t, "regild.message.refused.v1/queue")
	made := NewRefused(refused.Code, refused.Reason, []byte("TEST"))
	made.MessageID = refused.MessageID
	sent := map[string]Event{
		TypeOutcome:                      sampleOf[Outcome](t, "regild.desktop.outcome.v1/accepted").Event(source, at),
		TypeRefused:                      made.Event(source, at),
		TypeFinished:                     finished.Event(source),
		TypeTick:                         sampleOf[Tick](t, "regild.tick.v1/rollout").Event(source, at),
		RolloutPlan.Type():               sampleOf[Plan](t, "regild.rollout.plan.v1/release").Event(source, at),
		"regild.rollout.wave.started.v1": sampleOf[Rollout](t, "regild.rollout.v1/wave-started").Event(RolloutWaveStarted, "2", source, at),
	}
	for eventType, event := range sent {
		got, err := event.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if event.Type != eventType {
			t.Errorf("got type %s, want %s", event.Type, eventType)
		}
		if want := readFile(t, "samples/valid/cloudevent/"+eventType+".json"); !sameJSON(t, got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestSamplesOfWholeMessagesMeetTheirSchema(t *testing.T) {
	schema := compile(t)["cloudevent"]
	for _, file := range glob(t, "samples/valid/cloudevent/*.json", 9) {
		if err := validate(t, schema, readFile(t, file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		var event struct{ Type string }
		decodeFile(t, file, &event)
		if event.Type+".json" != filepath.Base(file) {
			t.Errorf("%s holds a %s", file, event.Type)
		}
	}
	for _, file := range glob(t, "samples/invalid/cloudevent/*.json", 3) {
		if err := validate(t, schema, readFile(t, file)); err == nil {
			t.Errorf("%s: the schema accepts it", file)
		}
	}
}

func TestTheSameEventIsTheSameBytes(t *testing.T) {
	f := sampleOf[Finished](t, "regild.request.finished.v1/finished")
	f.Statuses = map[Status]int{}
	for i, s := range Statuses {
		f.Statuses[s] = i
	}
	first, err := f.Event(source).Marshal()
	if err != nil {
		t.Fatal(err)
	}
	for range 20 {
		if again, _ := f.Event(source).Marshal(); string(again) != string(first) {
			t.Fatalf("got %s, want %s", again, first)
		}
	}
	want := `{"specversion":"1.0","type":"regild.request.finished.v1","id":"win11-2026.11.3-hz-0007/finished"`
	if !strings.HasPrefix(string(first), want) {
		t.Errorf("got %s, want it to begin %s", first, want)
	}
}

func TestTheIDOfADryRunIsNeverThatOfTheRealThing(t *testing.T) {
	o := Outcome{RequestID: "r", DesktopID: "ecd-0001", Status: StatusAccepted}
	done := o.Event(source, at).ID
	o.DryRun = true
	if dry := o.Event(source, at).ID; done != "r/ecd-0001/accepted" || dry != "r/ecd-0001/accepted/dryrun" {
		t.Errorf("got %s and %s", done, dry)
	}
	r := Rollout{RolloutID: "1/f", DryRun: true}
	if got := r.Event(RolloutStarted, "", source, at).ID; got != "1/f/started/dryrun" {
		t.Errorf("got %s", got)
	}
	if got := (Finished{RequestID: "r", DryRun: true}).Event(source).ID; got != "r/finished/dryrun" {
		t.Errorf("got %s", got)
	}
}

func TestTagsFitIntoAnMNSFilter(t *testing.T) {
	tags := []string{TagRefused, TagRollout, TagFinished}
	for _, s := range Statuses {
		tags = append(tags, Outcome{Status: s}.Event(source, at).Tag)
	}
	for _, tag := range tags {
		if tag == "" || len(tag) > 16 {
			t.Errorf("%q does not have 1 to 16 characters", tag)
		}
	}
}

// The worst text is one of control characters, which take six bytes each.
func TestEveryMessageStaysBelowTheTransportsLimit(t *testing.T) {
	long := strings.Repeat("\x01", MaxBytes)
	id := strings.Repeat("r", 512)
	refused := NewRefused(CodeMalformedMessage, long, []byte(long))
	refused.MessageID, refused.EventID, refused.Source, refused.RequestID = long, long, long, long
	for _, event := range []Event{
		Outcome{RequestID: id, DesktopID: id, Status: StatusFailed, Code: long, Message: long}.Event(source, at),
		refused.Event(source, at),
		Rollout{RolloutID: id, Reason: &Reason{Message: long}}.Event(RolloutHalted, "1", source, at),
	} {
		got, err := event.Marshal()
		if err != nil {
			t.Error(err)
		}
		if !utf8.Valid(got) || len(got) == 0 {
			t.Errorf("%s: not UTF-8", event.Type)
		}
	}
	if _, err := (Tick{Kind: TickRequest, ID: "r", Records: []string{long}}).Event(source, at).Marshal(); err == nil {
		t.Error("a tick that is too large for the queue was written")
	}
}

func TestWhatCannotBeWrittenIsAnError(t *testing.T) {
	if _, err := (Event{Type: "x", Data: func() {}}).Marshal(); err == nil || !strings.HasPrefix(err.Error(), "writing event x: ") {
		t.Errorf("got %v", err)
	}
}

func TestTextIsCutBetweenCharacters(t *testing.T) {
	tests := []struct {
		s    string
		n    int
		want string
	}{
		{"short", 10, "short"},
		{"exactly ten", 11, "exactly ten"},
		{"a long text", 8, "a lon…"},
		{"重建云桌面", 10, "重建…"},
		{"a\xffb", 10, "a\ufffdb"},
	}
	for _, tt := range tests {
		if got := cut(tt.s, tt.n); got != tt.want || len(got) > tt.n {
			t.Errorf("cut(%q, %d): got %q, want %q", tt.s, tt.n, got, tt.want)
		}
	}
}

func TestTheHeadOfARefusedMessageIsPrintable(t *testing.T) {
	r := NewRefused(CodeMalformedMessage, "why", []byte("a\x00\x1b[31m\xff重\n"+strings.Repeat("x", 5000)))
	if !strings.HasPrefix(r.Head, "a\ufffd\ufffd[31m\ufffd重\nxxx") {
		t.Errorf("got %.40q", r.Head)
	}
	if r.Length != 5012 || utf8.RuneCountInString(r.Head) > MaxHead || len(r.SHA256) != 64 {
		t.Errorf("got length %d, %d characters, digest %s", r.Length, utf8.RuneCountInString(r.Head), r.SHA256)
	}
}

func TestTheDigestDoesNotDependOnOrder(t *testing.T) {
	ids := []string{"b/2", "a/1"}
	// printf 'a/1\nb/2' | sha256sum
	const want = "sha256:8bd12b24d6eb14c9a141597ec482f69a14c9a5024036441d727b4a968e67a33f"
	if got := Digest(ids); got != want || ids[0] != "b/2" {
		t.Errorf("got %s, want %s; ids are now %v", got, want, ids)
	}
	if got := Digest(nil); got != "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
		t.Errorf("of nothing: got %s", got)
	}
}

func planOf(waves, desktops int, message string) Plan {
	p := Plan{RolloutID: "2026.11.3/office-hz", RegionID: "cn-hangzhou", ImageID: "m-1", Calls: map[string]int{"RebuildDesktops": 5}}
	for n := range waves {
		w := PlanWave{N: n + 1, Name: fmt.Sprint("wave ", n+1), Desktops: []PlanDesktop{}}
		for d := range desktops {
			w.Desktops = append(w.Desktops, PlanDesktop{
				ID: fmt.Sprintf("ecd-%04d%06d", n, d), Action: PlanRefuse, Code: CodePooledDesktop, Message: message, From: "m-0",
			})
		}
		p.Waves = append(p.Waves, w)
	}
	return p
}

func TestAPlanIsCutIntoPagesThatFitAndLoseNothing(t *testing.T) {
	tests := []struct {
		name  string
		plan  Plan
		pages int
	}{
		{"nothing", planOf(0, 0, ""), 1},
		{"empty waves", planOf(3, 0, ""), 1},
		{"many empty waves", planOf(3000, 0, ""), 3},
		{"one page", planOf(4, 20, "why"), 1},
		{"one wave over many pages", planOf(1, 10_000, "it belongs to the desktop group dg-1"), 22},
		{"many waves", planOf(3000, 2, ""), 11},
		{"long and odd messages", planOf(2, 100, strings.Repeat("\x01", 5000)), 12},
	}
	schema := compile(t)["regild.rollout.plan.v1"]
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			pages := PlanPages(tt.plan)
			if len(pages) != tt.pages {
				t.Errorf("got %d pages, want %d", len(pages), tt.pages)
			}
			digest := DigestPlan(tt.plan)
			var got []string
			waves := map[int]bool{}
			for i, page := range pages {
				data, err := marshal(page)
				if err != nil {
					t.Fatal(err)
				}
				if len(data) > MaxPlanPage {
					t.Errorf("page %d has %d bytes", i+1, len(data))
				}
				if i < 2 { // the others are made alike, and validating takes its time
					if err := validate(t, schema, data); err != nil {
						t.Errorf("page %d: %v", i+1, err)
					}
				}
				if page.Page != i+1 || page.Pages != len(pages) || page.PlanDigest != digest {
					t.Errorf("page %d is numbered %d of %d, digest %s", i+1, page.Page, page.Pages, page.PlanDigest)
				}
				for _, w := range page.Waves {
					waves[w.N] = true
					for _, d := range w.Desktops {
						got = append(got, d.ID)
					}
				}
			}
			var want []string
			for _, w := range tt.plan.Waves {
				for _, d := range w.Desktops {
					want = append(want, d.ID)
				}
			}
			if !slices.Equal(got, want) || len(waves) != len(tt.plan.Waves) {
				t.Errorf("got %d desktops in %d waves, want %d in %d", len(got), len(waves), len(want), len(tt.plan.Waves))
			}
			if again := PlanPages(tt.plan); !reflect.DeepEqual(again, pages) {
				t.Error("the same plan gave other pages")
			}
		})
	}
}

func TestThePlansDigestCountsWhatWouldBeDoneAndNothingElse(t *testing.T) {
	p := planOf(2, 2, "why")
	digest := DigestPlan(p)
	same := p
	same.ExpectedSeconds, same.Calls, same.Page, same.RolloutID = 7, nil, 3, "other"
	if got := DigestPlan(same); got != digest {
		t.Errorf("got %s, want %s", got, digest)
	}
	if got := DigestPlan(planOf(2, 2, "said otherwise")); got != digest {
		t.Errorf("other messages: got %s, want %s", got, digest)
	}
	other := planOf(2, 2, "why")
	other.Waves[1].Desktops[0].Action = PlanRebuild
	if DigestPlan(other) == digest {
		t.Error("another action gives the same digest")
	}
	other = planOf(2, 2, "why")
	other.ImageID = "m-2"
	if DigestPlan(other) == digest {
		t.Error("another image gives the same digest")
	}
	other = planOf(2, 2, "why")
	other.AccountID = "2000000000000002"
	if DigestPlan(other) == digest {
		t.Error("the same desktops in another account give the same digest")
	}
	// Of the build before there were accounts: a digest that somebody has agreed to
	// stays the same.
	if got := DigestPlan(Plan{RegionID: "cn-hangzhou", ImageID: "m-1"}); got != "sha256:d4ea2de2decf79a34c85992a65e796302aa72c01b2fb7306963d1971191251d6" {
		t.Errorf("got %s for a plan without an account", got)
	}
}

func TestPagesKeepADigestThatWasGiven(t *testing.T) {
	p := planOf(1, 1, "")
	p.PlanDigest = Digest([]string{"mine"})
	if got := PlanPages(p)[0].PlanDigest; got != p.PlanDigest {
		t.Errorf("got %s", got)
	}
}

func TestEveryCodeHasANameAndASentence(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "code.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && strings.HasPrefix(spec.Names[0].Name, "Code") && len(spec.Values) == 1 {
			if value, ok := spec.Values[0].(*ast.BasicLit); ok {
				if "Code"+strings.Trim(value.Value, `"`) != spec.Names[0].Name {
					t.Errorf("%s = %s: the constant is not named after the code", spec.Names[0].Name, value.Value)
				}
				names = append(names, strings.Trim(value.Value, `"`))
			}
		}
		return true
	})
	var listed []string
	pascal := regexp.MustCompile(`^[A-Z][A-Za-z0-9]*$`)
	for _, c := range Codes {
		listed = append(listed, c.Name)
		if !pascal.MatchString(c.Name) || !slices.Contains(Statuses, c.Status) || !strings.HasSuffix(c.Meaning, ".") {
			t.Errorf("got %+v", c)
		}
		if got, ok := CodeNamed(c.Name); !ok || got != c {
			t.Errorf("%s stands twice in Codes", c.Name)
		}
	}
	slices.Sort(names)
	slices.Sort(listed)
	if !slices.Equal(names, listed) {
		t.Errorf("constants: %v\nCodes: %v", names, listed)
	}
	if _, ok := CodeNamed("NoSuchCode"); ok {
		t.Error("NoSuchCode is known")
	}
}

func TestSamplesUseCodesThatExist(t *testing.T) {
	ecds := []string{"IncorrectDesktopStatus"}
	for _, file := range glob(t, "samples/valid/regild.*/*.json", 20) {
		var sample struct {
			Code   string
			Reason json.RawMessage
		}
		decodeFile(t, file, &sample)
		var reason Reason
		if json.Unmarshal(sample.Reason, &reason) == nil && reason.Code != "" {
			sample.Code = reason.Code
		}
		if _, ok := CodeNamed(sample.Code); !ok && sample.Code != "" && !slices.Contains(ecds, sample.Code) {
			t.Errorf("%s: nobody knows %s", file, sample.Code)
		}
	}
}
