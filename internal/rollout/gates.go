package rollout

import "github.com/regild/regild/internal/fleet"

// gates says for people what else a plan must tell: what holds the operation back as a
// whole, and what it does by itself.
func (v *view) gates() ([]string, step) {
	frozen, s := v.frozenGate()
	out := append(v.scheduleGate(), frozen...)
	f := v.fleet()
	if f == nil {
		return out, s
	}
	out = append(out, v.ringGate(f)...)
	out = append(out, v.proofGate(f)...)
	if f.Strategy.OnHalt == fleet.Rollback && v.s.Operation.Undoes == "" {
		text := "if it halts because too many desktops failed, it goes back by itself"
		if f.Strategy.OnHaltNow {
			text += " at once, whatever the windows"
		}
		out = append(out, text)
	}
	return out, s
}
