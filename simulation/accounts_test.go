package simulation

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// The world knows a desktop of another account by its id and the account, so that all
// that is judged by ids tells the two apart. On the wire, and in the journal, its id is
// the one that a desktop of the own account has.
const member = "2000000000000002"

func inner(account, id string) string {
	if account == "" {
		return id
	}
	return id + "~" + account
}

func inners(account string, ids []string) []string {
	if account == "" {
		return ids
	}
	out := make([]string, len(ids))
	for i, id := range ids {
		out[i] = inner(account, id)
	}
	return out
}

func outer(id string) string {
	id, _, _ = strings.Cut(id, "~")
	return id
}

func accountOf(id string) string {
	_, account, _ := strings.Cut(id, "~")
	return account
}

// idsOf are the ids of an account's desktops.
func (w *world) idsOf(account string) []string {
	if w.s.Profile != accountsProfile.name {
		return w.ids
	}
	return slices.DeleteFunc(slices.Clone(w.ids), func(id string) bool { return accountOf(id) != account })
}

// placed gives the desktops of a record the names that the world has for them.
func (w *world) placed(key string, r *record) {
	account := ""
	if k := w.byKey[key]; k != nil {
		account = k.account
	} else if r.Operation != nil {
		account = r.Operation.AccountID
	}
	if account == "" {
		return
	}
	r.Desktops = inners(account, r.Desktops)
	for i := range r.Outcomes {
		r.Outcomes[i].Desktops = inners(account, r.Outcomes[i].Desktops)
	}
	if w := r.Operation; w != nil {
		w.Desktops = inners(account, w.Desktops)
		for image, ids := range w.Back {
			w.Back[image] = inners(account, ids)
		}
	}
}

// elsewhere is ECD in another account. From time to time its role cannot be assumed.
type elsewhere struct {
	*ecd
	account string
}

var _ handler.ECD = (*elsewhere)(nil)

// servicesOf returns the services of another account.
func (w *world) servicesOf(a fleet.Account) handler.Services {
	return handler.Services{ECD: &elsewhere{&ecd{w}, a.ID}}
}

// refused is what comes of every call while the role cannot be assumed. No call of an
// account is made when none may be.
func (e *elsewhere) refused() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if r := e.s.Refused; r.Till > r.From && !time.Now().Before(e.at(r.From)) && time.Now().Before(e.at(r.Till)) {
		return &desktop.CallError{Call: "AssumeRole", Delivery: desktop.Forbidden, Code: e.spoken("NoPermission"), Message: "the role cannot be assumed"}
	}
	return nil
}

func (e *elsewhere) Rebuild(ctx context.Context, b desktop.Batch) (desktop.Answer, error) {
	if err := e.refused(); err != nil {
		return desktop.Answer{}, err
	}
	if b.AccountID != e.account {
		e.mu.Lock()
		e.breaks(wrongAccount, "a call for account %q is made in %s", b.AccountID, e.account)
		e.mu.Unlock()
	}
	b.IDs = inners(e.account, b.IDs)
	a, err := e.ecd.Rebuild(ctx, b)
	for i := range a.Results {
		a.Results[i].DesktopID = outer(a.Results[i].DesktopID)
	}
	return a, err
}

// outside shows desktops as ECD does, which does not say whose they are.
func outside(list []desktop.Desktop, err error) ([]desktop.Desktop, error) {
	for i := range list {
		list[i].ID, list[i].AccountID = outer(list[i].ID), ""
	}
	return list, err
}

func (e *elsewhere) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	if err := e.refused(); err != nil {
		return nil, err
	}
	return outside(e.ecd.Desktops(ctx, region, inners(e.account, ids)))
}

func (e *elsewhere) Select(ctx context.Context, region string, s desktop.Selector) ([]desktop.Desktop, error) {
	if err := e.refused(); err != nil {
		return nil, err
	}
	s.IDs = inners(e.account, s.IDs)
	return outside(e.selects(ctx, region, s, e.account))
}

func (e *elsewhere) Tags(ctx context.Context, region string, ids []string) (map[string]map[string]string, error) {
	if err := e.refused(); err != nil {
		return nil, err
	}
	got, err := e.ecd.Tags(ctx, region, inners(e.account, ids))
	out := map[string]map[string]string{}
	for id, tags := range got {
		out[outer(id)] = tags
	}
	return out, err
}

func (e *elsewhere) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	if err := e.refused(); err != nil {
		return nil, err
	}
	return e.ecd.Images(ctx, region, ids)
}

