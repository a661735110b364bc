// Package localcloud is a cloud on one machine: Function Compute, Elastic
// Desktop Service, Message Service and Object Storage on loopback, put together
// so that the real function runs against them with the vendors' own SDKs.
//
// The pieces are packages beside this one: fc runs the function's binary, ecd,
// mns and oss are the services, control is how an account is set up, bridge is the trigger between a queue and the
// function, sts knows the roles of further accounts, clock is the time that all of
// them share, and fault makes them misbehave. Start puts them together from a State, which is what a file
// declares: desktops, images, queues, topics, faults and the clock.
//
//	cloud, err := localcloud.Start(ctx, localcloud.Options{
//		State:    localcloud.Default(),
//		Function: fc.Function{Path: "target/main"},
//	})
//	…
//	defer cloud.Close()
//	cloud.MNS.Send(localcloud.RequestQueue, request, 0)
//	go cloud.Bridge.Run(ctx) // or, on a clock that stands still: cloud.Idle(ctx)
//
// The function finds the cloud by its settings: see Env. Besides the services
// the cloud has one more address for people and scripts. Bodies are JSON or
// YAML, answers are JSON, and a refusal is a sentence in plain text:
//
//	GET  /clock                        {"now": RFC 3339, "rate": cloud seconds a second}
//	POST /clock                        {"advance": "10m"} and {"rate": 60}
//	GET  /admin/desktops               all desktops, in the words of a state file; here and where one is
//	                                   named, ?account= leads to another account than the own
//	GET  /admin/desktops/{id}          one of them
//	POST /admin/desktops/{id}          changes the named fields of one
//	POST /admin/desktops/{id}/connect  ?user=&fails=  has somebody connect to it, or fail at ticket or connect
//	GET  /admin/images                 all images
//	POST /admin/images/{id}            changes the named fields of one
//	POST /admin/alarms                 puts an alarm rule, in the words of a state file
//	GET  /admin/wipes                  every rebuild that ECD started, in any account
//	GET  /admin/outcomes               ?topic=  what was published, oldest first
//	POST /admin/send                   ?queue=&delay=  puts the body on a queue
//	POST /admin/faults                 adds a rule, or a list of rules
//	DELETE /admin/faults               removes all rules
//
// For whom all of this is: the function and the command call most of it. What of
// queues, topics, buckets and objects goes further is for the tests that the vendor's
// own SDKs bring, which run against it (package conformance) and show that an answer
// here is an answer there. The address above is for people and scripts beside regild
// local --serve: it does what no API of the vendor's does. Each kind of fault is one
// that the adapters' tests, chaos and the stories draw from.
//
// It is for trying things out and for tests, never for production: whoever can
// reach the machine's loopback interface can do all of the above.
package localcloud

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/internal/localcloud/bridge"
	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/fc"
	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/localcloud/oss"
	"github.com/regild/regild/internal/localcloud/sts"
)

// Names that every local cloud has; Env tells the function of them.
const (
	RequestQueue    = "regild-requests"
	DeadLetterQueue = "regild-dead-letters"
	ResultTopic     = "regild-outcomes"
	JournalBucket   = "regild-journal"
	JournalPrefix   = "prod"
)

// NoJournal is the Options.Journal of a function without one.
const NoJournal = "none"

// closeLimit bounds how long Close waits for the function to end in order.
const closeLimit = 10 * time.Second

// headerLimit bounds how long a client of a stand-in may take for its headers.
const headerLimit = time.Minute

