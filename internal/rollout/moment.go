package rollout

import "time"

// A Moment is a time in the 8 bytes that it takes: there are thirteen in each desktop. The
// zero value is no time. What lies before 1678 or after 2262 becomes the first or the last
// time that there is: a record may come from outside, and name any.
type Moment int64

const (
	firstMoment = Moment(-1 << 63)
	lastMoment  = Moment(1<<63 - 1)
)

// MomentOf returns a time as a moment.
func MomentOf(t time.Time) Moment {
	switch {
	case t.IsZero():
		return 0
	case t.Before(firstMoment.Time()):
		return firstMoment
	case t.After(lastMoment.Time()):
		return lastMoment
	}
	if n := Moment(t.UnixNano()); n != 0 {
		return n
	}
	return 1 // the first moment of 1970 is a time as well
}

// Time returns the moment as a time, in UTC.
func (m Moment) Time() time.Time {
	if m == 0 {
		return time.Time{}
	}
	return time.Unix(0, int64(m)).UTC()
}

// IsZero says whether it is no time.
func (m Moment) IsZero() bool { return m == 0 }

// After says whether it is after t.
func (m Moment) After(t time.Time) bool { return m.Time().After(t) }

// Before says whether it is before t.
func (m Moment) Before(t time.Time) bool { return m.Time().Before(t) }

// Equal says whether it is the time t.
func (m Moment) Equal(t time.Time) bool { return m.Time().Equal(t) }

// Add returns the time after d.
func (m Moment) Add(d time.Duration) time.Time { return m.Time().Add(d) }

// Sub returns how long it is after t.
func (m Moment) Sub(t time.Time) time.Duration { return m.Time().Sub(t) }

func (m Moment) String() string { return m.Time().String() }

// MarshalText writes it as a time is written.
func (m Moment) MarshalText() ([]byte, error) { return m.Time().MarshalText() }
