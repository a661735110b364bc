// Package sockets tells which TCP connections a process has, and what of them
// the other end has not taken yet. It can tell on Linux only; elsewhere every
// process seems to have none.
//
// It is for the local cloud and for tests, never for production.
package sockets

import "net/netip"

// A Connection names a TCP connection over IPv4 by its two ends.
type Connection struct {
	Local, Remote netip.AddrPort
}
