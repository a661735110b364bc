package ecd

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/regild/regild/internal/desktop"
)

// envelope is what every answer of ECD's has, good or bad. Source: "Common
// response parameters" of the ECD API reference.
type envelope struct {
	RequestID text `json:"RequestId"`
	Code      text
	Message   text
}

// said is what an answer has besides its own. What answers are decoded into embeds an
// envelope, so that a page is read once.
func (e envelope) said() envelope { return e }

// decode reads one JSON object. Fields it does not know are ignored.
func decode[T any](body []byte) (T, error) {
	var v T
	body = bytes.TrimSpace(body)
	if len(body) == 0 {
		return v, errors.New("empty body")
	}
	if body[0] != '{' {
		return v, errors.New("not a JSON object")
	}
	err := json.Unmarshal(body, &v)
	return v, err
}

// ECD's types differ from one API and version to the next: sizes come as
// numbers and as text, GpuCategory as a bool and as a number. The types below
// take each form, so that one odd field does not cost a whole page.

// text is a string; a number or a bool is taken as written, null is "".
type text string

func (t *text) UnmarshalJSON(b []byte) error {
	if b[0] == '"' {
		plain := b[1 : len(b)-1]
		if word, ok := usual[string(plain)]; ok {
			*t = word
			return nil
		}
		if bytes.IndexByte(plain, '\\') < 0 && utf8.Valid(plain) {
			*t = text(plain) // nearly all are, and a page has thousands
			return nil
		}
		return json.Unmarshal(b, (*string)(t))
	}
	if *t = text(b); string(b) == "null" {
		*t = ""
	}
	return nil
}

// usual are words that nearly every desktop and result has: they need no memory each time.
var usual = func() map[string]text {
	words := map[string]text{}
	for _, w := range []text{
		"", desktop.Running, desktop.Stopped, desktop.Connected, desktop.Disconnected, "NoFlag", "Windows", "Linux", "ASP", "HDX",
		"SINGLE_SESSION", "SYSTEM", "DATA", "PostPaid", "PrePaid", "success",
	} {
		words[string(w)] = w
	}
	return words
}()

// number is an amount; text such as "80" is read, anything else is 0.
type number float64

func (n *number) UnmarshalJSON(b []byte) error {
	if b[0] != '"' {
		*n = numberOf(string(b))
		return nil
	}
	var t text
	if err := t.UnmarshalJSON(b); err != nil {
		return err
	}
	*n = numberOf(string(t))
	return nil
}

func numberOf(s string) number {
	s = strings.ToLower(strings.TrimSpace(s))
	if s == "true" {
		return 1
	}
	f, _ := strconv.ParseFloat(s, 64) // what cannot be read is 0, or infinite
	if math.IsNaN(f) || f < -1<<31 || f > 1<<31 {
		return 0
	}
	return number(f)
}

// list is a list of T without its null elements.
type list[T any] []T

func (l *list[T]) UnmarshalJSON(b []byte) error {
	if string(b) == "[]" {
		*l = list[T]{}
		return nil
	}
	var all []*T
	if err := json.Unmarshal(b, &all); err != nil {
		return err
	}
	*l = make(list[T], 0, len(all))
	for _, v := range all {
		if v != nil {
			*l = append(*l, *v)
		}
	}
	return nil
}

// texts is a list of texts without its null elements.
type texts []text

func (l *texts) UnmarshalJSON(b []byte) error {
	if n := len(b); n > 4 && b[0] == '[' && b[1] == '"' && bytes.IndexByte(b[2:], '"') == n-4 {
		if one := make(texts, 1); one[0].UnmarshalJSON(b[1:n-1]) == nil {
			*l = one // nearly all are of one
			return nil
		}
	}
	var all list[text]
	err := all.UnmarshalJSON(b)
	*l = texts(all)
	return err
}

// timeForms are the ways in which ECD writes times: some CreationTime has no
// seconds, UpdateTime of a record has milliseconds.
var timeForms = []string{"2006-01-02T15:04Z07:00", time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05"}

// parseTime returns the time that t says, or zero when it says none.
func parseTime(t text) time.Time {
	if t == "" {
		return time.Time{}
	}
	for _, form := range timeForms {
		if at, err := time.Parse(form, strings.TrimSpace(string(t))); err == nil {
			return at.UTC()
		}
	}
	return time.Time{}
}

// words returns the distinct non-empty texts of all lists, in order.
func words(lists ...texts) []string {
	var out []string
	for _, l := range lists {
		for _, t := range l {
			if t != "" && !slices.Contains(out, string(t)) { // a handful
				out = append(out, string(t))
			}
		}
	}
	return out
}
