package rollout

import "github.com/regild/regild/internal/fleet"

// gates says in sentences what else a plan must tell whoever reads it: what holds
// the work back as a whole, and what it does by itself.
func (d *decider) gates() []string {
	out := append(d.scheduleGate(), d.frozenGate()...)
	f := d.fleet()
	if f == nil {
		return out
	}
	out = append(out, d.ringGate(f)...)
	if f.Strategy.OnHalt == fleet.Rollback && d.s.Operation.Undoes == "" {
		text := "if it halts because too many desktops failed, it goes back by itself"
		if f.Strategy.OnHaltNow {
			text += " at once, whatever the windows"
		}
		out = append(out, text)
	}
	return out
}
