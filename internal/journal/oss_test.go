package journal_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/oss"
)

var key = journal.Key("request", "r-1")

// lost are the ways in which an append is carried out and its answer is lost.
var lost = map[string]fault.Rule{
	"the connection is closed":         {Kind: fault.CloseAfter},
	"a 500 is answered":                {Kind: fault.ErrorAfter},
	"an empty 200 is answered":         {Kind: fault.EmptyAfter},
	"an empty 502 is answered":         {Kind: fault.EmptyAfter, Status: 502},
	"a refusal without a code arrives": {Kind: fault.EmptyAfter, Status: 403},
}

func TestAnAppendWhoseAnswerIsLostIsSettledAsWritten(t *testing.T) {
	for name, rule := range lost {
		for _, times := range []int{1, 0} { // 0: each answer is lost, only reading works
			t.Run(fmt.Sprintf("%s, %d times", name, times), func(t *testing.T) {
				c := newCloud(t)
				s := c.open(t)
				mustAppend(t, s, 0, "first\n")
				rule.Operation, rule.Times = "AppendObject", times
				c.faults.Add(rule)
				if got := mustAppend(t, s, 6, "second\n"); got != 13 {
					t.Errorf("length: got %d, want 13", got)
				}
				if got, _ := c.Object(bucket, object(key)); string(got) != "first\nsecond\n" {
					t.Errorf("the object: got %q, want each line once", got)
				}
			})
		}
	}
}

func TestAnAppendThatIsAnsweredTooLateIsSettledAsWritten(t *testing.T) {
	c := newCloud(t)
	o := c.options()
	o.Timeout = time.Second // of the first attempt; the others need a hundredth of it
	s, err := journal.Open("oss://"+bucket+"/regild/prod", o)
	if err != nil {
		t.Fatal(err)
	}
	c.faults.Add(fault.Rule{Operation: "AppendObject", Kind: fault.SlowAfter, Delay: time.Hour, Times: 1})
	mustAppend(t, s, 0, "first\n")
	if n := c.faults.Count("oss", "AppendObject"); n < 2 {
		t.Errorf("attempts: got %d, want at least 2", n)
	}
}

func TestAnAppendThatWasCertainlyNotSentSaysSo(t *testing.T) {
	c := newCloud(t)
	c.faults.Add(fault.Rule{Operation: "AppendObject", Kind: fault.Throttle})
	_, err := c.open(t).Append(t.Context(), key, 0, []byte("first\n"))
	call, ok := errors.AsType[*desktop.CallError](err)
	if !ok || call.Delivery != desktop.NotSent || !call.Throttled || call.Code != "QpsLimitExceeded" || errors.Is(err, journal.ErrUnsettled) {
		t.Errorf("throttled: got %v, want not sent, throttled, with OSS's code", err)
	}
	if n := c.faults.Count("oss", "AppendObject"); n != 4 {
		t.Errorf("attempts: got %d, want 4", n)
	}

	closed := httptest.NewServer(http.NotFoundHandler())
	closed.Close()
	o := c.options()
	o.OSSEndpoint = closed.URL
	s, err := journal.Open("oss://"+bucket, o)
	if err != nil {
		t.Fatal(err)
	}
	_, err = s.Append(t.Context(), key, 0, []byte("first\n"))
	if desktop.DeliveryOf(err) != desktop.NotSent || errors.Is(err, journal.ErrUnsettled) {
		t.Errorf("nobody listens: got %v, want not sent", err)
	}
}

func TestAnAppendOfWhichNothingIsKnownSaysUnsettled(t *testing.T) {
	c := newCloud(t)
	c.faults.Add(fault.Rule{Operation: "AppendObject", Kind: fault.CloseBefore})
	if _, err := c.open(t).Append(t.Context(), key, 0, []byte("first\n")); !errors.Is(err, journal.ErrUnsettled) {
		t.Errorf("with nothing there: got %v, want ErrUnsettled", err)
	}
	c = newCloud(t)
	c.faults.Add(fault.Rule{Kind: fault.CloseAfter})
	if _, err := c.open(t).Append(t.Context(), key, 0, []byte("first\n")); !errors.Is(err, journal.ErrUnsettled) {
		t.Errorf("with no way to read: got %v, want ErrUnsettled", err)
	}
}

