package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regild/regild/internal/envfile"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/mns"
	"github.com/regild/regild/internal/operator"
)

// settings are those of one command: which flags it has of them, and what is
// in force once the command line is read.
type settings struct {
	w             world
	flags         *pflag.FlagSet
	values        map[string]*string // by flag
	file, profile string
}

// The groups of settings that commands have in common.
var (
	forJournal = []string{"journal", "region", "oss-endpoint", "time-zone"}
	forQueue   = []string{"queue", "control-queue", "release-queue", "account", "mns-endpoint"}
	forECD     = []string{"ecd-endpoint", "fleets"}
)

// newSettings gives the command the flags of some settings, and --profile and
// --config.
func newSettings(w world, c *cobra.Command, groups ...[]string) *settings {
	s := &settings{w: w, flags: c.Flags(), values: map[string]*string{}}
	wanted := slices.Concat(groups...)
	for _, x := range operator.Settings {
		if slices.Contains(wanted, x.Flag) {
			s.values[x.Flag] = s.flags.String(x.Flag, "", x.Meaning)
		}
	}
	s.flags.StringVar(&s.profile, "profile", "", "take the settings of this `profile` of regild.yaml")
	s.flags.StringVar(&s.file, "config", "", "read the settings from this `file`; by default $REGILD_CONFIG or ./regild.yaml")
	mustRegister(c, "profile", offering(func([]string) []string {
		conf, _ := s.load() // it has the profiles whatever is wrong with one
		return conf.Profiles
	}))
	return s
}

// mustRegister registers a completion for a flag that the command has.
func mustRegister(c *cobra.Command, flag string, f cobra.CompletionFunc) {
	if err := c.RegisterFlagCompletionFunc(flag, f); err != nil {
		panic(err) // the flag was defined a line before
	}
}

// load returns the settings in force.
func (s *settings) load() (operator.Config, error) {
	deployed, err := envfile.Read(envfile.Default)
	if err != nil {
		return operator.Config{}, err
	}
	src := operator.Source{File: s.file, Profile: s.profile, Lookup: s.w.lookup, Flags: map[string]string{}, Deployed: deployed, DeployedFile: envfile.Default}
	for name, value := range s.values {
		if s.flags.Changed(name) {
			src.Flags[name] = *value
		}
	}
	return operator.Load(src)
}

// An installation is a regild that a command works on: its journal, the settings
// in force, and the time zone in which times are shown.
type installation struct {
	store journal.Store
	conf  operator.Config
	zone  *time.Location
}

// open opens the journal of the settings, or that of a URL that was given.
func (s *settings) open(given string) (at installation, err error) {
	if at.conf, err = s.load(); err != nil {
		return at, err
	}
	if given != "" {
		at.conf.Journal = given
	}
	if at.conf.Journal == "" {
		return at, usageError{errors.New("name the journal: --journal oss://bucket/prefix or file:///dir, REGILD_JOURNAL or a profile (regild " +
			"config shows what is in force)")}
	}
	if at.zone, err = at.conf.Zone(); err != nil {
		return at, err
	}
	if err = thereIs(at.conf.Journal); err != nil {
		return at, err
	}
	at.store, err = openJournal(s.w, at.conf.Journal, cmp.Or(at.conf.Region, defaultRegion), at.conf.OSSEndpoint)
	return at, err
}

// reading opens the journal for a command that follows nothing.
func (s *settings) reading(ctx context.Context, given string, do func(context.Context, installation) error) error {
	ctx, cancel := context.WithTimeout(ctx, oneCall)
	defer cancel()
	at, err := s.open(given)
	if err != nil {
		return err
	}
	return do(ctx, at)
}

// openJournal opens the journal that a URL names, with the credentials of the
// environment, which a directory does not need. region and endpoint are where its
// bucket is.
func openJournal(w world, url, region, endpoint string) (journal.Store, error) {
	store, err := journal.Open(url, journal.Options{Region: region, OSSEndpoint: endpoint, Keys: w.keys})
	if err != nil && !strings.Contains(url, "://") {
		return nil, fmt.Errorf("%w (is a file:///dir meant?)", err)
	}
	return store, err
}

// defaultRegion is where a bucket is looked for unless something else is set.
const defaultRegion = "cn-hangzhou"

// thereIs fails for a journal in a directory that is not there: it would look
// like one in which nothing is open.
func thereIs(journalURL string) error {
	u, err := url.Parse(journalURL)
	if err != nil || u.Scheme != "file" {
		return nil // openJournal says what is wrong with it
	}
	info, err := os.Stat(filepath.FromSlash(u.Path))
	switch {
	case errors.Is(err, os.ErrNotExist):
		return fmt.Errorf("there is no directory %s, so there is no journal in it; name the directory that the function's REGILD_JOURNAL names", u.Path)
	case err != nil:
		return fmt.Errorf("opening the journal: %w", err)
	case !info.IsDir():
		return fmt.Errorf("%s is a file; a journal is a directory: name the one that the function's REGILD_JOURNAL names", u.Path)
	}
	return nil
}

