package bench

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/regild/regild/internal/localcloud/fc"
)

// What the stand-in takes for a call, and how many the function has under way by
// default.
const (
	rebuildTakes, publishTakes, appendTakes = 150 * time.Millisecond, 5 * time.Millisecond, 20 * time.Millisecond
	rebuilding, publishing                  = 4, 16
)

// limit is the least time that n desktops can take: latency and concurrency set
// it, whatever the program does. Rebuilding and publishing overlap, so the
// longer of the two counts; from 20 desktops on that is rebuilding.
func limit(n int) time.Duration {
	ceil := func(a, b int) time.Duration { return time.Duration((a + b - 1) / b) }
	calls := (n + 19) / 20
	return max(ceil(calls, rebuilding)*rebuildTakes, ceil(n, publishing)*publishTakes)
}

// BenchmarkRequests measures one invocation with requests for so many desktops,
// each in a new process.
func BenchmarkRequests(b *testing.B) {
	c := newCloud(b)
	c.delay(Delays{rebuildTakes, publishTakes, appendTakes})
	main := c.build("main", "github.com/regild/regild")
	names := 0
	for _, journal := range []string{"none", "oss"} {
		for _, n := range []int{1, 20, 1000, 10_000, 100_000} {
			b.Run(fmt.Sprintf("journal=%s/desktops=%d", journal, n), func(b *testing.B) {
				var total measured
				for b.Loop() {
					names++
					name := fmt.Sprintf("b%d", names)
					f := c.function(main)
					if journal == "oss" {
						f = c.function(main, withJournal(name))
					}
					total.add(c.measure(f, name, n))
				}
				total.report(b, n)
			})
		}
	}
}

// BenchmarkWarmRequests is BenchmarkRequests in an instance that has served
// before.
func BenchmarkWarmRequests(b *testing.B) {
	c := newCloud(b)
	c.delay(Delays{rebuildTakes, publishTakes, appendTakes})
	main := c.build("main", "github.com/regild/regild")
	for _, n := range []int{1, 20, 1000} {
		b.Run(fmt.Sprintf("journal=oss/desktops=%d", n), func(b *testing.B) {
			h := c.start(c.function(main, withJournal(fmt.Sprint("warm", n))))
			defer c.stop(h)
			c.invoke(h, requests("first", 1))
			names := 0
			var took time.Duration
			for b.Loop() {
				names++
				took += c.invoke(h, requests(fmt.Sprintf("w%d", names), n)).Duration
			}
			b.ReportMetric(float64(took)/float64(limit(n))/float64(b.N), "x-limit")
		})
	}
}

