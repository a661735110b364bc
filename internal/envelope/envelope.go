// Package envelope opens what a trigger of Function Compute delivered and
// returns the messages inside, each with the ids that its transport gave it.
//
// What arrives depends on the trigger, its options and their age: one
// CloudEvent, an array of them, an array of JSON strings, bare records of a
// queue, a topic's JSON, a raw body; and inside that a body that is plain or
// base64, or the envelope of a topic that feeds the queue, or a CloudEvent
// again. Open takes off one layer after another until it reaches what the
// sender wrote, which is for package events to read.
//
// Three rules hold. No message is lost: what cannot be opened is a Message
// with an Err. None harms its neighbours: an array is cut at its commas before
// anything in it is read. And nothing is unbounded: neither size, nor count,
// nor depth. Time stamps are never looked at, because the platform's are not
// always RFC 3339 (…42.179PRC, …Asia/Shanghai).
//
// All of the package is pure.
package envelope

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"unicode"
)

const (
	// MaxBytes bounds a payload: it is the limit of a synchronous invocation.
	// Source: Function Compute, "Advanced features of triggers".
	MaxBytes = 32 << 20
	// MaxMessages bounds how many messages of one payload are opened: it is the
	// largest batch of a trigger. Source: as MaxBytes.
	MaxMessages = 10_000
	// maxLayers bounds how many layers are taken off. The most that the
	// platform makes is 10: a string in an array, the CloudEvent in it, its
	// record, its body (a string, base64), a topic's envelope, its message (a
	// string, base64), the sender's CloudEvent and its data.
	maxLayers = 16
	// maxIdentity bounds an identity, in bytes; longer ids are hashed.
	maxIdentity = 200
)

// A Message is one thing that somebody sent. Its byte slices may share memory
// with the payload.
type Message struct {
	// Type, Source, ID and Subject are those of the innermost CloudEvent that
	// the sender or EventBridge made. They are empty for a bare body. The
	// CloudEvent in which a trigger wraps a queue's message does not count: it
	// is an envelope.
	Type, Source, ID, Subject string
	// Data is what the sender wrote, for the parsers of package events: the
	// data of the CloudEvent, or the bare body. It is nil when Err is set.
	Data []byte
	// MessageID is the MNS message id when the message came through a queue.
	MessageID string
	// TopicMessageID is the MNS message id when it came through a topic. A
	// message that a topic pushed into a queue has both ids, and they differ.
	TopicMessageID string
	// Door is where the message entered, as the platform says it.
	Door Door
	// Raw is what was delivered for this message, for a refusal.
	Raw []byte
	// Err says in a sentence for people why the message could not be opened.
	// No redelivery can cure it.
	Err error
}

// Identity returns the identity that the transport gave the message, equal
// for every delivery of it: "mns:" and the MNS message id, else one made of
// the CloudEvent's source and id; "" when there is neither (a bare call, or a
// raw body). Of two MNS ids the topic's counts, because a topic that pushes
// the same message into a queue twice makes two queue messages. It has at most
// 200 bytes, all of them printable.
func (m Message) Identity() string {
	switch {
	case m.TopicMessageID != "":
		return identity("mns:", m.TopicMessageID)
	case m.MessageID != "":
		return identity("mns:", m.MessageID)
	case m.ID != "":
		// The length keeps ("a", "b:c") and ("a:b", "c") apart.
		return identity("ce:", fmt.Sprintf("%d:%s:%s", len(m.Source), m.Source, m.ID))
	}
	return ""
}

func identity(prefix, s string) string {
	plain := !strings.ContainsFunc(s, func(r rune) bool { return r == unicode.ReplacementChar || !unicode.IsPrint(r) })
	if plain && len(prefix)+len(s) <= maxIdentity {
		return prefix + s
	}
	sum := sha256.Sum256([]byte(s))
	return prefix + "sha256:" + hex.EncodeToString(sum[:])
}

// Open returns the messages in payload in their order: one for each element
// of an array, exactly one for everything else. It never panics and never
// drops anything; see Message.Err.
func Open(payload []byte) []Message {
	if len(payload) > MaxBytes {
		return []Message{{Raw: payload, Err: fmt.Errorf(
			"the payload has %d bytes, more than the %d that are read; send less at once", len(payload), MaxBytes)}}
	}
	body := trim(payload)
	if len(body) == 0 || body[0] != '[' {
		return []Message{open(payload)}
	}
	elements, rest := split(body)
	messages := make([]Message, 0, len(elements)+1)
	for _, e := range elements {
		messages = append(messages, open(e))
	}
	if rest.err != nil {
		messages = append(messages, Message{Raw: rest.raw, Err: rest.err})
	}
	return messages
}

// open opens what was delivered for one message.
func open(raw []byte) Message {
	m := Message{Raw: raw}
	m.Data, m.Err = m.unwrapOutermost(trim(raw))
	return m
}

var (
	errEmpty  = errors.New("the body is empty")
	errLayers = errors.New("too many envelopes stand in one another")
	errBody   = errors.New("the body is neither JSON nor XML, neither plain nor as base64")
	errArray  = errors.New("the body is an array; send one message an object")
	errUTF16  = errors.New("the body is UTF-16; send UTF-8")
)

// trim takes off a byte order mark and the white space around.
func trim(data []byte) []byte {
	return bytes.TrimSpace(bytes.TrimPrefix(bytes.TrimSpace(data), []byte("\ufeff")))
}

// A remainder is the part of an array that could not be cut into elements.
type remainder struct {
	raw []byte
	err error
}

// split cuts a JSON array into its elements by counting brackets and strings,
// without reading what is in them, so that an element that is no JSON costs
// nobody else anything. What follows the end, what a cut-off array ends with
// and what is beyond MaxMessages comes back as the remainder.
func split(data []byte) (elements [][]byte, rest remainder) {
	depth, inString, start := 0, false, 1
	for i := 0; i < len(data); i++ {
		switch c := data[i]; {
		case inString && c == '\\':
			i++
		case c == '"':
			inString = !inString
		case inString:
		case c == '[' || c == '{':
			depth++
		case c == '}':
			depth = max(1, depth-1) // a stray brace belongs to its element
		case c == ']' && depth > 1:
			depth--
		case c == ']':
			if last := trim(data[start:i]); len(last) > 0 || len(elements) > 0 {
				elements = append(elements, last)
			}
			return finish(elements, data[i+1:])
		case c == ',' && depth == 1:
			if len(elements) == MaxMessages {
				return elements, remainder{data[start:], fmt.Errorf(
					"the batch holds more than %d messages; those beyond were not read", MaxMessages)}
			}
			elements = append(elements, trim(data[start:i]))
			start = i + 1
		}
	}
	return elements, remainder{data[start:], errors.New("the batch ends in the middle of a message")}
}

// finish looks at what follows the array.
func finish(elements [][]byte, after []byte) ([][]byte, remainder) {
	if len(elements) > MaxMessages {
		return elements[:MaxMessages], remainder{elements[MaxMessages], fmt.Errorf(
			"the batch holds more than %d messages; those beyond were not read", MaxMessages)}
	}
	if len(trim(after)) > 0 {
		return elements, remainder{after, errors.New("something follows the end of the batch")}
	}
	return elements, remainder{}
}
