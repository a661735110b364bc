package simulation

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// machine is one desktop as it really is, and as it was: ECD shows it late.
type machine struct {
	plan desktopPlan
	now  desktop.Desktop

	held       bool     // in maintenance mode
	freedBy    []string // for whom it was taken out of it last
	gone       bool     // released
	halted     bool     // stopped by the function, and not started since
	byUs       bool     // being rebuilt by the function
	forRollout bool     // and for a rollout
	since      time.Time
	inUse      time.Time // since when somebody uses it; zero: nobody does
	rebuilt    int
	fails      int       // checks that still fail
	checked    time.Time // when it passed a check last
	looks      []look    // who was shown it, where ECD has no records
	outside    time.Time // when somebody else rebuilt it last

	past   []shot
	future []change
	record []entry
	ran    map[string]ranCheck
	desk   desk
}

// A shot is a desktop at some time.
type shot struct {
	at   time.Time
	gone bool
	is   desktop.Desktop
}

type change struct {
	at time.Time
	do func()
}

type entry struct {
	from, to     string
	began, ended time.Time // ended: zero, not yet
	failed       bool
	skewed       time.Duration
}

type ranCheck struct {
	at time.Time
	ok bool
	// Of a notice, or of the command before a rebuild.
	people bool
	shows  time.Time // when its end shows
	exit   int
	status string
}

func (w *world) addMachine(p desktopPlan) {
	m := &machine{plan: p, fails: p.CheckFails, now: desktop.Desktop{ID: p.ID, AccountID: accountOf(p.ID), RegionID: p.Region, Status: cmp.Or(p.Status, desktop.Running),
		Connection: desktop.Disconnected, ImageID: p.Image, OS: "windows", SystemDiskGiB: 80, GroupID: p.Group, GPU: p.GPU, DataDisks: p.Disks,
		OfficeSiteID: p.Site, Tags: p.Tags}}
	if m.now.Tags == nil {
		m.now.Tags = map[string]string{}
	}
	m.desk.notNow = p.NotNow
	if w.s.Linux {
		m.now.OS = desktop.Linux
	}
	if p.User != "" {
		m.now.Connection, m.now.Users, m.inUse = desktop.Connected, []string{p.User}, w.t0
		m.usesDesk("connect")
	}
	m.past = []shot{{time.Time{}, false, m.now}}
	w.machines[p.ID] = m
	w.ids = append(w.ids, p.ID)
	slices.Sort(w.ids)
}

// machine returns a desktop as it is now, or nil.
func (w *world) machine(id string) *machine {
	m := w.machines[id]
	if m != nil {
		m.catchUp(time.Now())
	}
	return m
}

func (m *machine) later(at time.Time, do func()) {
	m.future = append(m.future, change{at, do})
	slices.SortStableFunc(m.future, func(a, b change) int { return a.at.Compare(b.at) })
}

func (m *machine) catchUp(now time.Time) {
	for len(m.future) > 0 && !m.future[0].at.After(now) {
		c := m.future[0]
		m.future = m.future[1:]
		c.do()
		m.snap(c.at)
	}
}

func (m *machine) snap(at time.Time) { m.past = append(m.past, shot{at, m.gone, m.now}) }

func (m *machine) asOf(t time.Time) shot {
	for _, s := range slices.Backward(m.past) {
		if !s.at.After(t) {
			return s
		}
	}
	return m.past[0]
}

// show is the desktop as ECD shows it now: its status and its image each as
// late as they are for this desktop, and a little more.
func (m *machine) show(now time.Time, d *dice) shot {
	less := func(lag span) time.Time {
		if lag <= 0 {
			return now
		}
		return now.Add(-lag.d() + time.Duration(d.next()%uint64(max(lag/8, 1))))
	}
	s := m.asOf(less(m.plan.LagStatus))
	s.is.ImageID = m.asOf(less(m.plan.LagImage)).is.ImageID
	s.is.Tags = m.now.Tags
	s.at = now
	return s
}

