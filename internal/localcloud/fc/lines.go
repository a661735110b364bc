package fc

import (
	"bytes"
	"io"
	"sync"
)

// maxLine bounds what is held back while a line is not finished, in bytes.
const maxLine = 1 << 20

// output is the writer that all instances share.
type output struct {
	mu sync.Mutex
	w  io.Writer
}

// lines passes on what one instance writes, whole lines at a time, so that the
// logs of several instances do not mix within a line.
type lines struct {
	to   *output
	mu   sync.Mutex
	held []byte
}

// Write never reports an error: a log that cannot be written must not stop the
// function.
func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.held = append(l.held, p...)
	if end := bytes.LastIndexByte(l.held, '\n') + 1; end > 0 {
		l.pass(end)
	}
	if len(l.held) > maxLine {
		l.pass(len(l.held))
	}
	return len(p), nil
}

// flush passes on a last line without an end.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.held) > 0 {
		l.held = append(l.held, '\n')
		l.pass(len(l.held))
	}
}

func (l *lines) pass(n int) {
	l.to.mu.Lock()
	defer l.to.mu.Unlock()
	_, _ = l.to.w.Write(l.held[:n])
	l.held = append(l.held[:0], l.held[n:]...)
}
