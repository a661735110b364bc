package pace

import (
	"strings"
	"unicode"

	"github.com/regild/regild/internal/credentials"
)

// maxMessage bounds what is kept of a service's message, in bytes: outcomes
// carry it, and MNS takes 64 KB for everything.
const maxMessage = 512

// Message makes a service's or the network's words fit to be passed on: one
// line, valid UTF-8, cut after 512 bytes, and without the credentials, which
// services are known to echo when a signature does not match.
func Message(text string, k credentials.Keys) string {
	text = strings.ToValidUTF8(k.Redact(text), "\uFFFD")
	if strings.ContainsFunc(text, unicode.IsSpace) { // most are an id
		text = strings.Join(strings.Fields(text), " ")
	}
	if len(text) > maxMessage {
		text = strings.ToValidUTF8(text[:maxMessage], "") + "…"
	}
	return text
}
