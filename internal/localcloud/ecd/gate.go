package ecd

import (
	"net/http"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
)

// A Gate admits calls as this server does, by the signatures ACS3 and RPC, for
// the stand-ins of other products that are signed alike. Several goroutines may
// use it.
type Gate struct{ gate gate }

// NewGate returns a gate for calls that are signed with one of the keys.
func NewGate(keys ...Keys) *Gate { return &Gate{newGate(keys)} }

// WithAssumed has the gate admit the keys of assumed roles as well, until their
// end by the clock.
func (g *Gate) WithAssumed(of func(keyID string) (Assumed, bool), at *clock.Clock) *Gate {
	g.gate.assumed, g.gate.cloud = of, at.Now
	return g
}

// Admit returns a call's parameters, of the query and of a form body, and whose
// keys it is signed with, or the status, code and message of the refusal. The body
// stays readable.
func (g *Gate) Admit(r *http.Request) (parameters map[string]string, by Assumed, status int, code, message string) {
	f, err := readForm(r)
	if err == nil {
		by, err = g.gate.admit(r, f, time.Now())
	}
	if err != nil {
		no := refusalOf(err)
		return nil, Assumed{}, no.Status, no.Code, no.Message
	}
	return f.all(), by, 0, "", ""
}