// BenchmarkInstances measures several instances of a function that have a request for
// 1,000 desktops each, in one region of one account, at the same time.
func BenchmarkInstances(b *testing.B) {
	const each = 1000
	c := newCloud(b)
	c.delay(Delays{rebuildTakes, publishTakes, appendTakes})
	main := c.build("main", "github.com/regild/regild")
	names := 0
	for _, n := range []int{1, 2, 4, 10} {
		b.Run(fmt.Sprintf("instances=%d", n), func(b *testing.B) {
			var took time.Duration
			var atOnce int
			for b.Loop() {
				names++
				f := c.function(main, withJournal(fmt.Sprintf("i%d", names)))
				f.Instances = n
				h := c.start(f)
				c.forget()
				var wg sync.WaitGroup
				start := time.Now()
				for i := range n {
					payload := requests(fmt.Sprintf("i%dx%d", names, i), each)
					wg.Go(func() { c.invoke(h, payload) })
				}
				wg.Wait()
				took += time.Since(start)
				counts := c.counts()
				atOnce = max(atOnce, counts.AtOnce)
				if c.stop(h); counts.Wiped != n*each || counts.Twice != 0 {
					b.Fatalf("%d wipes of %d desktops, %d of them twice", counts.Wiped, n*each, counts.Twice)
				}
			}
			b.ReportMetric(float64(took)/float64(limit(each))/float64(b.N), "x-limit")
			b.ReportMetric(float64(took.Milliseconds())/float64(b.N), "ms")
			b.ReportMetric(float64(atOnce), "at-once")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// measured is what some invocations cost.
type measured struct {
	runs, invocations int
	took              time.Duration
	instance          fc.Instance // CPU and PeakRSS, summed
	counts            Counts      // Calls and JournalBytes, summed
}

func (m *measured) add(o measured) {
	m.runs++
	m.took += o.took
	m.invocations += o.invocations
	m.instance.CPU += o.instance.CPU
	m.instance.PeakRSS += o.instance.PeakRSS
	m.counts.JournalBytes += o.counts.JournalBytes
	if m.counts.Calls == nil {
		m.counts.Calls = map[string]int{}
	}
	for name, n := range o.counts.Calls {
		m.counts.Calls[name] += n
	}
}

// report shows the means.
func (m *measured) report(b *testing.B, n int) {
	each := func(v float64, unit string) { b.ReportMetric(v/float64(m.runs), unit) }
	each(float64(m.took)/float64(limit(n)), "x-limit")
	each(float64(m.took.Milliseconds()), "ms")
	each(float64(m.instance.CPU.Microseconds())/float64(n), "cpu-µs/desktop")
	each(float64(m.instance.PeakRSS)/(1<<20), "peak-MiB")
	each(float64(m.invocations), "invocations")
	if m.counts.JournalBytes > 0 {
		each(float64(m.counts.JournalBytes)/float64(n), "journal-B/desktop")
	}
	for name, calls := range m.counts.Calls {
		each(float64(calls), name)
	}
	b.ReportMetric(0, "ns/op") // says the same as ms, with the start of the process
}

// measure has n desktops rebuilt by a new process, in one invocation or, when
// its time does not suffice, in as many as its ticks ask for. It stops the test
// unless every desktop was rebuilt, once, and every outcome published.
func (c *cloud) measure(f fc.Function, name string, n int) measured {
	c.Helper()
	c.forget()
	c.take()
	h := c.start(f)
	m := measured{invocations: 1}
	start := time.Now()
	m.took = c.invoke(h, requests(name, n)).Duration
	m.counts = c.counts()
	if m.counts.Wiped < n {
		c.goOn(h, n, &m)
		m.took = time.Since(start)
	}
	m.instance = c.stop(h)
	if m.counts.Wiped != n || m.counts.Twice != 0 || m.counts.Tags["accepted"] < n {
		c.Fatalf("%d desktops: the stand-in saw %d rebuilt, %d of them twice, and the outcomes %v", n, m.counts.Wiped, m.counts.Twice, m.counts.Tags)
	}
	return m
}

// goOn delivers the ticks as they come due until n desktops are rebuilt.
func (c *cloud) goOn(h *fc.Host, n int, m *measured) {
	c.Helper()
	for waiting := c.take(); m.counts.Wiped < n; waiting = append(waiting, c.take()...) {
		if len(waiting) == 0 {
			c.Fatalf("%d of %d desktops are rebuilt and no tick is on the queue", m.counts.Wiped, n)
		}
		next := waiting[0].Due
		for _, w := range waiting {
			if w.Due.Before(next) {
				next = w.Due
			}
		}
		<-time.NewTimer(time.Until(next)).C
		var due []string
		var rest []Message
		for _, w := range waiting {
			if w.Due.After(time.Now()) {
				rest = append(rest, w)
			} else {
				due = append(due, w.Body)
			}
		}
		waiting = rest
		c.invoke(h, batch(due))
		m.invocations++
		m.counts = c.counts()
	}
}

// BenchmarkCutShort measures requests for 10,000 desktops that do not fit the
// time of an invocation: the rest goes on by ticks, which are delivered when
// they come due.
func BenchmarkCutShort(b *testing.B) {
	const n = 10_000
	c := newCloud(b)
	c.delay(Delays{rebuildTakes, publishTakes, appendTakes})
	main := c.build("main", "github.com/regild/regild")
	names := 0
	b.Run(fmt.Sprintf("journal=oss/timeout=12s/desktops=%d", n), func(b *testing.B) {
		var total measured
		for b.Loop() {
			names++
			name := fmt.Sprintf("c%d", names)
			f := c.function(main, withJournal(name))
			f.Timeout = 12 * time.Second
			total.add(c.measure(f, name, n))
		}
		total.report(b, n)
	})
}
