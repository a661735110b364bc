package ecd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
)

// A call that may have been carried out is not made again, though its source has other
// credentials by now.
func TestOtherCredentialsAreNoReasonForASecondCall(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		code   string
		want   desktop.Delivery
	}{
		"something went wrong inside": {500, "InternalError", desktop.Unknown}, "no code that is listed": {400, "OperationDenied.X", desktop.Unknown},
		"it may not": {403, "Forbidden.RAM", desktop.Forbidden}, "refused": {400, "InvalidParameter", desktop.Refused},
		"not now": {400, "IncorrectDesktopStatus", desktop.Refused}, "too much under a status of its own": {418, "Throttling", desktop.Unknown},
	} {
		asked := 0
		s := serve(t, say(c.status, errorBody(c.code)))
		_, err := client(t, s, func(c *Config) {
			c.Keys = func(context.Context) (credentials.Keys, error) {
				asked++
				return credentials.Keys{ID: fmt.Sprintf("LTAI%d", asked), Secret: "s"}, nil
			}
			c.Rejected = func(k credentials.Keys) { t.Errorf("%s: %s is said not to be accepted", name, k.ID) }
		}).Rebuild(t.Context(), batch("ecd-1"))
		if s.calls() != 1 || asked != 1 || desktop.DeliveryOf(err) != c.want {
			t.Errorf("%s: %v after %d calls", name, err, s.calls())
		}
	}
}

// Credentials that ECD does not accept are told, and are what the call failed by if the
// source has no others.
func TestCredentialsThatAreNotAcceptedAreTold(t *testing.T) {
	s := serve(t, say(403, errorBody("InvalidSecurityToken.Expired")))
	var told []string
	asked := 0
	_, err := client(t, s, func(c *Config) {
		c.Keys = func(context.Context) (credentials.Keys, error) {
			if asked++; asked > 1 {
				return credentials.Keys{ID: "half"}, errors.New("no file")
			}
			return keys, nil
		}
		c.Rejected = func(k credentials.Keys) { told = append(told, k.ID) }
	}).Rebuild(t.Context(), batch("ecd-1"))
	e, ok := errors.AsType[*desktop.CallError](err)
	if !ok || e.Code != "InvalidSecurityToken.Expired" || !e.Credentials || s.calls() != 1 || !slices.Equal(told, []string{keys.ID}) {
		t.Errorf("got %v after %d calls, and %q told", err, s.calls(), told)
	}
}

// What keeps a call from being signed is about credentials, unless its source says that it
// was a call of its own that failed.
func TestAFailureOfTheSourceIsAboutCredentials(t *testing.T) {
	for want, source := range map[bool]error{true: errors.New("no file"), false: &desktop.CallError{Call: "AssumeRole", Delivery: desktop.Refused}} {
		s := serve(t, say(200, acknowledgement))
		_, err := client(t, s, func(c *Config) {
			c.Keys = func(context.Context) (credentials.Keys, error) { return credentials.Keys{}, source }
		}).Rebuild(t.Context(), batch("ecd-1"))
		if e, ok := errors.AsType[*desktop.CallError](err); !ok || e.Credentials != want || s.calls() > 0 {
			t.Errorf("%v: got %+v after %d calls", source, e, s.calls())
		}
	}
}

// What an answer is taken for, in the words of the adapters.
func TestWhatAVerdictMeans(t *testing.T) {
	type words struct {
		delivery               desktop.Delivery
		throttled, credentials bool
	}
	for v, want := range map[Verdict]words{
		Unknown: {desktop.Unknown, false, false}, Busy: {desktop.Unknown, true, false}, Done: {desktop.Unknown, false, false},
		Refused: {desktop.Refused, false, false}, NotYet: {desktop.Refused, false, false}, Throttled: {desktop.NotSent, true, false},
		Denied: {desktop.Forbidden, false, false}, Unsigned: {desktop.Forbidden, false, true},
	} {
		var got words
		if got.delivery, got.throttled, got.credentials = v.delivery(); got != want {
			t.Errorf("%s: got %+v, want %+v", v, got, want)
		}
	}
	if OfCall.String() != "call" || OfDesktop.String() != "desktop" {
		t.Errorf("the levels are called %q and %q", OfCall, OfDesktop)
	}
	for status, want := range map[int]bool{399: false, 400: true, 499: true, 500: false} {
		if got := unlisted("StopDesktops", status, "SomethingNew"); got != want {
			t.Errorf("a code that no page lists, with status %d: got %t", status, got)
		}
	}
}

