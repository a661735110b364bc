package handler_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// onImage is an ECD that shows each desktop Running on one image.
type onImage struct {
	*slowECD
	image string
}

func (e *onImage) Desktops(_ context.Context, region string, ids []string) (out []desktop.Desktop, _ error) {
	for _, id := range ids {
		out = append(out, desktop.Desktop{ID: id, RegionID: region, Status: desktop.Running, Connection: desktop.Disconnected, ImageID: e.image, OS: "windows", SystemDiskGiB: 80})
	}
	return out, nil
}

// An instance sees a desktop on another image after a call of unknown delivery. Others write before
// it can write that down, and so late that it has to look again, when the desktop is back.
func TestWhatWasSeenIsWrittenDownThoughOthersWriteFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newWorkbench(t)
		memory, ecd := journaltest.Memory(), &onImage{b.ecd, "m-third"}
		key, length := journal.Key("request", "r1"), int64(0)
		write := func(records ...rollout.Record) {
			lines, err := rollout.Encode(records)
			b.must(err)
			length, err = memory.Append(t.Context(), key, length, lines)
			b.must(err)
		}
		write(rollout.Record{Kind: rollout.KindOpened, At: time.Now(), Operation: &rollout.Operation{ID: "r1", Desktops: []string{"ecd-1"},
			Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: "m-new"}}},
			rollout.Record{Kind: rollout.KindBegun, At: time.Now(), Call: "c1", Desktops: []string{"ecd-1"}, From: []string{"m-old"}})
		time.Sleep(2 * time.Minute) //nolint:forbidigo // time of the bubble, which takes none
		store := &storeBetween{Store: memory, kind: "seen", hook: func() {
			time.Sleep(2 * time.Minute) //nolint:forbidigo // time of the bubble, which takes none
			ecd.image = "m-old"
			lines, _, err := memory.Read(t.Context(), key, 0)
			b.must(err)
			length = int64(len(lines))
			write(rollout.Record{Kind: rollout.KindTick, At: time.Now(), N: 7, Until: time.Now().Add(time.Hour)})
		}}
		b.must(b.ask(b.handler(ecd, store), 10*time.Minute, tickForR1))
		if got := b.read(memory, key); !strings.Contains(got, `"kind":"seen"`) {
			t.Errorf("what was seen is forgotten:\n%s", got)
		}
	})
}
