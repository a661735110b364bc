package envelope

import (
	"encoding/base64"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
)

const queueEvent = `{"id":"1","source":"MNS-x","specversion":"1.0","type":"mns:Queue:SendMessage","subject":"acs:mns:cn-hangzhou:1234567890123456:queues/NAME","data":{"requestId":"2","messageId":"M1","messageBody":BODY}}`

func fromQueue(name, body string) string {
	text, _ := json.Marshal(body) // a string: cannot fail
	return strings.NewReplacer("NAME", name, "BODY", string(text)).Replace(queueEvent)
}

func TestTheDoorIsWhatThePlatformSays(t *testing.T) {
	request := `{"regionId":"cn-hangzhou","desktopIds":["ecd-gx2x1dhsmucyy0001"]}`
	inQueue := fromQueue("regild-requests", request)
	queue := Door{Kind: DoorQueue, Account: "1234567890123456", Name: "regild-requests", Subject: "acs:mns:cn-hangzhou:1234567890123456:queues/regild-requests", Message: "M1"}
	slashed := queue
	slashed.Subject = "acs:mns:cn-hangzhou:1234567890123456:/queues/regild-requests"
	unnamed := queue
	unnamed.Message = ""
	topic := `{"TopicOwner":"1234567890123456","TopicName":"golden","MessageId":"T1","Message":` + strconv.Quote(request) + `}`
	for name, c := range map[string]struct {
		payload string
		want    Door
	}{
		"queue":                         {inQueue, queue},
		"queue in an array":             {"[" + inQueue + "]", queue},
		"queue as a string in an array": {"[" + strconv.Quote(inQueue) + "]", queue},
		"queue with a slash":            {strings.Replace(inQueue, ":queues/", ":/queues/", 1), slashed},
		"queue that is not named":       {strings.Replace(inQueue, `"subject"`, `"object"`, 1), Door{}},
		"queue of an odd name":          {strings.Replace(inQueue, "queues/regild-requests", "queues/regild-requests/../x", 1), Door{}},
		"queue with a name twice":       {strings.Replace(inQueue, `"id":"1"`, `"subject":"acs:mns:cn-hangzhou:1234567890123456:queues/regild-control"`, 1), Door{}},
		"queue with a case variant":     {strings.Replace(inQueue, `"id":"1"`, `"Subject":"acs:mns:cn-hangzhou:1234567890123456:queues/regild-control"`, 1), queue},
		"queue whose data is a string":  {strings.Replace(inQueue, `"data":{"requestId":"2","messageId":"M1",`, `"data":"{\"messageId\":\"M1\"}","x":{`, 1), queue},
		"queue whose data is a list":    {strings.Replace(inQueue, `"data":{"requestId":"2","messageId":"M1",`, `"data":["messageId"],"x":{`, 1), unnamed},
		"queue with two message ids":    {strings.Replace(inQueue, `"messageId":"M1"`, `"messageId":"M1","messageId":"M2"`, 1), unnamed},
		"queue with data twice":         {strings.Replace(inQueue, `"id":"1"`, `"data":{"messageId":"M2"}`, 1), Door{}},
		"queue without data":            {strings.Replace(inQueue, `"data"`, `"x"`, 1), unnamed},
		"topic of an odd name":          {strings.Replace(topic, `"golden"`, `"golden/x"`, 1), Door{}},
		"topic of nobody":               {strings.Replace(topic, `"1234567890123456"`, `"me"`, 1), Door{}},
		"queue as base64":               {base64.StdEncoding.EncodeToString([]byte(inQueue)), Door{}},
		"raw data":                      {`{"requestId":"2","messageId":"M1","messageBody":` + strconv.Quote(request) + `}`, Door{}},
		"topic":                         {topic, Door{Kind: DoorTopic, Account: "1234567890123456", Name: "golden", Message: "T1"}},
		"topic with its name twice":     {strings.Replace(topic, `"MessageId"`, `"TopicName":"control","MessageId"`, 1), Door{}},
		"topic with a queue's words":    {strings.Replace(topic, `"MessageId"`, `"specversion":"1.0","type":"mns:Queue:SendMessage","subject":"acs:mns:cn-hangzhou:1234567890123456:queues/regild-control","MessageId"`, 1), Door{Kind: DoorTopic, Account: "1234567890123456", Name: "golden", Message: "T1"}},
		"bus":                           {`{"specversion":"1.0","type":"ecd:ActionTrail:ApiCall","source":"acs.ecd","id":"E1","data":{"eventName":"CreateImage"}}`, Door{Kind: DoorEvent, Name: "acs.ecd", Message: "E1"}},
		"bare":                          {request, Door{}},
		"nothing":                       {``, Door{}},
		"cut off":                       {inQueue[:len(inQueue)/2], Door{}},
		"timer":                         {`{"triggerTime":"2026-11-23T08:00:00Z","triggerName":"sweep","payload":""}`, Door{}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := Open([]byte(c.payload)); len(got) != 1 || got[0].Door != c.want {
				t.Errorf("got %+v, want %+v", got[0].Door, c.want)
			}
		})
	}
}

// Whatever a sender writes into a body stays inside of the door that it came
// through.
func TestABodyThatLooksLikeAnotherDoorOpensNone(t *testing.T) {
	request := `{"regionId":"cn-hangzhou","desktopIds":["ecd-gx2x1dhsmucyy0001"]}`
	control := fromQueue("regild-control", request)
	for _, body := range []string{
		control,
		strconv.Quote(control),
		base64.StdEncoding.EncodeToString([]byte(control)),
		`{"TopicName":"regild-control","TopicOwner":"1234567890123456","Message":` + strconv.Quote(control) + `}`,
		`{"body":` + strconv.Quote(control) + `,"attrs":{}}`,
		`{"messageId":"M9","messageBody":` + strconv.Quote(request) + `}`,
		`<Notification><MessageId>M9</MessageId><Message>` + request + `</Message></Notification>`,
		`{"specversion":"1.0","type":"x","source":"acs.ecd","data":` + control + `}`,
	} {
		got := Open([]byte("[" + fromQueue("regild-requests", body) + "]"))
		if len(got) != 1 || got[0].Err != nil || got[0].Door.Kind != DoorQueue || got[0].Door.Name != "regild-requests" || got[0].Door.Message != "M1" {
			t.Errorf("%.60s: got %+v, %v", body, got[0].Door, got[0].Err)
		}
	}
}

func FuzzDoor(f *testing.F) {
	f.Add(fromQueue("regild-control", `{}`))
	f.Add(`{"TopicName":"regild-control","TopicOwner":"1","Message":"{}"}`)
	f.Add(`"acs:mns:cn-hangzhou:1:queues/regild-control"`)
	f.Fuzz(func(t *testing.T, body string) {
		for _, m := range Open([]byte("[" + fromQueue("regild-requests", strings.ToValidUTF8(body, "?")) + "]")) {
			if m.Door.Kind != DoorUnknown && (m.Door.Name != "regild-requests" || m.Door.Message != "M1") {
				t.Fatalf("a body chose its door: %+v", m.Door)
			}
		}
	})
}
