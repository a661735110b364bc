package events

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// MaxDesktops is how many desktops one request may name. It keeps a request
// within a message of 64 KB.
const MaxDesktops = 2000

// The forms of ids. They are wider than what ECD hands out today, and narrow
// enough that an id can stand in a log line, an object's key or a URL.
// schema/defs.json says the same.
var (
	desktopForm = lazily(`^ecd-[0-9a-zA-Z]{4,60}$`)
	imageForm   = lazily(`^(m|desktopimage)-[0-9a-zA-Z][0-9a-zA-Z._-]{0,100}$`)
	regionForm  = lazily(RegionPattern)
	releaseForm = lazily(`^[0-9a-zA-Z][0-9a-zA-Z._+-]{0,127}$`)
	rolloutForm = lazily(`^[0-9a-zA-Z][0-9a-zA-Z._+-]{0,127}/[0-9a-z][0-9a-z-]{0,62}(/rollback)?$`)
	fleetForm   = lazily(FleetPattern)
	digestForm  = lazily(`^(sha256:[0-9a-f]{64})?$`)
	signForm    = lazily(`^hmac-sha256:[0-9a-f]{64}$`)
	nameForm    = lazily(`^[0-9a-zA-Z_.-]{1,60}$`) // of a field, to be shown unquoted
)

// lazily compiles a pattern when it is first used. Compiling them all would be a
// tenth of the time that the function takes to start, and most events need few.
func lazily(pattern string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(pattern) })
}

// The forms that settings and fleets.yaml hold regions and fleets to as well.
const (
	RegionPattern = `^[a-z]{2}-[a-z]+(-[a-z0-9]+)*$`
	MaxRegion     = 40 // characters; the longest today has 20
	FleetPattern  = `^[0-9a-z][0-9a-z-]{0,62}$`
)

// IsRegion says whether s can be the id of a region. Whether there is such a region
// only ECD knows.
func IsRegion(s string) bool { return len(s) <= MaxRegion && regionForm().MatchString(s) }

func checkDesktop(s string) string {
	if s == "" {
		return "is empty; name a desktop"
	}
	return form(s, desktopForm, "a desktop id", "ecd-gx2x1dhsmucyy0001")
}

func checkImage(s string) string {
	if s == "" {
		return "is empty; leave the field out to reset to the current image"
	}
	return form(s, imageForm, "an image id", "m-84mztzatmlnys0001")
}

// checkReleaseImage differs from checkImage in the advice: a release cannot go
// without an image.
func checkReleaseImage(s string) string {
	if s == "" {
		return "is empty; name the image in this region"
	}
	return checkImage(s)
}

func checkRegion(s string) string {
	if utf8.RuneCountInString(s) > MaxRegion {
		return quoted(s) + " is too long for a region id; write it like cn-hangzhou"
	}
	return form(s, regionForm, "a region id", "cn-hangzhou")
}

func checkRelease(s string) string {
	return form(s, releaseForm, "a release id", "2026.11.3")
}

func checkRollout(s string) string {
	return form(s, rolloutForm, "a rollout id (release/fleet)", "2026.11.3/office-hz")
}

func checkDigest(s string) string {
	return form(s, digestForm, "the digest of a plan", "sha256: and 64 hex digits")
}

func form(s string, want func() *regexp.Regexp, what, example string) string {
	if want().MatchString(s) {
		return ""
	}
	return fmt.Sprintf("%s is not %s; write it like %s", quoted(s), what, example)
}

// checkRequestID holds what a sender calls a request to text that people can tell
// from other text.
func checkRequestID(s string) string {
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
	if nameForm().MatchString(name) {
		return name
	}
	return quoted(name)
}

// nearest returns the known name that was probably meant, or "".
func nearest(name string, known []string) string {
	plain := strings.NewReplacer("_", "", "-", "", ".", "", " ", "").Replace
	if len(name) > 40 {
		return ""
	}
	best, least := "", 3
	for _, k := range known {
		if strings.EqualFold(plain(name), plain(k)) || strings.EqualFold(name+"s", k) || strings.EqualFold(name, k+"s") {
			return k
		}
		if d := Distance(strings.ToLower(name), strings.ToLower(k)); d < least && d < len(k)/2 {
			best, least = k, d
		}
	}
	return best
}

// Distance returns how many bytes have to be put in, taken out or changed to make
// b of a. It takes time in proportion to the product of their lengths.
func Distance(a, b string) int {
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
