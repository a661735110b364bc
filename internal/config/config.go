// Package config reads the settings of the function from its environment, once,
// and reports every fault at once, each by the name of its variable.
//
// The README's table (name, default, meaning) is made of Settings below; a test
// holds the two in agreement.
package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
)

// A Config is the function's settings, checked.
type Config struct {
	ResultTopic        string
	RequestQueue       string // "" none
	ControlDoor        string // queues/NAME or topics/NAME; "": controls are taken from everywhere
	ReleaseDoor        string // queues/NAME or topics/NAME; "": releases are taken from everywhere
	TickKey            []byte // nil: ticks that carry records are not believed
	Fleets             string // path of fleets.yaml; "" none
	Journal            string // URL; "" none
	Regions            []string
	RebuildConcurrency int
	PublishConcurrency int
	RebuildTimeout     time.Duration
	ECDEndpoint        string // "" by region
	MNSEndpoint        string // "" by account and region
	OSSEndpoint        string // "" by region
	CMSEndpoint        string // "" by region
	STSEndpoint        string // "" by region
	LogLevel           slog.Level
	Clock              string // URL of a clock; "" the machine's
}

// A Setting is one line of the README's table.
type Setting struct{ Name, Default, Meaning string }

// Settings are all that the function reads from its environment, in the order of
// the README.
var Settings = []Setting{
	{"REGILD_RESULT_TOPIC", "required", "MNS topic for outcomes"},
	{"REGILD_REQUEST_QUEUE", "none", "MNS queue that requests come from and ticks go to"},
	{"REGILD_CONTROL_QUEUE", "none", "MNS queue (or `topics/NAME`) that control messages are taken from, and from nowhere else"},
	{"REGILD_RELEASE_QUEUE", "none", "MNS queue (or `topics/NAME`) that releases are taken from, and from nowhere else; may be the same"},
	{"REGILD_FLEETS", "none", "path of `fleets.yaml`"},
	{"REGILD_JOURNAL", "none", "`oss://bucket/prefix` or `file:///dir`"},
	{"REGILD_TICK_KEY", "none", "for a function without a journal: what it signs its ticks with, 32 random bytes or more in base64, or `file:///path` of them"},
	{"REGILD_REGIONS", "the function's own", "comma-separated allow-list of regions"},
	{"REGILD_REBUILD_CONCURRENCY", "4", "`RebuildDesktops` calls under way at once in a region of an account: by one instance, " +
		"the others have one each ([accounts](docs/accounts.md#calls-at-once))"},
	{"REGILD_PUBLISH_CONCURRENCY", "16", "publishes under way at once"},
	{"REGILD_REBUILD_TIMEOUT", "30m", "how long a desktop may take before it counts as failed"},
	{"REGILD_ECD_ENDPOINT", "`ecd.<region>.aliyuncs.com`", "host, or `region=host` for some regions, separated by commas, or `http://127.0.0.1:PORT`"},
	{"REGILD_MNS_ENDPOINT", "from account and region", "host, or `http://127.0.0.1:PORT`"},
	{"REGILD_OSS_ENDPOINT", "from the region", "host, or `http://127.0.0.1:PORT`"},
	{"REGILD_CMS_ENDPOINT", "`metrics.<region>.aliyuncs.com`", "CloudMonitor, where a fleet names alarms: host, or `http://127.0.0.1:PORT`"},
	{"REGILD_STS_ENDPOINT", "`sts.<region>.aliyuncs.com`", "Security Token Service, where `fleets.yaml` declares accounts: host, or `http://127.0.0.1:PORT`"},
	{"REGILD_LOG_LEVEL", "info", "debug, info, warn, error"},
}

// clockSetting is for the local cloud alone and in no table: a function whose
// endpoints are all on loopback may take its time from there.
const clockSetting = "REGILD_CLOCK"

// Load reads the settings by lookup, such as os.LookupEnv. An empty value counts
// as not set. The error joins all faults.
func Load(lookup func(string) (string, bool)) (Config, error) {
	r := &reader{lookup: lookup}
	c := Config{
		ResultTopic:        r.resource("REGILD_RESULT_TOPIC", true),
		RequestQueue:       r.resource("REGILD_REQUEST_QUEUE", false),
		ControlDoor:        r.door("REGILD_CONTROL_QUEUE"),
		ReleaseDoor:        r.door("REGILD_RELEASE_QUEUE"),
		TickKey:            r.key("REGILD_TICK_KEY"),
		Fleets:             r.text("REGILD_FLEETS"),
		Journal:            r.text("REGILD_JOURNAL"),
		Regions:            r.regions("REGILD_REGIONS"),
		RebuildConcurrency: r.number("REGILD_REBUILD_CONCURRENCY", 4, 1, 64),
		PublishConcurrency: r.number("REGILD_PUBLISH_CONCURRENCY", 16, 1, 256),
		RebuildTimeout:     r.duration("REGILD_REBUILD_TIMEOUT", 30*time.Minute, time.Minute, 24*time.Hour),
		ECDEndpoint:        r.text("REGILD_ECD_ENDPOINT"),
		MNSEndpoint:        r.text("REGILD_MNS_ENDPOINT"),
		OSSEndpoint:        r.text("REGILD_OSS_ENDPOINT"),
		CMSEndpoint:        r.text("REGILD_CMS_ENDPOINT"),
		STSEndpoint:        r.text("REGILD_STS_ENDPOINT"),
		LogLevel:           r.level("REGILD_LOG_LEVEL"),
		Clock:              r.text(clockSetting),
	}
	if c.Clock != "" {
		for _, name := range []string{clockSetting, "REGILD_ECD_ENDPOINT", "REGILD_MNS_ENDPOINT"} {
			if !loopback(r.text(name)) {
				r.fault(clockSetting, "is for the local cloud alone: %s must be http:// on a loopback address", name)
			}
		}
	}
	return c, errors.Join(r.faults...)
}

