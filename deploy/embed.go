package deploy

import _ "embed"

// Template is deploy/ros.yaml: everything around the function, for Resource
// Orchestration Service.
//
//go:embed ros.yaml
var Template string

// Triggers of the function, as s.yaml names them; a test compares the two.
var Triggers = []string{"topic", "sweep", "queue", "image"}
