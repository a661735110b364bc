package page

import (
	"encoding/json"
	"fmt"
	"html/template"
	"strings"
	"time"

	"github.com/regild/regild/internal/report"
)

// A sheet is the table of desktops as the browser gets it: a list for each
// column, with texts that come again and again replaced by their place in a
// dictionary. 20,000 desktops are some 2 MB.
type sheet struct {
	Operation string            `json:"work"`
	Texts     map[string]string `json:"texts"`
	// Zone is the time zone: from when on (in seconds since 1970) which offset (in
	// seconds) is in force.
	Zone [][2]int64 `json:"zone"`

	Words    []string `json:"words"`
	Stands   []string `json:"stands"`
	ID       []string `json:"id"`
	Wave     []int    `json:"wave"`
	Stand    []int    `json:"stand"`    // places in Stands
	Code     []int    `json:"code"`     // places in Words, as all below
	Message  []int    `json:"message"`  // U+0001 stands for the desktop's id
	From     []int    `json:"from"`     // images
	To       []int    `json:"to"`       //
	Request  []int    `json:"request"`  //
	Tries    []int    `json:"tries"`    //
	Accepted []int64  `json:"accepted"` // seconds since 1970; 0: not
	Done     []int64  `json:"done"`     //
	Nth      []int    `json:"nth"`      // of the final outcome; 0: none

	places map[string]int
}

func (s *sheet) word(w string) int {
	i, ok := s.places[w]
	if !ok {
		i = len(s.Words)
		s.places[w] = i
		s.Words = append(s.Words, w)
	}
	return i
}

// idMark stands for the desktop's own id in a message, which would otherwise be
// another message for each.
const idMark = "\x01"

// sheetOf returns the table as JSON that may stand in a script element: <, >
// and & are escaped.
func sheetOf(r *report.Report, l Lang, zone *time.Location, now time.Time) (template.JS, error) {
	s := sheet{Operation: r.ID, Texts: map[string]string{}, Zone: offsets(zone, r.Opened, now), places: map[string]int{}}
	for key := range texts {
		if name, ok := strings.CutPrefix(key, "js."); ok || strings.HasPrefix(key, "stand.") || key == "theme.auto" {
			s.Texts[name] = l.text(key)
		}
	}
	for _, x := range report.Stands {
		s.Stands = append(s.Stands, string(x))
	}
	n := len(r.Desktops)
	s.ID = make([]string, 0, n)
	for _, list := range []*[]int{&s.Wave, &s.Stand, &s.Code, &s.Message, &s.From, &s.To, &s.Request, &s.Tries, &s.Nth} {
		*list = make([]int, 0, n)
	}
	s.Accepted, s.Done = make([]int64, 0, n), make([]int64, 0, n)
	stands := map[report.Stand]int{}
	for i, x := range report.Stands {
		stands[x] = i
	}
	for _, d := range r.Desktops {
		message := strings.ReplaceAll(d.Message, idMark, "\ufffd")
		if d.ID != "" {
			message = strings.ReplaceAll(message, d.ID, idMark)
		}
		s.ID = append(s.ID, d.ID)
		s.Wave = append(s.Wave, d.Wave)
		s.Stand = append(s.Stand, stands[d.Stand])
		s.Code = append(s.Code, s.word(d.Code))
		s.Message = append(s.Message, s.word(message))
		s.From = append(s.From, s.word(d.From))
		s.To = append(s.To, s.word(d.To))
		s.Request = append(s.Request, s.word(d.RequestID))
		s.Tries = append(s.Tries, d.Attempts)
		s.Accepted = append(s.Accepted, seconds(d.Accepted))
		s.Done = append(s.Done, seconds(d.Done))
		s.Nth = append(s.Nth, d.Nth)
	}
	data, err := json.Marshal(&s)
	if err != nil {
		return "", fmt.Errorf("writing the table: %w", err)
	}
	return template.JS(data), nil
}

// textsOnly is the sheet of a page without a table.
func textsOnly(l Lang, zone *time.Location, now time.Time) (template.JS, error) {
	return sheetOf(&report.Report{Brief: report.Brief{Opened: now}}, l, zone, now)
}

func seconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// offsets are the zone's between two moments, and a year beyond: a page that is
// open goes on.
func offsets(zone *time.Location, from, to time.Time) [][2]int64 {
	at := from.In(zone)
	_, offset := at.Zone()
	out := [][2]int64{{0, int64(offset)}}
	for range 1000 {
		_, end := at.ZoneBounds()
		if end.IsZero() || end.After(to.AddDate(1, 0, 0)) {
			break
		}
		_, offset = end.Zone()
		out = append(out, [2]int64{end.Unix(), int64(offset)})
		at = end
	}
	return out
}
