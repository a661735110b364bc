// Package control is the local cloud's stand-in for the control APIs of an
// account: Security Token Service, Resource Access Management, Resource
// Orchestration Service (ROS), Function Compute's own API, EventBridge's look at
// service-linked roles, CloudMonitor's alarm rules and Log Service's settings.
// All of them answer at one address and tell one another apart by what a call
// says of itself. Signatures are verified: ACS3, and Log Service's own.
//
// # What it imitates
//
// The answers that `regild setup`, `stop`, `start` and `doctor` read, with the
// vendor's codes where a page names them. ROS reads a template, resolves its
// parameters, conditions and functions, and makes the queues, topics,
// subscriptions and buckets in the stand-ins beside it; everything else becomes
// part of an Account. It makes one resource at each GetStack, so that whoever
// waits for a stack sees it grow; when one fails it takes back what it made.
//
// # What it does not
//
// No policy is evaluated: what the credentials may not do is listed in
// Account.Denied, and what the role of another account may do, package sts says.
// Properties are not checked (deploy/ros_test.go does that).
// Nothing here was compared with the live services.
//
// It is for the local cloud and for tests, never for production.
package control

import (
	"cmp"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/mns"
	"github.com/regild/regild/internal/localcloud/oss"
	"github.com/regild/regild/internal/localcloud/sts"
)

// Keys is an access key that may call.
type Keys struct{ ID, Secret, Token string }

// Options says how a Server is set up.
type Options struct {
	Clock             *clock.Clock    // nil: real time
	Faults            *fault.Injector // nil: none
	Keys              []Keys
	AccountID, Region string // defaults 1234567890123456, cn-hangzhou
	// MNS and OSS are where ROS makes queues, topics, subscriptions and buckets.
	// Required for stacks.
	MNS *mns.Server
	OSS *oss.Server
	// STS gives out the keys of roles in other accounts; nil: there are none.
	STS *sts.Server
}

// An Account is what there is besides messages and objects.
type Account struct {
	Functions map[string]*Function
	Roles     map[string]*Role
	// ServiceLinked are the service-linked roles that exist, such as
	// AliyunServiceRoleForEventBridgeSourceMNS.
	ServiceLinked map[string]bool
	Projects      map[string]*Project
	Alarms        map[string]bool   // CloudMonitor's rules by name: is it on
	AlarmStates   map[string]string // of these rules: OK, ALARM or INSUFFICIENT_DATA; default OK
	// Denied are actions that the credentials may not call, such as
	// fc:GetFunction.
	Denied map[string]bool
	// AtOnce has a stack done at the first look at it, instead of one resource at
	// each.
	AtOnce bool
	// ClockOff is how far the services' clock is ahead of this machine's.
	ClockOff time.Duration
	// Taken are names that belong to somebody else: of buckets and log projects.
	Taken map[string]bool
}

// A Function is what Function Compute's own API knows of one.
type Function struct {
	Runtime, Handler, Role, CodeChecksum string
	Timeout                              int
	Env                                  map[string]string
	LogProject, Logstore                 string
	Concurrency                          *int
	OnFailure                            string // the destination of failed asynchronous invocations
	Triggers                             map[string]Trigger
}

// A Trigger of a function; Config is JSON.
type Trigger struct{ Type, Config, Source, Status string }

// A Role with its trust policy and the policies attached to it by name, in JSON.
type Role struct {
	Trust    string
	Policies map[string]string
}

// A Project of Log Service, its logstores by name, and its alerts: is each on? A
// nil index is none.
type Project struct {
	Logstores map[string]map[string]any
	Alerts    map[string]bool
}

// A Server is one account in one region. All methods may be called at once from
// several goroutines.
type Server struct {
	clock           *clock.Clock
	faults          *fault.Injector
	account, region string
	gate            *ecd.Gate
	keys            []Keys
	mns             *mns.Server
	oss             *oss.Server
	sts             *sts.Server

	mu     sync.Mutex
	state  Account
	stacks []*stack
	tokens map[string]string // of calls that made a stack: its id
}

