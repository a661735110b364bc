package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/internal/operator"
)

// frame is the shortest time between two pictures.
const frame = 100 * time.Millisecond

// A display is where a session is shown: a terminal that is painted anew at each
// frame, or lines that come one after the other.
type display struct {
	w      world
	file   *os.File // the terminal; nil: there is none
	live   bool
	colour bool
	screen *screen // while it is live and open

	mu    sync.Mutex // lines come from other goroutines
	drawn time.Time
}

// newDisplay returns a display for what the process writes to. A terminal that knows
// no cursor, and --plain, take plain lines.
func newDisplay(w world, plain bool) *display {
	st := &display{w: w}
	file, ok := w.out.(*os.File)
	if !ok || !isTerminal(file) {
		return st
	}
	kind := w.env("TERM")
	st.file = file
	st.colour = w.env("NO_COLOR") == "" && kind != "dumb"
	st.live = !plain && kind != "dumb"
	return st
}

// width is that of a line, or 0 where lines are as long as they take.
func (st *display) width() int {
	if st.file == nil {
		return 0
	}
	width, _ := sizeOf(st.file)
	return width
}

// take takes the terminal, if the display is live; quit is called when somebody
// wants to end it. Until the display is closed nothing else may write there.
func (st *display) take(ctx context.Context, quit func(error)) {
	if st.live {
		st.screen = newScreen(ctx, st.w, st.file, quit)
	}
}

// open begins to show the session.
func (st *display) open(ctx context.Context, s *session, quit func(error)) {
	st.take(ctx, quit)
	if st.live {
		return
	}
	t := table{zone: s.zone, palette: palette{st.colour}}
	pace := fmt.Sprintf("running %g times as fast as real time", s.scenario.rate)
	if s.scenario.rate == 0 {
		pace = "jumping over every wait"
	}
	desktops := len(s.cloud.ECD.Desktops())
	for _, other := range s.cloud.Accounts {
		desktops += len(other.Desktops())
	}
	say(st.w.out, "a cloud of %s, %s (%s), %s\n",
		operator.Count(desktops, "desktop"), s.cloud.Clock.Now().In(s.zone).Format("Mon 2 Jan 2006 15:04"), s.zone, pace)
	s.watch.mu.Lock()
	defer s.watch.mu.Unlock()
	s.watch.told = func(l line) {
		st.mu.Lock()
		defer st.mu.Unlock()
		say(st.w.out, "%s\n", strings.TrimRight(t.row(l), " "))
	}
	say(st.w.out, "%s\n", t.head())
}

// announce says what comes next.
func (st *display) announce(s *session, title string) {
	if st.live {
		return // the picture has it in its header
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	say(st.w.out, "%s\n", palette{st.colour}.paint(boldInk, s.cloud.Clock.Now().In(s.zone).Format("15:04:05")+"  "+title))
}

// draw paints a picture, if it is time for one.
func (st *display) draw(s *session) {
	if st.screen != nil && time.Since(st.drawn) >= frame {
		st.drawn = time.Now()
		st.paint(s.picture)
	}
}

// paint shows a board that is made for the height of the terminal.
func (st *display) paint(of func(height int) board) {
	width, height := st.screen.size()
	st.screen.show(of(height).lines(width, height, palette{st.colour}))
}

// leave gives the terminal back.
func (st *display) leave() {
	if st.screen != nil {
		st.screen.close()
		st.screen = nil
	}
}

// close gives the terminal back, with the last picture on it.
func (st *display) close(s *session) {
	if !st.live {
		return
	}
	st.leave()
	st.last(s.picture(0))
}

// last leaves a board on the terminal.
func (st *display) last(b board) {
	for _, l := range b.lines(st.width(), 0, palette{st.colour}) {
		say(st.w.out, "%s\n", l)
	}
}

// picture gathers what is to be seen now.
func (s *session) picture(height int) board {
	s.mu.Lock()
	title := s.title
	s.mu.Unlock()
	b := board{now: s.cloud.Clock.Now(), zone: s.zone, rate: s.cloud.Clock.Rate(), base: s.scenario.rate, real: time.Since(s.began),
		title: title, newest: s.watch.newest(height), calls: totals(s.cloud.Faults.Calls()), wipes: len(s.cloud.Wipes())}
	for _, n := range s.watch.heard() {
		state, err := s.fold.state(context.Background(), n.kind, n.id)
		switch {
		case err != nil || state.Operation == nil:
			b.add(heardPanel(n.id, s.watch.statuses(n.id)))
		default:
			b.add(panelOf(state, s.scenario.fleets, s.zone))
		}
	}
	return b
}