// What every answer has is read where the rest cannot be: its code says what happened.
func TestACodeCountsThoughTheRestCannotBeRead(t *testing.T) {
	for name, c := range map[string]struct {
		status int
		body   string
		want   desktop.Delivery
		says   string
	}{
		"throttled": {400, `{"RequestId":"R","Code":"Throttling","RebuildResults":"none"}`, desktop.NotSent, "Throttling"},
		"refused":   {400, `{"RequestId":"R","Code":"InvalidParameter","RebuildResults":7}`, desktop.Refused, "InvalidParameter"},
		"a page":    {400, "<html>", desktop.Unknown, "unreadable answer with status 400"},
		"no code":   {400, `{"RequestId":"R"}`, desktop.Unknown, "status 400 without a code"},
		"signature": {400, errorBody("IncompleteSignature"), desktop.Forbidden, "ECD computed another signature"},
		"a message": {400, errorBody("InvalidParameter"), desktop.Refused, "the message"},
	} {
		_, err := client(t, serve(t, say(c.status, c.body))).Rebuild(t.Context(), batch("ecd-1"))
		if err == nil || desktop.DeliveryOf(err) != c.want || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if _, err := client(t, serve(t, say(200, "\r\n "+acknowledgement+"\n"))).Rebuild(t.Context(), batch("ecd-1")); err != nil {
		t.Errorf("space around an answer: %v", err)
	}
}

// Several results of one desktop count if they say the same, and for nothing once two differ.
func TestResultsOfOneDesktopCountIfTheyAgree(t *testing.T) {
	for codes, want := range map[string]string{
		"success,Success": "Success", "success,IncorrectDesktopStatus,IncorrectDesktopStatus": "", "IncorrectDesktopStatus,success,success": "",
		"success,,success": "success",
	} {
		var list []string
		for code := range strings.SplitSeq(codes, ",") {
			list = append(list, fmt.Sprintf(`{"DesktopId":"ecd-1","Code":%q}`, code))
		}
		s := serve(t, say(200, `{"RequestId":"R","RebuildResults":[`+strings.Join(list, ",")+`]}`))
		got, err := client(t, s).Rebuild(t.Context(), batch("ecd-1"))
		code := ""
		for _, r := range got.Results {
			code = r.Code
		}
		if err != nil || code != want || len(got.Results) > 1 {
			t.Errorf("%s: got %+v, %v", codes, got, err)
		}
	}
}

// Services are known to repeat credentials, also in what they say of a desktop.
func TestNoResultCarriesCredentials(t *testing.T) {
	s := serve(t, say(200, `{"RequestId":"R","RebuildResults":[{"DesktopId":"ecd-1","Code":"success","Message":"signed by LTAItest with CAIStoken"}]}`))
	got, err := client(t, s).Rebuild(t.Context(), batch("ecd-1"))
	if err != nil || len(got.Results) != 1 || strings.Contains(got.Results[0].Message, keys.ID) || strings.Contains(got.Results[0].Message, keys.Token) {
		t.Errorf("got %+v, %v", got, err)
	}
}

// What ECD has begun has an id: without one nobody could ask what became of it. Why a call
// failed stays what it was.
func TestWhatWasBegunHasAnID(t *testing.T) {
	calls := map[string]func(context.Context, *Client) error{
		"a command": func(ctx context.Context, c *Client) error {
			got, err := c.Run(ctx, region, []string{"ecd-1"}, "exit 0", "RunBatScript", time.Minute)
			if err != nil && len(got) > 0 {
				t.Errorf("ids of what was not started: %q", got)
			}
			return err
		},
		"a notice": func(ctx context.Context, c *Client) error {
			_, err := c.Tell(ctx, region, []string{"ecd-1"}, "", "hello")
			return err
		},
		"a snapshot": func(ctx context.Context, c *Client) error {
			_, err := c.CreateSnapshot(ctx, region, "ecd-1", "s")
			return err
		},
	}
	for name, call := range calls {
		for body, want := range map[string]desktop.Delivery{`{"RequestId":"R"}`: desktop.Unknown, errorBody("InvalidParameter"): desktop.Refused} {
			s := serve(t, say(map[bool]int{true: 200, false: 400}[want == desktop.Unknown], body))
			if err := call(t.Context(), client(t, s)); err == nil || desktop.DeliveryOf(err) != want || s.calls() != 1 {
				t.Errorf("%s: got %v after %d calls, want %v", name, err, s.calls(), want)
			}
		}
	}
}

func TestACommandMayBeAsLongAsIsAllowed(t *testing.T) {
	s := serve(t, say(200, acknowledgement))
	if _, err := client(t, s).Run(t.Context(), region, []string{"ecd-1"}, strings.Repeat("x", maxCommand/4*3), "RunBatScript", time.Minute); err != nil {
		t.Error(err)
	}
	if _, err := client(t, s).Run(t.Context(), region, []string{"ecd-1"}, strings.Repeat("x", maxCommand/4*3+1), "RunBatScript", time.Minute); err == nil {
		t.Error("a longer one is sent")
	}
}

func TestWhatACommandSaidIsCut(t *testing.T) {
	exact := strings.Repeat("!", maxOutput) // no Base64
	for name, c := range map[string]struct {
		encoded, reason text
		want            string
	}{
		"all of it": {text(exact), "", exact}, "too much": {text(exact + "!"), "", exact}, "with a reason besides": {"aGVsbG8=", "a reason", "hello"},
		"a reason alone": {"", "a\nreason", "a reason"}, "nothing": {"", "", ""},
	} {
		if got := output(c.encoded, c.reason); got != c.want {
			t.Errorf("%s: got %d bytes, %.20q", name, len(got), got)
		}
	}
}

func TestANoticeIsOneCommandForItsUser(t *testing.T) {
	for user, want := range map[string]string{"ann": "ann", "": ""} {
		s := serve(t, say(200, acknowledgement))
		got, err := client(t, s).Tell(t.Context(), region, []string{"ecd-1", "ecd-2", "ecd-1"}, user, "hello")
		if err != nil || !slices.Equal(got, []string{"t-1"}) || s.calls() != 1 {
			t.Fatalf("got %q, %v after %d calls", got, err, s.calls())
		}
		q := s.queries[0]
		if q.Get("EndUserId") != want || q.Has("EndUserId") != (want != "") || q.Get("DesktopId.2") != "ecd-2" || q.Has("DesktopId.3") || q.Get("Timeout") != "60" {
			t.Errorf("%q: got %v", user, q)
		}
	}
	s := serve(t, say(200, acknowledgement))
	if _, err := client(t, s).Tell(t.Context(), region, numbered(maxCommandIDs), "", "hello"); err != nil || s.calls() != 1 {
		t.Errorf("as many as are allowed: %v after %d calls", err, s.calls())
	}
	if _, err := client(t, s).Tell(t.Context(), region, numbered(maxCommandIDs+1), "", "hello"); desktop.DeliveryOf(err) != desktop.Refused || s.calls() != 1 {
		t.Errorf("more: got %v after %d calls, want it refused unsent", err, s.calls())
	}
}

// A filter that ECD does not keep to must not bring in desktops that nobody meant.
func TestWhatECDListsIsHeldAgainstTheSelector(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		if r.Header.Get("X-Acs-Action") == "ListTagResources" {
			say(200, `{"RequestId":"R","TagResources":[{"ResourceId":"ecd-1","TagKey":"ring","TagValue":"canary"},
				{"ResourceId":"ecd-3","TagKey":"ring","TagValue":"broad"},{"ResourceId":"ecd-other","TagKey":"ring","TagValue":"canary"},{"TagKey":"ring","TagValue":"canary"}]}`)(w, r, n)
			return
		}
		say(200, `{"RequestId":"R","Desktops":[{"DesktopId":"ecd-1","OfficeSiteId":"a","PolicyGroupId":"pg","PolicyGroupIdList":["other"],"ImageId":"m-1"},
			{"DesktopId":"ecd-2","OfficeSiteId":"b","PolicyGroupId":"pg","ImageId":"m-1"},{"DesktopId":"ecd-3","OfficeSiteId":"a","PolicyGroupIdList":["other"],"ImageId":"m-2"},
			{"OfficeSiteId":"a","PolicyGroupId":"pg","ImageId":"m-1"}]}`)(w, r, n)
	})
	c := client(t, s)
	for name, k := range map[string]struct {
		s    desktop.Selector
		want []string
	}{
		"all": {desktop.Selector{}, []string{"ecd-1", "ecd-2", "ecd-3"}}, "a site": {desktop.Selector{OfficeSiteIDs: []string{"a"}}, []string{"ecd-1", "ecd-3"}},
		"a policy": {desktop.Selector{PolicyGroupIDs: []string{"pg"}}, []string{"ecd-1", "ecd-2"}}, "an image": {desktop.Selector{ImageIDs: []string{"m-2"}}, []string{"ecd-3"}},
		"a tag": {desktop.Selector{Tags: map[string]string{"ring": "canary"}}, []string{"ecd-1"}}, "ids": {desktop.Selector{IDs: []string{"ecd-2"}}, []string{"ecd-2"}},
		"ids and a tag": {desktop.Selector{IDs: []string{"ecd-2", "ecd-3"}, Tags: map[string]string{"ring": ""}}, []string{"ecd-3"}},
	} {
		got, err := c.Select(t.Context(), region, k.s)
		if err != nil || !slices.Equal(ids(got), k.want) {
			t.Errorf("%s: got %v, %v", name, ids(got), err)
		}
	}
	tags, err := c.Tags(t.Context(), region, []string{"ecd-1", "ecd-2"})
	if want := map[string]map[string]string{"ecd-1": {"ring": "canary"}}; err != nil || !reflect.DeepEqual(tags, want) {
		t.Errorf("got tags %v, %v, want those that were asked for", tags, err)
	}
}

