package report

import (
	"cmp"
	"regexp"
	"slices"
	"strings"
	"time"
)

// A Cause is why several desktops failed or were refused: one code, and one
// message but for what differs from desktop to desktop.
type Cause struct {
	Stand Stand // Failed or Refused
	Code  string
	// Message has … where the desktop's id or a moment stood. It is "" where a
	// code came with more messages than are told apart.
	Message    string
	Desktops   []string // their ids, in the order in which they came
	RequestIDs []string // ECD's, each once, in the same order
	First      time.Time
	Last       time.Time
}

// maxMessages bounds how many messages of one code are told apart: a page with
// a group for each desktop would group nothing.
const maxMessages = 20

// moment is a time as messages write it.
var moment = regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)`)

// alike is a message without what differs between desktops that share a cause.
func alike(d Desktop) string {
	m := d.Message
	if d.ID != "" {
		m = strings.ReplaceAll(m, d.ID, "…")
	}
	return moment.ReplaceAllString(m, "…")
}

// causesOf groups what failed, and then what was refused, the largest group
// first.
func causesOf(desktops []Desktop) []Cause {
	type key struct {
		stand         Stand
		code, message string
	}
	var order []key
	groups, messages := map[key]*Cause{}, map[key]int{}
	for _, d := range desktops {
		if d.Stand != Failed && d.Stand != Refused {
			continue
		}
		k := key{d.Stand, d.Code, alike(d)}
		if groups[k] == nil {
			if all := (key{d.Stand, d.Code, ""}); messages[all] >= maxMessages {
				k = all
			} else {
				messages[all]++
			}
		}
		c := groups[k]
		if c == nil {
			c = &Cause{Stand: k.stand, Code: k.code, Message: k.message}
			groups[k] = c
			order = append(order, k)
		}
		c.add(d)
	}
	out := make([]Cause, 0, len(order))
	for _, k := range order {
		out = append(out, *groups[k])
	}
	slices.SortStableFunc(out, func(a, b Cause) int {
		return cmp.Or(strings.Compare(string(a.Stand), string(b.Stand)), len(b.Desktops)-len(a.Desktops), strings.Compare(a.Code, b.Code))
	})
	return out
}

func (c *Cause) add(d Desktop) {
	c.Desktops = append(c.Desktops, d.ID)
	// Calls carry 20 desktops, and neighbours share one.
	if id := d.RequestID; id != "" && !slices.Contains(c.RequestIDs[max(0, len(c.RequestIDs)-50):], id) {
		c.RequestIDs = append(c.RequestIDs, id)
	}
	if c.First.IsZero() || d.Done.Before(c.First) {
		c.First = d.Done
	}
	if d.Done.After(c.Last) {
		c.Last = d.Done
	}
}
