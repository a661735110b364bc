package events

import (
	"encoding/json"
	"encoding/xml"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// coded holds one event of each document that says a code, with word in place
// of every code. A document with a code that is missing here is found by
// TestBug2EveryDocumentWithACodeIsHeldToTheList.
func coded(word string) map[string]Event {
	plan := Plan{RolloutID: "1/f", PlanDigest: "sha256:0", Waves: []PlanWave{{N: 1, Desktops: []PlanDesktop{{ID: "ecd-0001", Action: PlanRefuse, Code: word}}}}}
	return map[string]Event{
		"Outcome":     Outcome{RequestID: "r", DesktopID: "ecd-0001", Status: StatusDeferred, Code: word, Message: "why"}.Event(source, at),
		"Refused":     NewRefused(word, "why", nil).Event(source, at),
		"Reason":      Rollout{RolloutID: "1/f", Reason: &Reason{Code: word, Message: "why"}}.Event(RolloutHalted, "", source, at),
		"PlanDesktop": PlanPages(plan)[0].Event(source, at),
	}
}

// Bug 2 of the hard look: an internal word was published as a code.
func TestBug2AWordThatIsNoCodeIsNeverPublished(t *testing.T) {
	for _, word := range []string{"facts are old", "FactsOld", "x", "\ufffe", strings.Repeat("A", 5000)} {
		for what, event := range coded(word) {
			got, err := event.Marshal()
			if err != nil {
				t.Fatalf("%s with %.20q: %v", what, word, err)
			}
			for _, code := range codesIn(t, got) {
				if code != CodeUnlisted {
					t.Errorf("%s with %.20q: published %.60q", what, word, code)
				}
			}
			if told := event.Unlisted(); len(told) != 1 {
				t.Errorf("%s with %.20q: told %q, want the word", what, word, told)
			}
		}
	}
	got, err := coded("facts are old")["Outcome"].Marshal()
	if err != nil || !strings.Contains(string(got), `"message":"\"facts are old\": why"`) {
		t.Errorf("got %s (%v), want the word in the message", got, err)
	}
}

func TestBug2EveryCodeOfTheListIsPublishedAsItIs(t *testing.T) {
	for _, c := range Codes {
		for what, event := range coded(c.Name) {
			got, err := event.Marshal()
			if err != nil {
				t.Fatal(err)
			}
			if codes := codesIn(t, got); !slices.Equal(codes, []string{c.Name}) || len(event.Unlisted()) != 0 {
				t.Errorf("%s: got %q and %q, want %s", what, codes, event.Unlisted(), c.Name)
			}
		}
	}
}

// The gate looks where the types have codes: a new place for one must come with
// its own line in coded, and so is held to the list.
func TestBug2EveryDocumentWithACodeIsHeldToTheList(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var found []string
	var walk func(reflect.Type)
	walk = func(typ reflect.Type) {
		for typ.Kind() == reflect.Pointer || typ.Kind() == reflect.Slice || typ.Kind() == reflect.Map {
			typ = typ.Elem()
		}
		if typ.Kind() != reflect.Struct || seen[typ] {
			return
		}
		seen[typ] = true
		for i := range typ.NumField() {
			if tag, _, _ := strings.Cut(typ.Field(i).Tag.Get("json"), ","); tag == "code" {
				found = append(found, typ.Name())
			}
			walk(typ.Field(i).Type)
		}
	}
	for _, c := range contracts {
		walk(reflect.TypeOf(c.zero))
	}
	slices.Sort(found)
	if want := slices.Sorted(mapKeys(coded(""))); !slices.Equal(found, want) {
		t.Errorf("the types with a code are %v, the test has %v", found, want)
	}
	for _, kind := range []string{TypeOutcome, TypeRefused, RolloutHalted.Type(), RolloutPlan.Type()} {
		if _, err := (Event{Type: kind, Data: map[string]any{"code": "facts are old"}}).Marshal(); err == nil {
			t.Errorf("%s was written with data that the gate cannot look into", kind)
		}
	}
}

func TestBug2CodesOfECDPassOnlyWhereECDSpoke(t *testing.T) {
	const theirs = "InvalidDesktopId.NotFound"
	for _, tt := range []struct {
		o    Outcome
		want string
	}{
		{Outcome{Status: StatusFailed, Code: theirs, ECDRequestID: "R"}, theirs},
		{Outcome{Status: StatusDeferred, Code: theirs, ECDRequestID: "R"}, theirs},
		{Outcome{Status: StatusFailed, Code: theirs}, CodeUnlisted},
		{Outcome{Status: StatusRefused, Code: theirs, ECDRequestID: "R"}, CodeUnlisted},
		{Outcome{Status: StatusFailed, Code: "facts are old", ECDRequestID: "R"}, CodeUnlisted},
		{Outcome{Status: StatusFailed, Code: "", ECDRequestID: "R"}, CodeUnlisted},
		{Outcome{Status: StatusFailed, Code: CodesOfECD[0]}, CodesOfECD[0]}, // given up after it came again and again
	} {
		got, err := tt.o.Event(source, at).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if codes := codesIn(t, got); !slices.Equal(codes, []string{tt.want}) {
			t.Errorf("%+v: got %q, want %s", tt.o, codes, tt.want)
		}
	}
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

// codesIn returns everything that stands under the name code.
func codesIn(t *testing.T, body []byte) []string {
	t.Helper()
	var doc any
	if err := json.Unmarshal(body, &doc); err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	var codes []string
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if c, ok := v["code"].(string); ok {
				codes = append(codes, c)
			}
			for _, inner := range v {
				walk(inner)
			}
		case []any:
			for _, inner := range v {
				walk(inner)
			}
		}
	}
	walk(doc)
	return codes
}