// ECD is asked to filter by as much as it surely takes.
func TestLongFiltersAreNotSent(t *testing.T) {
	for n, want := range map[int]int{0: 0, 1: 1, maxImageFilter: maxImageFilter, maxImageFilter + 1: 0} {
		s := serve(t, say(200, acknowledgement))
		if _, err := client(t, s).Select(t.Context(), region, desktop.Selector{ImageIDs: numbered(n)}); err != nil {
			t.Fatal(err)
		}
		if got := count(s, 0, "ImageId."); got != want {
			t.Errorf("%d images: asked to filter by %d", n, got)
		}
	}
	tags := map[string]string{}
	for _, key := range numbered(maxTagFilter + 1) {
		tags[key] = "v"
	}
	s := serve(t, say(200, acknowledgement))
	if _, err := client(t, s).Select(t.Context(), region, desktop.Selector{Tags: tags}); err != nil {
		t.Fatal(err)
	}
	if got := count(s, 0, "Tag."); got != 2*maxTagFilter {
		t.Errorf("asked to filter by %d keys and values", got)
	}
}

// count returns how many parameters of a call begin so.
func count(s *script, call int, prefix string) (n int) {
	for name := range s.queries[call] {
		if strings.HasPrefix(name, prefix) {
			n++
		}
	}
	return n
}

