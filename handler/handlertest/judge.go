package handlertest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/regild/regild/handler"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// Judge is ECD. It knows what really happened to each desktop, shows it late,
// and counts what was wiped and for whom.
//
// It stays within what docs/guarantees.md assumes of ECD: what it shows is at
// most Lag old, Lag is below a minute, its record of image changes (when Records
// says that there is one) is as late and its time stamps are up to half a minute
// off, and a rebuild takes longer than that.
type Judge struct {
	world    *World
	Lag      time.Duration
	Records  bool   // image changes are recorded
	After    string // the status after a rebuild that asks for none; "": as before it
	Missing  int    // in a thousand: a desktop is left out of an answer
	Denies   int    // in a thousand: a desktop is refused with a code of its own
	Barred   []Span
	desktops map[string]*Machine
	images   map[string]desktop.Image
	commands atomic.Int64

	Wiped map[Wipe]int // accepted rebuilds by work and desktop
	All   []Acceptance
	// Check is asked about each accepted rebuild.
	Check func(Acceptance)
}

var _ handler.ECD = (*Judge)(nil)

// A Wipe is one desktop under one work.
type Wipe struct{ Work, Desktop string }

// An Acceptance is one rebuild that was started.
type Acceptance struct {
	Wipe
	At      time.Time
	Began   time.Time // when the invocation that called began
	Image   string
	Under   int // desktops that are being rebuilt now, this one included
	Machine *Machine
	Shown   desktop.Desktop // what the invocation was told of the desktop last
}

// A Span is a time from From up to To.
type Span struct{ From, To time.Time }

// A Machine is one desktop.
type Machine struct {
	Now   desktop.Desktop // as it really is
	Takes time.Duration   // how long a rebuild takes
	Ends  string          // "", "fail" or "stick"
	Early bool            // the image id changes when a rebuild begins, not when it ends

	Held    bool // in maintenance mode
	Gone    bool // released
	Halted  bool // stopped by the function, and not started since
	ByUs    bool // being rebuilt by the function
	Since   time.Time
	Rebuilt int

	past   []shot
	future []change
	record []entry
	ran    map[string]time.Time
}

type shot struct {
	at   time.Time
	gone bool
	is   desktop.Desktop
}

type change struct {
	at time.Time
	do func(*Machine)
}

type entry struct {
	from, to string
	began    time.Time
	ended    time.Time // zero: not yet
	failed   bool
	skewed   time.Duration
}

// Add puts a desktop into the world.
func (j *Judge) Add(m *Machine) {
	m.past = []shot{{time.Time{}, false, m.Now}}
	j.desktops[m.Now.ID] = m
}

// AddImage puts an image into the world.
func (j *Judge) AddImage(i desktop.Image) { j.images[i.ID] = i }

// Machine returns a desktop as it is now.
func (j *Judge) Machine(id string) *Machine {
	m := j.desktops[id]
	m.catchUp(time.Now())
	return m
}

// Each calls f with every desktop as it is now.
func (j *Judge) Each(f func(*Machine)) {
	for _, id := range j.ids() {
		f(j.Machine(id))
	}
}

func (j *Judge) ids() []string {
	var out []string
	for id := range j.desktops {
		out = append(out, id)
	}
	slices.Sort(out)
	return out
}

// Later has something happen to the desktop.
func (m *Machine) Later(at time.Time, do func(*Machine)) {
	m.future = append(m.future, change{at, do})
	slices.SortStableFunc(m.future, func(a, b change) int { return a.at.Compare(b.at) })
}

// Outside rebuilds the desktop behind the function's back.
func (m *Machine) Outside(at time.Time, image string) {
	m.Later(at, func(m *Machine) {
		if !m.Gone && (m.Now.Status == desktop.Running || m.Now.Status == desktop.Stopped) {
			m.rebuild(at, image, "", 0)
		}
	})
}

func (m *Machine) catchUp(now time.Time) {
	for len(m.future) > 0 && !m.future[0].at.After(now) {
		c := m.future[0]
		m.future = m.future[1:]
		c.do(m)
		m.snap(c.at)
	}
}

func (m *Machine) snap(at time.Time) { m.past = append(m.past, shot{at, m.Gone, m.Now}) }

// asOf returns the desktop as it was.
func (m *Machine) asOf(t time.Time) (desktop.Desktop, bool) {
	for _, s := range slices.Backward(m.past) {
		if !s.at.After(t) {
			return s.is, !s.gone
		}
	}
	return m.past[0].is, true
}

