// Package doctor looks at a deployed regild and says, check by check, whether it
// is set up right, and what to do where it is not.
//
// It reads and changes nothing, but for two marked probes: a log below
// probe/ in the journal, by which the journal's promise is tried, and, when it is
// asked for, a request that is a dry run. What it may not look at it says, with
// the right that is missing: not having looked is no good news.
//
// Every check was run against the local cloud only, each failing once
// (cmd/regild/doctor_test.go); Explain says so.
package doctor

import (
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
	run   func(ctx context.Context, p *Patient, say func(Level, string, string))
}

// Names are what things are called; a Patient has all of them.
type Names struct {
	Function, Role                                  string
	RequestQueue, DeadLetterQueue, OutcomesQueue    string
	RequestTopic, ResultTopic, FailureTopic         string
	Journal, LogProject, Logstore, NotificationRole string
	Triggers                                        []string
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

// A Patient is a deployment, and how to reach it. All fields are required, but
// for Fleets, Zip and Probe.
type Patient struct {
	Names
	Cloud    *acs.Client
	Messages Messages
	Desktops Desktops
	Store    journal.Store
	Bucket   func(ctx context.Context) (journal.Bucket, bool, error)
	// Account is what regild.env says; the doctor asks whose the credentials are.
	Account, Region string
	// Fleets are those of fleets.yaml, and FleetsFile its name; "" without one.
	Fleets     fleet.Fleets
	FleetsFile string
	// Zip is the checksum of the zip that was built here; "" when there is none.
	Zip string
	// Policies returns a policy of docs/ram, placeholders and all.
	Policies func(name string) ([]byte, error)
	// Expected are the function's settings as regild.env has them.
	Expected map[string]string
	Now      func() time.Time
	// Token tells this look from every other one.
	Token string
	// Probe says whether to send the dry run.
	Probe bool

	function *acs.Function // what was read of it; nil: nothing
}

// Run makes every check, in order, and tells each finding as it comes.
func Run(ctx context.Context, p *Patient, tell func(Finding)) {
	for _, c := range Checks() {
		if c.Name == probeName && !p.Probe {
			continue
		}
		c.run(ctx, p, func(l Level, text, do string) {
			tell(Finding{Check: c.Name, Level: l, Text: text, Do: do}.withRight(c))
		})
	}
}

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
func trouble(say func(Level, string, string), what string, err error) {
	if e, ok := errors.AsType[*desktop.CallError](err); ok && e.Delivery == desktop.Forbidden {
		say(Unknown, deniedMark+rightOf(e.Call)+deniedMark+"could not look at "+what+": "+acs.Sentence(err), "")
		return
	}
	say(Unknown, "could not look at "+what+": "+acs.Sentence(err), "try again; if it stays so, mend what the sentence names")
}

// rightOf names the action that RAM asks for where it is not the call's own name.
func rightOf(call string) string {
	switch call {
	case "AppendObject":
		return "PutObject"
	case "BatchReceiveMessage":
		return "ReceiveMessage"
	case "BatchDeleteMessage":
		return "DeleteMessage"
	}
	return call
}

// Worst returns the exit code's question: is anything wrong, or not looked at?
func Worst(findings []Finding) (wrong, unknown, warnings int) {
	for _, f := range findings {
		switch f.Level {
		case Wrong:
			wrong++
		case Unknown:
			unknown++
		case Warning:
			warnings++
		case Good:
		}
	}
	return wrong, unknown, warnings
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
		{"function", "runtime, handler, role, timeout and settings of the function", []string{"fc:GetFunction"}, checkFunction},
		{"code", "the checksum of the deployed zip beside target/regild.zip", []string{"fc:GetFunction"}, checkCode},
		{"triggers", "the four triggers, and whether the queue's stream is on", []string{"fc:GetTrigger"}, checkTriggers},
		{"concurrency", "the kill switch: is the function stopped?", []string{"fc:GetConcurrencyConfig"}, checkConcurrency},
		{"failures", "where asynchronous invocations go that fail for good", []string{"fc:GetAsyncInvokeConfig"}, checkAsync},
		{"role", "trust and policies of the function's role: what it calls, and no more", []string{"ram:GetRole", "ram:ListPoliciesForRole", "ram:GetPolicyVersion"}, checkRole},
		{"linked roles", "the service-linked roles of EventBridge that the triggers need", []string{"eventbridge:CheckServiceLinkedRoleForProduct"}, checkLinked},
		{"queues", "retention and visibility timeout of the queues", []string{"mns:GetQueueAttributes"}, checkQueues},
		{"topics", "the topics, and that outcomes and failures reach queues in a form that can be read", []string{"mns:GetTopicAttributes", "mns:ListSubscriptionByTopic", "mns:GetSubscriptionAttributes"}, checkTopics},
		{"bucket", "region, access, retention policy, versioning and lifecycle of the journal's bucket", []string{"oss:GetBucketInfo", "oss:GetBucketWorm", "oss:GetBucketLifecycle"}, checkBucket},
		{"journal", "that the journal's promise holds: a second append at position 0 is refused, and a missing key reads as missing; writes one log below probe/", []string{"oss:PutObject", "oss:GetObject"}, checkJournal},
		{"log index", "the index of the logstore, without which no search and no alarm works", []string{"log:GetIndex"}, checkIndex},
		{"alarms", "CloudMonitor's alarm rules of regild", []string{"cms:DescribeMetricRuleList"}, checkAlarms},
		{"fleets", "for each fleet how many desktops and images it means today, and what of it is wide open", []string{"ecd:DescribeDesktops", "ecd:ListTagResources", "ecd:DescribeImages"}, checkFleets},
		{probeName, "with --probe: sends a dry run through queue, function and topic, and waits for its outcome; it takes messages from the outcomes queue and deletes only its own", []string{"mns:SendMessage", "mns:ReceiveMessage", "mns:DeleteMessage"}, checkProbe},
	}
}

func checkAccount(ctx context.Context, p *Patient, say func(Level, string, string)) {
	who, err := p.Cloud.Identity(ctx)
	switch {
	case err != nil:
		trouble(say, "the account", err)
	case p.Account != "" && who.AccountID != p.Account:
		say(Wrong, fmt.Sprintf("the credentials are of account %s, regild.env is of %s", who.AccountID, p.Account), "use credentials of that account, or the regild.env of this one")
	default:
		say(Good, fmt.Sprintf("account %s, region %s", who.AccountID, p.Region), "")
		p.Account = who.AccountID
		p.Cloud.SetAccount(who.AccountID)
	}
}

// maxSkew is far below the 15 minutes at which services refuse calls, and the
// 15 seconds that instances' clocks may differ by.
const maxSkew = 10 * time.Second

func checkClock(ctx context.Context, p *Patient, say func(Level, string, string)) {
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
