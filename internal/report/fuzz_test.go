package report_test

import (
	"strings"
	"testing"

	"github.com/regild/regild/internal/report"
)

// Whatever is in a file that somebody names as a plan: no panic, and a plan that is
// taken has a digest.
func FuzzReadPlan(f *testing.F) {
	const page = `{"planDigest":"sha256:a","page":1,"pages":2,"waves":[{"n":1,"desktops":[{"desktopId":"ecd-1","action":"rebuild"}]}]}`
	for _, seed := range []string{
		page, `{"data":` + page + `}`, page + strings.ReplaceAll(page, `"page":1`, `"page":2`), page + page,
		strings.ReplaceAll(page, `"pages":2`, `"pages":9223372036854775807`), strings.ReplaceAll(page, `"page":1`, `"page":-1`), `{"planDigest":1}`, `[]`, ``, `null`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if p, err := report.ReadPlan(strings.NewReader(text)); err == nil && p.PlanDigest == "" {
			t.Errorf("%+v has no digest", p)
		}
	})
}
