package fleet

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/internal/pattern"
)

// A form is what a text must look like, and how a fault says so. The schema holds
// the same patterns.
type form struct {
	*pattern.Pattern
	says string
}

var (
	nameForm    = form{pattern.Fleet, "must be 1 to 63 of a-z, 0-9 and -, and not begin with -"}
	regionForm  = form{pattern.Region, "must be a region id such as cn-hangzhou"}
	accountForm = form{pattern.Account, `must be the id of an account in quotes, such as "1234567890123456"`}
	roleForm    = form{pattern.New(`^(acs:ram::[0-9]{1,32}:role/)?[A-Za-z0-9.-]{1,64}$`, 0),
		"must be the name of a RAM role, or its ARN such as acs:ram::1234567890123456:role/regild-member"}
	externalForm = form{pattern.New(`^[A-Za-z0-9_+=,.@:/-]{2,}$`, 1224), "must be 2 to 1224 of letters, digits and _+=,.@:/-"}
	imageForm    = form{pattern.New(`^[^\x00-\x1f\x7f]{1,128}$`, 0), "must be 1 to 128 printable characters"}
	idForm       = form{pattern.New(`^[A-Za-z0-9][A-Za-z0-9_.:+-]{0,127}$`, 0), "must be an id: 1 to 128 of letters, digits and _.:+-"}
	tagKeyForm   = imageForm
	tagValueForm = form{pattern.New(`^[^\x00-\x1f\x7f]{0,128}$`, 0), "must be at most 128 printable characters"}
	reasonForm   = form{pattern.New(`^[^\x00-\x1f\x7f]{1,200}$`, 0), "must be 1 to 200 printable characters in one line"}
)

// text reads a text of the form; it returns "" for any other.
func (r *reader) text(v value, f form) string {
	s, ok := r.scalar(v, anyText, "!!str")
	if !ok {
		return ""
	}
	if !f.Matches(s) {
		r.faultf(v, "%s, is %s", f.says, quoted(s))
		return ""
	}
	return s
}

// set reads a list of at least one text of the form, none twice.
func (r *reader) set(v value, most int, item func(value) string) []string {
	var out []string
	lines := map[string]int{}
	r.list(v, 1, most, func(v value) {
		s := item(v)
		if s == "" {
			return
		}
		if line := lines[s]; line > 0 {
			r.faultf(v, "%s is in the list a second time (first in line %d); keep one", quoted(s), line)
			return
		}
		lines[s] = v.node.Line
		out = append(out, s)
	})
	return out
}

// texts reads a list of texts of the form, as set does.
func (r *reader) texts(v value, most int, f form) []string {
	return r.set(v, most, func(v value) string { return r.text(v, f) })
}

// oneOf reads one of a few words.
func (r *reader) oneOf(v value, words ...string) string {
	s, ok := r.scalar(v, "one of "+strings.Join(words, ", "), "!!str")
	if !ok {
		return ""
	}
	if !slices.Contains(words, s) {
		r.faultf(v, "must be one of %s, is %s%s", strings.Join(words, ", "), quoted(s), meant(s, words))
		return ""
	}
	return s
}

func (r *reader) truth(v value) bool {
	s, ok := r.scalar(v, "true or false", "!!bool")
	return ok && strings.EqualFold(s, "true")
}

// number reads a whole number of least to most.
func (r *reader) number(v value, least, most int) (int, bool) {
	s, ok := r.scalar(v, "a whole number", "!!int")
	if !ok {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	if err != nil || strconv.Itoa(n) != s || n < least || n > most {
		r.faultf(v, "must be a whole number from %d to %d, is %s", least, most, clip(s))
		return 0, false
	}
	return n, true
}

var percentForm = pattern.Lazily(`^(100(?:\.0{1,2})?|[0-9]{1,2}(?:\.[0-9]{1,2})?)%$`)

// share reads a count such as 5 or a percentage such as "10%". Nobody is a
// share only where zero says so.
func (r *reader) share(v value, zero bool) Amount {
	s, ok := r.scalar(v, `a number such as 5 or a percentage such as "10%"`, "!!int", "!!str")
	if !ok {
		return Amount{}
	}
	var out Amount
	if v.node.ShortTag() == "!!int" {
		n, ok := r.number(v, 0, MaxCount)
		if !ok {
			return Amount{}
		}
		out.Count = n
	} else {
		m := percentForm().FindStringSubmatch(s)
		if m == nil {
			r.faultf(v, `must be a number such as 5 or a percentage such as "10%%" (at most "100%%", two decimals), is %s`, quoted(s))
			return Amount{}
		}
		out.Percent, _ = strconv.ParseFloat(m[1], 64) // the pattern leaves nothing to fail
	}
	if out.IsZero() && !zero {
		r.faultf(v, "must be more than 0")
		return Amount{}
	}
	return out
}

var (
	durationForm = pattern.Lazily(`^(0|[0-9]{1,4}d|([0-9]{1,4}d)?([0-9]{1,6}(\.[0-9]{1,3})?(h|m|s|ms))+)$`)
	daysForm     = pattern.Lazily(`^([0-9]{1,4})d`)
)

// duration reads a duration of least to most, such as 30m, 1h30m or 14d.
func (r *reader) duration(v value, least, most time.Duration) time.Duration {
	const what = "a duration such as 30m, 1h30m or 14d"
	s, ok := r.scalar(v, what, "!!str", "!!int")
	if !ok {
		return 0
	}
	d, ok := parseDuration(s)
	if !ok {
		r.faultf(v, "must be %s, is %s", what, kind(v.node))
		return 0
	}
	if d < least || d > most {
		r.faultf(v, "must be %s to %s, is %s", written(least), written(most), clip(s))
		return 0
	}
	return d
}

// parseDuration reads what time.ParseDuration does, and days before it.
func parseDuration(s string) (time.Duration, bool) {
	if !durationForm().MatchString(s) {
		return 0, false
	}
	var days time.Duration
	if m := daysForm().FindStringSubmatch(s); m != nil {
		n, _ := strconv.Atoi(m[1]) // the pattern leaves nothing to fail
		days, s = time.Duration(n)*day, s[len(m[0]):]
	}
	if s == "" {
		return days, true
	}
	d, err := time.ParseDuration(s)
	if err != nil || d > 10000*day { // so that the sum cannot overflow
		return 0, false
	}
	return days + d, true
}

// written is a duration as fleets.yaml has it: 14d, 1h30m, 0.
func written(d time.Duration) string {
	out := ""
	if n := d / day; n > 0 {
		out, d = strconv.Itoa(int(n))+"d", d%day
	}
	if d == 0 {
		return cmp.Or(out, "0")
	}
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return out + s
}

var zoneForm = pattern.Lazily(`^[A-Za-z][A-Za-z0-9_+/-]{1,63}$`)

// zone reads the name of a time zone. Each name is looked up once.
func (r *reader) zone(v value) *time.Location {
	const what = "the name of a time zone such as Asia/Shanghai or UTC"
	s, ok := r.scalar(v, what, "!!str")
	if !ok {
		return nil
	}
	zone, known := r.zones[s]
	if !known && len(r.zones) == MaxZones {
		r.faultf(v, "is one time zone too many; at most %d different ones are read", MaxZones)
		return nil
	}
	if !known {
		// Local is wherever the function happens to run. The form keeps paths out.
		if zoneForm().MatchString(s) && s != "Local" {
			zone, _ = time.LoadLocation(s) // nil when there is none
		}
		r.zones[s] = zone
	}
	if zone == nil {
		r.faultf(v, "must be %s, is %s", what, quoted(s))
	}
	return zone
}
