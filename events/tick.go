package events

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/internal/jsonpart"
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
	// MAC proves that the function wrote the tick; see Sign. "" proves nothing.
	MAC string `json:"mac,omitempty"`
}

// Sign returns the tick with its MAC: the HMAC-SHA-256 under key of all that it
// says and of the CloudEvents source of the function, so that a tick of another
// function that has the same key is not taken for its own.
func (t Tick) Sign(key []byte, source string) Tick {
	t.MAC = macForm + hex.EncodeToString(t.sum(key, source))
	return t
}

// Signed says whether the tick was signed under key by the function of that
// source. It takes the same time whatever the MAC is. An empty key signs nothing.
func (t Tick) Signed(key []byte, source string) bool {
	mac, err := hex.DecodeString(strings.TrimPrefix(t.MAC, macForm))
	return len(key) > 0 && strings.HasPrefix(t.MAC, macForm) && err == nil && hmac.Equal(mac, t.sum(key, source))
}

const macForm = "hmac-sha256:"

// sum is the HMAC. Each part has its length before it, so that no two ticks have
// one text.
func (t Tick) sum(key []byte, source string) []byte {
	h := hmac.New(sha256.New, key)
	part := func(s string) { fmt.Fprintf(h, "%d:%s", len(s), s) }
	for _, s := range []string{TypeTick, source, t.Kind, t.ID, strconv.Itoa(t.N)} {
		part(s)
	}
	for _, s := range t.Records {
		part(s)
	}
	return h.Sum(nil)
}

// ParseTick reads a tick. The error, if any, is a *Faults.
func ParseTick(data []byte) (Tick, error) {
	r := read(data)
	var t Tick
	t.Kind = r.must("kind", "write request or rollout", oneOf(TickRequest, TickRollout))
	t.ID = r.must("id", "name the request or rollout", checkText(maxTickID))
	r.require("n", "count the ticks from 0")
	t.N = r.whole("n", 0, maxTickN)
	t.Records = r.records("records")
	t.MAC = r.str("mac", checkSignature)
	return t, r.finish()
}

// records reads lines of the journal. Unlike other lists it may hold a line
// twice: a repeated record is the reader's to recognise.
func (r *reader) records(name string) []string {
	v, there := r.field(name, array)
	if !there {
		return nil
	}
	items := jsonpart.Elements(v)
	if len(items) > maxTickRecords {
		r.faults.add(name, "has %d entries, more than the %d that are allowed", len(items), maxTickRecords)
		return nil
	}
	var lines []string
	for i, item := range items {
		s, err := jsonpart.Text(item)
		var line map[string]json.RawMessage
		if err != nil || json.Unmarshal([]byte(s), &line) != nil || line == nil {
			r.faults.add(fmt.Sprintf("%s[%d]", name, i), "is not the JSON text of an object; write one record a string")
			continue
		}
		lines = append(lines, s)
	}
	return lines
}

// Event returns the tick as a CloudEvent from source, dated at.
func (t Tick) Event(source string, at time.Time) Event {
	return Event{Type: TypeTick, ID: TickName(t.Kind, t.ID, t.N), Source: source, Subject: t.ID, Time: at, Data: t}
}

// TickName is the id of the CloudEvent that is a tick, or stands in for one: a request
// that the function sends again to itself is named as the tick that it comes instead of.
func TickName(kind, id string, n int) string { return kind + "/" + id + "/tick/" + strconv.Itoa(n) }

// TickNamed takes the id of a CloudEvent apart; false: it is no name of a tick.
func TickNamed(event string) (kind, id string, n int, is bool) {
	kind, rest, _ := strings.Cut(event, "/")
	i := strings.LastIndex(rest, "/tick/")
	if i < 0 {
		return "", "", 0, false
	}
	id = rest[:i]
	n, err := strconv.Atoi(rest[i+len("/tick/"):])
	return kind, id, n, err == nil && n >= 0 && n <= maxTickN && event == TickName(kind, id, n)
}
