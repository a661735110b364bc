package page

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/report"
)

// The charts are SVG whose places are percentages, so that they fit any width
// and their texts keep their size. Everything that one shows stands in a list
// or table beside it, too.

// A box is a bar in a chart.
type box struct {
	X, Width string // percentages
	Class    string
	Title    string
}

// A mark is a place on a time line.
type mark struct {
	X, Anchor, Text, Class string
}

// A track is one line of the time line.
type track struct {
	Label, Note string
	Class       string
	Boxes       []box
	Marks       []mark
	Done        string // path of the area of what is done
	Failed      string // path of the area of what failed, above it
}

// A timeline shows when things happened.
type timeline struct {
	Tracks []track
	Ticks  []mark
	From   time.Time
	To     time.Time
}

// scale maps times onto a line.
type scale struct{ from, to time.Time }

func (s scale) at(t time.Time) float64 {
	all := s.to.Sub(s.from)
	if all <= 0 {
		return 0
	}
	return min(100, max(0, 100*float64(t.Sub(s.from))/float64(all)))
}

func percent(f float64) string { return fmt.Sprintf("%.2f%%", f) }

// least is how narrow a box may be: what can be seen and pointed at.
const least = 0.35

func (s scale) box(from, to time.Time, class, title string) box {
	if to.IsZero() {
		to = s.to
	}
	a, b := s.at(from), s.at(to)
	width := max(least, b-a)
	return box{X: percent(min(a, 100-width)), Width: percent(width), Class: class, Title: title}
}

// timelineOf draws a report up to now, or to its end.
func timelineOf(r *report.Report, l Lang, zone *time.Location, now time.Time) timeline {
	s := scale{r.Opened, now}
	if !r.Ended.IsZero() {
		s.to = r.Ended
	}
	if r.Last.After(s.to) {
		s.to = r.Last
	}
	tl := timeline{From: s.from, To: s.to, Ticks: ticks(s, zone)}
	c := r.Counts
	done, failed := progress(r, s)
	tl.Tracks = append(tl.Tracks, track{Label: l.text("timeline.progress"), Class: "tall", Done: done, Failed: failed,
		Note: l.text("timeline.done", r.Done(), c.Fleet)})
	for _, w := range r.Waves {
		t := track{Label: waveTitle(l, w.N, w.Name), Note: l.text("timeline.done", w.Counts.Completed+w.Counts.Skipped+w.Counts.Refused+w.Counts.Failed, w.Size)}
		if r.Request() {
			t.Label = l.text("kind.request")
		}
		title := t.Label + ": " + clock(w.Begun, zone)
		if !w.Ended.IsZero() {
			title += " – " + clock(w.Ended, zone)
		}
		t.Boxes = append(t.Boxes, s.box(w.Begun, w.Ended, "wave", title))
		t.Marks = failures(r, w.N, s)
		tl.Tracks = append(tl.Tracks, t)
	}
	if len(r.Stood) > 0 {
		t := track{Label: l.text("timeline.stood"), Note: l.span(stoodFor(r, now))}
		for _, x := range r.Stood {
			t.Boxes = append(t.Boxes, s.box(x.From, x.To, "stood-"+x.What, standTitle(l, x, zone)))
		}
		tl.Tracks = append(tl.Tracks, t)
	}
	if len(r.Said) > 0 {
		t := track{Label: l.text("timeline.said"), Note: number(len(r.Said))}
		for _, x := range r.Said[:min(len(r.Said), 200)] {
			t.Marks = append(t.Marks, mark{X: percent(s.at(x.At)), Class: "said",
				Text: clock(x.At, zone) + " " + l.text("action."+x.Action) + ", " + escape.Terminal(x.Who)})
		}
		tl.Tracks = append(tl.Tracks, t)
	}
	return tl
}

func waveTitle(l Lang, n int, name string) string {
	switch name {
	case "", fmt.Sprintf("wave %d", n), "request":
		return l.text("wave", n)
	case "canary", "everybody":
		return l.text("wave.named", n, l.text("wave."+name))
	}
	return l.text("wave.named", n, escape.Terminal(name))
}

func standTitle(l Lang, x report.Standstill, zone *time.Location) string {
	text := l.text("stood."+x.What) + ", " + cmp.Or(escape.Terminal(x.Code), escape.Terminal(x.By)) + ": " + clock(x.From, zone) + " – "
	if !x.To.IsZero() {
		text += clock(x.To, zone)
	}
	return text
}

// stoodFor adds up standstills. They do not overlap.
func stoodFor(r *report.Report, now time.Time) (all time.Duration) {
	for _, x := range r.Stood {
		to := x.To
		if to.IsZero() {
			to = now
		}
		all += max(0, to.Sub(x.From))
	}
	return all
}

// failures are the moments at which desktops of a wave failed, each place once.
func failures(r *report.Report, wave int, s scale) []mark {
	var out []mark
	seen := map[string]bool{}
	for _, d := range r.Desktops {
		if d.Wave != wave || d.Stand != report.Failed {
			continue
		}
		x := fmt.Sprintf("%.1f%%", s.at(d.Done))
		if !seen[x] {
			seen[x] = true
			out = append(out, mark{X: x, Class: "failure", Text: escape.Terminal(d.ID)})
		}
	}
	return out
}

