package doctor

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/fleet"
)

// A Member is another account whose desktops the function serves, as the role in
// it sees it.
type Member struct {
	AccountID string // whose the role's credentials are
	Desktops  Desktops
}

// errOwnAccount is what opening the function's own account as another one gives.
var errOwnAccount = errors.New("it is the function's own account")

// opened is what came of opening a member.
type opened struct {
	Member
	err error
}

// member takes the role in another account, once for all checks.
func (p *Deployment) member(ctx context.Context, a fleet.Account) (Member, error) {
	p.shared.mu.Lock()
	defer p.shared.mu.Unlock()
	if o, there := p.shared.members[a.ID]; there {
		return o.Member, o.err
	}
	var o opened
	if a.ID == p.Account {
		o.err = errOwnAccount
	} else {
		o.Member, o.err = p.Member(ctx, a)
	}
	p.shared.members[a.ID] = o
	return o.Member, o.err
}

// checkAccounts looks at each other account that fleets.yaml names: can the role be
// taken, is it of that account, and may it read desktops there?
func checkAccounts(ctx context.Context, p *Deployment, say teller) {
	accounts := p.Fleets.Accounts()
	switch {
	case p.FleetsErr != nil:
		say(Unknown, "which accounts there are is not known", "mend the line on the fleets first")
		return
	case len(accounts) == 0:
		say(Good, "the function's own alone", "")
		return
	}
	for _, a := range accounts {
		name := fmt.Sprintf("account %s (%s)", a.Name, a.ID)
		m, err := p.member(ctx, a)
		switch {
		case err != nil:
			p.closed(name, a, err, say)
		case m.AccountID != a.ID:
			say(Wrong, fmt.Sprintf("%s: role %s leads to account %s", name, a.RoleARN(), m.AccountID), "mend id and role in "+p.FleetsFile)
		default:
			checkMember(ctx, name, a, m, say)
		}
	}
}

// checkMember reads a desktop that there is not, in each region of the account: it
// takes the right to read them all.
func checkMember(ctx context.Context, name string, a fleet.Account, m Member, say teller) {
	for _, region := range a.Regions {
		_, err := m.Desktops.Select(ctx, region, desktop.Selector{IDs: []string{probeDesktop}})
		switch {
		case acs.Denied(err):
			say(Wrong, fmt.Sprintf("%s: role %s may not read desktops: %s", name, a.RoleARN(), acs.Sentence(err)), "there: regild setup --member (docs/ram/member.json)")
			return
		case err != nil:
			say(Unknown, fmt.Sprintf("%s: could not look at the desktops of %s: %s", name, region, acs.Sentence(err)),
				"try again; if it stays so, mend what the sentence names")
			return
		}
	}
	say(Good, fmt.Sprintf("%s: role %s can be taken, and may read desktops in %s", name, a.RoleARN(), strings.Join(a.Regions, ", ")), "")
}

// closed says why a member could not be opened. That the doctor may not take a role
// is no fault: the role trusts the function's, and setup leaves it so. Then the dry
// run tells whether the function may.
func (p *Deployment) closed(name string, a fleet.Account, err error, say teller) {
	switch {
	case errors.Is(err, errOwnAccount):
		say(Wrong, name+" is the function's own", "take it out of accounts, and account: out of its fleets, in "+p.FleetsFile)
	case acs.NotThere(err):
		say(Wrong, fmt.Sprintf("%s: there is no role %s", name, a.RoleARN()), "there: regild setup --member")
	case acs.Denied(err) && p.Probe:
		say(Warning, fmt.Sprintf("%s: the doctor itself may not take role %s; the dry run below shows whether the function may", name, a.RoleARN()),
			"nothing, unless the dry run comes to nothing; see docs/ram.md, Other accounts")
	case acs.Denied(err):
		say(Unknown, fmt.Sprintf("%s: not proven: that the function may take role %s, and read desktops there. The role trusts the function; the doctor itself "+
			"may not take it (%s)", name, a.RoleARN(), acs.Code(err)),
			"prove it with make doctor ARGS=--probe: the function itself then tries, with a dry run for this account")
	default:
		say(Unknown, fmt.Sprintf("%s: role %s could not be taken: %s", name, a.RoleARN(), acs.Sentence(err)),
			"try again; if it stays so, mend what the sentence names")
	}
}

// memberGrants are the grants of function-members.json, for each account that
// fleets.yaml names.
func (p *Deployment) memberGrants() ([]grant, error) {
	each, err := p.policy("function-members.json")
	if err != nil {
		return nil, err
	}
	var out []grant
	for _, a := range p.Fleets.Accounts() {
		role := a.RoleARN()[strings.LastIndex(a.RoleARN(), "/")+1:]
		for _, g := range each {
			g.resource = strings.NewReplacer("<member-account>", a.ID, "<member-role>", role).Replace(g.resource)
			if !slices.Contains(out, g) {
				out = append(out, g)
			}
		}
	}
	return out, nil
}
