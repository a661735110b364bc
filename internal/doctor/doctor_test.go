package doctor

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/regild/regild/docs/ram"
	"github.com/regild/regild/internal/acs"
	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/mns"
)

// found runs one check and returns what it found.
func found(t *testing.T, p *Patient, name string) []Finding {
	t.Helper()
	for _, c := range Checks() {
		if c.Name == name {
			var out []Finding
			c.run(t.Context(), p, func(l Level, text, do string) { out = append(out, Finding{Check: name, Level: l, Text: text, Do: do}) })
			return out
		}
	}
	t.Fatalf("there is no check %s", name)
	return nil
}

func expect(t *testing.T, got []Finding, level Level, text string) {
	t.Helper()
	if len(got) != 1 || got[0].Level != level || !strings.Contains(got[0].Text, text) || (level != Good && got[0].Do == "") {
		t.Errorf("got %+v, want %s: %s", got, level, text)
	}
}

func TestAClockThatIsOffIsFound(t *testing.T) {
	cloud, err := localcloud.Start(t.Context(), localcloud.Options{Empty: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cloud.Close() })
	client, err := acs.New(acs.Config{Region: "cn-hangzhou", Endpoint: cloud.ControlURL,
		Keys: func(context.Context) (credentials.Keys, error) { return credentials.Keys(cloud.Keys()), nil }})
	if err != nil {
		t.Fatal(err)
	}
	p := &Patient{Cloud: client, Now: time.Now}
	expect(t, found(t, p, "clock"), Good, "within")
	p.Now = func() time.Time { return time.Now().Add(-time.Hour - 30*time.Second) }
	expect(t, found(t, p, "clock"), Wrong, "clock is 1h0m")
}

// A store takes every append at position 0, or knows of logs that nobody wrote.
type store struct {
	journal.Store
	lax, full bool
}

func (s store) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	n, err := s.Store.Append(ctx, key, at, lines)
	if s.lax {
		return int64(len(lines)), nil
	}
	return n, err
}

func (s store) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if s.full {
		return []byte("{}\n"), 3, nil
	}
	return s.Store.Read(ctx, key, from)
}

func TestAJournalThatBreaksThePromiseIsFound(t *testing.T) {
	for _, tt := range []struct {
		store journal.Store
		level Level
		text  string
	}{
		{journal.Memory(), Good, "is refused"},
		{store{journal.Memory(), true, false}, Wrong, "a second append at one position was taken"},
		{store{journal.Memory(), false, true}, Wrong, "a journal that was never written has content"},
	} {
		p := &Patient{Store: tt.store, Token: "token", Now: time.Now}
		expect(t, found(t, p, "journal"), tt.level, tt.text)
	}
}

// silent is a Message Service on which nothing ever comes back.
type silent struct{ Messages }

func (silent) Send(context.Context, string, []byte, time.Duration) (string, error) { return "1", nil }
func (silent) Receive(context.Context, string, int, time.Duration) ([]mns.Received, error) {
	return nil, nil
}

func TestAProbeThatDoesNotComeBackIsFound(t *testing.T) {
	now := time.Now()
	p := &Patient{Names: Names{RequestQueue: "q", OutcomesQueue: "o"}, Region: "cn-hangzhou", Messages: silent{}, Token: "token",
		Now: func() time.Time { now = now.Add(time.Second); return now }}
	expect(t, found(t, p, "probe"), Wrong, "no outcome of the dry run came within 2m0s")
	p.OutcomesQueue = ""
	expect(t, found(t, p, "probe"), Unknown, "no queue for outcomes is named")
}

// The doctor's policy allows what its checks call, and nothing else.
func TestTheDoctorMayDoWhatItsChecksDo(t *testing.T) {
	text, err := ram.Files.ReadFile("doctor.json")
	if err != nil {
		t.Fatal(err)
	}
	grants, err := grantsOf(text)
	if err != nil {
		t.Fatal(err)
	}
	allowed, called := map[string]bool{}, map[string]bool{}
	for _, g := range grants {
		allowed[g.action] = true
	}
	for _, c := range Checks() {
		for _, action := range c.Calls {
			called[action] = true
			if !allowed[action] && action != "sts:GetCallerIdentity" { // which everybody may
				t.Errorf("check %s calls %s, which docs/ram/doctor.json does not allow", c.Name, action)
			}
		}
	}
	for action := range allowed {
		if !called[action] {
			t.Errorf("docs/ram/doctor.json allows %s, which no check calls", action)
		}
	}
}
