package events

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"time"
	"unicode"
)

// MaxHead is how much of a refused message is shown, in bytes.
const MaxHead = 1 << 10

// TagRefused is the MNS message tag of a refused message, the same as that of
// a refused desktop.
const TagRefused = string(StatusRefused)

// Refused is the data of regild.message.refused.v1: a message in which no
// desktop could be read, so that the refusal can be addressed to none. Such a
// message is done; a redelivery cannot cure it.
type Refused struct {
	Code   string `json:"code"`   // the name of one of Codes
	Reason string `json:"reason"` // for people; cut at MaxMessage bytes
	// The transport's ids, as far as there were any.
	MessageID string `json:"messageId,omitempty"` // of MNS
	Source    string `json:"source,omitempty"`    // of the CloudEvent
	EventID   string `json:"eventId,omitempty"`   // of the CloudEvent
	RequestID string `json:"requestId,omitempty"` // the sender's, or the invocation's
	Via       *Via   `json:"via,omitempty"`       // how it reached us
	// What was delivered: its length in bytes, its SHA-256 in lower-case hex
	// and its beginning, made printable.
	Length int    `json:"length"`
	SHA256 string `json:"sha256"`
	Head   string `json:"head"`
}

// NewRefused returns the refusal of the message raw, with its length, digest
// and head filled in. The caller adds the transport's ids.
func NewRefused(code, reason string, raw []byte) Refused {
	sum := sha256.Sum256(raw)
	return Refused{
		Code: code, Reason: reason,
		Length: len(raw), SHA256: hex.EncodeToString(sum[:]), Head: head(raw),
	}
}

// Event returns the refusal as a CloudEvent from source, dated at. Its id is
// made of the most telling id the message had and of the message's digest.
func (r Refused) Event(source string, at time.Time) Event {
	r.Reason = cut(r.Reason, MaxMessage)
	for _, s := range []*string{&r.MessageID, &r.Source, &r.EventID, &r.RequestID} {
		*s = cut(*s, 1024)
	}
	id := cmp.Or(r.MessageID, r.EventID, r.RequestID, "message")
	return Event{
		Type: TypeRefused, ID: id + "/" + r.SHA256[:min(16, len(r.SHA256))] + "/refused",
		Source: source, Subject: r.MessageID, Time: at, Tag: TagRefused, Data: r,
	}
}

// head returns the first MaxHead bytes of raw with everything that does not
// print replaced by U+FFFD.
func head(raw []byte) string {
	raw = raw[:min(len(raw), MaxHead)]
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) || r == '\n' || r == '\t' {
			return r
		}
		return unicode.ReplacementChar
	}, strings.ToValidUTF8(string(raw), string(unicode.ReplacementChar)))
}