type reader struct {
	lookup func(string) (string, bool)
	faults []error
}

func (r *reader) fault(name, format string, args ...any) {
	r.faults = append(r.faults, fmt.Errorf("%s %s", name, fmt.Sprintf(format, args...)))
}

func (r *reader) text(name string) string {
	v, _ := r.lookup(name)
	return strings.TrimSpace(v)
}

func (r *reader) resource(name string, required bool) string {
	v := r.text(name)
	switch {
	case v == "" && required:
		r.fault(name, "is required: name the MNS topic that outcomes go to")
	case v != "" && !pattern.Queue.Matches(v):
		r.fault(name, "is %q: a name in MNS has up to 120 letters, digits and hyphens", v)
	}
	return v
}

// door reads a queue or topic, and returns it as queues/NAME or topics/NAME.
func (r *reader) door(name string) string {
	v := r.text(name)
	if v == "" {
		return ""
	}
	kind, plain := "queues", v
	if before, after, ok := strings.Cut(v, "/"); ok {
		kind, plain = before, after
	}
	if kind != "queues" && kind != "topics" || !pattern.Queue.Matches(plain) {
		r.fault(name, "is %q: write the name of a queue in MNS (up to 120 letters, digits and hyphens), or topics/ and that of a topic", short(v))
		return ""
	}
	return kind + "/" + plain
}

// Bounds of a key, in bytes.
const (
	minKey = 32
	maxKey = 1024
)

// key reads a secret, from the setting or from the file that it names. No fault
// repeats any of it.
func (r *reader) key(name string) []byte {
	v := r.text(name)
	if v == "" {
		return nil
	}
	if path, ok := strings.CutPrefix(v, "file://"); ok {
		data, err := readShort(path)
		if err != nil {
			r.fault(name, "names a file that cannot be used: %v", err)
			return nil
		}
		v = strings.TrimSpace(data)
	}
	key, err := base64.StdEncoding.DecodeString(v)
	if err != nil || len(key) < minKey || len(key) > maxKey {
		r.fault(name, "must be %d to %d bytes in base64, such as `head -c 32 /dev/urandom | base64` makes, or file:///path of a file that holds them", minKey, maxKey)
		return nil
	}
	return key
}

// readShort reads a file of a few lines.
func readShort(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer func() { _ = f.Close() }() // it was only read
	data, err := io.ReadAll(io.LimitReader(f, 4*maxKey))
	return string(data), err
}

// short cuts what a fault repeats.
func short(s string) string {
	const most = 160
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}

func (r *reader) regions(name string) []string {
	v := r.text(name)
	if v == "" {
		return nil
	}
	var out []string
	for part := range strings.SplitSeq(v, ",") {
		region := strings.TrimSpace(part)
		if !pattern.Region.Matches(region) {
			r.fault(name, "has %q, which is no region; write regions such as cn-hangzhou, separated by commas", region)
			continue
		}
		out = append(out, region)
	}
	return out
}

func (r *reader) number(name string, def, least, most int) int {
	v := r.text(name)
	if v == "" {
		return def
	}
	n, err := strconv.Atoi(v)
	if err != nil || n < least || n > most {
		r.fault(name, "is %q: it must be a whole number from %d to %d", v, least, most)
	}
	return n
}

func (r *reader) duration(name string, def, least, most time.Duration) time.Duration {
	v := r.text(name)
	if v == "" {
		return def
	}
	d, err := time.ParseDuration(v)
	if err != nil || d < least || d > most {
		r.fault(name, "is %q: it must be a duration from %s to %s, such as 30m", v, least, most)
	}
	return d
}

func (r *reader) level(name string) slog.Level {
	v := strings.ToLower(r.text(name))
	level, known := map[string]slog.Level{"": slog.LevelInfo, "info": slog.LevelInfo, "debug": slog.LevelDebug, "warn": slog.LevelWarn,
		"error": slog.LevelError}[v]
	if !known {
		r.fault(name, "is %q: it must be debug, info, warn or error", v)
	}
	return level // info is the zero value
}

func loopback(raw string) bool {
	u, err := url.Parse(raw)
	return err == nil && u.Scheme == "http" && pace.Loopback(u.Hostname())
}
