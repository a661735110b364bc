package ecd

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/regild/regild/internal/access"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
)

// judge says whether ECD did what was asked, and returns its request id.
//
// A failure is classified by ECD's code, since the HTTP status of throttling is
// not documented. Without a code nothing is known, so nothing is assumed: an
// HTML page, an empty body and even a 4xx that is not ECD's own are of unknown
// fate, and so is a 5xx whatever it says. A 200 without a request id is not an
// answer of ECD's.
func judge(api string, keys access.Keys, a pace.Answer) (string, error) {
	said, err := decode[envelope](a.Body)
	requestID := pace.Message(cmp.Or(string(said.RequestID), a.Header.Get("X-Acs-Request-Id")), keys)
	if err != nil {
		return requestID, unreadable(api, requestID, a.Status, err)
	}
	code := strings.TrimSpace(string(said.Code))
	if a.Status == http.StatusOK && !throttled(code) {
		if requestID == "" {
			return "", unreadable(api, "", a.Status, errors.New("no request id"))
		}
		return requestID, nil
	}
	e := &desktop.CallError{
		Call: api, Fate: fate(a.Status, code), Throttled: throttled(code),
		Code: pace.Message(code, keys), Message: pace.Message(string(said.Message), keys), RequestID: requestID,
	}
	if strings.HasPrefix(code, "SignatureDoesNotMatch") || strings.HasPrefix(code, "IncompleteSignature") {
		e.Message = "ECD computed another signature" // its own message repeats all that was signed
	}
	if code == "" {
		e.Message = fmt.Sprintf("status %d without a code", a.Status)
	}
	return requestID, e
}

// unreadable is the failure of an answer that cannot be understood.
func unreadable(api, requestID string, status int, err error) error {
	return &desktop.CallError{
		Call: api, Fate: desktop.Unknown, RequestID: requestID, Err: err,
		Message: fmt.Sprintf("unreadable answer with status %d: %v", status, err),
	}
}

// sendFault is the failure of a request that brought no answer.
func sendFault(api string, keys access.Keys, err error) error {
	e := &desktop.CallError{Call: api, Fate: desktop.Refused, Message: pace.Message(err.Error(), keys), Err: err}
	if sent, ok := errors.AsType[*pace.SendError](err); ok {
		e.Fate = sent.Fate
	}
	return e
}

// throttled says whether a code means that nothing was carried out because of
// too many calls: Throttling, Throttling.User, Throttling.Api and other
// Throttling.*, Rejected.Throttling.
func throttled(code string) bool {
	return strings.HasPrefix(code, "Throttling") || code == "Rejected.Throttling"
}

// forbidden are the codes, or what they begin with, that say that these
// credentials will get nothing done: also when the clock is wrong.
var forbidden = []string{
	"Forbidden", "NoPermission", "InvalidAccessKeyId", "InvalidAccessKeySecret", "InactiveAccessKey",
	"SignatureDoesNotMatch", "IncompleteSignature", "InvalidSecurityToken", "MissingSecurityToken",
	"InvalidTimeStamp", "InvalidCredentials",
}

func fate(status int, code string) desktop.Fate {
	if throttled(code) {
		return desktop.NotSent
	}
	if status < 400 || status > 499 || code == "" ||
		// Somebody has seen this very request before, so it may have been carried out.
		code == "SignatureNonceUsed" || status == http.StatusRequestTimeout {
		return desktop.Unknown
	}
	if status == http.StatusForbidden {
		return desktop.Forbidden
	}
	for _, f := range forbidden {
		if strings.HasPrefix(code, f) {
			return desktop.Forbidden
		}
	}
	return desktop.Refused
}