// rebuild begins a rebuild that leaves the desktop in the status after, or in
// the one that it had.
func (m *Machine) rebuild(now time.Time, image, after string, skew time.Duration) {
	from := m.Now.ImageID
	to := cmp.Or(image, from)
	m.record = append(m.record, entry{from: from, to: to, began: now, skewed: skew})
	n := len(m.record) - 1
	was := m.Now.Status
	m.Now.Status, m.Since = desktop.Rebuilding, now
	m.Rebuilt++
	if m.Early {
		m.Now.ImageID = to
	}
	m.snap(now)
	if m.Ends == "stick" {
		return
	}
	m.Later(now.Add(m.Takes), func(m *Machine) {
		m.record[n].ended = now.Add(m.Takes)
		m.Now.Status, m.ByUs = was, false
		if m.Ends == "fail" {
			m.record[n].failed, m.Now.ImageID = true, from
			return
		}
		m.Now.ImageID, m.Now.Status = to, cmp.Or(after, was)
		m.Halted = m.Halted && m.Now.Status == desktop.Stopped
	})
}

// barred says whether the credentials are refused now.
func (j *Judge) barred() bool {
	return slices.ContainsFunc(j.Barred, func(s Span) bool { return !time.Now().Before(s.From) && time.Now().Before(s.To) })
}

// ask makes one call.
func (j *Judge) ask(ctx context.Context, api, arg string, do func(*invocation) error) error {
	var err error
	h := j.world.enter(ctx, api+" "+arg, func() {
		if j.barred() {
			err = &desktop.CallError{Call: api, Fate: desktop.Forbidden, Code: "Forbidden.RAM"}
			return
		}
		err = do(ctx.Value(invocationKey{}).(*invocation))
	})
	return cmp.Or(h.callError(api), err)
}

// seenAt is the moment that a read shows.
func (j *Judge) seenAt() time.Time {
	if j.Lag <= 0 {
		return time.Now()
	}
	return time.Now().Add(-time.Duration(j.world.Rand.Int64N(int64(j.Lag))))
}

// Rebuild is RebuildDesktops.
func (j *Judge) Rebuild(ctx context.Context, b desktop.Batch) (desktop.Answer, error) {
	answer := desktop.Answer{RequestID: "call"}
	err := j.ask(ctx, "RebuildDesktops", strings.Join(b.IDs, ",")+" to "+b.ImageID, func(i *invocation) error {
		if len(b.IDs) == 0 || len(b.IDs) > desktop.MaxBatch {
			j.world.Break("a call of %d desktops", len(b.IDs))
		}
		for _, id := range b.IDs {
			if m := j.desktops[id]; m == nil || j.Machine(id).Gone {
				return &desktop.CallError{Call: "RebuildDesktops", Fate: desktop.Refused, Code: "InvalidDesktopId.NotFound", Message: id}
			}
		}
		for _, id := range b.IDs {
			code := j.rebuildOne(i, id, b.Spec)
			if j.world.Chance(j.Missing) && !j.world.quiet() {
				j.world.Budget--
				j.world.note(i.id, "left out of the answer", id)
				continue
			}
			answer.Results = append(answer.Results, desktop.Result{DesktopID: id, Code: code})
		}
		return nil
	})
	return answer, err
}

func (j *Judge) rebuildOne(i *invocation, id string, spec desktop.Spec) string {
	m := j.Machine(id)
	switch {
	case m.Now.Status != desktop.Running && m.Now.Status != desktop.Stopped:
		return rollout.IncorrectDesktopStatus
	case j.world.Chance(j.Denies) && !j.world.quiet():
		j.world.Budget--
		return "OperationDenied"
	}
	j.accepted(i, m, spec)
	m.ByUs = true
	m.rebuild(time.Now(), spec.ImageID, cmp.Or(spec.AfterStatus, j.After), time.Duration(j.world.Rand.Int64N(int64(time.Minute)))-30*time.Second)
	return "success"
}

