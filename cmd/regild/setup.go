package main

import (
	"bufio"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/deploy"
	"github.com/regild/regild/docs/ram"
	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/envfile"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/setup"
)

func setupCommand(w world) *cobra.Command {
	var f setupFlags
	c := &cobra.Command{
		Use: "setup", Short: "make everything around the function: queues, bucket, logs, alarms, roles", Args: noArgs,
		Long: `
Hands deploy/ros.yaml to Resource Orchestration Service, shows each resource until
it is done, and writes the names to regild.env, which make deploy reads. It may be
run again at any time: it changes what differs, and mends what an earlier run left
half done. Its rights are those of docs/ram/setup.json; docs/deployment-long.md
lists what it makes.

--member is for another account whose desktops the function is to serve: with that
account's credentials, and where regild.env is, it makes the role that the function
takes there (deploy/ros-member.yaml), and prints what fleets.yaml needs.`,
	}
	f.at.define(c.Flags())
	c.Flags().StringVar(&f.at.name, "name", "", "call the function this, and begin all other names with it; by default REGILD_NAME, or regild")
	c.Flags().StringArrayVar(&f.set, "set", nil, "give the template's parameter this `Name=value`; may be given several times")
	c.Flags().StringSliceVar(&f.policies, "policy", nil, "print these policies of docs/ram as one, filled in, and do nothing: setup,deployer")
	c.Flags().BoolVar(&f.dry, "dry-run", false, "change nothing; show what would be made, changed or taken away")
	c.Flags().BoolVar(&f.remove, "remove", false, "take everything away but bucket and logs, after a question")
	c.Flags().BoolVar(&f.yes, "yes", false, "with --remove: ask nothing")
	c.Flags().StringVar(&f.fleets, "fleets", "fleets.yaml", "give the function the roles of the accounts in this `file`, if it is there")
	c.Flags().BoolVar(&f.member, "member", false, "make the role in another account, that of the credentials; regild.env or --account names the function's")
	c.Flags().DurationVar(&f.poll, "poll", 3*time.Second, "look at the stack after each such `time`")
	c.RunE = func(c *cobra.Command, _ []string) error { return runSetup(c.Context(), w, &f) }
	return c
}

type setupFlags struct {
	at               accountFlags
	set, policies    []string
	dry, remove, yes bool
	member           bool
	fleets           string
	poll             time.Duration
}

func runSetup(ctx context.Context, w world, f *setupFlags) error {
	at := &f.at
	ctx, _ = pace.WithReach(ctx) // who has no network is told so at once
	parameters, err := f.parameters()
	switch {
	case err != nil:
		return err
	case len(f.policies) > 0:
		return printPolicy(ctx, w, at, f.policies, parameters)
	case f.member:
		return setupMember(ctx, w, f, parameters)
	}
	memberRoles(w, f.fleets, parameters)
	client, err := at.ready(ctx, w)
	if err == nil {
		err = at.goodName()
	}
	if err != nil {
		return err
	}
	s := &setup.Setup{
		Cloud: client, AccountID: at.account, Name: at.name, Template: deploy.Template, Set: parameters, Poll: f.poll,
		Say:    func(line string) { say(w.out, "%s\n", line) },
		Token:  rand.Text,
		Bucket: func(ctx context.Context, name string) (bool, error) { return hasBucket(ctx, w, at.region, name) },
	}
	switch {
	case f.remove:
		return removeSetup(ctx, w, s, at.region, f.yes)
	case f.dry:
		return planSetup(ctx, w, s)
	}
	return applySetup(ctx, w, at, s)
}

// parameters reads those of the template that were given.
func (f *setupFlags) parameters() (map[string]string, error) {
	parameters := map[string]string{}
	for _, p := range f.set {
		name, value, ok := strings.Cut(p, "=")
		if !ok || name == "" {
			return nil, usageError{fmt.Errorf("--set %q: write Name=value", p)}
		}
		if name == "Name" {
			return nil, usageError{errors.New("--set Name: use --name, which names the stack too")}
		}
		parameters[name] = value
	}
	return parameters, nil
}

// applySetup makes the stack, and writes the names of what is in it to regild.env.
func applySetup(ctx context.Context, w world, at *accountFlags, s *setup.Setup) error {
	old, err := envfile.Read(at.file)
	if err == nil {
		err = cmp.Or(sameDeployment(at, old), doorsClosed(at, old, s.Set["Doors"]))
	}
	if err != nil {
		return err
	}
	stack, err := s.Apply(ctx)
	if err != nil {
		return err
	}
	if err := os.WriteFile(at.file, envfile.Format(setup.Merge(s.Lines(stack), old)), 0o644); err != nil {
		return err
	}
	if at.file == envfile.Default {
		say(w.out, "done; the names are in %s. Next: make deploy, then make doctor ARGS=--probe\n", at.file)
	} else {
		say(w.out, "done; the names are in %[1]s. Next: ENV_FILE=%[1]s make deploy, then make doctor ARGS='--env-file %[1]s --probe'\n", at.file)
	}
	return nil
}

