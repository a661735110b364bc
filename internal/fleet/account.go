package fleet

import (
	"slices"
	"strings"
)

// An Account is another account than the function's own whose desktops fleets are
// made of, and the role by which the function may call ECD there. The zero value is
// the function's own account.
type Account struct {
	Name       string   // unique in the file, as a fleet's
	ID         string   // unique in the file: digits
	Role       string   // of the account: its name, or its ARN
	ExternalID string   // what the role's trust policy may demand; "": nothing
	Regions    []string // those that desktops may be rebuilt in
}

// RoleARN returns the ARN of the account's role.
func (a Account) RoleARN() string {
	if strings.Contains(a.Role, ":") {
		return a.Role
	}
	return roleARN(a.ID) + a.Role
}

// roleARN is what the ARN of every role of an account begins with.
func roleARN(account string) string { return "acs:ram::" + account + ":role/" }

// Accounts returns the accounts of the fleets, each once, in file order and without
// the function's own.
func (fs Fleets) Accounts() []Account {
	var out []Account
	for _, f := range fs {
		if a := f.Account; a.ID != "" && !slices.ContainsFunc(out, func(o Account) bool { return o.ID == a.ID }) {
			out = append(out, a)
		}
	}
	return out
}

// Account returns the account of that id, which must not be the function's own.
func (fs Fleets) Account(id string) (Account, bool) {
	i := slices.IndexFunc(fs, func(f Fleet) bool { return f.Account.ID == id })
	if id == "" || i < 0 {
		return Account{}, false
	}
	return fs[i].Account, true
}

// members are the accounts of a file, as far as they were read.
type members struct {
	list       []Account
	at         []map[string]value // what each was read from
	names, ids map[string]int     // the line of each name and id
}

func newMembers() *members { return &members{names: map[string]int{}, ids: map[string]int{}} }

// member reads one account.
func (r *reader) member(v value, m *members) {
	var a Account
	at := r.object(v, fields{
		"name":       func(v value) { a.Name = r.text(v, nameForm) },
		"id":         func(v value) { a.ID = r.text(v, accountForm) },
		"role":       func(v value) { a.Role = r.text(v, roleForm) },
		"externalId": func(v value) { a.ExternalID = r.text(v, externalForm) },
		"regions":    func(v value) { a.Regions = r.texts(v, MaxRegions, regionForm) },
	}, "name", "id", "role", "regions")
	if !r.once(at["name"], a.Name, "name of another account", m.names) {
		a.Name = ""
	}
	if !r.once(at["id"], a.ID, "id of another account", m.ids) {
		a.ID = ""
	}
	if strings.Contains(a.Role, ":") && a.ID != "" && !strings.HasPrefix(a.Role, roleARN(a.ID)) {
		r.faultf(at["role"], "is a role of another account; name one of %s", a.ID)
	}
	m.list, m.at = append(m.list, a), append(m.at, at)
}

// owners gives each fleet the account that it names, and notes a fault for each
// account that is not there, does not have the fleet's region, or is not named.
func (r *reader) owners(fleets Fleets, named []value, m *members) {
	used := make([]bool, len(m.list))
	var names []string
	for _, a := range m.list {
		names = append(names, a.Name)
	}
	for k := range fleets {
		f := &fleets[k]
		if f.Account.Name == "" {
			continue // the own account, or a fault
		}
		i := slices.Index(names, f.Account.Name)
		if i < 0 {
			r.faultf(named[k], "%s is no account of this file; declare it under accounts%s", quoted(f.Account.Name), meant(f.Account.Name, names))
			continue
		}
		used[i], f.Account = true, m.list[i]
		if regions := f.Account.Regions; f.Region != "" && len(regions) > 0 && !slices.Contains(regions, f.Region) {
			r.faultf(named[k], "the fleet is in %s, which the account's regions (%s) do not have; add it there", f.Region, strings.Join(regions, ", "))
		}
	}
	for i, a := range m.list {
		if !used[i] && a.Name != "" {
			r.faultf(m.at[i]["name"], "no fleet is of this account; write account: %s on one, or leave the account out", a.Name)
		}
	}
}
