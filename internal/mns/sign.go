package mns

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/md5"  //nolint:gosec // MNS compares it with what arrived; nothing rests on it
	"crypto/sha1" //nolint:gosec // the one signature that MNS documents
	"encoding/base64"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/regild/regild/internal/credentials"
)

const (
	version     = "2015-06-06"
	contentType = "application/xml"
)

// request returns a signed request for a resource, which is the path and the query as
// they are sent, without the first slash. A test holds it to the vendor's SDK, header
// by header. Source: "Request signatures" of the MNS documentation; that Content-MD5 is
// of the digits and not of the bytes is what all SDKs of the vendor do.
func (e endpoint) request(ctx context.Context, keys credentials.Keys, method, resource string, body []byte, at time.Time) (*http.Request, error) {
	req, err := http.NewRequestWithContext(ctx, method, e.scheme+"://"+e.host+"/"+resource, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Host = e.signed
	sum := md5.Sum(body) //nolint:gosec // as above
	digest := base64.StdEncoding.EncodeToString([]byte(hex.EncodeToString(sum[:])))
	date := at.UTC().Format(http.TimeFormat)

	mac := hmac.New(sha1.New, []byte(keys.Secret))
	_, _ = mac.Write([]byte(method + "\n" + digest + "\n" + contentType + "\n" + date + "\nx-mns-version:" + version + "\n/" + resource)) // never fails
	req.Header = http.Header{
		"Authorization": {"MNS " + keys.ID + ":" + base64.StdEncoding.EncodeToString(mac.Sum(nil))},
		"Content-Md5":   {digest},
		"Content-Type":  {contentType},
		"Date":          {date},
		"X-Mns-Version": {version},
	}
	if keys.Token != "" {
		req.Header["Security-Token"] = []string{keys.Token}
	}
	return req, nil
}
