package handler

import (
	"errors"
	"fmt"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// optional says of what only some fleets need that it could not be read. A right that
// lacks keeps these fleets waiting, and does not hold up others.
func optional(err error) error {
	if desktop.DeliveryOf(err) == desktop.Forbidden {
		return fmt.Errorf("%s (docs/ram/function-extras.json has the right)", err.Error())
	}
	return err
}

var errNoCensus = errors.New("sessions and events cannot be asked for here")

// sessions reads who is on desktops, for fleets whose idle users do not count.
func (l *look) sessions(ids []string) (map[string][]desktop.Session, error) {
	if l.Census == nil {
		return nil, errNoCensus
	}
	got, err := l.Census.Sessions(l.ctx, l.at.Region, ids, time.Time{})
	return got, optional(err)
}

// uses returns how to read who was on desktops from a time on.
func uses(from time.Time) func(*look, []string) (map[string]rollout.History[desktop.Session], error) {
	return func(l *look, ids []string) (map[string]rollout.History[desktop.Session], error) {
		if l.Census == nil {
			return nil, errNoCensus
		}
		got, err := l.Census.Sessions(l.ctx, l.at.Region, ids, from)
		out := make(map[string]rollout.History[desktop.Session], len(ids))
		for _, id := range ids {
			out[id] = rollout.History[desktop.Session]{From: from, List: got[id]}
		}
		return out, optional(err)
	}
}

// logons returns how to read who tried to connect to a desktop ("": to any of the region)
// from a time on.
func logons(from time.Time) func(*look, string) (rollout.History[desktop.Event], error) {
	return func(l *look, id string) (rollout.History[desktop.Event], error) {
		if l.Census == nil {
			return rollout.History[desktop.Event]{}, errNoCensus
		}
		got, err := l.Census.Events(l.ctx, l.at.Region, id, from, l.business())
		return rollout.History[desktop.Event]{From: from, List: got}, optional(err)
	}
}

// alarms reads the alarm rules of a name.
func (l *look) alarms(name string) ([]desktop.Alarm, error) {
	if l.alarmer == nil {
		return nil, errors.New("alarms cannot be asked for here")
	}
	got, err := l.alarmer.Alarms(l.ctx, l.at.Region, name)
	if err != nil {
		err = &cloudMonitorError{optional(err)}
	}
	return got, err
}

// A cloudMonitorError says that it was not ECD that could not be asked.
type cloudMonitorError struct{ Err error }

func (e *cloudMonitorError) Error() string { return e.Err.Error() }

func (e *cloudMonitorError) Unwrap() error { return e.Err }
