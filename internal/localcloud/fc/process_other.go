//go:build !linux

package fc

import "os/exec"

// isolate does nothing where the system has no way to have a process die with
// its parent.
func isolate(*exec.Cmd) {}

// peakRSS cannot be told of a live process here.
func peakRSS(int) int64 { return 0 }

// freeze does nothing where the system does not tell whose a connection is.
func (*instance) freeze(func(string, int)) {}

func (*instance) thaw() {}
