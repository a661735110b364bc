package mns

import (
	"fmt"
	"testing"
)

// BenchmarkPublish measures a publication from call to answer against a server
// in the same process that answers at once, one caller and as many as may be
// under way.
func BenchmarkPublish(b *testing.B) {
	body := []byte(`{"specversion":"1.0","type":"regild.desktop.outcome.v1","id":"win11-2026.11.3-hz-0007/ecd-gx2x1dhsmucyy0001/accepted","source":"acs:fc:cn-hangzhou:1234567890123456:functions/regild","subject":"ecd-gx2x1dhsmucyy0001","time":"2026-11-23T08:00:00Z","datacontenttype":"application/json","data":{"requestId":"win11-2026.11.3-hz-0007","regionId":"cn-hangzhou","desktopId":"ecd-gx2x1dhsmucyy0001","status":"accepted"}}`)
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			c := client(b, serve(b, say(201, taken)).URL, func(c *Config) { c.Concurrency = callers })
			b.SetParallelism(max(1, callers/2))
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := c.Publish(b.Context(), "outcomes", body, "accepted"); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