// nameForm is what the parameter Name of the template allows.
var nameForm = regexp.MustCompile(`^[a-z]([a-z0-9-]{0,18}[a-z0-9])?$`)

func (f *accountFlags) goodName() error {
	if nameForm.MatchString(f.name) {
		return nil
	}
	return usageError{fmt.Errorf("--name %q: a name has up to 20 lower-case letters, digits and hyphens, and begins with a letter", f.name)}
}

// memberRoles sets the roles that the function may take, unless somebody has: those
// of the accounts in fleets.yaml. A file that is at fault changes nothing.
func memberRoles(w world, file string, parameters map[string]string) {
	if _, err := os.Stat(file); errors.Is(err, os.ErrNotExist) {
		return
	}
	fleets, err := readFleets(file)
	if err != nil {
		say(w.out, "%s is at fault, see regild check: the roles in other accounts stay as they are\n", file)
		return
	}
	if _, set := parameters["MemberRoles"]; set {
		return
	}
	var roles []string
	for _, a := range fleets.Accounts() {
		roles = append(roles, strings.Replace(a.RoleARN(), "acs:ram::", "acs:ram:*:", 1))
	}
	parameters["MemberRoles"] = strings.Join(roles, ",")
}

// setupMember makes the role in the account of the credentials, for a function in
// the account that regild.env or --account names.
func setupMember(ctx context.Context, w world, f *setupFlags, parameters map[string]string) error {
	at := &f.at
	client, _, err := at.open(w)
	if err == nil {
		err = at.goodName()
	}
	if err != nil {
		return err
	}
	if at.account == "" {
		return usageError{fmt.Errorf("--member: in which account is the function? Give --account, or run where %s is", at.file)}
	}
	who, err := client.Identity(ctx)
	switch {
	case err != nil:
		return acs.Plain(err)
	case who.AccountID == at.account:
		return fmt.Errorf("the credentials are of account %s, which is the function's: give those of the other account", at.account)
	}
	client.SetAccount(who.AccountID)
	parameters["FunctionAccount"] = at.account
	s := &setup.Setup{
		Cloud: client, AccountID: who.AccountID, Name: at.name, Template: deploy.MemberTemplate, Member: true, Set: parameters, Poll: f.poll,
		Say:   func(line string) { say(w.out, "%s\n", line) },
		Token: rand.Text,
	}
	switch {
	case f.remove:
		return removeMember(ctx, w, s, f.yes)
	case f.dry:
		return planSetup(ctx, w, s)
	}
	stack, err := s.Apply(ctx)
	if err != nil {
		return err
	}
	external := ""
	for _, p := range stack.Parameters {
		if p.ParameterKey == "ExternalId" {
			external = p.ParameterValue
		}
	}
	say(w.out, "done; account %s trusts the function of account %s. Put it into fleets.yaml, under a name of yours:\n\n", who.AccountID, at.account)
	say(w.out, "accounts:\n  - {name: another, id: %q, role: %s-member, externalId: %q, regions: [%s]}\n\n", who.AccountID, at.name, external, at.region)
	say(w.out, "Next, with the credentials of account %s: make setup, make deploy, then make doctor ARGS=--probe\n", at.account)
	return nil
}

func removeMember(ctx context.Context, w world, s *setup.Setup, yes bool) error {
	question := fmt.Sprintf("This takes the role %s-member of account %s and its policies away: regild can then do nothing there.\n"+
		"Type the account to go on: ", s.Name, s.AccountID)
	return takeAway(ctx, w, s, yes, question, s.AccountID, "done")
}

// sameDeployment refuses to overwrite the names of another deployment: these may
// be all that is known of it here.
func sameDeployment(at *accountFlags, old map[string]string) error {
	for _, is := range []struct{ name, value string }{{"REGILD_ACCOUNT", at.account}, {"REGILD_REGION", at.region}, {"REGILD_NAME", at.name}} {
		if had := old[is.name]; had != "" && had != is.value {
			return fmt.Errorf("%s is of another deployment: it has %s=%s, and this one is %s; give --env-file another name for this one, and keep both",
				at.file, is.name, had, is.value)
		}
	}
	return nil
}

