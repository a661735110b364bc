package dashboard

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/page"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// readLimit bounds how long a page waits for the journal.
const readLimit = 30 * time.Second

func (d *Dashboard) options() page.Options {
	return page.Options{Lang: d.Lang, Zone: d.Zone, Now: d.Now(), Version: d.Version, Linked: true}
}

func (d *Dashboard) asset(kind, content string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		_, _ = io.WriteString(w, content) // whoever asked has gone
	}
}

// write sends a page, whole or not at all.
func (d *Dashboard) write(w http.ResponseWriter, status int, draw func(page.Options, io.Writer) error) {
	var b bytes.Buffer
	if err := draw(d.options(), &b); err != nil {
		http.Error(w, "The page could not be drawn.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes()) // whoever asked has gone
}

// problem sends a page with one sentence.
func (d *Dashboard) problem(w http.ResponseWriter, _ *http.Request, status int, sentence string) {
	d.write(w, status, func(o page.Options, b io.Writer) error { return page.WriteProblem(b, sentence, o) })
}

// maxQuery bounds what is searched for, in bytes.
const maxQuery = 200

func (d *Dashboard) showBoard(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query().Get("q")
	if len(query) > maxQuery {
		d.problem(w, r, http.StatusBadRequest, fmt.Sprintf("What is searched for is longer than %d bytes; make it shorter.", maxQuery))
		return
	}
	revision := d.hub.revision(boardName)
	b := board(d.index.now(), d.Fleets, query)
	b.Journal, b.Controls = d.Name, d.Control != nil
	d.write(w, http.StatusOK, func(o page.Options, out io.Writer) error {
		o.Revision = revision
		return page.WriteBoard(out, b, o)
	})
}

// A faultyError says what is wrong with what was asked for, and with which
// status to answer.
type faultyError struct {
	status   int
	sentence string
}

func (e faultyError) Error() string { return e.sentence }

// maxName bounds the name of an operation, in bytes: far beyond what events takes.
const maxName = 1024

// read reads the journal that a name such as rollout/2026.11.3/office means.
func (d *Dashboard) read(r *http.Request, name string) (*report.Builder, page.Source, error) {
	kind, id, ok := strings.Cut(name, "/")
	if !ok || kind != kindRequest && kind != kindRollout || id == "" || len(name) > maxName {
		return nil, page.Source{}, faultyError{http.StatusBadRequest, "The address names no rollout and no request. Go back to the first page and choose one."}
	}
	ctx, cancel := context.WithTimeout(r.Context(), readLimit)
	defer cancel()
	key := journal.Key(kind, id)
	lines, _, err := d.Journal.Read(ctx, key, 0)
	if err != nil {
		return nil, page.Source{}, faultyError{http.StatusBadGateway, fmt.Sprintf("The journal of %s cannot be read: %s", name, err)}
	}
	b := report.NewBuilder()
	if err := b.Read(lines); err != nil {
		return nil, page.Source{}, faultyError{http.StatusBadGateway, fmt.Sprintf("The journal of %s cannot be read: %s", name, err)}
	}
	if b.State().Operation == nil {
		return nil, page.Source{}, faultyError{http.StatusNotFound, fmt.Sprintf("The journal knows no %s %s. It may have expired.", kind, id)}
	}
	sum := sha256.Sum256(lines)
	return b, page.Source{Key: key, Bytes: len(lines), SHA256: hex.EncodeToString(sum[:])}, nil
}

// refuse answers an error of read.
func (d *Dashboard) refuse(w http.ResponseWriter, r *http.Request, err error) {
	var f faultyError
	if !errors.As(err, &f) {
		f = faultyError{http.StatusInternalServerError, err.Error()}
	}
	d.problem(w, r, f.status, f.sentence)
}

func (d *Dashboard) showReport(w http.ResponseWriter, r *http.Request) {
	revision := d.hub.revision(r.URL.Query().Get("of"))
	b, source, err := d.read(r, r.URL.Query().Get("of"))
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	rep, err := b.Report()
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	extras := page.Extras{Source: source}
	if r.URL.Query().Get("file") != "" {
		w.Header().Set("Content-Disposition", `attachment; filename="`+FileName(rep.ID)+`"`)
		d.write(w, http.StatusOK, func(o page.Options, out io.Writer) error {
			o.Linked = false
			return page.Report(out, rep, extras, o)
		})
		return
	}
	for _, action := range actionsFor(b.State()) {
		if d.Control != nil && d.allow(b.State(), action, 0) == nil {
			extras.Actions = append(extras.Actions, action)
		}
	}
	d.write(w, http.StatusOK, func(o page.Options, out io.Writer) error {
		o.Revision = revision
		return page.Report(out, rep, extras, o)
	})
}

// FileName is what the file with the report of an operation is called.
func FileName(id string) string {
	safe := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '.' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, id)
	return "regild-" + strings.TrimLeft(safe[:min(len(safe), 100)], ".-") + ".html"
}

// heartbeat is how often a page that listens hears something, so that both
// sides notice when the other is gone.
const heartbeat = 15 * time.Second

// listen tells a page when what it shows has changed, as server-sent events.
func (d *Dashboard) listen(w http.ResponseWriter, r *http.Request) {
	of := r.URL.Query().Get("of")
	if of == "" || len(of) > maxName {
		d.problem(w, r, http.StatusBadRequest, "The address does not say what to listen to.")
		return
	}
	l := d.hub.listen(of, r.URL.Query().Get("seen"))
	if l == nil {
		http.Error(w, "Too many pages are open. Close some.", http.StatusServiceUnavailable)
		return
	}
	defer d.hub.leave(l)
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	// The limit on reading is for requests; this one was read, and stays open.
	if err := control.SetReadDeadline(time.Time{}); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return
	}
	send := func(s string) bool {
		// Not all writers have deadlines; a test's has none.
		if err := control.SetWriteDeadline(time.Now().Add(2 * heartbeat)); err != nil && !errors.Is(err, http.ErrNotSupported) {
			return false
		}
		_, err := io.WriteString(w, s)
		return err == nil && control.Flush() == nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for ok := send("retry: 2000\n\n"); ok; {
		select {
		case <-l.told:
			ok = send("event: change\ndata: \n\n")
		case <-beat.C:
			ok = send(": still here\n\n")
		case <-r.Context().Done():
			return
		case <-d.ended:
			return
		}
	}
}

// controls says whether anything may be asked for, and answers if not.
func (d *Dashboard) controls(w http.ResponseWriter, r *http.Request) bool {
	if d.Control == nil {
		d.problem(w, r, http.StatusForbidden, "This dashboard only reads. Start it with --allow-control to ask for something.")
	}
	return d.Control != nil
}

// ask shows what a control would touch, and the form that asks for it.
func (d *Dashboard) ask(w http.ResponseWriter, r *http.Request) {
	if !d.controls(w, r) {
		return
	}
	q := r.URL.Query()
	d.question(w, r, http.StatusOK, q.Get("of"), page.Question{Touch: report.Touch{Action: q.Get("action")}})
}

// question shows the form, filled in as it was.
func (d *Dashboard) question(w http.ResponseWriter, r *http.Request, status int, of string, q page.Question) {
	b, _, err := d.read(r, of)
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	action := q.Touch.Action
	if !slices.Contains(actionsFor(b.State()), action) {
		d.problem(w, r, http.StatusBadRequest, "The address names no action that is possible here. Go back to the report and choose one.")
		return
	}
	q.Of, _ = report.BriefOf(b.State())
	q.Touch, q.CSRF = report.TouchOf(b.State(), action, 0), d.csrf
	if err := d.allow(b.State(), action, 0); err != nil {
		q.Touch.Refusal = err.Error()
	}
	d.write(w, status, func(o page.Options, out io.Writer) error { return page.WriteQuestion(out, q, o) })
}

// actionsFor are those that the function knows for a rollout, or for a request.
func actionsFor(s *rollout.State) []string {
	if s.Operation.Request() {
		return events.RequestActions
	}
	return events.Actions
}

// allow says why the function would not follow an action now, or nil, as the journals of
// the operation and of its fleet stand.
func (d *Dashboard) allow(s *rollout.State, action string, wave int) error {
	if err := rollout.Allow(s, action, wave); err != nil || action != events.ActionRollback {
		return err
	}
	if why := report.NotLatest(s.Operation.ID, d.index.rollouts(s.Operation.Fleet)); why != "" {
		return errors.New(why)
	}
	return nil
}

// control sends what was asked for.
func (d *Dashboard) control(w http.ResponseWriter, r *http.Request) {
	if !d.controls(w, r) {
		return
	}
	if err := r.ParseForm(); err != nil {
		d.problem(w, r, http.StatusBadRequest, "The form cannot be read.")
		return
	}
	f := r.PostForm
	if subtle.ConstantTimeCompare([]byte(f.Get("csrf")), []byte(d.csrf)) != 1 {
		d.problem(w, r, http.StatusForbidden, "The form is not one of this dashboard, or the dashboard was started anew since. Open it again.")
		return
	}
	again := func(status int, fault string) {
		d.question(w, r, status, f.Get("of"), page.Question{Touch: report.Touch{Action: f.Get("action")}, By: f.Get("by"), Reason: f.Get("reason"), Fault: fault})
	}
	if f.Get("sure") != "yes" {
		again(http.StatusBadRequest, "say that you have read what it touches")
		return
	}
	b, _, err := d.read(r, f.Get("of"))
	if err != nil {
		d.refuse(w, r, err)
		return
	}
	c := controlOf(b.State().Operation, f)
	if err := d.check(b.State(), c, f["rings"]); err != nil {
		again(http.StatusConflict, err.Error())
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), readLimit)
	defer cancel()
	id, err := d.Control(ctx, c)
	if err != nil {
		again(http.StatusBadGateway, err.Error())
		return
	}
	sent := page.Sent{Action: c.Action, Message: id}
	sent.Of, _ = report.BriefOf(b.State())
	d.write(w, http.StatusOK, func(o page.Options, out io.Writer) error { return page.WriteSent(out, sent, o) })
}

// controlOf returns what a form asks for.
func controlOf(o *rollout.Operation, f url.Values) events.Control {
	c := events.Control{Action: f.Get("action"), By: f.Get("by"), Reason: f.Get("reason")}
	if o.Request() {
		c.RequestID = o.ID
	} else {
		c.RolloutID = o.ID
	}
	c.Wave, _ = strconv.Atoi(f.Get("wave")) // 0, and the wave that waits, if it is no number
	return c
}

// check holds a control against the rules that the function has. Rings are those of which
// was read that an approval passes them.
func (d *Dashboard) check(s *rollout.State, c events.Control, rings []string) error {
	data, err := json.Marshal(c)
	if err != nil {
		return fmt.Errorf("writing the control: %w", err)
	}
	if _, err := events.ParseControl(data); err != nil {
		return err
	}
	if err := d.allow(s, c.Action, c.Wave); err != nil {
		return err
	}
	if !slices.Equal(rings, report.TouchOf(s, c.Action, c.Wave).Rings) {
		return errors.New("what it waits for is another by now; read again what this touches")
	}
	return nil
}