func (e *elsewhere) ImagesNamed(ctx context.Context, region, name string) ([]desktop.Image, error) {
	if err := e.refused(); err != nil {
		return nil, err
	}
	return e.ecd.ImagesNamed(ctx, region, name)
}

func (e *elsewhere) Changes(ctx context.Context, region, id string) ([]desktop.Change, error) {
	if err := e.refused(); err != nil {
		return nil, err
	}
	list, err := e.ecd.Changes(ctx, region, inner(e.account, id))
	for i := range list {
		list[i].DesktopID = outer(list[i].DesktopID)
	}
	return list, err
}

func (e *elsewhere) Maintain(ctx context.Context, region string, ids []string, on bool) error {
	if err := e.refused(); err != nil {
		return err
	}
	return e.ecd.Maintain(ctx, region, inners(e.account, ids), on)
}

func (e *elsewhere) Stop(ctx context.Context, region string, ids []string) error {
	if err := e.refused(); err != nil {
		return err
	}
	return e.ecd.Stop(ctx, region, inners(e.account, ids))
}

func (e *elsewhere) Start(ctx context.Context, region string, ids []string) error {
	if err := e.refused(); err != nil {
		return err
	}
	return e.ecd.Start(ctx, region, inners(e.account, ids))
}

func (e *elsewhere) Run(ctx context.Context, region string, ids []string, command, kind string, timeout time.Duration) ([]string, error) {
	if err := e.refused(); err != nil {
		return nil, err
	}
	return e.ecd.Run(ctx, region, inners(e.account, ids), command, kind, timeout)
}

func (e *elsewhere) Invocations(ctx context.Context, region, id string) ([]desktop.Invocation, error) {
	if err := e.refused(); err != nil {
		return nil, err
	}
	list, err := e.ecd.Invocations(ctx, region, id)
	for i := range list {
		list[i].DesktopID = outer(list[i].DesktopID)
	}
	return list, err
}

// A refusalPlan is a time in which the role of the other account cannot be assumed.
type refusalPlan struct{ From, Till span }

// accountsShare is of how many schedules one has two accounts.
const accountsShare = 25

var accountsProfile = profile{"accounts", 1, accounts}

// accounts are the same ids in two accounts, requests and releases for both, and a role
// that cannot be assumed for a while.
func accounts(s *schedule, d *dice) {
	s.Rebuild, s.Shift, s.Window, s.Brief = 30*minute, hour, pick(d, 0, second, 30*second), true
	if d.one(2) {
		s.Refused.From = pick(d, 0, 0, d.between(0, hour))
		s.Refused.Till = s.Refused.From + d.between(minute, 5*hour)
	}
	ids := desktops(s, d, 1+d.n(3), true)
	for _, p := range slices.Clone(s.Desktops) {
		other := p
		other.ID = inner(member, p.ID)
		other.Takes = d.between(20*second, 2*minute)
		if d.one(3) {
			other.Image, other.User, other.Group = pick(d, "m-old", "m-new1"), "", ""
		}
		s.Desktops = append(s.Desktops, other)
	}
	options := strategy(d)
	options["sessions"] = pick(d, "{policy: skip}", "{policy: force}")
	options["waves"], options["approval"], options["soak"], options["windows"] = pick(d, `[]`, `["50%"]`), "none", "0s", ""
	options["check"] = pick(d, "{stable: 0s}", "{stable: 0s}", `{stable: 0s, command: "exit 0"}`)
	one := fleetYAML("own", "select: all", optionLines(options, "requests: true")...)
	two := strings.TrimPrefix(fleetYAML("theirs", "select: all", optionLines(options, "requests: true", "account: tools")...), "fleets:\n")
	s.Fleets = []fleetsFile{{YAML: fmt.Sprintf("accounts:\n  - {name: tools, id: %q, role: regild-member, regions: [%s]}\n%s%s", member, region, one, two)}}
	at := pick(d, second, minute, hour)
	for n := range 1 + d.n(3) {
		some := slices.DeleteFunc(slices.Clone(ids), func(string) bool { return d.one(4) })
		if len(some) == 0 {
			some = ids[:1]
		}
		account := pick(d, "", member, member, "9000000000000009")
		s.request(d, d.between(0, at), fmt.Sprintf("r%d", n+1), pick(d, "m-new1", "m-new1", "m-new2", ""), some)
		s.Messages[len(s.Messages)-1].Account = account
	}
	if d.one(4) {
		s.Messages = append(s.Messages, messagePlan{At: d.between(0, hour), Kind: "release", ID: "rel", Images: map[string]string{region: "m-new2"}, Name: "win11"})
	}
}
