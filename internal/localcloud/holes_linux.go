package localcloud

import (
	"net"

	"golang.org/x/sys/unix"
)

// dropAll has the kernel drop whatever arrives on the connection, before it
// acknowledges it: a filter that takes nothing. Source: socket(7),
// SO_ATTACH_FILTER. Where that is refused, Read still takes nothing.
func dropAll(c *net.TCPConn) {
	raw, err := c.SyscallConn()
	if err != nil {
		return // closed
	}
	nothing := unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0}
	_ = raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptSockFprog(int(fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: 1, Filter: &nothing})
	})
}
