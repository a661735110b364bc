package ecd

import (
	"maps"
	"slices"
	"strings"

	"github.com/regild/regild/internal/desktop"
)

// What an answer of ECD is taken for is decided by one table, for the answer to
// a call as a whole and for the answer about one desktop alike. ECD's page of
// RebuildDesktops lists few codes, so most of what may come is not in the table;
// whatever is not, may have been carried out: it is Unknown, and the facts are
// read. A row that says that nothing happened needs a source that says so.

// A Level says where a code stands.
type Level int

const (
	// OfCall is the code of an answer as a whole, with its HTTP status.
	OfCall Level = iota
	// OfDesktop is the code of one desktop in the results of a 200.
	OfDesktop
)

func (l Level) String() string {
	if l == OfDesktop {
		return "desktop"
	}
	return "call"
}

// A Verdict is what an answer is taken for. The zero value is Unknown.
type Verdict int

const (
	// Unknown may have been carried out. The facts are read; a call that changes
	// something is not sent again before they have shown what became of it.
	Unknown Verdict = iota
	// Busy is Unknown, and ECD wants fewer calls.
	Busy
	// Done says that what was asked was done, or begun.
	Done
	// Refused says that nothing happened, and that the same call will be refused
	// again. A batch is taken apart, to find out for whom.
	Refused
	// NotYet is Refused for now: the desktop's status does not allow it, and that
	// passes.
	NotYet
	// Throttled says that nothing happened, because of too many calls.
	Throttled
	// Denied says that nothing happened, because the credentials may not make
	// this call.
	Denied
	// Unsigned says that nothing happened, because the credentials, or the clock
	// they were used by, are not accepted at all: new ones are asked for.
	Unsigned
)

// Nothing says whether v means that certainly nothing was carried out.
func (v Verdict) Nothing() bool { return v >= Refused && v <= Unsigned }

func (v Verdict) String() string {
	return [...]string{Unknown: "unknown", Busy: "unknown, and slower", Done: "done", Refused: "refused", NotYet: "refused for now",
		Throttled: "throttled", Denied: "denied", Unsigned: "not accepted"}[v]
}

// delivery says v in the words of the adapters' errors.
func (v Verdict) delivery() (f desktop.Delivery, throttled, credentials bool) {
	switch v {
	case Refused, NotYet:
		return desktop.Refused, false, false
	case Throttled:
		return desktop.NotSent, true, false
	case Denied:
		return desktop.Forbidden, false, false
	case Unsigned:
		return desktop.Forbidden, false, true
	case Busy:
		return desktop.Unknown, true, false
	}
	return desktop.Unknown, false, false
}

// A Row is one line of the table.
type Row struct {
	Level    Level
	APIs     []string // empty: every one that is called here
	Statuses []int    // of a call; empty: every one
	// Codes are exact, or end or begin and end with a * for any text, or have <P>
	// for the name of a parameter of the call. "" is an answer without a code.
	// Those of a verdict by which something may have happened are met in any
	// case, the others as they are written.
	Codes   []string
	Verdict Verdict
	Source  string
}

// pageSays is what the rows about desktops, and about refusals, rest on.
const pageSays = "RebuildDesktops: the code of a desktop says whether its rebuild was started; a 4xx is a wrong parameter, and nothing was started"

// seen is what the codes rest on by which ECD says that it has no such desktop.
const seen = "on no page, but seen at work by others who call ECD: it has no such desktop, or none in this region"

// rebuilding is the one call whose answer speaks of each desktop.
var rebuilding = []string{"RebuildDesktops"}

// changing are the calls that depend on a desktop's status.
var changing = []string{"RebuildDesktops", "StopDesktops", "StartDesktops", "SetDesktopMaintenance", "RunCommand", "CreateSnapshot"}

// inside are words by which a service says that something went wrong within it.
// They mean so under whatever status they come.
var inside = []string{"*Internal*", "*Unavailable*", "*Timeout*", "*TimedOut*", "*Unknown*", "*SystemError*", "*SystemBusy*"}

