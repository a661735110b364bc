package rollout

import (
	"bytes"
	"encoding/json"
	"slices"
	"time"

	"github.com/regild/regild/events"
)

// An Ending is how an operation came out, in short. It stands in the record behind which
// all of a closed operation is published, near the end of the journal: a listing reads it
// there, and need not fold what went before. It says nothing that the records before it
// do not say, and folding ignores it.
type Ending struct {
	Operation  Operation     `json:"work"` // without the desktops that it names
	Opened     time.Time     `json:"opened"`
	Closed     time.Time     `json:"closed"`
	Wave       int           `json:"wave,omitempty"`  // the one that began last; 0: none has
	Waves      int           `json:"waves,omitempty"` // how many there were to be
	Aborted    string        `json:"aborted,omitempty"`
	Superseded string        `json:"superseded,omitempty"`
	Counts     events.Counts `json:"counts"`
}

// Ending returns how it came out; nil while it is open. Nothing that it says
// changes afterwards.
func (s *State) Ending() *Ending {
	if s.Operation == nil || !s.Closed {
		return nil
	}
	e := &Ending{Operation: *s.Operation, Opened: s.OpenedAt, Closed: s.ClosedAt, Waves: s.Planned, Aborted: s.Aborted,
		Superseded: s.Superseded, Counts: s.Counts()}
	e.Operation.Desktops, e.Operation.Back, e.Operation.Since, e.Operation.to, e.Operation.since = nil, nil, nil, nil, nil
	if w := s.Wave(); w != nil {
		e.Wave = w.N
	}
	return e
}

// EndingIn returns the ending that stands in the last lines of a journal, or nil:
// then only folding the whole journal tells. One that is followed by anything but
// what says nothing of how the operation stands does not count.
func EndingIn(lines []byte) *Ending {
	at := bytes.LastIndex(lines, []byte(`,"ending":{"work":{`))
	if at < 0 {
		return nil
	}
	from := bytes.LastIndexByte(lines[:at], '\n') + 1
	line, after, _ := bytes.Cut(lines[from:], []byte("\n"))
	for later := range bytes.Lines(after) {
		if !OfPublished(later) && !bytes.HasPrefix(later, refusedLine) {
			return nil
		}
	}
	var r Record
	if json.Unmarshal(line, &r) != nil || r.Kind != KindPublished || !slices.Contains(r.Kind.Versions(), r.V) {
		return nil
	}
	return r.Ending
}

// How lines begin, as Encode writes them, that change nothing of how a closed operation
// came out.
var (
	publishedLines = [][]byte{[]byte(`{"v":1,"kind":"published",`), []byte(`{"v":2,"kind":"published",`)}
	refusedLine    = []byte(`{"v":1,"kind":"refused",`)
)

// OfPublished says whether a line of a journal says what was published, without decoding
// it: two of five lines do, and say nothing of how an operation stands.
func OfPublished(line []byte) bool {
	return slices.ContainsFunc(publishedLines, func(begins []byte) bool { return bytes.HasPrefix(line, begins) })
}
