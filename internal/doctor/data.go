package doctor

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/internal/journal"
)

const setUp = "run make setup"

// week is the retention that leaves room for any outage; ticks wait for hours.
const week = 7 * 24 * time.Hour

func checkQueues(ctx context.Context, p *Deployment, say teller) {
	messages, err := p.mns()
	if err != nil {
		trouble(say, "the queues", err)
		return
	}
	names := p.queues()
	for _, name := range names {
		q, there, err := messages.Queue(ctx, name)
		switch {
		case err != nil:
			trouble(say, "queue "+name, err)
		case !there:
			say(Wrong, "there is no queue "+name, p.makes(name))
		case q.Retention < week:
			say(Wrong, fmt.Sprintf("queue %s keeps messages for %s, less than 7 days", name, q.Retention), p.makes(name))
		case name != p.DeadLetterQueue && name != p.OutcomesQueue && q.Visibility <= p.timeout():
			say(Wrong, fmt.Sprintf("queue %s hides a message for %s, and the function may run for %s", name, q.Visibility, p.timeout()), p.makes(name))
		}
	}
	say(allWell, strings.Join(names, ", ")+" keep messages for 7 days", "")
}

// queues are the names of all that regild uses, each once.
func (p *Deployment) queues() []string {
	var out []string
	for _, name := range []string{p.RequestQueue, queueOf(p.ControlDoor), queueOf(p.ReleaseDoor), p.DeadLetterQueue, p.OutcomesQueue} {
		if name != "" && !slices.Contains(out, name) {
			out = append(out, name)
		}
	}
	return out
}

// queueOf returns the queue that a door is, or "".
func queueOf(door string) string {
	name, ok := strings.CutPrefix(door, "queues/")
	if !ok {
		return ""
	}
	return name
}

// makes says how to get a queue.
func (p *Deployment) makes(queue string) string {
	if queue == queueOf(p.ControlDoor) || queue == queueOf(p.ReleaseDoor) {
		return "run make setup ARGS='--set Doors=yes', which makes " + p.Function + "-control and " + p.Function + "-releases, or make it by hand"
	}
	return setUp
}

// timeout is the function's, or what s.yaml says when nothing is known of it.
func (p *Deployment) timeout() time.Duration {
	if p.function != nil {
		return time.Duration(p.function.Timeout) * time.Second
	}
	return 280 * time.Second
}

func checkTopics(ctx context.Context, p *Deployment, say teller) {
	messages, err := p.mns()
	if err != nil {
		trouble(say, "the topics", err)
		return
	}
	topics := []string{p.ResultTopic, p.FailureTopic}
	if slices.Contains(p.Triggers, "topic") {
		topics = append([]string{p.RequestTopic}, topics...)
	}
	for _, name := range topics {
		there, err := messages.Topic(ctx, name)
		switch {
		case err != nil:
			trouble(say, "topic "+name, err)
		case !there:
			say(Wrong, "there is no topic "+name, setUp)
		case name != p.RequestTopic:
			p.checkSubscriptions(ctx, messages, name, say)
		}
	}
	say(allWell, "there, with queues behind outcomes and failures", "")
}

// checkSubscriptions says what is wrong with the subscriptions of a topic.
func (p *Deployment) checkSubscriptions(ctx context.Context, messages Messages, name string, say teller) {
	subs, err := messages.Subscriptions(ctx, name)
	if err != nil {
		trouble(say, "the subscriptions of topic "+name, err)
		return
	}
	queues := 0
	for _, s := range subs {
		queue, isQueue := strings.CutPrefix(s.Endpoint, "acs:mns:"+p.Region+":"+p.Account+":")
		if queue = strings.TrimPrefix(strings.TrimPrefix(queue, "/"), "queues/"); !isQueue {
			continue
		}
		queues++
		ours := name == p.ResultTopic && queue == p.OutcomesQueue || name == p.FailureTopic && queue == p.DeadLetterQueue
		if ours && s.Format != "SIMPLIFIED" {
			say(Wrong, fmt.Sprintf("subscription %s of topic %s has format %s; the runbook and the probe read SIMPLIFIED", s.Name, name, s.Format),
				"delete the subscription and "+setUp)
		}
		if ours && s.Tag != "" {
			say(Wrong, fmt.Sprintf("subscription %s of topic %s takes messages with tag %s only", s.Name, name, s.Tag), "delete the subscription and "+setUp)
		}
	}
	if queues == 0 {
		say(Wrong, fmt.Sprintf("topic %s has no queue behind it: its messages are gone after a day", name), setUp)
	}
}

