package bridge

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"time"

	"github.com/regild/regild/internal/localcloud/mns"
)

// A Shape is the form in which messages of a queue reach the function. Which
// one a trigger uses depends on its mode, its eventSchema and its age.
type Shape int

// The shapes that FC has been seen to deliver.
const (
	Objects Shape = iota // event-streaming: an array of CloudEvents, also for one message
	Strings              // the same, each CloudEvent encoded as a JSON string: before about February 2023
	RawData              // eventSchema RawData: an array of the events' data alone
	Object               // event-driven: one CloudEvent, not in an array
)

func (s Shape) String() string {
	switch s {
	case Objects:
		return "objects"
	case Strings:
		return "strings"
	case RawData:
		return "raw-data"
	case Object:
		return "object"
	}
	return fmt.Sprintf("shape(%d)", int(s))
}

// ParseShape returns the shape of that name, as String gives it.
func ParseShape(name string) (Shape, error) {
	for s := Objects; s <= Object; s++ {
		if s.String() == name {
			return s, nil
		}
	}
	return 0, fmt.Errorf("shape %q is none of objects, strings, raw-data, object", name)
}

// cloudEvent is one message as EventBridge wraps it. Source: FC, "MNS queue
// triggers", sample event.
type cloudEvent struct {
	ID              string    `json:"id"`
	Source          string    `json:"source"`
	SpecVersion     string    `json:"specversion"`
	Type            string    `json:"type"`
	DataContentType string    `json:"datacontenttype"`
	Time            string    `json:"time"`
	Subject         string    `json:"subject"`
	AccountID       string    `json:"aliyunaccountid"`
	PublishTime     string    `json:"aliyunpublishtime"`
	EventBusName    string    `json:"aliyuneventbusname"`
	RegionID        string    `json:"aliyunregionid"`
	PublishAddr     string    `json:"aliyunpublishaddr"`
	Data            queueData `json:"data"`
}

type queueData struct {
	RequestID   string `json:"requestId"`
	MessageID   string `json:"messageId"`
	MessageBody string `json:"messageBody"`
}

// events wraps each message of a batch, in the encoding of one array element.
// The id is another one at each delivery: only data.messageId tells the
// function that it has seen the message before.
func (s *Stream) events(batch []mns.Message) [][]byte {
	out := make([][]byte, 0, len(batch))
	for _, m := range batch {
		data := queueData{
			RequestID:   fmt.Sprintf("%s-%d", m.ID, m.DequeueCount),
			MessageID:   m.ID,
			MessageBody: s.body(string(m.Body)),
		}
		if s.opt.Shape == RawData {
			out = append(out, encode(data))
			continue
		}
		source := "MNS-" + s.opt.Function + "-" + s.opt.Queue
		out = append(out, encode(cloudEvent{
			ID: data.RequestID, Source: source, SpecVersion: "1.0",
			Type: "mns:Queue:SendMessage", DataContentType: "application/json; charset=utf-8",
			Time:         m.EnqueueTime.UTC().Format(time.RFC3339Nano),
			Subject:      "acs:mns:" + s.opt.Region + ":" + s.opt.AccountID + ":queues/" + s.opt.Queue,
			AccountID:    s.opt.AccountID,
			PublishTime:  s.clock.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
			EventBusName: source, RegionID: s.opt.Region, PublishAddr: "127.0.0.1", Data: data,
		}))
	}
	return out
}

func (s *Stream) body(body string) string {
	if !s.opt.DecodeBase64 {
		return body
	}
	decoded, err := base64.StdEncoding.DecodeString(body)
	if err != nil || len(decoded) == 0 {
		return body
	}
	return string(decoded)
}

// payload puts encoded events into the form that the function receives.
func (s Shape) payload(events [][]byte) ([]byte, error) {
	switch s {
	case Object:
		if len(events) != 1 {
			return nil, fmt.Errorf("an event-driven trigger delivers one event, not %d", len(events))
		}
		return events[0], nil
	case Strings:
		quoted := make([][]byte, 0, len(events))
		for _, e := range events {
			quoted = append(quoted, encode(string(e)))
		}
		events = quoted
	}
	return append(append([]byte("["), bytes.Join(events, []byte(","))...), ']'), nil
}

// encode leaves <, > and & as they are, as the platform's Java encoder does.
func encode(v any) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(v) // strings and maps of strings cannot fail
	return bytes.TrimRight(b.Bytes(), "\n")
}
