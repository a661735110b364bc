package fleet_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/regild/regild/internal/fleet"
)

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Fatal(err)
	}
	return z
}

func instant(t testing.TB, s string) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, s)
	if err != nil {
		t.Fatal(err)
	}
	return at
}

func clock(hour, minute int) int { return hour*60 + minute }

func TestWindowsOpenAndCloseByTheClockOnTheWall(t *testing.T) {
	berlin, howe := zone(t, "Europe/Berlin"), zone(t, "Australia/Lord_Howe")
	shanghai, havana := zone(t, "Asia/Shanghai"), zone(t, "America/Havana")
	night := fleet.Window{Days: []time.Weekday{time.Friday}, From: clock(22, 0), To: clock(6, 0), Zone: shanghai}
	for _, c := range []struct {
		name      string
		windows   []fleet.Window
		blackouts []fleet.Blackout
		now       string
		open      bool
		until     string // "": never
	}{
		{"no windows", nil, nil, "2026-11-23T08:00:00Z", true, ""},
		{"no windows, a blackout ahead", nil, blackout(t, "2026-12-24T00:00:00Z", "2026-12-27T00:00:00Z"),
			"2026-11-23T08:00:00Z", true, "2026-12-24T00:00:00Z"},
		{"no windows, in a blackout", nil, blackout(t, "2026-12-24T00:00:00Z", "2026-12-27T00:00:00Z"),
			"2026-12-24T00:00:00Z", false, "2026-12-27T00:00:00Z"},
		{"a blackout without an end in sight", nil, blackout(t, "2026-12-24T00:00:00Z", "2030-12-27T00:00:00Z"),
			"2026-12-24T00:00:00Z", false, ""},
		{"before the night", []fleet.Window{night}, nil, "2026-11-27T21:59:59+08:00", false, "2026-11-27T22:00:00+08:00"},
		{"as it begins", []fleet.Window{night}, nil, "2026-11-27T22:00:00+08:00", true, "2026-11-28T06:00:00+08:00"},
		{"after midnight, on a day that is not named", []fleet.Window{night}, nil, "2026-11-28T05:59:59+08:00", true, "2026-11-28T06:00:00+08:00"},
		{"as it ends", []fleet.Window{night}, nil, "2026-11-28T06:00:00+08:00", false, "2026-12-04T22:00:00+08:00"},
		{"a blackout that cuts the night", []fleet.Window{night}, blackout(t, "2026-11-28T00:00:00+08:00", "2026-11-28T01:00:00+08:00"),
			"2026-11-27T23:00:00+08:00", true, "2026-11-28T00:00:00+08:00"},
		{"the night goes on after the blackout", []fleet.Window{night}, blackout(t, "2026-11-28T00:00:00+08:00", "2026-11-28T01:00:00+08:00"),
			"2026-11-28T00:30:00+08:00", false, "2026-11-28T01:00:00+08:00"},
		{"windows that touch are one", []fleet.Window{night, {From: clock(6, 0), To: clock(7, 0), Zone: shanghai}}, nil,
			"2026-11-28T05:00:00+08:00", true, "2026-11-28T07:00:00+08:00"},
		{"all of a day but a minute", []fleet.Window{{From: clock(10, 0), To: clock(9, 59), Zone: shanghai}}, nil,
			"2026-11-28T10:00:00+08:00", true, "2026-11-29T09:59:00+08:00"},
		{"every whole day", []fleet.Window{{From: 0, To: clock(24, 0), Zone: berlin}}, nil, "2026-11-23T08:00:00Z", true, ""},
		// Clocks in Berlin go from 02:00 to 03:00 on 2027-03-28.
		{"opens in the missing hour", []fleet.Window{{From: clock(2, 30), To: clock(5, 0), Zone: berlin}}, nil,
			"2027-03-28T01:59:59+01:00", false, "2027-03-28T03:00:00+02:00"},
		{"closes in the missing hour", []fleet.Window{{From: clock(1, 0), To: clock(2, 30), Zone: berlin}}, nil,
			"2027-03-28T01:30:00+01:00", true, "2027-03-28T03:00:00+02:00"},
		{"lies in the missing hour", []fleet.Window{{From: clock(2, 0), To: clock(3, 0), Zone: berlin}}, nil,
			"2027-03-28T01:30:00+01:00", false, "2027-03-29T02:00:00+02:00"},
		// And from 03:00 back to 02:00 on 2027-10-31.
		{"opens in the repeated hour", []fleet.Window{{From: clock(2, 30), To: clock(5, 0), Zone: berlin}}, nil,
			"2027-10-31T02:45:00+02:00", false, "2027-10-31T02:30:00+01:00"},
		{"closes in the repeated hour", []fleet.Window{{From: clock(1, 0), To: clock(2, 30), Zone: berlin}}, nil,
			"2027-10-31T01:30:00+02:00", true, "2027-10-31T02:30:00+02:00"},
		{"lies in the repeated hour", []fleet.Window{{From: clock(2, 0), To: clock(2, 30), Zone: berlin}}, nil,
			"2027-10-31T02:00:00+02:00", false, "2027-10-31T02:00:00+01:00"},
		{"spans the repeated hour", []fleet.Window{{From: clock(1, 0), To: clock(3, 0), Zone: berlin}}, nil,
			"2027-10-31T01:00:00+02:00", true, "2027-10-31T03:00:00+01:00"},
		// Lord Howe Island moves by half an hour: 02:00 to 02:30 on 2026-10-04.
		{"opens in the missing half hour", []fleet.Window{{From: clock(2, 15), To: clock(4, 0), Zone: howe}}, nil,
			"2026-10-04T01:59:00+10:30", false, "2026-10-04T02:30:00+11:00"},
		// In Havana midnight itself is missing on 2027-03-14.
		{"opens at a midnight that is missing", []fleet.Window{{From: 0, To: clock(4, 0), Zone: havana}}, nil,
			"2027-03-13T23:00:00-05:00", false, "2027-03-14T01:00:00-04:00"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := fleet.Strategy{Windows: c.windows, Blackouts: c.blackouts}
			open, until := s.Open(instant(t, c.now))
			var want time.Time
			if c.until != "" {
				want = instant(t, c.until)
			}
			if open != c.open || !until.Equal(want) {
				t.Errorf("at %s: got open %t until %s, want %t until %s", c.now, open, until, c.open, want)
			}
		})
	}
}

