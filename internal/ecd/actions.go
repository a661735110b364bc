package ecd

import "strings"

// Actions are the calls of ECD that regild makes, as RAM names them without the
// product. docs/ram grants the same, and no other.
var Actions = []string{
	"CreateSnapshot", "DescribeClientEvents", "DescribeDesktopSessions", "DescribeDesktops", "DescribeImageModifiedRecords", "DescribeImages",
	"DescribeInvocations", "DescribeSnapshots", "ListTagResources", "RebuildDesktops", "RunCommand", "SetDesktopMaintenance", "StartDesktops",
	"StopDesktops",
}

// SessionPolicy is the policy of credentials with which regild's calls of ECD can be
// made, and nothing else.
func SessionPolicy() string {
	return `{"Version":"1","Statement":[{"Effect":"Allow","Action":["ecd:` + strings.Join(Actions, `","ecd:`) + `"],"Resource":"*"}]}`
}
