package events

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/pattern"
)

// Each bound is one that may still be reached.
func TestBoundsMayBeReached(t *testing.T) {
	pad := func(object string, n int) []byte { return []byte(object + strings.Repeat(" ", n-len(object))) }
	request, record := string(requestOf(t, 1)), `{"serviceName":"Ecd","eventName":"CreateImage","acsRegion":"cn-hangzhou","responseElements":{"ImageId":"m-1abc"}}`
	images := func(n int) []byte {
		var list []string
		for i := range n {
			list = append(list, fmt.Sprintf(`"cn-%c%c":"m-84mztzatmlnys0001"`, 'a'+i/26, 'a'+i%26))
		}
		return []byte(`{"images":{` + strings.Join(list, ",") + `}}`)
	}
	records := func(n int) []byte {
		return []byte(`{"kind":"request","id":"r","n":0,"records":["{}"` + strings.Repeat(`,"{}"`, n-1) + `]}`)
	}
	control := func(by string) []byte {
		return []byte(`{"rolloutId":"1/f","action":"pause","by":"` + by + `","reason":"x"}`)
	}
	freeze := func(until string) []byte {
		return []byte(`{"freezeId":"f","action":"freeze","by":"a","reason":"x","until":"` + until + `","regions":["cn-hangzhou"]}`)
	}
	parsers := map[string]func([]byte) error{
		"request": func(b []byte) error { _, err := ParseRequest(b); return err }, "release": func(b []byte) error { _, err := ParseRelease(b); return err },
		"control": func(b []byte) error { _, err := ParseControl(b); return err }, "freeze": func(b []byte) error { _, err := ParseFreeze(b); return err },
		"tick": func(b []byte) error { _, err := ParseTick(b); return err }, "record": func(b []byte) error { _, _, err := ParseActionTrail(b); return err },
	}
	for _, c := range []struct {
		parser string
		data   []byte
		fault  string
	}{
		{"request", pad(request, MaxDocument), ""}, {"request", pad(request, MaxDocument+1), "1048577 bytes"},
		{"record", pad(record, MaxDocument), ""}, {"record", pad(record, MaxDocument+1), "1048577 bytes"},
		{"request", []byte(`{"requestId":"` + strings.Repeat("é", MaxRequestID) + `",` + request[1:]), ""},
		{"request", []byte(`{"requestId":"` + strings.Repeat("é", MaxRequestID+1) + `",` + request[1:]), "more than 128 characters"},
		{"request", []byte(strings.Replace(request, "cn-hangzhou", "cn-"+strings.Repeat("a", pattern.Region.Most-3), 1)), ""},
		{"request", []byte(strings.Replace(request, "cn-hangzhou", "cn-"+strings.Repeat("a", pattern.Region.Most-2), 1)), "is too long for a region id"},
		{"release", images(maxRegions), ""}, {"release", images(maxRegions + 1), "has 65 regions, more than the 64 that are allowed"},
		{"control", control(strings.Repeat("a", MaxWho)), ""}, {"control", control(strings.Repeat("a", MaxWho+1)), "has 257 bytes"},
		{"tick", records(maxTickRecords), ""}, {"tick", records(maxTickRecords + 1), "has 10001 entries, more than the 10000 that are allowed"},
		{"tick", []byte(`{"kind":"request","id":"r","n":1073741824}`), ""}, {"tick", []byte(`{"kind":"request","id":"r","n":1073741825}`), "write a whole number"},
		{"freeze", freeze("2000-01-01T00:00:00Z"), ""}, {"freeze", freeze("1999-12-31T23:59:59Z"), "not a time"},
		{"freeze", freeze("9999-12-31T23:59:59Z"), ""}, {"freeze", freeze("9999-12-31T23:59:59-00:01"), "not a time"},
		{"freeze", []byte(strings.Replace(string(freeze("2026-12-24T18:00:00Z")), `"regions":["cn-hangzhou"]`, `"fleets":["office"]`, 1)), ""},
	} {
		err := parsers[c.parser](c.data)
		if (err == nil) != (c.fault == "") || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s of %d bytes, %.60s: got %v, want %q", c.parser, len(c.data), c.data, err, c.fault)
		}
	}
	for _, n := range []int{MaxBytes, MaxBytes + 1} {
		e := Event{Type: "x", ID: "1", Source: source, Time: at}
		empty, err := Event{Type: "x", ID: "1", Source: source, Time: at, Data: ""}.Marshal()
		if err != nil {
			t.Fatal(err)
		}
		e.Data = strings.Repeat("a", n-len(empty))
		if got, err := e.Marshal(); (err == nil) != (n <= MaxBytes) {
			t.Errorf("an event of %d bytes: %v", len(got), err)
		}
	}
	if _, _, n, is := TickNamed(TickName(TickRequest, "r", TickAnyway)); !is || n != TickAnyway {
		t.Error("the name of the tick that is never overtaken is not recognised")
	}
}

