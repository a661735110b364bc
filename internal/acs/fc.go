package acs

import (
	"context"
	"net/http"
	"net/url"
)

// fcVersion is the API of Function Compute 3.0. Source: "Function Compute 3.0,
// API 2023-03-30".
const fcVersion = "2023-03-30"

// fc is a call to Function Compute, whose host names the account.
func (c *Client) fc(action, method, path string, body any) request {
	return request{action: action, version: fcVersion, host: c.account + "." + c.region + ".fc.aliyuncs.com",
		method: method, path: "/" + fcVersion + path, body: body, again: method != http.MethodPost}
}

func functionPath(name string) string { return "/functions/" + url.PathEscape(name) }

// A Function is what Function Compute says of one. Source: GetFunction.
type Function struct {
	FunctionName, Runtime, Handler, Role string
	Timeout                              int
	CodeChecksum                         string // CRC-64/ECMA of the zip, in decimal
	EnvironmentVariables                 map[string]string
	LogConfig                            struct{ Project, Logstore string }
}

// Function returns what is deployed under a name. Source: GetFunction.
func (c *Client) Function(ctx context.Context, name string) (Function, error) {
	return get[Function](ctx, c, c.fc("GetFunction", http.MethodGet, functionPath(name), nil))
}

// A Trigger is one of a function. Config is JSON, as the API hands it over.
type Trigger struct {
	TriggerName, TriggerType, TriggerConfig, SourceArn, Status string
}

// Trigger returns one trigger. Source: GetTrigger.
func (c *Client) Trigger(ctx context.Context, function, name string) (Trigger, error) {
	return get[Trigger](ctx, c, c.fc("GetTrigger", http.MethodGet, functionPath(function)+"/triggers/"+url.PathEscape(name), nil))
}

// Concurrency returns the reserved concurrency of a function, and whether one
// is set; without one the account's limit holds. Source: GetConcurrencyConfig.
func (c *Client) Concurrency(ctx context.Context, function string) (n int, set bool, err error) {
	var v struct{ ReservedConcurrency *int }
	err = c.do(ctx, c.fc("GetConcurrencyConfig", http.MethodGet, functionPath(function)+"/concurrency", nil), &v)
	switch {
	// A function without a setting is answered with 404, under a code that no
	// page names; one that does not exist has a code that is documented.
	case err != nil && NotThere(err) && Code(err) != "FunctionNotFound":
		return 0, false, nil
	case err != nil || v.ReservedConcurrency == nil:
		return 0, false, err
	}
	return *v.ReservedConcurrency, true, nil
}

// SetConcurrency sets the reserved concurrency of a function: 0 turns every
// invocation away. Setting it twice is harmless. Source: PutConcurrencyConfig.
func (c *Client) SetConcurrency(ctx context.Context, function string, n int) error {
	return c.do(ctx, c.fc("PutConcurrencyConfig", http.MethodPut, functionPath(function)+"/concurrency", map[string]any{"reservedConcurrency": n}), nil)
}

// An AsyncConfig says what becomes of asynchronous invocations that fail.
type AsyncConfig struct {
	MaxAsyncRetryAttempts, MaxAsyncEventAgeInSeconds int
	DestinationConfig                                struct {
		OnFailure struct{ Destination string }
	}
}

// AsyncConfig returns it. Source: GetAsyncInvokeConfig.
func (c *Client) AsyncConfig(ctx context.Context, function string) (AsyncConfig, error) {
	return get[AsyncConfig](ctx, c, c.fc("GetAsyncInvokeConfig", http.MethodGet, functionPath(function)+"/async-invoke-config", nil))
}
