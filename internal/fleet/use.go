package fleet

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/internal/pattern"
)

// Use is the proof by use that a wave must give: so many of its desktops were
// logged on to since they were rebuilt. The zero Use asks for none.
type Use struct {
	// Least is how many of the wave's desktops; a percentage rounds up. Zero: none
	// is asked for.
	Least Amount
	// Within is how long after the wave's end Else follows. Default 8h, 10m to 7d.
	Within time.Duration
	// Else is what follows when too few were used by then: UseWait, or UseHalt.
	// Default UseWait.
	Else UseElse
	// Failed is how many of the logons may fail before the rollout halts; a
	// percentage is of the logons and rounds down. Default zero: not looked at.
	Failed Amount
}

// UseElse is what follows when too few desktops were used in time.
type UseElse string

// What UseElse may be.
const (
	UseWait UseElse = "wait" // somebody is asked to approve
	UseHalt UseElse = "halt" // the rollout halts, if any desktop was used at all
)

// An Alarm is one alarm rule of CloudMonitor.
type Alarm struct {
	Name string
	// Always says that the alarm counts although it was in ALARM already before the
	// rollout began. Default false.
	Always bool
}

// MaxAlarms is how many alarms a fleet may name.
const MaxAlarms = 20

// A Snapshot says which disks are saved before a rebuild that erases them.
type Snapshot string

// What Snapshot may be.
const (
	SnapshotNone Snapshot = "none"
	SnapshotData Snapshot = "data" // the data disk
)

// use reads the proof by use.
func (r *reader) use(v value) Use {
	u := Use{Within: 8 * time.Hour, Else: UseWait}
	r.object(v, fields{
		"least":  func(v value) { u.Least = r.share(v, false) },
		"within": func(v value) { u.Within = r.duration(v, 10*time.Minute, 7*day) },
		"else":   func(v value) { u.Else = UseElse(r.oneOf(v, string(UseWait), string(UseHalt))) },
		"failed": func(v value) { u.Failed = r.share(v, false) },
	}, "least")
	return u
}

var alarmForm = form{pattern.New(`^[^\x00-\x1f\x7f]{1,255}$`, 0), "must be the name of an alarm rule of CloudMonitor, 1 to 255 printable characters"}

// alarms reads names, or objects with a name, each at most once.
func (r *reader) alarms(v value) []Alarm {
	seen := map[string]bool{}
	return each(r, v, 1, MaxAlarms, func(v value) Alarm {
		a := r.alarm(v)
		if a.Name != "" && seen[a.Name] {
			r.faultf(v, "the alarm %s is here a second time; keep one", quoted(a.Name))
		}
		seen[a.Name] = true
		return a
	})
}

func (r *reader) alarm(v value) Alarm {
	if v.node.Kind != yaml.MappingNode {
		return Alarm{Name: r.text(v, alarmForm)}
	}
	var a Alarm
	r.object(v, fields{
		"name":   func(v value) { a.Name = r.text(v, alarmForm) },
		"always": func(v value) { a.Always = r.truth(v) },
	}, "name")
	return a
}
