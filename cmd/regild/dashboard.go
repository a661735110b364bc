package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/dashboard"
)

// tokenVariable holds the token. It is no flag: other users of a machine see
// command lines.
const tokenVariable = "REGILD_DASHBOARD_TOKEN"

// dashboardGC trades time, of which a dashboard has plenty, for memory: with 10,000
// requests and rollouts of 20,000 desktops the process stays below 100 MB.
const dashboardGC = 25

type dashboardFlags struct {
	lang, listen string
	every        time.Duration
	control      bool
}

func dashboardCommand(w world) *cobra.Command {
	var f dashboardFlags
	c := &cobra.Command{
		Use: "dashboard [journal URL]", Short: "show fleets, rollouts and history in a browser",
		Long: `
Serves pages on this machine that show what the journal knows: every fleet with
its image and how far it is, what is under way as it happens, history, and the
report of each rollout and request. It only reads the journal.

With --allow-control it also sends what somebody asks for there (of a rollout
pause, resume, approve, abort, retry, rollback; of a request abort, rollback) to
the queue, after showing what that touches.
It then wants a token, as it does when it listens on anything but loopback. Give
one of 20 characters or more in REGILD_DASHBOARD_TOKEN; otherwise it makes one up
and writes the address with it.`, Args: cobra.MaximumNArgs(1),
	}
	s := newSettings(w, c, forJournal, forQueue, []string{"fleets"})
	langFlag(c, &f.lang)
	c.Flags().StringVar(&f.listen, "listen", "127.0.0.1:8042", "answer at this `address`; port 0 takes any that is free")
	c.Flags().DurationVar(&f.every, "every", 2*time.Second, "look at the journal every so `often`")
	c.Flags().BoolVar(&f.control, "allow-control", false, "let people ask for something")
	c.RunE = func(c *cobra.Command, args []string) error { return runDashboard(c.Context(), s, &f, args) }
	return c
}

func runDashboard(ctx context.Context, s *settings, f *dashboardFlags, args []string) error {
	w := s.w
	given, rest := journalAndName(args)
	if err := takesNo(rest); err != nil {
		return err
	}
	config, err := f.config(s, given)
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

// config reads the settings.
func (f *dashboardFlags) config(s *settings, given string) (dashboard.Config, error) {
	at, err := s.open(given)
	if err != nil {
		return dashboard.Config{}, err
	}
	o, err := pageOptions(s.w, f.lang, at.zone)
	if err != nil {
		return dashboard.Config{}, err
	}
	config := dashboard.Config{Journal: at.store, Name: at.conf.Journal, Lang: o.Lang, Zone: o.Zone, Version: o.Version, Every: f.every, Now: s.w.clock(),
		Token: s.w.env(tokenVariable)}
	if at.conf.Fleets != "" {
		if config.Fleets, err = readFleets(at.conf.Fleets); err != nil {
			return dashboard.Config{}, err
		}
	}
	if !f.control {
		return config, nil
	}
	client, queue, err := s.queueOf(at.conf, events.TypeControl)
	if err != nil {
		return dashboard.Config{}, fmt.Errorf("--allow-control sends to the function's queue: %w", err)
	}
	config.Control = func(ctx context.Context, c events.Control) (string, error) {
		f := sendFlags{source: "regild-dashboard", rollout: c.RolloutID, request: c.RequestID, action: c.Action, by: c.By, reason: c.Reason, wave: c.Wave}
		e, err := f.event("control", nil, config.Now(), nil)
		if err != nil {
			return "", err
		}
		body, err := e.Marshal()
		if err != nil {
			return "", err
		}
		if _, err := client.Send(ctx, queue, body, 0); err != nil {
			return "", fmt.Errorf("sending to %s: %w", queue, err)
		}
		return e.ID, nil
	}
	return config, nil
}
