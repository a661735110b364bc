package ecd

import (
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

// FuzzParameters holds every operation to its bounds, whatever it is asked: an
// answer or a refusal of 4xx, no rebuild of what was not named, no more than 20.
func FuzzParameters(f *testing.F) {
	for _, query := range []string{
		"RegionId=cn-hangzhou&DesktopId.1=ecd-1&ImageId=m-new",
		"RegionId=cn-hangzhou&DesktopId.0=ecd-1&DesktopId.x=ecd-1&DesktopId.99999999999999999999=ecd-1",
		"RegionId=cn-hangzhou&Tag.1.Key=a&Tag.1.Value=b&Tag..Key=c&ResourceType=ALIYUN::GWS::INSTANCE&ResourceId.1=ecd-1",
		"RegionId=cn-hangzhou&MaxResults=-1&NextToken=RGVzY3JpYmVEZXNrdG9wcyAtMQ&PageNumber=1048576&PageSize=100",
		"RegionId=cn-hangzhou&NextToken=RGVzY3JpYmVEZXNrdG9wcyA5OTk5OTk",
		"RegionId=cn-hangzhou&DesktopIds.1=ecd-2&Mode=enter&Type=RunBatScript&CommandContent=eA%3D%3D&ContentEncoding=Base64&Timeout=5",
		"%zz", "a=b;c=d", "&&&==",
	} {
		f.Add(query, query)
	}
	f.Fuzz(func(t *testing.T, query, body string) {
		s, err := New(pair(Desktop{ID: "ecd-%d", Count: 30}), Options{Keys: []Keys{testKeys}})
		if err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest("POST", "/", strings.NewReader(body))
		r.URL.RawQuery = query
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		read, err := readForm(r)
		if err != nil {
			if no := refusalOf(err); no.Status < 400 || no.Status > 499 {
				t.Errorf("reading: got status %d", no.Status)
			}
			return
		}
		p := read.all()
		for _, name := range sortedKeys(s.operations) {
			_, err := s.operations[name](&call{params: p, now: time.Now(), requestID: "r"})
			if err == nil {
				continue
			}
			if no := refusalOf(err); no.Status < 400 || no.Status > 499 || no.Code == "" {
				t.Errorf("%s: got status %d, code %q", name, no.Status, no.Code)
			}
		}
		if n := len(s.Wipes()); n > maxRebuilds {
			t.Errorf("one call started %d rebuilds", n)
		}
		for _, w := range s.Wipes() {
			if !named(read.query, w.DesktopID) && !named(read.body, w.DesktopID) {
				t.Errorf("desktop %s was rebuilt, though nobody named it", w.DesktopID)
			}
		}
	})
}

func named(v url.Values, desktop string) bool {
	for name, values := range v {
		if strings.HasPrefix(name, "DesktopId.") && len(values) > 0 && values[0] == desktop {
			return true
		}
	}
	return false
}

func FuzzAuthorization(f *testing.F) {
	f.Add(acs3+" Credential=testAK,SignedHeaders=host;x-acs-date,Signature=00", "RegionId=cn-hangzhou")
	f.Add("", "AccessKeyId=testAK&Signature=x&SignatureMethod=HMAC-SHA1&SignatureVersion=1.0&SignatureNonce=1&Timestamp=2026-11-23T08:00:00Z")
	f.Fuzz(func(t *testing.T, authorization, query string) {
		g := newGate([]Keys{testKeys})
		r := httptest.NewRequest("GET", "/", nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", authorization)
		read, err := readForm(r)
		if err != nil {
			return
		}
		if _, err := g.admit(r, read, t0); err == nil {
			t.Error("a call was admitted that nobody signed")
		}
	})
}
