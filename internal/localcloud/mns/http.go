package mns

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"

	"github.com/regild/regild/internal/localcloud/fault"
)

// maxRequest bounds a request's body: a full batch, escaped at its worst, and
// room for its markup.
const maxRequest = 1 << 20

// Handler returns the server's HTTP side, with the faults of Options around it
// under the service name mns. It takes calls that name the endpoint in the Host
// header as well as those that have it as the first part of the path, which is
// how the vendor's Go SDK can be led to loopback
// (http://localhost:PORT/<account>.mns.<region>.aliyuncs.com).
func (s *Server) Handler() http.Handler {
	wrapped := s.faults.Wrap(fault.Service{
		Name:           "mns",
		Operation:      func(r *http.Request) string { return callOf(r).operation },
		Fail:           s.fail,
		ThrottleStatus: http.StatusTooManyRequests,
		ThrottleCode:   "TooManyRequests",
	}, http.HandlerFunc(s.serve))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c := readCall(r)
		wrapped.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), callKey{}, c)))
	})
}

// A call is one request, read. What was wrong with it is kept until it is known
// who asked.
type call struct {
	operation string
	method    string
	endpoint  string   // host name of the endpoint, if the path begins with one
	target    string   // path and query as sent, without the endpoint
	path      []string // queues, <name>, messages and the like
	query     map[string]string
	header    http.Header
	body      []byte
	err       error
}

type callKey struct{}

// callOf returns what Handler has read.
func callOf(r *http.Request) *call {
	c, _ := r.Context().Value(callKey{}).(*call)
	if c == nil {
		c = &call{err: errRequestURL}
	}
	return c
}

var errRequestURL = &Error{400, "InvalidRequestURL", "Http request URL format invalid."}

// endpointHost is the name of an MNS endpoint: account and region.
var endpointHost = regexp.MustCompile(`^([^./:]+)\.mns\.([^./:]+)\.aliyuncs\.com$`)

func readCall(r *http.Request) *call {
	c := &call{method: r.Method, header: r.Header, query: map[string]string{}}
	c.target = r.RequestURI
	if u, err := url.Parse(c.target); err == nil && u.IsAbs() {
		c.target = strings.TrimPrefix(c.target, u.Scheme+"://"+u.Host)
	}
	if first, rest, _ := strings.Cut(strings.TrimPrefix(c.target, "/"), "/"); endpointHost.MatchString(first) {
		c.endpoint, c.target = first, "/"+rest
	}
	path, query, _ := strings.Cut(c.target, "?")
	c.readPath(path)
	c.readQuery(query)
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequest+1))
	c.body = body
	switch {
	case err != nil:
		c.err = &Error{400, "InvalidArgument", "The request body could not be read."}
	case len(body) > maxRequest:
		c.err = invalidArgument("The request body is larger than %d bytes.", maxRequest)
	}
	c.operation = c.name()
	if c.operation == "" {
		c.operation = "Unknown"
		c.err = errors.Join(c.err, errRequestURL)
	}
	return c
}

func (c *call) readPath(path string) {
	for part := range strings.SplitSeq(strings.Trim(path, "/"), "/") {
		name, err := url.PathUnescape(part)
		if err != nil {
			c.err = errRequestURL
		}
		c.path = append(c.path, name)
	}
}

// readQuery folds the case of keys, as the service does, and leaves "+" alone:
// some SDKs send receipt handles unescaped.
func (c *call) readQuery(query string) {
	for pair := range strings.SplitSeq(query, "&") {
		key, value, _ := strings.Cut(pair, "=")
		value, err := url.PathUnescape(value)
		if err != nil {
			c.err = &Error{400, "InvalidQueryString", "The query string is not valid."}
		}
		if key != "" {
			c.query[strings.ToLower(key)] = value
		}
	}
}

// name returns the operation a call asks for, as the documentation names it, or
// "".
func (c *call) name() string {
	shape := c.method + " " + c.path[0]
	if len(c.path) > 2 {
		shape += " " + c.path[2]
	}
	shape += " " + strconv.Itoa(len(c.path))
	name := operations[shape]
	for _, v := range variants[name] {
		if v.meant(c) {
			return v.name
		}
	}
	return name
}

// operations by method, kind of resource and number of path segments.
var operations = map[string]string{
	"PUT queues 2":               "CreateQueue",
	"GET queues 2":               "GetQueueAttributes",
	"DELETE queues 2":            "DeleteQueue",
	"GET queues 1":               "ListQueue",
	"POST queues messages 3":     "SendMessage",
	"GET queues messages 3":      "ReceiveMessage",
	"DELETE queues messages 3":   "DeleteMessage",
	"PUT queues messages 3":      "ChangeMessageVisibility",
	"PUT topics 2":               "CreateTopic",
	"GET topics 2":               "GetTopicAttributes",
	"POST topics messages 3":     "PublishMessage",
	"GET topics subscriptions 3": "ListSubscriptionByTopic",

	"PUT topics subscriptions 4":    "Subscribe",
	"GET topics subscriptions 4":    "GetSubscriptionAttributes",
	"DELETE topics subscriptions 4": "Unsubscribe",
}

// A variant is another operation under the same method and path.
type variant struct {
	name  string
	meant func(*call) bool
}