// rebuild begins a rebuild that leaves the desktop in the status after, or in
// the one that it had.
func (m *machine) rebuild(now time.Time, image, after string, skew time.Duration) {
	from := m.now.ImageID
	to := cmp.Or(image, from)
	m.record = append(m.record, entry{from: from, to: to, began: now, skewed: skew})
	n := len(m.record) - 1
	was := m.now.Status
	m.now.Status, m.since = desktop.Rebuilding, now
	m.rebuilt++
	if m.plan.Early {
		m.now.ImageID = to
	}
	m.snap(now)
	if m.plan.Ends == "stick" {
		return
	}
	end := now.Add(m.plan.Takes.d())
	fails := m.plan.Ends == "fail" || m.plan.Ends == "fail once" && m.rebuilt == 1
	m.later(end, func() {
		m.record[n].ended = end
		m.now.Status, m.byUs, m.forRollout = was, false, false
		if fails {
			m.record[n].failed, m.now.ImageID = true, from
			return
		}
		m.now.ImageID, m.now.Status = to, cmp.Or(after, was)
		m.halted = m.halted && m.now.Status == desktop.Stopped
	})
}

// move takes a desktop to another status, by way of a third.
func (m *machine) move(via, to string) {
	now := time.Now()
	m.now.Status = via
	m.snap(now)
	m.later(now.Add(time.Minute), func() {
		if m.now.Status == via {
			m.now.Status, m.now.Connection, m.now.Users, m.inUse = to, desktop.Disconnected, nil, time.Time{}
		}
	})
}

// occur has something happen to a desktop that the function has no part in.
func (w *world) occur(e eventPlan) {
	m := w.machine(e.Desktop)
	now := time.Now()
	if e.What == "alarm" {
		w.alarms(e.Arg)
		return
	}
	if e.What == "join" && m == nil {
		for _, p := range w.s.Desktops {
			if p.ID == e.Arg {
				p.ID = e.Desktop
				w.addMachine(p)
				w.machines[e.Desktop].past = []shot{{time.Time{}, true, w.machines[e.Desktop].now}, {now, false, w.machines[e.Desktop].now}}
			}
		}
		w.note("", e.Desktop, "joins")
		return
	}
	if m == nil {
		return
	}
	idle := m.now.Status == desktop.Running || m.now.Status == desktop.Stopped
	switch e.What {
	case "connect":
		if m.now.Status != desktop.Running || m.held {
			return
		}
		m.now.Connection, m.now.Users, m.inUse = desktop.Connected, []string{"alice"}, now
		m.usesDesk("connect")
	case "disconnect":
		m.now.Connection, m.now.Users, m.inUse = desktop.Disconnected, nil, time.Time{}
	case "vanish":
		m.gone = true
	case "return":
		m.gone = false
	case "outside":
		if m.gone || !idle {
			return
		}
		m.outside = now
		m.rebuild(now, e.Arg, "", 0)
	case "starting":
		if !idle {
			return
		}
		m.move(desktop.Starting, desktop.Running)
	case "start", "stop", "hold", "not-now", "idle", "active", "ticket", "leave":
		if !w.peopleDo(m, e, idle) {
			return
		}
	case "tag", "untag":
		tags := map[string]string{}
		for k, v := range m.now.Tags {
			tags[k] = v
		}
		if name, value, valued := strings.Cut(e.Arg, "="); e.What == "tag" && valued {
			tags[name] = value
		} else if e.What == "tag" {
			tags[e.Arg] = "x"
		} else {
			delete(tags, e.Arg)
		}
		m.now.Tags = tags
	}
	m.snap(now)
	w.note("", e.Desktop, e.What+" "+e.Arg)
}

// imageNow is an image.
type imageNow struct {
	is    desktop.Image
	ready time.Time
}

func (w *world) addImage(p imagePlan) {
	i := &imageNow{ready: w.at(p.Creating), is: desktop.Image{ID: p.ID, Name: cmp.Or(p.Name, "win11"), RegionID: p.Region, Status: desktop.ImageAvailable,
		OS: "windows", SizeGiB: 80, GPU: p.GPU, Created: time.Date(1999, 1, 1, 0, 0, 0, 0, time.UTC).AddDate(0, 0, p.Day)}}
	if p.Failed {
		i.is.Status = desktop.ImageCreateFailed
	}
	if w.s.Linux {
		i.is.OS = desktop.Linux
	}
	w.images[p.ID] = i
}

func (i *imageNow) show() desktop.Image {
	out := i.is
	if time.Now().Before(i.ready) {
		out.Status = desktop.ImageCreating
	}
	return out
}
