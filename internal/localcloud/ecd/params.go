package ecd

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// Bounds of one call, far above what any operation takes.
const (
	maxBody       = 1 << 20
	maxParameters = 2000
	maxIndex      = 1000 // of a repeated parameter, such as 100 in DesktopId.100
)

// A refusal is an answer of 4xx: nothing was done.
type refusal struct {
	Status        int
	Code, Message string
}

func (r *refusal) Error() string { return r.Code + ": " + r.Message }

func refuse(status int, code, format string, args ...any) *refusal {
	return &refusal{Status: status, Code: code, Message: fmt.Sprintf(format, args...)}
}

func missing(name string) *refusal {
	return refuse(http.StatusBadRequest, "Missing"+name, "The input parameter %q that is mandatory for processing this request is not supplied.", name)
}

func invalid(name, format string, args ...any) *refusal {
	return refuse(http.StatusBadRequest, "InvalidParameter."+name, "The specified parameter %s is not valid: %s.", name, fmt.Sprintf(format, args...))
}

// notFound is the refusal of a thing that is not there. kind is such as DesktopId.
func notFound(kind, id string) *refusal {
	return refuse(http.StatusNotFound, "Invalid"+kind+".NotFound", "The specified %s %q is not found.", kind, id)
}

// A form is what a request carries: parameters of the query and of a form body,
// which ACS3 signs apart.
type form struct {
	query, body url.Values
	raw         []byte // the body
}

// readForm reads the parameters of r and leaves its body readable.
func readForm(r *http.Request) (form, error) {
	raw, err := peekBody(r)
	if err != nil {
		return form{}, err
	}
	f := form{raw: raw}
	if f.query, err = url.ParseQuery(r.URL.RawQuery); err != nil {
		return form{}, refuse(http.StatusBadRequest, "InvalidParameter", "The query cannot be parsed.")
	}
	media, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if media == "application/x-www-form-urlencoded" {
		if f.body, err = url.ParseQuery(string(raw)); err != nil {
			return form{}, refuse(http.StatusBadRequest, "InvalidParameter", "The form body cannot be parsed.")
		}
	}
	if len(f.query)+len(f.body) > maxParameters {
		return form{}, refuse(http.StatusBadRequest, "InvalidParameter", "The request has more than %d parameters.", maxParameters)
	}
	return f, nil
}

// peekBody reads the body and puts it back.
func peekBody(r *http.Request) ([]byte, error) {
	if r.Body == nil {
		return nil, nil
	}
	raw, err := io.ReadAll(io.LimitReader(r.Body, maxBody+1))
	r.Body = &peeked{Reader: io.MultiReader(bytes.NewReader(raw), r.Body), Closer: r.Body}
	if err != nil {
		return nil, fmt.Errorf("reading the body: %w", err)
	}
	if len(raw) > maxBody {
		return nil, refuse(http.StatusRequestEntityTooLarge, "RequestBodyTooLarge", "The body is larger than %d bytes.", maxBody)
	}
	return raw, nil
}

type peeked struct {
	io.Reader
	io.Closer
}

// all returns every parameter; one of the query comes before one of the body.
func (f form) all() params {
	p := params{}
	for _, from := range []url.Values{f.query, f.body} {
		for name, values := range from {
			if _, taken := p[name]; !taken && len(values) > 0 {
				p[name] = values[0]
			}
		}
	}
	return p
}

// params are the parameters of a call by name. An empty value counts as none,
// as it does for the service.
type params map[string]string

// required returns a parameter that must be there.
func (p params) required(name string) (string, error) {
	if p[name] == "" {
		return "", missing(name)
	}
	return p[name], nil
}

// oneOf returns a parameter that may be absent or one of the list, as it is
// spelled there.
func (p params) oneOf(name string, list ...string) (string, error) {
	v := p[name]
	if v == "" || slices.Contains(list, v) {
		return v, nil
	}
	return "", invalid(name, "it must be one of %s", strings.Join(list, ", "))
}

// flag returns a boolean parameter, or its default.
func (p params) flag(name string, otherwise bool) (bool, error) {
	switch strings.ToLower(p[name]) {
	case "":
		return otherwise, nil
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, invalid(name, "it must be true or false")
}

// number returns a whole number within bounds, or its default.
func (p params) number(name string, otherwise, low, high int) (int, error) {
	if p[name] == "" {
		return otherwise, nil
	}
	n, err := strconv.Atoi(p[name])
	if err != nil || n < low || n > high {
		return 0, invalid(name, "it must be a number from %d to %d", low, high)
	}
	return n, nil
}

// list returns the values of name.1, name.2, … in the order of their numbers,
// at most so many. An empty one counts as none.
func (p params) list(name string, most int) ([]string, error) {
	numbers, err := p.indices(name, "")
	if err != nil {
		return nil, err
	}
	out := make([]string, 0, len(numbers))
	for _, n := range numbers {
		if v := p[name+"."+strconv.Itoa(n)]; v != "" {
			out = append(out, v)
		}
	}
	if len(out) > most {
		return nil, invalid(name, "it has %d values, more than %d", len(out), most)
	}
	return out, nil
}

// ids returns a list that must not be empty.
func (p params) ids(name string, most int) ([]string, error) {
	out, err := p.list(name, most)
	if err == nil && len(out) == 0 {
		err = missing(name)
	}
	return out, err
}

// A tag is one Tag.N.Key with its Tag.N.Value. Without HasValue it stands for
// every value of the key.
type tag struct {
	Key, Value string
	HasValue   bool
}

// tags returns Tag.1, Tag.2, …, at most 20.
func (p params) tags() ([]tag, error) {
	numbers, err := p.indices("Tag", ".Key")
	if err != nil {
		return nil, err
	}
	out := make([]tag, 0, len(numbers))
	for _, n := range numbers {
		at := "Tag." + strconv.Itoa(n)
		value, has := p[at+".Value"]
		out = append(out, tag{Key: p[at+".Key"], Value: value, HasValue: has})
	}
	if len(out) > maxTags {
		return nil, invalid("Tag", "it has %d values, more than %d", len(out), maxTags)
	}
	return out, nil
}

// indices returns the numbers N of the parameters name.N+suffix, in order.
func (p params) indices(name, suffix string) ([]int, error) {
	var out []int
	for key := range p {
		middle, ok := strings.CutPrefix(key, name+".")
		if !ok {
			continue
		}
		middle, ok = strings.CutSuffix(middle, suffix)
		if !ok {
			continue
		}
		n, err := strconv.Atoi(middle)
		if err != nil || n < 1 || n > maxIndex || strconv.Itoa(n) != middle {
			return nil, invalid(name, "%.40q is not a number from 1 to %d", middle, maxIndex)
		}
		out = append(out, n)
	}
	slices.Sort(out)
	return out, nil
}

// refusalOf returns err as an answer; what is not a refusal is the client's
// broken request.
func refusalOf(err error) *refusal {
	if r, ok := errors.AsType[*refusal](err); ok {
		return r
	}
	return refuse(http.StatusBadRequest, "InvalidParameter", "The request cannot be read.")
}