// In the hour that is there twice a window opens the second time, and one that closes there
// closes the first time.
func TestWindowsInTheRepeatedHour(t *testing.T) {
	for _, c := range []struct {
		zone     string
		from, to int
		now      string
		open     bool
		until    string
	}{
		{"Europe/Berlin", clock(2, 30), clock(6, 0), "2026-10-25T00:45:00Z", false, "2026-10-25T01:30:00Z"}, {"Europe/Berlin", clock(2, 30), clock(6, 0), "2026-10-25T01:30:00Z", true, "2026-10-25T05:00:00Z"},
		{"America/New_York", clock(1, 30), clock(5, 0), "2026-11-01T05:45:00Z", false, "2026-11-01T06:30:00Z"}, {"America/New_York", clock(1, 30), clock(5, 0), "2026-11-01T06:30:00Z", true, "2026-11-01T10:00:00Z"},
		{"Europe/Berlin", clock(0, 0), clock(2, 30), "2026-10-25T00:00:00Z", true, "2026-10-25T00:30:00Z"}, {"Europe/Berlin", clock(0, 0), clock(2, 30), "2026-10-25T01:15:00Z", false, "2026-10-25T23:00:00Z"},
		{"America/New_York", clock(0, 0), clock(1, 30), "2026-11-01T05:00:00Z", true, "2026-11-01T05:30:00Z"}, {"America/New_York", clock(0, 0), clock(1, 30), "2026-11-01T06:15:00Z", false, "2026-11-02T05:00:00Z"},
	} {
		s := fleet.Strategy{Windows: []fleet.Window{{From: c.from, To: c.to, Zone: zone(t, c.zone)}}}
		if open, until := s.Open(instant(t, c.now)); open != c.open || !until.Equal(instant(t, c.until)) {
			t.Errorf("%s, %d to %d at %s: got %t until %s, want %t until %s", c.zone, c.from, c.to, c.now, open, until.UTC(), c.open, c.until)
		}
	}
}

func blackout(t testing.TB, from, to string) []fleet.Blackout {
	t.Helper()
	return []fleet.Blackout{{From: instant(t, from), To: instant(t, to)}}
}

func TestBlackoutDaysBeginAndEndAtMidnightInTheirZone(t *testing.T) {
	f := parse(t, "testdata/valid/everything.yaml")[0]
	want := [][2]string{
		{"2026-12-24T00:00:00+01:00", "2027-01-02T00:00:00+01:00"},
		{"2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"},
		{"2026-12-01T18:00:00+08:00", "2026-12-01T20:00:00Z"},
	}
	for i, b := range f.Strategy.Blackouts {
		if !b.From.Equal(instant(t, want[i][0])) || !b.To.Equal(instant(t, want[i][1])) {
			t.Errorf("got %s to %s, want %s", b.From, b.To, want[i])
		}
	}
}

// onTheWall says whether the clock in the window's zone shows a time within it:
// another way to say what a window is, without a word on clocks that are set.
func onTheWall(w fleet.Window, now time.Time) bool {
	at := now.In(w.Zone)
	minute, today := clock(at.Hour(), at.Minute()), at.Weekday()
	on := func(d time.Weekday) bool { return len(w.Days) == 0 || slices.Contains(w.Days, d) }
	if w.To > w.From {
		return on(today) && minute >= w.From && minute < w.To
	}
	return on(today) && minute >= w.From || on((today+6)%7) && minute < w.To
}

