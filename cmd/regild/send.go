package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/mns"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

func sendCommand(w world) *cobra.Command {
	var f sendFlags
	var s *settings
	c := &cobra.Command{
		Use: "send request|release|control|freeze", Short: "write a message to the function, or send it",
		Long: `
Writes the message that asks the function for something, as a CloudEvent, after
holding it against the same rules as the function does:

  regild send request --region R --image ID ecd-… ecd-…    rebuild these desktops
  regild send release --release ID --image-in REGION=ID    roll an image out
  regild send control --rollout ID --action pause --by me --reason why
  regild send freeze --freeze ID --action freeze --until TIME --in REGION --by me --reason why

With --queue it is sent to that queue of Message Service, with the credentials of
ALIBABA_CLOUD_ACCESS_KEY_ID, …_SECRET and …_SECURITY_TOKEN; without, it is
written to standard output, for whatever client you like. Region, account,
endpoint and who says so are those of the settings (regild config) where no flag
says otherwise.`,
		RunE: func(c *cobra.Command, args []string) error { return s.send(c.Context(), &f, args) },
	}
	f.define(c.Flags())
	s = newSettings(w, c, []string{"account", "mns-endpoint", "by"})
	s.values["region"] = &f.region
	return c
}

// sendFlags are those of all three kinds of message.
type sendFlags struct {
	id, source              string
	queue, endpoint, region string
	delay                   time.Duration
	dryRun                  bool
	digest                  string
	consent                 []string

	// Of a request.
	request, of, image, operate, language, after, notBefore string
	// Of a release.
	release, name string
	images        []string
	// Of a control.
	rollout, action, by, reason string
	wave                        int
	// Of a freeze.
	freeze, until string
	in, fleets    []string
}

func (f *sendFlags) define(fs *pflag.FlagSet) {
	fs.StringVar(&f.id, "id", "", "the CloudEvent's `id`; by default a new one")
	fs.StringVar(&f.source, "source", "regild-send", "the CloudEvent's `source`")
	fs.BoolVar(&f.dryRun, "dry-run", false, "ask for the plan and change nothing")
	fs.StringVar(&f.digest, "plan-digest", "", "demand that the plan is still the one with this `digest`")
	fs.StringArrayVar(&f.consent, "consent", nil, "`what` is knowingly destroyed: os-change, data-disk, sessions,\ndowngrade, reset, snapshots or freeze; "+
		"several times if there are several (request, control)")
	fs.StringVar(&f.request, "request", "", "request: its own `id`, by which repetitions are recognised; control: the request that is stopped or rolled back")
	fs.StringVar(&f.region, "region", "", "request: the `region` of the desktops; also that of the queue")
	fs.StringVar(&f.of, "of-account", "", "request: the `id` of the account of the desktops; by default the function's own")
	fs.StringVar(&f.image, "image", "", "request: the `id` of the image; without one, reset to the current image\n(needs --consent reset)")
	fs.StringVar(&f.operate, "operate-type", "", "request: `replace` also replaces data disks")
	fs.StringVar(&f.language, "language", "", "request: en-US, zh-HK, zh-CN or ja-JP")
	fs.StringVar(&f.after, "after", "", "request: the `status` wanted afterwards, Running or Stopped")
	fs.StringVar(&f.notBefore, "not-before", "", "request: the `time` (RFC 3339) before which nothing begins, 7 days ahead\nat most")
	fs.StringVar(&f.release, "release", "", "release: its `id`")
	fs.StringVar(&f.name, "image-name", "", "release: the image's `name`; by default ECD is asked")
	fs.StringArrayVar(&f.images, "image-in", nil, "release: `REGION=ID` of the image there; may be given several times")
	fs.StringVar(&f.rollout, "rollout", "", "control: the rollout's `id`, release/fleet")
	fs.StringVar(&f.action, "action", "", "control: "+strings.Join(events.Actions, ", ")+"\n(freeze: freeze or lift)")
	fs.StringVar(&f.reason, "reason", "", "control, freeze: `why`")
	fs.IntVar(&f.wave, "wave", 0, "control: the `wave` that is approved; by default the one that waits")
	fs.StringVar(&f.freeze, "freeze", "", "freeze: its own `id`, by which it is lifted")
	fs.StringVar(&f.until, "until", "", "freeze: the `time` (RFC 3339) at which it ends, 90 days ahead at most")
	fs.StringArrayVar(&f.in, "in", nil, "freeze: a `region` that is frozen; may be given several times")
	fs.StringArrayVar(&f.fleets, "fleet", nil, "freeze: a `fleet` that is frozen; may be given several times")
	fs.StringVar(&f.queue, "queue", "", "send it to this `queue`")
	fs.StringVar(&f.endpoint, "endpoint", "", "the same as --mns-endpoint: a host or loopback `URL`")
	fs.DurationVar(&f.delay, "delay", 0, "have it received after this `time`, 7 days at most")
}

