package main

import (
	"os"
	"syscall"
	"unsafe"
)

// terminalSize returns how many columns and lines the terminal has that the file
// is, and false for a file that is no terminal. It asks the kernel the one
// question whose answer tells both.
func terminalSize(f *os.File) (width, height int, ok bool) {
	var size struct{ rows, columns, x, y uint16 }
	_, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCGWINSZ, uintptr(unsafe.Pointer(&size))) //nolint:gosec // the kernel fills a struct of its own layout
	return int(size.columns), int(size.rows), errno == 0
}
