package main

import (
	"strconv"
	"strings"
	"time"
	"unicode"
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
	blueInk   ink = "34"
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
func columnsOf(s string) int {
	n := 0
	for _, r := range s {
		n += columns(r)
	}
	return n
}

// wide are the runes that take two columns. Source: Unicode's East Asian Width,
// wide and full-width, and emoji.
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1}, {Lo: 0x2e80, Hi: 0x303e, Stride: 1}, {Lo: 0x3041, Hi: 0xa4cf, Stride: 1},
		{Lo: 0xac00, Hi: 0xd7a3, Stride: 1}, {Lo: 0xf900, Hi: 0xfaff, Stride: 1}, {Lo: 0xfe30, Hi: 0xfe6f, Stride: 1},
		{Lo: 0xff00, Hi: 0xff60, Stride: 1}, {Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{{Lo: 0x1f300, Hi: 0x1f64f, Stride: 1}, {Lo: 0x1f680, Hi: 0x1f9ff, Stride: 1}, {Lo: 0x20000, Hi: 0x3fffd, Stride: 1}},
}

func columns(r rune) int {
	switch {
	case unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// cut shortens text to so many columns, with an ellipsis where something is
// missing.
func cut(s string, most int) string {
	if columnsOf(s) <= most {
		return s
	}
	if most < 1 {
		return ""
	}
	var b strings.Builder
	left := most - 1
	for _, r := range s {
		if left -= columns(r); left < 0 {
			break
		}
		b.WriteRune(r)
	}
	return b.String() + "…"
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
// any.
func wrap(s string, most int) []string {
	var out []string
	line := ""
	for _, word := range strings.Fields(s) {
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
