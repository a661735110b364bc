package localcloud

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/mns"
)

// maxAdminBody bounds what the admin address reads of one request, in bytes.
const maxAdminBody = 1 << 20

// A question is one request to the admin address. What it returns is answered
// as JSON; an error is answered in plain text.
type question func(r *http.Request, body []byte) (any, error)

// errAbsent says that what was asked for is not there.
var errAbsent = errors.New("no such thing here")

// admin answers the addresses that the package comment lists.
func (c *Cloud) admin() http.Handler {
	mux := http.NewServeMux()
	for pattern, ask := range map[string]question{
		"GET /clock":                        c.tellTime,
		"POST /clock":                       c.moveTime,
		"GET /admin/desktops":               c.listDesktops,
		"GET /admin/desktops/{id}":          c.showDesktop,
		"POST /admin/desktops/{id}":         c.patchDesktop,
		"POST /admin/desktops/{id}/connect": c.connectDesktop,
		"GET /admin/images":                 c.listImages,
		"POST /admin/images/{id}":           c.patchImage,
		"POST /admin/alarms":                c.putAlarm,
		"GET /admin/wipes":                  c.listWipes,
		"GET /admin/outcomes":               c.listOutcomes,
		"POST /admin/send":                  c.send,
		"POST /admin/faults":                c.addFaults,
		"DELETE /admin/faults":              c.clearFaults,
	} {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { answer(w, r, ask) })
	}
	return noPages(http.NewCrossOriginProtection().Handler(mux))
}

// noPages turns away web pages that have their browser ask: those of other origins, and
// those that have a name of their own lead to this machine (DNS rebinding). Programs ask
// by an address.
func noPages(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		name := r.Host
		if host, _, err := net.SplitHostPort(r.Host); err == nil {
			name = host
		}
		if name != "localhost" && net.ParseIP(strings.Trim(name, "[]")) == nil {
			http.Error(w, "ask by an address, not by a name", http.StatusMisdirectedRequest)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func answer(w http.ResponseWriter, r *http.Request, ask question) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxAdminBody))
	if err != nil {
		http.Error(w, fmt.Sprintf("body is larger than %d bytes or was cut off", maxAdminBody), http.StatusRequestEntityTooLarge)
		return
	}
	result, err := ask(r, body)
	switch {
	case errors.Is(err, errAbsent):
		http.Error(w, err.Error(), http.StatusNotFound)
		return
	case err != nil:
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	_ = e.Encode(result) // a client that left does not read it
}

func (c *Cloud) tellTime(*http.Request, []byte) (any, error) {
	return struct {
		Now  time.Time `json:"now"`
		Rate float64   `json:"rate"`
	}{c.Clock.Now(), c.Clock.Rate()}, nil
}

func (c *Cloud) moveTime(r *http.Request, body []byte) (any, error) {
	var move struct {
		Advance time.Duration `yaml:"advance"`
		Rate    *float64      `yaml:"rate"`
	}
	if err := read(body, &move); err != nil {
		return nil, err
	}
	if move.Advance < 0 || (move.Rate != nil && *move.Rate < 0) {
		return nil, errors.New("the clock does not run backwards")
	}
	if move.Rate != nil {
		c.Clock.SetRate(*move.Rate)
	}
	c.Clock.Advance(move.Advance)
	return c.tellTime(r, nil)
}

// desktops returns those of the account that a request names, or of the own.
func (c *Cloud) desktops(r *http.Request) (*ecd.Server, error) {
	id := formValue(r, "account", "")
	if s := c.Accounts[id]; s != nil {
		return s, nil
	}
	if id != "" {
		return nil, fmt.Errorf("account %s: %w", id, errAbsent)
	}
	return c.ECD, nil
}

func (c *Cloud) listDesktops(r *http.Request, _ []byte) (any, error) {
	s, err := c.desktops(r)
	if err != nil {
		return nil, err
	}
	return inStateWords(s.Desktops())
}

func (c *Cloud) listImages(r *http.Request, _ []byte) (any, error) {
	s, err := c.desktops(r)
	if err != nil {
		return nil, err
	}
	return inStateWords(s.Images())
}

func (c *Cloud) showDesktop(r *http.Request, _ []byte) (any, error) {
	s, err := c.desktops(r)
	if err != nil {
		return nil, err
	}
	d, ok := s.Desktop(r.PathValue("id"))
	if !ok {
		return nil, fmt.Errorf("desktop %s: %w", r.PathValue("id"), errAbsent)
	}
	return inStateWords(d)
}

func (c *Cloud) patchDesktop(r *http.Request, body []byte) (any, error) {
	s, err := c.desktops(r)
	if err != nil {
		return nil, err
	}
	found := s.Update(r.PathValue("id"), func(d *ecd.Desktop) {
		patched := *d
		patched.Tags = nil // a patch replaces the tags, and must not write into d's
		if err = read(body, &patched); err != nil {
			return
		}
		if patched.Tags == nil {
			patched.Tags = d.Tags
		}
		*d = patched
	})
	if !found {
		return nil, fmt.Errorf("desktop %s: %w", r.PathValue("id"), errAbsent)
	}
	if err != nil {
		return nil, err
	}
	return c.showDesktop(r, nil)
}

