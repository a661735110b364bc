package fleet

import "time"

// A Before is a command that is asked on a desktop before it is touched: exit
// code 0 is go on, NotNow is not now, anything else is leave it alone. The zero
// Before asks nothing.
type Before struct {
	Command string        // at most MaxCommand bytes; "": none
	Kind    string        // PowerShell or Bat. Default PowerShell
	Timeout time.Duration // how long it may run. Default 1m, 10s to 1h
	// Again is after how long it is asked again that said not now. Default 1h, 1m
	// to 1d.
	Again time.Duration
	// Deadline is how long not now is heeded, from the first on. Default 24h, 1m to
	// 30d.
	Deadline time.Duration
	// After is what comes then: Skip or Force. Default Skip.
	After Policy
	// Deferrals is how often not now is heeded. Default 0: as often as Deadline
	// allows; else 1 to 100.
	Deferrals int
}

// NotNow is the exit code of a command that asks for later: EX_TEMPFAIL of
// sysexits.h.
const NotNow = 75

// Holds say which tag of a desktop holds it back, until the time that is its
// value (RFC 3339). The zero Holds heed none.
type Holds struct {
	Tag    string
	AtMost time.Duration // from when it was first found. Default 3d, 1m to 30d
}

// before reads the command to ask.
func (r *reader) before(v value) Before {
	b := Before{Kind: PowerShell, Timeout: time.Minute, Again: time.Hour, Deadline: day, After: Skip}
	r.object(v, fields{
		"command":   func(v value) { b.Command = r.command(v) },
		"kind":      func(v value) { b.Kind = r.oneOf(v, PowerShell, Bat) },
		"timeout":   func(v value) { b.Timeout = r.duration(v, 10*time.Second, time.Hour) },
		"again":     func(v value) { b.Again = r.duration(v, time.Minute, day) },
		"deadline":  func(v value) { b.Deadline = r.duration(v, time.Minute, 30*day) },
		"after":     func(v value) { b.After = Policy(r.oneOf(v, string(Skip), string(Force))) },
		"deferrals": func(v value) { b.Deferrals, _ = r.number(v, 1, 100) },
	}, "command")
	return b
}

// holds reads which tag holds a desktop back.
func (r *reader) holds(v value) Holds {
	h := Holds{AtMost: 3 * day}
	r.object(v, fields{
		"tag":    func(v value) { h.Tag = r.text(v, tagKeyForm) },
		"atMost": func(v value) { h.AtMost = r.duration(v, time.Minute, 30*day) },
	}, "tag")
	return h
}