// Options say what is started. The zero value is an empty cloud on real time,
// without a function.
type Options struct {
	State State

	Clock  *clock.Clock    // default: as the state says
	Faults *fault.Injector // default: a new one; the state's rules are added to it

	// Function is what FC runs. Without a Path there is no function, and FC and
	// Bridge are nil unless Invoker is set. Account, region, credentials and the
	// settings of Env are filled in; its own Env comes after and wins.
	Function fc.Function
	// Invoker takes the events in the function's place, such as a handler in
	// this process. Nil: the function.
	Invoker bridge.Invoker
	// Stream may change how the queue trigger works. Nil: as the state says.
	Stream func(*bridge.Options)

	// Keys are what the services accept. Nil: made up.
	Keys *fc.Keys

	// Journal is the function's REGILD_JOURNAL; default a prefix in this cloud's
	// OSS; NoJournal for none.
	Journal string
	// Empty leaves out the queues, topics and buckets that every local cloud has
	// otherwise, as in an account that nobody has set up.
	Empty bool
	// Env overrides or adds to the settings that Env returns, NAME=value each.
	Env []string

	Listen Addresses
}

// Addresses are where the cloud listens; each default is a free port of
// 127.0.0.1.
type Addresses struct {
	ECD, MNS, OSS, Control, Admin string
}

// A Cloud is a running local cloud. All methods may be called at once from
// several goroutines, except Settle and Idle, which move its clock.
type Cloud struct {
	Clock  *clock.Clock
	Faults *fault.Injector
	ECD    *ecd.Server // of the own account
	MNS    *mns.Server
	OSS    *oss.Server
	FC     *fc.Host                  // nil without a function
	Bridge *bridge.Stream            // from RequestQueue to the function; nil without one
	Doors  map[string]*bridge.Stream // from further queues, by name
	// Control are the APIs by which an account is set up and looked at, STS among
	// them: Roles are those that can be assumed there.
	Control *control.Server
	Roles   *sts.Server
	// Accounts are the desktops of further accounts, by account id.
	Accounts map[string]*ecd.Server

	// URLs of the services: http://127.0.0.1:PORT.
	ECDURL, MNSURL, OSSURL, ControlURL, AdminURL string

	doors     []string // the names in Doors, in the order of the state
	env       []string
	keys      fc.Keys
	closeOnce sync.Once
	servers   []*http.Server
	holes     holes
}

// Start starts a cloud; it runs until Close or the end of ctx. The error names
// every fault of the state. Nothing is left running when it fails.
func Start(ctx context.Context, o Options) (*Cloud, error) {
	if err := o.State.check(); err != nil {
		return nil, fmt.Errorf("starting a local cloud: %w", err)
	}
	c := &Cloud{Clock: o.Clock, Faults: o.Faults, keys: newKeys()}
	if o.Keys != nil {
		c.keys = *o.Keys
	}
	if c.Clock == nil {
		c.Clock = o.State.Clock.start()
	}
	if c.Faults == nil {
		c.Faults = &fault.Injector{}
	}
	c.Faults.Add(o.State.Faults...)
	err := c.startServices(o)
	if err == nil {
		err = c.listen(o.Listen)
	}
	if err == nil {
		c.env = c.settings(o)
		err = c.startFunction(ctx, o)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("starting a local cloud: %w", err), c.Close())
	}
	context.AfterFunc(ctx, func() { _ = c.Close() })
	return c, nil
}

func newKeys() fc.Keys {
	return fc.Keys{ID: "STS." + rand.Text(), Secret: rand.Text(), Token: rand.Text() + rand.Text()}
}

func (c *Cloud) startServices(o Options) error {
	if err := c.startDesktops(o); err != nil {
		return err
	}
	c.MNS = mns.New(mns.Options{
		Clock: c.Clock, Faults: c.Faults, Keys: []mns.Keys{mns.Keys(c.keys)},
		AccountID: o.Function.AccountID, RegionID: o.Function.Region,
		Duplicate: o.State.MNS.Duplicate, Unordered: o.State.MNS.Unordered, Seed: o.State.MNS.Seed,
	})
	buckets := []string{JournalBucket}
	if o.Empty {
		buckets = nil
	} else {
		o.State.fill(c.MNS)
	}
	c.OSS = oss.New(oss.Options{
		Clock: c.Clock, Faults: c.Faults, Keys: []oss.Keys{oss.Keys(c.keys)},
		Buckets: buckets, Region: o.Function.Region,
	})
	c.Control = control.New(control.Options{
		Clock: c.Clock, Faults: c.Faults, Keys: []control.Keys{control.Keys(c.keys)},
		AccountID: o.Function.AccountID, Region: o.Function.Region, MNS: c.MNS, OSS: c.OSS, STS: c.Roles,
	})
	for _, a := range o.State.Alarms {
		a.put(c.Control)
	}
	if !o.Empty {
		c.OSS.SetBucket(JournalBucket, oss.BucketSettings{StorageClass: o.State.OSS.StorageClass,
			Versioning: o.State.OSS.Versioning, RetentionDays: o.State.OSS.RetentionDays})
	}
	return nil
}