// Bug 3 of the hard look: U+FFFE in an id kept every outcome from being
// published. Whatever text is in an event, XML carries it and JSON gives it back.
func FuzzBug3WhateverTextIsInAnEventItTravels(f *testing.F) {
	for _, s := range []string{"", "\ufffe", "a\uffffb", "\xed\xa0\x80", "\x00\x1f\x7f\u0085", "<&>\r\n\t", "\U0001fffe", "\ufdd0", "重建", "]]>", strings.Repeat("&", 3000)} {
		f.Add(s, s)
	}
	f.Fuzz(func(t *testing.T, id, text string) {
		if len(id) > 512 {
			id = id[:512]
		}
		refused := NewRefused(CodeMalformedMessage, text, []byte(text))
		refused.EventID = text
		for _, event := range []Event{
			Outcome{RequestID: id, DesktopID: id, Status: StatusFailed, Code: CodeCallFailed, Message: text, PreviousImageID: text, ECDRequestID: text}.Event(source, at),
			Outcome{RequestID: id, DesktopID: id, Status: StatusFailed, Code: text, ECDRequestID: text}.Event(source, at),
			refused.Event(source, at),
			Rollout{RolloutID: id, By: id, Reason: &Reason{Code: CodePaused, Message: text}}.Event(RolloutPaused, id, source, at),
			Finished{RequestID: id}.Event(source),
		} {
			got, err := event.Marshal()
			if err != nil {
				t.Fatalf("%s: %v", event.Type, err)
			}
			var inXML strings.Builder
			if err := xml.EscapeText(&inXML, got); err != nil {
				t.Fatal(err)
			}
			var back struct {
				Text string `xml:",chardata"`
			}
			if err := xml.Unmarshal([]byte("<a>"+inXML.String()+"</a>"), &back); err != nil || back.Text != string(got) {
				t.Fatalf("XML brings %q, want %q (%v)", back.Text, got, err)
			}
			var doc struct{ ID string }
			if err := json.Unmarshal(got, &doc); err != nil {
				t.Fatal(err)
			}
			if want := strings.ToValidUTF8(event.ID, "\ufffd"); !sameText(doc.ID, want) {
				t.Errorf("the id comes back as %q, want %q", doc.ID, want)
			}
			if n := WireSize(got); n > MaxBytes {
				t.Errorf("%d bytes in XML", n)
			}
		}
	})
}