// doorsClosed refuses to delete the queues of doors that the function may still
// use: its ticks would find no queue, and messages would be lost.
func doorsClosed(at *accountFlags, old map[string]string, doors string) error {
	for _, is := range []struct{ name, queue string }{{"REGILD_CONTROL_QUEUE", at.name + "-control"}, {"REGILD_RELEASE_QUEUE", at.name + "-releases"}} {
		if doors == "no" && strings.TrimPrefix(old[is.name], "queues/") == is.queue {
			return fmt.Errorf("the function may still use queue %s, which would be deleted with what is on it: take %s out of %s, run make deploy, "+
				"and then this again", is.queue, is.name, at.file)
		}
	}
	return nil
}

// maxPolicy is how many characters RAM takes of a policy, without spaces.
// Source: "Limits" of Resource Access Management.
const maxPolicy = 6144

// printPolicy prints policies of docs/ram as one, with the names that setup would
// give. Whoever administers the account creates it, before anybody can run setup.
func printPolicy(ctx context.Context, w world, at *accountFlags, names []string, set map[string]string) error {
	client, err := at.ready(ctx, w)
	if err != nil {
		return fmt.Errorf("%w (with --account no credentials are needed)", err)
	}
	s := &setup.Setup{Cloud: client, AccountID: at.account, Name: at.name, Set: set}
	type document struct {
		Version   string
		Statement []json.RawMessage
	}
	all := document{Version: "1"}
	for _, name := range names {
		text, err := ram.Files.ReadFile(strings.TrimSuffix(name, ".json") + ".json")
		if err != nil {
			return usageError{fmt.Errorf("--policy %s: docs/ram has no such policy", name)}
		}
		var d document
		filled := s.Fill(string(text))
		if strings.HasPrefix(name, "member") { // the account is the member's
			filled = strings.NewReplacer("<member-account>", s.AccountID, "<member-role>", s.Name+"-member").Replace(filled)
		}
		if err := json.Unmarshal([]byte(filled), &d); err != nil {
			return fmt.Errorf("reading policy %s: %w", name, err)
		}
		all.Statement = append(all.Statement, d.Statement...)
	}
	short, err := json.Marshal(all)
	if err != nil {
		return err
	}
	if len(short) > maxPolicy {
		return fmt.Errorf("together they have %d characters, and RAM takes %d: print them one by one", len(short), maxPolicy)
	}
	out, err := json.MarshalIndent(all, "", "  ")
	if err != nil {
		return err
	}
	say(w.out, "%s\n", out)
	return nil
}

// hasBucket says whether the bucket exists and is ours.
func hasBucket(ctx context.Context, w world, region, name string) (bool, error) {
	_, exists, err := journal.Inspect(ctx, journal.URLOf(name), journal.Options{Region: region, OSSEndpoint: w.env("REGILD_OSS_ENDPOINT"), Keys: w.keys})
	if err != nil && acs.Code(err) == "AccessDenied" {
		return false, fmt.Errorf("bucket %s belongs to somebody else, or the credentials may not look at it: choose another with --set JournalBucket=name", name)
	}
	return exists, err
}

func planSetup(ctx context.Context, w world, s *setup.Setup) error {
	changes, err := s.Plan(ctx)
	if err != nil {
		return err
	}
	printLines(w, changes)
	say(w.out, "%s; nothing was done\n", operator.Count(len(changes), "change"))
	return nil
}

func removeSetup(ctx context.Context, w world, s *setup.Setup, region string, yes bool) error {
	question := fmt.Sprintf("This takes queues, topics, alarms, roles and policies of %s in %s away, with all messages on the queues.\n"+
		"Bucket and logs stay. The function is not touched, and cannot work without them.\nType the region to go on: ", s.Name, region)
	return takeAway(ctx, w, s, yes, question, region, "done; bucket and logs are still there")
}

// takeAway removes a stack once the answer to a question has been typed.
func takeAway(ctx context.Context, w world, s *setup.Setup, yes bool, question, answer, done string) error {
	if !yes {
		say(w.out, "%s", question)
		typed, err := bufio.NewReader(w.in).ReadString('\n')
		if strings.TrimSpace(typed) != answer {
			if err != nil {
				say(w.out, "\n")
			}
			return errors.New("nothing was taken away")
		}
	}
	there, err := s.Remove(ctx)
	switch {
	case err != nil:
		return err
	case !there:
		say(w.out, "there is nothing to take away\n")
	default:
		say(w.out, "%s\n", done)
	}
	return nil
}
