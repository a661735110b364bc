package bench

import (
	"fmt"
	"testing"

	"github.com/regild/regild/internal/localcloud/fc"
)

// BenchmarkRedelivery measures what it costs when requests for 10,000 desktops
// are delivered again after all of them were accepted: to the instance that
// served them, which remembers, and to a new one, which reads the journal.
func BenchmarkRedelivery(b *testing.B) {
	const n = 10_000
	c := newCloud(b)
	main := c.build("main", "github.com/regild/regild")
	f := c.function(main, withJournal("again"))
	served := c.start(f)
	defer c.stop(served)
	c.invoke(served, requests("again", n))
	b.Run(fmt.Sprintf("same-instance/desktops=%d", n), func(b *testing.B) {
		var total measured
		for b.Loop() {
			c.forget()
			m := measured{invocations: 1, took: c.invoke(served, requests("again", n)).Duration, counts: c.counts()}
			c.onlyRead(m.counts)
			total.add(m)
		}
		total.report(b, n)
	})
	b.Run(fmt.Sprintf("new-instance/desktops=%d", n), func(b *testing.B) {
		var total measured
		for b.Loop() {
			total.add(c.again(f, "again", n))
		}
		total.report(b, n)
	})
}

// again delivers the same requests to a new instance.
func (c *cloud) again(f fc.Function, name string, n int) measured {
	c.Helper()
	c.forget()
	h := c.start(f)
	m := measured{invocations: 1, took: c.invoke(h, requests(name, n)).Duration, counts: c.counts()}
	m.instance = c.stop(h)
	c.onlyRead(m.counts)
	return m
}

// onlyRead stops the test if anything but a read was called.
func (c *cloud) onlyRead(n Counts) {
	c.Helper()
	for name := range n.Calls {
		switch name {
		case "GetObject", "DescribeDesktops", "DescribeImages":
		default:
			c.Errorf("a redelivered request called %s: %v", name, n.Calls)
		}
	}
}
