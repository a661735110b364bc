package events

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/regild/regild/internal/pattern"
)

// MaxDesktops is how many desktops one request may name. It keeps a request
// within a message of 64 KB.
const MaxDesktops = 2000

// The patterns of ids are in package pattern; these are of events alone. schema/defs.json
// says the same.
var (
	digestForm = pattern.New(`^(sha256:[0-9a-f]{64})?$`, 0)
	signForm   = pattern.New(`^hmac-sha256:[0-9a-f]{64}$`, 0)
	nameForm   = pattern.New(`^[0-9a-zA-Z_.-]{1,60}$`, 0) // of a field, to be shown unquoted
)

// The checks of ids.
var (
	checkDesktop = filled("name a desktop", formed(pattern.Desktop, "a desktop id", "ecd-gx2x1dhsmucyy0001"))
	checkAccount = filled("leave the field out for the function's own account", formed(pattern.Account, "the id of an account", "1234567890123456"))
	checkImage   = filled("leave the field out to reset to the current image", imageForm)
	// checkReleaseImage differs from checkImage in the advice: a release cannot go
	// without an image.
	checkReleaseImage = filled("name the image in this region", imageForm)
	checkRelease      = formed(pattern.Release, "a release id", "2026.11.3")
	checkRollout      = formed(pattern.Rollout, "a rollout id (release/fleet)", "2026.11.3/office-hz")
	checkFreeze       = formed(pattern.Release, "the id of a freeze", "christmas-2026")
	checkFleet        = formed(pattern.Fleet, "the name of a fleet", "office-hz")
	checkDigest       = formed(digestForm, "the digest of a plan", "sha256: and 64 hex digits")
	checkSignature    = formed(signForm, "a signature", macForm+" and 64 hex digits")

	imageForm  = formed(pattern.Image, "an image id", "m-84mztzatmlnys0001")
	regionForm = formed(pattern.Region, "a region id", "cn-hangzhou")
)

func checkRegion(s string) string {
	if utf8.RuneCountInString(s) > pattern.Region.Most {
		return quoted(s) + " is too long for a region id; write it like cn-hangzhou"
	}
	return regionForm(s)
}

// formed allows what has the pattern.
func formed(want *pattern.Pattern, what, example string) check {
	return func(s string) string {
		if want.Matches(s) {
			return ""
		}
		return fmt.Sprintf("%s is not %s; write it like %s", quoted(s), what, example)
	}
}

// filled allows what ok does, and has an advice of its own where nothing was filled in.
func filled(advice string, ok check) check {
	return func(s string) string {
		if s == "" {
			return "is empty; " + advice
		}
		return ok(s)
	}
}

// CheckRequestID holds what a sender calls a request to text that people can tell
// from other text.
func CheckRequestID(s string) string {
	if problem := checkText(MaxRequestID)(s); problem != "" {
		return problem
	}
	return lookalike(s)
}

// checkText allows 1 to most characters that can travel; see CheckID.
func checkText(most int) check {
	return func(s string) string {
		switch {
		case s == "":
			return "is empty; fill it or leave the field out"
		case utf8.RuneCountInString(s) > most:
			return fmt.Sprintf("has more than %d characters; make it shorter", most)
		}
		return CheckID(s)
	}
}

// oneOf allows the listed words.
func oneOf(words ...string) check {
	return func(s string) string {
		if slices.Contains(words, s) {
			return ""
		}
		return fmt.Sprintf("%s is unknown; write %s", quoted(s), alternatives(words))
	}
}

func alternatives(words []string) string {
	if len(words) == 1 {
		return words[0] + " or leave the field out"
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// maxQuoted bounds how much of an outside word is repeated, in bytes.
const maxQuoted = 60

// quoted returns an outside word as it may stand in a sentence.
func quoted(s string) string { return strconv.Quote(cut(s, maxQuoted)) }

// path returns an outside name as the path of a field: as it is when it is an
// ordinary name, else quoted.
func path(name string) string {
	if nameForm.Matches(name) {
		return name
	}
	return quoted(name)
}

// Nearest returns the known name that was probably meant, or "".
func Nearest(name string, known []string) string {
	plain := strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace
	if len(name) > maxQuoted {
		return ""
	}
	best, least := "", 1+max(2, len(name)/3)
	for _, k := range known {
		if strings.EqualFold(plain(name), plain(k)) {
			return k
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < least && 2*d <= len(k) {
			best, least = k, d
		}
	}
	return best
}

// distance returns how many bytes have to be put in, taken out or changed to make
// b of a. It takes time in proportion to the product of their lengths.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, diagonal+1)
		}
	}
	return row[len(b)]
}

func sortedNames[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// unique returns the strings of list sorted, each once.
func unique(list []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(list)))
}
