// Package setup makes everything around the function: it hands the template
// deploy/ros.yaml to Resource Orchestration Service (ROS), follows the stack
// until it is done, and returns the names that s.yaml needs.
//
// A run may follow on any other: it updates a stack that is there, waits for one
// that somebody is working on, and makes anew one whose creation failed. So
// what is left half done is mended by running it again.
package setup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/envfile"
	"github.com/regild/regild/internal/pace"
)

const (
	// defaultPoll is how often the stack is looked at: ROS makes some thirty
	// resources in one to three minutes.
	defaultPoll = 3 * time.Second
	// patience bounds the wait for a stack, and for one that somebody else is
	// working on. ROS itself gives up after 30 minutes.
	patience = 35 * time.Minute
)

// A Setup is one deployment in an account and region. All fields but Set and Poll
// are required.
type Setup struct {
	Cloud     *acs.Client
	AccountID string
	// Name is the function's and the stack's, and what other names begin with.
	Name     string
	Template string
	// Member says that the account is another one than the function's, and the
	// template that of a member: a role, and neither bucket nor log.
	Member bool
	// Set are parameters of the template that somebody has chosen. Those that
	// are not named keep what the stack has, or get the default.
	Set map[string]string
	// Bucket says whether the bucket exists and is the account's own. A member needs
	// none.
	Bucket func(ctx context.Context, name string) (bool, error)
	// Say is told of progress, a line each.
	Say func(line string)
	// Token returns a new token by which ROS knows a repeated call.
	Token func() string
	Poll  time.Duration

	keeping []string // the resources that are kept while the stack is deleted
}

// stack is the stack's name.
func (s *Setup) stack() string {
	if s.Member {
		return s.Name + "-member"
	}
	return s.Name
}

// names are the parameters that depend on account and region.
func (s *Setup) names() map[string]string {
	of := s.AccountID + "-" + s.Cloud.Region()
	return map[string]string{"JournalBucket": s.Name + "-journal-" + of, "LogProject": s.Name + "-" + of}
}

// Fill puts the names that setup would give in the place of the placeholders of
// a policy (docs/ram.md).
func (s *Setup) Fill(policy string) string {
	names := s.names()
	maps.Copy(names, s.Set)
	return strings.NewReplacer(
		"<account>", s.AccountID, "<region>", s.Cloud.Region(), "<function>", s.Name,
		"<request-queue>", s.Name+"-requests", "<request-topic>", s.Name+"-requests", "<result-topic>", s.Name+"-outcomes",
		"<control-queue>", s.Name+"-control", "<release-queue>", s.Name+"-releases", "<failure-topic>", s.Name+"-failures",
		"<dead-letter-queue>", s.Name+"-dead-letters", "<outcomes-queue>", s.Name+"-outcomes",
		"<bucket>", names["JournalBucket"], "<prefix>", cmp.Or(names["JournalPrefix"], "regild"), "<log-project>", names["LogProject"], "<logstore>", "function",
	).Replace(policy)
}

// parameters returns what the template is given: what the stack has, over that
// what is set, and whether bucket and logs are to be made. A stack without
// resources is a new one.
func (s *Setup) parameters(ctx context.Context, stack acs.Stack, made []acs.Resource) (map[string]string, error) {
	out := map[string]string{}
	if !s.Member {
		out = s.names()
	}
	for _, p := range stack.Parameters {
		if !strings.HasPrefix(p.ParameterKey, "ALIYUN::") && !strings.HasPrefix(p.ParameterKey, "Make") {
			out[p.ParameterKey] = p.ParameterValue
		}
	}
	maps.Copy(out, s.Set)
	out["Name"] = s.Name
	if s.Member {
		if out["ExternalId"] == "" {
			out["ExternalId"] = s.Token()
		}
		return out, nil
	}
	has := func(name string) bool {
		return slices.ContainsFunc(made, func(r acs.Resource) bool {
			return r.LogicalResourceID == name && r.Status != "DELETE_COMPLETE" && !strings.HasSuffix(r.Status, "CREATE_FAILED")
		})
	}
	for _, part := range []struct {
		parameter, resource string
		exists              func() (bool, error)
	}{
		{"MakeBucket", "Bucket", func() (bool, error) { return s.Bucket(ctx, out["JournalBucket"]) }},
		{"MakeLogs", "Project", func() (bool, error) { return s.Cloud.LogProject(ctx, out["LogProject"]) }},
	} {
		out[part.parameter] = "yes"
		if has(part.resource) {
			continue
		}
		exists, err := part.exists()
		if err != nil {
			return nil, plain(err, out)
		}
		if exists {
			out[part.parameter] = "no"
		}
	}
	return out, nil
}

