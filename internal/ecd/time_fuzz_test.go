package ecd

import (
	"testing"
	"time"
)

// A time that is read is read the same when it is written again.
func FuzzTime(f *testing.F) {
	for _, s := range []string{"2020-11-06T08:28Z", "2022-03-03T02:43:44.851Z", "2025-02-24T06:38:02+08:00", "2020-11-06 08:28:00", "soon", "", "0000-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		at := parseTime(text(s))
		if at.IsZero() || at.Year() > 9999 || at.Year() < 0 {
			return
		}
		if again := parseTime(text(at.Format(time.RFC3339Nano))); !again.Equal(at) || at.Location() != time.UTC {
			t.Errorf("%q is %v, and then %v", s, at, again)
		}
	})
}
