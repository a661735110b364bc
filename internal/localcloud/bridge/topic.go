package bridge

import (
	"context"
	"crypto/md5" // the wire format asks for it, as a checksum
	"errors"
	"fmt"
	"time"

	"github.com/regild/regild/internal/localcloud/fc"
)

// A Format is how a topic trigger hands over a message (notifyContentFormat).
type Format string

// The formats of a topic trigger. Source: FC, "MNS topic triggers".
const (
	JSON   Format = "JSON"
	STREAM Format = "STREAM"
)

// TopicOptions say how a topic trigger works. Name is required.
type TopicOptions struct {
	Name         string // of the topic
	Subscription string // default regild
	AccountID    string // default 1234567890123456
	Format       Format // default STREAM, the platform's
	// Retries is how often a failed invocation is repeated; default 3,
	// negative: never. The platform's waits between them are left out.
	Retries int
}

// A TopicMessage is one published message.
type TopicMessage struct {
	ID         string
	Body       string
	Attributes map[string]string // merged into the envelope; nil for most
	Published  time.Time
}

// A Topic pushes messages of one topic to the function. All methods may be
// called at once from several goroutines.
type Topic struct {
	function Invoker
	opt      TopicOptions
}

// NewTopic returns a topic trigger of the function.
func NewTopic(function Invoker, opt TopicOptions) (*Topic, error) {
	fill(&opt.Subscription, "regild")
	fill(&opt.AccountID, "1234567890123456")
	fill(&opt.Format, STREAM)
	fill(&opt.Retries, 3)
	switch {
	case function == nil:
		return nil, errors.New("making a topic trigger: function is required")
	case opt.Name == "":
		return nil, errors.New("making a topic trigger: name of the topic is missing")
	case opt.Format != JSON && opt.Format != STREAM:
		return nil, fmt.Errorf("making a topic trigger for %s: format %q is neither JSON nor STREAM", opt.Name, opt.Format)
	}
	return &Topic{function: function, opt: opt}, nil
}

// Push invokes the function with m, and again with a growing retry count and
// the same request id while it fails, and returns how the last try ended.
func (t *Topic) Push(ctx context.Context, m TopicMessage) (fc.Result, error) {
	e := fc.Event{Payload: t.payload(m)}
	for {
		result, err := t.function.InvokeEvent(ctx, e)
		if err != nil {
			return fc.Result{}, fmt.Errorf("pushing message %s of %s: %w", m.ID, t.opt.Name, err)
		}
		if !result.Failed() || e.RetryCount >= t.opt.Retries {
			return result, nil
		}
		e.RequestID = result.RequestID
		e.RetryCount++
	}
}

func (t *Topic) payload(m TopicMessage) []byte {
	if t.opt.Format == STREAM {
		if len(m.Attributes) == 0 {
			return []byte(m.Body)
		}
		return encode(map[string]any{"body": m.Body, "attrs": m.Attributes})
	}
	envelope := make(map[string]any, 8+len(m.Attributes))
	for name, value := range m.Attributes {
		envelope[name] = value
	}
	for name, value := range map[string]any{
		"TopicOwner":       t.opt.AccountID,
		"Message":          m.Body,
		"Subscriber":       t.opt.AccountID,
		"PublishTime":      m.Published.UnixMilli(), // a number here, a string in a queue's copy
		"SubscriptionName": t.opt.Subscription,
		"MessageMD5":       fmt.Sprintf("%X", md5.Sum([]byte(m.Body))),
		"TopicName":        t.opt.Name,
		"MessageId":        m.ID,
	} {
		envelope[name] = value
	}
	return encode(envelope)
}
