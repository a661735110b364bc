// Package ram holds the RAM policies of docs/ram.md, with their placeholders.
package ram

import "embed"

// Files are the policies by name, such as function.json.
//
//go:embed *.json
var Files embed.FS
