package sockets

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Of returns the connections that a process has. One that is gone has none.
// Source: proc(5), /proc/pid/fd and /proc/net/tcp.
func Of(pid int) ([]Connection, error) {
	links, err := filepath.Glob("/proc/" + strconv.Itoa(pid) + "/fd/*")
	if err != nil {
		return nil, fmt.Errorf("listing what process %d has open: %w", pid, err)
	}
	own := map[string]bool{}
	for _, link := range links {
		to, err := os.Readlink(link) // such as socket:[12264]
		if inode, ok := strings.CutPrefix(to, "socket:["); err == nil && ok {
			own[strings.TrimSuffix(inode, "]")] = true
		}
	}
	var all []Connection
	err = rows(func(c Connection, _ int64, inode string) {
		if own[inode] {
			all = append(all, c)
		}
	})
	return all, err
}

// Unsent returns how many bytes the local end of each connection has been given
// and the remote end has not acknowledged; a closed connection whose end has not
// been acknowledged counts one more.
func Unsent() (map[Connection]int64, error) {
	all := map[Connection]int64{}
	err := rows(func(c Connection, unsent int64, _ string) { all[c] = unsent })
	return all, err
}

// rows reads the kernel's table of connections, of this network namespace.
func rows(each func(c Connection, unsent int64, inode string)) error {
	table, err := os.ReadFile("/proc/net/tcp")
	if err != nil {
		return fmt.Errorf("reading the table of connections: %w", err)
	}
	for line := range bytes.Lines(table) {
		// sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode …
		fields := strings.Fields(string(line))
		if len(fields) < 10 {
			continue
		}
		local, okLocal := address(fields[1])
		remote, okRemote := address(fields[2])
		queue, _, _ := strings.Cut(fields[4], ":")
		unsent, err := strconv.ParseInt(queue, 16, 64)
		if okLocal && okRemote && err == nil { // the first line is a heading
			each(Connection{local, remote}, unsent, fields[9])
		}
	}
	return nil
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
