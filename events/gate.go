package events

import (
	"fmt"
	"slices"
	"strings"

	"github.com/regild/regild/internal/pattern"
)

// This file is the gate through which every code goes out. Codes are a closed
// list: subscribers decide by them. A word of our own that is not in Codes is a
// bug; it must not reach them, and must not keep an outcome from reaching them
// either. So it goes out as CodeUnlisted, with the word in the message, and
// Event.Unlisted tells it to whoever publishes, for the log.

// CodesOfECD are codes of ECD that our own decisions go by and repeat later,
// without a call of which the outcome could name the request id.
var CodesOfECD = []string{"IncorrectDesktopStatus"}

// foreignForm is the form of ECD's codes, such as InvalidDesktopId.NotFound.
var foreignForm = pattern.New(`^[A-Z][A-Za-z0-9]*([._-][A-Za-z0-9]+)*$`, maxForeign)

const maxForeign = 256 // bytes of a code of ECD

// admitted is data that has been through the gate. Marshal writes nothing else,
// and nothing but admit makes one.
type admitted struct{ data any }

// admit takes the data of an event through the gate, and returns the words that
// were replaced on the way. It is an error when an event of a type that says
// something of codes has other data than the type asks for: then nobody knows
// where its codes are.
func admit(eventType string, data any) (admitted, []string, error) {
	var g gate
	switch d := data.(type) {
	case Outcome:
		if d.Code, d.Message = g.code(d.Code, d.Message, d.spoken()); g.unlisted == nil {
			return admitted{data}, nil, nil // there are many of these, and a copy of each is to be spared
		}
		return admitted{d}, g.unlisted, nil
	case Refused:
		d.Code, d.Reason = g.code(d.Code, d.Reason, false)
		return admitted{d}, g.unlisted, nil
	case Rollout:
		if d.Reason != nil {
			r := *d.Reason
			r.Code, r.Message = g.code(r.Code, r.Message, false)
			d.Reason = &r
		}
		return admitted{d}, g.unlisted, nil
	case Plan:
		return admitted{g.plan(d)}, g.unlisted, nil
	}
	if eventType == TypeOutcome || eventType == TypeRefused || strings.HasPrefix(eventType, "regild.rollout.") && eventType != TypeControl {
		return admitted{}, nil, fmt.Errorf("an event of type %s cannot carry a %T", eventType, data)
	}
	return admitted{data}, nil, nil
}

// A gate holds codes to the list and remembers what it replaced.
type gate struct{ unlisted []string }

// code returns a code that may be published and its message. spoken says that
// ECD spoke, so that the code may be its own.
func (g *gate) code(name, message string, spoken bool) (string, string) {
	if _, ours := CodeNamed(name); ours || slices.Contains(CodesOfECD, name) {
		return name, message
	}
	if spoken && foreignForm.Matches(name) {
		return name, message
	}
	name = cut(name, maxForeign)
	g.unlisted = append(g.unlisted, name)
	said := "a reason without a code"
	if name != "" {
		said = quoted(name)
	}
	if message != "" {
		said += ": " + message
	}
	return CodeUnlisted, cut(said, MaxMessage)
}

func (g *gate) plan(p Plan) Plan {
	p.Waves = slices.Clone(p.Waves)
	for i, w := range p.Waves {
		p.Waves[i].Desktops = slices.Clone(w.Desktops)
		for k, d := range p.Waves[i].Desktops {
			if d.Code != "" {
				d.Code, d.Message = g.code(d.Code, d.Message, false)
				p.Waves[i].Desktops[k] = d
			}
		}
	}
	return p
}

// spoken says whether ECD may have said the outcome's code: it answered a call,
// and with something else than a start.
func (o Outcome) spoken() bool {
	return o.ECDRequestID != "" && (o.Status == StatusFailed || o.Status == StatusDeferred)
}

// Unlisted returns the words that Marshal replaces by CodeUnlisted, for the log:
// each is a bug in whoever made the event. There are none as a rule.
func (e Event) Unlisted() []string {
	_, words, err := admit(e.Type, e.Data)
	if err != nil {
		return nil
	}
	return words
}
