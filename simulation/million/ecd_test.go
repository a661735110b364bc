package million

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/rollout"
)

// A machine is one desktop as it is, and what was told of it.
type machine struct {
	ends   time.Duration // when its rebuild has ended, since the beginning; 0: it was never rebuilt
	shard  int32
	wipes  uint8
	finals uint8 // how many final outcomes were told, repetitions included
	last   uint8 // what was told of it last: an index of world.words
}

const idForm = "ecd-gx2x1dhsm%08d" // as long as the vendor's are

// number is the desktop of an id, or -1.
func (w *world) number(id string) int {
	n, err := strconv.Atoi(id[len(id)-8:])
	if err != nil || n >= len(w.machines) {
		return -1
	}
	return n
}

// show is what ECD says of a desktop.
func (w *world) show(n int, now time.Duration) desktop.Desktop {
	m := &w.machines[n]
	d := desktop.Desktop{ID: w.ids[n], RegionID: w.shards[m.shard].region, Status: desktop.Running, Connection: desktop.Disconnected, ImageID: oldImage,
		OS: "windows", SystemDiskGiB: 80, OfficeSiteID: w.shards[m.shard].site}
	switch {
	case m.ends > now:
		d.Status = desktop.Rebuilding
	case m.ends > 0:
		d.ImageID = newImage
	}
	return d
}

// ecd is Elastic Desktop Service in an account, as an instance calls it: with the
// limits, repetitions and timeouts of internal/ecd.
type ecd struct {
	*world
	account int
	paces   map[string]*callers // by region
}

type callers struct {
	rebuilds, reads pace.Caller
	lease           *pace.Lease
}

var _ handler.ECD = (*ecd)(nil)

// leases are the logs in which instances tell one another who has the lease of a place.
type leases struct{ *world }

func (l leases) Read(ctx context.Context, key string, from int64) ([]byte, int64, error) {
	if err := pass(ctx, getTakes); err != nil {
		return nil, 0, err
	}
	return objects(l).Read(context.WithValue(ctx, invocationKey{}, &invocation{}), key, from)
}

func (l leases) Append(ctx context.Context, key string, at int64, lines []byte) (int64, error) {
	return objects(l).Append(ctx, key, at, lines)
}

// rest gives the leases back, and has places asked again that were given up, as an
// invocation does at its end.
func (e *ecd) rest(ctx context.Context) {
	e.mu.Lock()
	held := slices.Collect(maps.Values(e.paces))
	e.mu.Unlock()
	for _, c := range held {
		c.lease.Give(ctx)
		c.rebuilds.Limit.Reset()
		c.reads.Limit.Reset()
	}
}

// services are those of an account, in a new instance.
func (w *world) services(account int) *ecd { return &ecd{w, account, map[string]*callers{}} }

// place names an account and a region.
func place(account int, region string) desktop.Place {
	return desktop.Place{Account: accountID(account), Region: region}
}

func (e *ecd) in(region string) *callers {
	e.mu.Lock()
	defer e.mu.Unlock()
	c := e.paces[region]
	if c == nil {
		c = &callers{
			rebuilds: pace.Caller{Limit: &pace.Limiter{Max: 4, GivesUp: true}, Policy: pace.Policy{Need: 5 * time.Second, Rand: e.chance}, Timeout: 15 * time.Second},
			reads:    pace.Caller{Limit: &pace.Limiter{Max: 8, GivesUp: true}, Policy: pace.Policy{Need: time.Second, Unknown: 2, Rand: e.chance}, Timeout: 10 * time.Second},
		}
		c.lease = pace.NewLease(leases{e.world}, place(e.account, region).String(), fmt.Sprintf("%p", e), func(place, day string) string { return "lease/" + place + "/" + day }, func(error) {})
		c.lease.Bind(c.rebuilds.Limit, 1, 15*time.Second)
		c.lease.Bind(c.reads.Limit, 2, 10*time.Second)
		e.paces[region] = c
	}
	return c
}

// chance is how long somebody waits before a call is repeated: the same in each run.
func (w *world) chance() float64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.Float64()
}

// ask makes a call, with its repetitions. do is what ECD does.
func (e *ecd) ask(ctx context.Context, by *pace.Caller, api, region string, takes time.Duration, do func(now time.Duration) error) error {
	return by.Do(ctx, api, region, func(ctx context.Context) (string, error) {
		if e.isRevoked(e.account) { // STS says so, or said so within the last minute: ECD is not called
			return "", &desktop.CallError{Call: "AssumeRole", Delivery: desktop.Forbidden, Code: "NoPermission", Message: "the role cannot be assumed"}
		}
		e.mu.Lock()
		e.called(ctx, api, e.account, region)
		slow := e.tooSoon(e.account, region)
		e.mu.Unlock()
		switch {
		case e.isDark(region):
			<-ctx.Done()
			return "", &desktop.CallError{Call: api, Delivery: desktop.Unknown, Message: "no answer in time", Err: ctx.Err()}
		case slow:
			takes = refusalTakes
		}
		if err := pass(ctx, takes); err != nil {
			return "", &desktop.CallError{Call: api, Delivery: desktop.Unknown, Message: "no answer in time", Err: err}
		}
		if slow {
			return "", &desktop.CallError{Call: api, Delivery: desktop.NotSent, Throttled: true, Code: "Throttling.User"}
		}
		e.mu.Lock()
		defer e.mu.Unlock()
		return "call", do(e.now())
	})
}

// pass has the fake clock go on.
func pass(ctx context.Context, d time.Duration) error {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < d {
		<-ctx.Done()
		return ctx.Err()
	}
	time.Sleep(d) //nolint:forbidigo // the fake clock's time, which costs none
	return nil
}

