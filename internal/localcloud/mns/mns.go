// Package mns is the local cloud's stand-in for Alibaba Cloud MNS (Simple
// Message Queue): queues, topics and subscriptions in memory, spoken to over
// HTTP as API version 2015-06-06 is, so that the vendor's own SDKs work against
// it on loopback. It is for the local cloud and for tests, never for production.
//
// # What it imitates
//
// The framing of answers as the live service sends it; the V2 signature
// (HMAC-SHA1) and the V4 signature (HMAC-SHA256), both really verified over the
// request as it was sent; the 15 minutes a Date may be off real time; security
// tokens; Content-MD5; all documented operations on queues, messages, topics
// and subscriptions with their limits, status and error codes; delays,
// visibility timeouts, long polls and retention, all on the cloud's clock;
// receipt handles that die with every change of state; at-least-once delivery,
// on demand without order and with duplicates; fan-out of topics into queues;
// dead-letter queues, which as in the live service cannot be set over this API.
//
// # What it does not
//
// It pushes to queues only: a subscription with an HTTP or mail endpoint is
// kept and never served (Watch stands in for other consumers). It has no RAM
// policies, no flow control of its own (ask a fault.Injector), no
// logging, and forgets everything when it ends. Where the service's behaviour
// is not known, the code says so at that place. The limits are those of the
// page "Limits" of the MNS documentation, the codes those of its page
// "Syntax of error responses".
package mns

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/regild/regild/internal/localcloud/clock"
	"github.com/regild/regild/internal/localcloud/fault"
)

// Keys is an access key that may call the service. One with a Token is of STS:
// the calls it signs must carry that token.
type Keys struct{ ID, Secret, Token string }

// Options says how a Server is set up. The zero value is a server on real time,
// without faults, that refuses every call over HTTP because it knows no key.
type Options struct {
	Clock  *clock.Clock    // nil: real time
	Faults *fault.Injector // nil: none
	Keys   []Keys          // see Server.SetKeys

	AccountID string // "": 1234567890123456
	RegionID  string // "": cn-hangzhou

	// Duplicate is the probability, from 0 to 1, that a receive hands out a
	// message that another consumer holds. That consumer's handle dies with it.
	Duplicate float64
	// Unordered lets a queue be read as the live service may: one slice of
	// its storage a call, so fewer messages than there are, in no order.
	Unordered bool
	// EscapedSize counts the size of a message as it stands in the XML, escapes
	// included. Which of both the live service counts is not known.
	EscapedSize bool
	// Seed makes ids, order and duplicates repeatable.
	Seed uint64
}

// A Server is one account's MNS in one region. All methods may be called at
// once from several goroutines.
type Server struct {
	clock           *clock.Clock
	faults          *fault.Injector
	account, region string
	duplicate       float64
	unordered       bool
	escapedSize     bool
	calls           map[string]handler

	mu      sync.Mutex
	keys    []Keys
	rand    *rand.Rand
	queues  map[string]*queue
	topics  map[string]*topic
	changed chan struct{} // closed and replaced when a message may have become visible
}

// New returns a server without queues and topics.
func New(o Options) *Server {
	s := &Server{
		clock:       o.Clock,
		faults:      o.Faults,
		account:     o.AccountID,
		region:      o.RegionID,
		duplicate:   o.Duplicate,
		unordered:   o.Unordered,
		escapedSize: o.EscapedSize,
		keys:        slices.Clone(o.Keys),
		rand:        rand.New(rand.NewPCG(o.Seed, o.Seed)),
		queues:      map[string]*queue{},
		topics:      map[string]*topic{},
		changed:     make(chan struct{}),
	}
	if s.clock == nil {
		s.clock = clock.New(time.Now(), 1)
	}
	if s.faults == nil {
		s.faults = &fault.Injector{}
	}
	if s.account == "" {
		s.account = "1234567890123456"
	}
	if s.region == "" {
		s.region = "cn-hangzhou"
	}
	s.calls = s.handlers()
	return s
}

// SetKeys replaces the keys that may call, as when STS credentials rotate.
func (s *Server) SetKeys(keys ...Keys) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = slices.Clone(keys)
}

// An Error is a refusal in the service's own words. It is what the Go methods
// return and what the HTTP side answers.
type Error struct {
	Status  int // of HTTP
	Code    string
	Message string
}

// Error returns code and message.
func (e *Error) Error() string { return e.Code + ": " + e.Message }

var (
	errQueueNotExist        = &Error{404, "QueueNotExist", "The queue name you provided is not exist."}
	errTopicNotExist        = &Error{404, "TopicNotExist", "The topic you provided does not exist."}
	errSubscriptionNotExist = &Error{404, "SubscriptionNotExist", "The subscription you provided does not exist."}
	errMessageNotExist      = &Error{404, "MessageNotExist", "Message not exist."}
	errReceiptHandle        = &Error{400, "ReceiptHandleError", "The receipt handle you provided is not valid."}
)

func invalidArgument(format string, args ...any) *Error {
	return &Error{400, "InvalidArgument", fmt.Sprintf(format, args...)}
}

// wake tells everyone who waits for a message to look again. It needs s.mu.
func (s *Server) wake() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// sleep waits until the cloud's time is t, changed is closed or ctx is done.
func (s *Server) sleep(ctx context.Context, t time.Time, changed <-chan struct{}) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
	}()
	s.clock.Wait(t, ctx.Done())
}

const upperHex = "0123456789ABCDEF"

// id returns n upper-case hexadecimal digits, as the service's ids are. It
// needs s.mu.
func (s *Server) id(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = upperHex[s.rand.IntN(len(upperHex))]
	}
	return string(b)
}