// New returns a server of an empty account.
func New(o Options) *Server {
	s := &Server{clock: o.Clock, faults: o.Faults, account: o.AccountID, region: o.Region, keys: o.Keys, mns: o.MNS, oss: o.OSS, sts: o.STS,
		tokens: map[string]string{},
		state: Account{Functions: map[string]*Function{}, Roles: map[string]*Role{}, ServiceLinked: map[string]bool{},
			Projects: map[string]*Project{}, Alarms: map[string]bool{}, AlarmStates: map[string]string{}, Denied: map[string]bool{}, Taken: map[string]bool{}}}
	if s.clock == nil {
		s.clock = clock.New(time.Now(), 1)
	}
	if s.faults == nil {
		s.faults = &fault.Injector{}
	}
	if s.account == "" {
		s.account = "1234567890123456"
	}
	if s.region == "" {
		s.region = "cn-hangzhou"
	}
	var keys []ecd.Keys
	for _, k := range o.Keys {
		keys = append(keys, ecd.Keys(k))
	}
	s.gate = ecd.NewGate(keys...)
	if s.sts != nil {
		s.gate.WithAssumed(s.sts.Assumed, s.clock)
	}
	return s
}

// Change lets f look at the account and change it, while nothing else does.
func (s *Server) Change(f func(*Account)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.state)
}

// Handler answers the HTTP APIs, with the faults of Options around it.
func (s *Server) Handler() http.Handler {
	return s.faults.Wrap(fault.Service{
		Name: "control", Operation: operationOf,
		Fail: func(w http.ResponseWriter, _ *http.Request, status int, code, message string) {
			write(w, status, refused(code, message))
		},
		ThrottleStatus: http.StatusBadRequest, ThrottleCode: "Throttling.User",
	}, http.HandlerFunc(s.serve))
}

// operationOf names a call. Log Service has no name in its calls.
func operationOf(r *http.Request) string {
	if name := r.Header.Get("x-acs-action"); name != "" {
		return name
	}
	switch {
	case strings.HasSuffix(r.URL.Path, "/index"):
		return "GetIndex"
	case r.URL.Path == "/jobs":
		return "ListJobs"
	}
	return "GetProject"
}

// maxBody bounds a call; a template may have 512 KB.
const maxBody = 2 << 20

// maxSkew is from where on a service refuses a call for its time stamp.
const maxSkew = 15 * time.Minute

// A refusal is an answer of 4xx.
type refusal struct {
	status        int
	code, message string
}

func no(status int, code, message string) *refusal { return &refusal{status, code, message} }

// products are the APIs by version, with the prefix of their RAM actions.
var products = map[string]string{
	"2015-04-01": "sts", "2015-05-01": "ram", "2019-09-10": "ros", "2023-03-30": "fc", "2020-04-01": "eventbridge", "2019-01-01": "cms",
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	s.mu.Lock()
	off := s.state.ClockOff
	s.mu.Unlock()
	w.Header().Set("Date", time.Now().Add(off).UTC().Format(http.TimeFormat))
	body, refusal := s.answer(r)
	if off.Abs() > maxSkew {
		refusal = no(http.StatusBadRequest, "InvalidTimeStamp.Expired", "Specified time stamp or date value is expired.")
	}
	if refusal != nil {
		write(w, refusal.status, refused(refusal.code, refusal.message))
		return
	}
	write(w, http.StatusOK, body)
}

