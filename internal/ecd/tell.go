package ecd

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"time"
	"unicode"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"

	"github.com/regild/regild/internal/desktop"
)

// tellTakes is how long the command may run that shows a text.
const tellTakes = time.Minute

// Tell shows a text on Windows desktops, at most 50, and returns the id to ask
// Invocations for. With a user it runs in the session of that user, else for all
// sessions. Where nobody is logged on the command ends well and shows nothing.
// Whether the text was seen by anybody ECD does not say. Like Run it is started
// once. Source: RunCommand, "EndUserId"; Windows' own msg.exe.
func (c *Client) Tell(ctx context.Context, region string, ids []string, user, message string) ([]string, error) {
	const api = "RunCommand"
	ids = distinct(ids)
	if len(ids) > maxCommandIDs {
		return nil, &desktop.CallError{Call: api, Delivery: desktop.Refused,
			Message: fmt.Sprintf("%d desktops are too many to tell at once, and %d are allowed", len(ids), maxCommandIDs)}
	}
	content := base64.StdEncoding.EncodeToString([]byte(TellScript(message)))
	seconds := int64(tellTakes / time.Second)
	query := sdk.RunCommandRequest{
		RegionId: &region, DesktopId: pointers(ids), Type: new("RunPowerShellScript"), Timeout: &seconds,
		CommandContent: &content, ContentEncoding: new("Base64"),
	}
	if user != "" {
		query.EndUserId = &user
	}
	id, err := c.runCommand(ctx, region, &query)
	if err != nil {
		return nil, fmt.Errorf("telling the users of %d desktops in %s: %w", len(ids), region, err)
	}
	return []string{id}, nil
}

// The script around a text. The text comes as Base64 between single quotes, and
// PowerShell hands what it decodes to msg.exe as one argument: no part of it is
// ever read as a script, and its alphabet has no quote.
const (
	tellBefore = `if (-not (Get-Process -Name explorer -ErrorAction SilentlyContinue)) { 'nobody is logged on'; exit 0 }
$text = [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String('`
	tellAfter = `'))
& "$env:SystemRoot\System32\msg.exe" '*' '/time:86400' $text
exit $LASTEXITCODE
`
)

// TellScript returns the PowerShell script that shows a text. Whatever the text
// is, only its Base64 differs from one script to another.
func TellScript(message string) string {
	return tellBefore + base64.StdEncoding.EncodeToString([]byte(plain(message))) + tellAfter
}

// plain takes out of a text what would end, or bend, an argument of a Windows
// command line: quotes, control characters, a backslash in the end, a slash in
// the beginning.
func plain(message string) string {
	message = strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r == '"':
			return '\''
		case unicode.IsControl(r), r == unicode.ReplacementChar:
			return ' '
		}
		return r
	}, strings.ReplaceAll(strings.ToValidUTF8(message, " "), "\r\n", "\n"))
	message = strings.TrimRight(strings.TrimSpace(message), "\\ ")
	if strings.HasPrefix(message, "/") || strings.HasPrefix(message, "-") || message == "" {
		message = " " + message
	}
	return message
}
