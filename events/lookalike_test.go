package events

import (
	"strings"
	"testing"
)

func TestIdsThatLookAlikeAreRefused(t *testing.T) {
	for id, want := range map[string]string{
		"win11-2026.11.3-hz-0007": "", "Rückbau 7": "", "重建（一）": "", "пересборка-7": "", "ανακατασκευή-7": "", "再構築7": "", "재구축-7": "", "a b": "", "": "",
		"win11\u200b":     "cannot be seen",
		"\u202e7-11niw":   "cannot be seen",
		"win\u00a011":     "cannot be seen",
		"win\u00ad11":     "cannot be seen",
		"win\ufe0f11":     "cannot be seen",
		" win11":          "blank",
		"win11 ":          "blank",
		"Ru\u0308ckbau":   "accent",
		"ｗin11":           "another width",
		"win１１":           "another width",
		"𝐰in11":           "another width",
		"wіn11":           "mixes", // a Cyrillic i
		"win11-οffice":    "mixes", // a Greek omicron
		"аос":             "look like Latin",
		"ΑΒΕ-11":          "look like Latin",
		"пересборка-win7": "mixes",
	} {
		got := lookalike(id)
		if want == "" && got != "" || !strings.Contains(got, want) {
			t.Errorf("%q: got %q, want %q", id, got, want)
		}
	}
}

func TestARequestWithAnIdThatLooksLikeAnotherIsRefused(t *testing.T) {
	_, err := ParseRequest([]byte(`{"requestId":"wіn11","regionId":"cn-hangzhou","desktopIds":["ecd-gx2x1dhsmucyy0001"]}`))
	if err == nil || !strings.HasPrefix(err.Error(), "requestId: mixes Latin letters") {
		t.Errorf("got %v", err)
	}
}

// Regions, desktops, images, releases and fleets are plain ASCII, and ECD knows
// them in one case only.
func TestLookAlikesAndCaseVariantsOfOtherIdsAreRefused(t *testing.T) {
	for body, want := range map[string]string{
		`{"regionId":"CN-hangzhou","desktopIds":["ecd-gx2x1dhsmucyy0001"]}`:                                 "is not a region id",
		`{"regionId":"сn-hangzhou","desktopIds":["ecd-gx2x1dhsmucyy0001"]}`:                                 "is not a region id", // a Cyrillic c
		`{"regionId":"cn-hangzhou","desktopIds":["ecd-gx2х1dhsmucyy0001"]}`:                                 "is not a desktop id",
		`{"regionId":"cn-hangzhou","desktopIds":["ECD-gx2x1dhsmucyy0001"]}`:                                 "is not a desktop id",
		`{"regionId":"cn-hangzhou","desktopIds":["ecd-gx2x1dhsmucyy0001","ecd-GX2X1dhsmucyy0001"]}`:         "repeats desktopIds[0]",
		`{"regionId":"cn-hangzhou","desktopIds":["ecd-gx2x1dhsmucyy0001"],"imageId":"m-84mztzatmlnуs0001"}`: "is not an image id",
		`{"regionId":"cn-hangzhou","desktopIds":["ecd-gx2x1dhsmucyy0001"],"consent":["Reset"]}`:             "is unknown",
		`{"regionId":"cn-hangzhou","DesktopIds":["ecd-gx2x1dhsmucyy0001"]}`:                                 "did you mean desktopIds?",
	} {
		if _, err := ParseRequest([]byte(body)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %q", body, err, want)
		}
	}
	for id, want := range map[string]bool{"2026.11.3/office-hz": true, "2026.11.3/оffice-hz": false, "２026/office": false, "2026.11.3/Office": false} {
		_, err := ParseControl([]byte(`{"rolloutId":"` + id + `","action":"pause","by":"ada","reason":"x"}`))
		if (err == nil) != want {
			t.Errorf("rollout %q: got %v, want ok %v", id, err, want)
		}
	}
}