// ownAccount is the account of a function that names none, as package fc has it.
const ownAccount = "1234567890123456"

// startDesktops makes the roles and desktops of all accounts.
func (c *Cloud) startDesktops(o Options) error {
	own := cmp.Or(o.Function.AccountID, ownAccount)
	roles := sts.Options{Clock: c.Clock, Own: own}
	for _, a := range o.State.Accounts {
		roles.Accounts = append(roles.Accounts, sts.Account{ID: a.ID, Roles: a.Roles})
	}
	var err error
	if c.Roles, err = sts.New(roles); err != nil {
		return err
	}
	c.ECD, err = ecd.New(o.State.State, ecd.Options{
		Clock: c.Clock, Faults: c.Faults, Keys: []ecd.Keys{ecd.Keys(c.keys)}, AccountID: own, Assumed: c.Roles.Assumed,
		Limits: o.State.ECD.Limits, Lag: o.State.ECD.Lag,
		FlipEarly: o.State.ECD.FlipEarly, SuccessCode: o.State.ECD.SuccessCode,
		DataSnapshotsSurvive: o.State.ECD.DataSnapshotsSurvive,
	})
	if err != nil {
		return err
	}
	c.Accounts = map[string]*ecd.Server{}
	for _, a := range o.State.Accounts {
		if c.Accounts[a.ID], err = c.ECD.Member(a.ID, a.State); err != nil {
			return err
		}
	}
	return nil
}

// Wipes returns every rebuild that was started in any account, oldest first.
func (c *Cloud) Wipes() []ecd.Wipe {
	all := c.ECD.Wipes()
	for _, id := range slices.Sorted(maps.Keys(c.Accounts)) {
		all = append(all, c.Accounts[id].Wipes()...)
	}
	slices.SortStableFunc(all, func(a, b ecd.Wipe) int { return a.At.Compare(b.At) })
	return all
}

func (c *Cloud) listen(at Addresses) error {
	for _, s := range []struct {
		name, address string
		handler       http.Handler
		url           *string
	}{
		{"ECD", at.ECD, c.ECD.Handler(), &c.ECDURL},
		{"MNS", at.MNS, c.MNS.Handler(), &c.MNSURL},
		{"OSS", at.OSS, c.OSS.Handler(), &c.OSSURL},
		{"control", at.Control, c.Control.Handler(), &c.ControlURL},
		{"admin", at.Admin, c.admin(), &c.AdminURL},
	} {
		if s.address == "" {
			s.address = "127.0.0.1:0"
		}
		listener, err := net.Listen("tcp", s.address)
		if err != nil {
			return fmt.Errorf("listening for %s: %w", s.name, err)
		}
		*s.url = "http://" + listener.Addr().String()
		if s.name != "admin" { // which is no part of the cloud that is imitated
			listener = c.holes.listen(listener)
		}
		server := &http.Server{Handler: s.handler, ReadHeaderTimeout: headerLimit}
		c.servers = append(c.servers, server)
		go func() { _ = server.Serve(listener) }() // ends with Close
	}
	return nil
}

