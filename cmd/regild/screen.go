package main

import (
	"context"
	"os"
	"strings"
	"sync"

	tea "charm.land/bubbletea/v2"
	"golang.org/x/term"
)

// A screen shows a picture that changes on a terminal: on its alternate screen,
// so that what was there before is there afterwards, too. Bubble Tea draws it,
// and gives the terminal back however it ends: in order, by a signal, by a panic.
type screen struct {
	program *tea.Program
	ended   chan struct{}

	mu            sync.Mutex
	width, height int
}

// picture is a message to the screen: what is to be seen from now on.
type picture []string

// newScreen takes the terminal that the process writes to. quit is called when
// somebody presses q, or Ctrl-C, which no longer is a signal then: the cause says
// which (nil, errInterrupted).
func newScreen(ctx context.Context, w world, out *os.File, quit func(cause error)) *screen {
	s := &screen{ended: make(chan struct{})}
	s.width, s.height = sizeOf(out)
	var in *os.File
	if file, ok := w.in.(*os.File); ok && isTerminal(file) {
		in = file
	}
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithOutput(out), tea.WithoutSignalHandler()}
	if in == nil {
		options = append(options, tea.WithInput(nil))
	} else {
		options = append(options, tea.WithInput(in))
	}
	s.program = tea.NewProgram(seen{screen: s, quit: quit}, options...)
	go func() {
		defer close(s.ended)
		_, _ = s.program.Run() // what ends it is the context or close
	}()
	return s
}

// show changes the picture.
func (s *screen) show(lines []string) { s.program.Send(picture(lines)) }

// size is that of the terminal now.
func (s *screen) size() (width, height int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.width, s.height
}

// close gives the terminal back.
func (s *screen) close() {
	s.program.Quit()
	<-s.ended
}

// seen is what the screen shows: Bubble Tea's model.
type seen struct {
	screen *screen
	quit   func(cause error)
	lines  []string
}

// Init is tea.Model's.
func (m seen) Init() tea.Cmd { return nil }

// Update is tea.Model's.
func (m seen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case picture:
		m.lines = msg
	case tea.WindowSizeMsg:
		m.screen.mu.Lock()
		m.screen.width, m.screen.height = msg.Width, msg.Height
		m.screen.mu.Unlock()
	case tea.KeyPressMsg:
		switch msg.String() {
		case "q":
			m.quit(nil)
		case "ctrl+c":
			m.quit(errInterrupted)
		}
	}
	return m, nil
}

// View is tea.Model's.
func (m seen) View() tea.View {
	v := tea.NewView(strings.Join(m.lines, "\n"))
	v.AltScreen = true
	return v
}

// isTerminal says whether somebody looks at the file.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) } //nolint:gosec // a file descriptor is small

// sizeOf returns how many columns and lines a terminal has, or what most have.
func sizeOf(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd())) //nolint:gosec // a file descriptor is small
	if err != nil || width == 0 || height == 0 {
		return 80, 24
	}
	return width, height
}