// Each thing that is wrong is told once, and nothing that follows from it.
func TestAFaultIsToldOnce(t *testing.T) {
	for data, want := range map[string]string{
		`{"requestId":"r","action":"stop","by":"a","reason":"x"}`:                     `action: "stop" is unknown; write pause, resume, approve, abort, retry or rollback`,
		`{"rolloutId":"1/f","action":"stop","by":"a","reason":"x","wave":1}`:          `action: "stop" is unknown; write pause, resume, approve, abort, retry or rollback`,
		`{"requestId":"r","action":"pause","by":"a","reason":"x"}`:                    `action: is not possible for a request; a request can be stopped (abort) or rolled back (rollback)`,
		`{"rolloutId":"1/f","action":"pause","by":"a","reason":"x","wave":1,"ba":[]}`: `wave: goes with approve only; take it out; ba: is not a field of this message; did you mean by?`,
	} {
		if _, err := ParseControl([]byte(data)); err == nil || err.Error() != want {
			t.Errorf("%s: got %v", data, err)
		}
	}
	for _, pair := range []string{`"regionId":"cn-hangzhou"`, `"imageId":"m-84mztzatmlnys0001"`, `"regionId":"cn-hangzhou","imageId":"m-84mztzatmlnys0001"`} {
		_, err := ParseRelease([]byte(`{"images":{"cn-hangzhou":"m-84mztzatmlnys0001"},` + pair + `}`))
		if err == nil || err.Error() != "images: stands beside regionId or imageId; use images, or the pair, not both" {
			t.Errorf("images beside %s: got %v", pair, err)
		}
	}
	for data, want := range map[string]string{
		`{"regionId":"cn-hangzhou","RegionId":"cn-beijing","DesktopId":["ecd-0001"]}`: "", `{"regionId":"cn-hangzhou","ImageId":"m-84mztzatmlnys0001"}`: "; desktopIds: is missing; list the desktops to rebuild",
	} {
		r, err := ParseRequest([]byte(data))
		if err == nil || !strings.HasSuffix(err.Error(), "; use one"+want) || r.RegionID != "cn-hangzhou" {
			t.Errorf("%s: got %v, and region %s", data, err, r.RegionID)
		}
	}
}

func TestARecordThatSaysTooLittleIsNone(t *testing.T) {
	for data, fails := range map[string]bool{
		`{"serviceName":"Ecd"}`: false, `{"eventName":"CreateImage"}`: false, `{}`: true, `{`: true, strings.Repeat(" ", MaxDocument+1): true,
	} {
		if got, relevant, err := ParseActionTrail([]byte(data)); relevant || (err != nil) != fails || got != (ImageEvent{}) {
			t.Errorf("%.40s: got %+v, %t, %v", data, got, relevant, err)
		}
	}
}

func TestWhatAControlIsFor(t *testing.T) {
	if kind, id := (Control{RequestID: "r"}).Of(); kind != TickRequest || id != "r" {
		t.Errorf("got %s %s", kind, id)
	}
	if kind, id := (Control{RolloutID: "1/f"}).Of(); kind != TickRollout || id != "1/f" {
		t.Errorf("got %s %s", kind, id)
	}
	if _, err := (Event{Type: TypeControl, Data: Control{RolloutID: "1/f"}}).Marshal(); err != nil {
		t.Errorf("a control that is sent: %v", err)
	}
}

