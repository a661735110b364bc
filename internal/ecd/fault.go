package ecd

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
)

// judge says whether ECD did what was asked, and returns its request id. Table
// says what its code is taken for. said is what every answer has, and err why that
// could not be read. An answer that is not ECD's own (an HTML page,
// an empty body, a 200 without a request id) says nothing, whatever its status.
func judge(api string, keys credentials.Keys, a pace.Answer, said envelope, err error) (string, error) {
	requestID := pace.Message(cmp.Or(string(said.RequestID), a.Header.Get("X-Acs-Request-Id")), keys)
	if err != nil {
		return requestID, unreadable(api, requestID, a.Status, err)
	}
	code := strings.TrimSpace(string(said.Code))
	v := verdict(OfCall, api, a.Status, code)
	if v == Done {
		if requestID == "" {
			return "", unreadable(api, "", a.Status, errors.New("no request id"))
		}
		return requestID, nil
	}
	e := Fault(api, a.Status, code)
	e.Code, e.Message, e.RequestID = pace.Message(code, keys), pace.Message(string(said.Message), keys), requestID
	if strings.HasPrefix(code, "SignatureDoesNotMatch") || strings.HasPrefix(code, "IncompleteSignature") {
		e.Message = "ECD computed another signature" // its own message repeats all that was signed
	}
	if code == "" {
		e.Message = fmt.Sprintf("status %d without a code", a.Status)
	}
	return requestID, e
}

// Fault is what an answer with that status and code is taken for, by Table, if it
// is no success.
func Fault(api string, status int, code string) *desktop.CallError {
	e := &desktop.CallError{Call: api, Code: code, Unlisted: unlisted(api, status, code)}
	e.Delivery, e.Throttled, e.Credentials = verdict(OfCall, api, status, code).delivery()
	return e
}

// unreadable is the failure of an answer that cannot be understood.
func unreadable(api, requestID string, status int, err error) error {
	return &desktop.CallError{
		Call: api, Delivery: desktop.Unknown, Throttled: status == http.StatusTooManyRequests, RequestID: requestID, Err: err,
		Message: fmt.Sprintf("unreadable answer with status %d: %v", status, err),
	}
}
