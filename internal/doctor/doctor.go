// Package doctor looks at a deployed regild and says, check by check, whether it
// is set up right, and what to do where it is not.
//
// It reads and changes nothing, but for two marked probes: a log below
// probe/ in the journal, by which the journal's promise is tried, and, when it is
// asked for, a request that is a dry run. What it may not look at it says, with
// the right that is missing: not to have looked is not to have found all well.
//
// Every check was run against the local cloud only, each failing once
// (cmd/regild/doctor_test.go); Explain says so.
package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/mns"
)

// A Level says how a finding is.
type Level string

// The levels. Unknown is what could not be looked at.
const (
	Good    Level = "good"
	Warning Level = "warning"
	Wrong   Level = "wrong"
	Unknown Level = "unknown"
)

// allWell is the level of what a check says when it has seen all there is: it is
// Good, and left out if the check has said anything else.
const allWell Level = ""

// A teller takes what a check says: how it is, a text, and what to do.
type teller func(level Level, text, do string)

// A Finding is one line of the report.
type Finding struct {
	Check string `json:"check"`
	Level Level  `json:"level"`
	Text  string `json:"text"`
	// Do says what to do; "" when all is well.
	Do string `json:"do,omitempty"`
	// Right is the RAM action that was missing, of a finding that is unknown.
	Right string `json:"right,omitempty"`
}

// A Check looks at one thing.
type Check struct {
	Name  string   // one or two words
	Looks string   // what it looks at and why, a sentence
	Calls []string // the RAM actions of the calls that it makes
	run   func(ctx context.Context, p *Deployment, say teller)
}

// Names are what things are called. RequestQueue, ResultTopic, Journal and the
// doors may be empty: the doctor then takes what the function has.
type Names struct {
	Function, Role                               string
	RequestQueue, DeadLetterQueue, OutcomesQueue string
	RequestTopic, ResultTopic, FailureTopic      string
	// ControlDoor and ReleaseDoor are queues/NAME or topics/NAME; "" without one.
	ControlDoor, ReleaseDoor                        string
	Journal, LogProject, Logstore, NotificationRole string
	// Triggers are those of s.yaml but for the doors'. Without topic among them,
	// nothing is asked of the request topic.
	Triggers []string
	// Requests is the function that requests have to themselves, and RequestTriggers
	// which of the triggers are its; "" where there is one function for all.
	Requests        string
	RequestTriggers []string
	Alerts          []string // of Log Service, that there must be
}

// Messages is what the doctor asks of Message Service.
type Messages interface {
	Queue(ctx context.Context, name string) (mns.Queue, bool, error)
	Topic(ctx context.Context, name string) (bool, error)
	Subscriptions(ctx context.Context, topic string) ([]mns.Subscription, error)
	Send(ctx context.Context, queue string, body []byte, delay time.Duration) (string, error)
	Receive(ctx context.Context, queue string, most int, wait time.Duration) ([]mns.Received, error)
	Delete(ctx context.Context, queue string, handles []string) error
}

// Desktops is what the doctor asks of ECD.
type Desktops interface {
	Select(ctx context.Context, region string, s desktop.Selector) ([]desktop.Desktop, error)
	Tags(ctx context.Context, region string, ids []string) (map[string]map[string]string, error)
	AllImages(ctx context.Context, region string) ([]desktop.Image, error)
}

// Alarms is what the doctor asks of CloudMonitor about fleets.
type Alarms interface {
	Alarms(ctx context.Context, name string) ([]desktop.Alarm, error)
}

