package dashboard

import (
	"slices"
	"sync"
)

// boardName is what the first page watches.
const boardName = "board"

// maxListeners bounds how many pages are kept up to date at once.
const maxListeners = 200

// A hub tells pages that what they show has changed. It may be used from several
// goroutines.
type hub struct {
	mu        sync.Mutex
	listeners map[*listener]bool
}

// A listener waits for changes of one name. Changes that come while it is busy
// are one.
type listener struct {
	of   string
	told chan struct{}
}

func newHub() *hub { return &hub{listeners: map[*listener]bool{}} }

// listen adds a listener, or returns nil when there are too many.
func (h *hub) listen(of string) *listener {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.listeners) >= maxListeners {
		return nil
	}
	l := &listener{of: of, told: make(chan struct{}, 1)}
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
	for l := range h.listeners {
		if slices.Contains(names, l.of) {
			select {
			case l.told <- struct{}{}:
			default:
			}
		}
	}
}
