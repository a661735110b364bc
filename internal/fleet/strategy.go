package fleet

import (
	"slices"
	"time"

	"github.com/regild/regild/internal/desktop"
)

// A Strategy says how a release goes over a fleet. Default holds the values of
// what is not written; the zero Strategy is not useful.
type Strategy struct {
	// Canary is wave 1: who gets the release first. Default: one desktop.
	Canary Canary
	// Waves are cumulative shares of the fleet, canary included, each greater
	// than the one before. The last wave, everybody, is implied and not in here
	// even if the file wrote it. Default: 10%, 50%.
	Waves []Amount
	// MaxUnavailable is how many desktops of the fleet may be under way at once;
	// see AtOnce. Default 10%.
	MaxUnavailable Amount
	// MaxFailures is how many desktops of the rollout may fail before it halts;
	// see AllowedFailures. Default 5%.
	MaxFailures Amount
	// MaxFailuresPerWave is how many desktops of one wave after the canary may
	// fail before the rollout halts; see AllowedFailuresInWave. Default 10%.
	MaxFailuresPerWave Amount
	// Soak is how long to wait after a wave was checked before the next begins.
	// Default 30m, at most 30d.
	Soak time.Duration
	// Approval says after which waves somebody must say go on. Default: after the
	// canary of the fleet's first rollout.
	Approval Approval
	Check    Check
	// Windows are when a rebuild may begin and must be expected to end. None:
	// always.
	Windows []Window
	// Blackouts are taken out of the windows. Default: none.
	Blackouts []Blackout
	Sessions  Sessions
	// Notice is how people are told before. Default: they are not.
	Notice Notice
	// Before is a command that is asked on a desktop before it is touched. Default:
	// none.
	Before Before
	// Holds say which tag holds a desktop back. Default: none.
	Holds Holds
	// Snapshot says which disks are saved before a rebuild that erases them. Default
	// SnapshotNone.
	Snapshot Snapshot
	// Maintenance puts a desktop into maintenance mode (SetDesktopMaintenance)
	// before it is rebuilt, and takes it out again. Default false.
	Maintenance bool
	// StopFirst stops a desktop before it is rebuilt. Default false.
	StopFirst bool
	// Expected is how long one rebuild is expected to take: nothing begins that
	// is not expected to end before the window closes. Default 15m, 1m to 24h.
	Expected time.Duration
	// RebuildTimeout is how long one desktop may take before it counts as
	// failed. Default 0: the function's setting REGILD_REBUILD_TIMEOUT. Else 1m
	// to 24h and not less than Expected.
	RebuildTimeout time.Duration
	// OnHalt is what a rollout does that halted by itself because too many desktops
	// failed: Stay, or Rollback. Default Stay.
	OnHalt OnHalt
	// OnHaltNow lets that rollback begin outside of Windows and in Blackouts.
	// Default false.
	OnHaltNow bool
	// RolloutTimeout is how long the whole rollout may take before it halts.
	// Default 14d, 1h to 365d.
	RolloutTimeout time.Duration
}

// Default returns the strategy of a fleet that writes none. The caller may
// change it.
func Default() Strategy {
	return Strategy{
		Canary:             Canary{Amount: Amount{Count: 1}},
		Waves:              []Amount{{Percent: 10}, {Percent: 50}},
		MaxUnavailable:     Amount{Percent: 10},
		MaxFailures:        Amount{Percent: 5},
		MaxFailuresPerWave: Amount{Percent: 10},
		Soak:               30 * time.Minute,
		Approval:           Approval{First: true},
		Check:              Check{Stable: 5 * time.Minute, Kind: PowerShell, Timeout: time.Minute},
		Snapshot:           SnapshotNone,
		Sessions:           Sessions{Policy: Wait, Deadline: 24 * time.Hour, After: Skip},
		Expected:           15 * time.Minute,
		OnHalt:             Stay,
		RolloutTimeout:     14 * day,
	}
}

const day = 24 * time.Hour

// A Canary says who gets a release first: a share of the fleet, or those that
// carry certain tags. In YAML it is a share, or an object.
type Canary struct {
	// Amount is how many. With Tags it is how many stand in when nobody in the
	// fleet carries them: one.
	Amount Amount
	// Tags are what a desktop of the canary carries, all of them; value ""
	// matches any value of the key. Empty: the canary is chosen by Amount.
	Tags map[string]string
	// MaxFailures is how many desktops of the canary may fail; a percentage is
	// of the canary, rounded down. Default 0: the first failure halts.
	MaxFailures Amount
}

// Chosen says whether d is in the canary by its tags. It is false for a canary
// by share.
func (c Canary) Chosen(d desktop.Desktop) bool {
	return len(c.Tags) > 0 && desktop.Selector{Tags: c.Tags}.Matches(d)
}

