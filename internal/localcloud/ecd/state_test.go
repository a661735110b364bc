package ecd

import (
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"
)

func load(t *testing.T, text string) State {
	t.Helper()
	var s State
	if err := yaml.Unmarshal([]byte(text), &s); err != nil {
		t.Fatal(err)
	}
	return s
}

func serverOf(t *testing.T, state State) *Server {
	t.Helper()
	s, err := New(state, Options{Keys: []Keys{testKeys}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestAStateIsReadFromYAMLAndJSON(t *testing.T) {
	for name, text := range map[string]string{
		"YAML": `
desktops:
  - id: ecd-1
    regionId: cn-hangzhou
    imageId: m-1
    status: Stopped
    tags: {ring: canary}
    disks: [{type: SYSTEM, gib: 80}, {type: DATA, gib: 100}]
    sessions: [{user: ann, since: 2026-11-23T07:00:00Z, idle: 5m, disconnected: true}]
    records: [{imageId: m-0, newImageId: m-1, status: 1, updated: 2026-11-01T00:00:00.5Z}]
    rebuildTakes: 90s
    endsAs: fail
    leaves: 10m
    runCommand: {exitCode: 1, output: no}
images:
  - {id: m-1, regionId: cn-hangzhou, status: Creating, readyAfter: 3m, gpu: true}
`,
		"JSON": `{"desktops": [{"id": "ecd-1", "regionId": "cn-hangzhou", "imageId": "m-1", "status": "Stopped", "tags": {"ring": "canary"},
  "disks": [{"type": "SYSTEM", "gib": 80}, {"type": "DATA", "gib": 100}],
  "sessions": [{"user": "ann", "since": "2026-11-23T07:00:00Z", "idle": "5m", "disconnected": true}],
  "records": [{"imageId": "m-0", "newImageId": "m-1", "status": 1, "updated": "2026-11-01T00:00:00.5Z"}],
  "rebuildTakes": "90s", "endsAs": "fail", "leaves": "10m", "runCommand": {"exitCode": 1, "output": "no"}}],
 "images": [{"id": "m-1", "regionId": "cn-hangzhou", "status": "Creating", "readyAfter": "3m", "gpu": true}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := serverOf(t, load(t, text))
			d, ok := s.Desktop("ecd-1")
			if !ok {
				t.Fatal("the desktop is not there")
			}
			if d.Status != Stopped || d.Tags["ring"] != "canary" || !d.hasData() || d.RebuildTakes != 90*time.Second || d.EndsAs != "fail" ||
				d.Leaves != 10*time.Minute || d.Command.ExitCode != 1 || d.Records[0].Updated.Nanosecond() != 5e8 {
				t.Errorf("desktop: got %+v", d)
			}
			if got := d.Sessions[0]; got.User != "ann" || got.Idle != 5*time.Minute || !got.Since.Equal(t0.Add(-time.Hour)) || d.Connection != Disconnected {
				t.Errorf("session: got %+v, connection %s", got, d.Connection)
			}
			if i := s.Images()[0]; i.Status != Creating || i.ReadyAfter != 3*time.Minute || !i.GPU || i.Type != "CUSTOM" {
				t.Errorf("image: got %+v", i)
			}
		})
	}
}

func TestACountStandsForManyDesktopsAndACycleVariesThem(t *testing.T) {
	s := serverOf(t, load(t, `
desktops:
  - id: ecd-hz%08d
    name: office %d
    regionId: cn-hangzhou
    imageId: m-1
    endUsers: [user-%03d]
    sessions: [{user: user-%03d}]
    count: 5
    from: 9
    cycle:
      status: [Running, Stopped]
      imageId: [m-1, m-2, m-3]
      tags: [{ring: canary}, {ring: broad}]
      rebuildTakes: [1m, 2m]
`))
	var got []string
	for _, d := range s.Desktops() {
		got = append(got, strings.Join([]string{d.ID, d.Name, d.EndUsers[0], d.Sessions[0].User, d.Status, d.ImageID, d.Tags["ring"], d.RebuildTakes.String()}, " "))
	}
	want := []string{
		"ecd-hz00000009 office 9 user-009 user-009 Running m-1 canary 1m0s",
		"ecd-hz00000010 office 10 user-010 user-010 Stopped m-2 broad 2m0s",
		"ecd-hz00000011 office 11 user-011 user-011 Running m-3 canary 1m0s",
		"ecd-hz00000012 office 12 user-012 user-012 Stopped m-1 broad 2m0s",
		"ecd-hz00000013 office 13 user-013 user-013 Running m-2 canary 1m0s",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	s.Update("ecd-hz00000009", func(d *Desktop) { d.Tags["ring"] = "mine" })
	if d, _ := s.Desktop("ecd-hz00000011"); d.Tags["ring"] != "canary" {
		t.Error("two desktops of a cycle share their tags")
	}
}

func TestEveryFaultOfAStateIsNamed(t *testing.T) {
	state := load(t, `
desktops:
  - {id: a, regionId: cn-hangzhou, imageId: m-1}
  - {id: a, regionId: cn-hangzhou, imageId: m-1}
  - {regionId: cn-atlantis}
  - {id: b, regionId: cn-shanghai, imageId: m-1, status: Flying, connection: Maybe, os: dos, protocol: RDP, sessionType: NONE, chargeType: Free, endsAs: win}
  - {id: c, regionId: cn-hangzhou, imageId: m-9, flags: [Odd], sessions: [{}], disks: [{type: DATA, gib: 0}, {type: TAPE, gib: 1}], gpu: -1, tags: {acs:x: ""}}
  - {id: d, regionId: cn-hangzhou, imageId: m-9, rebuildTakes: -1s, leaves: -1s, records: [{status: 3}], settles: 1m}
  - {id: e, regionId: cn-hangzhou, imageId: m-9, count: 2}
  - {id: f%d, regionId: cn-hangzhou, imageId: m-9, count: 1000000}
  - {id: g, regionId: cn-hangzhou, imageId: m-9, cycle: {status: [Running]}}
images:
  - {id: m-1, regionId: cn-hangzhou}
  - {id: m-1, regionId: cn-atlantis}
  - {status: Odd, type: OTHER, os: dos, protocol: X, sessionType: Y, endsAs: win, gib: -1, readyAfter: 1m}
`)
	_, err := New(state, Options{Keys: []Keys{{ID: "a"}}, Lag: -1, SuccessCode: "ok", Limits: Limits{"RunCommand": 0}})
	if err == nil {
		t.Fatal("the state was taken")
	}
	for _, want := range []string{
		"key 1: an id or a secret is missing", "lag -1ns is negative", `success code "ok"`, "limit of RunCommand: 0 calls",
		"desktop a: the id is used twice", "desktop number 3: an id is missing", `desktop number 3: region "cn-atlantis" is unknown`, "desktop number 3: an imageId is missing",
		"desktop b: image m-1 is in", `desktop b: status "Flying" is not one of`, `desktop b: connection "Maybe"`, `desktop b: os "dos"`, `desktop b: protocol "RDP"`,
		`desktop b: sessionType "NONE"`, `desktop b: chargeType "Free"`, `desktop b: endsAs "win"`,
		`desktop c: flag "Odd"`, "desktop c: a session has no user", "desktop c: a disk has 0 GiB", `desktop c: disk type "TAPE"`, "desktop c: it has 0 system disks",
		"desktop c: gpu -1 is negative", `desktop c: tag "acs:x": a key begins with`,
		"desktop d: rebuildTakes -1s is negative", "desktop d: leaves -1s is negative", "desktop d: record status 3", "desktop d: settles is only for",
		"desktop e: an id for 2 desktops needs a %d", "desktop f%d: count 1000000 is not in 1..200000", "desktop g: a cycle needs a count",
		"image m-1: the id is used twice", `image m-1: region "cn-atlantis"`, "image number 3: an id is missing", `image number 3: status "Odd"`, `image number 3: type "OTHER"`,
		`image number 3: endsAs "win"`, "image number 3: a disk size is negative", "image number 3: readyAfter is only for",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q", want)
		}
	}
	if _, err := New(State{}, Options{}); err == nil || !strings.Contains(err.Error(), "no keys") {
		t.Errorf("without keys: got %v", err)
	}
}

func TestTheDefaultStateHasEveryConditionThatMatters(t *testing.T) {
	s := serverOf(t, Default())
	desktops := s.Desktops()
	if len(desktops) < 36 || len(desktops) > 100 {
		t.Errorf("got %d desktops, want a few dozen", len(desktops))
	}
	images := map[string]Image{}
	for _, i := range s.Images() {
		images[i.ID] = i
	}
	for name, is := range map[string]func(Desktop) bool{
		"running":       func(d Desktop) bool { return d.Status == Running },
		"stopped":       func(d Desktop) bool { return d.Status == Stopped },
		"passing":       func(d Desktop) bool { return d.Settles > 0 },
		"connected":     func(d Desktop) bool { return d.Connection == Connected },
		"logged on":     func(d Desktop) bool { return d.Connection == Disconnected && len(d.Sessions) > 0 },
		"GPU":           func(d Desktop) bool { return d.GPU > 0 },
		"Linux":         func(d Desktop) bool { return d.OS == "linux" },
		"pooled":        Desktop.Pooled,
		"data disk":     Desktop.hasData,
		"on the image":  func(d Desktop) bool { return d.ImageID == "m-84mztzatmlnys0001" && len(d.Records) > 0 },
		"in Shanghai":   func(d Desktop) bool { return d.RegionID == "cn-shanghai" },
		"in Singapore":  func(d Desktop) bool { return d.RegionID == "ap-southeast-1" },
		"will fail":     func(d Desktop) bool { return d.EndsAs == fails },
		"will stick":    func(d Desktop) bool { return d.Sticks },
		"being changed": func(d Desktop) bool { return len(d.Flags) > 0 },
	} {
		if !slices.ContainsFunc(desktops, is) {
			t.Errorf("no desktop is %s", name)
		}
	}
	for _, d := range desktops {
		if _, ok := images[d.ImageID]; !ok {
			t.Errorf("desktop %s is on image %s, which is not there", d.ID, d.ImageID)
		}
	}
	if !slices.ContainsFunc(s.Images(), func(i Image) bool { return i.Status == Creating }) {
		t.Error("no image is Creating")
	}
}

func TestTheDefaultStateSurvivesYAML(t *testing.T) {
	text, err := yaml.Marshal(Default())
	if err != nil {
		t.Fatal(err)
	}
	got, want := serverOf(t, load(t, string(text))).Desktops(), serverOf(t, Default()).Desktops()
	if len(got) != len(want) || got[5].ID != want[5].ID || got[5].RebuildTakes != want[5].RebuildTakes {
		t.Errorf("got %d desktops, want %d", len(got), len(want))
	}
}
