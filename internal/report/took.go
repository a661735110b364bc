package report

import (
	"slices"
	"time"
)

// Took says how long rebuilds took. Each figure is one that was seen (the
// nearest rank), so a rebuild can be found that took so long.
type Took struct {
	N                       int
	Min, P50, P90, P95, Max time.Duration
	// Bars count rebuilds by length; each covers Width from its From on, but for
	// the last one, which has everything longer. Bars without any are there too.
	Width time.Duration
	Bars  []Bar
}

// A Bar counts the rebuilds of some length.
type Bar struct {
	From time.Duration
	N    int
}

// most is how many bars a distribution has at most: what can be told apart.
const most = 24

// widths are how wide a bar may be: numbers that people read without thinking.
var widths = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour,
}

func tookOf(desktops []Desktop) Took {
	var all []time.Duration
	for _, d := range desktops {
		if took, ok := d.Took(); ok {
			all = append(all, took)
		}
	}
	if len(all) == 0 {
		return Took{}
	}
	slices.Sort(all)
	rank := func(percent int) time.Duration { return all[(len(all)*percent+99)/100-1] }
	t := Took{N: len(all), Min: all[0], P50: rank(50), P90: rank(90), P95: rank(95), Max: all[len(all)-1]}
	// One that took a day must not squeeze all others into one bar.
	first, last := t.Min, rank(99)
	t.Width = widths[len(widths)-1]
	for _, w := range widths {
		if (last.Truncate(w)-first.Truncate(w))/w < most {
			t.Width = w
			break
		}
	}
	from := first.Truncate(t.Width)
	n := min(most, int((t.Max.Truncate(t.Width)-from)/t.Width)+1)
	for i := range n {
		t.Bars = append(t.Bars, Bar{From: from + time.Duration(i)*t.Width})
	}
	for _, d := range all {
		t.Bars[min(n-1, int((d-from)/t.Width))].N++
	}
	return t
}
