package fleet

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/internal/pattern"
)

// A Notice says how the people at a desktop are told that it is to be rebuilt.
// The zero Notice tells nobody.
type Notice struct {
	// Lead is how long before the rebuild they are told at the latest. Default 0:
	// they are not told. Else 1m to 3d.
	Lead time.Duration
	// Remind is how long before the time that was named they are told again,
	// longest first, each shorter than Lead. Default: never.
	Remind []time.Duration
	// Text is what they are told, with the fields of NoticeFields. Default
	// DefaultNotice. At most MaxNotice bytes, here and with the fields filled in.
	Text string
	// Zone is the time zone of the time that is named; nil: that of the fleet's
	// first window, or UTC.
	Zone *time.Location
}

const (
	// MaxNotice is how many bytes a notice may have.
	MaxNotice = 1 << 10
	// MaxReminders is how many reminders there may be.
	MaxReminders = 5
)

// DefaultNotice is the text of a fleet that writes none.
const DefaultNotice = `This cloud desktop will be renewed at {{.At}} ({{.Zone}}) or soon after. ` +
	`Save your work and sign out before then; what is on drive C is lost.
此云电脑将于 {{.At}}（{{.Zone}}）起更新。请在此之前保存工作并注销，C 盘上的数据将丢失。`

// A Said is what a notice tells of.
type Said struct {
	Desktop, Fleet, Image, Release string
	At                             time.Time // the time that is named
	Minutes                        int       // until then
}

// NoticeFields are the fields that a text may have, as {{.At}}.
var NoticeFields = []string{"Desktop", "Fleet", "Image", "Release", "At", "Zone", "Minutes"}

var noticeField = pattern.Lazily(`\{\{\s*\.([A-Za-z]+)\s*\}\}`)

// Say fills in the fields. Nothing in what they hold is read as a field.
func (s Strategy) Say(w Said) string {
	zone := s.noticeZone()
	with := map[string]string{
		"Desktop": w.Desktop, "Fleet": w.Fleet, "Image": w.Image, "Release": w.Release,
		"At": w.At.In(zone).Format("2006-01-02 15:04"), "Zone": zone.String(), "Minutes": strconv.Itoa(w.Minutes),
	}
	text := s.Notice.Text
	if text == "" {
		text = DefaultNotice
	}
	out := noticeField().ReplaceAllStringFunc(text, func(field string) string {
		return with[noticeField().FindStringSubmatch(field)[1]]
	})
	if len(out) > MaxNotice {
		out = strings.ToValidUTF8(out[:MaxNotice], "")
	}
	return strings.TrimSpace(out)
}

func (s Strategy) noticeZone() *time.Location {
	switch {
	case s.Notice.Zone != nil:
		return s.Notice.Zone
	case len(s.Windows) > 0 && s.Windows[0].Zone != nil:
		return s.Windows[0].Zone
	}
	return time.UTC
}

// notice reads how people are told.
func (r *reader) notice(v value) Notice {
	var n Notice
	at := r.object(v, fields{
		"lead": func(v value) { n.Lead = r.duration(v, time.Minute, 3*day) },
		"remind": func(v value) {
			n.Remind = each(r, v, 1, MaxReminders, func(v value) time.Duration { return r.duration(v, time.Minute, 3*day) })
		},
		"text": func(v value) { n.Text = r.noticeText(v) },
		"zone": func(v value) { n.Zone = r.zone(v) },
	}, "lead")
	for i, d := range n.Remind {
		switch v := at["remind"].element(i); {
		case d > 0 && n.Lead > 0 && d >= n.Lead:
			r.faultf(v, "must be less than lead (%s)", written(n.Lead))
		case i > 0 && d >= n.Remind[i-1]:
			r.faultf(v, "must be less than the one before it (%s)", written(n.Remind[i-1]))
		}
	}
	return n
}

var braces = pattern.Lazily(`\{\{|\}\}`)

// noticeText reads a text whose every {{ is one of the fields.
func (r *reader) noticeText(v value) string {
	s, ok := r.scalar(v, anyText, "!!str")
	if !ok {
		return ""
	}
	if strings.TrimSpace(s) == "" || len(s) > MaxNotice {
		r.faultf(v, "must be 1 to %d bytes that are not all spaces, is %d", MaxNotice, len(s))
		return ""
	}
	for _, m := range noticeField().FindAllStringSubmatch(s, -1) {
		if !slices.Contains(NoticeFields, m[1]) {
			r.faultf(v, "there is no field {{.%s}}; there are %s%s", clip(m[1]), strings.Join(NoticeFields, ", "), meant(m[1], NoticeFields))
		}
	}
	if rest := noticeField().ReplaceAllString(s, ""); braces().MatchString(rest) {
		r.faultf(v, "{{ and }} must stand around a field, such as {{.At}}")
	}
	return s
}
