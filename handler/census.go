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

// uses reads who was on desktops since a time, by rollout.UseKey.
func (l *look) uses(keys []string) (map[string][]desktop.Session, error) {
	if l.Census == nil {
		return nil, errNoCensus
	}
	byTime := map[time.Time][]string{}
	for _, key := range keys {
		since, id, ok := rollout.SplitUseKey(key)
		if !ok {
			return nil, fmt.Errorf("%q is not what is asked for", key)
		}
		byTime[since] = append(byTime[since], id)
	}
	out := make(map[string][]desktop.Session, len(keys))
	for since, ids := range byTime {
		got, err := l.Census.Sessions(l.ctx, l.at.Region, ids, since)
		if err != nil {
			return nil, optional(err)
		}
		for id, list := range got {
			out[rollout.UseKey(since, id)] = list
		}
	}
	return out, nil
}

// logons reads who tried to connect to a desktop, or to any of the region, since a
// time, by rollout.UseKey.
func (l *look) logons(key string) ([]desktop.Event, error) {
	from, id, ok := rollout.SplitUseKey(key)
	switch {
	case !ok:
		return nil, fmt.Errorf("%q is not what is asked for", key)
	case l.Census == nil:
		return nil, errNoCensus
	}
	got, err := l.Census.Events(l.ctx, l.at.Region, id, from, l.business())
	return got, optional(err)
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
