package fc

import (
	"bytes"
	"os"
	"os/exec"
	"strconv"
	"syscall"
)

// isolate keeps the terminal's Ctrl-C away from the process, so that it can be
// stopped in order, and has it die with us: an orphan would ask a runtime API
// that is gone, thousands of times a second.
func isolate(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// peakRSS reads the largest resident memory, in bytes, of a process that is
// alive; 0: cannot tell. It is asked of the living because ru_maxrss of a dead
// child also counts the memory of the program that started it. Source: proc(5),
// VmHWM.
func peakRSS(pid int) int64 {
	status, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/status")
	if err != nil {
		return 0
	}
	_, rest, found := bytes.Cut(status, []byte("VmHWM:"))
	if !found {
		return 0
	}
	fields := bytes.Fields(rest)
	if len(fields) == 0 {
		return 0
	}
	kib, err := strconv.ParseInt(string(fields[0]), 10, 64)
	if err != nil {
		return 0
	}
	return kib << 10
}
