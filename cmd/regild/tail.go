package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/localcloud/mns"
	client "github.com/regild/regild/internal/mns"
	"github.com/regild/regild/internal/pace"
)

func tailCommand(w world) *cobra.Command {
	var f tailFlags
	c := &cobra.Command{
		Use: "tail", Short: "print outcomes as they come, and take them off their queue",
		Long: `
Prints outcomes, and the events of requests and rollouts, from a queue that is
subscribed to the result topic, as a table or (-o json) as the CloudEvents
themselves, one a line.

A message is deleted only after it was printed: what could not be written stays
on the queue, and whoever is killed in between prints it again. So none is lost,
and a repetition has the same id. Use a queue of your own: what is printed here,
others on the same queue do not see.`,
		Example: `  regild tail --outcomes-queue regild-outcomes
  regild tail -o json | jq 'select(.type == "regild.desktop.outcome.v1").data'`,
		Args: noArgs,
	}
	s := newSettings(w, c, []string{"outcomes-queue", "account", "region", "mns-endpoint", "time-zone"})
	f.out.define(c)
	c.Flags().BoolVar(&f.once, "once", false, "end as soon as the queue is empty")
	c.Flags().DurationVar(&f.timeout, "timeout", 0, "end after this `time`; by default not before Ctrl-C")
	c.RunE = func(c *cobra.Command, _ []string) error { return runTail(c.Context(), s, &f) }
	return c
}

type tailFlags struct {
	out     output
	once    bool
	timeout time.Duration
}

func runTail(ctx context.Context, s *settings, f *tailFlags) error {
	conf, err := s.load()
	switch {
	case err != nil:
		return err
	case conf.OutcomesQueue == "":
		return usageError{errors.New("name the queue that outcomes come to: --outcomes-queue, REGILD_OUTCOMES_QUEUE or a profile")}
	case f.out == outputYAML:
		return usageError{errors.New("tail writes a table or JSON lines (-o json)")}
	case f.timeout < 0:
		return usageError{fmt.Errorf("--timeout is %s; it must be more than nothing", f.timeout)}
	}
	zone, err := conf.Zone()
	if err != nil {
		return err
	}
	messages, err := s.messages(conf)
	if err != nil {
		return err
	}
	if f.timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.timeout)
		defer cancel()
	}
	return (&tailer{from: messages, queue: conf.OutcomesQueue, once: f.once, print: printerOf(s.w.out, f.out, zone),
		trouble: s.w.trouble}).run(ctx)
}

// A source is a queue, as tail uses it; *mns.Client is one.
type source interface {
	Receive(ctx context.Context, queue string, most int, wait time.Duration) ([]client.Received, error)
	Delete(ctx context.Context, queue string, handles []string) error
}

// A tailer prints what is on a queue. It deletes what it printed, and nothing
// else.
type tailer struct {
	from  source
	queue string
	once  bool
	print func(body []byte) error
	// trouble is told of the first of several failures in a row; nil: nobody.
	trouble func(error)
}

// deleteWithin bounds the deletion of what was printed before the end was asked
// for.
const deleteWithin = 10 * time.Second

// emptyLooks is how many looks in a row must find nothing before a queue counts
// as empty: each reads a part of it. Source: MNS, "BatchReceiveMessage".
const emptyLooks = 3

func (t *tailer) run(ctx context.Context) error {
	wait := client.MaxWait
	if t.once {
		wait = 0
	}
	empty, failures := 0, 0
	from, _ := pace.WithReach(ctx) // who has no network is told so at once
	for ; ctx.Err() == nil; from = ctx {
		got, err := t.from.Receive(from, t.queue, client.MaxBatch, wait)
		if ctx.Err() != nil {
			break // what was received and not printed comes again
		}
		if err != nil {
			if failures++; t.givesUp(err, failures) {
				return fmt.Errorf("receiving from %s: %w", t.queue, err)
			}
			_ = (&pacing{interval: defaultInterval}).wait(ctx) // the loop hears of its end
			continue
		}
		failures = 0
		if len(got) > 0 {
			empty = 0
			if err := t.take(ctx, got); err != nil {
				return err
			}
			continue
		}
		if empty++; t.once && empty == emptyLooks {
			return nil
		}
	}
	return nil
}

