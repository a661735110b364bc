package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
)

// want is what a sample's sidecar says of one message.
type want struct {
	Type           string          `json:"type"`
	Source         string          `json:"source"`
	ID             string          `json:"id"`
	Subject        string          `json:"subject"`
	MessageID      string          `json:"messageId"`
	TopicMessageID string          `json:"topicMessageId"`
	Identity       string          `json:"identity"`
	Data           json.RawMessage `json:"data"`
	Err            string          `json:"err"`
}

func TestEverySampleOpensAsItsSidecarSays(t *testing.T) {
	for _, file := range samples(t) {
		name := strings.TrimSuffix(filepath.Base(file), filepath.Ext(file))
		t.Run(name, func(t *testing.T) {
			var wants []want
			sidecar := readFile(t, filepath.Join(filepath.Dir(file), name+".want.json"))
			if err := json.Unmarshal(sidecar, &wants); err != nil {
				t.Fatal(err)
			}
			got := Open(readFile(t, file))
			if len(got) != len(wants) {
				t.Fatalf("got %d messages, want %d: %+v", len(got), len(wants), got)
			}
			for i, w := range wants {
				compare(t, i, got[i], w)
			}
		})
	}
}

func compare(t *testing.T, i int, m Message, w want) {
	t.Helper()
	got := want{
		Type: m.Type, Source: m.Source, ID: m.ID, Subject: m.Subject,
		MessageID: m.MessageID, TopicMessageID: m.TopicMessageID, Identity: m.Identity(),
	}
	if m.Err != nil {
		got.Err = m.Err.Error()
	}
	data := w.Data
	w.Data = nil
	if w.Err != "" && w.Identity == "" {
		w.Type, w.ID, w.Source, w.Identity = got.Type, got.ID, got.Source, got.Identity
	}
	if !reflect.DeepEqual(got, w) {
		t.Errorf("message %d:\n got %+v\nwant %+v", i, got, w)
	}
	if (m.Data == nil) != (m.Err != nil) {
		t.Errorf("message %d: data %q beside error %v", i, m.Data, m.Err)
	}
	if m.Err == nil && !sameJSON(m.Data, data) {
		t.Errorf("message %d:\n got %s\nwant %s", i, m.Data, data)
	}
	if len(m.Raw) == 0 && !errors.Is(m.Err, errEmpty) {
		t.Errorf("message %d has no Raw", i)
	}
}

