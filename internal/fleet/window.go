package fleet

import (
	"slices"
	"time"
)

// A Window is a span of the day, on certain days of the week, in a time zone.
//
// It follows the clock on the wall: a window is never open while that clock
// shows a time outside it. When clocks are set forward, a window that would
// open in the missing hour opens at the end of it, and one that would close in
// it closes at its begin. When clocks are set back, a window that opens in the
// repeated hour opens the second time the clock shows From, and one that closes
// there closes the first time after opening that the clock shows To.
type Window struct {
	// Days are the days on which it opens, Sunday first. Empty: every day.
	Days []time.Weekday
	// From and To are minutes of the day: From 0 to 1439, To 1 to 1440, never
	// equal. A To before From is on the day after.
	From, To int
	Zone     *time.Location // never nil
}

// A Blackout is a time in which nothing begins, and by which everything is
// expected to have ended: from From up to, but without, To. Whole days in the
// file became the instants at which they begin and end in their zone.
type Blackout struct {
	From, To time.Time
	Reason   string // for people; may be empty
}

// horizon is how far Open looks ahead: a year, and a day for leap years.
const horizon = 366 * day

// Open says whether something may begin now, and until when that holds. Open:
// until is when the window closes. Closed: until is when it opens next. A zero
// until means that this does not change within 366 days of now.
func (s Strategy) Open(now time.Time) (open bool, until time.Time) {
	// Most answers lie within days; only odd ones need the whole year.
	for _, ahead := range []time.Duration{8 * day, 40 * day, horizon} {
		open, until = change(s.spans(now, now.Add(ahead)), now)
		if !until.IsZero() && !until.After(now.Add(ahead)) {
			return open, until
		}
	}
	return open, time.Time{}
}

// change finds now in sorted spans that do not touch: whether it is in one, and
// the next begin or end.
func change(spans []span, now time.Time) (in bool, until time.Time) {
	for _, sp := range spans {
		if now.Before(sp.from) {
			return false, sp.from
		}
		if now.Before(sp.to) {
			return true, sp.to
		}
	}
	return false, time.Time{}
}

// A span is the time from one instant up to, but without, another.
type span struct{ from, to time.Time }

// spans returns when s is open around [now, end]: exact within it, sorted and
// apart. A span that is open at end reaches beyond it.
func (s Strategy) spans(now, end time.Time) []span {
	// A window may have opened the day before yesterday, as zones differ by up
	// to 26 hours; beyond end it is enough to know that it is open there.
	begin, end := now.Add(-3*day), end.Add(3*day)
	open := []span{{begin, end}}
	if len(s.Windows) > 0 {
		open = nil
		for _, w := range s.Windows {
			open = append(open, w.spans(begin, end)...)
		}
		open = merged(open)
	}
	var closed []span
	for _, b := range s.Blackouts {
		closed = append(closed, span{b.From, b.To})
	}
	return without(open, merged(closed))
}

// spans returns when the window is open on each day of the week that it names,
// from the date of begin to the date of end in its zone.
func (w Window) spans(begin, end time.Time) []span {
	var out []span
	y, m, d := begin.In(w.Zone).Date()
	for ; ; d++ {
		noon := time.Date(y, m, d, 12, 0, 0, 0, time.UTC)
		if noon.After(end.Add(day)) {
			return out
		}
		if len(w.Days) > 0 && !slices.Contains(w.Days, noon.Weekday()) {
			continue
		}
		if sp := w.on(y, m, d); sp.from.Before(sp.to) {
			out = append(out, sp)
		}
	}
}

// on returns when the window is open that begins on the date; from is not
// before to when clocks set forward leave nothing of it.
func (w Window) on(y int, m time.Month, d int) span {
	_, from := shows(w.Zone, time.Date(y, m, d, 0, w.From, 0, 0, time.UTC))
	last := d
	if w.To <= w.From {
		last++
	}
	first, second := shows(w.Zone, time.Date(y, m, last, 0, w.To, 0, 0, time.UTC))
	if first.After(from) {
		return span{from, first}
	}
	return span{from, second}
}

// shows returns the first and the last instant at which clocks in the zone show
// the date and time of wall, which is written in UTC. They differ when clocks
// were set back over it. When clocks were set forward over it, both are the
// instant at which that happened.
func shows(zone *time.Location, wall time.Time) (first, last time.Time) {
	y, m, d := wall.Date()
	guess := time.Date(y, m, d, wall.Hour(), wall.Minute(), 0, 0, zone)
	first, last = guess, guess
	start, end := guess.ZoneBounds()
	for _, set := range []time.Time{start, end} { // when clocks are set, around the guess
		if set.IsZero() {
			continue
		}
		before, after := offset(set.Add(-time.Second)), offset(set)
		gapFrom, gapTo := set.Add(before), set.Add(after) // on the wall, in UTC
		if !wall.Before(gapFrom.UTC()) && wall.Before(gapTo.UTC()) {
			return set, set
		}
		for _, off := range []time.Duration{before, after} {
			t := wall.Add(-off).In(zone)
			if offset(t) != off {
				continue
			}
			if t.Before(first) {
				first = t
			}
			if t.After(last) {
				last = t
			}
		}
	}
	return first, last
}

// offset returns how far clocks show ahead of UTC at t in its zone.
func offset(t time.Time) time.Duration {
	_, seconds := t.Zone()
	return time.Duration(seconds) * time.Second
}

// merged sorts spans and joins those that overlap or touch.
func merged(spans []span) []span {
	slices.SortFunc(spans, func(a, b span) int { return a.from.Compare(b.from) })
	var out []span
	for _, sp := range spans {
		if n := len(out); n > 0 && !sp.from.After(out[n-1].to) {
			if sp.to.After(out[n-1].to) {
				out[n-1].to = sp.to
			}
			continue
		}
		out = append(out, sp)
	}
	return out
}

// without takes the closed spans out of the open ones; both are merged.
func without(open, closed []span) []span {
	var out []span
	for _, sp := range open {
		for _, c := range closed {
			if !c.to.After(sp.from) || !c.from.Before(sp.to) {
				continue
			}
			if c.from.After(sp.from) {
				out = append(out, span{sp.from, c.from})
			}
			sp.from = c.to
		}
		if sp.from.Before(sp.to) {
			out = append(out, sp)
		}
	}
	return out
}
