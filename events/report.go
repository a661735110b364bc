package events

// A Report is the function's response to one invocation: what it counted.
type Report struct {
	Messages int            `json:"messages"` // that were delivered
	Desktops int            `json:"desktops"` // that were looked at
	Outcomes map[Status]int `json:"outcomes"` // that were published, by status
	Calls    map[string]int `json:"calls"`    // to the cloud, by API name
}