// tooSoon says whether ECD has just taken a call of the account that it throttles.
func (w *world) tooSoon(account int, region string) bool {
	if w.slow == 0 || w.mended || account != throttledAccount {
		return false
	}
	if w.now() < w.taken[region] {
		return true
	}
	w.taken[region] = w.now() + w.slow
	return false
}

func (w *world) isDark(region string) bool {
	return w.dark > 0 && !w.mended && region == regions[darkRegion] && w.now() >= w.dark
}

func (w *world) isRevoked(account int) bool {
	return w.revoked > 0 && !w.mended && account == revokedAccount && w.now() >= w.revoked
}

// Rebuild is RebuildDesktops.
func (e *ecd) Rebuild(ctx context.Context, b desktop.Batch) (desktop.Answer, error) {
	answer := desktop.Answer{RequestID: "1CBAFFAB-B697-4049-A9B1-67E1FC5F0000"}
	err := e.ask(ctx, &e.in(b.RegionID).rebuilds, "RebuildDesktops", b.RegionID, rebuildTakes, func(now time.Duration) error {
		for _, id := range b.IDs {
			answer.Results = append(answer.Results, e.rebuild(b, id, now))
		}
		return nil
	})
	return answer, err
}

func (e *ecd) rebuild(b desktop.Batch, id string, now time.Duration) desktop.Result {
	n := e.number(id)
	m := &e.machines[n]
	s := &e.shards[m.shard]
	if s.account != b.AccountID || s.accountN != e.account || s.region != b.RegionID || b.ImageID != newImage {
		e.breaks("%s is rebuilt in another account or region, or to another image: %+v", id, b)
	}
	if m.ends > now {
		return desktop.Result{DesktopID: id, Code: rollout.IncorrectDesktopStatus, Delivery: desktop.Refused}
	}
	if m.wipes++; m.wipes > 1 {
		e.breaks("%s is wiped %d times", id, m.wipes)
	}
	m.ends = now + e.takesFor(n)
	e.wiped++
	return desktop.Result{DesktopID: id, Code: "success"}
}

// Desktops is DescribeDesktops by ids.
func (e *ecd) Desktops(ctx context.Context, region string, ids []string) (out []desktop.Desktop, err error) {
	if len(ids) > 100 {
		e.breaks("a page of %d ids", len(ids))
	}
	err = e.ask(ctx, &e.in(region).reads, "DescribeDesktops", region, readTakes, func(now time.Duration) error {
		out = make([]desktop.Desktop, 0, len(ids))
		for _, id := range ids {
			out = append(out, e.show(e.number(id), now))
		}
		return nil
	})
	return out, err
}

// Select is DescribeDesktops by office site, page by page.
func (e *ecd) Select(ctx context.Context, region string, s desktop.Selector) (out []desktop.Desktop, err error) {
	for n := range e.shards {
		if len(s.OfficeSiteIDs) != 1 || e.shards[n].site != s.OfficeSiteIDs[0] {
			continue
		}
		first, size := e.shards[n].first, e.shards[n].size
		for at := 0; at < size; at += 100 {
			err = e.ask(ctx, &e.in(region).reads, "DescribeDesktops of a fleet", region, readTakes, func(now time.Duration) error {
				for d := at; d < min(at+100, size); d++ {
					out = append(out, e.show(first+d, now))
				}
				return nil
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// Images is DescribeImages.
func (e *ecd) Images(ctx context.Context, region string, ids []string) (out []desktop.Image, err error) {
	err = e.ask(ctx, &e.in(region).reads, "DescribeImages", region, readTakes, func(time.Duration) error {
		for _, id := range ids {
			image := desktop.Image{ID: id, Name: "win11-office", RegionID: region, Status: desktop.ImageAvailable, OS: "windows", SizeGiB: 80, Created: e.t0.AddDate(0, 0, -30)}
			if id == newImage {
				image.Created = e.t0.AddDate(0, 0, -1)
			}
			out = append(out, image)
		}
		return nil
	})
	return out, err
}

// Changes is DescribeImageModifiedRecords.
func (e *ecd) Changes(ctx context.Context, region, id string) (out []desktop.Change, err error) {
	err = e.ask(ctx, &e.in(region).reads, "DescribeImageModifiedRecords", region, readTakes, func(now time.Duration) error {
		n := e.number(id)
		m := &e.machines[n]
		if m.ends == 0 {
			return nil
		}
		c := desktop.Change{DesktopID: id, From: oldImage, To: newImage, State: desktop.Changing, Updated: e.t0.Add(m.ends - e.takesFor(n))}
		if m.ends <= now {
			c.State, c.Updated = desktop.ChangeSucceeded, e.t0.Add(m.ends)
		}
		out = append(out, c)
		return nil
	})
	return out, err
}

// What no fleet of this release asks for.
func (e *ecd) unasked(api string) error { return fmt.Errorf("%s is not called here", api) }

func (e *ecd) ImagesNamed(context.Context, string, string) ([]desktop.Image, error) {
	return nil, e.unasked("DescribeImages by name")
}

func (e *ecd) Tags(context.Context, string, []string) (map[string]map[string]string, error) {
	return nil, e.unasked("ListTagResources")
}

func (e *ecd) Maintain(context.Context, string, []string, bool) error {
	return e.unasked("SetDesktopMaintenance")
}
func (e *ecd) Stop(context.Context, string, []string) error  { return e.unasked("StopDesktops") }
func (e *ecd) Start(context.Context, string, []string) error { return e.unasked("StartDesktops") }

func (e *ecd) Run(context.Context, string, []string, string, string, time.Duration) ([]string, error) {
	return nil, e.unasked("RunCommand")
}

func (e *ecd) Invocations(context.Context, string, string) ([]desktop.Invocation, error) {
	return nil, e.unasked("DescribeInvocations")
}
