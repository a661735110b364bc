package main

import (
	"os"

	"golang.org/x/term"
)

// terminalSize returns how many columns and lines the terminal has that the file
// is, and false for a file that is no terminal.
func terminalSize(f *os.File) (width, height int, ok bool) {
	width, height, err := term.GetSize(int(f.Fd())) //nolint:gosec // a file descriptor is small
	return width, height, err == nil
}