// noJournal says why there is no journal to look at, and reports whether that is so.
func (p *Deployment) noJournal(say teller, what string) bool {
	switch {
	case p.Journal != "":
		return false
	case p.function != nil:
		say(Warning, "the function has no journal, and none is named here", "see docs/guarantees.md for what is left of the promise; make setup makes a journal")
	default:
		say(Unknown, "could not look at "+what+": no journal is named", "run where regild.env is (make setup writes it), or set REGILD_JOURNAL")
	}
	return true
}

func checkBucket(ctx context.Context, p *Deployment, say teller) {
	if p.noJournal(say, "the journal's bucket") {
		return
	}
	b, there, err := p.Bucket(ctx, p.Journal)
	switch {
	case errors.Is(err, journal.ErrNotOSS):
		say(Warning, "the journal is not in Object Storage: "+p.Journal, "a file system must be one that all instances share")
		return
	case err != nil:
		trouble(say, "the journal's bucket", err)
		return
	case !there:
		say(Wrong, "there is no bucket "+b.Name, setUp)
		return
	}
	if b.Region != p.Region {
		say(Wrong, fmt.Sprintf("bucket %s is in %s, the function in %s: the function reaches it by the internal endpoint", b.Name, b.Region, p.Region),
			"make a bucket in "+p.Region)
	}
	if !b.Private {
		say(Wrong, "bucket "+b.Name+" is not private: everybody can read which desktops there are", "set its access control to private")
	}
	if !b.Blocked {
		say(Warning, "public access to bucket "+b.Name+" is not blocked", "block it in the console, or "+setUp)
	}
	if b.WORM != "" {
		say(Wrong, "bucket "+b.Name+" has a retention policy ("+b.WORM+"): appending is refused under it", "use another bucket: --set JournalBucket=name")
	}
	if b.Versioning != "" {
		say(Warning, "versioning of bucket "+b.Name+" is "+strings.ToLower(b.Versioning)+
			": a journal that is overwritten or deleted by hand ends appending, and old versions pile up", "leave it off, or never touch a journal by hand")
	}
	days := 0
	for _, r := range b.Rules {
		if r.Enabled && r.Days > 0 && strings.HasPrefix(b.Prefix, r.Prefix) && (days == 0 || r.Days < days) {
			days = r.Days
		}
	}
	switch {
	case days == 0:
		say(Warning, "no lifecycle rule deletes old journals of bucket "+b.Name, setUp)
	case days < 30:
		say(Wrong, fmt.Sprintf("journals are deleted after %d days: a request that comes again later is a new one, and a rollout may take longer", days),
			"set 180 days, and 30 at least")
	}
	say(allWell, fmt.Sprintf("%s in %s, private, journals kept for %d days", b.Name, b.Region, days), "")
}

// checkJournal tries the two facts that the promise rests on.
func checkJournal(ctx context.Context, p *Deployment, say teller) {
	if p.noJournal(say, "the journal") {
		return
	}
	store, err := p.Store(p.Journal)
	if err != nil {
		say(Wrong, "REGILD_JOURNAL cannot be used: "+err.Error(), "write oss://bucket/prefix")
		return
	}
	key := journal.Key("probe", "doctor-"+p.Token)
	if data, _, err := store.Read(ctx, journal.Key("probe", "absent-"+p.Token), 0); err != nil || len(data) > 0 {
		if err != nil {
			trouble(say, "a journal that is not there", err)
		} else {
			say(Wrong, "a journal that was never written has content", "something stands between here and Object Storage: find it, and do not run a rollout before")
		}
		return
	}
	line := func(who string) []byte {
		return fmt.Appendf(nil, `{"probe":"regild doctor","by":%q,"at":%q}`+"\n", who, p.Now().UTC().Format(time.RFC3339))
	}
	if _, err := store.Append(ctx, key, 0, line("first "+p.Token)); err != nil {
		trouble(say, "the journal (writing "+key+")", err)
		return
	}
	_, err = store.Append(ctx, key, 0, line("second "+p.Token))
	switch {
	case errors.Is(err, journal.ErrMoved):
		say(Good, "a second append at one position is refused, and a missing key reads as missing", "")
	case err == nil:
		say(Wrong, "a second append at one position was taken: two instances could rebuild one desktop",
			"stop the function (regild stop) and do not use this journal")
	default:
		trouble(say, "the journal (appending a second time)", err)
	}
}