func TestIdentityIsTheSameForEveryDeliveryAndApartForOthers(t *testing.T) {
	tests := []struct {
		name string
		m    Message
		want string
	}{
		{"bare", Message{}, ""},
		{"queue", Message{MessageID: "A1"}, "mns:A1"},
		{"topic", Message{TopicMessageID: "B2"}, "mns:B2"},
		{"topic into queue", Message{MessageID: "A1", TopicMessageID: "B2"}, "mns:B2"},
		{"queue and CloudEvent", Message{MessageID: "A1", Source: "s", ID: "1"}, "mns:A1"},
		{"CloudEvent", Message{Source: "a", ID: "b:c"}, "ce:1:a:b:c"},
		{"CloudEvent that reads alike", Message{Source: "a:b", ID: "c"}, "ce:3:a:b:c"},
		{"source alone", Message{Source: "a"}, ""},
	}
	for _, tt := range tests {
		if got := tt.m.Identity(); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestAnIdentityIsShortAndPrintableWhateverTheSenderWrote(t *testing.T) {
	seen := map[string]bool{}
	for _, id := range []string{strings.Repeat("x", 500), strings.Repeat("x", 501), "a\nb", "a\x00b", "a\xffb", "a\xfeb", "a\ufffdb"} {
		got := Message{Source: "s", ID: id}.Identity()
		if len(got) > maxIdentity || !strings.HasPrefix(got, "ce:sha256:") {
			t.Errorf("%.20q: got %q", id, got)
		}
		if seen[got] {
			t.Errorf("%.20q shares its identity", id)
		}
		seen[got] = true
	}
	if exact := strings.Repeat("x", maxIdentity-len("mns:")); (Message{MessageID: exact}).Identity() != "mns:"+exact {
		t.Error("an identity as long as allowed is hashed")
	}
}

// What only looks like an envelope is what the sender wrote, or is refused; nothing of it is
// taken for something else.
func TestWhatIsAlmostAnEnvelopeIsNone(t *testing.T) {
	encode := base64.StdEncoding.EncodeToString
	long := strings.Repeat("t", 79)
	for name, c := range map[string]struct{ payload, data, err string }{
		"a body with attributes":       {`{"body":"{\"n\":1}","attrs":{}}`, `{"n":1}`, ""},
		"a body and more":              {`{"body":"{\"n\":1}","attrs":{},"n":2}`, `{"body":"{\"n\":1}","attrs":{},"n":2}`, ""},
		"a body alone":                 {`{"body":"{\"n\":1}"}`, `{"body":"{\"n\":1}"}`, ""},
		"attributes alone":             {`{"attrs":{}}`, `{"attrs":{}}`, ""},
		"an event of ours, no data":    {`{"specversion":"1.0","type":"regild.x"}`, "", `the event "regild.x" has no data`},
		"an event of ours, null":       {`{"specversion":"1.0","type":"regild.x","data":null}`, "", `the event "regild.x" has no data`},
		"an event of ours, only space": {`{"specversion":"1.0","type":"regild.x","data_base64":"ICA="}`, "", `the event "regild.x" has no data`},
		"a type as long as is told":    {`{"specversion":"1.0","type":"x` + long + `"}`, "", `the event "x` + long + `" has no data`},
		"a longer type":                {`{"specversion":"1.0","type":"xy` + long + `"}`, "", `the event "xy` + long[1:] + `…" has no data`},
		"a notification":               {`<Notification><MessageId>M</MessageId><Message>{"n":1}</Message></Notification>`, `{"n":1}`, ""},
		"other XML":                    {`<Event><MessageId>M</MessageId><Message>{"n":1}</Message></Event>`, "", "not the Notification"},
		"a notification without an id": {`<Notification><Message>{"n":1}</Message></Notification>`, "", "not the Notification"},
		"a notification of nothing":    {`<Notification><MessageId>M</MessageId></Notification>`, "", "not the Notification"},
		"base64":                       {encode([]byte(`{"n":1}`)), `{"n":1}`, ""},
		"base64 with something behind": {encode([]byte(`{"n":12}`)) + "!", "", errBody.Error()},
		"base64 of bytes":              {encode([]byte("{\"n\":\"\xff\"}")), "", errBody.Error()},
		"base64 of base64":             {encode([]byte(encode([]byte(`{"n":1}`)))), "", errBody.Error()},
		"base64 of nothing":            {encode([]byte("   ")), "", errBody.Error()},
	} {
		got := Open([]byte(c.payload))
		if len(got) != 1 || string(got[0].Data) != c.data || (got[0].Err == nil) != (c.err == "") || c.err != "" && !strings.Contains(got[0].Err.Error(), c.err) {
			t.Errorf("%s: got %q, %v", name, got[0].Data, got[0].Err)
		}
	}
}

// A backslash outside of a text is no reason to take two messages for one.
func TestABackslashBetweenMessagesHarmsNone(t *testing.T) {
	got := Open([]byte(`[{"n":1},\,{"n":2}]`))
	if len(got) != 3 || string(got[0].Data) != `{"n":1}` || got[1].Err == nil || string(got[2].Data) != `{"n":2}` {
		t.Errorf("got %+v", got)
	}
}

func TestANestedArrayOfOneElementIsOneRefusal(t *testing.T) {
	got := Open([]byte(`[[{"regionId":"cn-hangzhou"}],{"regionId":"cn-hangzhou"}]`))
	if len(got) != 2 || !errors.Is(got[0].Err, errArray) || got[1].Err != nil {
		t.Errorf("got %+v", got)
	}
}

func TestTooManyEnvelopesInOneAnotherAreRefused(t *testing.T) {
	body := `{"regionId":"cn-hangzhou"}`
	for range 12 {
		body = base64.StdEncoding.EncodeToString([]byte(`{"messageBody":` + strconv.Quote(body) + `}`))
	}
	got := Open([]byte(body))
	if len(got) != 1 || !errors.Is(got[0].Err, errLayers) {
		t.Errorf("got %+v", got)
	}
}

// Objects in objects cost no string and no base64, so a layer that forgot to
// count would take the square of the payload's length.
func TestDeepEnvelopesAreRefusedInBoundedTime(t *testing.T) {
	body := strings.Repeat(`{"messageBody":`, 9000) + `1` + strings.Repeat(`}`, 9000)
	if got := Open([]byte(body)); len(got) != 1 || !errors.Is(got[0].Err, errLayers) {
		t.Errorf("got %+v", got[0].Err)
	}
}

func TestWhatIsBeyondTheLimitsIsRefusedAndSaysSo(t *testing.T) {
	t.Run("count", func(t *testing.T) {
		for _, more := range []int{0, 1, 2} {
			n := MaxMessages + more
			got := Open([]byte("[" + strings.Repeat(`{"a":1},`, n-1) + `{"a":1}]`))
			refused := min(more, 1)
			if len(got) != MaxMessages+refused {
				t.Fatalf("%d elements gave %d messages", n, len(got))
			}
			if last := got[len(got)-1]; (last.Err != nil) != (more > 0) {
				t.Errorf("%d elements: the last has error %v", n, last.Err)
			}
		}
	})
	t.Run("size", func(t *testing.T) {
		if got := Open(bytes.Repeat([]byte(" "), MaxBytes)); len(got) != 1 || !errors.Is(got[0].Err, errEmpty) {
			t.Errorf("as much as is read: got %v", got[0].Err)
		}
		got := Open(bytes.Repeat([]byte(" "), MaxBytes+1))
		if len(got) != 1 || got[0].Err == nil || !strings.Contains(got[0].Err.Error(), "more than the 33554432") {
			t.Errorf("got %v", got[0].Err)
		}
	})
}

func TestTextInOtherEncodingsIsRefusedWithAdvice(t *testing.T) {
	for _, body := range []string{"\xff\xfe{\x00", "\xfe\xff\x00{"} {
		if got := Open([]byte(body)); len(got) != 1 || !errors.Is(got[0].Err, errUTF16) {
			t.Errorf("%q: got %+v", body, got)
		}
	}
}

// A sender's attributes are merged into a topic's JSON, and may be named like
// the attributes of a CloudEvent.
func TestAttributesOfATopicMessageDoNotMakeItACloudEvent(t *testing.T) {
	got := Open([]byte(`{"TopicName":"t","MessageId":"B2","Message":"{\"regionId\":\"r\"}","specversion":"1.0","type":"x","data":{}}`))
	if len(got) != 1 || got[0].Type != "" || got[0].TopicMessageID != "B2" || string(got[0].Data) != `{"regionId":"r"}` {
		t.Errorf("got %+v", got)
	}
}

func FuzzOpen(f *testing.F) {
	for _, file := range samples(f) {
		f.Add(readFile(f, file))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		got := Open(payload)
		var elements []json.RawMessage
		isArray := json.Unmarshal(trim(payload), &elements) == nil && bytes.HasPrefix(trim(payload), []byte("["))
		switch {
		case isArray && len(elements) <= MaxMessages && len(got) != len(elements):
			t.Fatalf("%d elements gave %d messages", len(elements), len(got))
		case !bytes.HasPrefix(trim(payload), []byte("[")) && len(got) != 1:
			t.Fatalf("one payload gave %d messages", len(got))
		}
		for i, m := range got {
			if (m.Err == nil) == (m.Data == nil) {
				t.Fatalf("message %d has data %q and error %v", i, m.Data, m.Err)
			}
			if id := m.Identity(); len(id) > maxIdentity {
				t.Fatalf("message %d has an identity of %d bytes", i, len(id))
			}
		}
	})
}

// FuzzNeighbours puts anything that is one JSON value, or none, between two
// good messages.
func FuzzNeighbours(f *testing.F) {
	f.Add([]byte(`{"a":`))
	f.Add([]byte(`{"regionId": cn-hangzhou}`))
	f.Add([]byte(`"x"`))
	f.Fuzz(func(t *testing.T, element []byte) {
		if !json.Valid(element) {
			return
		}
		payload := fmt.Appendf(nil, `[{"n":1},%s,{"n":2}]`, element)
		got := Open(payload)
		if len(got) != 3 || string(got[0].Data) != `{"n":1}` || string(got[2].Data) != `{"n":2}` {
			t.Fatalf("%s: got %+v", payload, got)
		}
	})
}

func BenchmarkOpen1000Messages(b *testing.B) {
	request := `{"regionId":"cn-hangzhou","desktopIds":["ecd-gx2x1dhsmucyy0001"],"imageId":"m-84mztzatmlnys0001"}`
	wrap := func(body string) []byte {
		element := fmt.Sprintf(`{"id":"c2g7","source":"MNS-regild","specversion":"1.0","type":"mns:Queue:SendMessage",`+
			`"time":"2026-11-23T16:00:00.179PRC","data":{"requestId":"606E","messageId":"C6DB","messageBody":%q}}`, body)
		return []byte("[" + strings.Repeat(element+",", 999) + element + "]")
	}
	for name, payload := range map[string][]byte{
		"plain":  wrap(request),
		"base64": wrap(base64.StdEncoding.EncodeToString([]byte(request))),
	} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(payload)))
			b.ReportAllocs()
			for b.Loop() {
				if got := Open(payload); len(got) != 1000 || got[999].Err != nil {
					b.Fatal(got[999].Err)
				}
			}
		})
	}
}

// samples lists the payloads of events/samples/envelopes.
func samples(tb testing.TB) []string {
	tb.Helper()
	all, err := filepath.Glob("../../events/samples/envelopes/*")
	if err != nil {
		tb.Fatal(err)
	}
	var files []string
	for _, file := range all {
		if !strings.HasSuffix(file, ".want.json") {
			files = append(files, file)
		}
	}
	if len(files) < 40 || len(all) != 2*len(files) {
		tb.Fatalf("found %d files, %d of them payloads: a payload or a sidecar is missing", len(all), len(files))
	}
	return files
}

func readFile(tb testing.TB, name string) []byte {
	tb.Helper()
	data, err := os.ReadFile(name)
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

func sameJSON(a, b []byte) bool {
	var x, y any
	return json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}
