package events

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// TypeECSImage is the CloudEvents type of what EventBridge tells of images of
// ECS, which are none of ECD. Source: ECS, "Image event notification".
const TypeECSImage = "ecs:Image:StateChange"

// IsVendorEvent says whether a CloudEvent of that type is one of the vendor's
// that ParseActionTrail reads. ActionTrail's types are recognised by their
// middle, because the parts around it vary (ecd:…, actiontrail:…; …:ApiCall,
// …:ConsoleOperation, …:AliyunServiceEvent). Source: EventBridge, "ActionTrail
// events".
func IsVendorEvent(eventType string) bool {
	return strings.Contains(eventType, ":ActionTrail:") || eventType == TypeECSImage
}

// ErrECSImage is why an image event of ECS is refused.
var ErrECSImage = errors.New("an Image:StateChange event of ECS is not an image of Elastic Desktop Service: " +
	"the ids differ; publish a " + TypeRelease + " with the desktop image's id instead")

// An ImageEvent is what ActionTrail says of an image that somebody began to
// make. It marks the start; the image is Available later.
type ImageEvent struct {
	EventName string // CreateImage, CopyImage or UploadImage
	EventID   string // ActionTrail's id of the call; may be ""
	RequestID string // ECD's id of the call; may be ""
	RegionID  string // where the image comes to be; for CopyImage the destination
	ImageID   string // "" when the trail does not tell; then ImageName is set
	ImageName string // may be "" when ImageID is set
}

// ParseActionTrail reads an ActionTrail record (the data of its CloudEvent).
// It is tolerant, for the document is the vendor's: unknown fields are passed
// over. relevant is false for a call of another product, for another call
// than CreateImage, CopyImage and UploadImage, and for a call that failed.
// The error says in a sentence why a record that matters cannot be used;
// ErrECSImage for an image event of ECS. Source: ActionTrail, "Event
// structure".
func ParseActionTrail(data []byte) (event ImageEvent, relevant bool, err error) {
	if len(data) > MaxDocument {
		return ImageEvent{}, false, fmt.Errorf("the record has %d bytes, more than the %d that are read", len(data), MaxDocument)
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(data, &fields); err != nil {
		return ImageEvent{}, false, fmt.Errorf("the record is not a JSON object: %w", err)
	}
	if isECSImage(fields) {
		return ImageEvent{}, false, ErrECSImage
	}
	name := word(fields, "eventName")
	if name == "" && word(fields, "serviceName") == "" {
		return ImageEvent{}, false, errors.New("the record names neither a service nor a call; it is not one of ActionTrail")
	}
	if !strings.EqualFold(word(fields, "serviceName"), "ecd") || word(fields, "errorCode") != "" {
		return ImageEvent{}, false, nil
	}
	asked, answered := nested(fields, "requestParameters"), nested(fields, "responseElements")
	event = ImageEvent{
		EventName: name,
		EventID:   word(fields, "eventId"),
		RequestID: word(fields, "requestId"),
		RegionID:  word(fields, "acsRegion"),
		ImageID:   word(answered, "ImageId"),
	}
	if event.RegionID == "" {
		event.RegionID = word(asked, "RegionId")
	}
	switch name {
	case "CreateImage", "UploadImage":
		event.ImageName = word(asked, "ImageName")
	case "CopyImage":
		// The trail is written in the source region.
		event.RegionID = word(asked, "DestinationRegionId")
		event.ImageName = word(asked, "DestinationImageName")
	default:
		return ImageEvent{}, false, nil
	}
	return event, true, event.check()
}

// check says why the event cannot be used.
func (e ImageEvent) check() error {
	if problem := checkRegion(e.RegionID); problem != "" {
		return fmt.Errorf("the region of %s: %s", e.EventName, problem)
	}
	if e.ImageID == "" && e.ImageName == "" {
		return fmt.Errorf("%s names neither the id of the image nor its name", e.EventName)
	}
	if e.ImageID != "" {
		if problem := checkImage(e.ImageID); problem != "" {
			return fmt.Errorf("the image of %s: %s", e.EventName, problem)
		}
	}
	if e.ImageName != "" {
		if problem := checkText(maxImageName)(e.ImageName); problem != "" {
			return fmt.Errorf("the image's name in %s %s", e.EventName, problem)
		}
	}
	return nil
}

// isECSImage recognises an image event of ECS. Source: ECS, "Image event
// notification".
func isECSImage(fields map[string]json.RawMessage) bool {
	return word(fields, "name") == "Image:StateChange"
}

// word returns the named string, or "".
func word(fields map[string]json.RawMessage, name string) string {
	var s string
	if json.Unmarshal(fields[name], &s) != nil {
		return ""
	}
	return s
}

// nested returns the named object, which may also be the JSON text of one.
func nested(fields map[string]json.RawMessage, name string) map[string]json.RawMessage {
	raw := fields[name]
	if s := word(fields, name); s != "" {
		raw = []byte(s)
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(raw, &inner) != nil {
		return nil
	}
	return inner
}