// A desktop whose only disk is that of the system has no data to lose; one of which no
// system disk is listed may have.
func TestDisksAreCounted(t *testing.T) {
	for name, c := range map[string]struct {
		disks     []*disk
		gib, data int
	}{
		"system":            {[]*disk{nil, {DiskType: "System", DiskSize: 80}}, 80, 0},
		"system and data":   {[]*disk{{DiskType: "SYSTEM", DiskSize: 80}, {DiskType: "DATA"}, {DiskType: "new"}}, 80, 2},
		"no system":         {[]*disk{{DiskType: "DATA"}, {DiskType: "DATA"}}, 0, 2},
		"nothing is listed": {nil, 0, 1},
	} {
		if gib, data := disks(c.disks); gib != c.gib || data != c.data {
			t.Errorf("%s: got %d, %d", name, gib, data)
		}
	}
}

func TestOddFieldsAreRead(t *testing.T) {
	for given, want := range map[string]number{
		`80`: 80, `"80"`: 80, `" 0.5 "`: .5, `true`: 1, `"TRUE"`: 1, `false`: 0, `null`: 0, `"many"`: 0, `"NaN"`: 0, `"1e400"`: 0, `-2147483648`: -1 << 31, `-2147483649`: 0,
		`2147483648`: 1 << 31, `2147483649`: 0,
	} {
		got := number(7)
		if err := json.Unmarshal([]byte(given), &got); err != nil || got != want {
			t.Errorf("number %s: got %v, %v", given, got, err)
		}
	}
	for given, want := range map[string]text{`"a"`: "a", `"\u0041b"`: "Ab", `"a\nb"`: "a\nb", "\"a\xff\"": "a\uFFFD", `7`: "7", `null`: "", `true`: "true"} {
		var got text
		if err := json.Unmarshal([]byte(given), &got); err != nil || got != want {
			t.Errorf("text %s: got %q, %v", given, got, err)
		}
	}
	for given, want := range map[string]texts{
		`[]`: {}, `[""]`: {""}, `["a"]`: {"a"}, `["a","b"]`: {"a", "b"}, `["a",""]`: {"a", ""}, `["",""]`: {"", ""}, `[null]`: {}, `[null,"a"]`: {"a"}, `[7]`: {"7"}, `["\""]`: {`"`},
		`["\u0041"]`: {"A"}, `[ "a" ]`: {"a"}, `[7,"a"]`: {"7", "a"},
	} {
		var got texts
		if err := json.Unmarshal([]byte(given), &got); err != nil || !slices.Equal(got, want) {
			t.Errorf("texts %s: got %q, %v", given, got, err)
		}
	}
	for _, given := range []string{`"a"`, `{"":""}`, `7`} {
		if got := (texts{}); json.Unmarshal([]byte(given), &got) == nil {
			t.Errorf("texts %s: got %q", given, got)
		}
	}
	got := list[int]{} // the last of a name that comes twice
	for _, c := range []struct {
		given string
		want  list[int]
	}{{`[1,null,2]`, list[int]{1, 2}}, {`[3]`, list[int]{3}}, {`[]`, nil}} {
		if err := json.Unmarshal([]byte(c.given), &got); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("list %s: got %v, %v", c.given, got, err)
		}
	}
}