// sameText compares texts of which one had each broken byte replaced, and the
// other each broken sequence.
func sameText(a, b string) bool {
	squeeze := func(s string) string {
		for strings.Contains(s, "\ufffd\ufffd") {
			s = strings.ReplaceAll(s, "\ufffd\ufffd", "\ufffd")
		}
		return s
	}
	return squeeze(a) == squeeze(b)
}

func TestBug3IdsThatCannotTravelAreRefusedWithARefusalThatCan(t *testing.T) {
	for _, bad := range []string{`\ufffe`, `\uffff`, `\ud800`, `x\udc00`, `\u0001`, `\n`, `\u007f`, `\u0085`, `\ufffd`} {
		for what, parse := range map[string]func() error{
			"requestId": func() error {
				_, err := ParseRequest([]byte(`{"requestId":"a` + bad + `","regionId":"cn-hangzhou","desktopIds":["ecd-0001"]}`))
				return err
			},
			"desktopIds": func() error {
				_, err := ParseRequest([]byte(`{"regionId":"cn-hangzhou","desktopIds":["ecd-0001` + bad + `"]}`))
				return err
			},
			"rolloutId": func() error {
				_, err := ParseControl([]byte(`{"rolloutId":"1/f` + bad + `","action":"pause","by":"a","reason":"b"}`))
				return err
			},
			"by": func() error {
				_, err := ParseControl([]byte(`{"rolloutId":"1/f","action":"pause","by":"a` + bad + `","reason":"b"}`))
				return err
			},
			"releaseId": func() error {
				_, err := ParseRelease([]byte(`{"releaseId":"1` + bad + `","images":{"cn-hangzhou":"m-new"}}`))
				return err
			},
			"image": func() error {
				_, err := ParseRelease([]byte(`{"image":"i` + bad + `","images":{"cn-hangzhou":"m-new"}}`))
				return err
			},
			"id": func() error { _, err := ParseTick([]byte(`{"kind":"request","id":"r` + bad + `","n":1}`)); return err },
		} {
			err := parse()
			if err == nil || !strings.HasPrefix(err.Error(), what) {
				t.Errorf("%s with %s: got %v, want a refusal of %s", what, bad, err, what)
				continue
			}
			if _, err := NewRefused(CodeInvalidRequest, err.Error(), nil).Event(source, at).Marshal(); err != nil {
				t.Errorf("%s with %s: the refusal cannot be published: %v", what, bad, err)
			}
		}
	}
}

// What XML makes longer counts: a plan of images with & in their names was cut
// into pages that MNS may find too long.
func TestBug3APageOfAPlanFitsAfterItsTextIsEscaped(t *testing.T) {
	p := Plan{RolloutID: "1/f", RegionID: "cn-hangzhou", Waves: []PlanWave{{N: 1, Name: strings.Repeat("<", 100)}}}
	for range 500 {
		p.Waves[0].Desktops = append(p.Waves[0].Desktops, PlanDesktop{ID: "ecd-0001", Action: PlanRefuse, Code: CodeDowngrade,
			Message: strings.Repeat("&\ufffe", 300), From: strings.Repeat(">", 300)})
	}
	desktops := 0
	for _, page := range PlanPages(p) {
		got, err := page.Event(source, at).Marshal()
		if err != nil {
			t.Fatal(err)
		}
		if WireSize(got) > MaxBytes {
			t.Errorf("page %d has %d bytes in XML", page.Page, WireSize(got))
		}
		for _, w := range page.Waves {
			desktops += len(w.Desktops)
		}
	}
	if desktops != 500 {
		t.Errorf("the pages hold %d desktops, want 500", desktops)
	}
}