// Size returns how many desktops the canary of a fleet of n has, of which
// tagged carry its tags: at least one whenever the fleet has one.
func (c Canary) Size(n, tagged int) int {
	if n <= 0 {
		return 0
	}
	if len(c.Tags) > 0 && tagged > 0 {
		return min(tagged, n)
	}
	return max(1, c.Amount.Of(n))
}

// WaveEnds returns for each wave how many desktops of a fleet of n have had
// their turn when it ends: wave n in element n-1. Wave 1 is the canary, of the
// given size; then come Waves in their order; the last is everybody. The ends never fall, and a wave
// that ends where the one before it did has nobody in it.
func (s Strategy) WaveEnds(n, canary int) []int {
	n = max(n, 0)
	ends := []int{min(max(canary, 0), n)}
	for _, w := range s.Waves {
		ends = append(ends, max(ends[len(ends)-1], w.Of(n)))
	}
	return append(ends, n)
}

// AtOnce returns how many desktops of a fleet of n may be under way at once:
// percentages round down, but at least one.
func (s Strategy) AtOnce(n int) int { return max(1, s.MaxUnavailable.Floor(n)) }

// AllowedFailures returns how many desktops of a rollout over n may fail. The
// rollout halts when more have failed. Percentages round down: 5% of 19 is 0.
func (s Strategy) AllowedFailures(n int) int { return s.MaxFailures.Floor(n) }

// AllowedFailuresInWave returns how many of the size desktops in a wave may
// fail; wave 1 is the canary. The rollout halts when more of them have failed.
// Percentages round down.
func (s Strategy) AllowedFailuresInWave(wave, size int) int {
	if wave == 1 {
		return s.Canary.MaxFailures.Floor(size)
	}
	return s.MaxFailuresPerWave.Floor(size)
}

// An Approval says after which waves a rollout waits until it is told to go on.
// The zero Approval waits for nobody. In YAML it is first, none, canary, every,
// or a list of wave numbers: 1 is the canary, 2 the first of waves.
type Approval struct {
	First bool // after the canary, as long as no rollout of the fleet has gone further
	Every bool
	Waves []int // ascending
}

// After says whether an approval is needed between the wave and the next one.
// first says that no rollout of the fleet has gone further than its canary yet.
// There is no next one after the last wave: do not ask then.
func (a Approval) After(wave int, first bool) bool {
	return a.Every || a.First && first && wave == 1 || slices.Contains(a.Waves, wave)
}

// A Check is what a wave must pass before it counts as good.
type Check struct {
	// Stable is how long a desktop must have been on the image and in the wanted
	// state. Default 5m, 0 to 24h.
	Stable time.Duration
	// Command is run on the desktops of the wave when they are stable; an exit
	// code other than 0 is a failure of that desktop. Default "": none. At most
	// MaxCommand bytes. Source: RunCommand, "CommandContent".
	Command string
	// Kind is the language of Command: PowerShell or Bat. Default PowerShell.
	Kind string
	// Timeout is how long Command may run. Default 1m, 10s to 1h.
	Timeout time.Duration
	// Use is the proof by use that a finished wave must give before the next
	// begins. Default: none.
	Use Use
	// Alarms hold the next wave while one of them is in ALARM. At most MaxAlarms.
	// Default: none.
	Alarms []Alarm
}

// Kinds of command. Source: RunCommand, "Type".
const (
	PowerShell = "RunPowerShellScript"
	Bat        = "RunBatScript"
)

// MaxCommand is how many bytes a command may have: Base64 makes them the 16 KB
// that RunCommand takes.
const MaxCommand = 12 << 10

// Sessions says what to do with a desktop that somebody is using.
type Sessions struct {
	// Policy is Wait, Skip or Force. Default Wait.
	Policy Policy
	// Deadline is how long Wait waits for one desktop, counted from when it was
	// due and found in use. Default 24h, 1m to 30d.
	Deadline time.Duration
	// After is what Wait does when the deadline has passed: Skip or Force.
	// Default Skip.
	After Policy
	// Idle is after how long somebody who is idle, or has disconnected, does not
	// count as using the desktop. Default 0: they always count; else 1m to 30d.
	Idle time.Duration
}

// A Policy is one way to treat a desktop in use.
type Policy string

// The policies.
const (
	Wait  Policy = "wait"  // until nobody uses it, or the deadline
	Skip  Policy = "skip"  // leave it alone in this rollout
	Force Policy = "force" // rebuild it: unsaved work is lost
)

// OnHalt is what a rollout does that halted by itself.
type OnHalt string

// What OnHalt may be.
const (
	Stay     OnHalt = "stay"     // wait for somebody to decide
	Rollback OnHalt = "rollback" // bring back what was changed, once
)
