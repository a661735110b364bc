package fleet

import (
	"math"
	"strconv"
)

// An Amount is a number of desktops, or a percentage of however many there are.
// In YAML it is written 5 or "10%". At most one of the fields is above 0; the
// zero Amount is nobody. It is comparable.
type Amount struct {
	Count   int
	Percent float64 // 0 to 100, with at most two decimals
}

// IsZero says whether the share is nobody, however many desktops there are.
func (s Amount) IsZero() bool { return s == Amount{} }

// Of returns the share of n desktops for choosing whom to take: percentages
// round up, so that a set share of at least one desktop is at least one. The
// result is never above n nor below 0.
func (s Amount) Of(n int) int { return s.of(n, hundredths-1) }

// Floor returns the share of n desktops for a limit: percentages round down, so
// that a limit is never exceeded by rounding. The result is never above n nor
// below 0.
func (s Amount) Floor(n int) int { return s.of(n, 0) }

// hundredths of a percent make a whole. Shares are reckoned in them because
// binary fractions would make 33.3% of 1000 sometimes 332.
const hundredths = 100 * 100

func (s Amount) of(n, roundUp int) int {
	if n <= 0 {
		return 0
	}
	count := s.Count
	if s.Percent > 0 {
		count = int((int64(n)*int64(math.Round(s.Percent*100)) + int64(roundUp)) / hundredths)
	}
	return max(0, min(count, n))
}

// String writes the share as fleets.yaml does.
func (s Amount) String() string {
	if s.Percent > 0 {
		return strconv.FormatFloat(s.Percent, 'f', -1, 64) + "%"
	}
	return strconv.Itoa(s.Count)
}