// indexed are the keys of message that alarms and searches use.
var indexed = []string{"msg", "status", "code", "type"}

func checkIndex(ctx context.Context, p *Deployment, say teller) {
	if p.LogProject == "" || p.Logstore == "" {
		say(Unknown, "could not look at the log index: no log project is named",
			"run where regild.env is (make setup writes it), or set REGILD_LOG_PROJECT and REGILD_LOGSTORE")
		return
	}
	index, there, err := p.Cloud.LogIndex(ctx, p.LogProject, p.Logstore)
	switch {
	case codeIn(err, "ProjectNotExist", "LogStoreNotExist"):
		say(Wrong, fmt.Sprintf("there is no logstore %s in project %s", p.Logstore, p.LogProject), setUp)
		return
	case err != nil:
		trouble(say, "the log index", err)
		return
	case !there:
		say(Wrong, "the logstore has no index: no search and no alarm works", setUp)
		return
	}
	var missing []string
	if index.Line == nil {
		missing = append(missing, "full text")
	}
	for _, name := range indexed {
		if k, ok := index.Keys["message"].JSONKeys[name]; !ok || !k.DocValue {
			missing = append(missing, "message."+name)
		}
	}
	if len(missing) > 0 {
		say(Wrong, "the index lacks "+strings.Join(missing, ", "), setUp)
		return
	}
	say(Good, "full text and message as JSON", "")
}

func checkAlarms(ctx context.Context, p *Deployment, say teller) {
	rules, err := p.Cloud.AlarmRules(ctx, p.Function+": ")
	switch off := offIn(rules); {
	case err != nil:
		trouble(say, "the alarms of CloudMonitor", err)
	case len(rules) == 0:
		say(Warning, "nobody is woken when messages pile up: there is no alarm of CloudMonitor",
			"make setup ARGS='--set ContactGroup=name', with a contact group of CloudMonitor")
	case len(off) > 0:
		say(Warning, "switched off in CloudMonitor: "+few(off), "switch them on in the console")
	}
	if p.LogProject == "" {
		say(Unknown, "could not look at the alerts on the log: no log project is named",
			"run where regild.env is (make setup writes it), or set REGILD_LOG_PROJECT and REGILD_LOGSTORE")
		return
	}
	alerts, err := p.Cloud.LogAlerts(ctx, p.LogProject)
	missing := slices.DeleteFunc(slices.Clone(p.Alerts), func(name string) bool { _, there := alerts[name]; return there })
	switch off := offIn(alerts); {
	case codeIn(err, "ProjectNotExist"):
		say(Warning, "there are no alerts on the log: there is no project "+p.LogProject, setUp)
	case err != nil:
		trouble(say, "the alerts of Log Service", err)
	case len(missing) > 0:
		say(Warning, "missing in Log Service: "+few(missing), setUp)
	case len(off) > 0:
		say(Warning, "switched off in Log Service: "+few(off), "switch them on in the console")
	}
	say(allWell, fmt.Sprintf("%d rules of CloudMonitor, %d alerts of Log Service", len(rules), len(alerts)), "")
}

// offIn returns the names of what is not on, sorted.
func offIn(on map[string]bool) []string {
	return slices.DeleteFunc(slices.Sorted(maps.Keys(on)), func(name string) bool { return on[name] })
}
