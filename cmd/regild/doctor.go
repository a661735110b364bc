package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc64"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/deploy"
	"github.com/regild/regild/docs/ram"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/doctor"
	"github.com/regild/regild/internal/ecd"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/mns"
)

func doctorCommand(w world) *cobra.Command {
	var f doctorFlags
	c := &cobra.Command{
		Use: "doctor", Short: "look whether the account is set up right, and say what to do", Args: noArgs,
		Long: strings.TrimSpace(`
Looks at a deployed regild and prints a line for each check: good, warning, wrong,
or unknown, with the right that is missing. It reads, and writes one marked log
below probe/ in the journal's bucket; --probe also sends a dry run and waits for
its outcome. Its rights are those of docs/ram/doctor.json. It exits 0 only if
nothing is wrong and nothing was left unseen.`),
	}
	f.at.define(c.Flags())
	c.Flags().BoolVar(&f.asJSON, "json", false, "print the findings as JSON")
	c.Flags().BoolVar(&f.probe, "probe", false, "send a dry run through queue, function and topic")
	c.Flags().BoolVar(&f.explain, "explain", false, "say what each check looks at and needs, and look at nothing")
	c.Flags().StringVar(&f.fleets, "fleets", "fleets.yaml", "hold this `file` against the desktops that there are")
	c.Flags().StringVar(&f.zip, "zip", "target/regild.zip", "compare the deployed code with this `file`")
	c.RunE = func(c *cobra.Command, _ []string) error { return runDoctor(c.Context(), w, &f) }
	return c
}

type doctorFlags struct {
	at                     accountFlags
	asJSON, probe, explain bool
	fleets, zip            string
}

// doctorLimit bounds a whole visit.
const doctorLimit = 10 * time.Minute

func runDoctor(ctx context.Context, w world, f *doctorFlags) error {
	if f.explain {
		for _, l := range doctor.Explain() {
			say(w.out, "%s\n", l)
		}
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, doctorLimit)
	defer cancel()
	p, err := newPatient(w, &f.at, f.fleets, f.zip)
	if err != nil {
		return err
	}
	p.Probe = f.probe
	var findings []doctor.Finding
	doctor.Run(ctx, p, func(x doctor.Finding) {
		findings = append(findings, x)
		if !f.asJSON {
			say(w.out, "%-8s %-12s %s\n", x.Level, x.Check, x.Text)
			if x.Do != "" {
				say(w.out, "%21s do: %s\n", "", x.Do)
			}
		}
	})
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
		return fmt.Errorf("%d wrong, %d not seen, %s", wrong, unknown, count(warnings, "warning"))
	}
	if !asJSON {
		say(w.out, "\nnothing is wrong; %s\n", count(warnings, "warning"))
	}
	return nil
}

// newPatient puts together whom the doctor looks at, from regild.env and the environment.
func newPatient(w world, at *accountFlags, fleetsFile, zip string) (*doctor.Patient, error) {
	client, lookup, err := at.open(w)
	if err != nil {
		return nil, err
	}
	get := func(name, otherwise string) string {
		if v, _ := lookup(name); v != "" {
			return v
		}
		return otherwise
	}
	keys := func(context.Context) (credentials.Keys, error) { return keysOf(w.lookup) }
	p := &doctor.Patient{
		Cloud: client, Account: at.account, Region: at.region, Now: time.Now, Token: rand.Text()[:12],
		Policies: ram.Files.ReadFile,
		Names: doctor.Names{
			Function: "regild", Role: "regild-function", NotificationRole: "aliyunmnsnotificationrole", Triggers: deploy.Triggers,
			RequestQueue: get("REGILD_REQUEST_QUEUE", "regild-requests"), DeadLetterQueue: "regild-dead-letters", OutcomesQueue: get("REGILD_OUTCOMES_QUEUE", "regild-outcomes"),
			RequestTopic: "regild-requests", ResultTopic: get("REGILD_RESULT_TOPIC", "regild-outcomes"), FailureTopic: "regild-failures",
			Journal: get("REGILD_JOURNAL", ""), LogProject: get("REGILD_LOG_PROJECT", "regild"), Logstore: get("REGILD_LOGSTORE", "function"),
		},
		Expected: map[string]string{},
	}
	for _, name := range []string{"REGILD_REQUEST_QUEUE", "REGILD_RESULT_TOPIC", "REGILD_JOURNAL", "REGILD_REGIONS"} {
		if v := get(name, ""); v != "" {
			p.Expected[name] = v
		}
	}
	if p.Journal == "" {
		return nil, fmt.Errorf("no journal is named: run where %s is (make setup writes it), or set REGILD_JOURNAL", at.file)
	}
	if p.Account == "" {
		return nil, fmt.Errorf("no account is named: run where %s is (make setup writes it), or give --account", at.file)
	}
	options := journal.Options{Region: at.region, OSSEndpoint: get("REGILD_OSS_ENDPOINT", ""), Keys: keys}
	if p.Store, err = journal.Open(p.Journal, options); err != nil {
		return nil, err
	}
	p.Bucket = func(ctx context.Context) (journal.Bucket, bool, error) {
		return journal.Inspect(ctx, p.Journal, options)
	}
	messages, err1 := mns.New(mns.Config{Endpoint: get("REGILD_MNS_ENDPOINT", ""), AccountID: p.Account, RegionID: at.region, Keys: keys})
	desktops, err2 := ecd.New(ecd.Config{Endpoint: get("REGILD_ECD_ENDPOINT", ""), Keys: keys})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	p.Messages, p.Desktops = messages, desktops
	if _, err := os.Stat(fleetsFile); err == nil {
		if p.Fleets, err = readFleets(fleetsFile); err != nil {
			return nil, err
		}
		p.FleetsFile = fleetsFile
	}
	p.Zip, err = checksum(zip)
	return p, err
}

// checksum is what Function Compute calls the code's: CRC-64/ECMA, in decimal. A
// file that is not there has none.
func checksum(path string) (string, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	return strconv.FormatUint(crc64.Checksum(data, crc64.MakeTable(crc64.ECMA)), 10), err
}