// A Deployment is what is looked at, and how to reach it. All fields are required, but
// for Account, Fleets, Zip, their errors, FileRegion and Probe.
type Deployment struct {
	Names
	Cloud *acs.Client
	// These open a service when a check needs it: the account, or the journal's
	// URL, may only be known after a look at something else.
	Messages func(account string) (Messages, error)
	Desktops func() (Desktops, error)
	Alarms   func(region string) (Alarms, error)
	// Member takes the role in another account that fleets.yaml names.
	Member func(ctx context.Context, a fleet.Account) (Member, error)
	Store  func(url string) (journal.Store, error)
	Bucket func(ctx context.Context, url string) (journal.Bucket, bool, error)
	// Account is what regild.env says; the doctor asks whose the credentials are.
	Account, Region string
	// FileRegion is the region that regild.env says, which something else may
	// have overruled; "" without one.
	FileRegion string
	// Fleets are those of fleets.yaml, and FleetsFile its name; "" without one.
	// FleetsErr says why the file could not be read.
	Fleets     fleet.Fleets
	FleetsFile string
	FleetsErr  error
	// Zip is the checksum of the zip that was built here; "" when there is none.
	// ZipErr says why it could not be read.
	Zip    string
	ZipErr error
	// Policies returns a policy of docs/ram, placeholders and all.
	Policies func(name string) ([]byte, error)
	// Expected are the function's settings as regild.env has them.
	Expected map[string]string
	Now      func() time.Time
	// Token tells this look from every other one.
	Token string
	// Probe says whether to send the dry run, and ProbeLimit how long to wait for
	// its outcome; 0: 2 minutes.
	Probe      bool
	ProbeLimit time.Duration

	function *acs.Function // what was read of it; nil: nothing
	shared   *shared       // what checks have opened
	absent   bool          // there is no function
	hopeless bool          // the credentials are none, or not valid
	doorless bool          // the function has no triggers of doors
}

// summing leaves out an allWell that follows on something else.
func summing(say teller) teller {
	said := false
	return func(l Level, text, do string) {
		switch {
		case l != allWell:
			said = true
			say(l, text, do)
		case !said:
			say(Good, text, do)
		}
	}
}

// ofAccount makes a check only where the account is known: nothing is found without.
func ofAccount(what string, run func(context.Context, *Deployment, teller)) func(context.Context, *Deployment, teller) {
	return func(ctx context.Context, p *Deployment, say teller) {
		if p.Account == "" {
			trouble(say, what, errNoAccount)
			return
		}
		run(ctx, p, say)
	}
}

// learn fills in the names that nobody gave: from the function's environment,
// or as setup would have them when nothing is known of the function.
func (p *Deployment) learn(env map[string]string) {
	for _, n := range []struct {
		name      *string
		setting   string
		otherwise string
	}{
		{&p.RequestQueue, "REGILD_REQUEST_QUEUE", p.Function + "-requests"}, {&p.ResultTopic, "REGILD_RESULT_TOPIC", p.Function + "-outcomes"},
		{&p.Journal, "REGILD_JOURNAL", ""},
		{&p.ControlDoor, "REGILD_CONTROL_QUEUE", ""}, {&p.ReleaseDoor, "REGILD_RELEASE_QUEUE", ""},
	} {
		if *n.name != "" {
			continue
		}
		if *n.name = strings.TrimSpace(env[n.setting]); *n.name == "" && p.function == nil {
			*n.name = n.otherwise
		}
	}
	if p.LogProject == "" && p.function != nil {
		p.LogProject, p.Logstore = p.function.LogConfig.Project, p.function.LogConfig.Logstore
	}
	p.ControlDoor, p.ReleaseDoor = Door(p.ControlDoor), Door(p.ReleaseDoor)
}

// Door returns what a setting names as queues/NAME or topics/NAME: a plain name
// is that of a queue.
func Door(setting string) string {
	if setting == "" || strings.Contains(setting, "/") {
		return setting
	}
	return "queues/" + setting
}

// mns opens Message Service.
func (p *Deployment) mns() (Messages, error) {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	if p.shared.messages != nil {
		return p.shared.messages, nil
	}
	if p.Account == "" {
		return nil, errNoAccount
	}
	m, err := p.Messages(p.Account)
	if err == nil {
		p.shared.messages = m
	}
	return m, err
}

var errNoAccount = errors.New("the account is not known")

// deniedMark stands before the call's name in a finding of what may not be read.
const deniedMark = "\x00"

