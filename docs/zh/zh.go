// Package zh holds what the pages for people take from the Chinese documentation.
package zh

import (
	_ "embed"
	"regexp"
	"strings"
	"sync"
)

//go:embed codes.md
var codes string

var row = regexp.MustCompile("(?m)^\\| `([A-Z][A-Za-z]+)` \\| ([^|]+) \\|$")

// Codes are the meanings of the codes, by name, as codes.md explains them.
var Codes = sync.OnceValue(func() map[string]string {
	meanings := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(codes, -1) {
		meanings[m[1]] = strings.ReplaceAll(m[2], "`", "")
	}
	return meanings
})
