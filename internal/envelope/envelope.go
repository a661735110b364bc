// Package envelope opens what a trigger delivered.
package envelope

// A Message is one thing that somebody sent.
type Message struct {
	Type    string // CloudEvents type of the innermost event; "" for a bare body
	Source  string // of that event
	ID      string // of that event
	Subject string // of that event
	// Data is what the parsers of package events get. nil when Err is set.
	Data []byte
	// MessageID is the MNS message id, of the queue's message where a topic
	// feeds a queue; TopicMessageID is that of the topic's message.
	MessageID      string
	TopicMessageID string
	Raw            []byte // what was delivered for this message, for a refusal
	Err            error  // why it could not be opened: a sentence for people
}

// Open returns the messages in payload, in order.
func Open(payload []byte) []Message { return []Message{{Data: payload, Raw: payload}} }

// Identity returns the transport's identity.
func (m Message) Identity() string { return "" }
