package events

// A Via says how a wish reached regild, so that an audit ends at a person: the
// message's id is what the log of MNS has beside the account that sent it.
type Via struct {
	// Door is where the message entered, as the platform says it: queues/NAME,
	// topics/NAME, DoorEvents, or DoorUnknown where it does not say.
	Door string `json:"door"`
	// Queue is the platform's own full name of the queue, such as
	// acs:mns:cn-hangzhou:1234567890123456:queues/regild-requests; "" when it
	// gave none.
	Queue string `json:"queue,omitempty"`
	// Message is the id that the transport gave the message: that of MNS, else
	// the CloudEvent's; "" when there is neither.
	Message string `json:"message,omitempty"`
	// Source is the CloudEvent's source. The sender wrote it: it tells senders
	// apart that mean well, and proves nothing.
	Source string `json:"source,omitempty"`
	// RequestID is the request's id as its sender wrote it, where regild has put a
	// mark behind it to keep it apart from that of another sender; else "".
	RequestID string `json:"requestId,omitempty"`
}

// Doors that are neither a queue nor a topic.
const (
	// DoorEvents is EventBridge itself, which hands over an event of a bus.
	DoorEvents = "events"
	// DoorUnknown is what the platform does not name. It is the least trusted.
	DoorUnknown = "unknown"
)

// MaxVia bounds each text of a Via but the request's id, in bytes.
const MaxVia = 256

// Cut returns the Via with each text in at most 256 bytes, as it is written down
// and published.
func (v Via) Cut() Via {
	for _, s := range []*string{&v.Door, &v.Queue, &v.Message, &v.Source} {
		*s = cut(*s, MaxVia)
	}
	return v
}
