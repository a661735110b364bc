package sockets

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Of returns those of some connections that a process has, by their local ends.
// A process that is gone has none.
func Of(pid int, among []Connection) ([]Connection, error) {
	links, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	if err != nil {
		return nil, fmt.Errorf("listing what process %d has open: %w", pid, err)
	}
	own := map[uint64]bool{}
	for _, link := range links {
		to, err := os.Readlink(link) // such as socket:[12264]
		number, ok := strings.CutPrefix(to, "socket:[")
		if inode, numberErr := strconv.ParseUint(strings.TrimSuffix(number, "]"), 10, 32); err == nil && ok && numberErr == nil {
			own[inode] = true
		}
	}
	states, err := look(among)
	var all []Connection
	for _, c := range among {
		if s, there := states[c]; there && own[s.inode] {
			all = append(all, c)
		}
	}
	return all, err
}

// Unsent returns how many bytes the local end of each connection has been given
// and the remote end has not acknowledged; a closed connection whose end has not
// been acknowledged counts one more. A connection that is gone has 0.
func Unsent(of []Connection) (map[Connection]uint64, error) {
	states, err := look(of)
	all := map[Connection]uint64{}
	for c, s := range states {
		all[c] = s.unsent
	}
	return all, err
}

// A state is what the kernel tells of one connection.
type state struct {
	unsent, inode uint64
}

// look asks the kernel for connections one by one, which is quick however many
// there are in all. A kernel that cannot be asked has a table.
func look(of []Connection) (map[Connection]state, error) {
	if len(of) == 0 {
		return nil, nil
	}
	states, err := ask(of)
	if err == nil {
		return states, nil
	}
	return table()
}

// Source: sock_diag(7). A request and an answer each begin with a netlink
// header of 16 bytes; numbers are in the machine's byte order but for ports and
// addresses.
const (
	diagByFamily = 20
	askBytes     = 16 + 56
	answerBytes  = 16 + 72
	idAt         = 16 + 8 // of the socket's id, in a request
)

func ask(of []Connection) (map[Connection]state, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, unix.NETLINK_SOCK_DIAG)
	if err != nil {
		return nil, fmt.Errorf("opening netlink: %w", err)
	}
	defer func() { _ = unix.Close(fd) }()
	all := map[Connection]state{}
	answer := make([]byte, 8<<10)
	for _, c := range of {
		if err := unix.Sendto(fd, question(c), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return nil, fmt.Errorf("asking the kernel for a connection: %w", err)
		}
		n, _, err := unix.Recvfrom(fd, answer, 0)
		if err != nil {
			return nil, fmt.Errorf("asking the kernel for a connection: %w", err)
		}
		s, there, err := read(answer[:n])
		if err != nil {
			return nil, err
		}
		if there {
			all[c] = s
		}
	}
	return all, nil
}

// question is a request for one connection (struct inet_diag_req_v2).
func question(c Connection) []byte {
	b := make([]byte, askBytes)
	native := binary.NativeEndian
	native.PutUint32(b[0:], askBytes)
	native.PutUint16(b[4:], diagByFamily)
	native.PutUint16(b[6:], unix.NLM_F_REQUEST)
	b[16], b[17] = unix.AF_INET, unix.IPPROTO_TCP
	native.PutUint32(b[20:], ^uint32(0)) // whatever state it is in
	id := b[idAt:]
	binary.BigEndian.PutUint16(id[0:], c.Local.Port())
	binary.BigEndian.PutUint16(id[2:], c.Remote.Port())
	local, remote := c.Local.Addr().As4(), c.Remote.Addr().As4()
	copy(id[4:], local[:])
	copy(id[20:], remote[:])
	native.PutUint32(id[40:], ^uint32(0)) // no cookie
	native.PutUint32(id[44:], ^uint32(0))
	return b
}

// read takes the answer (struct inet_diag_msg), or that there is none.
func read(b []byte) (s state, there bool, err error) {
	native := binary.NativeEndian
	if len(b) < 20 {
		return s, false, errors.New("the kernel's answer is cut off")
	}
	switch kind := native.Uint16(b[4:]); {
	case kind == unix.NLMSG_ERROR:
		if e := unix.Errno(-int32(native.Uint32(b[16:]))); !errors.Is(e, unix.ENOENT) || native.Uint32(b[0:]) < 20 {
			return s, false, fmt.Errorf("asking the kernel for a connection: %w", e)
		}
		return s, false, nil
	case kind != diagByFamily || len(b) < answerBytes:
		return s, false, fmt.Errorf("the kernel answers with %d bytes of kind %d", len(b), kind)
	}
	rest := b[16+4+48:] // expires, receive queue, send queue, user, inode
	return state{unsent: uint64(native.Uint32(rest[8:])), inode: uint64(native.Uint32(rest[16:]))}, true, nil
}

// table reads the kernel's table of connections, of this network namespace.
// Source: proc(5), /proc/net/tcp.
func table() (map[Connection]state, error) {
	text, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return nil, fmt.Errorf("reading the table of connections: %w", err)
	}
	all := map[Connection]state{}
	for line := range bytes.Lines(text) {
		// sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode …
		fields := strings.Fields(string(line))
		if len(fields) < 10 {
			continue
		}
		local, okLocal := address(fields[1])
		remote, okRemote := address(fields[2])
		queue, _, _ := strings.Cut(fields[4], ":")
		unsent, errUnsent := strconv.ParseUint(queue, 16, 64)
		inode, errInode := strconv.ParseUint(fields[9], 10, 32)
		if okLocal && okRemote && errUnsent == nil && errInode == nil { // the first line is a heading
			all[Connection{local, remote}] = state{unsent, inode}
		}
	}
	return all, nil
}

// address reads such as 0100007F:9FFF: the bytes of the address as a number of
// this machine's byte order, and the port.
func address(s string) (netip.AddrPort, bool) {
	host, port, _ := strings.Cut(s, ":")
	h, errHost := strconv.ParseUint(host, 16, 32)
	p, errPort := strconv.ParseUint(port, 16, 16)
	if errHost != nil || errPort != nil {
		return netip.AddrPort{}, false
	}
	var b [4]byte
	binary.NativeEndian.PutUint32(b[:], uint32(h))
	return netip.AddrPortFrom(netip.AddrFrom4(b), uint16(p)), true
}
