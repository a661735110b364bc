package mns

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

// The vectors are those that the vendor's SDKs for Node.js and Go make; the
// first is in the former's own tests.
func TestV2SignatureIsThatOfTheVendorsSDKs(t *testing.T) {
	tests := []struct {
		name, secret, method, target, want string
		header                             http.Header
	}{
		{
			name: "Node.js", secret: "ACCESS_KEY_SECRET", method: "PUT", target: "/",
			header: http.Header{
				"Content-Md5": {"574683b3684e3cff610afa155cc2506d"}, "Content-Type": {"text/xml"},
				"Date": {"Tue, 11 Apr 2017 10:09:19 GMT"}, "X-Mns-Version": {"2015-06-06"},
			},
			want: "A9zehggaYHHujmuRMxGIDrhWwx8=",
		},
		{
			name: "Go", secret: "sk", method: "POST", target: "/topics/outcomes/messages",
			header: http.Header{
				"Content-Md5": {"MDk4ODMyMjQzMjRlNGEyMDIxNDhmYWZiYzBlMTE1NWU="}, "Content-Type": {"application/xml"},
				"Date": {"Mon, 23 Nov 2026 08:37:28 GMT"}, "X-Mns-Version": {"2015-06-06"},
			},
			want: "aJCqQ/JTwpSVHQT9IWrp3EsfbWk=",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := signV2(tt.secret, tt.method, tt.target, tt.header); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

// The vectors are published with the vendor's Java SDK.
func TestV4SignatureIsThatOfTheVendorsJavaSDK(t *testing.T) {
	tests := []struct {
		name, secret, scope, date, method, target, want string
		header                                          http.Header
	}{
		{
			name: "query", secret: "sk1", scope: "20250603/region1/mns/aliyun_v4_request", date: "20250603T105235Z",
			method: "POST", target: "/queues/TestQueue/?param1=abc&PARAM2=d%20%20ef&PARAM3=%5Bdef%5D%23bbb&PARAM4=%E4%B8%AD%E6%96%87%E5%8F%82%E6%95%B0",
			want: "1fc6013f158d4c3aba09570895a2a93c8445c2c5213d82a1463baf602cf0d945",
		},
		{
			name: "headers", secret: "skkkkkkk1111111111", scope: "20251203/region2/mns/aliyun_v4_request", date: "20251203T112348Z",
			method: "PUT", target: "/queues/TestQueue123456",
			header: http.Header{"X-Mns-Abc": {"kkk"}, "X-Mns-Sss": {"2015-06-06xFFF"}, "X-Kkk-Def": {"jjj"}},
			want:   "04f1e5f929b5aaac3af6a54970f591581ecd2aade2562f926c5f2ec5d5c8cfad",
		},
		{
			name: "default headers", secret: "skkkkkk2222222222", scope: "20251204/eu-west-1/mns/aliyun_v4_request", date: "20251204T063235Z",
			method: "GET", target: "/queues",
			header: http.Header{
				"X-Mns-Version": {"2015-06-30"}, "X-Mns-Ttt": {"1"}, "X-Mns-Uuuuu": {"FALse"},
				"Content-Type": {"application/json"}, "Content-Md5": {"0d9d2ce750000593eb34f00"},
			},
			want: "294f776a2d5726df679b54b081ab8126a199a2545c8c8a7a875adff0b386e458",
		},
		{
			name: "bare", secret: "testSk", scope: "20250603/testRegion/mns/aliyun_v4_request", date: "20250603T105235Z",
			method: "GET", target: "/",
			want: "63f78964dcd1132bab91b9c38ceebdfb59509149b34874c5b2c9dfc2b12e7291",
		},
		{
			name: "odd path", secret: "testSk", scope: "20250603/testRegion/mns/aliyun_v4_request", date: "20250603T105235Z",
			method: "POST", target: "/queues/Test%20Queue@123",
			want: "87de7499365a31e767cdc0c726a893c72c860e415876f7f92914197ac3795833",
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			date, err := time.Parse("20060102T150405Z", tt.date)
			if err != nil {
				t.Fatal(err)
			}
			if got := signV4(tt.secret, tt.scope, date, tt.method, tt.target, tt.header); got != tt.want {
				t.Errorf("got %s, want %s", got, tt.want)
			}
		})
	}
}

func TestACallSignedByV4IsServed(t *testing.T) {
	s := New(Options{Keys: []Keys{{ID: "ak", Secret: "sk"}}})
	for _, tt := range []struct {
		secret string
		want   int
	}{{"sk", http.StatusOK}, {"other", http.StatusForbidden}} {
		r := httptest.NewRequest("GET", "/queues?unused=%5Bx%5D", nil)
		now := time.Now().UTC().Truncate(time.Second)
		scope := now.Format("20060102") + "/cn-hangzhou/mns/" + v4Suffix
		r.Header.Set("Date", now.Format(http.TimeFormat))
		r.Header.Set("x-mns-version", "2015-06-06")
		r.Header.Set("Authorization", v4Algorithm+" Credential=ak/"+scope+",Signature="+signV4(tt.secret, scope, now, r.Method, r.RequestURI, r.Header))
		w := httptest.NewRecorder()
		if s.Handler().ServeHTTP(w, r); w.Code != tt.want {
			t.Errorf("secret %q: got %d %s, want %d", tt.secret, w.Code, w.Body, tt.want)
		}
	}
}

func TestContentMD5IsTakenInBothEncodings(t *testing.T) {
	body := []byte("<Message/>")
	tests := []struct {
		name, digest string
		ok           bool
	}{
		{"absent", "", true},
		{"as RFC 1864 has it", "+8VUPGpkjHcBWIz2T0pS5Q==", true},
		{"as the SDKs send it", "ZmJjNTU0M2M2YTY0OGM3NzAxNTg4Y2Y2NGY0YTUyZTU=", true},
		{"of another body", "AAAAAAAAAAAAAAAAAAAAAA==", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := checkDigest(tt.digest, body); (err == nil) != tt.ok {
				t.Errorf("got %v, want accepted: %t", err, tt.ok)
			}
		})
	}
}

func TestAuthorizationOfAnotherFormIsInvalid(t *testing.T) {
	for _, value := range []string{
		"MNS", "MNS id", "MNS :signature", "MNS id:", "Bearer x",
		"MNS4-HMAC-SHA256 Credential=id/20260101/cn-hangzhou/oss/aliyun_v4_request,Signature=00",
		"MNS4-HMAC-SHA256 Credential=id/mns/aliyun_v4_request,Signature=00",
		"MNS4-HMAC-SHA256 Credential=id/20260101/cn-hangzhou/mns/aliyun_v4_request",
	} {
		if _, err := readAuthorization(value); err != errInvalidAuthorization {
			t.Errorf("%q: got %v, want %v", value, err, errInvalidAuthorization)
		}
	}
}

func FuzzAuthorization(f *testing.F) {
	f.Add("MNS id:signature")
	f.Add("MNS4-HMAC-SHA256 Credential=id/20260101/cn-hangzhou/mns/aliyun_v4_request,Signature=00")
	f.Fuzz(func(t *testing.T, value string) {
		k, err := readAuthorization(value)
		if err == nil && (k.id == "" || !strings.Contains(value, k.id+":"+k.signature) && !strings.Contains(value, k.id+"/"+k.scope+",Signature="+k.signature)) {
			t.Errorf("%q: got %+v, want the parts as they stand there", value, k)
		}
	})
}
