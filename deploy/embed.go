package deploy

import _ "embed"

// Template is deploy/ros.yaml: everything around the function, for Resource
// Orchestration Service.
//
//go:embed ros.yaml
var Template string

// MemberTemplate is deploy/ros-member.yaml: the role in another account whose
// desktops the function serves.
//
//go:embed ros-member.yaml
var MemberTemplate string

// Name is what a deployment is called unless it has another name: the function,
// the stack, and what all other names begin with.
const Name = "regild"

// Requests is what the name of the function ends with that requests have to
// themselves, where there are shares (REGILD_SHARES=yes): docs/ram.md, "Shares".
const Requests = "-requests"

// RequestTriggers are the triggers that it has then instead of the other.
var RequestTriggers = []string{"topic", "queue"}

// Triggers of the function, as s.yaml names them; a test compares the two.
var Triggers = []string{"topic", "sweep", "queue", "image"}

// Alerts are the alerts of Log Service that the template makes; a test compares
// the two.
var Alerts = []string{"regild-heartbeat", "regild-settings", "regild-credentials", "regild-damaged", "regild-panic",
	"regild-halted", "regild-redeliver", "regild-failed", "regild-throttled", "regild-unpublished", "regild-maintenance"}
