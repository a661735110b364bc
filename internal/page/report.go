package page

import (
	"cmp"
	"io"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/report"
)

// A Source says which journal a report was made of.
type Source struct {
	Key    string // such as rollout/2026.11.3~2foffice.jsonl
	Bytes  int
	SHA256 string // of these bytes, in hex
}

// Extras are what a report may show beside the report itself.
type Extras struct {
	Source     Source
	Comparison *report.Comparison // with the plan; nil: there is none
	Actions    []string           // that may be asked for from this page
}

// Report writes the page of a report. With Options.Linked unset it is one file
// that needs nothing else and asks nobody for anything.
func Report(w io.Writer, r *report.Report, x Extras, o Options) error {
	o = o.filled()
	data, err := sheetOf(r, o.Lang, o.Zone, o.Now)
	if err != nil {
		return err
	}
	body := reportBody{Report: r, Extras: x, Now: o.Now, Kind: kindOf(r), Lead: o.Lang.sentence(r, o.Now), Attention: attentionOf(r, o),
		Timeline: timelineOf(r, o.Lang, o.Zone, o.Now), Columns: columns(r.Took, o.Lang), Bottom: headroom + tallest, Chart: headroom + tallest + 20,
		StoodFor: stoodFor(r, o.Now)}
	body.ToCome = max(0, r.Brief.Waves-len(r.Waves))
	body.ToComeDesktops = max(0, r.Counts.Fleet-len(r.Desktops))
	return o.frame(o.Lang.text("title."+r.Kind(), escape.Terminal(r.ID)), r.Name(), data, body).write(w, "report")
}

func kindOf(r *report.Report) string {
	if r.Undoes != "" {
		return "rollback"
	}
	return r.Kind()
}

// reportBody is what the template of a report is filled with.
type reportBody struct {
	*report.Report
	Extras
	Now            time.Time
	Kind           string
	Lead           string
	Attention      []notice
	Timeline       timeline
	Columns        []column
	Bottom, Chart  int // heights in the distribution, in pixels
	StoodFor       time.Duration
	ToCome         int // waves
	ToComeDesktops int
}

// Sofar is how long the operation has been under way, or was.
func (b reportBody) Sofar() time.Duration { return b.Lasted(b.Now) }

// A notice is something that somebody should look at.
type notice struct {
	Class string // bad, warn or good
	Text  string
	Tail  string
	Link  string // an anchor on the page
	See   string
}

// silence is how long an operation may write nothing before that is worth a notice:
// ticks come within an hour.
const silence = 2 * time.Hour

// attentionOf says what somebody should look at, the most urgent first.
func attentionOf(r *report.Report, o Options) []notice {
	l := o.Lang
	out := standNotices(r, o)
	if r.Closed && !r.Digest.Agrees() {
		out = append(out, notice{Class: "bad", Text: l.text("attention.digest"), Link: "#record"})
	}
	for _, x := range []struct {
		stand report.Stand
		n     int
		class string
	}{{report.Failed, r.Counts.Failed, "bad"}, {report.Refused, r.Counts.Refused, "warn"}} {
		if x.n == 0 {
			continue
		}
		why := ""
		for _, c := range r.Causes {
			if c.Stand == x.stand {
				why = cmp.Or(escape.Terminal(c.Code), escape.Terminal(c.Message))
				break
			}
		}
		out = append(out, notice{Class: x.class, Text: l.count("attention."+string(x.stand), x.n, why), Link: "#causes", See: l.text("attention.see")})
	}
	quiet := o.Now.Sub(r.Last)
	if r.Untold > 0 && (r.Closed || quiet > silence) {
		out = append(out, notice{Class: "warn", Text: l.count("attention.untold", r.Untold)})
	}
	if !r.Closed && r.State == report.StateRunning && quiet > silence {
		out = append(out, notice{Class: "bad", Text: l.text("attention.silent", l.span(quiet))})
	}
	return out
}

// standNotices say why an open operation stands still.
func standNotices(r *report.Report, o Options) []notice {
	l := o.Lang
	if r.Closed || len(r.Stood) == 0 || !r.Stood[len(r.Stood)-1].To.IsZero() {
		return nil
	}
	last := r.Stood[len(r.Stood)-1]
	why := escape.Terminal(last.Message)
	if r.Reason != nil {
		why = escape.Terminal(r.Reason.Message)
	}
	tail := l.text("since", clock(last.From, o.Zone))
	if !last.Until.IsZero() {
		tail += ", " + l.text("announced", clock(last.Until, o.Zone))
	}
	n := notice{Class: "warn", Tail: tail, Link: "#timeline"}
	switch {
	case last.What == report.StoodHalted:
		n.Class, n.Text = "bad", l.text("attention.halted", why)
	case last.What == report.StoodPaused:
		n.Text = l.text("attention.paused", escape.Terminal(last.By), why)
	case last.Code == events.CodeApprovalAwaited:
		n.Text = l.text("attention.approval", why)
	default:
		n.Text = l.text("attention.waiting", why)
	}
	return []notice{n}
}

// Saved are the desktops of whose data disk a snapshot was made.
func (b reportBody) Saved() []report.Desktop {
	return slices.DeleteFunc(slices.Clone(b.Desktops), func(d report.Desktop) bool { return d.Snapshot == nil })
}

// FailedCauses is how many causes the failures have.
func (b reportBody) FailedCauses() (n int) {
	for _, c := range b.Causes {
		if c.Stand == report.Failed {
			n++
		}
	}
	return n
}

// Alone is how many desktops were left as they were.
func (b reportBody) Alone() int { return b.Counts.Refused + b.Counts.Skipped }

// Left is how many desktops have no final outcome yet.
func (b reportBody) Left() int { return b.Counts.Fleet - b.Done() }

// maxBefore bounds how many former images are listed.
const maxBefore = 20

// Before lists the images that desktops were on before, the most common first.
func (b reportBody) Before() []report.Back {
	at := map[string]int{}
	var out []report.Back
	for _, d := range b.Desktops {
		if d.From == "" {
			continue
		}
		i, ok := at[d.From]
		if !ok {
			i = len(out)
			at[d.From] = i
			out = append(out, report.Back{ImageID: d.From})
		}
		out[i].Desktops = append(out[i].Desktops, d.ID)
	}
	slices.SortStableFunc(out, func(a, b report.Back) int { return len(b.Desktops) - len(a.Desktops) })
	return out[:min(len(out), maxBefore)]
}
