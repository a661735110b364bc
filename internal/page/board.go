package page

import (
	"io"

	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/report"
)

// A Board is the first page of the dashboard.
type Board struct {
	Journal string // which one is shown
	Fleets  []Fleet
	Open    []report.Brief // the most urgent first
	OpenAll int            // how many there are
	Needs   []report.Brief // those of Open that wait for a person
	Query   string         // what the history is searched for
	History []report.Brief // the newest first
	Ended   int            // how many match

	Read, Total int    // journals that were read, of all
	Left, Limit int    // journals that were left out, beyond the limit
	Broken      int    // journals that cannot be read
	BrokenWhy   string // why, of one of them
	Trouble     string // why the journal cannot be read now; "" when it can
	Controls    bool   // whether anything can be asked for from here
}

// A Fleet is one fleet on the board.
type Fleet struct {
	Name   string
	Region string
	Images []string      // the names of images that it follows; empty where no fleets.yaml was given
	Latest *report.Brief // its last rollout; nil: none, or its journal is gone
	Last   string        // the id of its last rollout
	Had    int           // rollouts
}

// Reading says whether the journal is still being read for the first time.
func (b Board) Reading() bool { return b.Read < b.Total }

// OpenMore is how many open operations are not listed.
func (b Board) OpenMore() int { return b.OpenAll - len(b.Open) }

// HistoryMore is how many that match are not listed.
func (b Board) HistoryMore() int { return b.Ended - len(b.History) }

// WriteBoard writes the first page of the dashboard.
func WriteBoard(w io.Writer, b Board, o Options) error {
	return o.small(w, "board", o.Lang.text("board.title"), "board", b)
}

// A Question is what a control would do, and the form that asks for it.
type Question struct {
	Of     report.Brief
	Touch  report.Touch
	CSRF   string
	By     string
	Reason string
	Fault  string // why it was not sent; "" before it was tried
}

// WriteQuestion writes the page that asks whether a control is really wanted.
func WriteQuestion(w io.Writer, q Question, o Options) error {
	return o.small(w, "question", o.Lang.text("control.title", o.Lang.text("action."+q.Touch.Action), escape.Terminal(q.Of.ID)), "", q)
}

// Sent says that a control was sent.
type Sent struct {
	Of      report.Brief
	Action  string
	Message string // its id
}

// WriteSent writes the page that says that a control was sent.
func WriteSent(w io.Writer, s Sent, o Options) error {
	return o.small(w, "sent", o.Lang.text("control.title", o.Lang.text("action."+s.Action), escape.Terminal(s.Of.ID)), "", s)
}

// A Login asks for the token.
type Login struct {
	Next  string // the path to go to then
	Wrong bool   // the one that was given is not it
}

// WriteLogin writes the page that asks for the token.
func WriteLogin(w io.Writer, x Login, o Options) error {
	return o.small(w, "login", o.Lang.text("login"), "", x)
}

// WriteProblem writes a page with one sentence that says what is wrong.
func WriteProblem(w io.Writer, sentence string, o Options) error {
	return o.small(w, "problem", o.Lang.text("problem"), "", sentence)
}

// small writes a page without a table.
func (o Options) small(w io.Writer, name, title, watch string, body any) error {
	o = o.filled()
	data, err := textsOnly(o.Lang, o.Zone, o.Now)
	if err != nil {
		return err
	}
	return o.frame(title, watch, data, body).write(w, name)
}