// Nobody has the position of a log that is gone, and the append may be on its way.
func TestALostAppendToALogThatIsGoneSaysUnsettled(t *testing.T) {
	c := newCloud(t)
	s := c.open(t)
	mustAppend(t, s, 0, "first\n")
	c.faults.Add(fault.Rule{Operation: "AppendObject", Kind: fault.CloseBefore})
	c.Remove(bucket, object(key))
	if _, err := s.Append(t.Context(), key, 6, []byte("second\n")); !errors.Is(err, journal.ErrUnsettled) || errors.Is(err, journal.ErrMoved) {
		t.Errorf("got %v, want ErrUnsettled", err)
	}
}

func TestALostAppendWhosePositionAnotherHasTakenHasMoved(t *testing.T) {
	c := newCloud(t)
	s := c.open(t)
	c.faults.Add(fault.Rule{Operation: "AppendObject", Kind: fault.CloseBefore, Times: 1})
	c.faults.Observe(func(p fault.Point) {
		// The first attempt is lost on its way there; before the second arrives,
		// another instance is faster.
		if p.Operation == "AppendObject" && p.N == 2 && p.Phase == fault.Received {
			c.Server.Append(bucket, object(key), []byte("other\n"))
		}
	})
	if _, err := s.Append(t.Context(), key, 0, []byte("ours\n")); !errors.Is(err, journal.ErrMoved) {
		t.Errorf("got %v, want ErrMoved", err)
	}
	if got, _ := c.Object(bucket, object(key)); string(got) != "other\n" {
		t.Errorf("the object: got %q, want the other's line", got)
	}
}

func TestAnEmptyAnswerIsNeverAnEmptyLogOrListing(t *testing.T) {
	for _, rule := range []fault.Rule{
		{Kind: fault.EmptyAfter, Status: 200}, {Kind: fault.Truncate}, {Kind: fault.EmptyAfter, Status: 404}, {Kind: fault.HTML, Status: 404},
	} {
		for _, times := range []int{1, 0} {
			t.Run(fmt.Sprintf("%s %d, %d times", rule.Kind, rule.Status, times), func(t *testing.T) {
				c := newCloud(t)
				s := c.open(t)
				mustAppend(t, s, 0, "first\n")
				for _, op := range []string{"GetObject", "ListObjectsV2"} {
					rule.Operation, rule.Times = op, times
					c.faults.Add(rule)
				}
				lines, _, err := s.Read(t.Context(), key, 0)
				if (times == 1) != (err == nil) || err == nil && string(lines) != "first\n" {
					t.Errorf("reading: got %q, %v", lines, err)
				}
				keys, err := s.Keys(t.Context(), "")
				if (times == 1) != (err == nil) || err == nil && len(keys) != 1 {
					t.Errorf("listing: got %q, %v", keys, err)
				}
			})
		}
	}
}

