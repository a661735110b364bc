package rollout

import (
	"slices"
	"time"

	"github.com/regild/regild/events"
)

// This file is about what is done to desktops besides rebuilding them. Every such act
// takes the same way: a decision has an Act, a record announces it, it is done, and
// another record says how the call ended. A Call is what a journal knows of that.

// A What says what an act does to desktops.
type What int

// The acts, in the order in which they are done.
const (
	Hold    What = iota // puts them into maintenance mode
	Stop                // stops them
	Release             // takes them out of maintenance mode
	Start               // starts them
	Check               // runs the check command of their fleet
	Tell                // shows a notice to their users
	Ask                 // asks them, by a command of their fleet, whether they may be rebuilt
	Save                // makes a snapshot of the data disk of each
)

// An actForm is what differs between the acts.
type actForm struct {
	begins Kind // of the record that announces it; "": nothing does
	ends   Kind // of the record that says how its call ended; "": nothing does
	share  int  // how many desktops may share one act; 0: any number
}

var acts = [...]actForm{
	Hold:    {begins: KindHolding, ends: KindHeld},
	Stop:    {begins: KindStopping}, // ends when the desktop shows it
	Release: {begins: KindReleasing, ends: KindReleased},
	Start:   {begins: KindStarting, ends: KindStarted},
	Check:   {ends: KindChecking},                               // is not announced: to check twice does no harm
	Tell:    {begins: KindNotifying, ends: KindSent, share: 50}, // Source: RunCommand, "DesktopId"
	Ask:     {begins: KindAsking, ends: KindAsked},
	Save:    {begins: KindSaving, ends: KindSaved, share: 20}, // so that all fit into the time of a call
}

// An Act is something that is to be done to desktops besides rebuilding them.
type Act struct {
	What     What
	Desktops []string
	N        int           // Tell: which sort of notice; Save: which snapshot of each desktop, from 1
	Text     string        // Check, Ask: the command; Tell: the notice
	Kind     string        // Check, Ask: of command
	Timeout  time.Duration // Check, Ask: how long the command may take
	User     string        // Tell: in whose session; "": in all
	Due      time.Time     // Tell: the time that the text names
}

// Begins returns the record that announces the act, under the id of its call.
func (a Act) Begins(call string) (r Record, announced bool) {
	return Record{Kind: acts[a.What].begins, Call: call, N: a.N, Until: a.Due, Desktops: a.Desktops}, acts[a.What].begins != ""
}

// Ends returns the kind of the record that says how its call ended; "": there is none.
func (a Act) Ends() Kind { return acts[a.What].ends }

// sharesWith says whether two acts are one but for the desktops, and for the user in whose
// session a notice is shown.
func (a Act) sharesWith(o Act) bool {
	return a.What == o.What && a.N == o.N && a.Text == o.Text && a.Kind == o.Kind && a.Timeout == o.Timeout && a.Due.Equal(o.Due)
}

// act adds an act on a desktop to those that are the same.
func (t *total) act(id string, a Act) {
	share := acts[a.What].share
	i := slices.IndexFunc(t.out.Acts, func(o Act) bool { return o.sharesWith(a) && (share == 0 || len(o.Desktops) < share) })
	if i < 0 {
		i, t.out.Acts = len(t.out.Acts), append(t.out.Acts, a)
	}
	same := &t.out.Acts[i]
	same.Desktops = append(same.Desktops, id)
	if same.User != a.User {
		same.User = ""
	}
}

// A Call is the last call for a desktop by which something was done to it, or that is
// about to be made.
type Call struct {
	Kind   Kind      // of the record that announced it
	CallID string    // tells its end from that of another; "": none was announced
	At     time.Time // when it was announced, right before it was made
	End    time.Time // when its end was written down; zero: it may be under way, and its delivery is unknown
	Got    string    // what its end names: the commands to ask for results, or the snapshot; "": it was not made
	Code   string    // why it failed; "": it did not
	Why    string
}

// first keeps the first time at which something was so.
func first(kept *time.Time, at time.Time) {
	if kept.IsZero() {
		*kept = at
	}
}

// callOf returns the call that a record announces.
func callOf(r *Record) Call { return Call{Kind: r.Kind, CallID: r.Call, At: r.At} }

// ended notes the end of a call, and says whether it is the last that was announced: what
// was announced after it may have undone what it did.
func (c *Call) ended(r *Record) bool {
	if c.CallID != r.Call {
		return false
	}
	c.End, c.Got, c.Code, c.Why = r.At, r.Invoke+r.Snapshot, "", ""
	if r.Reason != nil {
		c.Code, c.Why = r.Reason.Code, r.Reason.Message
	}
	return true
}

// over returns when a call is certainly over of which no end is written down: until then
// another instance may be making it. Zero: none is under way.
func (c *Call) over() time.Time {
	if c == nil || !c.End.IsZero() || c.At.IsZero() {
		return zero
	}
	return c.At.Add(lease)
}

// act notes what we do to a desktop to keep it from its users, or to restore it. Records
// of earlier builds name no call: they are taken at their word.
func (d *Desktop) act(r *Record) {
	d.ActedAt = max(d.ActedAt, MomentOf(r.At))
	last := func(c *Call) bool { return c == nil || r.Call == "" || c.ended(r) }
	now := callOf(r)
	switch r.Kind {
	case KindHolding:
		d.Held, d.Entered, d.Maintenance = true, false, &now
	case KindHeld:
		if last(d.Maintenance) {
			d.Held, d.Entered = true, true
		}
	case KindReleasing:
		d.Entered, d.Maintenance = false, &now
	case KindReleased:
		if last(d.Maintenance) {
			d.Held, d.Entered = false, false
		}
	case KindStopping:
		d.Stopped, d.StoppedAt, d.Power = true, MomentOf(r.At), &now
	case KindStarting:
		d.Power = &now
	case KindStarted:
		if last(d.Power) {
			d.Stopped = false
		}
	}
}

// call writes the announcement of a call, as it is given but for what the call says, and
// its end.
func (c *compaction) call(d *Desktop, call Call, begins Record) {
	if call.CallID == "" {
		return
	}
	begins.At, begins.Call, begins.Desktops = call.At, call.CallID, []string{d.ID}
	c.add(partFinal, begins)
	if call.End.IsZero() {
		return
	}
	i := slices.IndexFunc(acts[:], func(a actForm) bool { return a.begins == begins.Kind })
	r := Record{Kind: acts[i].ends, At: call.End, Call: call.CallID, Desktops: []string{d.ID}}
	if begins.Kind == KindSaving {
		r.Snapshot = call.Got
	} else {
		r.Invoke = call.Got
	}
	if call.Code != "" {
		r.Reason = &events.Reason{Code: call.Code, Message: call.Why}
	}
	c.add(partFinal, r)
}
