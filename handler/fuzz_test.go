package handler_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/regild/regild/events"
	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/journal/journaltest"
	"github.com/regild/regild/internal/rollout"
)

// An emptyECD has no desktop and no image: nothing may be done in it.
type emptyECD struct {
	handler.ECD // nil: whatever else is called is a bug
}

func (emptyECD) Desktops(context.Context, string, []string) ([]desktop.Desktop, error) {
	return nil, nil
}
func (emptyECD) Tags(context.Context, string, []string) (map[string]map[string]string, error) {
	return nil, nil
}
func (emptyECD) Images(context.Context, string, []string) ([]desktop.Image, error) { return nil, nil }
func (emptyECD) ImagesNamed(context.Context, string, string) ([]desktop.Image, error) {
	return nil, nil
}

// A scribe keeps what is published.
type scribe struct {
	mu   sync.Mutex
	said [][]byte
}

func (s *scribe) Publish(_ context.Context, body []byte, _ string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, body)
	return nil
}

// Whatever is delivered, with a journal and without: no panic, no call that
// changes something, and every message is answered with events that can travel.
// None of them says that we panicked, or a word that is on no list.
func FuzzWhateverIsDelivered(f *testing.F) {
	seeds := 0
	for _, pattern := range []string{"envelopes/*.json", "envelopes/*.xml", "envelopes/*.txt", "valid/*/*.json", "invalid/*/*.json"} {
		files, err := filepath.Glob(filepath.Join("..", "events", "samples", filepath.FromSlash(pattern)))
		if err != nil {
			f.Fatal(err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data, true)
			f.Add(data, false)
			seeds++
		}
	}
	if seeds < 100 {
		f.Fatalf("only %d samples were found", seeds)
	}
	f.Add([]byte(`{"requestId":"\ufffe","regionId":"cn-hangzhou","desktopIds":["ecd-0001"]}`), true)
	f.Add([]byte(`{"specversion":"1.0","type":"regild.tick.v1","id":"\ud800","source":"\uffff","data":{"kind":"request","id":"r","n":1}}`), false)
	f.Fuzz(func(t *testing.T, payload []byte, remembers bool) {
		var store journal.Store
		if remembers {
			store = journaltest.Memory()
		}
		topic := &scribe{}
		h, err := handler.New(handler.Config{ECD: emptyECD{}, Topic: topic, Queue: &outQueue{}, Journal: store,
			Rules:              rollout.Rules{Regions: []string{region}, RebuildTimeout: 30 * time.Minute},
			RebuildConcurrency: 1, PublishConcurrency: 2, Meter: &handler.Meter{}, Log: slog.New(slog.DiscardHandler), Now: time.Now})
		if err != nil {
			t.Fatal(err)
		}
		report, err := h.Handle(t.Context(), handler.Invocation{RequestID: "fuzz", Source: "test"}, payload)
		if err != nil {
			t.Fatalf("it is asked for again: %v", err)
		}
		if report.Messages < 1 && len(payload) > 0 && payload[0] != '[' {
			t.Error("no message was counted")
		}
		for _, body := range topic.said {
			var event struct {
				Type, ID string
				Data     struct{ Code string }
			}
			if err := json.Unmarshal(body, &event); err != nil || !utf8.Valid(body) || event.ID == "" || event.Type == "" {
				t.Fatalf("published: %q (%v)", body, err)
			}
			if c := event.Data.Code; c == events.CodePanicked || c == events.CodeUnlisted {
				t.Fatalf("%s: %s", c, body)
			}
			if events.WireSize(body) > events.MaxBytes {
				t.Fatal(fmt.Sprint("published ", events.WireSize(body), " bytes"))
			}
		}
	})
}
