package localcloud

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/localcloud/sts"
)

// maxState bounds a state file, in bytes; 100,000 desktops one by one fit.
const maxState = 64 << 20

// A State is what a local cloud holds when it starts: a YAML or JSON file.
// Durations are written as 6m or 90s, times in RFC 3339. The zero State is an
// empty cloud on real time.
type State struct {
	ecd.State `yaml:",inline"` // desktops and images

	Accounts      []Account      `yaml:"accounts,omitempty"` // besides the own
	Clock         Clock          `yaml:"clock,omitempty"`
	Queues        []Queue        `yaml:"queues,omitempty"` // besides the two that are always there
	Topics        []string       `yaml:"topics,omitempty"` // besides the one that is always there
	Subscriptions []Subscription `yaml:"subscriptions,omitempty"`
	Trigger       Trigger        `yaml:"trigger,omitempty"`
	Faults        []fault.Rule   `yaml:"faults,omitempty"`
	ECD           ECD            `yaml:"ecd,omitempty"`
	MNS           MNS            `yaml:"mns,omitempty"`
	OSS           OSS            `yaml:"oss,omitempty"`
	Alarms        []Alarm        `yaml:"alarms,omitempty"`
}

// An Account is one besides the own: the roles that can be assumed in it, and its
// desktops and images. Ids of desktops may be those of another account.
type Account struct {
	ID        string     `yaml:"id"`
	Roles     []sts.Role `yaml:"roles,omitempty"`
	ecd.State `yaml:",inline"`
}

// An Alarm is one alarm rule of CloudMonitor.
type Alarm struct {
	Name  string `yaml:"name"`
	State string `yaml:"state,omitempty"` // OK, ALARM or INSUFFICIENT_DATA; default OK
	Off   bool   `yaml:"off,omitempty"`
}

// check says what is wrong with the alarm, or nothing.
func (a Alarm) check() error {
	if a.Name == "" || !slices.Contains([]string{"", "OK", "ALARM", "INSUFFICIENT_DATA"}, a.State) {
		return fmt.Errorf("%q needs a name, and a state that is none of OK, ALARM, INSUFFICIENT_DATA is refused: %q", a.Name, a.State)
	}
	return nil
}

// put makes the alarm in an account, or changes it.
func (a Alarm) put(s *control.Server) {
	s.Change(func(x *control.Account) { x.Alarms[a.Name], x.AlarmStates[a.Name] = !a.Off, a.State })
}

// A Clock says what time it is in the cloud, and how fast it passes.
type Clock struct {
	Start time.Time `yaml:"start,omitempty"` // default: now
	// Rate is how many cloud seconds pass in a second; default 1; 0 stands
	// still until it is moved.
	Rate *float64 `yaml:"rate,omitempty"`
}

// A Queue is one queue of MNS. Durations left out are the service's defaults.
type Queue struct {
	Name            string        `yaml:"name"`
	Delay           time.Duration `yaml:"delay,omitempty"`
	Visibility      time.Duration `yaml:"visibility,omitempty"`
	Retention       time.Duration `yaml:"retention,omitempty"`
	DeadLetterQueue string        `yaml:"deadLetterQueue,omitempty"`
	MaxReceiveCount int           `yaml:"maxReceiveCount,omitempty"`
}

// A Subscription feeds a queue with a topic's messages.
type Subscription struct {
	Topic  string `yaml:"topic"`
	Name   string `yaml:"name"`
	Queue  string `yaml:"queue"`
	Tag    string `yaml:"tag,omitempty"`    // default: all messages
	Format string `yaml:"format,omitempty"` // XML, JSON or SIMPLIFIED; default XML
}

// A Trigger says how messages get from the request queue to the function; see
// bridge.Options for its defaults and limits.
type Trigger struct {
	// Queues are further queues that have a trigger of their own, such as one for
	// control messages. They work as that of the request queue does.
	Queues       []string      `yaml:"queues,omitempty"`
	Shape        string        `yaml:"shape,omitempty"` // objects, strings, raw-data or object
	DecodeBase64 bool          `yaml:"decodeBase64,omitempty"`
	BatchSize    int           `yaml:"batchSize,omitempty"`
	Window       time.Duration `yaml:"window,omitempty"`
	Workers      int           `yaml:"workers,omitempty"`
	Tries        int           `yaml:"tries,omitempty"`
	Backoff      time.Duration `yaml:"backoff,omitempty"`
}

// ECD says how the desktop service behaves; see ecd.Options.
type ECD struct {
	Limits      ecd.Limits    `yaml:"limits,omitempty"` // calls a second, by operation
	Lag         time.Duration `yaml:"lag,omitempty"`
	FlipEarly   bool          `yaml:"flipEarly,omitempty"`
	SuccessCode string        `yaml:"successCode,omitempty"`

	DataSnapshotsSurvive bool `yaml:"dataSnapshotsSurvive,omitempty"`
}

