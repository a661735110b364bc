package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/deploy"
	"github.com/regild/regild/docs/ram"
	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/doctor"
	"github.com/regild/regild/internal/ecd"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/mns"
	"github.com/regild/regild/internal/operator"
)

func doctorCommand(w world) *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use: "doctor", Short: "look whether the account is set up right, and say what to do", Args: noArgs,
		Long: `
Looks at a deployed regild and prints a line for each check: good, warning, wrong,
or unknown, with the right that is missing. It reads, and writes one marked log
below probe/ in the journal's bucket; --probe also sends a dry run and waits for
its outcome. Its rights are those of docs/ram/doctor.json. It exits 0 only if
nothing is wrong and nothing was left unseen. A check that cannot be made says
why, and the others are made all the same. Where no service can be reached at all
it says so once, within seconds.`,
	}
	f.at.define(c.Flags())
	c.Flags().StringVar(&f.at.name, "name", "", "the `name` that setup was given; by default REGILD_NAME, or regild")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the findings as JSON")
	c.Flags().BoolVar(&f.probe, "probe", false, "send a dry run through queue, function and topic")
	c.Flags().DurationVar(&f.wait, "wait", 2*time.Minute, "with --probe: wait this `long` for the outcome")
	c.Flags().BoolVar(&f.explain, "explain", false, "say what each check looks at and needs, and look at nothing")
	c.Flags().StringVar(&f.fleets, "fleets", "fleets.yaml", "hold this `file` against the desktops that there are")
	c.Flags().StringVar(&f.template, "template", "s.yaml", "the function is deployed with this `file`: without the trigger topic in it, none is asked for")
	c.Flags().StringVar(&f.zip, "zip", "target/regild.zip", "compare the deployed code with this `file`")
	c.RunE = func(c *cobra.Command, _ []string) error { return runDoctor(c.Context(), w, &f) }
	return c
}

type doctorFlags struct {
	at                     accountFlags
	asJSON, probe, explain bool
	fleets, template, zip  string
	wait                   time.Duration
}

// doctorLimit bounds a whole visit.
const doctorLimit = 10 * time.Minute

func runDoctor(ctx context.Context, w world, f *doctorFlags) error {
	if f.explain {
		printLines(w, doctor.Explain())
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, doctorLimit)
	defer cancel()
	p, err := newDeployment(w, f)
	if err != nil {
		return err
	}
	var findings []doctor.Finding
	doctor.Run(ctx, p, func(x doctor.Finding) {
		findings = append(findings, x)
		if !f.asJSON {
			say(w.out, "%-8s %-12s %s\n", x.Level, x.Check, x.Text)
			if x.Do != "" {
				say(w.out, "%21s do: %s\n", "", x.Do)
			}
		}
	}, func(check string) { say(w.err, "still looking: %s\n", check) })
	return doctorEnd(w, findings, f.asJSON)
}

// doctorEnd sums up, and is an error unless all is seen and nothing wrong.
func doctorEnd(w world, findings []doctor.Finding, asJSON bool) error {
	wrong, unknown, warnings := doctor.Worst(findings)
	if asJSON {
		out, err := json.MarshalIndent(map[string]any{"findings": findings, "wrong": wrong, "unknown": unknown, "warnings": warnings}, "", "  ")
		if err != nil {
			return err
		}
		say(w.out, "%s\n", out)
	}
	if wrong+unknown > 0 {
		return fmt.Errorf("%d wrong, %d not seen, %s", wrong, unknown, operator.Count(warnings, "warning"))
	}
	if !asJSON {
		say(w.out, "\nnothing is wrong; %s\n", operator.Count(warnings, "warning"))
	}
	return nil
}