func (c *Cloud) connectDesktop(r *http.Request, _ []byte) (any, error) {
	s, err := c.desktops(r)
	if err != nil {
		return nil, err
	}
	user := formValue(r, "user", "")
	if user == "" {
		return nil, errors.New("user is missing")
	}
	if fails := formValue(r, "fails", ""); fails != "" {
		if !s.LogOn(r.PathValue("id"), user, fails) {
			return nil, fmt.Errorf("desktop %s: %w", r.PathValue("id"), errAbsent)
		}
		return c.showDesktop(r, nil)
	}
	if !s.Connect(r.PathValue("id"), user) {
		return nil, errors.New("the desktop is absent, not running or in maintenance")
	}
	return c.showDesktop(r, nil)
}

func (c *Cloud) patchImage(r *http.Request, body []byte) (any, error) {
	s, err := c.desktops(r)
	if err != nil {
		return nil, err
	}
	var after ecd.Image
	found := s.UpdateImage(r.PathValue("id"), func(i *ecd.Image) {
		patched := *i
		if err = read(body, &patched); err == nil {
			*i = patched
		}
		after = *i
	})
	if !found {
		return nil, fmt.Errorf("image %s: %w", r.PathValue("id"), errAbsent)
	}
	if err != nil {
		return nil, err
	}
	return inStateWords(after)
}

func (c *Cloud) putAlarm(_ *http.Request, body []byte) (any, error) {
	var a Alarm
	if err := read(body, &a); err != nil {
		return nil, err
	}
	if err := a.check(); err != nil {
		return nil, err
	}
	a.put(c.Control)
	return inStateWords(a)
}

// listWipes answers with the ledger under the names of its Go fields.
func (c *Cloud) listWipes(*http.Request, []byte) (any, error) {
	return append([]ecd.Wipe{}, c.Wipes()...), nil
}

// text is a message's body: JSON as it is, anything else as a string.
func text(body []byte) any {
	if json.Valid(body) {
		return json.RawMessage(body)
	}
	return string(body)
}

func (c *Cloud) listOutcomes(r *http.Request, _ []byte) (any, error) {
	type publication struct {
		ID   string    `json:"id"`
		Time time.Time `json:"time"`
		Tag  string    `json:"tag"`
		Body any       `json:"body"`
	}
	all := []publication{}
	for _, p := range c.MNS.Published(formValue(r, "topic", ResultTopic)) {
		all = append(all, publication{p.ID, p.Time, p.Tag, text(p.Body)})
	}
	return all, nil
}

func (c *Cloud) send(r *http.Request, body []byte) (any, error) {
	delay, err := time.ParseDuration(formValue(r, "delay", "0s"))
	if err != nil || delay < 0 {
		return nil, errors.New("delay is not a duration such as 90s")
	}
	id, err := c.MNS.Send(formValue(r, "queue", RequestQueue), body, delay)
	if e, ok := errors.AsType[*mns.Error](err); ok && e.Status == http.StatusNotFound {
		return nil, fmt.Errorf("%w: %w", err, errAbsent)
	}
	return map[string]string{"id": id}, err
}

func (c *Cloud) addFaults(_ *http.Request, body []byte) (any, error) {
	var rules []fault.Rule
	if err := read(body, &rules); err != nil {
		rules = make([]fault.Rule, 1)
		if err := read(body, &rules[0]); err != nil {
			return nil, err
		}
	}
	var faults []error
	added := []string{}
	for _, r := range rules {
		faults = append(faults, checkRule(r))
		added = append(added, r.String())
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	c.Faults.Add(rules...)
	return map[string][]string{"added": added}, nil
}

func (c *Cloud) clearFaults(*http.Request, []byte) (any, error) {
	c.Faults.Clear()
	return map[string]bool{"cleared": true}, nil
}

// formValue reads the URL alone: the body is the message.
func formValue(r *http.Request, name, otherwise string) string {
	if v := r.URL.Query().Get(name); v != "" {
		return v
	}
	return otherwise
}

// read decodes a body strictly, as state files are.
func read(body []byte, into any) error {
	if err := yaml.Load(body, into, yaml.WithKnownFields()); err != nil {
		return fmt.Errorf("reading the body: %w", err)
	}
	return nil
}

// inStateWords returns v as a state file would write it, ready for JSON.
func inStateWords(v any) (any, error) {
	data, err := yaml.Dump(v)
	if err != nil {
		return nil, fmt.Errorf("writing the answer: %w", err)
	}
	var plain any
	if err := yaml.Load(data, &plain); err != nil {
		return nil, fmt.Errorf("writing the answer: %w", err)
	}
	return plain, nil
}
