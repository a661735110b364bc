package million

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
)

// figures are what is measured.
type figures struct {
	counts       map[string]int // calls by service and name
	outcomes     map[string]int
	words        []string
	wiped        int
	broken       []string
	refusals     []string
	mostActive   int
	healthyEnded time.Duration
	allEnded     time.Duration
	longest      invocation // by the time that it took, reads of the journal included
	most         invocation // by calls of ECD
	busiest      invocation // by messages
	seconds      time.Duration
	short, long  int // invocations below and above a minute
	failures     map[string]int
	peaks        map[string]*peak
	waits        []string
	silent       []string // rollouts that do not say why they wait
	atMend       *figures
}

func newFigures() figures {
	return figures{words: []string{"nothing"}, counts: map[string]int{}, outcomes: map[string]int{}, failures: map[string]int{}, peaks: map[string]*peak{}}
}

func (f *figures) copy() *figures {
	c := *f
	c.counts, c.outcomes, c.failures = maps.Clone(f.counts), maps.Clone(f.outcomes), maps.Clone(f.failures)
	return &c
}

// A peak is the most of something in a second, and in a minute.
type peak struct {
	at, second, most         int
	atMinute, minute, most60 int
}

func (p *peak) add(now time.Duration) {
	if s := int(now / time.Second); s != p.at {
		p.at, p.second = s, 0
	}
	if m := int(now / time.Minute); m != p.atMinute {
		p.atMinute, p.minute = m, 0
	}
	p.second++
	p.minute++
	p.most, p.most60 = max(p.most, p.second), max(p.most60, p.minute)
}

func (w *world) count(service, what string) {
	w.counts[service+" "+what]++
	if service != "fc" {
		w.peak(service)
	}
}

func (w *world) peak(what string) {
	p := w.peaks[what]
	if p == nil {
		p = &peak{}
		w.peaks[what] = p
	}
	p.add(w.now())
}

// called counts a call of ECD.
func (w *world) called(ctx context.Context, api string, account int, region string) {
	of(ctx).calls++
	w.trace("  %s", api)
	w.count("ecd", api)
	w.peak("place " + place(account, region).String() + " " + strings.Fields(api)[0])
}

func (w *world) breaks(format string, args ...any) {
	if len(w.broken) < 20 {
		w.broken = append(w.broken, fmt.Sprintf(format, args...))
	}
}

// served notes an invocation.
func (w *world) served(i *invocation) {
	i.took += time.Duration(i.reads) * getTakes
	w.seconds += i.took
	if i.took > w.longest.took {
		w.longest = *i
	}
	if i.calls > w.most.calls {
		w.most = *i
	}
	if i.messages > w.busiest.messages {
		w.busiest = *i
	}
	if i.took > time.Minute {
		w.long++
	} else {
		w.short++
	}
	if i.failed != "" {
		w.failures[i.failed[:min(len(i.failed), 160)]]++
	}
}

// says notes what the rollouts say that have not ended, and their desktops.
func (w *world) says() {
	for n, s := range w.shards {
		f := w.followed[n]
		if f.ended > 0 {
			continue
		}
		if said := f.code; !slices.Contains(saysWhy[w.wrong(s)], said) && !(w.isRevoked(s.accountN) && said == events.CodeNotAuthorized) { // dark as well
			w.silent = append(w.silent, fmt.Sprintf("%s is %s and says %s %s (%s)", s.name, w.wrong(s), f.said, f.code, f.why))
		}
		told := map[string]int{}
		for d := s.first; d < s.first+s.size; d++ {
			word := "nothing"
			if last := int(w.machines[d].last); last > 0 {
				word = w.words[last]
			}
			told[word]++
		}
		var list []string
		for _, word := range slices.Sorted(maps.Keys(told)) {
			list = append(list, fmt.Sprintf("%s: %d", word, told[word]))
		}
		w.waits = append(w.waits, fmt.Sprintf("%-9s %s says %s %s (%.160s); its %d desktops: %s", w.wrong(s), s.name, f.said, f.code, f.why, s.size, strings.Join(list, ", ")))
	}
}

