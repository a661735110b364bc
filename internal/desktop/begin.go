package desktop

import (
	"context"
	"errors"
	"time"
)

// ErrTooLate says that a call did not get its turn before the time of BeginBefore. It
// was not sent.
var ErrTooLate = errors.New("what it was decided by had grown old before it was its turn")

type beginBefore struct{}

// BeginBefore returns a context under which a call is sent before t, by the machine's
// clock, or not at all. How long it takes then is another matter.
func BeginBefore(ctx context.Context, t time.Time) context.Context {
	return context.WithValue(ctx, beginBefore{}, t)
}

// LatestBegin returns the time of BeginBefore. It is false if there is none.
func LatestBegin(ctx context.Context) (time.Time, bool) {
	t, ok := ctx.Value(beginBefore{}).(time.Time)
	return t, ok
}
