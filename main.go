// Command regild is the function: it runs on Function Compute (FC), runtime go1,
// and brings golden images to cloud desktops. This file wires it and does
// nothing else; start reading in handler/handler.go.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // FC's image need not have time zones, and windows have

	"github.com/aliyun/fc-runtime-go-sdk/fc"
	"github.com/aliyun/fc-runtime-go-sdk/fccontext"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/clock"
	"github.com/regild/regild/internal/config"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/ecd"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/mns"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/rollout"
)

// build names the build in every line of the log. `make package` fills it in.
var build = "(devel)"

func main() {
	f := newFunction(os.LookupEnv)
	fc.RegisterInitializerFunction(f.initialize)
	fc.RegisterPreStopFunction(f.preStop)
	fc.Start(f.handle)
}

// function is what lives as long as the instance does. FC may call it from
// several goroutines.
type function struct {
	lookup func(string) (string, bool)
	log    *slog.Logger
	conf   config.Config
	fleets fleet.Fleets
	fault  error // why it cannot work; every invocation says so

	mu      sync.Mutex // guards what the first invocation makes
	handler *handler.Handler
	renew   []func()                // has the clients make new connections
	release []func(context.Context) // has the clients release the leases that other instances wait for
}

// newFunction reads the settings. A fault does not end the process: FC would
// only show that it died, whereas each invocation can say why.
func newFunction(lookup func(string) (string, bool)) *function {
	f := &function{lookup: lookup}
	f.conf, f.fault = config.Load(lookup)
	f.log = newLogger(os.Stdout, f.conf.LogLevel).With("build", build)
	if f.fault == nil && f.conf.Fleets != "" {
		data, err := os.ReadFile(f.conf.Fleets)
		if err == nil {
			f.fleets, err = fleet.Parse(f.conf.Fleets, data)
		}
		f.fault = err
	}
	return f
}

// A ConfigError says that the function is set up wrongly. FC shows its name.
type ConfigError struct{ Err error }

func (e *ConfigError) Error() string {
	return "the function's settings are at fault: " + e.Err.Error()
}

func (e *ConfigError) Unwrap() error { return e.Err }

func (f *function) initialize(ctx context.Context) {
	if f.fault != nil {
		f.log.Error("settings", "error", f.fault.Error())
	}
}

// preStop has nothing to put away: what matters is in the journal.
func (f *function) preStop(context.Context) {}

// handle is one event invocation.
func (f *function) handle(ctx context.Context, payload []byte) (handler.Report, error) {
	if f.fault != nil {
		return handler.Report{}, &ConfigError{f.fault}
	}
	in, keys, who, err := f.invocation(ctx)
	if err != nil {
		return handler.Report{}, &ConfigError{err}
	}
	h, err := f.wired(who)
	if err != nil {
		return handler.Report{}, &ConfigError{err}
	}
	ctx = credentials.With(ctx, keys)
	defer f.releaseLeases(ctx)
	return h.Handle(ctx, in, payload)
}

// wired returns the handler, made by the first invocation that can: account and
// region come with it. FC may have frozen the instance before any other, and
// nothing tells which connections have outlived that: so none is used again.
func (f *function) wired(who identity) (*handler.Handler, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.handler == nil {
		h, err := f.wire(who)
		if err != nil {
			return nil, err
		}
		f.handler = h
	}
	for _, renew := range f.renew {
		renew()
	}
	return f.handler, nil
}

// identity is whose function this is, where, and its name.
type identity struct{ account, region, name string }

// invocation takes from the context who is asked and with which credentials.
func (f *function) invocation(ctx context.Context) (handler.Invocation, credentials.Keys, identity, error) {
	env := func(name string) string { v, _ := f.lookup(name); return v }
	who := identity{env("FC_ACCOUNT_ID"), env("FC_REGION"), env("FC_FUNCTION_NAME")}
	keys := credentials.Keys{ID: env("ALIBABA_CLOUD_ACCESS_KEY_ID"), Secret: env("ALIBABA_CLOUD_ACCESS_KEY_SECRET"), Token: env("ALIBABA_CLOUD_SECURITY_TOKEN")}
	in := handler.Invocation{RequestID: "local"}
	if c, ok := fccontext.FromContext(ctx); ok {
		in.RequestID = c.RequestID
		if c.AccountId != "" {
			who.account = c.AccountId
		}
		if c.Region != "" {
			who.region = c.Region
		}
		if c.Function.Name != "" {
			who.name = c.Function.Name
		}
		if k := (credentials.Keys{ID: c.Credentials.AccessKeyId, Secret: c.Credentials.AccessKeySecret, Token: c.Credentials.SecurityToken}); k.Complete() {
			keys = k // those of the environment may be as old as the instance
		}
	}
	in.Source = fmt.Sprintf("acs:fc:%s:%s:functions/%s", who.region, who.account, who.name)
	if !keys.Complete() {
		return in, keys, who, credentials.ErrNone
	}
	return in, keys, who, nil
}

