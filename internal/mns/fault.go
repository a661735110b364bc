package mns

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
)

// messageID reads the answer to a message that was taken. There is one for each
// outcome, and they all look alike: only one that does not is read as XML.
func messageID(body []byte) (string, error) {
	if id, ok := plainID(body); ok {
		return id, nil
	}
	var v struct {
		XMLName xml.Name `xml:"Message"`
		ID      string   `xml:"MessageId"`
	}
	if err := xml.Unmarshal(body, &v); err != nil {
		return "", err
	}
	if v.ID == "" {
		return "", errors.New("no message id")
	}
	return pace.Message(v.ID, credentials.Keys{}), nil
}

// allTaken reads the answer to a batch, of which so many messages are to have an id.
func allTaken(body []byte, n int) error {
	var v struct {
		XMLName  xml.Name `xml:"Messages"`
		Messages []struct {
			ID        string `xml:"MessageId"`
			ErrorCode string
		} `xml:"Message"`
	}
	if err := xml.Unmarshal(body, &v); err != nil {
		return err
	}
	taken := 0
	for _, m := range v.Messages {
		if m.ID != "" && m.ErrorCode == "" {
			taken++
		}
	}
	if taken != n {
		return fmt.Errorf("of %d messages %d were taken", n, taken)
	}
	return nil
}

// plainID reads an id of letters, digits and hyphens from a whole answer.
func plainID(body []byte) (string, bool) {
	head, rest, _ := bytes.Cut(body, []byte("<MessageId>")) // what follows is nothing where it is not found
	within, rest, _ := bytes.Cut(rest, []byte("</MessageId>"))
	whole := bytes.Contains(head, []byte("<Message ")) && bytes.HasSuffix(bytes.TrimSpace(rest), []byte("</Message>"))
	id := string(within)
	return id, whole && pattern.Queue.Matches(id)
}

// judge says what an answer other than 201 means, by MNS's code. One that is
// not MNS's own says nothing, whatever its status; nor does any 5xx. Source:
// "Syntax of error responses".
func judge(api, requestID string, keys credentials.Keys, a answer) error {
	var said struct {
		XMLName   xml.Name `xml:"Error"`
		Code      string
		Message   string
		RequestID string `xml:"RequestId"`
	}
	e := &desktop.CallError{Call: api, RequestID: pace.Message(requestID, keys)}
	err := xml.Unmarshal(a.body, &said)
	switch said.Code = strings.TrimSpace(said.Code); {
	case err != nil || said.Code == "":
		e.Err = err
		e.Message = fmt.Sprintf("unreadable answer with status %d", a.status)
		e.Throttled = a.status == http.StatusTooManyRequests
		return e
	case said.Code == "QpsLimitExceeded" || said.Code == "TooManyRequests":
		e.Delivery, e.Throttled = desktop.NotSent, true
	case a.status == http.StatusTooManyRequests: // by a code that is not MNS's for it, or a gateway's
		e.Throttled = true
	case a.status < 400 || a.status > 499:
	case a.status == http.StatusForbidden, forbidden[said.Code]:
		e.Delivery = desktop.Forbidden
	default:
		e.Delivery = desktop.Refused
	}
	e.Code, e.Message = pace.Message(said.Code, keys), pace.Message(said.Message, keys)
	if e.RequestID == "" {
		e.RequestID = pace.Message(said.RequestID, keys)
	}
	return e
}

// forbidden are the codes that say that these credentials will get nothing
// done, whatever 4xx they come with: also when the clock is wrong.
var forbidden = map[string]bool{
	"AccessDenied": true, "InvalidAccessKeyId": true, "SignatureDoesNotMatch": true, "InvalidSecurityToken": true,
	"InvalidAuthorizationHeader": true, "MissingAuthorizationHeader": true, "InvalidDateHeader": true, "TimeExpired": true,
}
