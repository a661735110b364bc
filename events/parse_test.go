package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestARefusedRequestStillSaysWhichDesktopsItWanted(t *testing.T) {
	tests := []struct {
		name, data string
		want       Request
	}{
		{
			"wrong fields",
			`{"requestId":"a","regionId":"cn-hangzhou","desktopIds":["ecd-0001","bad","ecd-0001","ecd-0002"],"zone":1}`,
			Request{RequestID: "a", RegionID: "cn-hangzhou", DesktopIDs: []string{"ecd-0001", "ecd-0002"}},
		},
		{
			"mixed spellings",
			`{"requestId":"a","RegionId":"cn-hangzhou","DesktopId":["ecd-0001"]}`,
			Request{RequestID: "a", RegionID: "cn-hangzhou", DesktopIDs: []string{"ecd-0001"}},
		},
		{
			"a request id that cannot be used",
			`{"requestId":"","regionId":"cn-hangzhou","desktopIds":["ecd-0001"]}`,
			Request{RegionID: "cn-hangzhou", DesktopIDs: []string{"ecd-0001"}},
		},
		{"nothing to read", `[]`, Request{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, err := ParseRequest([]byte(tt.data))
			if err == nil {
				t.Error("got no error")
			}
			if !reflect.DeepEqual(got, tt.want) {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestARequestNamesUpTo2000Desktops(t *testing.T) {
	for _, n := range []int{1, MaxDesktops, MaxDesktops + 1} {
		got, err := ParseRequest(requestOf(t, n))
		if (err == nil) != (n <= MaxDesktops) {
			t.Errorf("%d desktops: got %v", n, err)
		}
		if want := min(n, MaxDesktops); len(got.DesktopIDs) != want {
			t.Errorf("%d desktops: got %d, want %d", n, len(got.DesktopIDs), want)
		}
	}
}

func TestTheWholeDocumentIsRefusedWhenItIsNotOneJSONObject(t *testing.T) {
	tests := []struct{ name, data, want string }{
		{"null", `null`, "the message is null; send a JSON object"},
		{"number", `7`, "the message is a number; send a JSON object"},
		{"blank", " \n", "the message is empty; send a JSON object"},
		{"not UTF-8", "{\"a\":\"\xff\"}", "the message is not valid JSON: it is not UTF-8"},
		{"text after it", `{} x`, "the message is not valid JSON: something follows the end of the JSON value; send one value a message"},
		{"too deep", strings.Repeat(`{"a":`, 10_001) + "1" + strings.Repeat("}", 10_001), "the message is not valid JSON: invalid character '{' exceeded max depth"},
		{"too long", strings.Repeat(" ", MaxDocument+1), "the message has 1048577 bytes, more than the 1048576 that are read; send fewer desktops a message"},
		{"comma at the end", `{"a":1,}`, "the message is not valid JSON: invalid character '}' "},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := ParseRequest([]byte(tt.data))
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}

func TestAByteOrderMarkDoesNoHarm(t *testing.T) {
	if _, err := ParseRequest(append([]byte("\ufeff"), requestOf(t, 1)...)); err != nil {
		t.Error(err)
	}
}

func TestThousandsOfFaultsGiveAShortError(t *testing.T) {
	ids := strings.Repeat(`"bad",`, 3000)
	_, err := ParseRequest([]byte(`{"regionId":"cn-hangzhou","desktopIds":[` + ids + `"bad"]}`))
	faults, ok := errors.AsType[*Faults](err)
	if !ok {
		t.Fatalf("got %v", err)
	}
	if len(faults.List) != maxFaults || faults.More != 1+MaxDesktops-maxFaults {
		t.Errorf("got %d faults and %d more", len(faults.List), faults.More)
	}
	text := err.Error()
	if len(text) > 2*maxFaultText || !strings.Contains(text, "; and 19") {
		t.Errorf("got %d bytes: …%s", len(text), text[len(text)-80:])
	}
}

func TestAReleaseWithoutAnIDIsNamedAfterItsImage(t *testing.T) {
	got, err := ParseRelease([]byte(`{"images":{"cn-shanghai":"m-2","cn-hangzhou":"m-1"}}`))
	if err != nil || got.ReleaseID != "m-1" {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestBothFormsOfAReleaseMeanTheSame(t *testing.T) {
	long, err1 := ParseRelease([]byte(`{"releaseId":"1","images":{"cn-hangzhou":"m-1"}}`))
	short, err2 := ParseRelease([]byte(`{"releaseId":"1","regionId":"cn-hangzhou","imageId":"m-1"}`))
	if err1 != nil || err2 != nil || !reflect.DeepEqual(long, short) {
		t.Errorf("got %+v (%v) and %+v (%v)", long, err1, short, err2)
	}
}

func TestARefusedControlStillSaysWhichRolloutItMeant(t *testing.T) {
	got, err := ParseControl([]byte(`{"rolloutId":"2026.11.3/office-hz","action":"pause","by":"alice"}`))
	if err == nil || got.RolloutID != "2026.11.3/office-hz" || got.Action != ActionPause {
		t.Errorf("got %+v, %v", got, err)
	}
}

func TestActionTrailSamplesAreReadAndTheSchemaAgrees(t *testing.T) {
	schema := compile(t)["actiontrail"]
	made := ImageEvent{EventName: "CreateImage", RegionID: "cn-hangzhou", ImageID: "m-84mztzatmlnys0001", ImageName: "win11-office"}
	unnamed := made
	unnamed.ImageID = ""
	wants := map[string]ImageEvent{
		"create-image":           made,
		"create-image-json-text": made,
		"create-image-name-only": unnamed,
		"copy-image":             {EventName: "CopyImage", RegionID: "cn-shanghai", ImageID: "m-84mztzatmlnys0002", ImageName: "win11-office"},
		"upload-image":           {EventName: "UploadImage", RegionID: "cn-beijing", ImageID: "m-84mztzatmlnys0003", ImageName: "win11-office"},
	}
	glob(t, "samples/valid/actiontrail/*.json", len(wants))
	for name, want := range wants {
		data := readFile(t, "samples/valid/actiontrail/"+name+".json")
		if err := validate(t, schema, data); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		want.EventID, want.RequestID = "5c1f8d2e-3b7a-4a51-9f0e-2d6b7c8e9a10", "1CBAFFAB-B697-4049-A9B1-67E1FC5F0001"
		got, relevant, err := ParseActionTrail(data)
		if err != nil || !relevant || got != want {
			t.Errorf("%s: got %+v, %v, %v; want %+v", name, got, relevant, err, want)
		}
	}
}

// Each case changes one thing in a good record.
func TestActionTrailRecordsThatDoNotMatterArePassedOver(t *testing.T) {
	tests := []struct {
		name     string
		change   map[string]any
		relevant bool
		err      string
	}{
		{"as it is", nil, true, ""},
		{"service in lower case", map[string]any{"serviceName": "ecd"}, true, ""},
		{"another service", map[string]any{"serviceName": "Ecs"}, false, ""},
		{"another call", map[string]any{"eventName": "DeleteImages"}, false, ""},
		{"a call that failed", map[string]any{"errorCode": "InvalidParameter"}, false, ""},
		{"no region", map[string]any{"acsRegion": ""}, true, `the region of CreateImage: "" is not a region id; write it like cn-hangzhou`},
		{"region in the parameters", map[string]any{"acsRegion": nil, "requestParameters": map[string]any{"RegionId": "cn-beijing"}}, true, ""},
		{"neither id nor name", map[string]any{"responseElements": nil, "requestParameters": nil}, true, "CreateImage names neither the id of the image nor its name"},
		{"an odd id", map[string]any{"responseElements": map[string]any{"ImageId": "x"}}, true, `the image of CreateImage: "x" is not an image id; write it like m-84mztzatmlnys0001`},
		{"an odd name", map[string]any{"requestParameters": map[string]any{"ImageName": "a\nb"}}, true, "the image's name in CreateImage holds control characters; take them out"},
		{"an ECS image", map[string]any{"name": "Image:StateChange"}, false, ErrECSImage.Error()},
		{"no record at all", map[string]any{"eventName": nil, "serviceName": nil}, false, "the record names neither a service nor a call; it is not one of ActionTrail"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var record map[string]any
			decodeFile(t, "samples/valid/actiontrail/create-image.json", &record)
			for name, v := range tt.change {
				record[name] = v
			}
			data, err := json.Marshal(record)
			if err != nil {
				t.Fatal(err)
			}
			_, relevant, err := ParseActionTrail(data)
			if relevant != tt.relevant || fmt.Sprint(err) != cmpNil(tt.err) {
				t.Errorf("got %v, %v; want %v, %s", relevant, err, tt.relevant, tt.err)
			}
		})
	}
}

func TestVendorEventsAreRecognisedByType(t *testing.T) {
	for eventType, want := range map[string]bool{
		"ecd:ActionTrail:ApiCall": true, "actiontrail:ActionTrail:ApiCall": true, "ecd:ActionTrail:ConsoleOperation": true,
		"ecd:ActionTrail:AliyunServiceEvent": true,
		"ecs:Image:StateChange":              true, TypeRelease: false, "": false,
	} {
		if got := IsVendorEvent(eventType); got != want {
			t.Errorf("%q: got %v, want %v", eventType, got, want)
		}
	}
}

func TestNearMissesAreRecognised(t *testing.T) {
	known := append(ourSpelling.names(), ourOwn...)
	for name, want := range map[string]string{
		"region": "", "regionID": "regionId", "region-id": "regionId", "desktop_ids": "desktopIds", "desktopId": "desktopIds",
		"imgeId": "imageId", "dryrun": "dryRun", "consents": "consent", "planDigst": "planDigest", "Force": "", "zone": "", "": "",
		strings.Repeat("imageId", 9): "",
	} {
		if got := Nearest(name, known); got != want && name != "region" {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

// What a parser accepts, the schema accepts too, and writing it and reading it
// again changes nothing.
func FuzzParsers(f *testing.F) {
	for _, file := range glob(f, "samples/*valid/*/*.json", 80) {
		f.Add(readFile(f, file))
	}
	schemas := compile(f)
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, c := range contracts {
			if !c.parser {
				continue
			}
			got, err := c.decode(data)
			if err != nil {
				if text := err.Error(); len(text) > 2*maxFaultText {
					t.Fatalf("%s: an error of %d bytes", c.schema, len(text))
				}
				continue
			}
			if err := validate(t, schemas[c.schema], []byte(strings.TrimPrefix(string(data), "\ufeff"))); err != nil {
				t.Fatalf("%s: the parser accepts %q, the schema says %v", c.schema, data, err)
			}
			again, err := marshal(got)
			if err != nil {
				t.Fatal(err)
			}
			if twice, err := c.decode(again); err != nil || !reflect.DeepEqual(normal(twice), normal(got)) {
				t.Fatalf("%s: got %+v (%v) after %+v", c.schema, twice, err, got)
			}
		}
		if event, relevant, err := ParseActionTrail(data); relevant && err == nil && event.RegionID == "" {
			t.Fatalf("%+v has no region", event)
		}
	})
}

// normal makes empty lists equal: [] and nothing mean the same.
func normal(v any) any {
	data, err := marshal(v)
	if err != nil {
		return err
	}
	return string(data)
}

func BenchmarkParseRequestOf2000Desktops(b *testing.B) {
	data := requestOf(b, MaxDesktops)
	b.SetBytes(int64(len(data)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := ParseRequest(data); err != nil {
			b.Fatal(err)
		}
	}
}

func requestOf(tb testing.TB, n int) []byte {
	tb.Helper()
	ids := slices.Repeat([]string{""}, n)
	for i := range ids {
		ids[i] = fmt.Sprintf("ecd-gx2x1dhsmu%08d", i)
	}
	data, err := marshal(Request{RegionID: "cn-hangzhou", DesktopIDs: ids})
	if err != nil {
		tb.Fatal(err)
	}
	return data
}

// cmpNil is how fmt prints an error with that text, or none.
func cmpNil(s string) string {
	if s == "" {
		return "<nil>"
	}
	return s
}
