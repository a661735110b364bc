package desktop

import (
	"errors"
	"fmt"
	"strings"
)

// A Delivery says what a failed call to the cloud did there, which is all that
// decides what may be done next. The zero value is Unknown: what nobody
// classified may have been carried out.
type Delivery int

const (
	// Unknown: the call may have been carried out (read timeout, EOF, reset,
	// 5xx, an unreadable or empty 200). A call that changes something must not
	// be sent again before the facts were read.
	Unknown Delivery = iota
	// NotSent: the call certainly was not carried out (dial error, throttled,
	// cancelled before it was written). It may be sent again.
	NotSent
	// Refused: the service answered that it will not, by a code that is
	// documented to mean so. Nothing of the call was carried out, and the same
	// call would be refused again: at once, or, when its code speaks of a
	// desktop's status, as long as that lasts.
	Refused
	// Forbidden: nothing of the call was carried out, since the credentials may
	// not make it or, if CallError.Credentials is set, are not accepted at all.
	// The same call is pointless in this invocation.
	Forbidden
)

func (f Delivery) String() string {
	switch f {
	case NotSent:
		return "not sent"
	case Refused:
		return "refused"
	case Forbidden:
		return "forbidden"
	}
	return "unknown"
}

// ErrTooMany says that a service lists more than is read: to ask again is of no use.
var ErrTooMany = errors.New("more than is read of one listing")

// A CallError is how an adapter reports a call to the cloud that failed. Its
// text holds neither credentials nor signed URLs.
type CallError struct {
	Call     string // the API's name, such as RebuildDesktops
	Delivery Delivery
	// Throttled: the service asked to slow down. Delivery is NotSent where it is
	// documented that nothing was carried out then, else Unknown.
	Throttled bool
	// Credentials: Delivery is Forbidden because the credentials, or the clock they
	// were used by, are not accepted. No call can work before there are new ones,
	// which the next invocation brings.
	Credentials bool
	// Unlisted: the service refused the call by a code that no page lists, so
	// that Delivery is Unknown. A call that may be repeated without harm may be taken
	// apart, to find out for whom.
	Unlisted bool
	// Unasked: no attempt was made at all, for want of a turn or because others were
	// not answered. Delivery is NotSent.
	Unasked   bool
	Code      string // the service's own code, or "" when it did not speak
	Message   string // the service's own message, or the transport's
	RequestID string // of the call, when the service answered
	Err       error  // the cause, for errors.Is; may be nil
}

func (e *CallError) Error() string {
	s := e.Call + ": " + e.Delivery.String()
	switch {
	case e.Throttled && e.Delivery == Unknown:
		s += ", throttled"
	case e.Throttled:
		s = e.Call + ": throttled"
	case e.Credentials:
		s = e.Call + ": credentials not accepted"
	}
	if e.Code != "" {
		s += ": " + e.Code
	}
	if text := strings.TrimPrefix(e.Message, e.Delivery.String()+": "); text != "" { // it may say so itself
		s += ": " + text
	}
	if e.RequestID != "" {
		s += fmt.Sprintf(" (request id %s)", e.RequestID)
	}
	return s
}

func (e *CallError) Unwrap() error { return e.Err }

// DeliveryOf returns what err says of the call that failed: Unknown for an error
// that no adapter classified.
func DeliveryOf(err error) Delivery {
	if e, ok := errors.AsType[*CallError](err); ok {
		return e.Delivery
	}
	return Unknown
}
