package main

import (
	"cmp"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/escape"
)

// statusInk says how a status, or what happened to a rollout, is painted.
func statusInk(status string) ink {
	switch status {
	case string(events.StatusCompleted), "finished", "rolledback":
		return greenInk
	case string(events.StatusAccepted), "wave started", "started", "wave finished", "resumed", "approved":
		return cyanInk
	case string(events.StatusDeferred), "waiting", "paused", "plan":
		return yellowInk
	case string(events.StatusRefused), "superseded", "control refused":
		return pinkInk
	case string(events.StatusFailed), "halted", "aborted", "?":
		return redInk
	}
	return dimInk
}

// The columns of a table of outcomes, but for the message, which takes what is
// left.
const (
	timeColumn      = 9
	operationColumn = 18
	desktopColumn   = 23
	statusColumn    = 13
	codeColumn      = 20
)

// A table writes lines in columns.
type table struct {
	zone  *time.Location
	width int // of a line; 0: as long as it takes
	palette
}

// head is the line above the table.
func (t table) head() string {
	return t.paint(dimInk, t.columns("time", "request", "desktop", "status", "code", "message", plainInk))
}

// row is one line of the table.
func (t table) row(l line) string {
	message := l.Message
	switch {
	case l.Until.IsZero():
	case l.Desktop == "":
		message += " until " + dayTime(l.Until, t.zone)
	default:
		message = joined("; ", message, againText(l.Until, t.zone))
	}
	return t.columns(l.At.In(t.zone).Format("15:04:05"), l.Operation, l.Desktop, l.Status, l.Code, message, statusInk(l.Status))
}

// againText says when a desktop is looked at again that could not be rebuilt yet.
func againText(at time.Time, zone *time.Location) string {
	return "looked at again " + dayTime(at, zone)
}

func (t table) columns(at, operation, desktop, status, code, message string, i ink) string {
	operations, desktops, codes := t.widths()
	fixed := pad(escape.Terminal(at), timeColumn) + " " + pad(escape.Terminal(operation), operations) + " " + pad(escape.Terminal(desktop), desktops) + " "
	rest := escape.Terminal(cmp.Or(message, code))
	if codes > 0 {
		rest = pad(escape.Terminal(code), codes) + " " + escape.Terminal(message)
	}
	rest = strings.TrimRight(rest, " ")
	if t.width > 0 {
		rest = cut(rest, t.width-columnsOf(fixed)-statusColumn-1)
	}
	return fixed + t.paint(i, pad(escape.Terminal(status), statusColumn)) + " " + rest
}

// widths are those of the columns that give way on a narrow terminal: the board
// shows the ids too, and the message says more than the code.
func (t table) widths() (operations, desktops, codes int) {
	switch {
	case t.width == 0 || t.width >= 110:
		return operationColumn, desktopColumn, codeColumn
	case t.width >= 96:
		return 16, desktopColumn, 18
	case t.width >= 78:
		return 16, 16, 0
	}
	return 10, 15, 0
}
