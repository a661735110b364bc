//go:build !linux

package sockets

// Of knows of no connections where there is no way to ask for their owner.
func Of(int, []Connection) ([]Connection, error) { return nil, nil }

// Unsent knows of no connections where there is no way to ask.
func Unsent([]Connection) (map[Connection]uint64, error) { return nil, nil }
