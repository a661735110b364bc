package doctor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/fleet"
)

// Policies are compared as text: who may do what on what, and under which
// condition. What a condition means is RAM's to judge, so that one which
// docs/ram does not have leaves the doctor without an answer.

// A grant is one action on one resource, allowed or denied, under a condition.
type grant struct {
	action, resource string
	condition        string // as JSON with sorted keys; "" without one
	deny             bool
}

// String says what is granted, with its condition.
func (g grant) String() string {
	if g.condition != "" {
		return g.action + " on " + g.resource + " under the condition " + g.condition
	}
	return g.action + " on " + g.resource
}

// checkRole holds trust and policies of the function's role against docs/ram.
func checkRole(ctx context.Context, p *Deployment, say teller) {
	documents, ok := p.role(ctx, p.Role, "fc.aliyuncs.com", say)
	if !ok {
		return
	}
	needs, may, err := p.rights()
	if err == nil {
		var has []grant
		if has, err = grantsOf(documents); err == nil {
			p.compare(needs, may, has, say)
		}
	}
	if err != nil {
		say(Unknown, "could not read the policies of role "+p.Role+": "+err.Error(), "compare them with docs/ram/function.json by hand")
	}
	if p.FleetsErr != nil {
		say(Unknown, "whether a fleet needs what docs/ram/function-extras.json allows is not known", "mend the line on the fleets first")
	}
}

// checkTopicRole looks at the role that Message Service takes for the topic
// trigger. Other triggers of the account may use it, so that it may do more.
func checkTopicRole(ctx context.Context, p *Deployment, say teller) {
	if !slices.ContainsFunc(slices.Concat(p.triggers(), p.requestTriggers()), func(name string) bool { return strings.HasSuffix(name, "topic") }) {
		say(Good, "there is no topic trigger", "")
		return
	}
	if p.Account == "" {
		trouble(say, "the topic trigger's role", errNoAccount)
		return
	}
	documents, ok := p.role(ctx, p.NotificationRole, "mns.aliyuncs.com", say)
	if !ok {
		return
	}
	may, err := p.policy("notification.json")
	if err == nil {
		needs := slices.DeleteFunc(slices.Clone(may), func(g grant) bool { // not of a function that nobody has deployed
			return p.Requests == "" && strings.Contains(g.resource, "functions/"+p.Function+"-requests")
		})
		var has []grant
		if has, err = grantsOf(documents); err == nil {
			p.compare(needs, has, has, say)
		}
	}
	if err != nil {
		say(Unknown, "could not read the policies of role "+p.NotificationRole+": "+err.Error(), "compare them with docs/ram/notification.json by hand")
	}
}

// role looks at a role's trust and returns its policies by name. It reports
// false when there is nothing to compare.
func (p *Deployment) role(ctx context.Context, name, service string, say teller) (map[string]string, bool) {
	trust, err := p.Cloud.Role(ctx, name)
	switch {
	case acs.NotThere(err):
		say(Wrong, "there is no role "+name, setUp)
		return nil, false
	case err != nil:
		trouble(say, "role "+name, err)
		return nil, false
	}
	trusted, conditions, err := principals(trust)
	others := slices.DeleteFunc(slices.Clone(trusted), func(s string) bool { return s == service })
	switch {
	case err != nil:
		say(Unknown, "could not read whom role "+name+" trusts: "+err.Error(), "look at it in the console")
	case !slices.Contains(trusted, service):
		say(Wrong, "role "+name+" does not trust "+service, setUp)
		return nil, false
	case conditions:
		say(Unknown, "role "+name+" trusts under a condition, which the doctor does not judge", "take the condition away, or see for yourself that it holds")
	case len(others) > 0 && name == p.Role:
		say(Warning, "role "+name+" may be taken by others too: "+few(others), "take them out of its trust policy, or "+setUp)
	}
	documents, err := p.Cloud.RolePolicies(ctx, name)
	if err != nil {
		trouble(say, "the policies of role "+name, err)
		return nil, false
	}
	return documents, true
}

// principals returns whom a trust policy lets take the role, and whether it
// does so under a condition.
func principals(trust string) (names []string, conditions bool, err error) {
	var v struct {
		Statement []struct {
			Effect    string
			Principal map[string]any
			Condition map[string]any
		}
	}
	if err := json.Unmarshal([]byte(trust), &v); err != nil {
		return nil, false, err
	}
	for _, s := range v.Statement {
		if s.Effect != "Allow" {
			return nil, false, errors.New("it has a statement that does not allow")
		}
		for _, kind := range slices.Sorted(maps.Keys(s.Principal)) {
			names = append(names, texts(s.Principal[kind])...)
		}
		conditions = conditions || len(s.Condition) > 0
	}
	return names, conditions, nil
}

