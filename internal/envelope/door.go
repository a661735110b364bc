package envelope

import (
	"slices"

	"github.com/regild/regild/internal/pattern"
)

// A DoorKind says what handed a message to the function.
type DoorKind int

// The zero value is the least trusted.
const (
	DoorUnknown DoorKind = iota // the platform did not say, or could not be understood
	DoorQueue                   // an MNS queue, by EventBridge
	DoorTopic                   // an MNS topic, by its trigger in the format JSON
	DoorEvent                   // EventBridge itself, from a bus
)

// A Door is where a message entered, as the platform says it.
//
// It is read from the outermost layer alone, which the trigger writes. What
// stands further in is the sender's, whatever it looks like: a queue's message
// whose body is itself the CloudEvent of another queue came through the first.
// An outermost layer that names the same thing twice says nothing.
//
// This rests on how the function is deployed: a trigger that passes the sender's
// bytes on as they are (a topic trigger in the format STREAM, a rule that makes
// the payload of the event's data) lets the sender write the outermost layer, and
// so does the right fc:InvokeFunction. Sources: Function Compute, "MNS queue
// triggers"; MNS, "NotifyContentFormat".
type Door struct {
	Kind    DoorKind
	Account string // of the queue or topic; "" when the platform does not say
	Name    string // of the queue or topic; of an event its source
	Subject string // the platform's own words: the CloudEvent's subject; "" for a topic
	Message string // the message's id in MNS, or the event's; "" when the platform does not say
	Bus     string // of an event: the bus that it came by; "" when the platform does not say
}

// subjectForm is the subject of the CloudEvent in which a queue's message comes.
// With or without the slash: the vendor's pages write both.
var subjectForm = pattern.Lazily(`^acs:mns:[a-z0-9-]{1,40}:([0-9]{1,32}):/?queues/([A-Za-z0-9][A-Za-z0-9-]{0,119})$`)

// doorOf reads through which door a message came whose outermost layer is f. A topic
// merges the sender's attributes into its own fields.
func doorOf(f fields) Door {
	switch {
	case slices.ContainsFunc(doorWords, f.twice):
	case f.has("TopicName", "Message"):
		d := Door{Kind: DoorTopic, Account: f.text("TopicOwner"), Name: f.text("TopicName"), Message: f.text("MessageId")}
		if pattern.Queue.Matches(d.Name) && pattern.Account.Matches(d.Account) {
			return d
		}
	case f.has("messageBody"), !f.has("specversion"):
	case f.text("type") == queueType:
		if m := subjectForm().FindStringSubmatch(f.text("subject")); m != nil {
			return Door{Kind: DoorQueue, Account: m[1], Name: m[2], Subject: f.text("subject"), Message: recordID(f)}
		}
	case f.text("type") != "":
		return Door{Kind: DoorEvent, Name: f.text("source"), Subject: f.text("subject"), Message: f.text("id"), Bus: f.text("aliyuneventbusname")}
	}
	return Door{}
}

// doorWords are the fields of the outermost layer by which a door is known, and the
// message.
var doorWords = []string{
	"TopicName", "TopicOwner", "MessageId", "Message", "messageBody",
	"specversion", "type", "source", "subject", "id", "data", "aliyuneventbusname",
}

// recordID returns the id of the message in a queue's CloudEvent, or "".
func recordID(f fields) string {
	data := f.named("data")
	if text := f.text("data"); text != "" { // as a string
		data = []byte(text)
	}
	if record, err := fieldsOf(data); err == nil && !record.twice("messageId") {
		return record.text("messageId")
	}
	return ""
}
