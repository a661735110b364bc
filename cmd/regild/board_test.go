package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// sample is a moment of a show.
func sample(t *testing.T) board {
	t.Helper()
	b := board{now: after(111), zone: hangzhou, rate: 1200, base: 300, real: 12300 * time.Millisecond, title: "an image is published",
		calls: 321, wipes: 4}
	b.add(panelOf(stateOf(append(asked("ticket-1", "ecd-c001", "ecd-c002"),
		ended(start, "", "refused", "DesktopNotFound", "ECD lists no desktop ecd-c001", "ecd-c001"))), nil, hangzhou))
	b.add(heardPanel("without journal", nil))
	b.add(panelOf(stateOf(records()), office(t), hangzhou))
	b.newest = []line{
		{At: after(102), Operation: "2026.11.3/office", Desktop: "ecd-b001", Status: "accepted", Code: "Success"},
		{At: after(103), Operation: "2026.11.3/office", Desktop: "ecd-b003", Status: "deferred", Code: "SessionWait", Message: "somebody is using desktop ecd-b003; waiting for them to leave"},
		{At: after(110), Operation: "2026.11.3/office", Desktop: "ecd-b002", Status: "failed", Code: "RebuildFailed", Message: "系统盘无法挂载\x1b[31m\nand more"},
	}
	return b
}

func TestTheBoardShowsWhereEveryDesktopStands(t *testing.T) {
	b := sample(t)
	golden(t, "board-120", b.lines(120, 30, palette{}))
	golden(t, "board-80", b.lines(80, 24, palette{}))
	golden(t, "board-last", b.lines(120, 0, palette{}))
	golden(t, "board-colour", b.lines(120, 0, palette{on: true}))
}

func TestABoardStaysWithinTheTerminal(t *testing.T) {
	b := sample(t)
	for n := range 40 {
		b.add(panelOf(stateOf(asked(fmt.Sprintf("重建请求-%d", n), "ecd-d001")), nil, time.UTC))
	}
	for _, height := range []int{1, 5, 10, 24, 60, 200} {
		for _, width := range []int{60, 79, 80, 95, 96, 109, 120, 250} {
			lines := b.lines(width, height, palette{})
			if len(lines) > height {
				t.Errorf("%d lines on a terminal of %d", len(lines), height)
			}
			for _, l := range lines {
				if columnsOf(l) > width {
					t.Errorf("%d columns on a terminal of %d: %q", columnsOf(l), width, l)
				}
			}
		}
	}
}

func TestColoursChangeNothingButColours(t *testing.T) {
	b := sample(t)
	painted := strings.Join(b.lines(100, 30, palette{on: true}), "\n")
	for i := range 50 {
		painted = strings.ReplaceAll(painted, fmt.Sprintf("\x1b[%dm", i), "")
	}
	if plain := strings.Join(b.lines(100, 30, palette{}), "\n"); painted != plain {
		t.Errorf("got\n%s\nwant\n%s", painted, plain)
	}
}

func TestABarTooLongForTheRoomKeepsEveryKind(t *testing.T) {
	for _, counts := range [][]int{{1000, 1, 1, 1, 9, 1, 5000}, {0, 0, 0, 1, 0, 0, 10_000}, {3, 3, 3, 3, 3, 3, 3}} {
		n := map[report.Stand]int{}
		for i, stand := range report.Stands {
			n[stand] = counts[i]
		}
		for room := len(report.Stands); room < 100; room++ {
			got := shares(n, room)
			all, want := 0, 0
			for _, stand := range report.Stands {
				all, want = all+got[stand], want+n[stand]
				if n[stand] > 0 && got[stand] == 0 || n[stand] == 0 && got[stand] > 0 {
					t.Errorf("%v in %d: got %v", n, room, got)
				}
			}
			if all != min(room, want) {
				t.Errorf("%v in %d: got %d columns", n, room, all)
			}
		}
	}
}

func TestFinishedRequestsGiveWayToOpenOnes(t *testing.T) {
	var b board
	for n := range 10 {
		over := asked(fmt.Sprintf("over-%d", n), "ecd-c001")
		b.add(panelOf(stateOf(append(over, ended(start, "", "skipped", "AlreadyOnImage", "", "ecd-c001"))), nil, time.UTC))
	}
	b.add(panelOf(stateOf(asked("open", "ecd-c001")), nil, time.UTC))
	shown, more := b.requests()
	if len(shown) != maxRequests || more != 5 || shown[len(shown)-1].label != "open" {
		t.Errorf("got %d shown, %d more, the last %q", len(shown), more, shown[len(shown)-1].label)
	}
}

func TestARolloutSaysHowItStands(t *testing.T) {
	until := after(60)
	tests := []struct {
		name   string
		change func(*rollout.State)
		want   string
	}{
		{"under way", func(*rollout.State) {}, "under way: 3 pending, 1 waiting, 1 running, 1 completed, 1 skipped, 1 failed"},
		{"window", func(s *rollout.State) { s.Waiting = reasonOf("WindowClosed", "long words", &until) }, "waiting: the maintenance window is closed until Mon 20:00"},
		{"soak", func(s *rollout.State) { s.Waiting = reasonOf("Soaking", "wave 1 soaks", nil) }, "waiting: wave 1 soaks"},
		{"paused", func(s *rollout.State) { s.Paused = "ann" }, "paused by ann"},
		{"halted", func(s *rollout.State) { s.Halted = reasonOf("TooManyFailures", "2 have failed", nil) }, "halted: 2 have failed"},
		{"aborted", func(s *rollout.State) { s.Aborted = "ann" }, "aborted by ann; what was begun is followed to its end"},
		{"superseded", func(s *rollout.State) { s.Superseded = "2026.12/office" }, "superseded by 2026.12/office; what was begun is followed to its end"},
		{"closed", func(s *rollout.State) { s.Closed, s.ClosedAt = true, after(200) }, "completed Mon 22:20, 3h 20m after it began"},
		{"closed by a newer one", func(s *rollout.State) { s.Closed, s.Superseded = true, "2026.12/office" }, "superseded by 2026.12/office"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s := stateOf(records())
			tt.change(s)
			if got, _ := standing(s, hangzhou); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestARolloutIsStuckOnlyWhenAPersonIsNeeded(t *testing.T) {
	s := stateOf(records())
	if stuck(s) {
		t.Error("it is under way, and counts as stuck")
	}
	s.Paused = "ann"
	if stuck(s) {
		t.Error("a desktop is being rebuilt, and it counts as stuck")
	}
	s.Apply(ended(after(120), "", "completed", "Completed", "", "ecd-b001"))
	if !stuck(s) {
		t.Error("it is paused and nothing is under way, and it does not count as stuck")
	}
}

func TestTheSignsDifferWithoutColours(t *testing.T) {
	var signs []string
	for _, l := range looks {
		if slices.Contains(signs, l.sign) || columnsOf(l.sign) != 1 {
			t.Errorf("%s stands twice, or is not one column wide", l.sign)
		}
		signs = append(signs, l.sign)
	}
}
