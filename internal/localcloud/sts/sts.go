// Package sts is the local cloud's Security Token Service, in the one operation
// by which somebody comes to work in another account: AssumeRole. It knows the
// roles of further accounts, whom each trusts and what it may do, and it keeps
// what every key that it gave out stands for. Package control speaks HTTP for it.
// It is for the local cloud and for tests, never for production.
//
// What it imitates, and where it is written:
//
//   - Parameters, answer and times: the page of AssumeRole (STS 2015-04-01,
//     help page 28763) and the comments of the SDK model AssumeRoleRequest. The
//     pages differ on RoleSessionName (2 to 32 characters, or 64) and on Policy
//     (1 to 1,024, or 2,048): the narrower bound holds here, so that what passes
//     here passes whichever of them is right.
//   - Who may: the caller needs the right sts:AssumeRole and a place in the
//     role's trust policy, both (same page, "Prerequisites"); an account, or one
//     role of it, is trusted (page 116819, "Edit the trust policy of a RAM role").
//   - The external id: where the trust policy asks for one, no other passes and
//     none neither (page "Use ExternalId to prevent the confused deputy problem").
//   - What the keys may: what both the role's policies and the session policy
//     allow (page 139021, "FAQ about STS"). Keys that were given out stay valid
//     until their end, whatever is given out later (same page).
//   - Codes: page 42775, "Common errors of AssumeRole", and the page "Error codes"
//     of STS. Which status goes with each is listed nowhere that was found; the
//     answers of RAM's own pages are taken: 404 for what is not there, 403 for what
//     may not be, 400 otherwise.
//
// What it does not imitate: NotAction, resources and conditions of a session
// policy, and the limit of 6,000 calls a minute, which fault rules stand for.
package sts

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/ecd"
)

// A Role can be assumed.
type Role struct {
	Name string `yaml:"name"`
	// Trusts are account ids, or ARNs of roles such as
	// acs:ram::1234567890123456:role/regild-function; default: the own account.
	Trusts     []string `yaml:"trusts,omitempty"`
	ExternalID string   `yaml:"externalId,omitempty"` // that callers must give; "": none is asked for
	// Allows are the RAM actions that its policies allow, such as
	// ecd:DescribeDesktops; * stands for any letters. Default ecd:*.
	Allows     []string      `yaml:"allows,omitempty"`
	MaxSession time.Duration `yaml:"maxSession,omitempty"` // 1h to 12h, default 1h
}

// An Account is one besides the own.
type Account struct {
	ID    string
	Roles []Role
}

// Options say how a Server is set up.
type Options struct {
	Clock *clock.Clock
	// Own is the account that all other keys belong to, and Caller the ARN of
	// whoever has them; default the role regild-function of it.
	Own, Caller string
	Accounts    []Account
}

// A Server gives out keys. All methods may be called at once from several goroutines.
type Server struct {
	clock       *clock.Clock
	own, caller string

	mu       sync.Mutex
	roles    map[string]*Role // by ARN, in lower case
	sessions map[string]ecd.Assumed
}

// A Refusal is an answer of 4xx.
type Refusal struct {
	Status        int
	Code, Message string
}

var (
	accountForm = regexp.MustCompile(`^[0-9]{5,20}$`)
	roleForm    = regexp.MustCompile(`^[A-Za-z0-9.-]{1,64}$`) // page of CreateRole
	arnForm     = regexp.MustCompile(`^acs:ram::[0-9]{5,20}:role/[A-Za-z0-9.-]{1,64}$`)
	nameForm    = regexp.MustCompile(`^[a-zA-Z0-9.@_-]{2,32}$`)
	idForm      = regexp.MustCompile(`^[\w+=,.@:/-]+$`)
)

// Bounds of a session. Source: AssumeRole, "DurationSeconds"; CreateRole, "MaxSessionDuration".
const (
	minSession     = 15 * time.Minute
	defaultSession = time.Hour
	longestSession = 12 * time.Hour
	maxPolicy      = 1024 // characters
)

// New returns a server; the error names every fault of the accounts.
func New(o Options) (*Server, error) {
	s := &Server{clock: o.Clock, own: o.Own, caller: cmp.Or(o.Caller, "acs:ram::"+o.Own+":role/regild-function"),
		roles: map[string]*Role{}, sessions: map[string]ecd.Assumed{}}
	var faults []error
	fault := func(format string, args ...any) { faults = append(faults, fmt.Errorf("accounts: "+format, args...)) }
	seen := map[string]bool{o.Own: true}
	for _, a := range o.Accounts {
		if !accountForm.MatchString(a.ID) || seen[a.ID] {
			fault("%q is not an id of 5 to 20 digits, is used twice, or is the own account", a.ID)
		}
		seen[a.ID] = true
		for _, r := range a.Roles {
			arn := strings.ToLower(ARN(a.ID, r.Name))
			if err := r.check(); err != nil || s.roles[arn] != nil {
				fault("%s: role %q: %w", a.ID, r.Name, cmp.Or(err, errors.New("it is there twice")))
			}
			s.roles[arn] = &r
		}
	}
	return s, errors.Join(faults...)
}

