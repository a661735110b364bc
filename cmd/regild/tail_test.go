package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/regild/regild/internal/desktop"
	client "github.com/regild/regild/internal/mns"
)

// A pile is a queue in memory, whose messages are hidden by being received.
type pile struct {
	waiting []client.Received
	deleted []string
	fail    error
	deadend func() // called when there is nothing more
}

func (p *pile) Receive(_ context.Context, _ string, most int, _ time.Duration) ([]client.Received, error) {
	got := p.waiting[:min(most, len(p.waiting))]
	p.waiting = p.waiting[len(got):]
	if len(got) == 0 && p.deadend != nil {
		p.deadend()
	}
	return got, nil
}

func (p *pile) Delete(ctx context.Context, _ string, handles []string) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if _, bounded := ctx.Deadline(); !bounded {
		return errors.New("deleting without a deadline")
	}
	p.deleted = append(p.deleted, handles...)
	return p.fail
}

func pileOf(n int) *pile {
	p := &pile{}
	for i := range n {
		p.waiting = append(p.waiting, client.Received{ID: fmt.Sprint(i), Handle: fmt.Sprint("h", i), Body: fmt.Appendf(nil, `{"n":%d}`, i)})
	}
	return p
}

func TestTailDeletesWhatItPrintedAndNothingElse(t *testing.T) {
	for _, broken := range []int{0, 1, 15, 16, 17, 40} {
		p := pileOf(40)
		var printed []string
		tail := tailer{from: p, queue: "q", once: true, print: func(body []byte) error {
			if len(printed) == broken {
				return errors.New("the pipe is broken")
			}
			printed = append(printed, string(body))
			return nil
		}}
		err := tail.run(t.Context())
		if (err != nil) != (broken < 40) {
			t.Errorf("broken at %d: got %v", broken, err)
		}
		var want []string
		for i := range broken {
			want = append(want, fmt.Sprint("h", i))
		}
		if !slices.Equal(p.deleted, want) {
			t.Errorf("broken at %d: deleted %v, want %v", broken, p.deleted, want)
		}
	}
}

func TestWhatIsPrintedIsDeletedAlsoWhenTheEndIsAskedFor(t *testing.T) {
	p := pileOf(3)
	ctx, cancel := context.WithCancel(t.Context())
	n := 0
	tail := tailer{from: p, queue: "q", print: func([]byte) error {
		if n++; n == 2 {
			cancel()
		}
		return nil
	}}
	if err := tail.run(ctx); err != nil || len(p.deleted) != 3 {
		t.Errorf("got %v, deleted %v; want all that were received and printed", err, p.deleted)
	}
}

func TestWhatCannotBeDeletedIsSaidToComeAgain(t *testing.T) {
	p := pileOf(1)
	p.fail = errors.New("no")
	err := (&tailer{from: p, queue: "q", once: true, print: func([]byte) error { return nil }}).run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "comes again") {
		t.Errorf("got %v", err)
	}
}

// flaky fails where it is told to, and then gives what a pile has.
type flaky struct {
	*pile
	fails []bool // the calls, in their order
}

func (f *flaky) Receive(ctx context.Context, queue string, most int, wait time.Duration) ([]client.Received, error) {
	fails := f.fails[0]
	if f.fails = f.fails[1:]; fails {
		return nil, &desktop.CallError{Call: "BatchReceiveMessage", Message: "connection reset"}
	}
	return f.pile.Receive(ctx, queue, most, wait)
}

// A queue that cannot be read for a while is read again, and whoever looks knows why nothing comes.
func TestTailSaysThatItCannotReceive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		f := &flaky{pile: pileOf(1), fails: []bool{true, true, false, true, false}}
		f.deadend = cancel
		var said []string
		err := (&tailer{from: f, queue: "q", print: func([]byte) error { return nil }, trouble: func(err error) { said = append(said, err.Error()) }}).run(ctx)
		if want := "receiving from q: BatchReceiveMessage: "; err != nil || len(said) != 2 || !strings.HasPrefix(said[0], want) || len(f.deleted) != 1 {
			t.Errorf("got %v, said %q, deleted %q; want two troubles and a message", err, said, f.deleted)
		}
	})
}

func TestTailWithoutANetworkEndsAtOnce(t *testing.T) {
	var out strings.Builder
	w, endpoint := nowhere(&out)
	code := run(t.Context(), w, []string{"tail", "--outcomes-queue", "q", "--account", ownAccount, "--region", "cn-hangzhou", "--mns-endpoint", endpoint})
	if code != exitFailed || !strings.Contains(out.String(), "receiving from q: BatchReceiveMessage: not sent") {
		t.Errorf("got exit code %d, %s", code, out.String())
	}
}

func TestEveryEnvelopeOfATopicIsTakenOff(t *testing.T) {
	event := `{"specversion":"1.0","id":"a/b","type":"regild.desktop.outcome.v1","data":{"message":"<&>重"}}`
	asJSON, err := json.Marshal(map[string]string{"TopicName": "outcomes", "Message": event})
	if err != nil {
		t.Fatal(err)
	}
	var inXML bytes.Buffer
	inXML.WriteString("<?xml version=\"1.0\"?><Notification xmlns=\"x\"><TopicName>outcomes</TopicName><Message>")
	inXML.WriteString(strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(event))
	inXML.WriteString("</Message></Notification>")
	for name, body := range map[string]string{
		"SIMPLIFIED": event, "JSON": string(asJSON), "XML": inXML.String(), "base64": base64.StdEncoding.EncodeToString([]byte(event)),
	} {
		if got := string(unwrapped([]byte(body))); got != event {
			t.Errorf("%s: got %s", name, got)
		}
	}
	for _, other := range []string{"", "no JSON\x1b[31m", "<a/>", `{"Message":"x"}`} {
		if got := string(unwrapped([]byte(other))); got != other {
			t.Errorf("got %q, want %q as it is", got, other)
		}
	}
}

// Nothing is left out, and nothing that a terminal obeys gets there.
func TestWhatIsNoEventIsPrintedToo(t *testing.T) {
	for o, want := range map[output]string{outputJSON: `"no event\u001b[31m"`, outputTable: "15 bytes that are no event of regild's"} {
		var out strings.Builder
		print := printerOf(&out, o, time.UTC)
		if err := print([]byte("no event\x1b[31m\n\n")); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(strings.ReplaceAll(out.String(), `\n\n`, ""), want) || strings.Contains(out.String(), "\x1b") {
			t.Errorf("%s: got %q, want %q", o, out.String(), want)
		}
	}
}
