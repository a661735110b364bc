// Package acs asks the control APIs of Alibaba Cloud: those that make and
// describe things, not those that a rebuild goes through. `regild setup`, `stop`,
// `start` and `doctor` use it, and the function for one thing: the state of alarm
// rules (alarms.go), where a fleet names any.
//
// It is the only package, beside internal/ecd, that knows the vendor's OpenAPI
// client (darabonba-openapi): the client builds and signs each request, and
// pace.Wire sends it, once. The vendor's packages for single products are not
// used: a call is a name, a version and a few fields, which stand here beside
// the function that makes it. Log Service signs in a way of its own (sls.go).
//
// Each file is one product. Nothing here was ever run against the live
// services: what an answer looks like is taken from the vendor's API pages, and
// unknown fields are ignored.
package acs

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	openapi "github.com/alibabacloud-go/darabonba-openapi/v2/client"
	"github.com/alibabacloud-go/darabonba-openapi/v2/models"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
)

const (
	// defaultTimeout bounds one attempt at a call. CreateStack and PreviewStack
	// read a whole template and take several seconds.
	defaultTimeout = 20 * time.Second
	// parallel bounds the calls under way at once.
	parallel = 4
	// repeats is how often a call that changes nothing is sent again when its
	// answer did not come.
	repeats = 2
)

// A Config says whom to ask. Region and Keys are required.
type Config struct {
	// Region is where function, queues, logs and stack are, such as cn-hangzhou.
	Region string
	// AccountID is part of Function Compute's host name. It may be filled in
	// later, with Client.SetAccount; only calls to Function Compute need it.
	AccountID string
	// Endpoint takes the place of every product's host: another host, or for the
	// local cloud http://127.0.0.1:PORT. http is for a loopback address only.
	Endpoint string
	// Keys returns the credentials for one attempt.
	Keys func(context.Context) (credentials.Keys, error)
	// Timeout bounds one attempt; 0 means 20 seconds.
	Timeout time.Duration
	// Observe, when set, is told of each attempt, from several goroutines.
	Observe func(pace.Call)
	// Backoff replaces the waits between attempts; see pace.Policy.
	Backoff []time.Duration
}

// A Client asks. It may be used from several goroutines, but for SetAccount.
type Client struct {
	region, account string
	protocol, host  string // host is "" when it follows from product and region
	keys            func(context.Context) (credentials.Keys, error)
	wire            *pace.Wire
	reads, changes  pace.Caller
	date            atomic.Pointer[time.Time] // of the last answer, by the service's clock
}

