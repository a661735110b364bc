package main

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/pflag"

	"github.com/regild/regild/deploy"
	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/envfile"
	"github.com/regild/regild/internal/fleet"
)

// accountFlags say which account and region a command works on. What is not
// given comes from the environment, then from regild.env.
type accountFlags struct {
	file, region, account, endpoint string
	name                            string // of the deployment: the function's
	fileRegion                      string // what regild.env says; "" without one
	// lenient goes on without a regild.env that cannot be read: the kill switch
	// must not depend on it.
	lenient bool
}

func (f *accountFlags) define(fs *pflag.FlagSet) {
	fs.StringVar(&f.file, "env-file", envfile.Default, "read names from this `file`, which regild setup writes")
	fs.StringVar(&f.region, "region", "", "the `region` of the function; by default REGILD_REGION")
	fs.StringVar(&f.account, "account", "", "the account's `id`; by default REGILD_ACCOUNT, or the credentials' own")
	fs.StringVar(&f.endpoint, "endpoint", "", "reach every control API at this `URL`, such as a local cloud's")
}

// open returns a client for the account, and what looks a variable up in environment and file.
func (f *accountFlags) open(w world) (client *acs.Client, get func(name string) string, err error) {
	file, err := envfile.Read(f.file)
	switch {
	case err != nil && f.lenient:
		say(w.err, "going on without %s: %v\n", f.file, err)
		file = nil
	case err != nil:
		return nil, nil, err
	}
	lookup := envfile.Over(file, w.lookup)
	get = func(name string) string { v, _ := lookup(name); return v }
	f.fileRegion = file["REGILD_REGION"]
	f.region = cmp.Or(f.region, get("REGILD_REGION"))
	f.account = cmp.Or(f.account, get("REGILD_ACCOUNT"))
	f.name = cmp.Or(f.name, get("REGILD_NAME"), deploy.Name)
	if f.region == "" {
		return nil, nil, usageError{fmt.Errorf("no region: give --region, or set REGILD_REGION, or run where %s is", f.file)}
	}
	client, err = acs.New(acs.Config{Region: f.region, AccountID: f.account, Endpoint: f.endpoint, Keys: w.keys})
	return client, get, err
}

// known fills in the account, from the credentials if nothing else names it.
func (f *accountFlags) known(ctx context.Context, client *acs.Client) error {
	if f.account == "" {
		who, err := client.Identity(ctx)
		if err != nil {
			return acs.Plain(err)
		}
		f.account = who.AccountID
		client.SetAccount(f.account)
	}
	return nil
}

// ready returns a client that knows its account.
func (f *accountFlags) ready(ctx context.Context, w world) (*acs.Client, error) {
	client, _, err := f.open(w)
	if err != nil {
		return nil, err
	}
	return client, f.known(ctx, client)
}

// lookOnly is the session policy with which the operator's command takes a role.
const lookOnly = `{"Version":"1","Statement":[{"Effect":"Allow","Action":` +
	`["ecd:DescribeDesktops","ecd:DescribeImages","ecd:DescribeSnapshots","ecd:ListTagResources"],"Resource":"*"}]}`

// lookInto takes the role in another account, for 15 minutes, to look and no more, and returns
// a source of its credentials. ActionTrail there shows the session.
func lookInto(ctx context.Context, sts *acs.Client, a fleet.Account, session string) (func(context.Context) (credentials.Keys, error), error) {
	keys, _, err := sts.AssumeRole(ctx, acs.AssumeRole{ARN: a.RoleARN(), Session: session, Policy: lookOnly, ExternalID: a.ExternalID, Seconds: 900})
	return func(context.Context) (credentials.Keys, error) { return keys, nil }, err
}