// MNS says how the message service behaves; see mns.Options.
type MNS struct {
	Duplicate float64 `yaml:"duplicate,omitempty"`
	Unordered bool    `yaml:"unordered,omitempty"`
	Seed      uint64  `yaml:"seed,omitempty"`
}

// OSS says what the journal's bucket is like; see oss.BucketSettings.
type OSS struct {
	StorageClass  string `yaml:"storageClass,omitempty"`
	Versioning    string `yaml:"versioning,omitempty"`
	RetentionDays int    `yaml:"retentionDays,omitempty"`
}

// Default returns the state of a cloud that nobody described: the desktops of
// ecd.Default on a Monday morning, with a minute passing each second.
func Default() State {
	rate := 60.0
	return State{
		State: ecd.Default(),
		Clock: Clock{Start: time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC), Rate: &rate},
	}
}

// Load reads a state file, at most 64 MiB of YAML or JSON.
func Load(path string) (State, error) {
	file, err := os.Open(path)
	if err != nil {
		return State{}, fmt.Errorf("reading a state: %w", err)
	}
	defer func() { _ = file.Close() }()
	data, err := io.ReadAll(io.LimitReader(file, maxState+1))
	if err != nil {
		return State{}, fmt.Errorf("reading a state: %w", err)
	}
	state, err := Parse(data)
	if err != nil {
		return State{}, fmt.Errorf("reading %s: %w", path, err)
	}
	return state, nil
}

// Parse reads a state from YAML or JSON. It is strict: unknown and repeated
// keys are refused, and what is checked here is reported all at once; desktops
// and images are checked by Start.
func Parse(data []byte) (State, error) {
	if len(data) > maxState {
		return State{}, fmt.Errorf("state is larger than %d MiB", maxState>>20)
	}
	var s State
	if err := yaml.Load(data, &s, yaml.WithKnownFields()); err != nil {
		return State{}, fmt.Errorf("parsing a state: %w", err)
	}
	if err := s.check(); err != nil {
		return State{}, err
	}
	return s, nil
}

