package config_test

import (
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/config"
)

func load(env map[string]string) (config.Config, error) {
	return config.Load(func(name string) (string, bool) { v, ok := env[name]; return v, ok })
}

func TestWhatIsNotSetHasItsDefault(t *testing.T) {
	got, err := load(map[string]string{"REGILD_RESULT_TOPIC": "outcomes", "REGILD_REGIONS": " "})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{ResultTopic: "outcomes", RebuildConcurrency: 4, PublishConcurrency: 16, RebuildTimeout: 30 * time.Minute, LogLevel: slog.LevelInfo}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEverySettingIsRead(t *testing.T) {
	got, err := load(map[string]string{
		"REGILD_RESULT_TOPIC": "t", "REGILD_REQUEST_QUEUE": "q", "REGILD_FLEETS": "fleets.yaml", "REGILD_JOURNAL": "oss://b/p",
		"REGILD_REGIONS": "cn-hangzhou, cn-shanghai", "REGILD_REBUILD_CONCURRENCY": "8", "REGILD_PUBLISH_CONCURRENCY": "32",
		"REGILD_REBUILD_TIMEOUT": "45m", "REGILD_ECD_ENDPOINT": "http://127.0.0.1:1", "REGILD_MNS_ENDPOINT": "http://localhost:2",
		"REGILD_OSS_ENDPOINT": "http://[::1]:3", "REGILD_LOG_LEVEL": "DEBUG", "REGILD_CLOCK": "http://127.0.0.1:4/clock",
	})
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		ResultTopic: "t", RequestQueue: "q", Fleets: "fleets.yaml", Journal: "oss://b/p", Regions: []string{"cn-hangzhou", "cn-shanghai"},
		RebuildConcurrency: 8, PublishConcurrency: 32, RebuildTimeout: 45 * time.Minute, ECDEndpoint: "http://127.0.0.1:1",
		MNSEndpoint: "http://localhost:2", OSSEndpoint: "http://[::1]:3", LogLevel: slog.LevelDebug, Clock: "http://127.0.0.1:4/clock",
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestEveryFaultIsReportedAtOnceByName(t *testing.T) {
	_, err := load(map[string]string{
		"REGILD_REQUEST_QUEUE": "no spaces", "REGILD_REGIONS": "cn-hangzhou,Hangzhou", "REGILD_REBUILD_CONCURRENCY": "0",
		"REGILD_PUBLISH_CONCURRENCY": "many", "REGILD_REBUILD_TIMEOUT": "30", "REGILD_LOG_LEVEL": "loud",
	})
	if err == nil {
		t.Fatal("got no error")
	}
	lines := strings.Split(err.Error(), "\n")
	want := []string{"REGILD_RESULT_TOPIC", "REGILD_REQUEST_QUEUE", "REGILD_REGIONS", "REGILD_REBUILD_CONCURRENCY",
		"REGILD_PUBLISH_CONCURRENCY", "REGILD_REBUILD_TIMEOUT", "REGILD_LOG_LEVEL"}
	if len(lines) != len(want) {
		t.Fatalf("got %d faults, want %d:\n%v", len(lines), len(want), err)
	}
	for i := range want {
		if !strings.HasPrefix(lines[i], want[i]+" ") {
			t.Errorf("fault %d: got %q, want one of %s", i, lines[i], want[i])
		}
	}
}

func TestAForeignClockIsForLoopbackAlone(t *testing.T) {
	base := map[string]string{"REGILD_RESULT_TOPIC": "t", "REGILD_CLOCK": "http://127.0.0.1:4", "REGILD_ECD_ENDPOINT": "http://127.0.0.1:1", "REGILD_MNS_ENDPOINT": "http://127.0.0.1:2"}
	for _, broken := range []string{"REGILD_CLOCK", "REGILD_ECD_ENDPOINT", "REGILD_MNS_ENDPOINT"} {
		for _, value := range []string{"", "https://127.0.0.1:1", "http://ecd.cn-hangzhou.aliyuncs.com", "http://10.0.0.1"} {
			if broken == "REGILD_CLOCK" && value == "" {
				continue
			}
			env := map[string]string{}
			for k, v := range base {
				env[k] = v
			}
			env[broken] = value
			if _, err := load(env); err == nil {
				t.Errorf("%s=%q: got no error", broken, value)
			}
		}
	}
}