// repeated says whether clocks were set within a day of now, when a window may
// be shorter than the clock on the wall lets one think.
func repeated(z *time.Location, now time.Time) bool {
	_, before := now.Add(-24 * time.Hour).In(z).Zone()
	_, after := now.Add(24 * time.Hour).In(z).Zone()
	return before > after
}

func TestOpenAgreesWithItselfAndTheWallEachMinuteOfAYear(t *testing.T) {
	zones := []string{"Europe/Berlin", "America/New_York", "Asia/Shanghai", "Australia/Lord_Howe"}
	for seed, name := range zones {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(uint64(seed), 1))
			s := strategy(rng, zone(t, name))
			start := time.Date(2026, time.November, 23, 0, 0, 0, 0, time.UTC)
			open, until := s.Open(start)
			for now := start; now.Before(start.Add(366 * 24 * time.Hour)); now = now.Add(time.Minute) {
				changed := !until.IsZero() && !now.Before(until)
				if changed || rng.IntN(400) == 0 { // what holds until then is asked again now and then
					nowOpen, nowUntil := s.Open(now)
					if changed == (nowOpen == open) {
						t.Fatalf("at %s: got open %t, after %t until %s", now, nowOpen, open, until)
					}
					if !changed && !nowUntil.Equal(until) && !until.IsZero() {
						t.Fatalf("at %s: got until %s, was %s", now, nowUntil, until)
					}
					if !nowUntil.IsZero() && !nowUntil.After(now) {
						t.Fatalf("at %s: got until %s, which is not ahead", now, nowUntil)
					}
					open, until = nowOpen, nowUntil
				}
				checkWall(t, s, now, open)
			}
		})
	}
}

// checkWall holds an answer against the clock on the wall and the blackouts.
func checkWall(t *testing.T, s fleet.Strategy, now time.Time, open bool) {
	t.Helper()
	wall := slices.ContainsFunc(s.Windows, func(w fleet.Window) bool { return onTheWall(w, now) })
	black := slices.ContainsFunc(s.Blackouts, func(b fleet.Blackout) bool { return !now.Before(b.From) && now.Before(b.To) })
	if open && (!wall || black) {
		t.Fatalf("at %s: open, though the wall says %t and blackouts %t: %s", now, wall, black, describe(s))
	}
	if !open && wall && !black && !repeated(s.Windows[0].Zone, now) {
		t.Fatalf("at %s: closed, though the wall says open: %s", now, describe(s))
	}
}

// strategy makes up windows of whole minutes, some of them where clocks are set.
func strategy(rng *rand.Rand, z *time.Location) fleet.Strategy {
	s := fleet.Strategy{Windows: []fleet.Window{
		{From: clock(2, rng.IntN(60)), To: clock(4, rng.IntN(60)), Zone: z},
		{From: clock(0, 30), To: clock(1, 30+rng.IntN(30)), Zone: z},
		{Days: []time.Weekday{time.Sunday}, From: clock(23, 0), To: clock(2, rng.IntN(60)), Zone: z},
	}}
	for range rng.IntN(4) {
		from, to := rng.IntN(1440), 1+rng.IntN(1440)
		if from == to {
			continue
		}
		s.Windows = append(s.Windows, fleet.Window{Days: []time.Weekday{time.Weekday(rng.IntN(7))}, From: from, To: to, Zone: z})
	}
	for range 5 {
		from := time.Date(2026, 11, 23+rng.IntN(360), rng.IntN(24), rng.IntN(60), 0, 0, time.UTC)
		s.Blackouts = append(s.Blackouts, fleet.Blackout{From: from, To: from.Add(time.Duration(1+rng.IntN(10000)) * time.Minute)})
	}
	return s
}

func describe(s fleet.Strategy) string { return fmt.Sprintf("%+v %v", s.Windows, s.Blackouts) }

func TestOpenIsQuickEvenWhenNothingChangesForAYear(t *testing.T) {
	s := fleet.Strategy{}
	for i := range fleet.MaxWindows {
		s.Windows = append(s.Windows, fleet.Window{From: i, To: 1440, Zone: zone(t, "Europe/Berlin")})
	}
	s.Windows[0].From = 0
	if open, until := s.Open(instant(t, "2026-11-23T08:00:00Z")); !open || !until.IsZero() {
		t.Errorf("got open %t until %s, want open for ever", open, until)
	}
}

func BenchmarkOpen(b *testing.B) {
	s := strategy(rand.New(rand.NewPCG(1, 1)), zone(b, "Europe/Berlin"))
	now := instant(b, "2026-11-23T08:00:00Z")
	for b.Loop() {
		s.Open(now)
	}
}
