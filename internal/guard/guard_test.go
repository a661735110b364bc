package guard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/guard"
)

var made = time.Date(2026, 6, 1, 0, 0, 0, 0, time.UTC)

// good is a question to which no guard objects. Each test breaks one thing.
func good() guard.Question {
	return guard.Question{
		Target: desktop.Target{ID: "ecd-1", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}},
		Desktop: &desktop.Desktop{ID: "ecd-1", RegionID: "cn-hangzhou", Status: desktop.Running, Connection: desktop.Disconnected,
			ImageID: "m-old", OS: "windows", Protocol: "ASP", SessionType: "SINGLE_SESSION", SystemDiskGiB: 80},
		Image:   &desktop.Image{ID: "m-new", RegionID: "cn-hangzhou", Status: desktop.ImageAvailable, OS: "windows", Protocol: "ASP", SessionType: "SINGLE_SESSION", SizeGiB: 80, Created: made.AddDate(0, 1, 0)},
		Current: &desktop.Image{ID: "m-old", RegionID: "cn-hangzhou", Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80, Created: made},
		Rules:   guard.Rules{Regions: []string{"cn-hangzhou"}, Journal: true},
	}
}

// A line is one thing that is broken, and what is said of it. No code means that
// no guard objects.
type line struct {
	name   string
	broken func(*guard.Question)
	want   guard.Answer
	code   string
}

// check asks about each line, and about what a refusal must have: a code of the
// closed list, and a sentence that names whom it is about.
func check(t *testing.T, lines []line) {
	t.Helper()
	for _, l := range lines {
		t.Run(l.name, func(t *testing.T) {
			q := good()
			l.broken(&q)
			got := guard.Check(q)
			if got.Answer != l.want || got.Code != l.code {
				t.Fatalf("got %d %s (%s), want %d %s", got.Answer, got.Code, got.Message, l.want, l.code)
			}
			if l.want == guard.Go {
				return
			}
			named := false
			for _, c := range events.Codes {
				named = named || c.Name == got.Code
			}
			if !named {
				t.Errorf("%s is not in the closed list of codes", got.Code)
			}
			if !strings.Contains(got.Message, q.ID) && !strings.Contains(got.Message, q.RegionID) && !strings.Contains(got.Message, q.ImageID) {
				t.Errorf("%q names neither the desktop nor the image nor the region", got.Message)
			}
		})
	}
}

func consent(to string) func(*guard.Question) {
	return func(q *guard.Question) { q.Rules.Consents = []string{to} }
}

func both(f, g func(*guard.Question)) func(*guard.Question) {
	return func(q *guard.Question) { f(q); g(q) }
}

func TestNoGuardObjectsToAnOrdinaryDesktop(t *testing.T) {
	check(t, []line{{"ordinary", func(*guard.Question) {}, guard.Go, ""}})
}

// Whatever is not known counts as an objection.
func TestWhatIsNotKnownIsRefused(t *testing.T) {
	for name, q := range map[string]guard.Question{
		"nothing":          {},
		"only the region":  {Target: desktop.Target{Spec: desktop.Spec{RegionID: "r", ImageID: "m"}}, Rules: guard.Rules{Regions: []string{"r"}}},
		"an empty desktop": {Target: desktop.Target{Spec: desktop.Spec{RegionID: "r", ImageID: "m"}}, Desktop: &desktop.Desktop{}, Rules: guard.Rules{Regions: []string{"r"}}},
		"an empty desktop and image": {Target: desktop.Target{Spec: desktop.Spec{RegionID: "r", ImageID: "m"}}, Desktop: &desktop.Desktop{},
			Image: &desktop.Image{}, Current: &desktop.Image{}, Rules: guard.Rules{Regions: []string{"r"}}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := guard.Check(q); got.Answer != guard.Refuse {
				t.Errorf("got %+v, want a refusal", got)
			}
		})
	}
}

// Nobody should wait for what is refused in the end: what never changes is asked
// before what passes.
func TestWhatNeverChangesIsSaidBeforeWhatPasses(t *testing.T) {
	q := good()
	q.Desktop.Status, q.Desktop.Connection, q.Image.GPU = desktop.Starting, desktop.Connected, true
	if got := guard.Check(q); got.Code != events.CodeGpuMismatch {
		t.Errorf("got %+v, want %s", got, events.CodeGpuMismatch)
	}
}
