package sockets

import (
	"net"
	"net/netip"
	"os"
	"slices"
	"testing"
)

func TestTheKernelAndItsTableTellTheSame(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	var mine []Connection
	for range 3 {
		c, err := net.Dial("tcp", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = c.Close() }()
		mine = append(mine, Connection{netip.MustParseAddrPort(c.LocalAddr().String()), netip.MustParseAddrPort(c.RemoteAddr().String())})
	}
	nobodys := Connection{mine[0].Local, netip.MustParseAddrPort("127.0.0.1:1")}
	fromTable, err := table()
	if err != nil {
		t.Fatal(err)
	}
	fromKernel, err := ask(append(slices.Clone(mine), nobodys))
	if err != nil {
		t.Logf("this kernel has only its table: %v", err)
		fromKernel = fromTable
	}
	for _, c := range mine {
		if got, want := fromKernel[c], fromTable[c]; got != want || got.inode == 0 {
			t.Errorf("%v: the kernel says %+v, its table %+v", c, got, want)
		}
	}
	if _, there := fromKernel[nobodys]; there {
		t.Errorf("the kernel knows %v, which nobody has", nobodys)
	}
	got, err := Of(os.Getpid(), append(slices.Clone(mine), nobodys))
	if err != nil || !slices.Equal(got, mine) {
		t.Errorf("connections of this process: got %v, %v; want %v", got, err, mine)
	}
	if got, err := Of(os.Getppid(), mine); err != nil || len(got) > 0 {
		t.Errorf("connections of another process: got %v, %v; want none", got, err)
	}
}