func (r Role) check() error {
	switch {
	case !roleForm.MatchString(r.Name):
		return errors.New("a name has 1 to 64 letters, digits, periods and hyphens")
	case slices.ContainsFunc(r.Trusts, func(t string) bool { return !accountForm.MatchString(t) && !arnForm.MatchString(t) }):
		return fmt.Errorf("it trusts %q, which are not all account ids or ARNs of roles", r.Trusts)
	case r.ExternalID != "" && !goodID(r.ExternalID):
		return fmt.Errorf("external id %q has 2 to 1224 letters, digits and +=,.@:/-_", r.ExternalID)
	case r.MaxSession != 0 && (r.MaxSession < defaultSession || r.MaxSession > longestSession):
		return fmt.Errorf("maxSession %s is not from 1h to 12h", r.MaxSession)
	}
	return nil
}

// ARN names a role.
func ARN(account, role string) string { return "acs:ram::" + account + ":role/" + role }

// Change changes a role by its ARN and reports whether it is there. Keys that were
// given out keep their time, and may what the role may from then on.
func (s *Server) Change(arn string, f func(*Role)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.roles[strings.ToLower(arn)]
	if r != nil {
		f(r)
	}
	return r != nil
}

// Assumed returns what a key that was given out stands for.
func (s *Server) Assumed(keyID string) (ecd.Assumed, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	got, ok := s.sessions[keyID]
	return got, ok
}

// Secrets returns the secret and the token of every key that was given out: what
// nobody may tell.
func (s *Server) Secrets() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []string
	for _, a := range s.sessions {
		out = append(out, a.Secret, a.Token)
	}
	return out
}

// AssumeRole answers a call with the parameters p, which by made: the zero value
// for the own account's keys.
func (s *Server) AssumeRole(by ecd.Assumed, p map[string]string) (map[string]any, *Refusal) {
	policy, no := check(p)
	if no != nil {
		return nil, no
	}
	caller, account := s.caller, s.own
	if by.AccountID != "" {
		caller, account = ARN(by.AccountID, by.Role), by.AccountID
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	arn := strings.ToLower(p["RoleArn"])
	role := s.roles[arn]
	if role == nil {
		return nil, &Refusal{http.StatusNotFound, "EntityNotExist.Role", "The specified Role not exists ."}
	}
	trusts := role.Trusts
	if len(trusts) == 0 {
		trusts = []string{s.own}
	}
	trusted := slices.ContainsFunc(trusts, func(t string) bool { return t == account || strings.EqualFold(t, caller) })
	if !trusted || (role.ExternalID != "" && p["ExternalId"] != role.ExternalID) {
		return nil, &Refusal{http.StatusForbidden, "NoPermission", "You are not authorized to do this action. You should be authorized by RAM."}
	}
	takes, no := duration(p["DurationSeconds"], cmp.Or(role.MaxSession, defaultSession))
	if no != nil {
		return nil, no
	}
	got := ecd.Assumed{
		Keys:      ecd.Keys{ID: "STS." + rand.Text(), Secret: rand.Text(), Token: rand.Text() + rand.Text()},
		AccountID: strings.Split(arn, ":")[3], Role: role.Name, Name: p["RoleSessionName"],
		Expires: s.clock.Now().Add(takes),
		Allows: func(action string) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			allows := role.Allows
			if len(allows) == 0 {
				allows = []string{"ecd:*"}
			}
			return matches(allows, action) && (policy == nil || policy.allows(action))
		},
	}
	s.sessions[got.ID] = got
	return map[string]any{
		// The pages show three forms of this ARN; GetCallerIdentity has this one.
		"AssumedRoleUser": map[string]any{"Arn": got.ARN(), "AssumedRoleId": "3" + got.AccountID + ":" + got.Name},
		"Credentials": map[string]any{"AccessKeyId": got.ID, "AccessKeySecret": got.Secret, "SecurityToken": got.Token,
			"Expiration": got.Expires.UTC().Format("2006-01-02T15:04:05Z")},
	}, nil
}

// check looks at what needs no role, and returns the session policy, if there is one.
func check(p map[string]string) (*policy, *Refusal) {
	for _, name := range []string{"RoleArn", "RoleSessionName"} {
		if p[name] == "" {
			return nil, &Refusal{http.StatusBadRequest, "Missing" + name, name + " is mandatory for this action."}
		}
	}
	switch {
	case !arnForm.MatchString(p["RoleArn"]):
		return nil, wrong("RoleArn")
	case !nameForm.MatchString(p["RoleSessionName"]):
		return nil, wrong("RoleSessionName")
	case p["ExternalId"] != "" && !goodID(p["ExternalId"]):
		return nil, wrong("ExternalId")
	case p["Policy"] == "":
		return nil, nil
	case len(p["Policy"]) > maxPolicy:
		return nil, wrong("Policy")
	}
	read, err := parsePolicy(p["Policy"])
	if err != nil {
		return nil, &Refusal{http.StatusBadRequest, "InvalidParameter.PolicyGrammar", "The parameter Policy has not passed grammar check."}
	}
	return read, nil
}

func goodID(id string) bool { return len(id) >= 2 && len(id) <= 1224 && idForm.MatchString(id) }

func wrong(name string) *Refusal {
	return &Refusal{http.StatusBadRequest, "InvalidParameter." + name, "The parameter " + name + " is wrongly formed."}
}

func duration(text string, most time.Duration) (time.Duration, *Refusal) {
	if text == "" {
		return defaultSession, nil
	}
	seconds, err := strconv.Atoi(text)
	if d := time.Duration(seconds) * time.Second; err == nil && d >= minSession && d <= most {
		return d, nil
	}
	return 0, &Refusal{http.StatusBadRequest, "InvalidParameter.DurationSeconds",
		fmt.Sprintf("The Min/Max value of DurationSeconds is 15min/%dhr.", int(most.Hours()))}
}