// withRight moves the call that was refused from the text into Right.
func (f Finding) withRight(c Check) Finding {
	call, text, ok := strings.Cut(strings.TrimPrefix(f.Text, deniedMark), deniedMark)
	if !strings.HasPrefix(f.Text, deniedMark) || !ok {
		return f
	}
	f.Text, f.Right = text, call
	for _, action := range c.Calls {
		if strings.HasSuffix(action, ":"+call) {
			f.Right = action
		}
	}
	f.Do = "give the doctor the right " + f.Right + " (docs/ram/doctor.json)"
	return f
}

// trouble reports an error of a call: a right that is missing, or anything else.
func trouble(say teller, what string, err error) {
	if errors.Is(err, errNoAccount) {
		say(Unknown, "could not look at "+what+": "+errNoAccount.Error(), "mend the line on the account, or give --account")
		return
	}
	if e, ok := errors.AsType[*desktop.CallError](err); ok && e.Delivery == desktop.Forbidden {
		say(Unknown, deniedMark+cmp.Or(rightOf[e.Call], e.Call)+deniedMark+"could not look at "+what+": "+acs.Sentence(err), "")
		return
	}
	say(Unknown, "could not look at "+what+": "+acs.Sentence(err), "try again; if it stays so, mend what the sentence names")
}

// rightOf has the actions that RAM asks for where they are not the call's own name.
var rightOf = map[string]string{"AppendObject": "PutObject", "BatchReceiveMessage": "ReceiveMessage", "BatchDeleteMessage": "DeleteMessage"}

// Worst returns the exit code's question: is anything wrong, or not looked at?
func Worst(findings []Finding) (wrong, unknown, warnings int) {
	n := map[Level]int{}
	for _, f := range findings {
		n[f.Level]++
	}
	return n[Wrong], n[Unknown], n[Warning]
}

// Explain says of each check what it looks at and what it needs.
func Explain() []string {
	out := []string{"Every check below was run against the local cloud's stand-ins only, and never against a live account: where the live service",
		"answers otherwise, believe the service, and tell us.", ""}
	for _, c := range Checks() {
		out = append(out, c.Name, "  looks at  "+c.Looks, "  calls     "+strings.Join(c.Calls, ", "), "  seen      against stand-ins only", "")
	}
	return out
}

