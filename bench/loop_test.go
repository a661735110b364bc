package bench

import (
	"encoding/json"
	"fmt"
	"testing"
)

// BenchmarkLoop measures the plain loop and the function on the same desktops,
// one after the other. The loop's time is the same for every desktop, so a few
// hundred tell of any number.
func BenchmarkLoop(b *testing.B) {
	const n = 200
	c := newCloud(b)
	c.delay(Delays{rebuildTakes, publishTakes, appendTakes})
	main, loop := c.build("main", "github.com/regild/regild"), c.build("loop", "github.com/regild/regild/bench/loop")
	b.Run(fmt.Sprintf("plain/desktops=%d", n), func(b *testing.B) {
		var total measured
		for b.Loop() {
			total.add(c.plain(loop, n))
		}
		total.report(b, n)
	})
	b.Run(fmt.Sprintf("regild/desktops=%d", n), func(b *testing.B) {
		var total measured
		names := 0
		for b.Loop() {
			names++
			name := fmt.Sprintf("l%d", names)
			total.add(c.measure(c.function(main, withJournal(name)), name, n))
		}
		total.report(b, n)
	})
}

// plain has n desktops rebuilt by the plain loop.
func (c *cloud) plain(path string, n int) measured {
	c.Helper()
	c.forget()
	h := c.start(c.function(path))
	ids := make([]string, 0, n)
	for i := range n {
		ids = append(ids, fmt.Sprintf("ecd-plain%07d", i))
	}
	payload, err := json.Marshal(map[string]any{"regionId": region, "imageId": newImage, "desktopIds": ids})
	if err != nil {
		c.Fatal(err)
	}
	m := measured{invocations: 1, took: c.invoke(h, payload).Duration, counts: c.counts()}
	m.instance = c.stop(h)
	if m.counts.Wiped != n || m.counts.Calls["PublishMessage"] != n {
		c.Fatalf("%d desktops: the stand-in saw %d rebuilt, and the calls %v", n, m.counts.Wiped, m.counts.Calls)
	}
	return m
}