// accepted finds out for whom the call is, by what the journals say that the
// invocation has begun, and counts.
func (j *Judge) accepted(i *invocation, m *Machine, spec desktop.Spec) {
	w, id := j.world, m.Now.ID
	w.note(i.id, "ACCEPTED", id+" to "+spec.ImageID)
	a := Acceptance{At: time.Now(), Began: i.began, Image: spec.ImageID, Under: 1, Machine: m, Shown: i.shown[id]}
	for _, other := range j.desktops {
		other.catchUp(time.Now())
		if other != m && !other.Gone && other.ByUs && other.Now.Status == desktop.Rebuilding && time.Since(other.Since) < j.world.Rules.RebuildTimeout {
			a.Under++
		}
	}
	if err := allowed(spec, i.shown, i.images, id); err != nil {
		w.Break("%s: %s was rebuilt to %s: %v", i.id, id, spec.ImageID, err)
	}
	owners := 0
	for work, key := range w.Journal.Works() {
		for _, r := range slices.Backward(w.Journal.Logs[key]) {
			if n := slices.Index(r.Desktops, id); r.Kind == rollout.KindBegun && n >= 0 {
				if r.By == i.id {
					owners++
					a.Wipe = Wipe{work, id}
					j.Wiped[a.Wipe]++
					j.All = append(j.All, a)
					if j.Check != nil {
						j.Check(a)
					}
				}
				break
			}
		}
	}
	if owners == 0 {
		w.Break("%s: %s was rebuilt and no journal says that it was begun", i.id, id)
	}
}

// allowed is what every rebuild must fulfil by what the caller was told, in the
// same invocation: a second reading of the guards.
func allowed(spec desktop.Spec, shown map[string]desktop.Desktop, images map[string]desktop.Image, id string) error {
	d, known := shown[id]
	wanted := cmp.Or(spec.ImageID, d.ImageID)
	switch image, read := images[wanted]; {
	case !known:
		return errors.New("nobody asked about it before")
	case d.Status != desktop.Running && d.Status != desktop.Stopped:
		return errors.New("it was shown as " + d.Status)
	case spec.ImageID == d.ImageID:
		return errors.New("it was shown on that image already")
	case d.GroupID != "":
		return errors.New("it belongs to a group")
	case len(d.Flags) > 0:
		return fmt.Errorf("it was shown as %v", d.Flags)
	case !read || image.Status != desktop.ImageAvailable:
		return errors.New("the image was not shown as Available")
	case image.GPU != d.GPU || image.OS != d.OS || image.SizeGiB > d.SystemDiskGiB:
		return errors.New("the image does not fit")
	}
	return nil
}

// Desktops is DescribeDesktops.
func (j *Judge) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	var out []desktop.Desktop
	err := j.ask(ctx, "DescribeDesktops", strings.Join(ids, ","), func(i *invocation) error {
		out = j.show(i, ids)
		return nil
	})
	return out, err
}

func (j *Judge) show(i *invocation, ids []string) []desktop.Desktop {
	var out []desktop.Desktop
	for _, id := range ids {
		if j.desktops[id] == nil {
			continue
		}
		d, there := j.Machine(id).asOf(j.seenAt())
		delete(i.shown, id)
		if there {
			out = append(out, d)
			i.shown[id] = d
		}
	}
	return out
}

// Select lists the desktops that match.
func (j *Judge) Select(ctx context.Context, region string, s desktop.Selector) ([]desktop.Desktop, error) {
	var out []desktop.Desktop
	err := j.ask(ctx, "DescribeDesktops", "select", func(i *invocation) error {
		for _, d := range j.show(i, j.ids()) {
			if s.Matches(d) {
				out = append(out, d)
			}
		}
		return nil
	})
	return out, err
}

// Tags is ListTagResources.
func (j *Judge) Tags(ctx context.Context, _ string, ids []string) (map[string]map[string]string, error) {
	out := map[string]map[string]string{}
	err := j.ask(ctx, "ListTagResources", strings.Join(ids, ","), func(*invocation) error {
		for _, id := range ids {
			if m := j.desktops[id]; m != nil {
				out[id] = m.Now.Tags
			}
		}
		return nil
	})
	return out, err
}

// Images is DescribeImages.
func (j *Judge) Images(ctx context.Context, _ string, ids []string) ([]desktop.Image, error) {
	var out []desktop.Image
	err := j.ask(ctx, "DescribeImages", strings.Join(ids, ","), func(i *invocation) error {
		for _, id := range ids {
			if image, there := j.images[id]; there {
				out = append(out, image)
				i.images[id] = image
			}
		}
		return nil
	})
	return out, err
}

// ImagesNamed is DescribeImages by name.
func (j *Judge) ImagesNamed(ctx context.Context, _, name string) ([]desktop.Image, error) {
	var out []desktop.Image
	err := j.ask(ctx, "DescribeImages", name, func(*invocation) error {
		for _, image := range j.images {
			if image.Name == name {
				out = append(out, image)
			}
		}
		slices.SortFunc(out, func(a, b desktop.Image) int { return b.Created.Compare(a.Created) })
		return nil
	})
	return out, err
}

