package main

import (
	"strconv"
	"strings"
	"time"

	"github.com/charmbracelet/x/ansi"
)

// A palette paints text for a terminal. The zero palette paints nothing.
type palette struct{ on bool }

// An ink is how text is painted: the parameters of a terminal's SGR sequence.
type ink string

// The inks. They are the terminal's own colours, so that they suit its
// background.
const (
	plainInk  ink = ""
	boldInk   ink = "1"
	dimInk    ink = "2"
	redInk    ink = "31"
	greenInk  ink = "32"
	yellowInk ink = "33"
	pinkInk   ink = "35"
	cyanInk   ink = "36"
)

func (p palette) paint(i ink, s string) string {
	if !p.on || i == plainInk || s == "" {
		return s
	}
	return "\x1b[" + string(i) + "m" + s + "\x1b[0m"
}

// columnsOf returns how many columns the text takes on a terminal.
func columnsOf(s string) int { return ansi.StringWidth(s) }

// cut shortens text to so many columns, with an ellipsis where something is
// missing.
func cut(s string, most int) string {
	if most < 1 {
		return ""
	}
	return ansi.Truncate(s, most, "…")
}

// pad makes text exactly so many columns wide.
func pad(s string, to int) string {
	s = cut(s, to)
	return s + strings.Repeat(" ", max(0, to-columnsOf(s)))
}

// lead is pad to the other side, for numbers.
func lead(s string, to int) string {
	s = cut(s, to)
	return strings.Repeat(" ", max(0, to-columnsOf(s))) + s
}

// wrap breaks text into lines of so many columns, between words where there are
// any. Unlike ansi.Wordwrap it keeps ids in one piece, which have hyphens.
func wrap(s string, most int) []string {
	var out []string
	line := ""
	for word := range strings.FieldsSeq(s) {
		switch {
		case line == "":
			line = word
		case columnsOf(line)+1+columnsOf(word) > most:
			out, line = append(out, line), word
		default:
			line += " " + word
		}
	}
	return append(out, line)
}

// part writes a number with its unit, or nothing for none.
func part(n int, unit string) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n) + unit
}

// dayTime writes a moment as people speak of it within a week.
func dayTime(t time.Time, zone *time.Location) string { return t.In(zone).Format("Mon 15:04") }

// span writes a length of time in its two largest parts.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch {
	case d < 0:
		return "-" + span(-d)
	case d < 10*time.Second:
		return d.Round(100 * time.Millisecond).String()
	case d < time.Hour:
		d = d.Round(time.Second)
		return joined(" ", part(int(d/time.Minute), "m"), part(int(d%time.Minute/time.Second), "s"))
	case d < 2*day:
		d = d.Round(time.Minute)
		return joined(" ", part(int(d/time.Hour), "h"), part(int(d%time.Hour/time.Minute), "m"))
	}
	d = d.Round(time.Hour)
	return joined(" ", part(int(d/day), "d"), part(int(d%day/time.Hour), "h"))
}