// Plan returns what Apply would do, a line a resource that changes.
func (s *Setup) Plan(ctx context.Context) ([]string, error) {
	if err := s.Cloud.ValidateTemplate(ctx, s.Template); err != nil {
		return nil, fmt.Errorf("the template: %w", plain(err, nil))
	}
	stack, made, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	id := stack.ID
	if !hopeless(stack.Status) && earlier(made) {
		return nil, errOld
	}
	if hopeless(stack.Status) {
		id = ""
		made = nil
	}
	parameters, err := s.parameters(ctx, stack, made)
	if err != nil {
		return nil, err
	}
	name := s.stack()
	if stack.ID != "" && id == "" {
		name += "-preview" // the failed one still has the name
	}
	changes, err := s.Cloud.PreviewStack(ctx, id, name, s.Template, parameters)
	if err != nil {
		return nil, plain(err, parameters)
	}
	words := map[string]string{"Add": "make", "Modify": "change", "Remove": "take away"}
	var out []string
	for _, r := range changes {
		word := words[cmp.Or(r.Action, "Add")]
		if word == "" {
			continue // None
		}
		if strings.EqualFold(r.Replacement, "true") {
			word = "make anew"
		}
		out = append(out, fmt.Sprintf("%-10s %-24s %s", word, r.LogicalResourceID, kindOf(r.ResourceType)))
	}
	slices.Sort(out)
	return out, nil
}

// look returns the stack, empty if there is none, and its resources.
func (s *Setup) look(ctx context.Context) (acs.Stack, []acs.Resource, error) {
	stack, there, err := s.Cloud.FindStack(ctx, s.stack())
	if err != nil || !there {
		return acs.Stack{}, nil, plain(err, nil)
	}
	if stack, err = s.Cloud.Stack(ctx, stack.ID); err != nil { // the list has no parameters
		return acs.Stack{}, nil, plain(err, nil)
	}
	made, err := s.Cloud.StackResources(ctx, stack.ID)
	return stack, made, plain(err, nil)
}

// hopeless says whether a stack cannot be updated any more: its creation failed.
func hopeless(status string) bool {
	return strings.HasPrefix(status, "CREATE_") && status != "CREATE_COMPLETE" && !strings.HasSuffix(status, "_IN_PROGRESS") ||
		status == "DELETE_FAILED"
}

// Apply makes or updates the stack and returns it.
func (s *Setup) Apply(ctx context.Context) (acs.Stack, error) {
	none := acs.Stack{}
	if err := s.Cloud.ValidateTemplate(ctx, s.Template); err != nil {
		return none, fmt.Errorf("the template: %w", plain(err, nil))
	}
	stack, made, err := s.usable(ctx)
	if err != nil {
		return none, err
	}
	if earlier(made) {
		return none, errOld
	}
	parameters, err := s.parameters(ctx, stack, made)
	if err != nil {
		return none, err
	}
	id := stack.ID
	if id == "" {
		if id, err = s.Cloud.CreateStack(ctx, s.stack(), s.Template, parameters, s.Token()); err != nil {
			return none, plain(err, parameters)
		}
	} else {
		changed, err := s.Cloud.UpdateStack(ctx, id, s.Template, parameters, s.Token())
		if err != nil {
			return none, plain(err, parameters)
		}
		if !changed {
			s.Say("nothing to change")
		}
	}
	return s.follow(ctx, id, parameters)
}

// usable returns the stack and its resources once it can be updated: it waits for
// one that somebody is working on, and deletes one that is hopeless. Without a stack
// both are empty.
func (s *Setup) usable(ctx context.Context) (acs.Stack, []acs.Resource, error) {
	stack, made, err := s.look(ctx)
	if err != nil {
		return stack, nil, err
	}
	if stack.InProgress() {
		s.Say("somebody is working on the stack (" + stack.Status + "): waiting")
		if stack, err = s.follow(ctx, stack.ID, nil); err != nil {
			return stack, nil, err
		}
		if made, err = s.Cloud.StackResources(ctx, stack.ID); err != nil {
			return stack, nil, plain(err, nil)
		}
	}
	if stack.ID != "" && hopeless(stack.Status) {
		s.Say("an earlier creation failed (" + stack.Status + "): clearing its rest away")
		if err := s.clear(ctx, stack, made); err != nil {
			return stack, nil, err
		}
		stack.ID, made = "", nil
	}
	return stack, made, nil
}

// errOld is that of a stack whose template called bucket and log project by other
// names. Whether an update would keep what it no longer has is not confirmed.
var errOld = errors.New("the stack was made by an earlier build, and an update might delete its bucket and its log: " +
	"run regild setup --remove, which keeps both, and then setup again, which uses them")

