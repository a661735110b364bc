package bench

import (
	"slices"
	"testing"
	"time"
)

// starts is how many processes a cold start is measured with; the median counts.
const starts = 21

// BenchmarkColdStart measures how long a new process takes to ask for its first
// event, and until the first outcome of a request for one desktop is out or, for
// the empty function, until it has answered. The stand-in answers at once, so
// this is the function's own time. The two take turns, so that whatever else the
// machine does meets both.
func BenchmarkColdStart(b *testing.B) {
	c := newCloud(b)
	main, empty := c.build("main", "github.com/regild/regild"), c.build("empty", "github.com/regild/regild/bench/empty")
	for b.Loop() {
		var ours, theirs started
		for range starts {
			ours.add(c.coldStart(main))
			theirs.add(c.coldStart(empty))
		}
		b.ReportMetric(ms(median(ours.next)), "ms-to-next")
		b.ReportMetric(ms(median(ours.done)), "ms-to-outcome")
		b.ReportMetric(ms(median(theirs.next)), "empty-ms-to-next")
		b.ReportMetric(ms(median(theirs.done)), "empty-ms-to-answer")
		b.ReportMetric(ms(median(ours.next))/ms(median(theirs.next)), "x-empty")
		b.ReportMetric(float64(median(ours.rss))/(1<<20), "MiB")
		b.ReportMetric(float64(median(theirs.rss))/(1<<20), "empty-MiB")
	}
	b.ReportMetric(0, "ns/op")
}

// started is what some processes took.
type started struct {
	next, done []time.Duration
	rss        []int64
}

func (s *started) add(next, done time.Duration, rss int64) {
	s.next, s.done, s.rss = append(s.next, next), append(s.done, done), append(s.rss, rss)
}

func (c *cloud) coldStart(path string) (next, done time.Duration, rss int64) {
	c.Helper()
	c.forget()
	h := c.start(c.function(path))
	c.invoke(h, requests("cold", 1))
	answered := time.Now()
	first := c.counts().First
	if first.IsZero() {
		first = answered
	}
	i := c.stop(h)
	return i.ColdStart, first.Sub(i.Started), i.PeakRSS
}

func median[T time.Duration | int64](list []T) T {
	slices.Sort(list)
	return list[len(list)/2]
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
