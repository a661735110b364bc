package guard_test

import (
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/guard"
)

// What is refused says what it is about, and what is not known.
func TestWhatIsSaid(t *testing.T) {
	older := func(q *guard.Question) { q.Image.Created = made.AddDate(0, -1, 0) }
	unheard := func(q *guard.Question) { q.Rules.Unheard = "nobody heard it" }
	for _, l := range []struct {
		name   string
		broken func(*guard.Question)
		want   string
	}{
		{"the image of a reset", both(reset, func(q *guard.Question) { q.Image.Status = desktop.ImageCreating }), "image m-old is still being created"},
		{"the image's GPU", func(q *guard.Question) { q.Image.GPUUnknown = true },
			"ECD does not say whether image m-new is made for desktops with a GPU; what is not known is not rebuilt"},
		{"the desktop's GPU", func(q *guard.Question) { q.Desktop.GPUUnknown = true },
			"ECD does not say whether desktop ecd-1 has a GPU; what is not known is not rebuilt"},
		{"an unknown size", func(q *guard.Question) { q.Image.SizeGiB = 0 }, "image m-new needs a system disk of unknown size, desktop ecd-1 has 80 GiB"},
		{"no status", func(q *guard.Question) { q.Desktop.Status = "" }, "desktop ecd-1 is unknown; only Running and Stopped desktops are rebuilt"},
		{"an unknown age", func(q *guard.Question) { q.Image.Created = time.Time{} },
			"ECD does not say whether image m-new is newer than m-old, which desktop ecd-1 is on; send the consent downgrade if that is meant"},
		{"a consent that does not count", both(older, unheard),
			"image m-new (2026-05-01) is older than m-old (2026-06-01), which desktop ecd-1 is on; send the consent downgrade if that is meant; nobody heard it"},
		{"a consent that counts", older,
			"image m-new (2026-05-01) is older than m-old (2026-06-01), which desktop ecd-1 is on; send the consent downgrade if that is meant"},
		{"what no consent would have kept away", both(unheard, func(q *guard.Question) { q.Desktop.GroupID = "dg-1" }),
			"desktop ecd-1 belongs to the desktop group dg-1; change the group's image instead"},
	} {
		t.Run(l.name, func(t *testing.T) {
			q := good()
			l.broken(&q)
			if got := guard.Check(q).Message; got != l.want {
				t.Errorf("got  %q\nwant %q", got, l.want)
			}
		})
	}
}

// A plan says what is lost although somebody has consented to it, and may be made
// when hardly anything is known.
func TestLossesAreThoseThatTheFleetKeeps(t *testing.T) {
	lose := func(q *guard.Question) {
		q.Rules.Keep, q.Snapshots = guard.KeepAll, []desktop.Snapshot{{}, {DataDisk: true}}
	}
	for name, l := range map[string]struct {
		broken func(*guard.Question)
		want   string
	}{
		"the system disk's":              {lose, "system disk"},
		"where none are kept":            {both(lose, func(q *guard.Question) { q.Rules.Keep = guard.KeepNone }), ""},
		"of a desktop that is not there": {both(lose, func(q *guard.Question) { q.Desktop = nil }), ""},
		"to an image that is not there":  {both(lose, func(q *guard.Question) { q.Image = nil }), ""},
		"where nobody knows the system":  {both(lose, func(q *guard.Question) { q.Image.OS, q.Desktop.OS = "", "" }), "1 snapshot of its data disk"},
	} {
		t.Run(name, func(t *testing.T) {
			q := good()
			l.broken(&q)
			if got := guard.Losses(q); (got == "") != (l.want == "") || !strings.Contains(got, l.want) {
				t.Errorf("got %q, want %q in it", got, l.want)
			}
		})
	}
}

func TestWhoIsAtRestKeepsNobodyOff(t *testing.T) {
	rest := func(q *guard.Question) { q.Desktop.Connection, q.Rules.AtRest = desktop.Connected, true }
	check(t, []line{
		{"connected, and at rest", rest, guard.Go, ""},
		{"connected, and nobody knows", both(rest, func(q *guard.Question) { q.Rules.AtRest = false }), guard.Refuse, events.CodeSessionActive},
		{"the age of an image does not matter to a reset", both(consent(events.ConsentReset), both(reset, func(q *guard.Question) { q.Image.Created = time.Time{} })), guard.Go, ""},
	})
}

// A region that is not allowed is said to be missing where it has to be added.
func TestWhereARegionIsToBeAdded(t *testing.T) {
	for account, want := range map[string]string{"": "REGILD_REGIONS", "1234567890123456": "regions of account 1234567890123456 in fleets.yaml"} {
		q := guard.Question{Target: desktop.Target{ID: "ecd-1", Spec: desktop.Spec{AccountID: account, RegionID: "cn-beijing"}}, Rules: guard.Rules{Regions: []string{"cn-hangzhou"}}}
		if v := guard.Check(q); v.Code != events.CodeRegionNotAllowed || !strings.Contains(v.Message, want) || strings.Contains(v.Message, "REGILD_REGIONS") != (account == "") {
			t.Errorf("account %q: %s %s", account, v.Code, v.Message)
		}
	}
}
