package mns

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	sdk "github.com/aliyun/aliyun-mns-go-sdk"
	"github.com/valyala/fasthttp"

	"github.com/regild/regild/internal/credentials"
)

// bySDK returns what the vendor's SDK would send. It stops the test where the SDK's
// constructor panics.
func bySDK(t *testing.T, at endpoint, keys credentials.Keys, method, resource string, body []byte) *fasthttp.Request {
	t.Helper()
	defer func() {
		if p := recover(); p != nil {
			t.Fatalf("the SDK does not take %+v: %v", at, p)
		}
	}()
	c := sdk.NewAliMNSClientWithConfig(sdk.AliMNSClientConfig{EndPoint: at.scheme + "://" + at.signed, AccessKeyId: keys.ID, AccessKeySecret: keys.Secret, Token: keys.Token})
	caught := &fasthttp.Request{}
	c.SetTransport(catch(func(r *fasthttp.Request) { r.CopyTo(caught) }))
	_, _ = c.Send(sdk.Method(method), nil, body, resource) // the transport ends it
	return caught
}

type catch func(*fasthttp.Request)

func (c catch) RoundTrip(_ *fasthttp.HostClient, r *fasthttp.Request, _ *fasthttp.Response) (bool, error) {
	c(r)
	return false, errors.New("caught")
}

// asSDK fails unless the SDK would send the same request at the same time.
func asSDK(t *testing.T, at endpoint, keys credentials.Keys, method, resource string, body []byte) {
	t.Helper()
	want := bySDK(t, at, keys, method, resource, body)
	date, err := http.ParseTime(string(want.Header.Peek("Date")))
	if err != nil {
		t.Fatal(err)
	}
	got, err := at.request(t.Context(), keys, method, resource, body, date)
	if err != nil {
		t.Fatal(err)
	}
	if got.Method != string(want.Header.Method()) || got.Host != string(want.URI().Host()) || got.URL.RequestURI() != string(want.URI().RequestURI()) || got.URL.Host != at.host {
		t.Errorf("got %s %s of %s, want %s", got.Method, got.URL, got.Host, want.URI())
	}
	for _, name := range []string{"Authorization", "Content-Md5", "Content-Type", "Date", "X-Mns-Version", "Security-Token"} {
		if w := string(want.Header.Peek(name)); got.Header.Get(name) != w {
			t.Errorf("%s %s, %s: got %q, want %q", method, resource, name, got.Header.Get(name), w)
		}
	}
	want.Header.VisitAll(func(name, _ []byte) {
		if n := string(name); got.Header.Get(n) == "" && n != "Host" && n != "Content-Length" && n != "User-Agent" {
			t.Errorf("the SDK sends %s, and we do not", n)
		}
	})
}

func TestRequestsAreThoseOfTheVendorsSDK(t *testing.T) {
	at, err := parseEndpoint(Config{AccountID: "1234567890123456", RegionID: "cn-hangzhou"})
	if err != nil {
		t.Fatal(err)
	}
	long := []byte(`<Message xmlns="http://mns.aliyuncs.com/doc/v1/"><MessageBody>` + strings.Repeat("重建 &amp; ", 2000) + `</MessageBody></Message>`)
	for _, k := range []credentials.Keys{{ID: "LTAItest", Secret: "s3cr3t"}, {ID: "STS.N/+=", Secret: "k/+=", Token: "CAIS/+=token"}} {
		for _, r := range []struct {
			method, resource string
			body             []byte
		}{
			{http.MethodPost, "topics/outcomes/messages", long},
			{http.MethodPost, "queues/requests/messages", []byte("<Message/>")},
			{http.MethodGet, "queues/requests/messages?numOfMessages=16&waitseconds=3", nil},
			{http.MethodGet, "queues/requests", nil},
			{http.MethodDelete, "queues/requests/messages", []byte("<ReceiptHandles/>")},
		} {
			asSDK(t, at, k, r.method, r.resource, r.body)
		}
	}
}