// rights returns what the function's role needs, and what it may have.
func (p *Deployment) rights() (needs, may []grant, err error) {
	for _, file := range []struct {
		name   string
		needed bool
	}{{"function.json", true}, {"function-extras.json", p.needsExtras()}, {"function-doors.json", p.tickDoor() != ""}} {
		if file.name == "function-doors.json" && !file.needed {
			continue // it would name a queue that is nobody's
		}
		grants, err := p.policy(file.name)
		if err != nil {
			return nil, nil, err
		}
		if may = append(may, grants...); file.needed {
			needs = append(needs, grants...)
		}
	}
	members, err := p.memberGrants()
	return append(needs, members...), append(may, members...), err
}

// tickDoor is the queue that ticks of rollouts go to; "" when that is the
// request queue.
func (p *Deployment) tickDoor() string {
	for _, door := range []string{p.ControlDoor, p.ReleaseDoor} {
		if queue, ok := strings.CutPrefix(door, "queues/"); ok && queue != p.RequestQueue {
			return queue
		}
	}
	return ""
}

// policy returns the grants of a policy of docs/ram, its placeholders filled in,
// without those on what the function does not have, or what is not known.
func (p *Deployment) policy(file string) ([]grant, error) {
	text, err := p.Policies(file)
	if err != nil {
		return nil, err
	}
	grants, err := grantsOf(map[string]string{file: string(text)})
	if err != nil {
		return nil, err
	}
	absent := map[string]bool{"<bucket>": !strings.HasPrefix(p.Journal, "oss://"), "<request-queue>": p.RequestQueue == "", "<log-project>": p.LogProject == ""}
	var out []grant
	for _, g := range grants {
		if slices.ContainsFunc(slices.Collect(maps.Keys(absent)), func(name string) bool { return absent[name] && strings.Contains(g.resource, name) }) {
			continue
		}
		g.resource, g.condition = p.fill(g.resource), p.fill(g.condition)
		out = append(out, g)
	}
	return out, nil
}

// compare says what the role lacks, what it may not have, and what cannot be
// told; or that all is well.
func (p *Deployment) compare(needs, may, has []grant, say teller) {
	var missing, unsure, denied, more []string
	for _, n := range needs {
		switch met, conditional := meets(n, has); {
		case met:
		case conditional != "":
			unsure = append(unsure, conditional)
		default:
			missing = append(missing, n.action+" on "+n.resource)
		}
		for _, h := range has {
			switch denies := h.deny && overlap(strings.ToLower(h.action), strings.ToLower(n.action)) && overlap(h.resource, n.resource); {
			case denies && h.condition != "":
				unsure = append(unsure, "denied: "+h.String())
			case denies:
				denied = append(denied, h.String())
			}
		}
	}
	for _, h := range has {
		unknown := p.Journal == "" && p.function == nil && strings.HasPrefix(h.action, "oss:") ||
			(p.FleetsFile == "" || p.FleetsErr != nil) && h.action == "sts:AssumeRole" // which accounts there are is not known
		if !h.deny && !unknown && !slices.Contains(may, h) {
			more = append(more, p.beyond(h, may))
		}
	}
	say = summing(say)
	tell := func(l Level, what string, list []string, do string) {
		if len(list) > 0 {
			slices.Sort(list)
			say(l, what+few(slices.Compact(list)), do)
		}
	}
	tell(Wrong, "the role may not: ", missing, setUpFor(missing))
	tell(Wrong, "a policy denies what the role needs: ", denied, "take the statement away")
	tell(Unknown, "conditions that docs/ram does not have, and that the doctor does not judge: ", unsure, "compare them with docs/ram by hand, or "+setUp)
	tell(Warning, "the role may more than it needs: ", more, "take it away, or "+setUp)
	say(allWell, "may what it needs, and no more", "")
}

// setUpFor says how the missing rights are given: some are in the stack only if
// they were asked for.
func setUpFor(missing []string) string {
	for _, part := range []struct{ action, set string }{{"ecd:RunCommand", "Extras=yes"}, {"mns:SendMessage", "Doors=yes"}} {
		if slices.ContainsFunc(missing, func(m string) bool { return strings.HasPrefix(m, part.action+" ") }) {
			return fmt.Sprintf("run make setup; if they are missing then still, make setup ARGS='--set %s'", part.set)
		}
	}
	return setUp
}

// meets says whether a need is granted: by a grant without a condition, or with
// the very condition of the need. One with another condition is named.
func meets(n grant, has []grant) (met bool, conditional string) {
	for _, h := range has {
		if h.deny || !covers(strings.ToLower(h.action), strings.ToLower(n.action)) || !covers(h.resource, n.resource) {
			continue
		}
		if h.condition == "" || h.condition == n.condition {
			return true, ""
		}
		conditional = h.String()
	}
	return false, conditional
}

// beyond says of a grant in how far it is more than docs/ram has.
func (p *Deployment) beyond(h grant, may []grant) string {
	for _, m := range may {
		if h.condition == "" && m.condition != "" && h.action == m.action && h.resource == m.resource {
			return h.String() + " without the condition " + m.condition
		}
	}
	return h.String()
}