// An event that names no desktop, no time or nothing that is known proves nothing.
func TestOddEventsAreLeftOut(t *testing.T) {
	const whole = `{"DesktopId":"ecd-1","EndUserId":"ann","EventType":"DESKTOP_CONNECT","EventTime":"2026-11-23T08:00:00Z"}`
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		token := map[bool]string{true: "next", false: ""}[r.URL.Query().Get("NextToken") == ""]
		say(200, fmt.Sprintf(`{"RequestId":"R","NextToken":%q,"Events":[%s,%s,%s,%s]}`, token, whole, strings.Replace(whole, "ecd-1", "", 1),
			strings.Replace(whole, "DESKTOP_CONNECT", "OTHER", 1), strings.Replace(whole, "2026-11-23T08:00:00Z", "", 1)))(w, r, n)
	})
	got, err := client(t, s).Events(t.Context(), region, "", time.Now(), time.Now())
	one := desktop.Event{DesktopID: "ecd-1", User: "ann", Kind: desktop.ConnectDone, At: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)}
	if err != nil || !slices.Equal(got, []desktop.Event{one, one}) || s.calls() != 2 {
		t.Errorf("got %+v, %v after %d calls, want one of each page", got, err, s.calls())
	}
}

func TestInvocationsAreReadToTheirEnd(t *testing.T) {
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		token := map[bool]string{true: "next", false: ""}[r.URL.Query().Get("NextToken") == ""]
		say(200, fmt.Sprintf(`{"RequestId":"R","NextToken":%q,"Invocations":[{"InvokeDesktops":[{"DesktopId":"ecd-%d"}]}]}`, token, n))(w, r, n)
	})
	got, err := client(t, s).Invocations(t.Context(), region, "t-1")
	if err != nil || len(got) != 2 || got[1].DesktopID != "ecd-2" {
		t.Errorf("got %+v, %v", got, err)
	}
}

// Few desktops are asked for their snapshots one by one, more by one listing of the region;
// and a snapshot of another desktop is nobody's.
func TestSnapshotsAreThoseOfTheDesktopsThatWereAskedFor(t *testing.T) {
	const all = `{"RequestId":"R","Snapshots":[{"SnapshotId":"s-1","DesktopId":"ecd-0001"},{"SnapshotId":"s-2"},{"SnapshotId":"s-3","DesktopId":"other"}]}`
	for name, c := range map[string]struct {
		ids               []string
		calls, one, found int
	}{
		"one":      {[]string{"ecd-0001", "ecd-0001", ""}, 1, 2, 2},
		"few":      {numbered(fewSnapshots), fewSnapshots, 2, fewSnapshots + 1}, // one without a desktop is that of who was asked for
		"too many": {numbered(fewSnapshots + 1), 1, 1, 1},
	} {
		s := serve(t, say(200, all))
		got, err := client(t, s).Snapshots(t.Context(), region, c.ids)
		found := 0
		for _, list := range got {
			found += len(list)
		}
		if err != nil || s.calls() != c.calls || len(got["ecd-0001"]) != c.one || found != c.found {
			t.Errorf("%s: got %+v, %v after %d calls", name, got["ecd-0001"], err, s.calls())
		}
		for _, q := range s.queries {
			if q.Has("DesktopId") != (c.calls == len(distinct(c.ids))) {
				t.Errorf("%s: asked for %v", name, q)
			}
		}
	}
}

