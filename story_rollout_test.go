package main_test

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/journal"
	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/rollout"
)

// rolloutWords are the words that only stories of rollouts need.
var rolloutWords = []command{
	{"until text...", "settles until one more event of a rollout is told whose line, as events prints it, contains the text", (*world).until},
	{"waves rollout", "prints who came in which wave, by the rollout's journal", (*world).waves},
	{"atonce", "prints how many desktops at most were being rebuilt at once, by what ECD did", (*world).atOnce},
	{"states", "prints how many desktops are on which image, in which status, and in maintenance mode", (*world).states},
	{"join id field=value...", "adds a desktop", (*world).join},
	{"purge", "loses everything that is on the request queue", (*world).purge},
	{"expire rollout", "removes the rollout's journal, as a lifecycle rule does in time", (*world).expire},
}

func (w *world) until(args []string) error {
	text := strings.Join(args, " ")
	if text == "" {
		return errors.New("a text is needed")
	}
	before, err := w.tellings(text)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(w.ctx, driveLimit)
	defer cancel()
	return w.cloud.Settle(ctx, func() bool {
		now, err := w.tellings(text)
		return err != nil || now > before
	})
}

// tellings counts the events of rollouts whose line contains the text.
func (w *world) tellings(text string) (int, error) {
	all, err := w.told()
	n := 0
	for _, e := range all {
		if strings.HasPrefix(e.Type, "regild.rollout.") && e.Type != events.RolloutPlan.Type() && strings.Contains(describe(e), text) {
			n++
		}
	}
	return n, err
}

func (w *world) waves(args []string) error {
	args, err := parse(args, 1, 1, nil)
	if err != nil {
		return err
	}
	lines, ok := w.cloud.OSS.Object(localcloud.JournalBucket, path.Join(localcloud.JournalPrefix, journal.Key("rollout", args[0])))
	if !ok {
		return errors.New("there is no such rollout")
	}
	records, err := rollout.Decode(lines)
	for _, r := range records {
		if r.Kind == rollout.KindWave {
			w.print(fmt.Sprintf("%d %s: %s", r.Wave, r.Name, strings.Join(r.Desktops, " ")))
		}
	}
	return err
}

// atOnce reckons by the ledger of ECD: a rebuild lasts from its wipe to the
// record that ends it.
func (w *world) atOnce([]string) error {
	type change struct {
		at time.Time
		by int
	}
	var changes []change
	nth := map[string]int{}
	wipes := w.cloud.ECD.Wipes()
	for _, x := range slices.Backward(wipes) {
		d, _ := w.cloud.ECD.Desktop(x.DesktopID)
		nth[x.DesktopID]++
		ends := w.cloud.Clock.Now().Add(time.Second)
		if i := len(d.Records) - nth[x.DesktopID]; i >= 0 && d.Records[i].Status != 0 {
			ends = d.Records[i].Updated
		}
		changes = append(changes, change{x.At, 1}, change{ends, -1})
	}
	slices.SortFunc(changes, func(a, b change) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return a.by - b.by
	})
	now, most := 0, 0
	for _, c := range changes {
		now += c.by
		most = max(most, now)
	}
	w.print(fmt.Sprint(most))
	return nil
}

func (w *world) states([]string) error {
	on, in, held := map[string]int{}, map[string]int{}, 0
	for _, d := range w.cloud.ECD.Desktops() {
		on[d.ImageID]++
		in[d.Status]++
		if d.Maintenance {
			held++
		}
	}
	line := fmt.Sprintf("%v %v", on, in)
	if held > 0 {
		line += fmt.Sprintf(" maintenance:%d", held)
	}
	w.print(strings.ReplaceAll(line, "map", ""))
	return nil
}

func (w *world) join(args []string) error {
	if len(args) == 0 {
		return errors.New("an id is needed")
	}
	d := ecd.Desktop{ID: args[0], RegionID: "cn-hangzhou", ImageID: "m-old"}
	if err := change(args[1:], &d); err != nil {
		return err
	}
	w.cloud.ECD.Add(d)
	return nil
}

func (w *world) expire(args []string) error {
	if len(args) != 1 {
		return errors.New("a rollout is needed")
	}
	w.cloud.OSS.Remove(localcloud.JournalBucket, path.Join(localcloud.JournalPrefix, journal.Key("rollout", args[0])))
	return nil
}

func (w *world) purge([]string) error {
	for {
		next, ok := w.cloud.MNS.Next(localcloud.RequestQueue)
		if !ok {
			return nil
		}
		w.cloud.Clock.Advance(max(next.Sub(w.cloud.Clock.Now()), 0))
		for _, m := range w.cloud.MNS.Receive(w.ctx, localcloud.RequestQueue, 16, 0) {
			if err := w.cloud.MNS.Delete(localcloud.RequestQueue, m.Handle); err != nil {
				return err
			}
		}
	}
}