func TestRefusedCredentialsAreForbiddenAndNotTriedAgain(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*cloud, *journal.Options)
		code   string
	}{
		"a wrong secret":            {func(c *cloud, _ *journal.Options) { c.keys.Secret = "wrong-secret" }, "SignatureDoesNotMatch"},
		"an unknown id":             {func(c *cloud, _ *journal.Options) { c.keys.ID = "unknown" }, "InvalidAccessKeyId"},
		"a token that is not known": {func(c *cloud, _ *journal.Options) { c.keys.Token = "wrong-token" }, "InvalidSecurityToken"},
		"no right": {func(c *cloud, _ *journal.Options) {
			c.faults.Add(fault.Rule{Kind: fault.Error, Status: 403, Code: "AccessDenied"})
		}, "AccessDenied"},
		"a wrong clock": {func(c *cloud, _ *journal.Options) {
			c.faults.Add(fault.Rule{Kind: fault.Error, Status: 403, Code: "RequestTimeTooSkewed"})
		}, "RequestTimeTooSkewed"},
		"no credentials": {func(c *cloud, _ *journal.Options) { c.keys = credentials.Keys{} }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			o := c.options()
			test.change(c, &o)
			s, err := journal.Open("oss://"+bucket, o)
			if err != nil {
				t.Fatal(err)
			}
			_, readErr := func() (int64, error) { _, n, err := s.Read(t.Context(), key, 0); return n, err }()
			_, appendErr := s.Append(t.Context(), key, 0, []byte("first\n"))
			_, listErr := s.Keys(t.Context(), "")
			for _, err := range []error{readErr, appendErr, listErr} {
				call, ok := errors.AsType[*desktop.CallError](err)
				if !ok || call.Delivery != desktop.Forbidden || call.Code != test.code || errors.Is(err, journal.ErrUnsettled) {
					t.Errorf("got %v, want forbidden with code %q", err, test.code)
				}
				for _, secret := range []string{"secret-of-the-key", "wrong-secret", "wrong-token"} {
					if strings.Contains(fmt.Sprintf("%v %+v", err, err), secret) {
						t.Errorf("the error tells a secret: %v", err)
					}
				}
			}
			want := 1
			if test.code == "" {
				want = 0 // nothing is sent unsigned
				if !errors.Is(appendErr, credentials.ErrNone) {
					t.Errorf("got %v, want credentials.ErrNone", appendErr)
				}
			}
			if n := c.faults.Count("oss", "AppendObject"); n != want {
				t.Errorf("attempts: got %d, want %d", n, want)
			}
		})
	}
}

func TestCredentialsAreAskedForAtEachCall(t *testing.T) {
	c := newCloud(t)
	s := c.open(t)
	at := int64(0)
	for n := range 3 {
		c.keys = credentials.Keys{ID: fmt.Sprintf("STS.%d", n), Secret: fmt.Sprint("secret", n), Token: fmt.Sprint("token", n)}
		c.SetKeys(oss.Keys{ID: c.keys.ID, Secret: c.keys.Secret, Token: c.keys.Token})
		at = mustAppend(t, s, at, "line\n")
	}
}

func TestWhatTheRequestGotWrongIsRefusedAndNotTriedAgain(t *testing.T) {
	c := newCloud(t)
	s, err := journal.Open("oss://no-such-bucket", c.options())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Read(t.Context(), key, 0); desktop.DeliveryOf(err) != desktop.Refused || !strings.Contains(err.Error(), "NoSuchBucket") {
		t.Errorf("reading in a bucket that is not there: got %v, want NoSuchBucket", err)
	}
	if _, err := s.Append(t.Context(), key, 0, []byte("a\n")); desktop.DeliveryOf(err) != desktop.Refused {
		t.Errorf("appending in a bucket that is not there: got %v, want NoSuchBucket", err)
	}
	o := c.options()
	o.Region = "cn-shanghai"
	if s, err = journal.Open("oss://"+bucket, o); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Read(t.Context(), key, 0); desktop.DeliveryOf(err) != desktop.Refused {
		t.Errorf("signing for another region: got %v, want refused", err)
	}
	if n := c.faults.Count("oss", "GetObject"); n != 2 {
		t.Errorf("attempts: got %d, want 2", n)
	}
}

func TestAnObjectThatIsNoLogIsDamaged(t *testing.T) {
	for name, data := range map[string]string{
		"an incomplete line": "first\nsec", "a NUL": "first\nse\x00cond\n", "an empty line": "first\n\n",
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			s := c.open(t)
			c.Server.Append(bucket, object(key), []byte(data))
			if _, err := s.Append(t.Context(), key, 6, []byte("x\n")); !errors.Is(err, journal.ErrDamaged) {
				t.Errorf("appending: got %v, want ErrDamaged", err)
			}
			lines, length, err := s.Read(t.Context(), key, 0)
			if !errors.Is(err, journal.ErrDamaged) && (err != nil || string(lines) != "first\n" || length != 6) {
				t.Errorf("reading: got %q, %d, %v; want ErrDamaged or only what is complete", lines, length, err)
			}
			if got, _ := c.Object(bucket, object(key)); string(got) != data {
				t.Errorf("the object: got %q, want %q untouched", got, data)
			}
		})
	}
	t.Run("not made by appending", func(t *testing.T) {
		c := newCloud(t)
		c.Put(bucket, object(key), []byte("first\n"))
		_, err := c.open(t).Append(t.Context(), key, 6, []byte("x\n"))
		if !errors.Is(err, journal.ErrDamaged) || !strings.Contains(err.Error(), "ObjectNotAppendable") {
			t.Errorf("got %v, want ErrDamaged that names OSS's code", err)
		}
	})
}