var resourceName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9-]{0,119}$`)

func (s State) check() error {
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf(format, args...)) }
	if r := s.Clock.Rate; r != nil && *r < 0 {
		fault("clock: rate %v is negative", *r)
	}
	queues := []string{RequestQueue, DeadLetterQueue}
	for _, q := range s.Queues {
		queues = append(queues, q.Name)
	}
	for _, q := range s.Queues {
		faults = append(faults, q.check(queues)...)
	}
	topics := append([]string{ResultTopic}, s.Topics...)
	for _, t := range s.Topics {
		if !resourceName.MatchString(t) {
			fault("topics: %q is not a name: 1 to 120 letters, digits and hyphens", t)
		}
	}
	for i, q := range s.Trigger.Queues {
		if q == RequestQueue || !slices.Contains(queues, q) || slices.Contains(s.Trigger.Queues[:i], q) {
			fault("trigger: queue %q is not declared, or has a trigger already", q)
		}
	}
	for _, b := range s.Subscriptions {
		faults = append(faults, b.check(topics, queues)...)
	}
	wrong := func(what string, err error) {
		if err != nil {
			fault("%s: %w", what, err)
		}
	}
	if s.Trigger.Shape != "" {
		_, err := bridge.ParseShape(s.Trigger.Shape)
		wrong("trigger", err)
	}
	wrong("oss", s.OSS.check())
	for _, a := range s.Alarms {
		wrong("alarms", a.check())
	}
	for i, r := range s.Faults {
		wrong(fmt.Sprintf("faults: rule %d", i+1), checkRule(r))
	}
	return errors.Join(faults...)
}

func (q Queue) check(queues []string) []error {
	var faults []error
	if !resourceName.MatchString(q.Name) {
		faults = append(faults, fmt.Errorf("queues: %q is not a name: 1 to 120 letters, digits and hyphens", q.Name))
	}
	if q.Delay < 0 || q.Visibility < 0 || q.Retention < 0 || q.MaxReceiveCount < 0 {
		faults = append(faults, fmt.Errorf("queues: %s: nothing may be negative", q.Name))
	}
	if q.DeadLetterQueue != "" && !slices.Contains(queues, q.DeadLetterQueue) {
		faults = append(faults, fmt.Errorf("queues: %s: dead-letter queue %q is not declared", q.Name, q.DeadLetterQueue))
	}
	return faults
}

func (b Subscription) check(topics, queues []string) []error {
	var faults []error
	fault := func(format string, args ...any) {
		faults = append(faults, fmt.Errorf("subscriptions: %q: %w", b.Name, fmt.Errorf(format, args...)))
	}
	if !resourceName.MatchString(b.Name) {
		fault("not a name: 1 to 120 letters, digits and hyphens")
	}
	if !slices.Contains(topics, b.Topic) {
		fault("topic %q is not declared", b.Topic)
	}
	if !slices.Contains(queues, b.Queue) {
		fault("queue %q is not declared", b.Queue)
	}
	if !slices.Contains([]string{"", "XML", "JSON", "SIMPLIFIED"}, b.Format) {
		fault("format %q is none of XML, JSON, SIMPLIFIED", b.Format)
	}
	if len(b.Tag) > 16 {
		fault("tag %q is longer than 16 characters", b.Tag)
	}
	return faults
}

func (o OSS) check() error {
	classes := []string{"", "Standard", "IA", "Archive", "ColdArchive", "DeepColdArchive"}
	switch {
	case !slices.Contains(classes, o.StorageClass):
		return fmt.Errorf("storage class %q is none of %s", o.StorageClass, strings.Join(classes[1:], ", "))
	case !slices.Contains([]string{"", "Enabled", "Suspended"}, o.Versioning):
		return fmt.Errorf("versioning %q is neither Enabled nor Suspended", o.Versioning)
	case o.RetentionDays < 0 || o.RetentionDays > 25550:
		return fmt.Errorf("a retention of %d days is not between 0 and 25550", o.RetentionDays)
	case o.RetentionDays > 0 && o.Versioning != "":
		return errors.New("a bucket has versions or a retention policy, never both")
	}
	return nil
}

func checkRule(r fault.Rule) error {
	kinds := []fault.Kind{
		fault.Throttle, fault.Error, fault.ErrorAfter, fault.HTML, fault.Empty, fault.EmptyAfter, fault.CloseBefore,
		fault.CloseAfter, fault.SlowBefore, fault.SlowAfter, fault.Truncate, fault.Desktop, fault.DesktopAfter, fault.Missing,
	}
	switch {
	case !slices.Contains(kinds, r.Kind):
		return fmt.Errorf("kind %q is none of %v", r.Kind, kinds)
	case !slices.Contains([]string{"", "ecd", "mns", "oss", "control"}, r.Service):
		return fmt.Errorf("service %q is none of ecd, mns, oss, control", r.Service)
	case r.Probability < 0 || r.Probability > 1:
		return fmt.Errorf("probability %v is not between 0 and 1", r.Probability)
	case r.Skip < 0 || r.Times < 0 || r.Delay < 0:
		return errors.New("skip, times and delay must not be negative")
	}
	return nil
}

func (c Clock) start() *clock.Clock {
	start, rate := c.Start, 1.0
	if start.IsZero() {
		start = time.Now()
	}
	if c.Rate != nil {
		rate = *c.Rate
	}
	return clock.New(start, rate)
}

// requestQueue is how the request queue is set up unless the state says
// otherwise: as our deployment has it, a message lives as long as the service
// allows. The trigger hides what it has under way until it has settled it, so
// the visibility timeout must outlast an invocation even on a fast clock.
var requestQueue = mns.QueueAttributes{Retention: 7 * 24 * time.Hour, Visibility: 12 * time.Hour}

// fill makes the state's queues, topics and subscriptions.
func (s State) fill(server *mns.Server) {
	server.CreateQueue(RequestQueue, requestQueue)
	server.CreateQueue(DeadLetterQueue, mns.QueueAttributes{Retention: requestQueue.Retention})
	server.CreateTopic(ResultTopic)
	for _, q := range s.Queues {
		if slices.Contains(s.Trigger.Queues, q.Name) { // see requestQueue
			q.Visibility, q.Retention = cmp.Or(q.Visibility, requestQueue.Visibility), cmp.Or(q.Retention, requestQueue.Retention)
		}
		server.CreateQueue(q.Name, mns.QueueAttributes{
			Delay: q.Delay, Visibility: q.Visibility, Retention: q.Retention,
			DeadLetterQueue: q.DeadLetterQueue, MaxReceiveCount: q.MaxReceiveCount,
		})
	}
	for _, t := range s.Topics {
		server.CreateTopic(t)
	}
	for _, b := range s.Subscriptions {
		server.Subscribe(b.Topic, b.Name, mns.Subscription{
			Endpoint: server.QueueEndpoint(b.Queue), FilterTag: b.Tag, Format: b.Format,
		})
	}
}

// options returns the trigger as the bridge knows it.
func (t Trigger) options() bridge.Options {
	shape, _ := bridge.ParseShape(t.Shape) // checked; "" is Objects
	return bridge.Options{
		Shape: shape, DecodeBase64: t.DecodeBase64, BatchSize: t.BatchSize, Window: t.Window,
		Workers: t.Workers, Tries: t.Tries, Backoff: t.Backoff, DeadLetter: DeadLetterQueue,
	}
}
