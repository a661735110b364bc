package main_test

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"github.com/regild/regild/internal/localcloud/control"
	"github.com/regild/regild/internal/localcloud/ecd"
	"github.com/regild/regild/internal/localcloud/fault"
	"github.com/regild/regild/internal/localcloud/sts"
)

// change decodes field=value arguments into what a state file would say.
func change(args []string, into any) error {
	if len(args) == 0 {
		return nil
	}
	var text strings.Builder
	for _, arg := range args {
		field, value, ok := strings.Cut(arg, "=")
		if !ok {
			return fmt.Errorf("%q is not field=value", arg)
		}
		fmt.Fprintf(&text, "%s: %s\n", field, value)
	}
	return yaml.Load([]byte(text.String()), into, yaml.WithKnownFields())
}

func (w *world) fault(args []string) error {
	if len(args) == 1 && args[0] == "clear" {
		w.cloud.Faults.Clear()
		return nil
	}
	if len(args) < 3 {
		return errors.New("service, operation and kind are needed")
	}
	rule := fault.Rule{Service: args[0], Operation: args[1], Kind: fault.Kind(args[2])}
	if err := change(args[3:], &rule); err != nil {
		return err
	}
	w.cloud.Faults.Add(rule)
	return nil
}

func (w *world) observe(p fault.Point) {
	w.mu.Lock()
	hooks := append([]func(fault.Point){}, w.hooks...)
	w.mu.Unlock()
	for _, h := range hooks {
		h(p)
	}
}

func (w *world) hook(h func(fault.Point)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.hooks = append(w.hooks, h)
}

func (w *world) killAt(args []string) error {
	if len(args) == 3 {
		args = append(args, "1")
	}
	if len(args) != 4 {
		return errors.New("service, operation and phase are needed")
	}
	n, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	var mu sync.Mutex
	w.hook(func(p fault.Point) {
		if p.Service != args[0] || p.Operation != args[1] || string(p.Phase) != args[2] {
			return
		}
		mu.Lock()
		n--
		now := n == 0
		mu.Unlock()
		if now {
			w.host.Kill()
		}
	})
	return nil
}

func (w *world) killNow([]string) error {
	w.host.Kill()
	return nil
}

func (w *world) desktop(args []string) error {
	if len(args) < 2 {
		return errors.New("an id and a change are needed")
	}
	id, changes := args[0], args[1:]
	if _, ok := w.cloud.ECD.Desktop(id); !ok {
		return fmt.Errorf("there is no desktop %s", id)
	}
	user, connects := strings.CutPrefix(changes[0], "connect=")
	switch {
	case connects && !w.cloud.ECD.Connect(id, user):
		return errors.New("nobody can connect: it is not running, or in maintenance")
	case connects:
		return nil
	case strings.HasPrefix(changes[0], "logon="):
		fails := ""
		if len(changes) > 1 {
			fails = strings.TrimPrefix(changes[1], "fails=")
		}
		w.cloud.ECD.LogOn(id, strings.TrimPrefix(changes[0], "logon="), fails)
		return nil
	case changes[0] == "gone":
		w.cloud.ECD.Remove(id)
		return nil
	case changes[0] == "leave":
		w.cloud.ECD.Update(id, func(d *ecd.Desktop) { d.Sessions, d.Connection = nil, ecd.Disconnected })
		return nil
	}
	var err error
	w.cloud.ECD.Update(id, func(d *ecd.Desktop) { err = change(changes, d) })
	return err
}

func (w *world) alarm(args []string) error {
	if len(args) != 2 {
		return errors.New("a name and a state are needed")
	}
	w.cloud.Control.Change(func(a *control.Account) {
		a.Alarms[args[0]] = args[1] != "off"
		if args[1] != "off" {
			a.AlarmStates[args[0]] = args[1]
		}
	})
	return nil
}

func (w *world) role(args []string) error {
	if len(args) < 2 {
		return errors.New("a role and a change are needed")
	}
	account, name, _ := strings.Cut(args[0], "/")
	var err error
	if !w.cloud.Roles.Change(sts.ARN(account, name), func(r *sts.Role) { err = change(args[1:], r) }) {
		return fmt.Errorf("there is no role %s", args[0])
	}
	return err
}

func (w *world) image(args []string) error {
	if len(args) < 2 {
		return errors.New("an id and a change are needed")
	}
	var err error
	if !w.cloud.ECD.UpdateImage(args[0], func(i *ecd.Image) { err = change(args[1:], i) }) {
		return fmt.Errorf("there is no image %s", args[0])
	}
	return err
}