func TestFaultsAreToldInOneLine(t *testing.T) {
	long := func(n int) Fault { return Fault{"a", strings.Repeat("x", n-len("a: "))} }
	for name, c := range map[string]struct {
		faults Faults
		want   string
	}{
		"one":                    {Faults{List: []Fault{{"", "whole"}}}, "whole"},
		"two":                    {Faults{List: []Fault{{"a", "x"}, {"b", "y"}}}, "a: x; b: y"},
		"and more":               {Faults{List: []Fault{{"a", "x"}}, More: 2}, "a: x; and 2 more"},
		"one that is long":       {Faults{List: []Fault{long(maxFaultText + 1)}}, long(maxFaultText + 1).String()},
		"two that just fit":      {Faults{List: []Fault{long(1000), long(maxFaultText - 1000)}}, long(1000).String() + "; " + long(maxFaultText-1000).String()},
		"the second is too long": {Faults{List: []Fault{long(1000), long(maxFaultText - 999)}, More: 3}, long(1000).String() + "; and 4 more"},
	} {
		if got := c.faults.Error(); got != c.want {
			t.Errorf("%s: got %.80q… of %d", name, got, len(got))
		}
	}
}

// dataOf returns what stands under data in the event as it travels.
func dataOf(t *testing.T, e Event) (doc map[string]any) {
	t.Helper()
	body, err := e.Marshal()
	if err != nil {
		t.Fatal(err)
	}
	var whole struct{ Data map[string]any }
	if err := json.Unmarshal(body, &whole); err != nil {
		t.Fatal(err)
	}
	return whole.Data
}

// Times travel in UTC and whole seconds, and texts are cut: the same happening is the same
// bytes, whoever tells it.
func TestTimesAndTextsTravelInOneForm(t *testing.T) {
	odd := time.Date(2026, 11, 30, 20, 0, 1, 999, time.FixedZone("", 8*3600))
	const want = "2026-11-30T12:00:01Z"
	long := strings.Repeat("x", MaxBytes)
	finished := dataOf(t, Finished{RequestID: "r", StartedAt: odd, FinishedAt: odd}.Event(source))
	if finished["startedAt"] != want || finished["finishedAt"] != want || fmt.Sprint(finished["statuses"]) != "map[]" {
		t.Errorf("a summary: got %v", finished)
	}
	outcome := dataOf(t, Outcome{Status: StatusFailed, Code: CodeCallFailed, Message: long, ECDRequestID: long, PreviousImageID: long, Until: &odd}.Event(source, at))
	if outcome["until"] != want || len(outcome["message"].(string)) != MaxMessage || len(outcome["ecdRequestId"].(string)) != maxForeign || len(outcome["previousImageId"].(string)) != maxForeign {
		t.Errorf("an outcome: got until %v, %d bytes", outcome["until"], len(outcome["message"].(string)))
	}
	reason := &Reason{Code: CodePaused, Message: long, Until: &odd}
	rollout := dataOf(t, Rollout{RolloutID: "1/f", Reason: reason}.Event(RolloutPaused, "", source, at))["reason"].(map[string]any)
	if rollout["until"] != want || len(rollout["message"].(string)) != MaxMessage || len(reason.Message) != len(long) {
		t.Errorf("a reason: got until %v, %d bytes", rollout["until"], len(rollout["message"].(string)))
	}
	via := Via{Door: long, Queue: long, Message: long, Source: long, RequestID: "r"}.Cut()
	if len(via.Door) != MaxVia || len(via.Queue) != MaxVia || len(via.Message) != MaxVia || len(via.Source) != MaxVia || via.RequestID != "r" {
		t.Errorf("a via: got %d, %d, %d, %d", len(via.Door), len(via.Queue), len(via.Message), len(via.Source))
	}
	if words := (Event{Type: TypeRefused, Data: NewRefused(long, "", nil)}).Unlisted(); len(words) != 1 || len(words[0]) != maxForeign {
		t.Errorf("a word that is no code: got %d words", len(words))
	}
	if head := NewRefused("", "", []byte("a\tb\nc\x00")).Head; head != "a\tb\nc\ufffd" {
		t.Errorf("the head of a message: got %q", head)
	}
}