// journalAndName takes the arguments of a command apart that takes a journal's
// URL, which the settings can stand in for, and names.
func journalAndName(args []string) (journalURL string, names []string) {
	if len(args) > 0 && (strings.Contains(args[0], "://") || strings.HasPrefix(args[0], "/")) {
		return args[0], args[1:]
	}
	return "", args
}

// queueOf returns the client and the name of the queue that messages of the type go
// to. A queue that was named by --queue takes them all.
func (s *settings) queueOf(conf operator.Config, eventType string) (*mns.Client, string, error) {
	queue := s.queueName(conf, eventType)
	if queue == "" {
		return nil, "", usageError{errors.New("name the queue: --queue, REGILD_REQUEST_QUEUE or a profile (regild config shows what is in force)")}
	}
	client, err := s.messages(conf)
	return client, queue, err
}

// queueName is the name of that queue; "" none is set.
func (s *settings) queueName(conf operator.Config, eventType string) string {
	if s.flags.Changed("queue") {
		return conf.Queue
	}
	return conf.QueueFor(eventType)
}

// messages returns a client of Message Service.
func (s *settings) messages(conf operator.Config) (*mns.Client, error) {
	client, err := mns.New(mns.Config{Endpoint: conf.MNSEndpoint, AccountID: conf.Account, RegionID: conf.Region,
		Keys: s.w.keys})
	if err != nil {
		return nil, fmt.Errorf("%w (set account and region: --account and --region, REGILD_ACCOUNT and REGILD_REGION, or a profile)", err)
	}
	return client, nil
}

// who returns who says so: what the settings say, else the user's name.
func (s *settings) who(conf operator.Config) (string, error) {
	if by := cmp.Or(conf.By, s.w.env("USER"), s.w.env("LOGNAME")); by != "" {
		return by, nil
	}
	return "", usageError{errors.New("say who says so: --by, REGILD_BY or by in a profile")}
}

// oneCall bounds what a command does that follows nothing: it reads some
// thousand small objects at the most.
const oneCall = 2 * time.Minute

func configCommand(w world) *cobra.Command {
	var o output
	c := &cobra.Command{
		Use: "config", Short: "show the settings in force, and where each comes from",
		Long: configHelp,
		Args: noArgs,
	}
	var all []string
	for _, x := range operator.Settings {
		all = append(all, x.Flag)
	}
	s := newSettings(w, c, all)
	o.define(c)
	c.RunE = func(*cobra.Command, []string) error {
		conf, err := s.load()
		if err != nil {
			return err
		}
		doc := configDoc{File: conf.File, Profile: conf.Name, Profiles: append([]string{}, conf.Profiles...), Settings: append([]operator.Value{}, conf.Values...)}
		return o.show(w, doc, doc.lines)
	}
	return c
}

var configHelp = `
Shows the settings in force and where each comes from. They are looked for in
this order, and the first that has a value wins: flags, the environment, the
profile. Profiles stand in ./regild.yaml or in the file that REGILD_CONFIG names:

  default: production
  profiles:
    production:
      region: cn-hangzhou
      account: "1234567890123456"
      journal: oss://regild-journal/prod
      queue: regild-requests
      controlQueue: regild-control        # where controls have a door of their own
      releaseQueue: regild-releases       # where releases have one
      outcomesQueue: regild-outcomes
      timeZone: Asia/Shanghai
      fleets: fleets.yaml

Credentials are no settings: they are taken from ALIBABA_CLOUD_ACCESS_KEY_ID,
…_SECRET and …_SECURITY_TOKEN, and never shown.

` + settingsTable()

// settingsTable lists keys, variables and flags.
func settingsTable() string {
	lines := []string{pad("key", 14) + " " + pad("variable", 22) + " flag"}
	for _, x := range operator.Settings {
		lines = append(lines, pad(x.Key, 14)+" "+pad(x.Env, 22)+" --"+x.Flag)
	}
	return "  " + strings.Join(lines, "\n  ")
}

// configDoc is what regild config shows.
type configDoc struct {
	File     string           `json:"file,omitempty"`
	Profile  string           `json:"profile,omitempty"`
	Profiles []string         `json:"profiles"`
	Settings []operator.Value `json:"settings"`
}

func (d configDoc) lines() []string {
	file := cmp.Or(d.File, "none")
	out := []string{pad("file", 14) + " " + file, pad("profile", 14) + " " + cmp.Or(d.Profile, "none")}
	if len(d.Profiles) > 1 {
		out = append(out, pad("profiles", 14)+" "+strings.Join(d.Profiles, ", "))
	}
	if len(d.Settings) == 0 {
		return append(out, "", "no setting is set")
	}
	out = append(out, "")
	for _, v := range d.Settings {
		out = append(out, pad(v.Key, 14)+" "+pad(v.Value, 40)+" "+v.From)
	}
	return out
}