// kindsOf are the kinds of message that a flag is for. One that is not here is for all.
var kindsOf = map[string][]string{
	"dry-run": {"request", "release", "control"}, "plan-digest": {"request", "release", "control"}, "consent": {"request", "control"},
	"request": {"request", "control"}, "of-account": {"request"}, "image": {"request"}, "operate-type": {"request"}, "language": {"request"},
	"after": {"request"}, "not-before": {"request"},
	"release": {"release"}, "image-name": {"release"}, "image-in": {"release"},
	"rollout": {"control"}, "wave": {"control"}, "action": {"control", "freeze"}, "reason": {"control", "freeze"},
	"freeze": {"freeze"}, "until": {"freeze"}, "in": {"freeze"}, "fleet": {"freeze"},
}

// fits refuses flags that are not for a kind of message: what was meant by one would be left
// out, a dry run of a freeze, say.
func fits(flags *pflag.FlagSet, kind string) (err error) {
	flags.Visit(func(f *pflag.Flag) {
		if kinds := kindsOf[f.Name]; err == nil && kinds != nil && !slices.Contains(kinds, kind) {
			err = usageError{fmt.Errorf("--%s does not go with a %s; it is for a %s", f.Name, kind, strings.Join(kinds, " or "))}
		}
	})
	return err
}

// send writes the message, or sends it.
func (s *settings) send(ctx context.Context, f *sendFlags, rest []string) error {
	if len(rest) == 0 {
		return usageError{errors.New("say what to send: request, release, control or freeze")}
	}
	if err := fits(s.flags, rest[0]); err != nil {
		return err
	}
	conf, err := s.load()
	if err != nil {
		return err
	}
	f.region, conf.MNSEndpoint = conf.Region, cmp.Or(f.endpoint, conf.MNSEndpoint)
	f.by, _ = s.who(conf) // where nobody is known, the message lacks it, and that is said
	if f.delay < 0 || f.delay > mns.MaxDelay {
		return usageError{fmt.Errorf("--delay is %s; a queue holds a message back for %s at most", f.delay, mns.MaxDelay)}
	}
	if f.delay > 0 && f.queue == "" {
		return usageError{errors.New("--delay goes with --queue")}
	}
	e, err := f.event(rest[0], rest[1:], s.w.clock()(), fleetsAtHand(conf))
	if err != nil {
		return err
	}
	body, err := e.Marshal()
	if err != nil {
		return err
	}
	if f.queue == "" {
		say(s.w.out, "%s\n", body)
		return nil
	}
	client, err := s.messages(conf)
	if err != nil {
		return usageError{err}
	}
	id, err := client.Send(ctx, f.queue, body, f.delay)
	if err != nil {
		return fmt.Errorf("sending to %s: %w", f.queue, err)
	}
	say(s.w.out, "sent to %s as message %s\n", f.queue, id)
	return nil
}

// fleetsAtHand are the fleets of the fleets.yaml at hand; none if there is none, or it is at
// fault: the function knows its own.
func fleetsAtHand(conf operator.Config) fleet.Fleets {
	fleets, err := readFleets(cmp.Or(conf.Fleets, defaultFleets))
	if err != nil {
		return nil
	}
	return fleets
}