// wire makes the handler and what it works with.
func (f *function) wire(who identity) (*handler.Handler, error) {
	meter := &handler.Meter{}
	observe := countAttempts(meter.Count)
	regions := f.conf.Regions
	if regions == nil {
		regions = []string{who.region}
	}
	store, err0 := f.journal(who, meter)
	lease := f.leases(store)
	desktops, err1 := ecd.New(ecd.Config{Endpoint: f.conf.ECDEndpoint, Regions: regions, Keys: credentials.From, Concurrency: f.conf.RebuildConcurrency,
		Lease: lease(who.account), Observe: observe})
	messages, err2 := mns.New(mns.Config{Endpoint: f.conf.MNSEndpoint, AccountID: who.account, RegionID: who.region,
		Keys: credentials.From, Concurrency: f.conf.PublishConcurrency, Observe: observe})
	now, err3 := clock.Of(f.conf.Clock)
	members, err4 := f.members(who, now, lease, observe)
	if err := errors.Join(err0, err1, err2, err3, err4); err != nil {
		return nil, err
	}
	f.renew = append([]func(){desktops.Renew, messages.Renew}, members.renew...)
	f.release = append([]func(context.Context){desktops.ReleaseLeases}, members.release...)
	c := handler.Config{
		ECD: desktops, Snapshots: desktops, Notifier: desktops, Census: desktops, Saver: desktops,
		Topic: topic{messages, f.conf.ResultTopic},
		Rules: rollout.Rules{Regions: regions, Fleets: f.fleets, Declared: f.conf.Fleets != "", RebuildTimeout: f.conf.RebuildTimeout},

		Member:             members.services,
		RebuildConcurrency: f.conf.RebuildConcurrency, PublishConcurrency: f.conf.PublishConcurrency,
		Doors:   handler.Doors{Control: f.conf.ControlDoor, Release: f.conf.ReleaseDoor, Apart: f.fleets.Apart()},
		TickKey: f.conf.TickKey,
		Now:     now, Log: f.log, Meter: meter,
	}
	if usesAlarms(f.fleets) {
		watch := &alarms{endpoint: f.conf.CMSEndpoint, observe: observe, byRegion: map[string]*acs.Client{}}
		c.Alarms = watch
		f.renew = append(f.renew, watch.renew)
	}
	f.queues(&c, messages)
	if store != nil {
		c.Journal = store
		f.renew = append(f.renew, func() { journal.Renew(store.Store) })
	}
	return handler.New(c)
}

// queues says where requests come from, and to which queues ticks go.
func (f *function) queues(c *handler.Config, messages *mns.Client) {
	if f.conf.RequestQueue != "" {
		c.Queue = queue{messages, f.conf.RequestQueue}
		c.Doors.Request = "queues/" + f.conf.RequestQueue
	}
	for _, door := range []string{f.conf.ReleaseDoor, f.conf.ControlDoor} { // the last one counts: the fewest may send there
		if name, ok := strings.CutPrefix(door, "queues/"); ok {
			c.RolloutQueue = queue{messages, name}
		}
	}
}

// journal opens the journal; nil: there is none.
func (f *function) journal(who identity, meter *handler.Meter) (*counted, error) {
	if f.conf.Journal == "" {
		return nil, nil //nolint:nilnil // a function without a journal is set up rightly
	}
	store, err := journal.Open(f.conf.Journal, journal.Options{Region: who.region, OSSEndpoint: f.conf.OSSEndpoint,
		Internal: f.conf.OSSEndpoint == "", Keys: credentials.From})
	return &counted{store, meter, "Journal"}, err
}

// countAttempts counts each attempt at a call. One for which no credentials were
// to be had was not made.
func countAttempts(count func(name string)) func(pace.Call) {
	return func(c pace.Call) {
		if c.Err == nil || c.Err.Call == c.Name {
			count(c.Name)
		}
	}
}

type topic struct {
	*mns.Client
	name string
}

func (t topic) Publish(ctx context.Context, body []byte, tag string) error {
	_, err := t.Client.Publish(ctx, t.name, body, tag)
	return err
}

type queue struct {
	*mns.Client
	name string
}

func (q queue) Send(ctx context.Context, body []byte, delay time.Duration) error {
	_, err := q.Client.Send(ctx, q.name, body, delay)
	return err
}

func (q queue) SendEach(ctx context.Context, body []byte, delays ...time.Duration) error {
	return q.Client.SendEach(ctx, q.name, body, delays...)
}

// counted counts the calls to a journal as the calls of the other services are.
type counted struct {
	journal.Store
	meter *handler.Meter
	what  string // Journal or Lease, which the names of the calls begin with
}

func (c *counted) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	c.meter.Count(c.what + "Read")
	return c.Store.Read(ctx, key, from)
}

func (c *counted) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	c.meter.Count(c.what + "Append")
	return c.Store.Append(ctx, key, at, lines)
}