func (c *Cloud) startFunction(ctx context.Context, o Options) error {
	function := o.Invoker
	if o.Function.Path != "" {
		f := o.Function
		f.Env = merge(c.env, f.Env)
		if f.Keys == nil {
			f.Keys = func() fc.Keys { return c.keys }
		}
		if f.Freeze == nil {
			f.Freeze = c.Sever
		}
		host, err := fc.Start(ctx, f)
		if err != nil {
			return err
		}
		c.FC = host
		if function == nil {
			function = host
		}
	}
	if function == nil {
		return nil
	}
	stream := o.State.Trigger.options()
	stream.Queue = RequestQueue
	stream.AccountID, stream.Region, stream.Function = o.Function.AccountID, o.Function.Region, o.Function.Name
	if o.Stream != nil {
		o.Stream(&stream)
	}
	var err error
	c.Bridge, err = bridge.NewStream(c.MNS, function, c.Clock, stream)
	c.Doors = map[string]*bridge.Stream{}
	for _, q := range o.State.Trigger.Queues {
		if err != nil {
			return err
		}
		stream.Queue = q
		c.doors = append(c.doors, q)
		c.Doors[q], err = bridge.NewStream(c.MNS, function, c.Clock, stream)
	}
	return err
}

// settings returns the environment that points a function at this cloud.
func (c *Cloud) settings(o Options) []string {
	env := []string{
		"REGILD_ECD_ENDPOINT=" + c.ECDURL,
		"REGILD_MNS_ENDPOINT=" + c.MNSURL,
		"REGILD_OSS_ENDPOINT=" + c.OSSURL,
		"REGILD_CMS_ENDPOINT=" + c.ControlURL,
		"REGILD_STS_ENDPOINT=" + c.ControlURL,
		"REGILD_CLOCK=" + c.AdminURL + "/clock",
		"REGILD_RESULT_TOPIC=" + ResultTopic,
		"REGILD_REQUEST_QUEUE=" + RequestQueue,
	}
	switch o.Journal {
	case NoJournal:
	case "":
		env = append(env, "REGILD_JOURNAL=oss://"+JournalBucket+"/"+JournalPrefix)
	default:
		env = append(env, "REGILD_JOURNAL="+o.Journal)
	}
	return merge(env, o.Env)
}

// merge returns env with the entries of over in the place of those of the same
// name, or behind.
func merge(env, over []string) []string {
	out := append([]string(nil), env...)
next:
	for _, e := range over {
		name, _, _ := strings.Cut(e, "=")
		for i := range out {
			if strings.HasPrefix(out[i], name+"=") {
				out[i] = e
				continue next
			}
		}
		out = append(out, e)
	}
	return out
}

// Env returns the REGILD_* settings, NAME=value each, that point a function at
// this cloud. Credentials are not among them: see Keys.
func (c *Cloud) Env() []string { return append([]string(nil), c.env...) }

// Keys returns the credentials that every service of this cloud accepts. They
// are made up anew for each cloud, and temporary ones: they come with a token.
func (c *Cloud) Keys() fc.Keys { return c.keys }

// Sever makes black holes of the connections that an instance of the function,
// the process pid, has to this cloud: what it sends through them from now on is
// neither answered nor acknowledged nor refused. It is the fc.Function.Freeze of
// a function that this cloud starts.
func (c *Cloud) Sever(instance string, pid int) { c.holes.swallow(instance, pid) }

// BlackHoles tells what became of the connections that Sever was told of.
func (c *Cloud) BlackHoles() HoleCount { return c.holes.count() }

// Close ends the function, with its preStop hook if it is idle, and all
// services. Closing twice is harmless.
func (c *Cloud) Close() error {
	var err error
	c.closeOnce.Do(func() {
		if c.FC != nil {
			ctx, cancel := context.WithTimeout(context.Background(), closeLimit)
			defer cancel()
			err = c.FC.Stop(ctx)
		}
		for _, s := range c.servers {
			err = errors.Join(err, s.Close())
		}
	})
	return err
}
