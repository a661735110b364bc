package localcloud

import (
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/regild/regild/internal/localcloud/sockets"
)

// holes makes black holes of connections, as an instance of Function Compute
// finds its connections after it was frozen: the other end is gone, and nothing
// tells so. What the client sends is neither answered nor acknowledged nor
// refused.
type holes struct {
	mu   sync.Mutex
	open map[sockets.Connection]*holeConn // as the client sees them
	dead map[string][]*holeConn           // by instance, since it was frozen last
	made int
	lost int // of those that are no longer dead but gone
}

// A HoleCount tells what became of connections to a cloud whose function is
// frozen between invocations.
type HoleCount struct {
	Made int // connections that became black holes
	Lost int // black holes into which the function has sent anything since
}

// listen returns l with its connections known to h.
func (h *holes) listen(l net.Listener) net.Listener { return &holeListener{l, h} }

// swallow makes black holes of the connections of an instance, which is the
// process pid, and lets go of those that it had before: by now it cannot mean
// them any more.
func (h *holes) swallow(instance string, pid int) {
	h.mu.Lock()
	open := slices.Collect(maps.Keys(h.open))
	over := h.dead[instance]
	h.mu.Unlock()
	// What cannot be found out leaves connections as they are.
	own, _ := sockets.Of(pid, open)
	lost := lost(over)
	h.mu.Lock()
	h.lost += lost
	h.dig(instance, own)
	h.mu.Unlock()
	for _, c := range over {
		_ = c.SetLinger(0)
		_ = c.Close()
	}
}

// dig makes black holes of an instance's connections; h.mu is held.
func (h *holes) dig(instance string, own []sockets.Connection) {
	if h.dead == nil {
		h.dead = map[string][]*holeConn{}
	}
	h.dead[instance] = nil
	for _, end := range own {
		c := h.open[end]
		if c == nil {
			continue // closed meanwhile
		}
		c.hole.Store(true)
		dropAll(c.TCPConn)
		delete(h.open, end)
		h.dead[instance] = append(h.dead[instance], c)
		h.made++
	}
}

// lost counts the black holes into which the client has sent anything. Its own
// end of a connection counts one byte, which is none of a request's.
func lost(dead []*holeConn) (n int) {
	ends := make([]sockets.Connection, 0, len(dead))
	for _, c := range dead {
		ends = append(ends, c.end)
	}
	unsent, _ := sockets.Unsent(ends)
	for _, bytes := range unsent {
		if bytes > 1 {
			n++
		}
	}
	return n
}

// count tells of all holes so far.
func (h *holes) count() HoleCount {
	h.mu.Lock()
	n := HoleCount{h.made, h.lost}
	dead := slices.Concat(slices.Collect(maps.Values(h.dead))...)
	h.mu.Unlock()
	n.Lost += lost(dead)
	return n
}

// holeListener hands out connections that can become black holes.
type holeListener struct {
	net.Listener
	holes *holes
}

func (l *holeListener) Accept() (net.Conn, error) {
	accepted, err := l.Listener.Accept()
	tcp, ok := accepted.(*net.TCPConn)
	if err != nil || !ok {
		return accepted, err
	}
	// The client's local end is our remote one.
	c := &holeConn{TCPConn: tcp, holes: l.holes, gone: make(chan struct{}), end: sockets.Connection{
		Local: addressOf(tcp.RemoteAddr()), Remote: addressOf(tcp.LocalAddr()),
	}}
	l.holes.mu.Lock()
	defer l.holes.mu.Unlock()
	if l.holes.open == nil {
		l.holes.open = map[sockets.Connection]*holeConn{}
	}
	l.holes.open[c.end] = c
	return c, nil
}

func addressOf(a net.Addr) netip.AddrPort {
	if tcp, ok := a.(*net.TCPAddr); ok {
		p := tcp.AddrPort()
		return netip.AddrPortFrom(p.Addr().Unmap(), p.Port())
	}
	return netip.AddrPort{}
}

// holeConn is a connection that can become a black hole.
type holeConn struct {
	*net.TCPConn
	holes *holes
	end   sockets.Connection
	hole  atomic.Bool
	gone  chan struct{} // closed by Close
	once  sync.Once
}

// Read reads nothing more, not even an end, once the connection is a black hole.
// Where the system drops what arrives, there is nothing to be read either.
func (c *holeConn) Read(b []byte) (int, error) {
	for {
		n, err := c.TCPConn.Read(b)
		switch {
		case !c.hole.Load():
			return n, err
		case err != nil:
			<-c.gone
			return 0, net.ErrClosed
		}
	}
}

func (c *holeConn) Close() error {
	c.once.Do(func() {
		close(c.gone)
		c.holes.mu.Lock()
		defer c.holes.mu.Unlock()
		if c.holes.open[c.end] == c {
			delete(c.holes.open, c.end)
		}
	})
	return c.TCPConn.Close()
}