func TestABucketInWhichNoLogCanBeKeptIsNamedByWhatIsWrongWithIt(t *testing.T) {
	for name, test := range map[string]struct {
		spoil      func(*cloud)
		code, want string
	}{
		"under WORM": {func(c *cloud) { c.SetBucket(bucket, oss.BucketSettings{RetentionDays: 1}) }, "FileImmutable", "the bucket has a retention policy (WORM)"},
		"archived":   {func(c *cloud) { c.Archive(bucket, object(key), "Archive") }, "InvalidObjectState", "the log has been archived"},
	} {
		t.Run(name, func(t *testing.T) {
			c := newCloud(t)
			s := c.open(t)
			at := mustAppend(t, s, 0, "first\n")
			test.spoil(c)
			_, _, err := s.Read(t.Context(), key, 0)
			if err == nil { // a log under WORM can be read
				_, err = s.Append(t.Context(), key, at, []byte("second\n"))
			}
			call, ok := errors.AsType[*desktop.CallError](err)
			if !ok || call.Delivery != desktop.Refused || call.Code != test.code || errors.Is(err, journal.ErrUnsettled) {
				t.Errorf("got %v, want a refusal with code %s", err, test.code)
			}
			if !strings.Contains(err.Error(), test.want) || !strings.Contains(err.Error(), "keep the journal in a bucket") {
				t.Errorf("got %v, want it to say: %s", err, test.want)
			}
			if n := c.faults.Count("oss", "AppendObject") + c.faults.Count("oss", "GetObject"); n > 3 {
				t.Errorf("calls: got %d, want no second attempt", n)
			}
		})
	}
}

// In a bucket of an archive class a log was begun that could not be read: a
// rebuild was called for, and nothing of it was ever heard.
func TestALogIsReadableWhateverClassItsBucketHas(t *testing.T) {
	for _, class := range []string{"IA", "Archive", "ColdArchive"} {
		c := newCloud(t)
		c.SetBucket(bucket, oss.BucketSettings{StorageClass: class})
		s := c.open(t)
		mustAppend(t, s, mustAppend(t, s, 0, "first\n"), "second\n")
		if lines, _, err := s.Read(t.Context(), key, 0); string(lines) != "first\nsecond\n" || err != nil {
			t.Errorf("in a bucket of class %s: got %q, %v", class, lines, err)
		}
	}
}

func TestALogInAVersionedBucketIsALogLikeAnyOther(t *testing.T) {
	for _, versioning := range []string{"Enabled", "Suspended"} {
		t.Run(versioning, func(t *testing.T) {
			c := newCloud(t)
			c.SetBucket(bucket, oss.BucketSettings{Versioning: versioning})
			s := c.open(t)
			mustAppend(t, s, mustAppend(t, s, 0, "first\n"), "second\n")
			if lines, _, err := s.Read(t.Context(), key, 0); string(lines) != "first\nsecond\n" || err != nil {
				t.Errorf("reading: got %q, %v", lines, err)
			}
			// A lifecycle rule removes it: what remains are a delete marker and a past version.
			c.Remove(bucket, object(key))
			if lines, length, err := s.Read(t.Context(), key, 0); lines != nil || length != 0 || err != nil {
				t.Errorf("reading what is gone: got %q, %d, %v; want an empty log", lines, length, err)
			}
			if _, _, err := s.Read(t.Context(), key, 13); !errors.Is(err, journal.ErrShrunk) {
				t.Errorf("reading on: got %v, want ErrShrunk", err)
			}
			if keys, err := s.Keys(t.Context(), ""); len(keys) != 0 || err != nil {
				t.Errorf("listing: got %q, %v; want none", keys, err)
			}
			mustAppend(t, s, 0, "anew\n")
		})
	}
}

