package mns

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
	"unicode/utf8"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
)

// Limits of a message. Source: "Limits" of the MNS documentation.
const (
	MaxBody  = 64 << 10           // bytes of a body
	MaxTag   = 16                 // characters of a tag
	MaxDelay = 7 * 24 * time.Hour // of a message to a queue
	maxBatch = 16                 // messages of a call
)

// namespace is the documented one.
const namespace = "http://mns.aliyuncs.com/doc/v1/"

// priority is the middle of MNS's 1 to 16; the SDK would send 0, which MNS refuses.
const priority = 8

// Publish sends body to a topic and returns MNS's id of the message. Subscribers
// can filter by tag; "" means none. body is sent as it is: UTF-8 of at most
// MaxBody bytes without control characters but tab and line ends, which compact
// JSON is. It is sent again while that can help and ctx leaves time, so that it
// may arrive more than once. Every error is a *desktop.CallError. Source:
// PublishMessage.
func (c *Client) Publish(ctx context.Context, topic string, body []byte, tag string) (string, error) {
	const api = "PublishMessage"
	if err := cmp.Or(checkName("topic", topic), checkBody(body), checkTag(tag)); err != nil {
		return "", &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: err.Error(), Err: err}
	}
	w := buffers.Get().(*bytes.Buffer) //nolint:forcetypeassert // there is nothing else in it
	defer buffers.Put(w)
	w.Reset()
	open(w, body)
	if tag != "" {
		w.WriteString("<MessageTag>")
		escape(w, []byte(tag))
		w.WriteString("</MessageTag>")
	}
	w.WriteString("</Message>")
	return c.post(ctx, api, "topics/"+topic+"/messages", w.Bytes())
}

// buffers are for messages to topics: there is one for each outcome.
var buffers = sync.Pool{New: func() any { return new(bytes.Buffer) }}

// Send sends body to a queue, where it can be received after delay: whole
// seconds, rounded up, within 0 and MaxDelay. It returns MNS's id of the
// message; body, repetition and errors are as Publish has them. Source:
// SendMessage.
func (c *Client) Send(ctx context.Context, queue string, body []byte, delay time.Duration) (string, error) {
	const api = "SendMessage"
	if err := cmp.Or(checkName("queue", queue), checkBody(body)); err != nil {
		return "", &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: err.Error(), Err: err}
	}
	var w bytes.Buffer
	delayed(&w, body, delay)
	return c.post(ctx, api, "queues/"+queue+"/messages", w.Bytes())
}

// SendEach sends body to a queue once for each delay, in one call: at most maxBatch times,
// and MaxBody bytes in all. MNS may take some of them and no others: that is an error, as
// any other is, after which none, some or all may be there. Source: BatchSendMessage.
func (c *Client) SendEach(ctx context.Context, queue string, body []byte, delays ...time.Duration) error {
	const api = "BatchSendMessage"
	err := cmp.Or(checkName("queue", queue), checkBody(body))
	if n := len(delays); err == nil && (n < 1 || n > maxBatch || n*len(body) > MaxBody) {
		err = fmt.Errorf("a batch has 1 to %d messages of %d bytes in all, not %d of %d each", maxBatch, MaxBody, n, len(body))
	}
	if err != nil {
		return &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: err.Error(), Err: err}
	}
	var w bytes.Buffer
	w.WriteString(`<Messages xmlns="` + namespace + `">`)
	for _, delay := range delays {
		delayed(&w, body, delay)
	}
	w.WriteString("</Messages>")
	return c.do(ctx, api, sdk.POST, "queues/"+queue+"/messages", w.Bytes(), func(a answer) (done bool, err error) {
		if a.status != http.StatusCreated {
			return false, nil
		}
		return true, allTaken(a.body, len(delays))
	})
}

// delayed writes a message to a queue.
func delayed(w *bytes.Buffer, body []byte, delay time.Duration) {
	open(w, body)
	w.WriteString("<DelaySeconds>" + strconv.FormatInt(delaySeconds(delay), 10) + "</DelaySeconds>")
	w.WriteString("<Priority>" + strconv.Itoa(priority) + "</Priority></Message>")
}

