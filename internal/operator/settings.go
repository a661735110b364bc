// Package operator is what the operator's command and its pages share: the
// settings of a person or a pipeline, how operations are read from the journal and
// summed up, what a control would touch, and how its answer is waited for.
//
// It reads the journal and never writes it: only the function does. Everything
// that it returns of others' texts (ids, names, reasons) is as it was written;
// whoever shows it escapes it first (package escape).
//
// The files: settings.go has profiles and where each value comes from,
// operation.go sums up a folded journal, list.go reads many, control.go is about controls,
// live.go plans against the real ECD.
package operator

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
)

// A Profile is one installation of regild, as regild.yaml has it. Empty fields
// are not set.
type Profile struct {
	Region        string `yaml:"region"`
	Account       string `yaml:"account"`
	Journal       string `yaml:"journal"`       // oss://bucket/prefix or file:///dir
	Queue         string `yaml:"queue"`         // that requests and controls go to
	ControlQueue  string `yaml:"controlQueue"`  // that controls go to, where they have a door of their own
	ReleaseQueue  string `yaml:"releaseQueue"`  // that releases go to, where they have one
	OutcomesQueue string `yaml:"outcomesQueue"` // subscribed to the result topic; see regild tail
	TimeZone      string `yaml:"timeZone"`      // an IANA name; by default the machine's
	Fleets        string `yaml:"fleets"`        // path of fleets.yaml, relative to regild.yaml
	By            string `yaml:"by"`            // who says so, in controls
	ECDEndpoint   string `yaml:"ecdEndpoint"`
	MNSEndpoint   string `yaml:"mnsEndpoint"`
	OSSEndpoint   string `yaml:"ossEndpoint"`
}

// A Setting describes one field of a profile: its key in regild.yaml, its
// variable, its flag, and what it means.
type Setting struct {
	Key, Env, Flag, Meaning string
	field                   func(*Profile) *string
	check                   func(string) error
}

// Settings are all fields of a profile, in the order of the docs.
var Settings = []Setting{
	{"region", "REGILD_REGION", "region", "the `region` of the function, its queues and its journal", func(p *Profile) *string { return &p.Region }, checkRegion},
	{"account", "REGILD_ACCOUNT", "account", "the `id` of the account that owns the queues", func(p *Profile) *string { return &p.Account }, checkAccount},
	{"journal", "REGILD_JOURNAL", "journal", "the journal's `URL`: oss://bucket/prefix or file:///dir", func(p *Profile) *string { return &p.Journal },
		checkJournal},
	{"queue", "REGILD_REQUEST_QUEUE", "queue", "the `queue` that requests go to, and whatever has no door of its own",
		func(p *Profile) *string { return &p.Queue }, checkQueue},
	{"controlQueue", "REGILD_CONTROL_QUEUE", "control-queue", "the `queue` that controls go to; by default as requests",
		func(p *Profile) *string { return &p.ControlQueue }, checkDoor},
	{"releaseQueue", "REGILD_RELEASE_QUEUE", "release-queue", "the `queue` that releases go to; by default as requests",
		func(p *Profile) *string { return &p.ReleaseQueue }, checkDoor},
	{"outcomesQueue", "REGILD_OUTCOMES_QUEUE", "outcomes-queue", "the `queue` that outcomes come to, for regild tail",
		func(p *Profile) *string { return &p.OutcomesQueue }, checkQueue},
	{"timeZone", "REGILD_TIME_ZONE", "time-zone", "show times in this `zone`, such as Asia/Shanghai; by default the machine's",
		func(p *Profile) *string { return &p.TimeZone }, checkZone},
	{"fleets", "REGILD_FLEETS", "fleets", "the fleets are in this `file`", func(p *Profile) *string { return &p.Fleets }, nil},
	{"by", "REGILD_BY", "by", "`who` says so, in controls; by default the user's name", func(p *Profile) *string { return &p.By }, nil},
	{"ecdEndpoint", "REGILD_ECD_ENDPOINT", "ecd-endpoint", "reach Elastic Desktop Service at this `host` or loopback URL, or region=host,…",
		func(p *Profile) *string { return &p.ECDEndpoint }, nil},
	{"mnsEndpoint", "REGILD_MNS_ENDPOINT", "mns-endpoint", "reach Message Service at this `host` or loopback URL",
		func(p *Profile) *string { return &p.MNSEndpoint }, checkEndpoint},
	{"ossEndpoint", "REGILD_OSS_ENDPOINT", "oss-endpoint", "reach Object Storage at this `host` or loopback URL",
		func(p *Profile) *string { return &p.OSSEndpoint }, checkEndpoint},
}

