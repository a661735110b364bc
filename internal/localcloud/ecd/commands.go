package ecd

import (
	"encoding/base64"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of commands. Source: RunCommand and DescribeInvocations.
const (
	maxCommand        = 16 << 10 // of the content in Base64
	maxOutput         = 24 << 10
	maxTargets        = 50
	maxCommandTimeout = 24 * 60 * 60 // seconds
	maxInvocations    = 1000         // kept; older ones are forgotten
)

// Statuses of a command on one desktop. Source: DescribeInvocations; those of a
// single desktop are the ones it lists below the overall status.
const (
	commandRunning = "Running"
	commandSuccess = "Success"
	commandFailed  = "Failed"
	commandTimeout = "Timeout"
)

// An invocation is one command on its desktops. How it ends on each is fixed
// when it begins.
type invocation struct {
	id, region, kind, content, user string
	position                        int
	created                         time.Time
	runs                            []run
}

type run struct {
	desktop, name string
	ends          time.Time
	status        string // from then on
	code, info    string
	exitCode      int
	output        string
}

type runAnswer struct {
	id
	InvokeId string
}

// runCommand starts a command; what it comes to is the desktop's Command.
func (s *Server) runCommand(c *call) (any, error) {
	region, ids, err := c.regional("DesktopId", maxTargets)
	if err != nil {
		return nil, err
	}
	kind, err := c.commandType("Type")
	if err == nil && kind == "" {
		err = missing("Type")
	}
	if err != nil {
		return nil, err
	}
	content, err := c.commandContent()
	if err != nil {
		return nil, err
	}
	timeout, err := c.number("Timeout", 60, 1, maxCommandTimeout)
	if err != nil {
		return nil, err
	}
	entries, err := s.find(ids, region, "DesktopId")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if strings.EqualFold(e.OS, "linux") { // which code the service answers is not published
			return nil, refuse(http.StatusBadRequest, "OperationUnsupported.OsType", "Commands run on Windows only: %s.", e.ID)
		}
	}
	s.sequence++
	i := &invocation{
		id: "t-hz" + strconv.FormatInt(int64(s.sequence)+1<<40, 36), region: region, kind: kind, content: content,
		user: c.params["EndUserId"], position: s.sequence, created: c.now,
	}
	for _, e := range entries {
		i.runs = append(i.runs, e.run(c.now, content, time.Duration(timeout)*time.Second))
	}
	s.invocations = append(s.invocations, i)
	if over := len(s.invocations) - maxInvocations; over > 0 {
		s.invocations = slices.Delete(s.invocations, 0, over)
	}
	return runAnswer{c.id(), i.id}, nil
}

func (c *call) commandType(name string) (string, error) {
	return c.oneOf(name, "RunBatScript", "RunPowerShellScript")
}

// commandContent returns the command in Base64, as DescribeInvocations shows it.
func (c *call) commandContent() (string, error) {
	content, err := c.required("CommandContent")
	if err != nil {
		return "", err
	}
	if c.params["ContentEncoding"] != "Base64" {
		content = base64.StdEncoding.EncodeToString([]byte(content))
	} else if _, err := base64.StdEncoding.DecodeString(content); err != nil {
		return "", invalid("CommandContent", "it is not Base64")
	}
	if len(content) > maxCommand {
		return "", refuse(http.StatusBadRequest, "CmdContent.ExceedLimit", "The length of the command content exceeds %d bytes.", maxCommand)
	}
	return content, nil
}

// run says how a command that begins now ends on the desktop.
func (e *entry) run(now time.Time, content string, timeout time.Duration) run {
	command := e.command(content, now)
	r := run{desktop: e.ID, name: e.Name, ends: now.Add(command.Takes), status: commandSuccess, output: command.Output}
	switch {
	case e.Status != Running:
		r.ends, r.status, r.output = now, commandFailed, ""
		r.code, r.info = "InstanceNotRunning", "the instance is not running when create task"
	case command.Takes > timeout:
		r.ends, r.status, r.output = now.Add(timeout), commandTimeout, ""
		r.code, r.info = "ExecutionTimeout", "the command execution has been timeout"
	case command.ExitCode != 0:
		r.status, r.exitCode = commandFailed, command.ExitCode
		r.code, r.info = "ExitCodeNonzero", "the command execution exit code is not zero"
	}
	return r
}

// command returns what a script comes to on the desktop.
func (e *entry) command(content string, now time.Time) Command {
	script, _ := base64.StdEncoding.DecodeString(content) // checked when it came in
	for _, c := range e.Commands {
		if strings.Contains(string(script), c.If) && is(c.Image, e.ImageID) && (c.Until == 0 || now.Before(e.start.Add(c.Until))) {
			or(&c.Takes, defaultCommand)
			return c
		}
	}
	return e.Command
}

type invocationsAnswer struct {
	id
	Invocations []invocationShown
	NextToken   string
}

type invocationShown struct {
	InvokeId, InvocationStatus  string
	CommandType, CommandContent string
	CreationTime                string
	EndUserId                   string `json:",omitempty"`
	InvokeDesktopCount          int
	InvokeDesktopSucceedCount   int
	InvokeDesktops              []runShown `json:",omitempty"` // with IncludeInvokeDesktops only
}

