package oss

import "testing"

// A range that fits lies within the object and is not empty.
func FuzzRange(f *testing.F) {
	for _, s := range []string{"bytes=0-0", "bytes=5-", "bytes=-5", "bytes=-", "bytes=9-5", "bytes=0-99999999999", "bytes=-0", "octets=0-1", "bytes=0-1,2-3", "bytes=+1-2"} {
		f.Add(s, 10, true)
		f.Add(s, 0, false)
	}
	f.Fuzz(func(t *testing.T, header string, size int, standard bool) {
		size &= 1<<30 - 1
		start, end, fits := parseRange(header, size, standard)
		if fits && (start < 0 || start >= end || end > size) {
			t.Errorf("%q of %d bytes: %d to %d", header, size, start, end)
		}
	})
}