func TestARenewedStoreUsesNoConnectionFromBefore(t *testing.T) {
	c := newCloud(t)
	var clients []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		clients = append(clients, r.RemoteAddr)
		c.Handler().ServeHTTP(w, r)
	}))
	defer server.Close()
	c.url = server.URL
	s := c.open(t)
	at := mustAppend(t, s, 0, "first\n")
	at = mustAppend(t, s, at, "second\n")
	journal.Renew(s)
	mustAppend(t, s, at, "third\n")
	if clients[0] != clients[1] || clients[1] == clients[2] {
		t.Errorf("connections of three appends, the last after a renewal: got %q", clients)
	}
	journal.Renew(journaltest.Memory()) // which has none
}

func TestReadingOnAsksOnlyForWhatIsNew(t *testing.T) {
	c := newCloud(t)
	var sent []int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.Handler().ServeHTTP(&counted{ResponseWriter: w, r: r, sent: &sent}, r)
	}))
	defer server.Close()
	c.url = server.URL
	s := c.open(t)
	at := mustAppend(t, s, 0, strings.Repeat("a long line\n", 1000))
	end := mustAppend(t, s, at, "new\n")
	if lines, length, err := s.Read(t.Context(), key, at); string(lines) != "new\n" || length != end || err != nil {
		t.Errorf("reading on: got %q, %d, %v", lines, length, err)
	}
	if _, length, err := s.Read(t.Context(), key, end); length != end || err != nil {
		t.Errorf("reading at the end: got %d, %v", length, err)
	}
	// One byte more than is new: the newline before it.
	if want := []int64{5, 1}; fmt.Sprint(sent) != fmt.Sprint(want) {
		t.Errorf("bytes sent: got %d, want %d", sent, want)
	}
}

// counted notes how many bytes of objects are sent.
type counted struct {
	http.ResponseWriter
	r    *http.Request
	sent *[]int64
}

func (c *counted) Write(p []byte) (int, error) {
	if c.r.Method == http.MethodGet {
		*c.sent = append(*c.sent, int64(len(p)))
	}
	return c.ResponseWriter.Write(p)
}

func TestKeysAreListedOverManyPagesAmongForeignObjects(t *testing.T) {
	c := newCloud(t)
	s := c.open(t)
	const n = 1100
	for i := range n {
		c.Put(bucket, object(journal.Key("request", fmt.Sprintf("%04d", i))), []byte("a\n"))
	}
	c.Put(bucket, "regild/prod/request/not a log.txt", nil)
	c.Put(bucket, "regild/prod/request/", nil)
	c.Put(bucket, "other/request/0001.jsonl", nil)
	keys, err := s.Keys(t.Context(), "request/")
	if err != nil || len(keys) != n || keys[n-1] != journal.Key("request", "1099") {
		t.Errorf("got %d keys, %v; want %d", len(keys), err, n)
	}
	if got := c.faults.Count("oss", "ListObjectsV2"); got != 2 {
		t.Errorf("pages: got %d, want 2", got)
	}
}

func TestACallEndsWithItsContext(t *testing.T) {
	c := newCloud(t)
	s := c.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	c.faults.Add(fault.Rule{Operation: "AppendObject", Kind: fault.SlowAfter, Delay: time.Hour})
	c.faults.Observe(func(p fault.Point) {
		if p.Phase == fault.Done {
			cancel()
		}
	})
	_, err := s.Append(ctx, key, 0, []byte("first\n"))
	if !errors.Is(err, journal.ErrUnsettled) || !errors.Is(err, context.Canceled) {
		t.Errorf("got %v, want ErrUnsettled and context.Canceled", err)
	}
	if n := c.faults.Count("oss", "AppendObject"); n != 1 {
		t.Errorf("attempts: got %d, want 1", n)
	}
}