// Variables that choose a file and a profile.
const (
	ConfigEnv  = "REGILD_CONFIG"
	ProfileEnv = "REGILD_PROFILE"
)

// DefaultFile is the settings' file in the current directory.
const DefaultFile = "regild.yaml"

// A Value is one setting in force and where it comes from.
type Value struct {
	Key   string `json:"key"`
	Value string `json:"value"`
	From  string `json:"from"`
}

// A Config is the settings in force.
type Config struct {
	Profile
	Name     string   // of the profile; "" none
	File     string   // that was read; "" none
	Profiles []string // that the file has, sorted
	Values   []Value  // those that are set, in the order of Settings
}

// A Source says where settings come from. Flags win over the environment, that
// over the profile, and where there is none, over what was deployed.
type Source struct {
	File    string // named by a flag; "" the environment's, or regild.yaml if it is there
	Profile string // named by a flag; "" the environment's, or the file's default
	Lookup  func(string) (string, bool)
	Flags   map[string]string // by Setting.Flag; only those that were given
	// Deployed are variables that regild setup wrote, and DeployedFile where.
	// They count where nothing else does, and not at all beside a profile, which
	// may be of another deployment.
	Deployed     map[string]string
	DeployedFile string
}

// file is what regild.yaml holds.
type file struct {
	Default  string             `yaml:"default"`
	Profiles map[string]Profile `yaml:"profiles"`
}

// maxFile bounds regild.yaml, in bytes.
const maxFile = 1 << 20

// Load returns the settings in force. A file that was named must be there; a
// profile that was named must be in it. The error names every value that is at
// fault, and where it comes from.
func Load(s Source) (Config, error) {
	env := func(name string) string { v, _ := s.Lookup(name); return strings.TrimSpace(v) }
	var c Config
	f, path, err := read(cmp.Or(s.File, env(ConfigEnv)))
	if err != nil {
		return c, err
	}
	c.File = path
	for name := range f.Profiles {
		c.Profiles = append(c.Profiles, name)
	}
	slices.Sort(c.Profiles)
	c.Name = cmp.Or(s.Profile, env(ProfileEnv), f.Default)
	if c.Name == "" && len(c.Profiles) == 1 {
		c.Name = c.Profiles[0]
	}
	p, known := f.Profiles[c.Name]
	switch {
	case c.Name != "" && path == "":
		return c, fmt.Errorf("profile %q was asked for, and there is no %s; write one, or name it with --config or %s", c.Name, DefaultFile, ConfigEnv)
	case c.Name != "" && !known:
		return c, fmt.Errorf("%s has no profile %q; it has %s", path, c.Name, strings.Join(c.Profiles, ", "))
	}
	if p.Fleets != "" && !filepath.IsAbs(p.Fleets) {
		p.Fleets = filepath.Join(filepath.Dir(path), p.Fleets)
	}
	var faults []error
	for _, x := range Settings {
		v := s.value(x, p, c, env(x.Env))
		if v.Value == "" {
			continue
		}
		if x.check != nil {
			if err := x.check(v.Value); err != nil {
				faults = append(faults, fmt.Errorf("%s (from %s): %w", x.Key, v.From, err))
			}
		}
		*x.field(&c.Profile) = v.Value
		c.Values = append(c.Values, v)
	}
	return c, errors.Join(faults...)
}

