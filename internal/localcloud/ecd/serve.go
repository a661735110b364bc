package ecd

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/regild/regild/internal/localcloud/fault"
)

// version is the API that this package speaks.
const version = "2020-09-30"

// A call is one call that was authenticated.
type call struct {
	params
	now       time.Time // cloud time
	requestID string
	fault     *fault.Rule // of RebuildDesktops: what happens to single desktops
}

// An operation does one call and returns the body of its answer, which embeds
// an id, or a refusal. It holds the server's lock.
type operation func(*call) (any, error)

// id is the part that all answers have.
type id struct{ RequestId string }

func (c *call) id() id { return id{RequestId: c.requestID} }

// table returns the operations by name. All but two are called by the function or
// the command. TagResources is for whoever tries out fleets that select by tags, and
// DescribeRegions, which needs no parameter, for trying out how a client signs.
func (s *Server) table() map[string]operation {
	return map[string]operation{
		"CreateSnapshot":               s.createSnapshot,
		"DescribeClientEvents":         s.describeClientEvents,
		"DescribeDesktops":             s.describeDesktops,
		"DescribeDesktopSessions":      s.describeDesktopSessions,
		"DescribeImageModifiedRecords": s.describeImageModifiedRecords,
		"DescribeImages":               s.describeImages,
		"DescribeInvocations":          s.describeInvocations,
		"DescribeSnapshots":            s.describeSnapshots,
		"DescribeRegions":              s.describeRegions,
		"ListTagResources":             s.listTagResources,
		"RebuildDesktops":              s.rebuildDesktops,
		"RunCommand":                   s.runCommand,
		"SetDesktopMaintenance":        s.setDesktopMaintenance,
		"StartDesktops":                s.startDesktops,
		"StopDesktops":                 s.stopDesktops,
		"TagResources":                 s.tagResources,
	}
}

// operationOf names a call: the header of ACS3, or the Action of the RPC style
// in the query or in a form body. Only what the signature covers counts.
func operationOf(r *http.Request) string {
	if isACS3(r) {
		return r.Header.Get("x-acs-action")
	}
	if name := r.URL.Query().Get("Action"); name != "" {
		return name
	}
	raw, err := peekBody(r)
	if err != nil {
		return ""
	}
	body, err := url.ParseQuery(string(raw))
	if err != nil {
		return ""
	}
	return body.Get("Action")
}

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	if m := s.member(r); m != nil {
		s = m
	}
	requestID := newRequestID()
	body, err := s.answer(w, r, requestID)
	if err != nil {
		no := refusalOf(err)
		writeFailure(w, r, requestID, no)
		return
	}
	write(w, http.StatusOK, requestID, body)
}

func (s *Server) answer(w http.ResponseWriter, r *http.Request, requestID string) (any, error) {
	if r.Method != http.MethodGet && r.Method != http.MethodPost {
		return nil, refuse(http.StatusMethodNotAllowed, "UnsupportedHTTPMethod", "This http method is not supported.")
	}
	f, err := readForm(r)
	if err != nil {
		return nil, err
	}
	by, err := s.gate.admit(r, f, time.Now())
	if err != nil {
		return nil, err
	}
	p := f.all()
	spoken := p["Version"]
	if isACS3(r) {
		spoken = r.Header.Get("x-acs-version")
	}
	if spoken != version {
		return nil, refuse(http.StatusBadRequest, "InvalidVersion", "Specified parameter Version is not valid.")
	}
	name := operationOf(r)
	do, ok := s.operations[name]
	if !ok || r.URL.Path != "/" {
		return nil, refuse(http.StatusNotFound, "InvalidAction.NotFound", "Specified api is not found, please check your url and method.")
	}
	if !by.may("ecd:" + name) {
		return nil, refuse(http.StatusForbidden, "Forbidden.RAM", "User not authorized to operate on the specified resource, or this API doesn't support RAM.")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &call{params: p, now: s.opts.Clock.Now(), requestID: requestID, fault: fault.OfDesktops(r.Context())}
	if err := s.spend(w, name, c.now); err != nil {
		return nil, err
	}
	return do(c)
}

// A window counts the calls of one operation in one second.
type window struct {
	second time.Time
	calls  int
}

// spend counts a call against its limit, and tells the client where it stands.
func (s *Server) spend(w http.ResponseWriter, name string, now time.Time) error {
	limit := s.opts.Limits[name]
	if limit == 0 {
		return nil
	}
	second := now.Truncate(time.Second)
	used := s.spent[name]
	if !used.second.Equal(second) {
		used = window{second: second}
	}
	left := second.Add(time.Second).Sub(now).Milliseconds()
	over := used.calls >= limit
	if !over {
		used.calls++
	}
	s.spent[name] = used
	w.Header().Set("x-ratelimit-user-api",
		fmt.Sprintf("Limit:%d,Remain:%d,TimeLeft:%d,Reset:%d", limit, limit-used.calls, left, second.Add(time.Second).Unix()))
	if over {
		return refuse(http.StatusBadRequest, "Throttling.User", "Request was denied due to user flow control.")
	}
	return nil
}

// fail writes an error for the fault injector.
func fail(w http.ResponseWriter, r *http.Request, status int, code, message string) {
	writeFailure(w, r, newRequestID(), &refusal{Status: status, Code: code, Message: message})
}

func writeFailure(w http.ResponseWriter, r *http.Request, requestID string, no *refusal) {
	write(w, no.Status, requestID, struct {
		RequestId, HostId, Code, Message, Recommend string
	}{
		requestID, r.Host, no.Code, no.Message,
		"https://api.aliyun.com/troubleshoot?q=" + url.QueryEscape(no.Code) + "&product=ecd",
	})
}

func write(w http.ResponseWriter, status int, requestID string, body any) {
	raw, err := json.Marshal(body)
	if err != nil { // no body of this package has a value that JSON lacks
		status, raw = http.StatusInternalServerError, nil
	}
	h := w.Header()
	h.Set("Content-Type", "application/json;charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(raw)))
	h.Set("x-acs-request-id", requestID)
	w.WriteHeader(status)
	_, _ = w.Write(raw)
}

// newRequestID returns an id in the service's form, an upper-case UUID.
func newRequestID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6], b[8] = b[6]&0x0f|0x40, b[8]&0x3f|0x80
	return strings.ToUpper(fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:]))
}