func mustAppend(t *testing.T, s journal.Store, at int64, lines string) int64 {
	t.Helper()
	length, err := s.Append(t.Context(), key, at, []byte(lines))
	if err != nil {
		t.Fatalf("appending at %d: %v", at, err)
	}
	return length
}

// The first attempt was carried out and its answer lost, the others were refused
// for their number: that the first may be there must not be forgotten.
func TestAnAppendThatIsThrottledAfterALostOneIsSettled(t *testing.T) {
	c := newCloud(t)
	s := c.open(t)
	c.faults.Add(fault.Rule{Operation: "AppendObject", Kind: fault.CloseAfter, Times: 1})
	c.faults.Observe(func(p fault.Point) {
		if p.Operation == "AppendObject" && p.N == 1 && p.Phase == fault.Done {
			c.faults.Add(fault.Rule{Operation: "AppendObject", Kind: fault.Throttle})
		}
	})
	if length, err := s.Append(t.Context(), key, 0, []byte("ours\n")); length != 5 || err != nil {
		t.Errorf("got %d, %v, want that it is there", length, err)
	}
}

func TestWhatTheSourceOfCredentialsSaysIsTold(t *testing.T) {
	c := newCloud(t)
	o := c.options()
	why := errors.New("the vault is sealed")
	o.Keys = func(context.Context) (credentials.Keys, error) { return credentials.Keys{}, why }
	s, err := journal.Open("oss://"+bucket, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Read(t.Context(), key, 0); !errors.Is(err, why) || desktop.DeliveryOf(err) != desktop.NotSent {
		t.Errorf("got %v, want %v, and that nothing was sent", err, why)
	}
}

func TestAPartOfAListingLeavesOutWhatIsNoLog(t *testing.T) {
	c := newCloud(t)
	s := c.open(t)
	entry := journal.OpenKey("r1")
	c.Put(bucket, object(entry), []byte("a\n"))
	c.Put(bucket, "regild/prod/open/not a log.txt", nil)
	if keys, err := s.Some(t.Context(), journal.OpenPrefix, "", 10); err != nil || len(keys) != 1 || keys[0] != entry {
		t.Errorf("got %q, %v, want %s alone", keys, err, entry)
	}
}

// A whole object is a legal answer to who asks for its end.
func TestTheEndOfALogIsReadFromAWholeOne(t *testing.T) {
	c := newCloud(t)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Header.Del("Range")
		c.Handler().ServeHTTP(w, r)
	}))
	defer server.Close()
	c.url = server.URL
	s := c.open(t)
	mustAppend(t, s, 0, "first\nsecond\n")
	if got, err := journal.Tail(t.Context(), s, key, 7); err != nil || string(got) != "first\nsecond\n" {
		t.Errorf("got %q, %v, want all of it", got, err)
	}
}

// Whatever says that it is the end of a log and is not is no end of it.
func TestAnotherRangeThanTheEndIsRefused(t *testing.T) {
	c := newCloud(t)
	answer := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet || answer == "" {
			c.Handler().ServeHTTP(w, r)
			return
		}
		w.Header().Set("ETag", `"e"`)
		w.Header().Set("Content-Range", answer)
		w.WriteHeader(http.StatusPartialContent)
		_, _ = w.Write([]byte("second\n"))
	}))
	defer server.Close()
	c.url = server.URL
	s := c.open(t)
	mustAppend(t, s, 0, "first\nsecond\n")
	for content, want := range map[string]string{
		"bytes 6-12/13": "", "bytes 0-6/7": "second\n", // the first line may lack its beginning, unless it is all
		"bytes 6-12/14": "refused", "bytes 5-12/13": "refused", "": "",
	} {
		answer = content
		got, err := journal.Tail(t.Context(), s, key, 7)
		if (err != nil) != (want == "refused") || err == nil && string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", content, got, err, want)
		}
	}
	answer = "bytes 6-12/13"
	if got, err := journal.Tail(t.Context(), s, key, 6); err == nil {
		t.Errorf("more than was asked for: got %q", got)
	}
}
