package envelope

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/regild/regild/internal/jsonpart"
)

// This file knows the envelopes. Each is recognised by the fields that it
// always has; whatever else stands in it is passed over.

// queueType is the type of the CloudEvent in which EventBridge hands over a
// queue's message. Its source is not stable, so the type decides. Source:
// Function Compute, "MNS queue triggers".
const queueType = "mns:Queue:SendMessage"

// ourTypes begins the type of every CloudEvent of ours. Its data is a contract
// of ours, and no envelope.
const ourTypes = "regild."

// fields are those of an object, as they stand there.
type fields []jsonpart.Member

// fieldsOf returns the fields of an object.
func fieldsOf(object []byte) (fields, error) {
	if len(object) == 0 || object[0] != '{' || !json.Valid(object) {
		return nil, notJSON(json.Unmarshal(object, &map[string]json.RawMessage{}))
	}
	return jsonpart.Members(object), nil
}

// named returns the value of that name, or nil: of several the last, as decoding takes it.
func (f fields) named(name string) json.RawMessage {
	for _, m := range slices.Backward(f) {
		if string(m.Name) == name {
			return m.Value
		}
	}
	return nil
}

// text returns the named string, or "".
func (f fields) text(name string) string {
	value := f.named(name)
	if value == nil {
		return ""
	}
	s, _ := jsonpart.Text(value)
	return s
}

func (f fields) has(names ...string) bool {
	return !slices.ContainsFunc(names, func(name string) bool { return f.named(name) == nil })
}

// twice says whether a name stands there more than once.
func (f fields) twice(name string) bool {
	n := 0
	for _, m := range f {
		if string(m.Name) == name {
			n++
		}
	}
	return n > 1
}

// unwrapOutermost is unwrap for what was delivered for one message. Its outermost layer
// says through which door it came; an element of an array is the text of it in older
// streams.
func (m *Message) unwrapOutermost(body []byte) ([]byte, error) {
	left := maxLayers
	if len(body) > 0 && body[0] == '"' {
		var inner string
		if err := json.Unmarshal(body, &inner); err != nil {
			return nil, notJSON(err)
		}
		body, left = trim([]byte(inner)), left-1
	}
	if len(body) == 0 || body[0] != '{' {
		return m.unwrap(body, left)
	}
	f, err := fieldsOf(body)
	if err != nil {
		return nil, err
	}
	m.Door = doorOf(f)
	return m.unwrapObject(body, f, left-1)
}

// unwrap takes one layer after another off data, writes their ids into m, and
// returns what is under the last one. left is how many it may still take off.
func (m *Message) unwrap(data []byte, left int) ([]byte, error) {
	body := trim(data)
	switch {
	case left == 0:
		return nil, errLayers
	case len(body) == 0:
		return nil, errEmpty
	case bytes.HasPrefix(body, []byte("\xff\xfe")), bytes.HasPrefix(body, []byte("\xfe\xff")):
		return nil, errUTF16
	}
	switch body[0] {
	case '{':
		f, err := fieldsOf(body)
		if err != nil {
			return nil, err
		}
		return m.unwrapObject(body, f, left-1)
	case '<':
		return m.unwrapXML(body, left-1)
	case '[':
		if json.Valid(body) {
			return nil, errArray
		}
	case '"':
		var inner string
		if err := json.Unmarshal(body, &inner); err != nil {
			return nil, notJSON(err)
		}
		return m.unwrap([]byte(inner), left-1)
	}
	if inner, ok := fromBase64(body); ok {
		return m.unwrap(inner, left-1)
	}
	return nil, errBody
}

// unwrapObject looks for the transport's envelopes first: a topic merges the
// sender's attributes into its own, and they may have any name.
func (m *Message) unwrapObject(body []byte, f fields, left int) ([]byte, error) {
	switch {
	case f.has("TopicName", "Message"):
		// A topic's JSON, pushed to the function or into a queue. Source: MNS,
		// "NotifyContentFormat".
		m.TopicMessageID = f.text("MessageId")
		return m.unwrap(f.named("Message"), left)
	case f.has("messageBody"):
		// A record of a queue: the data of its CloudEvent, or RawData.
		m.MessageID = f.text("messageId")
		return m.unwrap(f.named("messageBody"), left)
	case f.has("body", "attrs") && !slices.ContainsFunc(f, func(m jsonpart.Member) bool { return string(m.Name) != "body" && string(m.Name) != "attrs" }):
		// STREAM of a topic, when the message has attributes.
		return m.unwrap(f.named("body"), left)
	case f.has("specversion"):
		return m.unwrapCloudEvent(f, left)
	}
	return body, nil
}

// unwrapCloudEvent opens a CloudEvent 1.0 in structured JSON mode.
func (m *Message) unwrapCloudEvent(f fields, left int) ([]byte, error) {
	kind, data := f.text("type"), []byte(f.named("data"))
	if kind == "" {
		return nil, errors.New("the CloudEvent has no type")
	}
	if encoded := f.text("data_base64"); encoded != "" {
		inner, err := base64.StdEncoding.DecodeString(encoded)
		if err != nil {
			return nil, fmt.Errorf("the data_base64 of the event %s is not base64", short(kind))
		}
		data = trim(inner)
	}
	if len(data) == 0 || string(data) == "null" {
		return nil, fmt.Errorf("the event %s has no data", short(kind))
	}
	if kind == queueType {
		return m.unwrap(data, left)
	}
	m.Type, m.Source, m.ID, m.Subject = kind, f.text("source"), f.text("id"), f.text("subject")
	if strings.HasPrefix(kind, ourTypes) && data[0] == '{' {
		return data, nil
	}
	return m.unwrap(data, left)
}

// unwrapXML opens the XML in which a topic feeds a queue.
func (m *Message) unwrapXML(body []byte, left int) ([]byte, error) {
	var n struct {
		XMLName   xml.Name
		MessageID *string `xml:"MessageId"`
		Message   *string `xml:"Message"`
	}
	if err := xml.Unmarshal(body, &n); err != nil {
		return nil, fmt.Errorf("the body is not valid XML: %w", err)
	}
	if n.XMLName.Local != "Notification" || n.MessageID == nil || n.Message == nil {
		return nil, errors.New("the body is XML, but not the Notification of a topic")
	}
	m.TopicMessageID = strings.TrimSpace(*n.MessageID)
	return m.unwrap([]byte(*n.Message), left)
}

// fromBase64 decodes a body that producers of other languages send as base64,
// standard or URL, with padding or without. Nothing on the wire marks it, so
// it only counts when text comes out that an envelope or a contract begins
// like.
func fromBase64(body []byte) ([]byte, bool) {
	compact := strings.Map(func(r rune) rune {
		switch r {
		case '\r', '\n', '=': // line breaks as in MIME; padding is checked by nobody
			return -1
		case '-':
			return '+'
		case '_':
			return '/'
		}
		return r
	}, string(body))
	plain, err := base64.RawStdEncoding.DecodeString(compact)
	if err != nil || !utf8.Valid(plain) {
		return nil, false
	}
	inner := trim(plain)
	if len(inner) == 0 || !strings.ContainsRune(`{["<`, rune(inner[0])) {
		return nil, false
	}
	return inner, true
}

func notJSON(err error) error { return fmt.Errorf("the body is not valid JSON: %w", err) }

// short returns an outside word as it may stand in a sentence.
func short(s string) string {
	const most = 80
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return fmt.Sprintf("%q", s)
}
