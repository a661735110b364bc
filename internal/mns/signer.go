package mns

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"
	aliyun "github.com/aliyun/credentials-go/credentials"
	"github.com/valyala/fasthttp"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/pace"
)

// A signer is one client of the SDK, used by one call at a time, since the SDK
// has no way to hand a call's credentials and context on: they wait here. The
// signer is the SDK's transport and the source of its credentials.
type signer struct {
	aliyun.Credential // nil: the SDK asks for GetCredential alone

	sdk  sdk.MNSClient
	wire *pace.Wire
	line *pace.Line // nil: a proxy stands in between, and the wire has to do
	host string

	under underWay
}

// underWay is the call that a signer makes, and what became of it.
type underWay struct {
	ctx    context.Context //nolint:containedctx // the SDK hands none on
	keys   credentials.Keys
	body   []byte
	signed *fasthttp.Request // nil: nothing was sent
	answer answer
	err    error
}

// An answer is what MNS sent back, as far as it is looked at.
type answer struct {
	status    int
	requestID string
	body      []byte
}

func newSigner(wire *pace.Wire, at endpoint) (l *signer, err error) {
	defer func() {
		if p := recover(); p != nil { // how the SDK's constructor reports faults
			err = fmt.Errorf("mns: the SDK refuses endpoint %s: %v", at.url, p)
		}
	}()
	scheme, _, _ := strings.Cut(at.url, ":")
	l = &signer{wire: wire, host: at.host, line: wire.Line(&url.URL{Scheme: scheme, Host: at.host})}
	l.sdk = sdk.NewAliMNSClientWithConfig(sdk.AliMNSClientConfig{EndPoint: at.url, Credential: l})
	l.sdk.SetTransport(l)
	return l, nil
}

// call has the SDK sign a body for a resource, sends it once, and returns the
// answer, whatever its status.
func (l *signer) call(ctx context.Context, keys credentials.Keys, method sdk.Method, resource string, body []byte) (answer, error) {
	l.under = underWay{ctx: ctx, keys: keys, body: body}
	res, refusal := l.sdk.Send(method, nil, body, resource)
	became := l.under
	l.under = underWay{}
	if res != nil {
		fasthttp.ReleaseResponse(res)
	}
	if became.signed == nil {
		return answer{}, pace.NothingSent(cmp.Or(refusal, errNothingSent))
	}
	fasthttp.ReleaseRequest(became.signed) // the SDK takes it from fasthttp's pool, and never puts it back
	return became.answer, became.err
}

var errNothingSent = errors.New("the SDK sent nothing")

// GetCredential gives the SDK the credentials of the call under way.
func (l *signer) GetCredential() (*aliyun.CredentialModel, error) {
	k := &l.under.keys
	return &aliyun.CredentialModel{AccessKeyId: &k.ID, AccessKeySecret: &k.Secret, SecurityToken: &k.Token}, nil
}

// RoundTrip sends what the SDK signed. It never asks for a second attempt, and
// shows the SDK a success, since the SDK would only lose what became of it.
func (l *signer) RoundTrip(_ *fasthttp.HostClient, signed *fasthttp.Request, res *fasthttp.Response) (retry bool, err error) {
	c := &l.under
	c.signed = signed
	if l.line != nil {
		c.answer, c.err = l.overLine(c.ctx, signed, res)
	} else {
		c.answer, c.err = l.viaProxy(c.ctx, signed, c.body)
	}
	res.SetStatusCode(http.StatusCreated)
	return false, nil
}

// overLine sends a signed request once, to the host that is really meant. Interim answers
// (1xx) may come first, of which fasthttp passes over one: what follows them on the
// connection must not be taken for the answer to another request.
func (l *signer) overLine(ctx context.Context, signed *fasthttp.Request, res *fasthttp.Response) (answer, error) {
	err := l.line.Send(ctx, signed.Write, func(in *bufio.Reader) (bool, error) {
		err := res.ReadLimitBody(in, pace.MaxAnswer)
		for err == nil && res.StatusCode() < http.StatusOK {
			err = res.ReadLimitBody(in, pace.MaxAnswer)
		}
		return !res.ConnectionClose(), err
	})
	if err != nil {
		return answer{}, err
	}
	return answer{res.StatusCode(), string(res.Header.Peek(requestID)), bytes.Clone(res.Body())}, nil
}

// requestID is the header with MNS's id of a request.
const requestID = "X-Mns-Request-Id"

// viaProxy does the same where a proxy stands in between. body is what was signed. Neither it
// nor the request's own copy of it is sent: both may be used for another one while it is
// still being written.
func (l *signer) viaProxy(ctx context.Context, signed *fasthttp.Request, body []byte) (answer, error) {
	uri := signed.URI()
	target := string(uri.Scheme()) + "://" + l.host + string(uri.RequestURI())
	req, err := http.NewRequestWithContext(ctx, string(signed.Header.Method()), target, bytes.NewReader(bytes.Clone(body)))
	if err != nil {
		return answer{}, err
	}
	req.Host = string(uri.Host())
	signed.Header.VisitAll(func(key, value []byte) { // fasthttp writes keys as net/http does, which takes host and length from req
		req.Header[string(key)] = []string{string(value)}
	})
	a, err := l.wire.Send(req)
	return answer{a.Status, a.Header.Get(requestID), a.Body}, err
}

// take returns an unused signer, or a new one; give puts it back. There are as
// many as calls were ever under way at once.
func (c *Client) take() (*signer, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := len(c.signers); n > 0 {
		l := c.signers[n-1]
		c.signers = c.signers[:n-1]
		return l, nil
	}
	return newSigner(c.wire, c.endpoint)
}

func (c *Client) give(l *signer) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.signers = append(c.signers, l)
}
