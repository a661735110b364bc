package mns

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
)

// This file is the XML of requests and answers.

const namespace = "http://mns.aliyuncs.com/doc/v1"

// header opens the service's answers.
const header = `<?xml version="1.0" ?>` + "\n"

// An element is XML to be written: text, or other elements.
type element struct {
	name, space, text string
	children          []element
}

func (e *element) add(name, text string) {
	e.children = append(e.children, element{name: name, text: text})
}

// document returns the element laid out as the live service does it: two spaces
// a level, no newline at the end.
func (e element) document(header string) []byte {
	b := bytes.NewBufferString(header)
	e.write(b, "")
	return b.Bytes()
}

// escaper is sparing: quotes in a text stay as they are in the service's answers.
var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "\r", "&#xD;")

func (e element) write(b *bytes.Buffer, indent string) {
	b.WriteString(indent + "<" + e.name)
	if e.space != "" {
		b.WriteString(` xmlns="` + e.space + `"`)
	}
	b.WriteString(">" + escaper.Replace(e.text))
	if len(e.children) > 0 {
		for _, child := range e.children {
			b.WriteByte('\n')
			child.write(b, indent+"  ")
		}
		b.WriteString("\n" + indent)
	}
	b.WriteString("</" + e.name + ">")
}

// text is an element's text, and how it stands in the request.
type text struct {
	Value string `xml:",chardata"`
	Raw   string `xml:",innerxml"`
}

// sendRequest is a <Message> to be sent to a queue or published to a topic.
// What is not named here, MessageAttributes and MessageGroupId among it, is
// tolerated and dropped.
type sendRequest struct {
	XMLName      xml.Name   `xml:"Message"`
	Body         *text      `xml:"MessageBody"`
	DelaySeconds *int64     `xml:"DelaySeconds"`
	Priority     *int64     `xml:"Priority"`
	Tag          string     `xml:"MessageTag"`
	User         []Property `xml:"UserProperties>PropertyValue"`
	System       []Property `xml:"SystemProperties>SystemPropertyValue"`
}

type batchRequest struct {
	XMLName  xml.Name      `xml:"Messages"`
	Messages []sendRequest `xml:"Message"`
}

type handlesRequest struct {
	XMLName xml.Name `xml:"ReceiptHandles"`
	Handles []string `xml:"ReceiptHandle"`
}

type queueRequest struct {
	XMLName                xml.Name `xml:"Queue"`
	DelaySeconds           *int64   `xml:"DelaySeconds"`
	MaximumMessageSize     *int64   `xml:"MaximumMessageSize"`
	MessageRetentionPeriod *int64   `xml:"MessageRetentionPeriod"`
	VisibilityTimeout      *int64   `xml:"VisibilityTimeout"`
	PollingWaitSeconds     *int64   `xml:"PollingWaitSeconds"`
	LoggingEnabled         *string  `xml:"LoggingEnabled"`
}

type topicRequest struct {
	XMLName            xml.Name `xml:"Topic"`
	MaximumMessageSize *int64   `xml:"MaximumMessageSize"`
	LoggingEnabled     *string  `xml:"LoggingEnabled"`
}

type subscriptionRequest struct {
	XMLName             xml.Name `xml:"Subscription"`
	Endpoint            string   `xml:"Endpoint"`
	FilterTag           string   `xml:"FilterTag"`
	NotifyStrategy      string   `xml:"NotifyStrategy"`
	NotifyContentFormat string   `xml:"NotifyContentFormat"`
}

// parse reads one document into v. The error is MalformedXML as an *Error.
func parse(body []byte, v any) error {
	space, _, err := root(body)
	if err == nil {
		err = xml.Unmarshal(body, v)
	}
	if err != nil {
		return &Error{400, "MalformedXML", "The XML you provided was not well-formed or did not validate against our published schema."}
	}
	// The documentation demands the slash, the service does not write it, and
	// the vendor's Go SDK sends no namespace at all. All three are taken live.
	if space != "" && strings.TrimSuffix(space, "/") != namespace {
		return &Error{400, "MalformedXML", fmt.Sprintf("The namespace %q is not supported.", space)}
	}
	return nil
}

// root returns namespace and name of a document's root element, and an error
// if the document is not well-formed to its end.
func root(body []byte) (space, name string, err error) {
	d := xml.NewDecoder(bytes.NewReader(body))
	for depth := 0; ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) && name != "" {
			return space, name, nil
		}
		if err != nil {
			return "", "", fmt.Errorf("reading XML: %w", err)
		}
		start, starts := token.(xml.StartElement)
		text, _ := token.(xml.CharData)
		switch {
		case starts && depth == 0 && name != "":
			return "", "", errors.New("more than one root element")
		case starts && depth == maxDepth:
			return "", "", errors.New("elements nested too deep")
		case depth == 0 && len(bytes.TrimSpace(text)) > 0:
			return "", "", errors.New("text outside of the root element")
		case starts:
			depth++
			if name == "" {
				space, name = start.Name.Space, start.Name.Local
			}
		default:
			if _, ends := token.(xml.EndElement); ends {
				depth--
			}
		}
	}
}

// maxDepth bounds the nesting of a request; the deepest one that means
// anything has five levels.
const maxDepth = 16