var (
	throttling = []string{"Throttling", "Throttling.*", "Rejected.Throttling"}
	notYet     = []string{"IncorrectDesktopStatus"}
	denied     = []string{"Forbidden", "Forbidden.RAM", "NoPermission"}
	unsigned   = []string{
		"InvalidSecurityToken", "InvalidSecurityToken.*", "SecurityTokenExpired", "MissingSecurityToken",
		"InvalidAccessKeyId", "InvalidAccessKeyId.*", "InvalidAccessKeySecret", "InactiveAccessKey", "InvalidCredentials",
		"SignatureDoesNotMatch", "IncompleteSignature", "InvalidTimeStamp.*", "IllegalTimestamp",
	}
	wrong = []string{
		"InvalidParameter", "InvalidParameter.*", "MissingParameter", "MissingParameter.*", "Invalid<P>", "Invalid<P>.*", "Missing<P>",
	}
	nowhere   = []string{"InvalidDesktopId.NotFound", "InvalidResourceId.NotFound", "NotFindDesktopId"}
	wrongCall = []string{"InvalidAction.NotFound", "InvalidVersion"}
)

// Table is what the answers of ECD are taken for: the first row that fits
// decides. What no row fits is Unknown.
var Table = []Row{
	{OfCall, nil, nil, inside, Unknown, "what went wrong inside may have gone wrong at any moment, whatever the status"},
	{OfCall, nil, nil, []string{"SignatureNonceUsed"}, Unknown, "somebody has seen this very request before; it may have been carried out"},
	{OfCall, nil, []int{200}, []string{"", "success"}, Done, "Common response parameters; what a desktop's own result says counts for the desktop"},
	{OfCall, nil, []int{400, 403, 429, 503}, throttling, Throttled, "Common errors: a throttled request is not executed; the status is not documented"},
	{OfCall, nil, nil, throttling, Busy, "under another status than those above"},
	{OfCall, nil, []int{429}, []string{"*"}, Busy, "RFC 6585, section 4, does not say that nothing was done"},
	{OfCall, nil, []int{400, 401, 403, 404}, unsigned, Unsigned, "Common errors: checked before the call is looked at"},
	{OfCall, nil, []int{401}, []string{"?*"}, Unsigned, "RFC 9110, section 15.5.2: the request has not been applied"},
	{OfCall, nil, []int{400, 403}, denied, Denied, "Common errors, and RAM: checked before the call is carried out"},
	{OfCall, changing, []int{400, 403, 409}, notYet, NotYet, "RebuildDesktops; for a call as a whole: " + "a 4xx started nothing"},
	{OfCall, nil, []int{400, 404}, wrong, Refused, pageSays},
	{OfCall, nil, []int{400, 404}, nowhere, Refused, seen},
	{OfCall, nil, []int{400, 404}, wrongCall, Refused, "Common errors: there is no such API"},

	{OfDesktop, rebuilding, nil, inside, Unknown, "as for a call"},
	{OfDesktop, rebuilding, nil, []string{"success"}, Done, "RebuildDesktops; its spelling differs from page to page"},
	{OfDesktop, rebuilding, nil, notYet, NotYet, "RebuildDesktops"},
	{OfDesktop, rebuilding, nil, throttling, Throttled, pageSays},
	{OfDesktop, rebuilding, nil, denied, Denied, pageSays},
	{OfDesktop, rebuilding, nil, wrong, Refused, pageSays},
	{OfDesktop, rebuilding, nil, nowhere, Refused, seen},
}