// New returns a client, or an error that names every fault of cfg.
func New(cfg Config) (*Client, error) {
	c := &Client{region: cfg.Region, account: cfg.AccountID, protocol: "HTTPS", keys: cfg.Keys, wire: pace.NewWire(parallel)}
	var faults []error
	if !pattern.Region.Matches(cfg.Region) {
		faults = append(faults, fmt.Errorf("%q is not a region such as cn-hangzhou", cfg.Region))
	}
	if cfg.Keys == nil {
		faults = append(faults, errors.New("no source of credentials"))
	}
	if cfg.Endpoint != "" {
		at, err := pace.ParseEndpoint(cfg.Endpoint)
		if err == nil {
			c.protocol, c.host = strings.ToUpper(at.Scheme), at.Host
		}
		faults = append(faults, err)
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	policy := pace.Policy{Steps: cfg.Backoff}
	c.changes = pace.Caller{Limit: policy.Limiter(parallel), Policy: policy, Timeout: cmp.Or(cfg.Timeout, defaultTimeout), Observe: cfg.Observe}
	policy.Unknown = repeats
	c.reads = pace.Caller{Limit: policy.Limiter(parallel), Policy: policy, Timeout: cmp.Or(cfg.Timeout, defaultTimeout), Observe: cfg.Observe}
	return c, nil
}

// Region returns the client's region.
func (c *Client) Region() string { return c.region }

// SetAccount fills in the account, once it is known. It must not be called
// while other calls are under way.
func (c *Client) SetAccount(id string) { c.account = id }

// A request is one call of an API.
type request struct {
	action, version string
	host            string // of the product in the client's region
	// Style RPC: the parameters are in query. Style ROA: method and path, and a
	// body in JSON.
	method, path string
	query        map[string]string
	body         any
	// again says that the call may be carried out twice: it changes nothing, or
	// carries a token of its own.
	again bool
}

// do makes a call and decodes its answer into out, which may be nil. Errors are
// *desktop.CallError; Code is the product's own.
func (c *Client) do(ctx context.Context, r request, out any) error {
	by := &c.changes
	if r.again {
		by = &c.reads
	}
	return by.Do(ctx, r.action, c.region, func(ctx context.Context) (string, error) {
		keys, err := pace.Keys(ctx, r.action, c.keys)
		if err != nil {
			return "", err
		}
		answer, err := c.exchange(ctx, r, keys)
		if err != nil {
			return "", pace.SendFault(r.action, keys, err)
		}
		if at, err := http.ParseTime(answer.Header.Get("Date")); err == nil {
			c.date.Store(&at)
		}
		return judge(r.action, keys, answer, out)
	})
}

// get makes a call and returns its answer.
func get[T any](ctx context.Context, c *Client, r request) (v T, err error) {
	err = c.do(ctx, r, &v)
	return v, err
}

// Time asks for the time by a service's clock, in whole seconds; zero if it does
// not tell.
func (c *Client) Time(ctx context.Context) (time.Time, error) {
	c.date.Store(nil)
	_, err := c.Identity(ctx)
	if at := c.date.Load(); at != nil {
		return *at, nil // a refusal has a date as well, and the clock may be its reason
	}
	return time.Time{}, err
}

// exchange has the vendor's client build and sign a request, and sends it once.
func (c *Client) exchange(ctx context.Context, r request, keys credentials.Keys) (pace.Answer, error) {
	seam := &pace.Seam{Wire: c.wire}
	host := cmp.Or(c.host, r.host)
	cfg := &models.Config{
		Protocol: &c.protocol, RegionId: &c.region, Endpoint: &host,
		AccessKeyId: &keys.ID, AccessKeySecret: &keys.Secret, HttpClient: seam,
	}
	if keys.Token != "" {
		cfg.SecurityToken = &keys.Token
	}
	client, err := openapi.NewClient(cfg)
	if err != nil {
		return pace.Answer{}, pace.NothingSent(err)
	}
	params := &models.Params{
		Action: &r.action, Version: &r.version, Protocol: &c.protocol, AuthType: dara.String("AK"),
		Pathname: dara.String("/"), Method: dara.String(http.MethodPost), Style: dara.String("RPC"),
		ReqBodyType: dara.String("formData"), BodyType: dara.String("json"),
	}
	content := &models.OpenApiRequest{}
	if r.path != "" {
		params.Pathname, params.Method = &r.path, &r.method
		params.Style, params.ReqBodyType = dara.String("ROA"), dara.String("json")
		content.Body = r.body
		content.Query = pointers(r.query)
	} else {
		// In the body, since a template does not fit into a URL.
		content.Body = map[string]any{}
		for name, value := range r.query {
			content.Body.(map[string]any)[name] = value
		}
	}
	_, err = client.CallApiWithCtx(ctx, params, content, &dara.RuntimeOptions{})
	return seam.Answer(err)
}

func pointers(m map[string]string) map[string]*string {
	out := make(map[string]*string, len(m))
	for name, value := range m {
		out[name] = &value
	}
	return out
}

// judge reads an answer into out and says what it means.
func judge(action string, keys credentials.Keys, a pace.Answer, out any) (string, error) {
	var said struct {
		RequestID  string `json:"RequestId"`
		RequestID2 string `json:"requestId"`
		Code       any
		Message    string
		Success    *bool
		// Log Service.
		ErrorCode, ErrorMessage string
	}
	err := json.Unmarshal(a.Body, &said)
	requestID := pace.Message(cmp.Or(said.RequestID, said.RequestID2, a.Header.Get("X-Acs-Request-Id"), a.Header.Get("X-Fc-Request-Id"),
		a.Header.Get("X-Log-Requestid")), keys)
	good := a.Status >= 200 && a.Status < 300 && (said.Success == nil || *said.Success)
	if good && len(a.Body) == 0 && out == nil {
		return requestID, nil
	}
	if good && err == nil && out != nil {
		err = json.Unmarshal(a.Body, out)
	}
	if err != nil {
		return requestID, &desktop.CallError{Call: action, RequestID: requestID, Err: err,
			Message: fmt.Sprintf("unreadable answer with status %d", a.Status)}
	}
	if good {
		return requestID, nil
	}
	code, _ := said.Code.(string)
	code = cmp.Or(code, said.ErrorCode)
	e := &desktop.CallError{
		Call: action, Delivery: delivery(a.Status, code), Throttled: throttled(a.Status, code),
		Code: pace.Message(code, keys), Message: pace.Message(cmp.Or(said.Message, said.ErrorMessage), keys), RequestID: requestID,
	}
	if beginsWith(code, "SignatureDoesNotMatch", "IncompleteSignature") {
		e.Message = "the service computed another signature: is the secret right?" // its own message repeats all that was signed
	}
	return requestID, e
}

func throttled(status int, code string) bool {
	return status == http.StatusTooManyRequests || strings.HasPrefix(code, "Throttling") || strings.HasPrefix(code, "ExceedQuota") ||
		code == "WriteQuotaExceed" || code == "ReadQuotaExceed"
}

// forbidden are the codes, or what they begin with, by which the products say
// that the credentials may not, whatever their status is.
var forbidden = []string{
	"Forbidden", "NoPermission", "AccessDenied", "Unauthorized", "InvalidAccessKeyId", "InvalidAccessKeySecret", "InactiveAccessKey",
	"SignatureDoesNotMatch", "SignatureNotMatch", "IncompleteSignature", "InvalidSecurityToken", "SecurityTokenInvalid", "MissingSecurityToken",
	"InvalidTimeStamp",
	"NoPermisson", "PermissionDenied", "OperationDenied.NoPermission",
}

func delivery(status int, code string) desktop.Delivery {
	switch {
	case throttled(status, code):
		return desktop.NotSent
	case status < 200 || status > 499:
		return desktop.Unknown
	case status == http.StatusForbidden || status == http.StatusUnauthorized:
		return desktop.Forbidden
	}
	if beginsWith(code, forbidden...) {
		return desktop.Forbidden
	}
	return desktop.Refused
}

// Code returns the product's code of a failed call, or "" for any other error.
func Code(err error) string {
	if e, ok := errors.AsType[*desktop.CallError](err); ok {
		return e.Code
	}
	return ""
}

// NotThere says whether err is a product's answer that what was asked for does
// not exist.
func NotThere(err error) bool {
	code := Code(err)
	return strings.HasSuffix(code, "NotFound") || strings.HasSuffix(code, "NotExist") || strings.HasPrefix(code, "EntityNotExist") || code == "StackNotFound"
}

// Denied says whether err is a product's answer that the credentials may not do
// this one thing.
func Denied(err error) bool { return desktop.DeliveryOf(err) == desktop.Forbidden }

// BadKeys says whether err is that there are no credentials, or that they are
// not valid at all, for whatever is asked.
func BadKeys(err error) bool {
	e, ok := errors.AsType[*desktop.CallError](err)
	return ok && (noKeys(e) || beginsWith(e.Code, "InvalidAccessKeyId", "InvalidAccessKeySecret", "InactiveAccessKey", "Signature", "InvalidSecurityToken",
		"SecurityToken", "MissingSecurityToken"))
}

func beginsWith(code string, words ...string) bool {
	return slices.ContainsFunc(words, func(prefix string) bool { return strings.HasPrefix(code, prefix) })
}

func noKeys(e *desktop.CallError) bool {
	return errors.Is(e, credentials.ErrNone) || strings.Contains(e.Message, "there are no credentials")
}

// Plain returns an error whose text is the Sentence of err, which stays its cause.
func Plain(err error) error { return &plainError{err} }

type plainError struct{ cause error }

func (e *plainError) Error() string { return Sentence(e.cause) }

func (e *plainError) Unwrap() error { return e.cause }

// Sentence says what an error means to a person: what was asked, what the
// product answered, and for the usual causes what to do.
func Sentence(err error) string {
	e, ok := errors.AsType[*desktop.CallError](err)
	switch {
	case !ok:
		return err.Error()
	case noKeys(e):
		return "there are no credentials: set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET (and ALIBABA_CLOUD_SECURITY_TOKEN for temporary ones)"
	case strings.HasPrefix(e.Code, "InvalidAccessKeyId"):
		return "the access key is not known: is ALIBABA_CLOUD_ACCESS_KEY_ID right, and of this account?"
	case strings.HasPrefix(e.Code, "Signature"):
		return "the signature is wrong: is ALIBABA_CLOUD_ACCESS_KEY_SECRET the one of this access key?"
	case beginsWith(e.Code, "InvalidSecurityToken", "SecurityToken", "MissingSecurityToken"):
		return "the security token is wrong or has expired: get new temporary credentials"
	case strings.HasPrefix(e.Code, "InvalidTimeStamp"):
		return "the clock of this machine is more than 15 minutes off: set it"
	case e.Delivery == desktop.Forbidden:
		return fmt.Sprintf("the credentials may not call %s (%s)", e.Call, e.Code)
	case e.Delivery == desktop.NotSent && !e.Throttled, e.Delivery == desktop.Unknown && e.Code == "" && e.Err != nil:
		return fmt.Sprintf("%s could not be reached: %s (is the region right, and is there a network?)", e.Call, e.Message)
	}
	return fmt.Sprintf("%s: %s: %s", e.Call, cmp.Or(e.Code, e.Delivery.String()), e.Message)
}
