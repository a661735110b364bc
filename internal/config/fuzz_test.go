package config_test

import (
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// Whatever somebody sets: no panic, and what is taken lies within its bounds.
func FuzzLoad(f *testing.F) {
	f.Add("outcomes", "requests", "cn-hangzhou, cn-shanghai", "4", "30m", "info", "http://127.0.0.1:4/clock")
	f.Add("", "no spaces", "Hangzhou,", "-1", "1e9h", "loud", "http://[::1%25x]:1")
	f.Add("\xff", "\x00", ",", "9223372036854775808", "30", "DEBUG", "://")
	f.Fuzz(func(t *testing.T, topic, queue, regions, number, duration, level, clock string) {
		c, err := load(map[string]string{
			"REGILD_RESULT_TOPIC": topic, "REGILD_REQUEST_QUEUE": queue, "REGILD_REGIONS": regions, "REGILD_REBUILD_CONCURRENCY": number,
			"REGILD_PUBLISH_CONCURRENCY": number, "REGILD_REBUILD_TIMEOUT": duration, "REGILD_LOG_LEVEL": level, "REGILD_CLOCK": clock,
			"REGILD_ECD_ENDPOINT": clock, "REGILD_MNS_ENDPOINT": clock,
		})
		if err != nil {
			for line := range strings.SplitSeq(err.Error(), "\n") {
				if !strings.HasPrefix(line, "REGILD_") || !utf8.ValidString(line) {
					t.Errorf("the fault %q does not name its setting", line)
				}
			}
			return
		}
		if c.ResultTopic == "" || len(c.ResultTopic) > 120 || len(c.RequestQueue) > 120 || c.RebuildConcurrency < 1 || c.RebuildConcurrency > 64 ||
			c.PublishConcurrency < 1 || c.PublishConcurrency > 256 || c.RebuildTimeout < time.Minute || c.RebuildTimeout > 24*time.Hour {
			t.Errorf("taken: %+v", c)
		}
		for _, region := range c.Regions {
			if strings.ContainsAny(region, " ,./:@") || region == "" {
				t.Errorf("taken as a region: %q", region)
			}
		}
	})
}