// variants of an operation; the first that is meant wins.
var variants = map[string][]variant{
	"CreateQueue":   {{"SetQueueAttributes", (*call).overrides}},
	"CreateTopic":   {{"SetTopicAttributes", (*call).overrides}},
	"Subscribe":     {{"SetSubscriptionAttributes", (*call).overrides}},
	"SendMessage":   {{"BatchSendMessage", (*call).sendsBatch}},
	"DeleteMessage": {{"BatchDeleteMessage", (*call).deletesBatch}},
	"ReceiveMessage": {
		{"BatchPeekMessage", func(c *call) bool { return c.peeks() && c.counts() }},
		{"PeekMessage", (*call).peeks},
		{"BatchReceiveMessage", (*call).counts},
	},
}

func (c *call) has(key string) bool { _, ok := c.query[key]; return ok }
func (c *call) overrides() bool     { return strings.EqualFold(c.query["metaoverride"], "true") }
func (c *call) peeks() bool         { return strings.EqualFold(c.query["peekonly"], "true") }
func (c *call) counts() bool        { return c.has("numofmessages") }
func (c *call) deletesBatch() bool  { return len(c.body) > 0 && !c.has("receipthandle") }
func (c *call) sendsBatch() bool    { _, name, _ := root(c.body); return name == "Messages" }

// number returns a number of the query within limits, or fallback if it is absent.
func (c *call) number(key string, low, high, fallback int64, unit string) (int64, error) {
	value, ok := c.query[strings.ToLower(key)]
	if !ok {
		return fallback, nil
	}
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return 0, &Error{400, "InvalidQueryString", "The value of " + key + " is not a number."}
	}
	return n, checkRange(key, n, low, high, unit)
}

func checkRange(name string, n, low, high int64, unit string) error {
	if n < low || n > high {
		return invalidArgument("The value of %s should between %d and %d%s.", name, low, high, unit)
	}
	return nil
}

// An answer is what becomes the response: a status, and a body or a location.
type answer struct {
	status   int
	body     *element
	location string
}

// A handler serves one operation. Its error is an *Error.
type handler func(context.Context, *call) (answer, error)

func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := callOf(r)
	err := s.authenticate(r, c)
	if err == nil {
		err = c.err
	}
	var a answer
	if err == nil {
		a, err = s.calls[c.operation](r.Context(), c)
	}
	if err != nil {
		e := &Error{500, "InternalError", "The server has met an internal error."}
		errors.As(err, &e)
		s.fail(w, r, e.Status, e.Code, e.Message)
		return
	}
	s.answer(w, a, s.requestID())
}

// handlers returns what serves each operation. The function and the command send,
// publish, receive, delete and read attributes; setup makes queues, topics and
// subscriptions. The others are for producers and consumers who try their own SDK
// against the local cloud, and for the vendors' clients that judge it (conformance).
func (s *Server) handlers() map[string]handler {
	return map[string]handler{
		"CreateQueue":               s.createQueueCall,
		"SetQueueAttributes":        s.setQueueCall,
		"GetQueueAttributes":        s.getQueueCall,
		"DeleteQueue":               s.deleteQueueCall,
		"ListQueue":                 s.listQueuesCall,
		"SendMessage":               s.sendCall,
		"BatchSendMessage":          s.batchSendCall,
		"ReceiveMessage":            s.receiveCall,
		"BatchReceiveMessage":       s.receiveCall,
		"PeekMessage":               s.peekCall,
		"BatchPeekMessage":          s.peekCall,
		"DeleteMessage":             s.deleteCall,
		"BatchDeleteMessage":        s.batchDeleteCall,
		"ChangeMessageVisibility":   s.visibilityCall,
		"CreateTopic":               s.createTopicCall,
		"SetTopicAttributes":        s.setTopicCall,
		"GetTopicAttributes":        s.getTopicCall,
		"PublishMessage":            s.publishCall,
		"Subscribe":                 s.subscribeCall,
		"SetSubscriptionAttributes": s.setSubscriptionCall,
		"GetSubscriptionAttributes": s.getSubscriptionCall,
		"Unsubscribe":               s.unsubscribeCall,
		"ListSubscriptionByTopic":   s.listSubscriptionsCall,
	}
}

func (s *Server) requestID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.id(24)
}

// fail writes the service's error answer.
func (s *Server) fail(w http.ResponseWriter, _ *http.Request, status int, code, message string) {
	id := s.requestID()
	body := element{name: "Error"}
	body.add("Code", code)
	body.add("Message", message)
	body.add("RequestId", id)
	body.add("HostId", "http://"+s.host())
	s.answer(w, answer{status: status, body: &body}, id)
}

// host is the name of the endpoint in the live service.
func (s *Server) host() string { return s.account + ".mns." + s.region + ".aliyuncs.com" }

// answer writes a response. Header names are set as the service spells them.
func (s *Server) answer(w http.ResponseWriter, a answer, requestID string) {
	h := w.Header()
	h["Server"] = []string{"AliyunMQS"}
	h["Content-Type"] = []string{"text/xml;charset=utf-8"}
	h["x-mns-version"] = []string{"2015-06-06"}
	h["x-mns-request-id"] = []string{requestID}
	h["x-mns-response-format"] = []string{"xml"}
	// As recorded: an account without a type, and milliseconds, none of which are real here.
	h["x-mns-account-type"] = []string{""}
	h["x-mns-netty-total-time"] = []string{"1"}
	h["x-mns-threadpool-wait-time"] = []string{"0"}
	if a.location != "" {
		h["Location"] = []string{a.location}
	}
	w.WriteHeader(a.status)
	if a.body != nil {
		a.body.space = namespace
		_, _ = w.Write(a.body.document(header)) // the client has left; nobody to tell
	}
}