func (s *Server) answer(r *http.Request) (map[string]any, *refusal) {
	if strings.HasPrefix(r.Header.Get("Authorization"), "LOG ") {
		return s.logService(r)
	}
	p, by, status, code, message := s.gate.Admit(r)
	if code != "" {
		return nil, no(status, code, message)
	}
	action := r.Header.Get("x-acs-action")
	product := products[r.Header.Get("x-acs-version")]
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state.Denied[product+":"+action] || by.AccountID != "" && product != "sts" {
		return nil, s.denied(product + ":" + action)
	}
	c := call{Server: s, params: p, r: r, by: by}
	do, ok := map[string]func() (map[string]any, *refusal){
		"sts:GetCallerIdentity": c.identity, "sts:AssumeRole": c.assumeRole,
		"ram:GetRole": c.role, "ram:ListPoliciesForRole": c.rolePolicies, "ram:GetPolicyVersion": c.policyVersion,
		"eventbridge:CheckServiceLinkedRoleForProduct": c.serviceLinked,
		"cms:DescribeMetricRuleList":                   c.alarms,
		"fc:GetFunction":                               c.function, "fc:GetTrigger": c.trigger, "fc:GetAsyncInvokeConfig": c.asyncConfig,
		"fc:GetConcurrencyConfig": c.concurrency, "fc:PutConcurrencyConfig": c.setConcurrency,
		"ros:ValidateTemplate": c.validate, "ros:PreviewStack": c.preview, "ros:CreateStack": c.createStack, "ros:UpdateStack": c.updateStack,
		"ros:DeleteStack": c.deleteStack, "ros:GetStack": c.getStack, "ros:ListStacks": c.listStacks, "ros:ListStackResources": c.stackResources,
	}[product+":"+action]
	if !ok {
		return nil, no(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
	}
	return do()
}

// denied is how RAM refuses an action.
func (s *Server) denied(action string) *refusal {
	return no(http.StatusForbidden, "NoPermission", "You are not authorized to do this action: "+action+".")
}

// A call is one that was admitted; the server's lock is held.
type call struct {
	*Server
	params map[string]string
	r      *http.Request
	by     ecd.Assumed // of an assumed role, or zero
}

func (c call) identity() (map[string]any, *refusal) {
	if c.by.AccountID != "" {
		return map[string]any{"AccountId": c.by.AccountID, "Arn": c.by.ARN(), "IdentityType": "AssumedRoleUser"}, nil
	}
	return map[string]any{"AccountId": c.account, "Arn": "acs:ram::" + c.account + ":user/tester", "IdentityType": "RAMUser"}, nil
}

func (c call) assumeRole() (map[string]any, *refusal) {
	if c.sts == nil {
		return nil, no(http.StatusNotFound, "EntityNotExist.Role", "The specified Role not exists .")
	}
	if c.by.Allows != nil && !c.by.Allows("sts:AssumeRole") {
		return nil, c.denied("sts:AssumeRole")
	}
	answer, refused := c.sts.AssumeRole(c.by, c.params)
	if refused != nil {
		return nil, no(refused.Status, refused.Code, refused.Message)
	}
	return answer, nil
}

func (c call) role() (map[string]any, *refusal) {
	role := c.state.Roles[c.params["RoleName"]]
	if role == nil {
		return nil, no(http.StatusNotFound, "EntityNotExist.Role", "The role does not exist: "+c.params["RoleName"]+".")
	}
	return map[string]any{"Role": map[string]any{"RoleName": c.params["RoleName"], "AssumeRolePolicyDocument": role.Trust}}, nil
}

func (c call) rolePolicies() (map[string]any, *refusal) {
	role := c.state.Roles[c.params["RoleName"]]
	if role == nil {
		return nil, no(http.StatusNotFound, "EntityNotExist.Role", "The role does not exist.")
	}
	list := []any{}
	for _, name := range sortedKeys(role.Policies) {
		list = append(list, map[string]any{"PolicyName": name, "PolicyType": "Custom", "DefaultVersion": "v1"})
	}
	return map[string]any{"Policies": map[string]any{"Policy": list}}, nil
}

func (c call) policyVersion() (map[string]any, *refusal) {
	for _, role := range c.state.Roles {
		if doc, ok := role.Policies[c.params["PolicyName"]]; ok {
			return map[string]any{"PolicyVersion": map[string]any{"VersionId": "v1", "PolicyDocument": doc}}, nil
		}
	}
	return nil, no(http.StatusNotFound, "EntityNotExist.Policy", "The policy does not exist.")
}

func (c call) serviceLinked() (map[string]any, *refusal) {
	name := c.params["ProductName"]
	return map[string]any{"Code": "Success", "Success": true, "Message": "Success",
		"Data": map[string]any{"StsRoleName": name, "CheckPass": c.state.ServiceLinked[name]}}, nil
}

func (c call) alarms() (map[string]any, *refusal) {
	page, size, state := 1, 10, c.params["AlertState"]
	for name, n := range map[string]*int{"Page": &page, "PageSize": &size} {
		if v := c.params[name]; v != "" {
			got, err := strconv.Atoi(v)
			if err != nil || got < 1 {
				return nil, no(http.StatusBadRequest, "ParameterInvalid", name+" must be a number from 1 on.")
			}
			*n = got
		}
	}
	list := []any{}
	for _, name := range sortedKeys(c.state.Alarms) {
		is := cmp.Or(c.state.AlarmStates[name], "OK")
		if strings.Contains(name, c.params["RuleName"]) && (state == "" || state == is) { // the name is matched loosely
			list = append(list, map[string]any{"RuleName": name, "RuleId": "rule-" + name, "EnableState": c.state.Alarms[name], "AlertState": is})
		}
	}
	total := len(list)
	from := min((page-1)*size, total)
	list = list[from:min(from+size, total)]
	return map[string]any{"Code": 200, "Success": true, "Total": strconv.Itoa(total), "Alarms": map[string]any{"Alarm": list}}, nil
}

var functionPath = regexp.MustCompile(`^/2023-03-30/functions/([^/]+)(?:/(triggers/([^/]+)|concurrency|async-invoke-config))?$`)

// deployed returns the function that a call's path names, and its trigger's name.
func (c call) deployed() (*Function, string, *refusal) {
	m := functionPath.FindStringSubmatch(c.r.URL.Path)
	if m == nil {
		return nil, "", no(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found.")
	}
	f := c.state.Functions[m[1]]
	if f == nil {
		return nil, "", no(http.StatusNotFound, "FunctionNotFound", "function '"+m[1]+"' does not exist")
	}
	return f, m[3], nil
}

func (c call) function() (map[string]any, *refusal) {
	f, _, err := c.deployed()
	if err != nil {
		return nil, err
	}
	return map[string]any{"functionName": "regild", "runtime": f.Runtime, "handler": f.Handler, "role": f.Role, "timeout": f.Timeout,
		"codeChecksum": f.CodeChecksum, "environmentVariables": f.Env,
		"logConfig": map[string]any{"project": f.LogProject, "logstore": f.Logstore}}, nil
}

func (c call) trigger() (map[string]any, *refusal) {
	f, name, err := c.deployed()
	if err != nil {
		return nil, err
	}
	t, ok := f.Triggers[name]
	if !ok {
		return nil, no(http.StatusNotFound, "TriggerNotFound", "trigger '"+name+"' does not exist in function")
	}
	return map[string]any{"triggerName": name, "triggerType": t.Type, "triggerConfig": t.Config, "sourceArn": t.Source, "status": t.Status}, nil
}

func (c call) asyncConfig() (map[string]any, *refusal) {
	f, _, err := c.deployed()
	if err != nil {
		return nil, err
	}
	if f.OnFailure == "" {
		return nil, no(http.StatusNotFound, "AsyncConfigNotExists", "async config does not exist")
	}
	return map[string]any{"maxAsyncRetryAttempts": 3, "maxAsyncEventAgeInSeconds": 3600,
		"destinationConfig": map[string]any{"onFailure": map[string]any{"destination": f.OnFailure}}}, nil
}

func (c call) concurrency() (map[string]any, *refusal) {
	f, _, err := c.deployed()
	if err != nil {
		return nil, err
	}
	if f.Concurrency == nil {
		return nil, no(http.StatusNotFound, "ConcurrencyConfigNotFound", "concurrency config does not exist")
	}
	return map[string]any{"reservedConcurrency": *f.Concurrency}, nil
}

func (c call) setConcurrency() (map[string]any, *refusal) {
	f, _, refusal := c.deployed()
	if refusal != nil {
		return nil, refusal
	}
	var v struct{ ReservedConcurrency *int }
	raw, err := io.ReadAll(c.r.Body)
	if err == nil {
		err = json.Unmarshal(raw, &v)
	}
	if err != nil || v.ReservedConcurrency == nil || *v.ReservedConcurrency < 0 {
		return nil, no(http.StatusBadRequest, "InvalidArgument", "reservedConcurrency must be a number from 0 on")
	}
	f.Concurrency = v.ReservedConcurrency
	return map[string]any{"reservedConcurrency": *f.Concurrency}, nil
}

func sortedKeys[T any](m map[string]T) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func refused(code, message string) map[string]any {
	return map[string]any{"Code": code, "Message": message, "errorCode": code, "errorMessage": message}
}

// write sends an answer; every one has a request id.
func write(w http.ResponseWriter, status int, body map[string]any) {
	var raw [16]byte
	_, _ = rand.Read(raw[:]) // never fails
	if body == nil {
		body = map[string]any{}
	}
	body["RequestId"] = strings.ToUpper(hex.EncodeToString(raw[:]))
	w.Header().Set("Content-Type", "application/json;charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // a client that left does not read it
}