// ofLeast is how long a rollout took, as a multiple of what maxUnavailable allows.
func (w *world) ofLeast(shard int) float64 {
	return float64(w.followed[shard].ended) / float64(w.least(w.shards[shard], w.rules.Fleets[shard].Strategy))
}

// report is for people.
func (w *world) report() string {
	var out strings.Builder
	n := float64(w.desktops)
	say := func(format string, args ...any) { fmt.Fprintf(&out, format+"\n", args...) }
	say("%d desktops, %d fleets, %d accounts, %d regions; up to %d invocations at once; a rebuild takes %s ± %s", w.desktops, w.fleets, w.accounts, w.regions,
		w.plan.instances, w.takes, w.spread)
	say("ended: %d of %d rollouts, healthy after %s, all after %s", w.fleets-w.open, w.fleets, w.healthyEnded, w.allEnded)
	worst, least, sum, healthy := 0.0, 0.0, 0.0, 0
	var end, bound time.Duration
	for i, s := range w.shards {
		if !w.healthy(s) {
			continue
		}
		l, x := w.least(s, w.rules.Fleets[i].Strategy), w.ofLeast(i)
		if worst, sum, healthy = max(worst, x), sum+x, healthy+1; least == 0 || x < least {
			least = x
		}
		end, bound = max(end, w.followed[i].ended), max(bound, l)
	}
	say("healthy: %.3f of the least (%s of %s); by fleet %.3f to %.3f, %.3f on average", float64(end)/float64(bound), end, bound, least, worst, sum/float64(healthy))
	for _, f := range []*figures{w.atMend, &w.figures} {
		if f == nil {
			continue
		}
		ecd := 0
		say("--")
		for _, name := range slices.Sorted(maps.Keys(f.counts)) {
			say("  %-42s %9d  %.4f a desktop", name, f.counts[name], float64(f.counts[name])/n)
			if strings.HasPrefix(name, "ecd ") {
				ecd += f.counts[name]
			}
		}
		say("  %-42s %9d  %.4f a desktop, %.4f a wiped one", "ECD in all", ecd, float64(ecd)/n, float64(ecd)/float64(max(f.wiped, 1)))
		say("  %-42s %v", "outcomes", f.outcomes)
	}
	size, largest := 0, 0
	for _, data := range w.logs {
		size, largest = size+len(data), max(largest, len(data))
	}
	say("journal: %d bytes, %.1f a desktop, the largest log %d", size, float64(size)/n, largest)
	say("invocations: longest %s (%d messages, %d calls of ECD, %d reads of %d bytes); %d above a minute; %s in all; most calls %d in %s; most messages %d in %s",
		w.longest.took, w.longest.messages, w.longest.calls, w.longest.reads, w.longest.readBytes, w.long, w.seconds.Round(time.Second), w.most.calls, w.most.took,
		w.busiest.messages, w.busiest.took)
	say("at once: %d of %d instances", w.mostActive, len(w.instances_))
	var places []string
	for what, p := range w.peaks {
		if !strings.HasPrefix(what, "place ") {
			say("peak of %s: %d in a second, %d in a minute", what, p.most, p.most60)
			continue
		}
		places = append(places, fmt.Sprintf("%6d in a minute, %4d in a second: %s", p.most60, p.most, what))
	}
	slices.Sort(places)
	for _, p := range places[max(0, len(places)-6):] {
		say("peak %s", p)
	}
	for what, n := range w.failures {
		say("failed %d times: %s", n, what)
	}
	for _, r := range w.refusals[:min(len(w.refusals), 5)] {
		say("refused: %s", r)
	}
	wiped := map[uint8]int{}
	finals := map[uint8]int{}
	last := map[string]int{}
	for i := range w.machines {
		wiped[w.machines[i].wipes]++
		finals[w.machines[i].finals]++
		last[w.words[w.machines[i].last]]++
	}
	say("wipes a desktop: %v; final outcomes a desktop: %v; last said: %v", wiped, finals, last)
	for _, line := range w.waits {
		say("%s", line)
	}
	for _, b := range w.broken {
		say("BROKEN: %s", b)
	}
	return out.String()
}
