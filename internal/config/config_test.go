package config_test

import (
	"encoding/base64"
	"log/slog"
	"os"
	"path/filepath"
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

func TestDoorsAreQueuesOrTopics(t *testing.T) {
	for value, want := range map[string]string{
		"regild-control": "queues/regild-control", "queues/regild-control": "queues/regild-control", "topics/ops": "topics/ops", " ": "",
		"topic/ops": "fault", "queues/a/b": "fault", "/a": "fault", "Кontrol": "fault", "acs:mns:cn-hangzhou:1:queues/x": "fault", "a b": "fault",
	} {
		c, err := load(map[string]string{"REGILD_RESULT_TOPIC": "t", "REGILD_CONTROL_QUEUE": value, "REGILD_RELEASE_QUEUE": value})
		switch {
		case want == "fault":
			if err == nil || strings.Count(err.Error(), "write the name of a queue") != 2 {
				t.Errorf("%q: got %v, want two faults", value, err)
			}
		case err != nil || c.ControlDoor != want || c.ReleaseDoor != want:
			t.Errorf("%q: got %q and %q (%v), want %q", value, c.ControlDoor, c.ReleaseDoor, err, want)
		}
	}
}

func TestATickKeyIsReadFromTheSettingOrAFileAndRepeatedByNoFault(t *testing.T) {
	good := base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", 32)))
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, []byte(good+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{good, "file://" + file} {
		c, err := load(map[string]string{"REGILD_RESULT_TOPIC": "t", "REGILD_TICK_KEY": value})
		if err != nil || string(c.TickKey) != strings.Repeat("k", 32) {
			t.Errorf("%s: got %d bytes, %v", value, len(c.TickKey), err)
		}
	}
	for _, value := range []string{"marked secret!", "bWFya2Vk", base64.StdEncoding.EncodeToString([]byte(strings.Repeat("marked", 200))), "file:///no/such/file"} {
		_, err := load(map[string]string{"REGILD_RESULT_TOPIC": "t", "REGILD_TICK_KEY": value})
		if err == nil || !strings.HasPrefix(err.Error(), "REGILD_TICK_KEY ") || strings.Contains(err.Error(), "marked") || strings.Contains(err.Error(), "bWFya") {
			t.Errorf("%.20s: got %v", value, err)
		}
	}
}