// value returns a setting's value and where it comes from, by the profile p, which c
// names, and by what the environment has.
func (s Source) value(x Setting, p Profile, c Config, env string) Value {
	if flag, given := s.Flags[x.Flag]; given {
		return Value{x.Key, flag, "--" + x.Flag}
	}
	if env != "" {
		return Value{x.Key, env, x.Env}
	}
	if e := s.Deployed[x.Env]; e != "" && c.Name == "" && x.Key != "fleets" { // which is a path of the function's there
		return Value{x.Key, e, s.DeployedFile}
	}
	return Value{x.Key, strings.TrimSpace(*x.field(&p)), fmt.Sprintf("profile %s of %s", c.Name, c.File)}
}

// read reads the file that was named, or the default one if it is there.
func read(named string) (f file, path string, err error) {
	path = cmp.Or(named, DefaultFile)
	from, err := os.Open(path)
	if named == "" && errors.Is(err, fs.ErrNotExist) {
		return f, "", nil
	}
	if err != nil {
		return f, path, fmt.Errorf("reading settings: %w", err)
	}
	defer func() { _ = from.Close() }()
	data, err := io.ReadAll(io.LimitReader(from, maxFile+1))
	switch {
	case err != nil:
		return f, path, fmt.Errorf("reading settings %s: %w", path, err)
	case len(data) > maxFile:
		return f, path, fmt.Errorf("reading settings %s: it is larger than %d MiB", path, maxFile>>20)
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	dec.KnownFields(true)
	if err := dec.Decode(&f); err != nil && !errors.Is(err, io.EOF) {
		text := notFound.ReplaceAllString(err.Error(), `there is no setting "$1"; regild config --help lists them`)
		return f, path, fmt.Errorf("reading settings %s: %s", path, text)
	}
	return f, path, nil
}

// notFound is what the library says of a key that is none, by the name of our type.
var notFound = regexp.MustCompile(`field (\S+) not found in type \S+`)

// Zone returns the time zone in which times are shown.
func (c Config) Zone() (*time.Location, error) {
	if c.TimeZone == "" {
		return time.Local, nil
	}
	return time.LoadLocation(c.TimeZone)
}

// matching takes what a pattern does; a fault says what else is none.
func matching(p *pattern.Pattern, none string) func(string) error {
	return func(s string) error {
		if !p.Matches(s) {
			return fmt.Errorf("%q is no "+none, s)
		}
		return nil
	}
}

var (
	checkRegion  = matching(pattern.Region, "region; write one such as cn-hangzhou")
	checkAccount = matching(pattern.Account, "account; write its id, which is a number such as 1234567890123456")
	checkQueue   = matching(pattern.Queue, "queue: a name in MNS has up to 120 letters, digits and hyphens")
)

// checkDoor takes a queue as the function's own setting may name it.
func checkDoor(s string) error { return checkQueue(strings.TrimPrefix(s, "queues/")) }

// QueueFor returns the queue that messages of a type go to; "" none is set.
func (p Profile) QueueFor(eventType string) string {
	door := ""
	switch eventType {
	case events.TypeControl, events.TypeFreeze:
		door = p.ControlQueue
	case events.TypeRelease:
		door = p.ReleaseQueue
	}
	if door == "" {
		return p.Queue
	}
	return strings.TrimPrefix(door, "queues/")
}

func checkJournal(s string) error {
	if u, err := url.Parse(s); err != nil || u.Scheme != "oss" && u.Scheme != "file" {
		return fmt.Errorf("%.100q is no journal; write oss://bucket/prefix or file:///dir", s)
	}
	return nil
}

func checkZone(s string) error {
	if _, err := time.LoadLocation(s); err != nil {
		return fmt.Errorf("%q is no time zone; write one such as Asia/Shanghai or UTC", s)
	}
	return nil
}

// checkEndpoint takes http on loopback only, since a security token travels
// with each call.
func checkEndpoint(s string) error {
	_, err := pace.ParseEndpoint(s)
	return err
}
