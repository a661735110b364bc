// Package page draws reports for a browser: a report as one file that needs
// nothing else, and the pages of the dashboard. It turns values into HTML and
// asks nobody for anything.
//
// Its rules:
//
//   - Text from outside (ids, names, messages) is written by html/template or,
//     in the browser, as a text node, and goes through package escape before:
//     it stays text, and nothing in it is invisible.
//   - There is no inline style and no inline handler: the pages work under a
//     policy that allows one script and one style sheet, named by their hashes
//     or served beside the page, and no request to anywhere.
//   - Without JavaScript everything is there but the table of desktops.
//
// The files: page.go has the layout, report.go the report, board.go the pages
// of the dashboard, chart.go the drawings, data.go the table, texts.go
// the words in both languages (what codes mean is in events.Codes and docs/zh);
// assets has the templates, the style and the script.
package page

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"fmt"
	"html/template"
	"io"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/report"
)

//go:embed assets/page.css assets/page.js assets/*.tmpl
var assets embed.FS

func asset(name string) string {
	data, err := assets.ReadFile("assets/" + name)
	if err != nil { // it is embedded
		panic(err)
	}
	return string(data)
}

// CSS and JS are the style sheet and the script of all pages.
var (
	CSS = asset("page.css")
	JS  = asset("page.js")
)

// Policy is the content security policy of a page that carries its style and
// script in itself: these two, by their hashes, and nothing else.
func Policy() string {
	return fmt.Sprintf("default-src 'none'; script-src '%s'; style-src '%s'; img-src data:; base-uri 'none'; form-action 'none'", hash(JS), hash(CSS))
}

func hash(s string) string {
	sum := sha256.Sum256([]byte(s))
	return "sha256-" + base64.StdEncoding.EncodeToString(sum[:])
}

// Options say how a page is drawn.
type Options struct {
	Lang Lang           // default English
	Zone *time.Location // of all times; default UTC
	Now  time.Time      // when the page is made
	// Version names the build that makes it.
	Version string
	// Linked: the style and script are not in the page, but at /assets/page.css
	// and /assets/page.js, and the page keeps itself up to date from /events.
	Linked bool
	// Revision names what the page shows, for /events: what it was before the page
	// was drawn.
	Revision string
}

func (o Options) filled() Options {
	if o.Lang == "" {
		o.Lang = English
	}
	if o.Zone == nil {
		o.Zone = time.UTC
	}
	return o
}

// A frame is what every page has.
type frame struct {
	Options
	Title  string
	Policy string
	Style  template.CSS
	Script template.JS
	Data   template.JS
	Back   bool   // there is a board to go back to
	Watch  string // what the page shows: an operation, "board", or "" for nothing that changes
	Body   any
}

func (o Options) frame(title, watch string, data template.JS, body any) frame {
	f := frame{Options: o, Title: title, Data: data, Body: body}
	if o.Linked {
		f.Back, f.Watch = watch != "board", watch
		return f
	}
	f.Policy, f.Style, f.Script = Policy(), template.CSS(CSS), template.JS(JS)
	return f
}

// write executes the template of a page.
func (f frame) write(w io.Writer, name string) error {
	t, err := templates[f.Lang].Clone()
	if err != nil {
		return fmt.Errorf("drawing a page: %w", err)
	}
	zone := f.Zone
	t.Funcs(template.FuncMap{
		"at":    func(t time.Time) string { return clock(t, zone) },
		"short": func(t time.Time) string { return shortClock(t, zone) },
		"zone":  func() string { return zoneName(zone, f.Now) },
	})
	if err := t.ExecuteTemplate(w, name, f); err != nil {
		return fmt.Errorf("drawing a page: %w", err)
	}
	return nil
}

// templates are parsed once for each language.
var templates = func() map[Lang]*template.Template {
	out := map[Lang]*template.Template{}
	for _, l := range Langs {
		out[l] = template.Must(template.New("").Funcs(template.FuncMap{
			"t": l.text, "count": l.count, "span": l.span, "meaning": l.meaning, "v": escape.Terminal, "n": number, "tag": l.tag,
			"stands": func() []report.Stand { return report.Stands },
			"of":     func(s report.Stand, c events.Counts) int { return s.Of(c) },
			"shares": func(c events.Counts) []box { return shares(c, l) },
			"wave":   func(n int, name string) string { return waveTitle(l, n, name) },
			"at":     func(time.Time) string { return "" },
			"short":  func(time.Time) string { return "" },
			"zone":   func() string { return "" },
			"until": func(r *events.Reason) time.Time {
				if r == nil || r.Until == nil {
					return time.Time{}
				}
				return *r.Until
			},
			"reason": func(b report.Brief) string {
				if b.Reason == nil {
					return ""
				}
				return escape.Terminal(b.Reason.Message)
			},
			"share": share,
			"more":  func(all, shown int) int { return all - shown },
		}).ParseFS(assets, "assets/*.tmpl"))
	}
	return out
}()

// clock writes a moment. Which zone is meant is said once on the page.
func clock(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("2006-01-02 15:04:05")
}

// shortClock writes a moment where the year and the seconds say nothing.
func shortClock(t time.Time, zone *time.Location) string {
	if t.IsZero() {
		return ""
	}
	return t.In(zone).Format("01-02 15:04")
}

// zoneName names a time zone by its name, if it has one that says something,
// and by its offset at a moment.
func zoneName(zone *time.Location, at time.Time) string {
	offset := at.In(zone).Format("-07:00")
	if name := zone.String(); name != "Local" && name != "" {
		return name + " (UTC" + offset + ")"
	}
	return "UTC" + offset
}

// share is a part of a whole in percent, never rounded to all or nothing.
func share(part, whole int) string {
	switch {
	case whole <= 0 || part == 0:
		return "0%"
	case part == whole:
		return "100%"
	}
	return fmt.Sprintf("%d%%", min(99, max(1, (200*part+whole)/(2*whole))))
}