func earlier(made []acs.Resource) bool {
	return slices.ContainsFunc(made, func(r acs.Resource) bool {
		return r.LogicalResourceID == "JournalBucket" || r.LogicalResourceID == "LogProject"
	})
}

// follow says what becomes of each resource until the stack is done. A stack
// that ends badly is an error, in plain words, unless parameters is nil: then it is
// somebody else's doing that is waited for.
func (s *Setup) follow(ctx context.Context, id string, parameters map[string]string) (acs.Stack, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	told := map[string]string{}
	for {
		stack, err := s.Cloud.Stack(ctx, id)
		if err != nil {
			return stack, plain(err, parameters)
		}
		resources, err := s.Cloud.StackResources(ctx, id)
		if err != nil {
			return stack, plain(err, parameters)
		}
		s.tell(resources, told)
		if !stack.InProgress() {
			if parameters != nil && (strings.HasSuffix(stack.Status, "_FAILED") || strings.Contains(stack.Status, "ROLLBACK")) {
				return stack, failure(stack, resources)
			}
			return stack, nil
		}
		if err := pace.Sleep(ctx, cmp.Or(s.Poll, defaultPoll)); err != nil {
			return stack, fmt.Errorf("waiting for stack %s: %w; it goes on without us, run setup again to follow it", s.Name, err)
		}
	}
}

// tell says how each resource stands whose status is not the one in told, and
// notes it there.
func (s *Setup) tell(resources []acs.Resource, told map[string]string) {
	for _, r := range resources {
		if told[r.LogicalResourceID] == r.Status {
			continue
		}
		told[r.LogicalResourceID] = r.Status
		word := inWords(r.Status)
		if strings.HasPrefix(r.Status, "DELETE_") && slices.Contains(s.keeping, r.LogicalResourceID) {
			word = "kept"
		}
		s.Say(fmt.Sprintf("%-12s %-24s %s", word, r.LogicalResourceID, kindOf(r.ResourceType)))
	}
}

// failure says why a stack ended badly.
func failure(stack acs.Stack, resources []acs.Resource) error {
	var reasons []string
	for _, r := range resources {
		if strings.HasSuffix(r.Status, "_FAILED") && r.StatusReason != "" {
			reasons = append(reasons, r.LogicalResourceID+": "+reason(r.StatusReason))
		}
	}
	if len(reasons) == 0 {
		reasons = []string{reason(stack.StatusReason)}
	}
	return errors.New(strings.Join(reasons, "\n") + "\nmend that and run setup again: it begins where it must")
}

// kept are the resources that outlive the stack: what was done, and who else may
// use it. The first two are the names that bucket and project had once.
var kept = []string{"JournalBucket", "LogProject", "Bucket", "Project", "Logstore", "LogIndex", "NotificationRole"}

// clear deletes a stack but for what is kept.
func (s *Setup) clear(ctx context.Context, stack acs.Stack, made []acs.Resource) error {
	var keep []string
	for _, r := range made {
		if slices.Contains(kept, r.LogicalResourceID) && r.PhysicalResourceID != "" && r.Status != "DELETE_COMPLETE" &&
			!strings.HasSuffix(r.Status, "CREATE_FAILED") {
			keep = append(keep, r.LogicalResourceID)
		}
	}
	s.keeping = keep
	defer func() { s.keeping = nil }()
	if err := s.Cloud.DeleteStack(ctx, stack.ID, keep); err != nil {
		return plain(err, nil)
	}
	end, err := s.follow(ctx, stack.ID, map[string]string{})
	if err != nil && acs.Code(err) != "StackNotFound" {
		return err
	}
	if err == nil && end.Status != "DELETE_COMPLETE" {
		return fmt.Errorf("the stack is %s: %s", end.Status, reason(end.StatusReason))
	}
	return nil
}

// Remove takes the stack away, but for bucket and logs. It reports false when
// there is none.
func (s *Setup) Remove(ctx context.Context) (bool, error) {
	stack, made, err := s.look(ctx)
	if err != nil || stack.ID == "" {
		return false, err
	}
	return true, s.clear(ctx, stack, made)
}