func TestIDsAreAskedForOnce(t *testing.T) {
	twice := []string{"ecd-1", "ecd-1", ""}
	for name, call := range map[string]func(context.Context, *Client) error{
		"images": func(ctx context.Context, c *Client) error { _, err := c.Images(ctx, region, twice); return err },
		"sessions": func(ctx context.Context, c *Client) error {
			_, err := c.Sessions(ctx, region, twice, time.Time{})
			return err
		},
	} {
		s := serve(t, say(200, acknowledgement))
		if err := call(t.Context(), client(t, s)); err != nil || count(s, 0, "DesktopId.")+count(s, 0, "ImageId.") != 1 {
			t.Errorf("%s: asked for %v, %v", name, s.queries[0], err)
		}
	}
}

func TestAllImagesOfARegionAreListed(t *testing.T) {
	got, err := client(t, serve(t, paged(3))).AllImages(t.Context(), region)
	if err != nil || len(got) != 3 || got[0].ID != "ecd-0000" || got[2].ID != "ecd-0002" {
		t.Errorf("got %+v, %v", got, err)
	}
	if got, err := client(t, serve(t, say(400, errorBody("InvalidParameter")))).AllImages(t.Context(), region); err == nil || got != nil {
		t.Errorf("got %+v and no error", got)
	}
}

func TestNewNamesEachFault(t *testing.T) {
	for want, cfg := range map[string]Config{
		"timeout": {RebuildTimeout: -1}, "a timeout": {CallTimeout: -1}, "concurrency": {ReadConcurrency: -1}, "a concurrency": {Concurrency: -1},
	} {
		cfg.Keys = constantKeys
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: got %v", cfg, err)
		}
	}
	if _, err := New(Config{Keys: constantKeys}); err != nil {
		t.Error(err)
	}
}

// An instance that may have been frozen uses no connection of before.
func TestAfterRenewACallUsesAnotherConnection(t *testing.T) {
	from := map[string]bool{}
	s := serve(t, func(w http.ResponseWriter, r *http.Request, n int) {
		from[r.RemoteAddr] = true
		say(200, acknowledgement)(w, r, n)
	})
	c := client(t, s)
	for n := range 4 {
		if err := c.Start(t.Context(), region, []string{"ecd-1"}); err != nil {
			t.Fatal(err)
		}
		if n == 1 {
			c.Renew()
		}
	}
	if len(from) != 2 {
		t.Errorf("got %d connections, want 2", len(from))
	}
}

// linesOf is a journal in memory that takes a second for a line.
type linesOf struct {
	mu    sync.Mutex
	lines []string
}

func (l *linesOf) Read(context.Context, string, int64) ([]byte, int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return nil, int64(len(l.lines)), nil
}

func (l *linesOf) Append(_ context.Context, _ string, at int64, lines []byte) (int64, error) {
	<-time.After(time.Second)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(lines))
	return at + int64(len(lines)), nil
}

// At the end of an invocation others may have the lease at once, and this one goes on later.
func TestLeasesAreReleased(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log linesOf
		c, err := New(Config{Keys: constantKeys, Lease: func(region string) *pace.Lease {
			return pace.NewLease(&log, region, "me", func(place, _ string) string { return place }, nil)
		}})
		if err != nil {
			t.Fatal(err)
		}
		change := c.in(region).changes.Limit
		for range 2 {
			var slots []pace.Slot
			for range fewChanges + 1 {
				slot, err := change.Acquire(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				slots = append(slots, slot)
			}
			for _, slot := range slots {
				slot.Release(nil)
			}
			c.ReleaseLeases(t.Context())
			if n := len(log.lines); n == 0 || n%2 == 1 || strings.Contains(log.lines[n-1], `"until"`) {
				t.Errorf("the lease was not given back: %q", log.lines)
			}
		}
		plain, err := New(Config{Keys: constantKeys})
		if err != nil {
			t.Fatal(err)
		}
		_ = plain.in(region)
		plain.ReleaseLeases(t.Context())
	})
}
