package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/access"
	"github.com/regild/regild/internal/dashboard"
	"github.com/regild/regild/internal/mns"
)

var dashboardCommand = &command{
	name: "dashboard", args: "<journal URL> [flags]", short: "show fleets, rollouts and history in a browser",
	long: `
Serves pages on this machine that show what the journal knows: every fleet with
its image and how far it is, what is under way as it happens, history, and the
report of each rollout and request. It only reads the journal.

With --allow-control it also sends what somebody asks for there (pause, resume,
approve, abort, retry, rollback) to the queue, after showing what that touches.
It then wants a token, as it does when it listens on anything but loopback. Give
one of 20 characters or more in REGILD_DASHBOARD_TOKEN; otherwise it makes one up
and writes the address with it.`,
	run: runDashboard,
}

// tokenVariable holds the token. It is no flag: other users of a machine see
// command lines.
const tokenVariable = "REGILD_DASHBOARD_TOKEN"

// dashboardGC trades time, of which a dashboard has plenty, for memory: with 10,000
// requests and rollouts of 20,000 desktops the process stays below 100 MB.
const dashboardGC = 25

type dashboardFlags struct {
	journalFlags
	pageFlags
	listen, fleets                  string
	every                           time.Duration
	control                         bool
	queue, account, messageEndpoint string
}

func (f *dashboardFlags) define(fs *flag.FlagSet) {
	f.journalFlags.define(fs)
	f.pageFlags.define(fs)
	fs.StringVar(&f.listen, "listen", "127.0.0.1:8042", "answer at this `address`; port 0 takes any that is free")
	fs.StringVar(&f.fleets, "fleets", "", "show the fleets of this `file`, too, that had no release yet")
	fs.DurationVar(&f.every, "every", 2*time.Second, "look at the journal every so `often`")
	fs.BoolVar(&f.control, "allow-control", false, "let people ask for something")
	fs.StringVar(&f.queue, "queue", "", "with --allow-control: the function's request `queue`")
	fs.StringVar(&f.account, "account", "", "with --allow-control: the `id` of the account that owns the queue")
	fs.StringVar(&f.messageEndpoint, "queue-endpoint", "", "with --allow-control: reach Message Service at this `URL` instead of\nthe account's in the region")
}

func runDashboard(ctx context.Context, w world, c *command, args []string) error {
	var f dashboardFlags
	fs := c.flags()
	f.define(fs)
	rest, err := c.parse(w, fs, args)
	if err != nil {
		return err
	}
	if len(rest) == 0 {
		return usageError{errors.New("name the journal: oss://bucket/prefix or file:///dir")}
	}
	if err := takesNo(rest[1:]); err != nil {
		return err
	}
	config, err := f.config(rest[0], w)
	if err != nil {
		return err
	}
	var listening net.ListenConfig
	l, err := listening.Listen(ctx, "tcp", f.listen)
	if err != nil {
		return fmt.Errorf("%w (give --listen another address)", err)
	}
	at, ok := l.Addr().(*net.TCPAddr)
	loopback := ok && at.IP.IsLoopback()
	shown := "http://" + l.Addr().String() + "/"
	if config.Token == "" && (config.Control != nil || !loopback) {
		config.Token = rand.Text()
		shown += "login#" + config.Token
	}
	d, err := dashboard.New(config, loopback)
	if err != nil {
		_ = l.Close()
		return err
	}
	if _, set := w.lookup("GOGC"); !set {
		debug.SetGCPercent(dashboardGC)
	}
	say(w.err, "the dashboard is at %s (Ctrl-C ends it)\n", shown)
	if !loopback {
		say(w.err, "others can reach it, and nothing is encrypted: put a proxy with TLS before it\n")
	}
	return d.Serve(ctx, l)
}

// config reads the flags and the environment.
func (f *dashboardFlags) config(journalURL string, w world) (dashboard.Config, error) {
	o, err := f.options()
	if err != nil {
		return dashboard.Config{}, err
	}
	store, err := openJournal(journalURL, f.journalFlags, w.lookup)
	if err != nil {
		return dashboard.Config{}, err
	}
	if err := directoryIsThere(journalURL); err != nil {
		return dashboard.Config{}, err
	}
	config := dashboard.Config{Journal: store, Name: journalURL, Lang: o.Lang, Zone: o.Zone, Version: o.Version, Every: f.every}
	config.Token, _ = w.lookup(tokenVariable)
	if f.fleets != "" {
		if config.Fleets, err = readFleets(f.fleets); err != nil {
			return dashboard.Config{}, err
		}
	}
	if !f.control {
		return config, nil
	}
	if f.queue == "" {
		return dashboard.Config{}, usageError{errors.New("--allow-control needs --queue, the function's request queue")}
	}
	client, err := mns.New(mns.Config{Endpoint: f.messageEndpoint, AccountID: f.account, RegionID: f.region,
		Keys: func(context.Context) (access.Keys, error) { return keysOf(w.lookup) }})
	if err != nil {
		return dashboard.Config{}, fmt.Errorf("%w (give --account and --region; --queue-endpoint reaches another host)", err)
	}
	config.Control = func(ctx context.Context, c events.Control) (string, error) {
		data, err := withoutEmpty(c)
		if err != nil {
			return "", err
		}
		e := events.Event{Type: events.TypeControl, ID: rand.Text(), Source: "regild-dashboard", Time: time.Now(), Data: json.RawMessage(data)}
		body, err := e.Marshal()
		if err != nil {
			return "", err
		}
		if _, err := client.Send(ctx, f.queue, body, 0); err != nil {
			return "", fmt.Errorf("sending to %s: %w", f.queue, err)
		}
		return e.ID, nil
	}
	return config, nil
}

// directoryIsThere refuses a journal in a directory that is missing: it would
// show that nothing ever happened.
func directoryIsThere(journalURL string) error {
	u, err := url.Parse(journalURL)
	if err != nil || u.Scheme != "file" {
		return nil
	}
	dir := filepath.FromSlash(u.Path)
	if info, err := os.Stat(dir); err != nil || !info.IsDir() {
		return fmt.Errorf("there is no directory %s; give the journal that the function writes", strings.TrimSpace(dir))
	}
	return nil
}
