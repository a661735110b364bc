package fc

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// freeze stops the process by a signal and tells told once it stands still. A
// nil told freezes nothing.
func (in *instance) freeze(told func(instance string, pid int)) {
	if told == nil || in.cmd.Process.Signal(syscall.SIGSTOP) != nil { // it has ended
		return
	}
	pid := in.cmd.Process.Pid
	for {
		// WNOWAIT leaves the process's end to supervise; the wait ends with it, too.
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WSTOPPED|unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	told(in.known.ID, pid)
}

// thaw has the process go on; one that was never frozen does anyway.
func (in *instance) thaw() { _ = in.cmd.Process.Signal(syscall.SIGCONT) }
