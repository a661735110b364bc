// Package credentials holds the credentials of one invocation and keeps them out of
// every log. FC hands new ones to each invocation, since those of a live
// instance expire; adapters therefore ask for them at each call.
package credentials

import (
	"context"
	"errors"
	"log/slog"
)

// Keys are an access key and, for temporary ones, the token that goes with it.
// Printing or logging Keys shows nothing of them.
type Keys struct {
	ID, Secret, Token string
}

// Complete says whether a call can be signed with k.
func (k Keys) Complete() bool { return k.ID != "" && k.Secret != "" }

// String keeps secrets out of formatted text.
func (k Keys) String() string { return "[credentials]" }

// GoString keeps secrets out of %#v.
func (k Keys) GoString() string { return k.String() }

// LogValue keeps secrets out of logs.
func (k Keys) LogValue() slog.Value { return slog.StringValue(k.String()) }

// ErrNone says that neither the invocation nor the environment had credentials.
var ErrNone = errors.New("no credentials: give the function a role, or set ALIBABA_CLOUD_ACCESS_KEY_ID and ALIBABA_CLOUD_ACCESS_KEY_SECRET")

type key struct{}

// With returns a context that carries k to the adapters.
func With(ctx context.Context, k Keys) context.Context { return context.WithValue(ctx, key{}, k) }

// From returns the credentials that ctx carries, or ErrNone.
func From(ctx context.Context) (Keys, error) {
	k, _ := ctx.Value(key{}).(Keys)
	if !k.Complete() {
		return Keys{}, ErrNone
	}
	return k, nil
}