// event makes the message of a kind and checks it as the function will, as far as it does not
// take its journal: now is when the message is sent, and fleets are those that it knows.
func (f *sendFlags) event(kind string, rest []string, now time.Time, fleets fleet.Fleets) (events.Event, error) {
	e := events.Event{ID: cmp.Or(f.id, rand.Text()), Source: f.source, Time: now}
	var data any
	var check func([]byte) error
	switch kind {
	case "request":
		notBefore, err := timeOf("not-before", f.notBefore)
		if err != nil {
			return e, err
		}
		if f.notBefore != "" && !notBefore.After(now) { // a wrong year or zone
			return e, usageError{fmt.Errorf("--not-before %s is over, and the function would begin at once; leave it out if that is meant", f.notBefore)}
		}
		e.Type, check = events.TypeRequest, func(b []byte) error {
			_, err := events.ParseRequest(b)
			return cmp.Or(err, rollout.TooFar(notBefore, now.Add(f.delay)), reason(rollout.Misnamed(f.request, fleets)))
		}
		data = events.Request{RequestID: f.request, AccountID: f.of, RegionID: f.region, DesktopIDs: rest, ImageID: f.image, OperateType: f.operate,
			Language: f.language, AfterStatus: f.after, NotBefore: notBefore, Consent: f.consent, DryRun: f.dryRun, PlanDigest: f.digest}
		rest = nil
	case "release":
		images, err := f.byRegion()
		if err != nil {
			return e, err
		}
		e.Type, check = events.TypeRelease, func(b []byte) error { _, err := events.ParseRelease(b); return err }
		data = events.Release{ReleaseID: f.release, Image: f.name, Images: images, DryRun: f.dryRun, PlanDigest: f.digest}
	case "control":
		e.Type, check = events.TypeControl, func(b []byte) error { _, err := events.ParseControl(b); return err }
		data = events.Control{RolloutID: f.rollout, RequestID: f.request, Action: f.action, By: f.by, Reason: f.reason, Wave: f.wave,
			Consent: f.consent, DryRun: f.dryRun, PlanDigest: f.digest}
	case "freeze":
		until, err := timeOf("until", f.until)
		if err != nil {
			return e, err
		}
		e.Type, check = events.TypeFreeze, func(b []byte) error {
			freeze, err := events.ParseFreeze(b)
			if err != nil || freeze.Action == events.FreezeLift {
				return err
			}
			return reason(rollout.FreezeTime(freeze.FreezeID, freeze.Until, now.Add(f.delay)))
		}
		data = events.Freeze{FreezeID: f.freeze, Action: f.action, By: f.by, Reason: f.reason, Until: until, Regions: f.in, Fleets: f.fleets}
	default:
		return e, usageError{fmt.Errorf("%q cannot be sent; say request, release, control or freeze", kind)}
	}
	if err := takesNo(rest); err != nil {
		return e, err
	}
	raw, err := withoutEmpty(data)
	if err != nil {
		return e, err
	}
	if err := check(raw); err != nil {
		return e, fmt.Errorf("the function would refuse this %s: %w", kind, err)
	}
	e.Data = json.RawMessage(raw)
	return e, nil
}

// reason makes an error of a sentence; "" is none.
func reason(why string) error {
	if why == "" {
		return nil
	}
	return errors.New(why)
}

// byRegion reads the images of a release.
func (f *sendFlags) byRegion() (map[string]string, error) {
	images := map[string]string{}
	for _, s := range f.images {
		region, id, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usageError{fmt.Errorf("--image-in is %q; write cn-hangzhou=m-…", s)}
		}
		images[region] = id
	}
	return images, nil
}

// withoutEmpty writes a message without the texts that nobody gave: a field
// that is missing has a clearer refusal than one that is empty.
func withoutEmpty(data any) ([]byte, error) {
	whole, err := plainJSON(data)
	if err != nil {
		return nil, err
	}
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(whole, &fields); err != nil {
		return nil, fmt.Errorf("writing the message: %w", err)
	}
	for name, value := range fields {
		if v := string(value); v == `""` || v == "null" || v == "[]" || v == "{}" {
			delete(fields, name)
		}
	}
	return plainJSON(fields)
}

// plainJSON writes JSON in which <, > and & stay as they are.
func plainJSON(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, fmt.Errorf("writing the message: %w", err)
	}
	return bytes.TrimSpace(b.Bytes()), nil
}

// timeOf reads a time that was given to a flag, or none.
func timeOf(name, s string) (t time.Time, err error) {
	if s == "" {
		return t, nil
	}
	if t, err = time.Parse(time.RFC3339, s); err != nil {
		return t, usageError{fmt.Errorf("--%s is %q; write it like 2026-12-24T18:00:00+08:00", name, s)}
	}
	return t, nil
}
