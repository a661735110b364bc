package events

import (
	"encoding/json"
	"fmt"
	"time"
)

// Kinds of a tick.
const (
	TickRequest = "request"
	TickRollout = "rollout"
)

// Bounds of a tick.
const (
	maxTickID      = 512     // characters
	maxTickN       = 1 << 30 // years of ticks
	maxTickRecords = 10_000
)

// TickAnyway is the number of a tick that is never overtaken by a later one.
const TickAnyway = maxTickN

// A Tick is the data of regild.tick.v1: a delayed message to ourselves, "look
// at this request or rollout again". Any number of them in any order does no
// harm.
type Tick struct {
	Kind string `json:"kind"` // TickRequest or TickRollout
	ID   string `json:"id"`   // of the request or rollout
	N    int    `json:"n"`    // which tick of it this is, from 0
	// Records are lines of the journal, one JSON object each, for a function
	// that has no durable journal; else empty.
	Records []string `json:"records,omitempty"`
}

// ParseTick reads a tick. The error, if any, is a *Faults.
func ParseTick(data []byte) (Tick, error) {
	r := read(data)
	var t Tick
	r.require("kind", "write request or rollout")
	t.Kind = r.str("kind", oneOf(TickRequest, TickRollout))
	r.require("id", "name the request or rollout")
	t.ID = r.str("id", checkText(maxTickID))
	r.require("n", "count the ticks from 0")
	t.N = r.whole("n", 0, maxTickN)
	t.Records = r.records("records")
	return t, r.finish()
}

// records reads lines of the journal. Unlike other lists it may hold a line
// twice: a repeated record is the reader's to recognise.
func (r *reader) records(name string) []string {
	v, there := r.field(name, array)
	if !there {
		return nil
	}
	if len(v.items) > maxTickRecords {
		r.faults.add(name, "has %d entries, more than the %d that are allowed", len(v.items), maxTickRecords)
		return nil
	}
	var lines []string
	for i, item := range v.items {
		var line map[string]json.RawMessage
		if item.kind != text || json.Unmarshal([]byte(item.text), &line) != nil || line == nil {
			r.faults.add(fmt.Sprintf("%s[%d]", name, i), "is not the JSON text of an object; write one record a string")
			continue
		}
		lines = append(lines, item.text)
	}
	return lines
}

// Event returns the tick as a CloudEvent from source, dated at.
func (t Tick) Event(source string, at time.Time) Event {
	return Event{
		Type: TypeTick, ID: fmt.Sprintf("%s/%s/tick/%d", t.Kind, t.ID, t.N), Source: source,
		Subject: t.ID, Time: at, Data: t,
	}
}