// Changes is DescribeImageModifiedRecords.
func (j *Judge) Changes(ctx context.Context, _, id string) ([]desktop.Change, error) {
	var out []desktop.Change
	err := j.ask(ctx, "DescribeImageModifiedRecords", id, func(*invocation) error {
		if j.desktops[id] == nil || !j.Records {
			return nil
		}
		at := j.seenAt()
		for _, e := range slices.Backward(j.Machine(id).record) {
			c := desktop.Change{DesktopID: id, From: e.from, To: e.to, State: desktop.Changing, Updated: e.began.Add(e.skewed)}
			switch {
			case e.began.After(at):
				continue
			case e.ended.IsZero() || e.ended.After(at):
			case e.failed:
				c.State, c.Reason, c.Updated = desktop.ChangeFailed, "the disk was full", e.ended.Add(e.skewed)
			default:
				c.State, c.Updated = desktop.ChangeSucceeded, e.ended.Add(e.skewed)
			}
			out = append(out, c)
		}
		return nil
	})
	return out, err
}

// Maintain is SetDesktopMaintenance. Like Stop, Start and Run it refuses all of
// the desktops for the sake of one.
func (j *Judge) Maintain(ctx context.Context, _ string, ids []string, on bool) error {
	return j.change(ctx, fmt.Sprintf("SetDesktopMaintenance %t", on), ids, "", func(m *Machine) { m.Held = on })
}

// Stop is StopDesktops.
func (j *Judge) Stop(ctx context.Context, _ string, ids []string) error {
	return j.change(ctx, "StopDesktops", ids, desktop.Running, func(m *Machine) {
		m.Halted = true
		m.move(desktop.Stopping, desktop.Stopped)
	})
}

// Start is StartDesktops.
func (j *Judge) Start(ctx context.Context, _ string, ids []string) error {
	return j.change(ctx, "StartDesktops", ids, desktop.Stopped, func(m *Machine) {
		m.Halted = false
		m.move(desktop.Starting, desktop.Running)
	})
}

// change does something to desktops that are all there and in one status.
func (j *Judge) change(ctx context.Context, api string, ids []string, status string, do func(*Machine)) error {
	return j.ask(ctx, api, strings.Join(ids, ","), func(*invocation) error {
		for _, id := range ids {
			switch m := j.desktops[id]; {
			case m == nil || j.Machine(id).Gone:
				return &desktop.CallError{Call: api, Fate: desktop.Refused, Code: "InvalidDesktopId.NotFound", Message: id}
			case status != "" && m.Now.Status != status:
				return &desktop.CallError{Call: api, Fate: desktop.Refused, Code: rollout.IncorrectDesktopStatus, Message: id + " is " + m.Now.Status}
			}
		}
		for _, id := range ids {
			do(j.desktops[id])
		}
		return nil
	})
}

// move takes a desktop to another status, by way of a third.
func (m *Machine) move(via, to string) {
	m.Now.Status = via
	m.snap(time.Now())
	m.Later(time.Now().Add(time.Minute), func(m *Machine) {
		if m.Now.Status == via {
			m.Now.Status, m.Now.Connection, m.Now.Users = to, desktop.Disconnected, nil
		}
	})
}

// Run is RunCommand.
func (j *Judge) Run(ctx context.Context, _ string, ids []string, _, _ string, _ time.Duration) ([]string, error) {
	id := "t-" + strconv.FormatInt(j.commands.Add(1), 10)
	err := j.change(ctx, "RunCommand", ids, desktop.Running, func(m *Machine) {
		if m.ran == nil {
			m.ran = map[string]time.Time{}
		}
		m.ran[id] = time.Now()
	})
	return []string{id}, err
}

// Invocations is DescribeInvocations.
func (j *Judge) Invocations(ctx context.Context, _, invoke string) ([]desktop.Invocation, error) {
	var out []desktop.Invocation
	err := j.ask(ctx, "DescribeInvocations", invoke, func(*invocation) error {
		for _, id := range j.ids() {
			if at, ran := j.desktops[id].ran[invoke]; ran {
				done := time.Since(at) > 20*time.Second
				out = append(out, desktop.Invocation{DesktopID: id, Status: map[bool]string{true: "Success", false: "Running"}[done], Done: done})
			}
		}
		return nil
	})
	return out, err
}