// Two outcomes of one status are two happenings, and the first has the id that it always had.
func TestTheIDOfAnOutcomeCountsFromTheSecond(t *testing.T) {
	for n, want := range map[int]string{0: "r/d/deferred", 1: "r/d/deferred", 2: "r/d/deferred/2", 3: "r/d/deferred/3"} {
		if got := (Outcome{RequestID: "r", DesktopID: "d", Status: StatusDeferred, Nth: n}).ID(); got != want {
			t.Errorf("outcome %d: got %s", n, got)
		}
	}
}

func TestPagesOfAPlanShareNothing(t *testing.T) {
	long := strings.Repeat("x", 2*maxPlanMessage)
	p := planOf(1, 1000, "why")
	p.RolloutID, p.RequestID, p.Gates = "", "r", []string{long}
	pages := PlanPages(p)
	pages[0].Calls["RebuildDesktops"] = 7
	if len(pages) < 2 || pages[1].Calls["RebuildDesktops"] != 5 || p.Calls["RebuildDesktops"] != 5 {
		t.Errorf("got %v after another page was changed", pages[1].Calls)
	}
	if len(pages[0].Gates[0]) != maxPlanMessage || p.Gates[0] != long {
		t.Errorf("a sentence of %d bytes, and the plan's own is %d", len(pages[0].Gates[0]), len(p.Gates[0]))
	}
	if e := pages[1].Event(source, at); e.Subject != "r" || e.ID != "r/plan/"+pages[1].PlanDigest+"/2" {
		t.Errorf("got subject %q and id %q", e.Subject, e.ID)
	}
	if got := dataOf(t, PlanPages(Plan{RolloutID: "1/f"})[0].Event(source, at)); fmt.Sprint(got["calls"]) != "map[]" || fmt.Sprint(got["waves"]) != "[]" {
		t.Errorf("a plan of nothing: got %v", got)
	}
}

func TestLettersOfAnotherWidthEndWhereTheyEnd(t *testing.T) {
	for _, r := range "０５９ＡＭＺａｍｚ\U0001D400\U0001D500\U0001D7FF" {
		if got := lookalike("7" + string(r)); !strings.Contains(got, "another width") {
			t.Errorf("%U: got %q", r, got)
		}
	}
	for _, r := range "／：＠［｀｛\U0001D3FF\U0001D800" {
		if got := lookalike("7" + string(r)); got != "" {
			t.Errorf("%U: got %q", r, got)
		}
	}
	if got := lookalike("हिन्दी"); got != "" { // its marks are letters of their own
		t.Errorf("got %q", got)
	}
}

func TestWhatIsNearest(t *testing.T) {
	for name, c := range map[string]struct {
		known []string
		want  string
	}{
		"d_e_s_k_t_o_p_I_d_s":   {[]string{"desktopIds"}, "desktopIds"},
		"abcdxx":                {[]string{"abcd"}, "abcd"}, // two of four bytes, and no more than two
		"abxx":                  {[]string{"abc"}, ""},
		"abcdefxxx":             {[]string{"abcdef", "abcdefgxx"}, "abcdefgxx"},
		"abcxxx":                {[]string{"abcdef", "abcdefg"}, ""},
		strings.Repeat("a", 60): {[]string{strings.Repeat("a", 60)}, strings.Repeat("a", 60)},
		strings.Repeat("a", 61): {[]string{strings.Repeat("a", 61)}, ""},
	} {
		if got := Nearest(name, c.known); got != c.want {
			t.Errorf("%q: got %q, want %q", name, got, c.want)
		}
	}
	for _, c := range []struct {
		a, b string
		want int
	}{{"", "abc", 3}, {"abc", "", 3}, {"xxabc", "abc", 2}, {"abc", "abcxx", 2}, {"kitten", "sitting", 3}, {"same", "same", 0}} {
		if got := distance(c.a, c.b); got != c.want {
			t.Errorf("%q, %q: got %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
