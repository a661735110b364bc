package mns

import (
	"bytes"
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"time"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"

	"github.com/regild/regild/internal/desktop"
)

// This file is for the operator's command, which takes messages off a queue. The
// function never does: its trigger delivers them.

// Limits of one call. Source: BatchReceiveMessage, BatchDeleteMessage. MNS holds
// a call for up to 30 seconds; MaxWait stays below the timeout of an attempt.
const (
	MaxBatch = 16
	MaxWait  = 3 * time.Second
)

// A Received is a message that was taken from a queue and is not seen by others
// for a while. Handle deletes it; it is good until the message is seen again.
type Received struct {
	ID     string
	Body   []byte
	Handle string
}

// Receive takes up to most messages (1 to MaxBatch) from a queue, and waits for
// up to wait (0 to MaxWait) for the first. None is no error. A message stays on
// the queue: who does not delete it gets it again. A call whose answer is lost
// is made again, and then what the first one took comes later. Every error is a
// *desktop.CallError. Source: BatchReceiveMessage.
func (c *Client) Receive(ctx context.Context, queue string, most int, wait time.Duration) ([]Received, error) {
	const api = "BatchReceiveMessage"
	if err := checkName("queue", queue); err != nil {
		return nil, &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: err.Error(), Err: err}
	}
	resource := fmt.Sprintf("queues/%s/messages?numOfMessages=%d&waitseconds=%d", queue,
		min(max(most, 1), MaxBatch), int(min(max(wait, 0), MaxWait)/time.Second))
	var got []Received
	err := c.do(ctx, api, sdk.GET, resource, nil, func(a answer) (bool, error) {
		if a.status != http.StatusOK {
			return false, nil
		}
		var err error
		got, err = receivedOf(a.body)
		return true, err
	})
	if e, ok := errors.AsType[*desktop.CallError](err); ok && e.Code == "MessageNotExist" {
		return nil, nil
	}
	return got, err
}

func receivedOf(body []byte) ([]Received, error) {
	var v struct {
		XMLName  xml.Name `xml:"Messages"`
		Messages []struct {
			ID     string `xml:"MessageId"`
			Body   string `xml:"MessageBody"`
			Handle string `xml:"ReceiptHandle"`
		} `xml:"Message"`
	}
	if err := xml.Unmarshal(body, &v); err != nil {
		return nil, err
	}
	out := make([]Received, 0, len(v.Messages))
	for _, m := range v.Messages {
		if m.Handle == "" {
			return nil, errors.New("a message without a receipt handle")
		}
		out = append(out, Received{m.ID, []byte(m.Body), m.Handle})
	}
	return out, nil
}

// Delete takes messages off a queue for good: 1 to MaxBatch handles of Receive.
// One that is gone already, or has been seen by others again, is no error: it
// comes again at the worst. Every error is a *desktop.CallError. Source:
// BatchDeleteMessage.
func (c *Client) Delete(ctx context.Context, queue string, handles []string) error {
	const api = "BatchDeleteMessage"
	fault := checkName("queue", queue)
	if n := len(handles); fault == nil && (n == 0 || n > MaxBatch) {
		fault = fmt.Errorf("1 to %d messages are deleted at once, not %d", MaxBatch, n)
	}
	if fault != nil {
		return &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: fault.Error(), Err: fault}
	}
	var w bytes.Buffer
	w.WriteString(`<ReceiptHandles xmlns="http://mns.aliyuncs.com/doc/v1/">`)
	for _, h := range handles {
		w.WriteString("<ReceiptHandle>")
		escape(&w, []byte(h))
		w.WriteString("</ReceiptHandle>")
	}
	w.WriteString("</ReceiptHandles>")
	return c.do(ctx, api, sdk.DELETE, "queues/"+queue+"/messages", w.Bytes(), func(a answer) (bool, error) {
		return a.status == http.StatusNoContent || a.status == http.StatusNotFound && onlyGone(a.body), nil
	})
}

// onlyGone says whether an answer refuses nothing but handles that are used up.
func onlyGone(body []byte) bool {
	var v struct {
		XMLName xml.Name `xml:"Errors"`
		Errors  []struct {
			Code string `xml:"ErrorCode"`
		} `xml:"Error"`
	}
	if xml.Unmarshal(body, &v) != nil || len(v.Errors) == 0 {
		return false
	}
	for _, e := range v.Errors {
		if e.Code != "MessageNotExist" {
			return false
		}
	}
	return true
}
