package mns

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"

	"github.com/regild/regild/internal/desktop"
)

// This file is for the operator's command: it looks at queues, topics and
// subscriptions. The function does not.

// A Queue is how a queue is set up.
type Queue struct {
	Retention, Visibility time.Duration
}

// A Subscription is one of a topic.
type Subscription struct {
	Name     string `xml:"SubscriptionName"`
	Endpoint string
	Format   string `xml:"NotifyContentFormat"`
	Tag      string `xml:"FilterTag"`
}

// maxSubscriptions bounds how many of a topic are read; MNS allows 100.
const maxSubscriptions = 200

// Queue returns how a queue is set up, and whether there is one. Source:
// GetQueueAttributes.
func (c *Client) Queue(ctx context.Context, name string) (Queue, bool, error) {
	var v struct{ MessageRetentionPeriod, VisibilityTimeout int }
	there, err := c.look(ctx, "GetQueueAttributes", "queue", name, "queues/"+name, &v)
	return Queue{time.Duration(v.MessageRetentionPeriod) * time.Second, time.Duration(v.VisibilityTimeout) * time.Second}, there, err
}

// Topic says whether there is a topic. Source: GetTopicAttributes.
func (c *Client) Topic(ctx context.Context, name string) (bool, error) {
	var v struct{ TopicName string }
	return c.look(ctx, "GetTopicAttributes", "topic", name, "topics/"+name, &v)
}

// Subscriptions returns those of a topic that exists. Sources:
// ListSubscriptionByTopic, GetSubscriptionAttributes.
func (c *Client) Subscriptions(ctx context.Context, topic string) ([]Subscription, error) {
	var list struct {
		Subscription []struct{ SubscriptionURL string }
	}
	if _, err := c.look(ctx, "ListSubscriptionByTopic", "topic", topic, "topics/"+topic+"/subscriptions", &list); err != nil {
		return nil, err
	}
	if n := len(list.Subscription); n > maxSubscriptions {
		return nil, fmt.Errorf("topic %s has %d subscriptions, more than the %d that are read", topic, n, maxSubscriptions)
	}
	var out []Subscription
	for _, s := range list.Subscription {
		name := s.SubscriptionURL[strings.LastIndexByte(s.SubscriptionURL, '/')+1:]
		var v Subscription
		if _, err := c.look(ctx, "GetSubscriptionAttributes", "subscription", name, "topics/"+topic+"/subscriptions/"+name, &v); err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

// look is a GET whose answer may be that there is no such thing.
func (c *Client) look(ctx context.Context, api, kind, name, resource string, out any) (bool, error) {
	if err := checkName(kind, name); err != nil {
		return false, &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: err.Error(), Err: err}
	}
	err := c.ask(ctx, api, resource, out)
	if e, ok := errors.AsType[*desktop.CallError](err); ok && (e.Code == "QueueNotExist" || e.Code == "TopicNotExist" && api == "GetTopicAttributes") {
		return false, nil
	}
	return err == nil, err
}

// ask makes a call and reads its answer into out.
func (c *Client) ask(ctx context.Context, api string, resource string, out any) error {
	return c.do(ctx, api, sdk.GET, resource, nil, func(a answer) (bool, error) {
		if a.status != http.StatusOK {
			return false, nil
		}
		return true, xml.Unmarshal(a.body, out)
	})
}
