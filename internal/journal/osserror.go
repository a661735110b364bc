package journal

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"

	"github.com/aliyun/alibabacloud-oss-go-sdk-v2/oss"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
)

// keysError marks an error of the source of credentials.
type keysError struct{ err error }

func (e *keysError) Error() string { return "asking for credentials: " + e.err.Error() }
func (e *keysError) Unwrap() error { return e.err }

// callError says in our words what became of a call that the SDK reports as
// failed. Of the SDK's error only code, message and request id are kept.
func callError(keys credentials.Keys, call string, err error) *desktop.CallError {
	e := &desktop.CallError{Call: call}
	if s, ok := errors.AsType[*oss.ServiceError](err); ok {
		e.Code, e.Message, e.RequestID = keys.Redact(s.Code), oneLine(keys.Redact(s.Message)), keys.Redact(s.RequestID)
		if s.Code == unreadable {
			// The SDK's own words for an answer that is not of OSS, or cut off.
			e.Code, e.Message = "", fmt.Sprintf("unreadable answer with status %d", s.StatusCode)
		}
		e.Delivery, e.Throttled = deliveryOf(s.StatusCode, e.Code)
		if what := unfit[s.Code]; what != "" {
			e.Message = strings.TrimSuffix(e.Message, ".") + "; " + what
		}
		return e
	}
	if k, ok := errors.AsType[*keysError](err); ok {
		e.Err, e.Message, e.Delivery = k.err, k.Error(), desktop.NotSent
		if errors.Is(err, credentials.ErrNone) {
			e.Delivery = desktop.Forbidden
		}
		return e
	}
	// The transport's text names the URL, which is of no use here.
	if u, ok := errors.AsType[*url.Error](err); ok {
		err = u.Err
	}
	e.Err, e.Message = err, oneLine(keys.Redact(err.Error()))
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		e.Delivery = desktop.NotSent
	}
	return e
}

// unfit says, by OSS's code, what is wrong with a bucket in which a log cannot
// be kept, and what to do. Sources: "AppendObject", "Retention policies",
// "RestoreObject".
var unfit = map[string]string{
	"FileImmutable": "the bucket has a retention policy (WORM), under which no log can grow: keep the journal in a bucket without one",
	"InvalidObjectState": "the log has been archived, by a lifecycle rule of the bucket or by hand, and cannot be read: restore it and append its content " +
		"to a new object; " +
		"keep the journal in a bucket whose rules archive nothing",
}

// callError is the function of that name, without the credentials that the call
// was made with: OSS is known to echo them.
func (b *bucket) callError(ctx context.Context, call string, err error) *desktop.CallError {
	keys, _ := b.keys(ctx) // none: nothing was sent that could be echoed
	return callError(keys, call, err)
}

// unreadable is the SDK's code for an error answer without one.
const unreadable = "BadErrorResponse"

// Codes by which OSS refuses the credentials rather than the request. Source:
// "Error codes", HTTP status 403.
var forbidden = []string{
	"AccessDenied", "InvalidAccessKeyId", "InvalidSecurityToken", "SecurityTokenExpired",
	"SignatureDoesNotMatch", "RequestTimeTooSkewed", "UserDisable",
}

// deliveryOf says what an answered call did. A code that asks to slow down means
// that nothing was done; any other 429 and 5xx leaves it open, and so do a socket
// that OSS found too slow and an answer without a code, which is not from OSS.
func deliveryOf(status int, code string) (delivery desktop.Delivery, throttled bool) {
	switch {
	case strings.HasSuffix(code, "LimitExceeded") && (status == 429 || status == 503),
		strings.HasPrefix(code, "Throttling"), code == "SlowDown", code == "TooManyRequests":
		return desktop.NotSent, true
	case status == 429: // by a code that is not OSS's for it, or a gateway's
		return desktop.Unknown, true
	case status >= 500, code == "RequestTimeout", code == "":
		return desktop.Unknown, false
	case slices.Contains(forbidden, code):
		return desktop.Forbidden, false
	}
	return desktop.Refused, false
}

// worthAgain says whether the same call may come out otherwise.
func worthAgain(err error) bool {
	if errors.Is(err, ErrShrunk) || errors.Is(err, ErrDamaged) {
		return false
	}
	delivery := desktop.DeliveryOf(err)
	return delivery == desktop.Unknown || delivery == desktop.NotSent
}

// codeOf returns OSS's code of a failed call, "" when it did not speak.
func codeOf(err error) string {
	if e, ok := errors.AsType[*desktop.CallError](err); ok {
		return e.Code
	}
	return ""
}

// oneLine makes a foreign text fit for a log.
func oneLine(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "…"
	}
	return s
}
