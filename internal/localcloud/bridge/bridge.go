// Package bridge carries messages from queues and topics of the local cloud to
// the function, as the platform's triggers do.
//
// A Stream is the queue trigger (EventBridge's event stream): it receives a
// batch, wraps each message in a CloudEvent, invokes the function and deletes
// the messages only after the function has returned well. When the function
// fails, the whole batch becomes visible again after a while; a message that
// failed often enough goes to the dead-letter queue, or is thrown away when
// there is none. So the function sees every message at least once, and may see
// it again.
//
// A Topic is the topic trigger: it invokes the function with one message in
// the JSON or STREAM format, and again when the function fails, as FC's
// asynchronous invocation does.
//
// Sources: "MNS queue triggers", "MNS topic triggers", "Advanced features of
// triggers" and "Error handling" in FC's documentation. Where it leaves open
// what happens, the choice made here is the harder one for the function.
//
// It is for the local cloud and for tests, never for production.
package bridge

import (
	"context"

	"github.com/regild/regild/internal/localcloud/fc"
)

// An Invoker runs the function on one event. *fc.Host is one. A failed
// function is told in the Result; an error is trouble of the host, after which
// the event counts as not delivered.
type Invoker interface {
	InvokeEvent(ctx context.Context, e fc.Event) (fc.Result, error)
}

var _ Invoker = (*fc.Host)(nil)
