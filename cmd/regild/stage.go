package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"
)

// frame is the shortest time between two pictures.
const frame = 100 * time.Millisecond

// A stage is where a session is shown: a terminal that is painted anew at each
// frame, or lines that come one after the other.
type stage struct {
	out    io.Writer
	live   bool
	colour bool
	size   func() (width, height int)

	mu    sync.Mutex // lines come from other goroutines
	drawn time.Time
}

// newStage returns a stage for what the process writes to. A terminal that knows
// no cursor, and --plain, take plain lines.
func newStage(w world, plain bool) *stage {
	st := &stage{out: w.out}
	file, ok := w.out.(*os.File)
	if !ok {
		return st
	}
	if _, _, terminal := terminalSize(file); !terminal {
		return st
	}
	kind, _ := w.lookup("TERM")
	noColour, _ := w.lookup("NO_COLOR")
	st.colour = noColour == "" && kind != "dumb"
	st.live = !plain && kind != "dumb"
	st.size = func() (int, int) {
		width, height, ok := terminalSize(file)
		if !ok || width == 0 || height == 0 {
			return 80, 24
		}
		return width, height
	}
	return st
}

// width is that of a line, or 0 where lines are as long as they take.
func (st *stage) width() int {
	if st.size == nil {
		return 0
	}
	width, _ := st.size()
	return width
}

// What a terminal is told. The alternate screen keeps what was there before;
// without wrapping, a line that is too long harms no other.
const (
	enter = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
	leave = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	home  = "\x1b[H"
	toEnd = "\x1b[K" // clears the rest of the line
	below = "\x1b[J" // clears all below
)

// open begins to show the session.
func (st *stage) open(s *session) {
	if st.live {
		say(st.out, "%s", enter)
		return
	}
	t := table{zone: s.zone, palette: palette{st.colour}}
	pace := fmt.Sprintf("running %g times as fast as real time", s.play.rate)
	if s.play.rate == 0 {
		pace = "jumping over every wait"
	}
	say(st.out, "a cloud of %s, %s (%s), %s\n",
		count(len(s.cloud.ECD.Desktops()), "desktop"), s.cloud.Clock.Now().In(s.zone).Format("Mon 2 Jan 2006 15:04"), s.zone, pace)
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.told = func(l line) {
		st.mu.Lock()
		defer st.mu.Unlock()
		say(st.out, "%s\n", strings.TrimRight(t.row(l), " "))
	}
	say(st.out, "%s\n", t.head())
}

// announce says what comes next.
func (st *stage) announce(s *session, title string) {
	if st.live {
		return // the picture has it in its header
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	say(st.out, "%s\n", palette{st.colour}.paint(boldInk, s.cloud.Clock.Now().In(s.zone).Format("15:04:05")+"  "+title))
}

// draw paints a picture, if it is time for one.
func (st *stage) draw(s *session) {
	if !st.live || time.Since(st.drawn) < frame {
		return
	}
	st.drawn = time.Now()
	width, height := st.size()
	// The last column stays free: clearing the rest of a full line clears its end.
	st.paint(s.picture(height).lines(width-1, height, palette{st.colour}))
}

// paint writes a picture in one piece, so that none is seen half done.
func (st *stage) paint(lines []string) {
	var b bytes.Buffer
	b.WriteString(home)
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l)
		b.WriteString(toEnd)
	}
	b.WriteString(below)
	_, _ = st.out.Write(b.Bytes())
}

// close gives the terminal back, with the last picture on it.
func (st *stage) close(s *session) {
	if !st.live {
		return
	}
	width, _ := st.size()
	say(st.out, "%s", leave)
	for _, l := range s.picture(0).lines(width, 0, palette{st.colour}) {
		say(st.out, "%s\n", l)
	}
}

// picture gathers what is to be seen now.
func (s *session) picture(height int) board {
	s.mu.Lock()
	title := s.title
	s.mu.Unlock()
	b := board{now: s.cloud.Clock.Now(), zone: s.zone, rate: s.cloud.Clock.Rate(), base: s.play.rate, real: time.Since(s.began),
		title: title, newest: s.watch.newest(height), calls: totals(s.cloud.Faults.Calls()), wipes: len(s.cloud.ECD.Wipes())}
	works, rollouts := s.watch.heard()
	for _, id := range works {
		state, err := s.fold.state(context.Background(), kindOf(rollouts[id]), id)
		switch {
		case err != nil || state.Work == nil:
			b.add(heardPanel(id, s.watch.statuses(id)))
		default:
			b.add(panelOf(state, s.play.fleets, s.zone))
		}
	}
	return b
}
