package pattern_test

import (
	"strings"
	"testing"

	"github.com/regild/regild/internal/pattern"
)

func TestIdsHaveTheirPattern(t *testing.T) {
	for _, l := range []struct {
		of   *pattern.Pattern
		text string
		want bool
	}{
		{pattern.Desktop, "ecd-gx2x1dhsmucyy0001", true}, {pattern.Desktop, "ecd-a/b", false}, {pattern.Desktop, "", false},
		{pattern.Image, "m-84mztzatmlnys0001", true}, {pattern.Image, "desktopimage-windows-2022", true}, {pattern.Image, "m-", false},
		{pattern.Region, "cn-hangzhou", true}, {pattern.Region, "cn-north-2-gov-1", true}, {pattern.Region, "cn-hangzhou.evil", false},
		{pattern.Region, "abc-x", false}, {pattern.Region, "cn-" + strings.Repeat("h", 37), true}, {pattern.Region, "cn-" + strings.Repeat("h", 38), false},
		{pattern.Account, "1234567890123456", true}, {pattern.Account, "12a", false},
		{pattern.Queue, strings.Repeat("q", 120), true}, {pattern.Queue, strings.Repeat("q", 121), false}, {pattern.Queue, "a/b", false},
		{pattern.Rollout, "2026.11.3/office-hz/rollback", true}, {pattern.Rollout, "2026.11.3", false},
	} {
		if got := l.of.Matches(l.text); got != l.want {
			t.Errorf("%q by %s: got %v, want %v", l.text, l.of.Regexp, got, l.want)
		}
	}
}