// givesUp says whether so many failures in a row are the end, and tells of the first.
func (t *tailer) givesUp(err error, failures int) bool {
	if t.once || !passing(err) || errors.Is(err, pace.ErrUnreached) || failures == maxFailures {
		return true
	}
	if failures == 1 && t.trouble != nil {
		t.trouble(fmt.Errorf("receiving from %s: %w", t.queue, err))
	}
	return false
}

// take prints messages and deletes those that were printed.
func (t *tailer) take(ctx context.Context, got []client.Received) error {
	var printed []string
	var failure error
	for _, m := range got {
		if failure = t.print(m.Body); failure != nil {
			break
		}
		printed = append(printed, m.Handle)
	}
	if len(printed) > 0 { // also when somebody wants to end it: these are done
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), deleteWithin)
		defer cancel()
		if err := t.from.Delete(ctx, t.queue, printed); err != nil {
			failure = errors.Join(failure, fmt.Errorf("deleting from %s what was printed, which therefore comes again: %w", t.queue, err))
		}
	}
	return failure
}

// printerOf returns what writes one message.
func printerOf(out io.Writer, o output, zone *time.Location) func([]byte) error {
	if o == outputJSON {
		return func(body []byte) error { return printEvent(out, body) }
	}
	t := table{zone: zone}
	w := newWatcher(nil)
	headed := false
	return func(body []byte) error {
		var b strings.Builder
		if !headed {
			fmt.Fprintf(&b, "times are those of %s\n%s\n", zoneName(zone), t.head())
		}
		w.told = func(l line) { fmt.Fprintf(&b, "%s\n", strings.TrimRight(t.row(l), " ")) }
		w.watch(mns.Publication{Body: unwrapped(body), Time: time.Now()})
		_, err := io.WriteString(out, b.String())
		headed = headed || err == nil
		return err
	}
}

// printEvent writes a CloudEvent on one line. What is no JSON is written as a
// JSON string: nothing is left out.
func printEvent(out io.Writer, body []byte) error {
	body = unwrapped(body)
	var b bytes.Buffer
	if err := json.Compact(&b, body); err != nil {
		b.Reset()
		text, err := json.Marshal(string(body))
		if err != nil {
			return err
		}
		b.Write(text)
	}
	b.WriteByte('\n')
	_, err := out.Write(escape.JSON(b.Bytes()))
	return err
}

// unwrapped takes the envelope off that a topic puts around what it pushes into
// a queue: JSON or XML, or none (SIMPLIFIED), and base64 within. What it does
// not know it leaves as it is. Source: MNS, "NotifyContentFormat".
func unwrapped(body []byte) []byte {
	var envelope struct {
		XMLName  xml.Name `json:"-" xml:"Notification"`
		TopicID  string   `json:"TopicName" xml:"TopicName"`
		Contents string   `json:"Message" xml:"Message"`
	}
	trimmed := bytes.TrimSpace(body)
	switch {
	case json.Unmarshal(trimmed, &envelope) == nil && envelope.TopicID != "" && envelope.Contents != "":
	case xml.Unmarshal(trimmed, &envelope) == nil && envelope.Contents != "":
	default:
		return plainText(body)
	}
	return plainText([]byte(envelope.Contents))
}

// plainText takes base64 off a text that would otherwise be no JSON.
func plainText(body []byte) []byte {
	if json.Valid(body) {
		return body
	}
	if plain, err := base64.StdEncoding.DecodeString(string(bytes.TrimSpace(body))); err == nil && json.Valid(plain) {
		return plain
	}
	return body
}