// Lines are those of regild.env, for a stack that Apply returned.
func (s *Setup) Lines(stack acs.Stack) []envfile.Line {
	out := []envfile.Line{
		{Comment: "Written by regild setup, from the outputs of stack " + s.Name + ". make deploy and the regild command read it; variables of the"},
		{Comment: "environment win over it. Add other settings of the function below. It holds no secret."},
		{Name: "REGILD_NAME", Value: s.Name},
		{Name: "REGILD_ACCOUNT", Value: s.AccountID},
		{Name: "REGILD_REGION", Value: s.Cloud.Region()},
	}
	for _, o := range []struct{ name, output string }{
		{"REGILD_REQUEST_QUEUE", "RequestQueue"}, {"REGILD_CONTROL_QUEUE", "ControlQueue"}, {"REGILD_RELEASE_QUEUE", "ReleaseQueue"},
		{"REGILD_RESULT_TOPIC", "ResultTopic"}, {"REGILD_OUTCOMES_QUEUE", "OutcomesQueue"}, {"REGILD_JOURNAL", "Journal"},
		{"REGILD_LOG_PROJECT", "LogProject"}, {"REGILD_LOGSTORE", "Logstore"},
	} {
		door := o.output == "ControlQueue" || o.output == "ReleaseQueue"
		if value := stack.Output(o.output); value != "" || !door {
			out = append(out, envfile.Line{Name: o.name, Value: value})
		}
	}
	return out
}

// Merge returns lines for a file that has old variables already: those that
// setup does not write stay, behind.
func Merge(lines []envfile.Line, old map[string]string) []envfile.Line {
	for _, name := range slices.Sorted(maps.Keys(old)) {
		if !slices.ContainsFunc(lines, func(l envfile.Line) bool { return l.Name == name }) {
			lines = append(lines, envfile.Line{Name: name, Value: old[name]})
		}
	}
	return lines
}

// kindOf says what a resource type is: ALIYUN::MNS::Queue is "MNS Queue".
func kindOf(resourceType string) string {
	return strings.ReplaceAll(strings.TrimPrefix(resourceType, "ALIYUN::"), "::", " ")
}

func inWords(status string) string {
	words := map[string]string{
		"CREATE_COMPLETE": "made", "UPDATE_COMPLETE": "changed", "DELETE_COMPLETE": "taken away",
		"CREATE_IN_PROGRESS": "making", "UPDATE_IN_PROGRESS": "changing", "DELETE_IN_PROGRESS": "taking away",
		"CREATE_FAILED": "failed", "UPDATE_FAILED": "failed", "DELETE_FAILED": "not removed", "INIT_COMPLETE": "waiting",
	}
	return cmp.Or(words[status], strings.ToLower(status))
}

const notActive = "the product is not activated in this account: activate it in the console (docs/deployment.md, step 1)"

// reasons say what the usual faults of a resource mean, by a word of ROS's own
// reason. The first that matches counts.
var reasons = []struct{ word, say string }{
	{"BucketAlreadyExist", "the bucket's name is taken: choose another with --set JournalBucket=name"},
	{"ProjectAlreadyExist", "the log project's name is taken: choose another with --set LogProject=name"},
	{"QueueAlreadyExist", "there is a queue of this name already, which setup did not make: choose other names with --name, or delete it if nobody needs it"},
	{"TopicAlreadyExist", "there is a topic of this name already, which setup did not make: choose other names with --name, or delete it if nobody needs it"},
	{"EntityAlreadyExists", "there is a role or policy of this name already, which setup did not make, perhaps of a regild in another region (they count " +
		"in all regions): " +
		"choose other names with --name, or delete it if nobody needs it"},
	{"ContactGroup", "CloudMonitor has no such contact group: make it in the console, or leave --set ContactGroup= empty"},
	{"NotOpen", notActive},
	{"NotEnabled", notActive},
	{"NoPermission", "the credentials may not make it: compare them with docs/ram/setup.json"},
	{"Forbidden", "the credentials may not make it: compare them with docs/ram/setup.json"},
	{"AccessDenied", "the credentials may not make it: compare them with docs/ram/setup.json"},
	{"Unauthorized", "the credentials may not make it: compare them with docs/ram/setup.json"},
}

// reason says in plain words why a resource failed; ROS's own words stand behind.
func reason(text string) string {
	for _, r := range reasons {
		if strings.Contains(text, r.word) {
			return r.say + " (" + text + ")"
		}
	}
	return cmp.Or(text, "ROS gives no reason")
}

// plain turns a call's error into a sentence; nil stays nil.
func plain(err error, parameters map[string]string) error {
	switch code := acs.Code(err); {
	case err == nil:
		return nil
	case code == "StackNotFound":
		return err
	case code == "ActionInProgress":
		return errors.New("somebody is working on the stack at this moment: run setup again in a minute")
	case code == "UnknownUserParameter":
		return fmt.Errorf("the template has no such parameter: %w", err)
	case strings.Contains(err.Error(), "GetProject") && acs.Denied(err) && parameters != nil:
		return fmt.Errorf("the log project %s belongs to somebody else, or the credentials may not read it: choose another with --set LogProject=name",
			parameters["LogProject"])
	}
	if acs.Denied(err) && !acs.BadKeys(err) {
		return fmt.Errorf("%s; regild setup --policy setup prints the rights that it takes", acs.Sentence(err))
	}
	return acs.Plain(err)
}
