package fc

import (
	"encoding/json"
	"io"
	"math"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Kinds of a call, as the header x-fc-function-type tells them.
const (
	handlerCall     = 0
	initializerCall = 1
	preStopCall     = 2
)

// The runtime API's paths, as fc-runtime-go-sdk v0.3.1 asks for them
// (fc/runtime_api_client.go).
const (
	nextPath     = "GET /2020-11-11/runtime/invocation/next"
	responsePath = "POST /2020-11-11/runtime/invocation/{id}/response"
	errorPath    = "POST /2020-11-11/runtime/invocation/{id}/error"
)

// A call is one thing that an instance is asked to do: an event or a hook.
type call struct {
	kind       int
	what       string // for people
	id         string
	limit      time.Duration // how long it may take
	payload    []byte
	retryCount int
	keys       Keys

	taken  chan struct{} // closed when the process has asked for it
	answer chan answer   // holds one
}

type answer struct {
	body []byte
	fail *failure // nil: success
}

// A failure is what the SDK posts to the error path.
type failure struct {
	Message string `json:"errorMessage"`
	Type    string `json:"errorType"`
}

func newCall(kind int, id string, f *Function) *call {
	c := &call{
		kind: kind, what: "function", id: id, limit: f.Timeout, keys: f.Keys(),
		taken: make(chan struct{}), answer: make(chan answer, 1),
	}
	switch kind {
	case initializerCall:
		c.what, c.limit = "initializer", f.InitializerTimeout
	case preStopCall:
		c.what, c.limit = "preStop hook", f.PreStopTimeout
	}
	return c
}

// runtimeAPI is what one instance speaks to. It must never answer a waiting
// next with an error: the SDK asks again at once and without end.
type runtimeAPI struct {
	function *Function
	work     chan *call // unbuffered: received from only by a process that asks
	answered func()     // called before an answer is acknowledged, while the process surely lives

	mu      sync.Mutex
	first   time.Time // of the first next
	pending map[string]*call
}

func newRuntimeAPI(f *Function, answered func()) *runtimeAPI {
	return &runtimeAPI{
		function: f, work: make(chan *call),
		answered: answered, pending: map[string]*call{},
	}
}

func (a *runtimeAPI) handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(nextPath, a.next)
	mux.HandleFunc(responsePath, func(w http.ResponseWriter, r *http.Request) {
		a.settle(w, r, func(body []byte) answer { return answer{body: body} })
	})
	mux.HandleFunc(errorPath, func(w http.ResponseWriter, r *http.Request) { a.settle(w, r, failed) })
	return mux
}

func failed(body []byte) answer {
	var f failure
	if err := json.Unmarshal(body, &f); err != nil || f.Type == "" {
		f = failure{Type: Unhandled, Message: string(body)}
	}
	return answer{fail: &f}
}

// next hangs until there is something to do or the process is gone.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	if a.first.IsZero() {
		a.first = time.Now()
	}
	a.mu.Unlock()
	select {
	case <-r.Context().Done():
	case c := <-a.work:
		a.mu.Lock()
		a.pending[c.id] = c
		a.mu.Unlock()
		a.describe(w.Header(), c)
		close(c.taken)
		_, _ = w.Write(c.payload) // a process that is gone shows as ended
	}
}

// describe writes the headers that the SDK turns into the function's context.
func (a *runtimeAPI) describe(h http.Header, c *call) {
	f := a.function
	deadline := time.Now().Add(c.limit)
	for name, value := range map[string]string{
		"x-fc-request-id":        c.id,
		"x-fc-function-type":     strconv.Itoa(c.kind),
		"x-fc-function-deadline": strconv.FormatInt(deadline.UnixMilli(), 10),
		"x-fc-function-timeout":  strconv.Itoa(int(math.Ceil(c.limit.Seconds()))),
		"x-fc-function-name":     f.Name,
		"x-fc-function-handler":  f.Handler,
		"x-fc-function-memory":   strconv.Itoa(f.MemoryMB),
		"x-fc-account-id":        f.AccountID,
		"x-fc-region":            f.Region,
		"x-fc-qualifier":         "LATEST",
		"x-fc-version-id":        "LATEST",
		"x-fc-retry-count":       strconv.Itoa(c.retryCount),
		"x-fc-access-key-id":     c.keys.ID,
		"x-fc-access-key-secret": c.keys.Secret,
		"x-fc-security-token":    c.keys.Token,
	} {
		h.Set(name, value)
	}
	h.Set("Content-Type", "application/octet-stream")
}

// settle gives a waiting call its answer; a second answer to the same call is
// refused.
func (a *runtimeAPI) settle(w http.ResponseWriter, r *http.Request, read func([]byte) answer) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxPayload))
	if err != nil {
		http.Error(w, "response is larger than the platform takes", http.StatusRequestEntityTooLarge)
		return
	}
	id := r.PathValue("id")
	a.mu.Lock()
	c := a.pending[id]
	delete(a.pending, id)
	a.mu.Unlock()
	if c == nil {
		http.Error(w, "no such invocation is under way", http.StatusNotFound)
		return
	}
	a.answered()
	w.WriteHeader(http.StatusOK)
	c.answer <- read(body)
}

// firstNext returns when the process first asked for work; zero: not yet.
func (a *runtimeAPI) firstNext() time.Time {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.first
}
