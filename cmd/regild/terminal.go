package main

import (
	"os"

	"golang.org/x/term"
)

// isTerminal says whether somebody looks at the file.
func isTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) } //nolint:gosec // a file descriptor is small

// sizeOf returns how many columns and lines a terminal has, or what most have.
func sizeOf(f *os.File) (width, height int) {
	width, height, err := term.GetSize(int(f.Fd())) //nolint:gosec // a file descriptor is small
	if err != nil || width == 0 || height == 0 {
		return 80, 24
	}
	return width, height
}
