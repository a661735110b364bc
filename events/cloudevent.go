package events

import (
	"bytes"
	"encoding/json"
	"fmt"
	"time"
)

// MaxBytes is what one message may hold: the limit of MNS, which counts the
// body as it is sent; see WireSize. Source: MNS, "Limits".
const MaxBytes = 64 << 10

// MaxMessage bounds every free text that goes out (a message, a reason), in
// bytes. It leaves an outcome far below MaxBytes.
const MaxMessage = 2048

// An Event is one CloudEvent 1.0 on its way out, in structured JSON mode.
// The zero values of Subject and Tag leave them out.
type Event struct {
	Type    string
	ID      string // a function of what happened: equal ids mean the same happening
	Source  string // such as acs:fc:cn-hangzhou:1234567890123456:functions/regild
	Subject string
	Time    time.Time
	// Tag is the MNS message tag by which subscribers filter, at most 16
	// characters. It is not part of the CloudEvent.
	Tag  string
	Data any
}

// Marshal returns the event as it travels: every code in it is one that may be
// published (see Unlisted), and every character one that XML carries. Equal
// events give equal bytes. It is an error when the result would be above
// MaxBytes as it stands in the transport's XML, when an event of ours has other
// data than its type asks for, or when Data cannot be written as JSON; the
// documents of this package give none of these, as long as the ids and names in
// them are no longer than the parsers here allow.
func (e Event) Marshal() ([]byte, error) {
	data, _, err := admit(e.Type, e.Data)
	if err != nil {
		return nil, fmt.Errorf("writing event %s: %w", e.Type, err)
	}
	wire := struct {
		SpecVersion     string `json:"specversion"`
		Type            string `json:"type"`
		ID              string `json:"id"`
		Source          string `json:"source"`
		Subject         string `json:"subject,omitempty"`
		Time            string `json:"time"`
		DataContentType string `json:"datacontenttype"`
		Data            any    `json:"data"`
	}{"1.0", e.Type, e.ID, e.Source, e.Subject, stamp(e.Time), "application/json", data.data}

	out, err := marshal(wire)
	if err != nil {
		return nil, fmt.Errorf("writing event %s: %w", e.Type, err)
	}
	out = armour(out)
	if n := WireSize(out); n > MaxBytes {
		return nil, fmt.Errorf("writing event %s: %d bytes in the transport's XML are more than the %d that a message holds",
			e.Type, n, MaxBytes)
	}
	return out, nil
}

// marshal writes v without escaping <, > and &, which the transport does in
// its own way: \u0026 would only make names unreadable.
func marshal(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n")), nil
}

// stamp writes a time as RFC 3339 in UTC, in milliseconds at most: finer
// parts would only differ between two tellings of the same happening.
func stamp(t time.Time) string { return t.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano) }

// utc brings an optional time into the form in which it travels.
func utc(t *time.Time) *time.Time {
	if t == nil {
		return nil
	}
	u := t.UTC().Truncate(time.Second)
	return &u
}