// newDeployment puts together what the doctor looks at, from regild.env and the
// environment. What is missing or broken there is for the checks to say that
// need it.
func newDeployment(w world, f *doctorFlags) (*doctor.Deployment, error) {
	at := &f.at
	client, get, err := at.open(w)
	if err != nil {
		return nil, err
	}
	options := journal.Options{Region: at.region, OSSEndpoint: get("REGILD_OSS_ENDPOINT"), Keys: w.keys}
	name := at.name
	p := &doctor.Deployment{
		Cloud: client, Account: at.account, Region: at.region, FileRegion: at.fileRegion, Now: time.Now, Token: rand.Text()[:12],
		Policies: ram.Files.ReadFile, Probe: f.probe, ProbeLimit: f.wait,
		Names: doctor.Names{
			Function: name, Role: name + "-function", NotificationRole: "aliyunmnsnotificationrole", Triggers: triggersOf(f.template),
			RequestTriggers: deploy.RequestTriggers, Alerts: deploy.Alerts,
			RequestQueue: get("REGILD_REQUEST_QUEUE"), DeadLetterQueue: name + "-dead-letters", OutcomesQueue: cmp.Or(get("REGILD_OUTCOMES_QUEUE"), name+"-outcomes"),
			ControlDoor: get("REGILD_CONTROL_QUEUE"), ReleaseDoor: get("REGILD_RELEASE_QUEUE"),
			RequestTopic: name + "-requests", ResultTopic: get("REGILD_RESULT_TOPIC"), FailureTopic: name + "-failures",
			Journal: get("REGILD_JOURNAL"), LogProject: get("REGILD_LOG_PROJECT"), Logstore: get("REGILD_LOGSTORE"),
		},
		Expected: map[string]string{},
		Messages: func(account string) (doctor.Messages, error) {
			return mns.New(mns.Config{Endpoint: get("REGILD_MNS_ENDPOINT"), AccountID: account, RegionID: at.region, Keys: w.keys})
		},
		Desktops: func() (doctor.Desktops, error) {
			return ecd.New(ecd.Config{Endpoint: get("REGILD_ECD_ENDPOINT"), Keys: w.keys})
		},
		Member: func(ctx context.Context, a fleet.Account) (doctor.Member, error) {
			return openMember(ctx, client, at, get("REGILD_ECD_ENDPOINT"), a)
		},
		Alarms: func(region string) (doctor.Alarms, error) {
			return acs.New(acs.Config{Region: region, AccountID: at.account, Endpoint: at.endpoint, Keys: w.keys})
		},
		Store: func(url string) (journal.Store, error) { return journal.Open(url, options) },
		Bucket: func(ctx context.Context, url string) (journal.Bucket, bool, error) {
			return journal.Inspect(ctx, url, options)
		},
	}
	if get("REGILD_SHARES") == "yes" {
		p.Requests = name + deploy.Requests
	}
	for _, name := range expected {
		if v := get(name); v != "" {
			p.Expected[name] = v
		}
	}
	switch _, err := os.Stat(f.fleets); {
	case err == nil:
		p.FleetsFile = f.fleets
		p.Fleets, p.FleetsErr = readFleets(f.fleets)
	case !errors.Is(err, os.ErrNotExist):
		p.FleetsFile, p.FleetsErr = f.fleets, err
	}
	p.Zip, p.ZipErr = checksum(f.zip)
	return p, nil
}

// triggersOf returns the triggers that there must be: those of this build, without
// topic if the s.yaml at path has none.
func triggersOf(path string) []string {
	text, err := os.ReadFile(path)
	has := func(name string) bool { return strings.Contains(string(text), "- triggerName: "+name+"\n") }
	if err == nil && has("queue") && !has("topic") {
		return slices.DeleteFunc(slices.Clone(deploy.Triggers), func(name string) bool { return name == "topic" })
	}
	return deploy.Triggers
}

// openMember takes the role in another account, as the doctor.
func openMember(ctx context.Context, client *acs.Client, at *accountFlags, endpoint string, a fleet.Account) (doctor.Member, error) {
	source, err := lookInto(ctx, client, a, "regild-doctor")
	if err != nil {
		return doctor.Member{}, err
	}
	there, err := acs.New(acs.Config{Region: at.region, Endpoint: at.endpoint, Keys: source})
	if err != nil {
		return doctor.Member{}, err
	}
	who, err := there.Identity(ctx)
	if err != nil {
		return doctor.Member{}, err
	}
	desktops, err := ecd.New(ecd.Config{Endpoint: endpoint, Keys: source})
	return doctor.Member{AccountID: who.AccountID, Desktops: desktops}, err
}

// expected are the settings of the function that regild.env may have.
var expected = []string{"REGILD_REQUEST_QUEUE", "REGILD_CONTROL_QUEUE", "REGILD_RELEASE_QUEUE", "REGILD_RESULT_TOPIC", "REGILD_JOURNAL", "REGILD_REGIONS"}

// checksum is what Function Compute calls the code's: CRC-64/ECMA, in decimal. A
// file that is not there has none.
func checksum(path string) (string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strconv.FormatUint(crc64.Checksum(data, crc64.MakeTable(crc64.ECMA)), 10), err
}