// Parameters are those of each API, for codes that name one. A test holds them
// to the SDK's.
var parameters = map[string][]string{
	"RebuildDesktops":              {"RegionId", "DesktopId", "ImageId", "OperateType", "Language", "AfterStatus"},
	"StopDesktops":                 {"RegionId", "DesktopId", "StoppedMode"},
	"StartDesktops":                {"RegionId", "DesktopId"},
	"SetDesktopMaintenance":        {"RegionId", "DesktopIds", "Mode"},
	"RunCommand":                   {"RegionId", "DesktopId", "Type", "Timeout", "CommandContent", "ContentEncoding"},
	"CreateSnapshot":               {"RegionId", "DesktopId", "SnapshotName", "SourceDiskType"},
	"DescribeSnapshots":            {"RegionId", "DesktopId", "MaxResults", "NextToken"},
	"DescribeDesktopSessions":      {"RegionId", "DesktopId", "CheckOsSession", "StartTime", "PageNumber", "PageSize"},
	"DescribeClientEvents":         {"RegionId", "DesktopId", "EventTypes", "StartTime", "EndTime", "MaxResults", "NextToken"},
	"DescribeInvocations":          {"RegionId", "InvokeId", "MaxResults", "NextToken", "IncludeInvokeDesktops", "IncludeOutput", "ContentEncoding"},
	"DescribeDesktops":             {"RegionId", "DesktopId", "MaxResults", "NextToken", "FilterDesktopGroup"},
	"DescribeImages":               {"RegionId", "ImageId", "ImageName", "MaxResults", "NextToken"},
	"DescribeImageModifiedRecords": {"RegionId", "DesktopId", "MaxResults", "NextToken"},
	"ListTagResources":             {"RegionId", "ResourceType", "ResourceId", "MaxResults", "NextToken", "Tag"},
}

// Actions are the calls of ECD that regild makes, as RAM names them without the
// product. docs/ram grants the same, and no other.
var Actions = slices.Sorted(maps.Keys(parameters))

// SessionPolicy is the policy of credentials with which regild's calls of ECD can be
// made, and nothing else.
func SessionPolicy() string {
	return `{"Version":"1","Statement":[{"Effect":"Allow","Action":["ecd:` + strings.Join(Actions, `","ecd:`) + `"],"Resource":"*"}]}`
}

// verdict returns what an answer to api is taken for. status is not looked at
// for the code of a desktop.
func verdict(level Level, api string, status int, code string) Verdict {
	if r := row(level, api, status, code); r != nil {
		return r.Verdict
	}
	return Unknown
}

// unlisted says whether ECD refuses a call by a code that no page lists, which
// may be about one of its desktops.
func unlisted(api string, status int, code string) bool {
	return status >= 400 && status <= 499 && code != "" && row(OfCall, api, status, code) == nil
}

// row returns the first row that fits an answer, or nil.
func row(level Level, api string, status int, code string) *Row {
	for i := range Table {
		if Table[i].fits(level, api, status, code) {
			return &Table[i]
		}
	}
	return nil
}

func (r *Row) fits(level Level, api string, status int, code string) bool {
	return r.Level == level &&
		(len(r.APIs) == 0 || slices.Contains(r.APIs, api)) &&
		(level == OfDesktop || len(r.Statuses) == 0 || slices.Contains(r.Statuses, status)) &&
		slices.ContainsFunc(r.Codes, func(pattern string) bool { return r.meets(pattern, api, code) })
}

// meets says whether a code is one that a pattern of the row stands for.
func (r *Row) meets(pattern, api, code string) bool {
	if !r.Verdict.Nothing() { // to be on the safe side, in any spelling
		pattern, code = strings.ToLower(pattern), strings.ToLower(code)
	}
	switch {
	case pattern == "*":
		return true
	case pattern == "?*":
		return code != ""
	case strings.Contains(pattern, "<P>"):
		return slices.ContainsFunc(parameters[api], func(p string) bool { return glob(strings.Replace(pattern, "<P>", p, 1), code) })
	}
	return glob(pattern, code)
}

// glob knows a * at either end.
func glob(pattern, s string) bool {
	text, open := strings.CutSuffix(pattern, "*")
	if !open {
		return s == pattern
	}
	if text, both := strings.CutPrefix(text, "*"); both {
		return strings.Contains(s, text)
	}
	return strings.HasPrefix(s, text)
}