type runShown struct {
	DesktopId, DesktopName, InvocationStatus string
	CreationTime, StartTime, UpdateTime      string
	FinishTime                               string `json:",omitempty"`
	ExitCode                                 *int   `json:",omitempty"` // when it was executed to its end
	ErrorCode, ErrorInfo                     string `json:",omitempty"`
	Output                                   string `json:",omitempty"` // with IncludeOutput only
	Dropped, Repeats                         int
}

// invocationFilter is what DescribeInvocations was asked for.
type invocationFilter struct {
	region, id, kind, status, user string
	desktops                       []string
	withDesktops, withOutput       bool
	plain                          bool
}

func (s *Server) describeInvocations(c *call) (any, error) {
	f, err := c.invocationFilter()
	if err != nil {
		return nil, err
	}
	p, err := c.page("DescribeInvocations", 50)
	if err != nil {
		return nil, err
	}
	var found []*invocation
	for _, i := range s.invocations {
		if f.match(i, c.now) {
			found = append(found, i)
		}
	}
	part, next := cut(found, p, func(i *invocation) int { return i.position })
	answer := invocationsAnswer{id: c.id(), Invocations: []invocationShown{}, NextToken: next}
	for _, i := range part {
		answer.Invocations = append(answer.Invocations, f.show(i, c.now))
	}
	return answer, nil
}

func (c *call) invocationFilter() (f invocationFilter, err error) {
	if f.region, err = c.region(); err != nil {
		return f, err
	}
	if f.kind, err = c.commandType("CommandType"); err != nil {
		return f, err
	}
	if f.desktops, err = c.list("DesktopIds", 100); err != nil {
		return f, err
	}
	if one := c.params["DesktopId"]; one != "" {
		f.desktops = append(f.desktops, one)
	}
	if f.withDesktops, err = c.flag("IncludeInvokeDesktops", false); err != nil {
		return f, err
	}
	if f.withOutput, err = c.flag("IncludeOutput", false); err != nil {
		return f, err
	}
	encoding, err := c.oneOf("ContentEncoding", "Base64", "PlainText")
	f.plain = encoding == "PlainText"
	f.id, f.status, f.user = c.params["InvokeId"], c.params["InvokeStatus"], c.params["EndUserId"]
	return f, err
}

func (f invocationFilter) match(i *invocation, now time.Time) bool {
	onDesktop := slices.ContainsFunc(i.runs, func(r run) bool { return slices.Contains(f.desktops, r.desktop) })
	status := i.status(now)
	finished := f.status == "Finished" && status == commandSuccess // the filter's word for it
	return i.region == f.region &&
		(f.id == "" || f.id == i.id) && (f.kind == "" || f.kind == i.kind) && (f.user == "" || f.user == i.user) &&
		(len(f.desktops) == 0 || onDesktop) && (f.status == "" || f.status == status || finished)
}

func (f invocationFilter) show(i *invocation, now time.Time) invocationShown {
	out := invocationShown{
		InvokeId: i.id, InvocationStatus: i.status(now), CommandType: i.kind, CommandContent: f.encode(i.content),
		CreationTime: seconds(i.created), EndUserId: i.user, InvokeDesktopCount: len(i.runs),
	}
	for _, r := range i.runs {
		if r.at(now) == commandSuccess {
			out.InvokeDesktopSucceedCount++
		}
		if f.withDesktops && (len(f.desktops) == 0 || slices.Contains(f.desktops, r.desktop)) {
			out.InvokeDesktops = append(out.InvokeDesktops, f.showRun(i, r, now))
		}
	}
	return out
}

func (f invocationFilter) showRun(i *invocation, r run, now time.Time) runShown {
	out := runShown{
		DesktopId: r.desktop, DesktopName: r.name, InvocationStatus: r.at(now),
		CreationTime: seconds(i.created), StartTime: seconds(i.created), UpdateTime: seconds(i.created),
	}
	if out.InvocationStatus == commandRunning {
		return out
	}
	out.FinishTime, out.UpdateTime = seconds(r.ends), seconds(r.ends)
	out.ErrorCode, out.ErrorInfo = r.code, r.info
	if r.status == commandSuccess || r.exitCode != 0 {
		code := r.exitCode
		out.ExitCode = &code
	}
	if f.withOutput {
		output := r.output[:min(len(r.output), maxOutput)]
		out.Dropped = len(r.output) - len(output)
		out.Output = f.encode(base64.StdEncoding.EncodeToString([]byte(output)))
	}
	return out
}

// encode returns Base64 text as the call wants it.
func (f invocationFilter) encode(text string) string {
	if !f.plain {
		return text
	}
	raw, _ := base64.StdEncoding.DecodeString(text) // checked when it came in
	return string(raw)
}

func (r run) at(now time.Time) string {
	if now.Before(r.ends) {
		return commandRunning
	}
	return r.status
}

// status sums up the desktops of an invocation.
func (i *invocation) status(now time.Time) string {
	good, bad := 0, 0
	for _, r := range i.runs {
		switch r.at(now) {
		case commandRunning:
			return commandRunning
		case commandSuccess:
			good++
		default:
			bad++
		}
	}
	switch {
	case bad == 0:
		return commandSuccess
	case good == 0:
		return commandFailed
	}
	return "PartialFailed"
}
