package oss

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/xml"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// An apiError is a refusal in the service's own words.
type apiError struct {
	Status  int
	Code    string
	Message string
	EC      string            // the service's error number, where it is published
	Header  map[string]string // sent along with it
	Details [][2]string       // further elements, in order
}

// with returns a copy of e with one more element.
func (e *apiError) with(name, value string) *apiError {
	c := *e
	c.Details = append(append([][2]string(nil), e.Details...), [2]string{name, value})
	return &c
}

var (
	errNoSuchBucket = &apiError{Status: 404, Code: "NoSuchBucket", EC: "0015-00000101", Message: "The specified bucket does not exist."}
	errNoSuchKey    = &apiError{Status: 404, Code: "NoSuchKey", EC: "0026-00000001", Message: "The specified key does not exist."}
	errTooLarge     = &apiError{Status: 400, Code: "EntityTooLarge", Message: "Your proposed upload exceeds the maximum allowed size."}
)

func invalidArgument(name, value, ec, message string) *apiError {
	e := &apiError{Status: 400, Code: "InvalidArgument", EC: ec, Message: message}
	return e.with("ArgumentName", name).with("ArgumentValue", value)
}

// fail writes an error as the service does: as XML, or for HEAD, which has no
// body, in a header.
func fail(w http.ResponseWriter, r *http.Request, e *apiError) {
	id := requestID()
	var b strings.Builder
	b.WriteString(xml.Header + "<Error>\n")
	element := func(name, value string) {
		b.WriteString("  <" + name + ">")
		_ = xml.EscapeText(&b, []byte(value))
		b.WriteString("</" + name + ">\n")
	}
	element("Code", e.Code)
	element("Message", e.Message)
	element("RequestId", id)
	element("HostId", r.Host)
	for _, d := range e.Details {
		element(d[0], d[1])
	}
	if e.EC != "" {
		element("EC", e.EC)
		element("RecommendDoc", "https://api.aliyun.com/troubleshoot?q="+e.EC)
		w.Header().Set("x-oss-ec", e.EC)
	}
	b.WriteString("</Error>\n")
	for k, v := range e.Header {
		w.Header().Set(k, v)
	}
	w.Header().Set("x-oss-request-id", id)
	w.Header().Set("Content-Type", "application/xml")
	if r.Method == http.MethodHead {
		w.Header().Set("x-oss-err", base64.StdEncoding.EncodeToString([]byte(b.String())))
		w.WriteHeader(e.Status)
		return
	}
	w.Header().Set("Content-Length", strconv.Itoa(b.Len()))
	w.WriteHeader(e.Status)
	_, _ = w.Write([]byte(b.String()))
}

// answer writes a success; a nil body is none.
func answer(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("x-oss-request-id", requestID())
	w.Header().Set("x-oss-server-time", "1")
	if w.Header().Get("Content-Length") == "" && status != http.StatusNoContent {
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	}
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// answerXML writes v as the body of a success.
func answerXML(w http.ResponseWriter, v any) *apiError {
	body, err := xml.MarshalIndent(v, "", "  ")
	if err != nil {
		return &apiError{Status: 500, Code: "InternalError", Message: err.Error()}
	}
	w.Header().Set("Content-Type", "application/xml")
	answer(w, http.StatusOK, append([]byte(xml.Header), body...))
	return nil
}

// requestID makes an id of the service's shape: 24 hex digits.
func requestID() string {
	var raw [12]byte
	for i := range raw {
		raw[i] = byte(rand.Uint32())
	}
	return strings.ToUpper(hex.EncodeToString(raw[:]))
}

// isoTime is the service's time format within XML.
func isoTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
