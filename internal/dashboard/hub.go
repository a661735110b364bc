package dashboard

import (
	"crypto/rand"
	"slices"
	"strconv"
	"sync"
)

// boardName is what the first page watches.
const boardName = "board"

// maxListeners bounds how many pages are kept up to date at once.
const maxListeners = 200

// A hub tells pages that what they show has changed. It may be used from several
// goroutines.
type hub struct {
	boot string // tells this process from the one before

	mu        sync.Mutex
	listeners map[*listener]bool
	revisions map[string]int // how often each name has changed
}

// A listener waits for changes of one name. Changes that come while it is busy
// are one.
type listener struct {
	of   string
	told chan struct{}
}

func newHub() *hub {
	return &hub{boot: rand.Text()[:8], listeners: map[*listener]bool{}, revisions: map[string]int{}}
}

// revision names what a name is like now. A page carries that of before it was
// drawn, so that nothing is missed until it listens.
func (h *hub) revision(of string) string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.name(of)
}

func (h *hub) name(of string) string { return h.boot + "-" + strconv.Itoa(h.revisions[of]) }

// listen adds a listener, or returns nil when there are too many. It is told at
// once if what it has seen is not what there is.
func (h *hub) listen(of, seen string) *listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listeners) >= maxListeners {
		return nil
	}
	l := &listener{of: of, told: make(chan struct{}, 1)}
	if seen != h.name(of) {
		l.told <- struct{}{}
	}
	h.listeners[l] = true
	return l
}

func (h *hub) leave(l *listener) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.listeners, l)
}

// tell wakes those who listen to one of the names.
func (h *hub) tell(names []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, name := range names {
		h.revisions[name]++
	}
	for l := range h.listeners {
		if slices.Contains(names, l.of) {
			select {
			case l.told <- struct{}{}:
			default:
			}
		}
	}
}
