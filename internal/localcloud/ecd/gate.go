package ecd

import (
	"net/http"
	"time"
)

// A Gate admits calls as this server does, by the signatures ACS3 and RPC, for
// the stand-ins of other products that are signed alike. Several goroutines may
// use it.
type Gate struct{ gate gate }

// NewGate returns a gate for calls that are signed with one of the keys.
func NewGate(keys ...Keys) *Gate { return &Gate{newGate(keys)} }

// Admit returns a call's parameters, of the query and of a form body, or the
// status, code and message of the refusal. The body stays readable.
func (g *Gate) Admit(r *http.Request) (parameters map[string]string, status int, code, message string) {
	f, err := readForm(r)
	if err == nil {
		err = g.gate.admit(r, f, time.Now())
	}
	if err != nil {
		no := refusalOf(err)
		return nil, no.Status, no.Code, no.Message
	}
	return f.all(), 0, "", ""
}