// needsExtras says whether a fleet uses what function-extras.json allows. Those of
// other accounts do so by their role there, but for alarms.
func (p *Deployment) needsExtras() bool {
	for _, f := range p.Fleets {
		s := f.Strategy
		if f.Account.ID != "" {
			if len(s.Check.Alarms) > 0 {
				return true
			}
			continue
		}
		if s.Maintenance || s.StopFirst || s.Check.Command != "" || s.Notice.Lead > 0 || s.Before.Command != "" || f.Rebuild.KeepSnapshots != "" ||
			s.Sessions.Idle > 0 || s.Snapshot == fleet.SnapshotData || !s.Check.Use.Least.IsZero() || len(s.Check.Alarms) > 0 {
			return true
		}
	}
	return false
}

// fill puts names in the place of a policy's placeholders.
func (p *Deployment) fill(text string) string {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(p.Journal, "oss://"), "/")
	return strings.NewReplacer(
		"<account>", p.Account, "<region>", p.Region, "<function>", p.Function, "<request-queue>", p.RequestQueue,
		"<request-topic>", p.RequestTopic, "<result-topic>", p.ResultTopic, "<failure-topic>", p.FailureTopic,
		"<dead-letter-queue>", p.DeadLetterQueue, "<outcomes-queue>", p.OutcomesQueue, "<bucket>", bucket, "<prefix>", strings.Trim(prefix, "/"),
		"<control-queue>", p.tickDoor(), "<log-project>", p.LogProject, "<logstore>", p.Logstore).Replace(text)
}

// grantsOf reads policies by name.
func grantsOf(documents map[string]string) ([]grant, error) {
	var out []grant
	for _, name := range slices.Sorted(maps.Keys(documents)) {
		var v struct {
			Statement []struct {
				Effect                 string
				Action, Resource       any
				NotAction, NotResource any
				Condition              map[string]map[string]any
			}
		}
		if err := json.Unmarshal([]byte(documents[name]), &v); err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for _, s := range v.Statement {
			if s.NotAction != nil || s.NotResource != nil {
				return nil, fmt.Errorf("%s says NotAction or NotResource, which the doctor does not judge", name)
			}
			for _, action := range texts(s.Action) {
				for _, resource := range texts(s.Resource) {
					out = append(out, grant{action, resource, conditionOf(s.Condition), s.Effect != "Allow"})
				}
			}
		}
	}
	return out, nil
}

// conditionOf returns a condition in one spelling: keys sorted, values as sorted
// lists.
func conditionOf(c map[string]map[string]any) string {
	if len(c) == 0 {
		return ""
	}
	plain := map[string]map[string][]string{}
	for operator, keys := range c {
		plain[operator] = map[string][]string{}
		for key, values := range keys {
			plain[operator][key] = slices.Sorted(slices.Values(texts(values)))
		}
	}
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)                  // placeholders are in angle brackets
	if err := e.Encode(plain); err != nil { // which strings always can be
		return fmt.Sprint(plain)
	}
	return strings.TrimSpace(b.String())
}

func texts(v any) []string {
	switch v := v.(type) {
	case nil:
		return nil
	case []any:
		var out []string
		for _, e := range v {
			out = append(out, fmt.Sprint(e))
		}
		return out
	}
	return []string{fmt.Sprint(v)}
}

// covers says whether a pattern of RAM means all that another one means: * is
// any run of characters, ? is one.
func covers(pattern, name string) bool {
	return match(pattern, name, false, func(p, n byte) bool { return p == n || p == '?' && n != '*' })
}

// overlap says whether there is a name that both patterns mean.
func overlap(a, b string) bool {
	return match(a, b, true, func(x, y byte) bool { return x == y || x == '?' || y == '?' })
}

// match holds a pattern against another one; stars says whether those of b are
// patterns too, or characters. It takes len(a) times len(b) steps.
func match(a, b string, stars bool, same func(x, y byte) bool) bool {
	below := make([]bool, len(b)+1) // the row of a[i+1:], by where in b
	for i := len(a); i >= 0; i-- {
		row := make([]bool, len(b)+1)
		for j := len(b); j >= 0; j-- {
			switch {
			case i == len(a) && j == len(b):
				row[j] = true
			case i < len(a) && a[i] == '*':
				row[j] = below[j] || j < len(b) && row[j+1]
			case stars && j < len(b) && b[j] == '*':
				row[j] = row[j+1] || i < len(a) && below[j]
			default:
				row[j] = i < len(a) && j < len(b) && same(a[i], b[j]) && below[j+1]
			}
		}
		below = row
	}
	return below[0]
}

func few(list []string) string {
	const most = 3
	if len(list) <= most {
		return strings.Join(list, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(list[:most], ", "), len(list)-most)
}
