package fleet_test

import (
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/internal/fleet"
)

func TestANoticeSaysWhatTheTextAsksForInTheFleetsZone(t *testing.T) {
	at := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	said := fleet.Said{Desktop: "ecd-1", Fleet: "office", Image: "m-new", Release: "r2", At: at, Minutes: 30}
	for _, c := range []struct{ text, keys, want string }{
		{"{{.Desktop}} {{ .Fleet }} {{.Image}} {{.Release}} {{.Minutes}}", "", "ecd-1 office m-new r2 30"},
		{"at {{.At}} {{.Zone}}", "", "at 2026-11-24 12:00 UTC"},
		{"at {{.At}} {{.Zone}}", "zone: Asia/Shanghai", "at 2026-11-24 20:00 Asia/Shanghai"},
	} {
		f, err := fleet.Parse("fleets.yaml", one("notice: {lead: 2h, text: '"+c.text+"', "+c.keys+"}"))
		if err != nil {
			t.Fatal(err)
		}
		if got := f[0].Strategy.Say(said); got != c.want {
			t.Errorf("%s %s: it says %q, want %q", c.text, c.keys, got, c.want)
		}
	}
	f, err := fleet.Parse("fleets.yaml", one("notice: {lead: 2h}, windows: [{from: '20:00', to: '06:00', zone: Asia/Shanghai}]"))
	if err != nil {
		t.Fatal(err)
	}
	got := f[0].Strategy.Say(said)
	if !strings.Contains(got, "2026-11-24 20:00 (Asia/Shanghai)") || !strings.Contains(got, "2026-11-24 20:00（Asia/Shanghai）") {
		t.Errorf("the default text says %q, want the time of the window's zone in English and Chinese", got)
	}
}

func TestWhatAFieldHoldsIsNotReadAsAField(t *testing.T) {
	s := fleet.Default()
	s.Notice.Text = "{{.Release}}"
	if got := s.Say(fleet.Said{Release: "{{.Fleet}}", Fleet: "x"}); got != "{{.Fleet}}" {
		t.Errorf("it says %q, want the release as it is", got)
	}
}

func TestANoticeIsNeverLongerThanItMayBe(t *testing.T) {
	s := fleet.Default()
	s.Notice.Text = strings.Repeat("{{.Release}}", 80)
	if got := s.Say(fleet.Said{Release: strings.Repeat("更", 100)}); len(got) > fleet.MaxNotice || strings.ContainsRune(got, '\uFFFD') {
		t.Errorf("it has %d bytes, want whole characters and at most %d", len(got), fleet.MaxNotice)
	}
}

func TestFaultsOfANoticeSayWhatToDo(t *testing.T) {
	for strategy, want := range map[string]string{
		"notice: {lead: 1h, remind: [2h]}":               "must be less than lead (1h)",
		"notice: {lead: 1h, remind: [5m, 30m]}":          "must be less than the one before it (5m)",
		"notice: {lead: 1h, text: 'at {{.Att}}'}":        "did you mean At?",
		"notice: {lead: 1h, text: '{{if .At}}x{{end}}'}": "must stand around a field",
		"notice: {lead: 4d}":                             "must be 1m to 3d",
	} {
		if _, err := fleet.Parse("fleets.yaml", one(strategy)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: the fault is %v, want one with %q", strategy, err, want)
		}
	}
}