// steps is how finely the area is drawn.
const steps = 200

// progress draws how many desktops were done, and how many of those had failed,
// on a field of 1000 by 100.
func progress(r *report.Report, s scale) (done, failed string) {
	var all, bad [steps + 1]int
	for _, d := range r.Desktops {
		if !d.Stand.Final() {
			continue
		}
		at := int(s.at(d.Done) / 100 * steps)
		all[at]++
		if d.Stand == report.Failed {
			bad[at]++
		}
	}
	whole := max(1, r.Counts.Fleet)
	var upper, lower []string
	n, k := 0, 0
	for i := range all {
		n, k = n+all[i], k+bad[i]
		x := float64(i) * 1000 / steps
		upper = append(upper, fmt.Sprintf("%.1f,%.2f", x, 100-100*float64(n)/float64(whole)))
		lower = append(lower, fmt.Sprintf("%.1f,%.2f", x, 100-100*float64(n-k)/float64(whole)))
	}
	done = "M0,100 L" + strings.Join(lower, " ") + " L1000,100 Z"
	if k == 0 {
		return done, ""
	}
	slices.Reverse(lower)
	return done, "M" + strings.Join(upper, " ") + " L" + strings.Join(lower, " ") + " Z"
}

// tickSteps are the distances between marks on the axis.
var tickSteps = []time.Duration{
	time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour,
	12 * time.Hour, 24 * time.Hour, 2 * 24 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 28 * 24 * time.Hour, 91 * 24 * time.Hour, 365 * 24 * time.Hour,
}

// maxTicks is how many labels fit beside one another on a narrow screen.
const maxTicks = 7

func ticks(s scale, zone *time.Location) []mark {
	all := s.to.Sub(s.from)
	step := tickSteps[len(tickSteps)-1]
	for _, d := range tickSteps {
		if all/d <= maxTicks {
			step = d
			break
		}
	}
	var out []mark
	from := s.from.In(zone)
	y, m, d := from.Date()
	// From midnight, so that marks stand on full hours and days of the zone.
	for at := time.Date(y, m, d, 0, 0, 0, 0, zone); !at.After(s.to) && len(out) < 4*maxTicks; {
		if !at.Before(s.from) {
			x := s.at(at)
			anchor := "middle"
			if x < 4 {
				anchor = "start"
			} else if x > 96 {
				anchor = "end"
			}
			label := at.Format("15:04")
			if at.Hour() == 0 && at.Minute() == 0 {
				label = at.Format("01-02")
			}
			out = append(out, mark{X: percent(x), Anchor: anchor, Text: label})
		}
		if step >= 24*time.Hour {
			at = at.AddDate(0, 0, int(step/(24*time.Hour)))
		} else {
			at = at.Add(step)
		}
	}
	return out
}

// shares draws how many desktops stand where. Nobody who is there is invisible.
func shares(c events.Counts, l Lang) []box {
	all := 0
	for _, s := range report.Stands {
		all += s.Of(c)
	}
	if all == 0 {
		return nil
	}
	var widths []float64
	sum := 0.0
	for _, s := range report.Stands {
		w := 0.0
		if n := s.Of(c); n > 0 {
			w = max(0.8, 100*float64(n)/float64(all))
		}
		widths = append(widths, w)
		sum += w
	}
	var out []box
	at := 0.0
	for i, s := range report.Stands {
		if widths[i] > 0 {
			w := widths[i] * 100 / sum
			out = append(out, box{X: percent(at), Width: percent(w), Class: "is-" + string(s), Title: number(s.Of(c)) + " " + l.text("stand."+string(s))})
			at += w
		}
	}
	return out
}

// A column is a bar of the distribution.
type column struct {
	X, Width, Middle string
	Y, Height        int
	N                int
	Label            string // "" where there is no room for one
	Range            string
}

// tallest is how high the highest column is, in pixels; room above it is for its
// number.
const tallest, headroom = 110, 18

func columns(t report.Took, l Lang) []column {
	most := 0
	for _, b := range t.Bars {
		most = max(most, b.N)
	}
	if most == 0 {
		return nil
	}
	width := 100 / float64(len(t.Bars))
	every := (len(t.Bars) + 7) / 8
	var out []column
	for i, b := range t.Bars {
		h := (b.N*tallest + most - 1) / most
		c := column{X: percent(float64(i)*width + width*0.06), Width: percent(width * 0.88), Middle: percent((float64(i) + 0.5) * width),
			Y: headroom + tallest - h, Height: h, N: b.N, Range: l.span(b.From) + " – " + l.span(b.From+t.Width)}
		if i == len(t.Bars)-1 && t.Max >= b.From+t.Width {
			c.Range = l.text("took.last", l.span(b.From))
		}
		if i%every == 0 {
			c.Label = l.span(b.From)
		}
		out = append(out, c)
	}
	return out
}
