package fleet

import (
	"slices"
	"strconv"
	"time"

	"github.com/regild/regild/internal/pattern"
)

// weekdays are the days as fleets.yaml writes them, Sunday first as in time.
var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// window reads when a rollout may work.
func (r *reader) window(v value) Window {
	w := Window{From: -1, To: -1}
	at := r.object(v, fields{
		"days": func(v value) { w.Days = r.days(v) },
		"from": func(v value) { w.From = r.timeOfDay(v, false) },
		"to":   func(v value) { w.To = r.timeOfDay(v, true) },
		"zone": func(v value) { w.Zone = r.zone(v) },
	}, "from", "to", "zone")
	if w.From >= 0 && w.From == w.To {
		r.faultf(at["to"], `must differ from "from"; a whole day is from "00:00" to "24:00"`)
	}
	return w
}

// length is how long the window is on a day on which no clocks are set.
func (w Window) length() time.Duration {
	minutes := w.To - w.From
	if minutes <= 0 {
		minutes += 24 * 60
	}
	return time.Duration(minutes) * time.Minute
}

func (r *reader) days(v value) []time.Weekday {
	var out []time.Weekday
	for _, s := range r.set(v, len(weekdays), func(v value) string { return r.oneOf(v, weekdays...) }) {
		out = append(out, time.Weekday(slices.Index(weekdays, s)))
	}
	slices.Sort(out)
	return out
}

var clockForm = pattern.Lazily(`^(?:([01][0-9]|2[0-3]):([0-5][0-9])|(24):(00))$`)

// timeOfDay reads a time such as "22:30" as the minute of the day, or -1. Only
// an end can be "24:00".
func (r *reader) timeOfDay(v value, end bool) int {
	const what = `a time of day such as "22:30"`
	s, ok := r.scalar(v, what, "!!str")
	if !ok {
		return -1
	}
	m := clockForm().FindStringSubmatch(s)
	if m == nil || (m[3] != "" && !end) {
		r.faultf(v, "must be %s, is %s", what, quoted(s))
		return -1
	}
	hours, _ := strconv.Atoi(m[1] + m[3]) // the pattern leaves nothing to fail
	minutes, _ := strconv.Atoi(m[2] + m[4])
	minute := hours*60 + minutes
	if end && minute == 0 {
		return 24 * 60 // midnight at the end of the day
	}
	return minute
}

// blackout reads a time in which nothing begins: whole days in a zone, both
// included, or from one instant to another.
func (r *reader) blackout(v value) Blackout {
	var b Blackout
	var from, to moment
	var zone *time.Location
	at := r.object(v, fields{
		"from":   func(v value) { from = r.moment(v) },
		"to":     func(v value) { to = r.moment(v) },
		"zone":   func(v value) { zone = r.zone(v) },
		"reason": func(v value) { b.Reason = r.text(v, reasonForm) },
	}, "from")
	_, hasTo := at["to"]
	_, hasZone := at["zone"]
	if !from.known || hasTo && !to.known {
		return b
	}
	switch {
	case hasTo && to.day != from.day:
		r.faultf(at["to"], "must be a day if from is one, and a day with a time if from is one")
	case from.day && !hasZone:
		r.faultf(v, "must have the key zone: days begin at different times in different zones")
	case !from.day && hasZone:
		r.faultf(at["zone"], "must not stand beside days with a time, which carry their zone; leave it out")
	case !from.day && !hasTo:
		r.faultf(v, "must have the key to, as from is not a whole day")
	case from.day && zone != nil:
		if !hasTo {
			to = from
		}
		b.From, b.To = midnight(zone, from.at, 0), midnight(zone, to.at, 1)
	case !from.day:
		b.From, b.To = from.at, to.at
	}
	if !b.From.IsZero() && !b.From.Before(b.To) {
		r.faultf(at["to"], "must be after from")
	}
	return b
}

// A moment is a day, written in UTC, or an instant.
type moment struct {
	at         time.Time
	day, known bool
}

var momentForm = pattern.Lazily(`^20[0-9]{2}-[01][0-9]-[0-3][0-9](T[0-2][0-9]:[0-5][0-9]:[0-5][0-9](Z|[+-][01][0-9]:[0-5][0-9]))?$`)

func (r *reader) moment(v value) moment {
	const what = "a day such as 2026-12-24, or a day with a time such as 2026-12-24T18:00:00+08:00"
	s, ok := r.scalar(v, what, "!!str", "!!timestamp")
	if !ok {
		return moment{}
	}
	isDay := len(s) == len(time.DateOnly)
	layout := time.RFC3339
	if isDay {
		layout = time.DateOnly
	}
	t, err := time.Parse(layout, s)
	if err != nil || !momentForm().MatchString(s) {
		r.faultf(v, "must be %s, is %s", what, quoted(s))
		return moment{}
	}
	return moment{at: t, day: isDay, known: true}
}

// midnight returns when the day, or one some days after it, begins in the zone.
func midnight(zone *time.Location, date time.Time, after int) time.Time {
	first, _ := shows(zone, date.AddDate(0, 0, after))
	return first
}