// Checks returns every check, in the order in which they are made.
func Checks() []Check {
	return []Check{
		{"account", "whose the credentials are, and in which region the names of regild.env lie", []string{"sts:GetCallerIdentity"}, checkAccount},
		{"clock", "this machine's clock beside a service's: calls are refused when it is 15 minutes off", []string{"sts:GetCallerIdentity"}, checkClock},
		{"function", "runtime, handler, role, timeout and settings of the function, beside regild.env", []string{"fc:GetFunction"}, checkFunction},
		{"code", "the checksum of the deployed zip beside target/regild.zip", []string{"fc:GetFunction"}, checkCode},
		{"triggers", "the triggers, those of doors included: is each stream on, does it read the right queue, and does the platform write the outermost " +
			"layer?", []string{"fc:GetTrigger"}, ofAccount("the triggers", checkTriggers)},
		{"concurrency", "the kill switch: is the function stopped?", []string{"fc:GetConcurrencyConfig"}, ofAccount("the concurrency", checkConcurrency)},
		{"failures", "where asynchronous invocations go that fail for good", []string{"fc:GetAsyncInvokeConfig"},
			ofAccount("the asynchronous configuration", checkAsync)},
		{"role", "trust and policies of the function's role: what it calls, under which conditions, and no more; what denies it",
			[]string{"ram:GetRole", "ram:ListPoliciesForRole", "ram:GetPolicyVersion"}, ofAccount("the role", checkRole)},
		{"topic role", "trust and policies of the role that Message Service takes to invoke the function",
			[]string{"ram:GetRole", "ram:ListPoliciesForRole", "ram:GetPolicyVersion"}, checkTopicRole},
		{"linked roles", "the service-linked roles of EventBridge that the triggers need", []string{"eventbridge:CheckServiceLinkedRoleForProduct"}, checkLinked},
		{"queues", "retention and visibility timeout of the queues", []string{"mns:GetQueueAttributes"}, checkQueues},
		{"doors", "whether control messages and releases have queues of their own, and whether these separate anything", []string{"fc:GetFunction"}, checkDoors},
		{"shares", "the function that requests have to themselves, if they have one: is it the other's like, and has the other none of its triggers?",
			[]string{"fc:GetFunction", "fc:GetTrigger", "fc:GetConcurrencyConfig", "fc:GetAsyncInvokeConfig"}, checkShares},
		{"topics", "the topics, and that outcomes and failures reach queues in a form that can be read",
			[]string{"mns:GetTopicAttributes", "mns:ListSubscriptionByTopic", "mns:GetSubscriptionAttributes"}, checkTopics},
		{"bucket", "region, access, retention policy, versioning and lifecycle of the journal's bucket", []string{"oss:GetBucketInfo", "oss:GetBucketWorm",
			"oss:GetBucketLifecycle"}, checkBucket},
		{"journal", "that the journal's promise holds: a second append at position 0 is refused, and a missing key reads as missing; " +
			"writes one log below probe/", []string{"oss:PutObject", "oss:GetObject"}, checkJournal},
		{"log index", "the index of the logstore, without which no search and no alarm works", []string{"log:GetIndex"}, checkIndex},
		{"alarms", "CloudMonitor's alarm rules of regild, and Log Service's alerts: is anybody woken?",
			[]string{"cms:DescribeMetricRuleList", "log:ListJobs"}, checkAlarms},
		{"accounts", "for each other account of fleets.yaml: can its role be taken, is it of that account, and may it read desktops there?",
			[]string{"sts:AssumeRole", "sts:GetCallerIdentity", "ecd:DescribeDesktops"}, checkAccounts},
		{"fleets", "for each fleet how many desktops it has and which images it follows today, whether its region is allowed, whether the alarms that it " +
			"names are there, and what of it is wide open", []string{"ecd:DescribeDesktops", "ecd:ListTagResources", "ecd:DescribeImages",
			"cms:DescribeMetricRuleList"}, checkFleets},
		{probeName, "with --probe: sends a dry run through queue, function and topic, one for each account, and waits for its outcome; " +
			"it takes messages from the outcomes queue and deletes only its own", []string{"mns:SendMessage", "mns:ReceiveMessage", "mns:DeleteMessage"}, checkProbe},
	}
}

func checkAccount(ctx context.Context, p *Deployment, say teller) {
	who, err := p.Cloud.Identity(ctx)
	switch {
	case acs.BadKeys(err):
		p.hopeless = true
		say(Wrong, acs.Sentence(err), "give credentials with the rights of docs/ram/doctor.json")
		return
	case err != nil:
		trouble(say, "the account", err)
		return
	case p.Account != "" && who.AccountID != p.Account:
		say(Wrong, fmt.Sprintf("the credentials are of account %s, regild.env is of %s", who.AccountID, p.Account),
			"use credentials of that account, or the regild.env of this one")
		return
	case p.FileRegion != "" && p.FileRegion != p.Region:
		say(Warning, fmt.Sprintf("looking at region %s, and regild.env is of %s", p.Region, p.FileRegion),
			"take --region or REGILD_REGION away, or name the regild.env of that region (--env-file)")
	default:
		say(Good, fmt.Sprintf("account %s, region %s", who.AccountID, p.Region), "")
	}
	p.Account = who.AccountID
	p.Cloud.SetAccount(who.AccountID)
}

// maxSkew is far below the 15 minutes at which services refuse calls, and the
// 15 seconds that instances' clocks may differ by.
const maxSkew = 10 * time.Second

func checkClock(ctx context.Context, p *Deployment, say teller) {
	at, err := p.Cloud.Time(ctx)
	skew := p.Now().Sub(at).Round(time.Second).Abs()
	switch {
	case err != nil:
		trouble(say, "the clock", err)
	case at.IsZero():
		say(Unknown, "the service does not tell the time", "compare this machine's clock with another one")
	case skew > maxSkew:
		say(Wrong, fmt.Sprintf("this machine's clock is %s off", skew), "set it: calls are refused from 15 minutes on, and regild.env may come from elsewhere")
	default:
		say(Good, fmt.Sprintf("within %s of the service's", maxSkew), "")
	}
}