func (c *Client) post(ctx context.Context, api, resource string, message []byte) (id string, err error) {
	err = c.do(ctx, api, sdk.POST, resource, message, func(a answer) (done bool, err error) {
		if a.status != http.StatusCreated {
			return false, nil
		}
		id, err = messageID(a.body)
		return true, err
	})
	return id, err
}

// do makes one call, again while that can help. read says whether the answer is
// the one that was hoped for, and reads it.
func (c *Client) do(ctx context.Context, api string, method sdk.Method, resource string, body []byte, read func(answer) (bool, error)) error {
	return c.calls.Do(ctx, api, c.endpoint.region, func(ctx context.Context) (string, error) {
		keys, err := pace.Keys(ctx, api, c.keys)
		if err != nil {
			return "", err
		}
		signer, err := c.take()
		if err != nil {
			return "", &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: err.Error(), Err: err}
		}
		got, err := signer.call(ctx, keys, method, resource, body)
		c.give(signer)
		if err != nil {
			return "", pace.SendFault(api, keys, err)
		}
		id := pace.Message(got.requestID, keys)
		done, err := read(got)
		switch {
		case err != nil:
			return id, &desktop.CallError{
				Call: api, Delivery: desktop.Unknown, RequestID: id, Err: err,
				Message: pace.Message("unreadable answer: "+err.Error(), keys),
			}
		case !done:
			return id, judge(api, id, keys, got)
		}
		return id, nil
	})
}

// open writes the head of a message and its body. The XML is written by hand:
// the SDK's encoder turns each quote of a JSON body into five bytes, which may
// count toward the limit.
func open(w *bytes.Buffer, body []byte) {
	w.Grow(len(body) + len(body)/8 + 256)
	w.WriteString(`<Message xmlns="` + namespace + `"><MessageBody>`)
	escape(w, body)
	w.WriteString("</MessageBody>")
}

// escape writes text as XML character data. A bare carriage return would
// arrive as a line feed.
func escape(w *bytes.Buffer, text []byte) {
	for {
		i := bytes.IndexAny(text, "&<>\r")
		if i < 0 {
			w.Write(text)
			return
		}
		w.Write(text[:i])
		switch text[i] {
		case '&':
			w.WriteString("&amp;")
		case '<':
			w.WriteString("&lt;")
		case '>':
			w.WriteString("&gt;")
		case '\r':
			w.WriteString("&#xD;")
		}
		text = text[i+1:]
	}
}

func checkName(what, name string) error {
	if !pattern.Queue.Matches(name) {
		return fmt.Errorf("%q is not the name of a %s: letters, digits and hyphens, at most 120", name, what)
	}
	return nil
}

func checkBody(body []byte) error {
	if len(body) == 0 || len(body) > MaxBody {
		return fmt.Errorf("a message has 1 to %d bytes, not %d", MaxBody, len(body))
	}
	return checkText("message", body)
}

func checkTag(tag string) error {
	if utf8.RuneCountInString(tag) > MaxTag {
		return fmt.Errorf("tag %q is longer than %d characters", tag, MaxTag)
	}
	return checkText("tag", []byte(tag))
}

// checkText refuses what XML cannot carry: it would arrive changed.
func checkText(what string, text []byte) error {
	for i := 0; i < len(text); {
		if b := text[i]; ' ' <= b && b < utf8.RuneSelf {
			i++
			continue
		}
		r, size := utf8.DecodeRune(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			return fmt.Errorf("the %s is not UTF-8 at byte %d", what, i)
		case r < ' ' && r != '\t' && r != '\n' && r != '\r', r == 0xFFFE, r == 0xFFFF:
			return fmt.Errorf("the %s has the control character %U at byte %d", what, r, i)
		}
		i += size
	}
	return nil
}

func delaySeconds(d time.Duration) int64 {
	d = min(max(d, 0), MaxDelay)
	return int64((d + time.Second - 1) / time.Second)
}
