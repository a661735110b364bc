package main

import (
	"time"

	"github.com/regild/regild/events"
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
	timeColumn    = 9
	workColumn    = 18
	desktopColumn = 23
	statusColumn  = 13
	codeColumn    = 20
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
	return t.columns(l.At.In(t.zone).Format("15:04:05"), l.Work, l.Desktop, l.Status, l.Code, l.Message, statusInk(l.Status))
}

func (t table) columns(at, work, desktop, status, code, message string, i ink) string {
	// On a narrow terminal the ids give way first: the board shows them too.
	works, desktops, codes := workColumn, desktopColumn, codeColumn
	if t.width > 0 && t.width < 110 {
		works, codes = 16, 18
	}
	if t.width > 0 && t.width < 96 {
		works, desktops, codes = 12, 16, 16
	}
	fixed := pad(clean(at), timeColumn) + " " + pad(clean(work), works) + " " + pad(clean(desktop), desktops) + " "
	message = clean(message)
	if t.width > 0 {
		message = cut(message, t.width-columnsOf(fixed)-statusColumn-codes-2)
	}
	return fixed + t.paint(i, pad(status, statusColumn)) + " " + pad(clean(code), codes) + " " + message
}
