package rollout_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

func TestNeedsAreJoined(t *testing.T) {
	var n rollout.Need
	n.Add(rollout.Need{Desktops: []string{"b", "c"}, Images: []string{"m"}})
	n.Add(rollout.Need{Desktops: []string{"c", "a"}, Tags: []string{"b"}, From: start.Add(time.Hour)})
	n.Add(rollout.Need{Uses: []string{"b"}, From: start})
	n.Add(rollout.Need{Uses: []string{"b"}, From: start.Add(time.Minute)})
	if want := (rollout.Need{Desktops: []string{"a", "b", "c"}, Images: []string{"m"}, Tags: []string{"b"}, Uses: []string{"b"}, From: start}); !reflect.DeepEqual(n, want) {
		t.Errorf("got %+v, want %+v", n, want)
	}
}

// A need of any kind is one.
func TestNoNeedIsOverlooked(t *testing.T) {
	var n rollout.Need
	if !n.Empty() {
		t.Error("no need is one")
	}
	for i := range reflect.TypeFor[rollout.Need]().NumField() {
		n := rollout.Need{}
		field := reflect.ValueOf(&n).Elem().Field(i)
		if field.Kind() != reflect.Slice { // From, which is no need by itself
			continue
		}
		field.Set(reflect.ValueOf([]string{"x"}))
		if n.Empty() {
			t.Errorf("%+v is no need", n)
		}
	}
}

// What was read before a time is forgotten, of every kind.
func TestOldFactsAreForgotten(t *testing.T) {
	f := rollout.NewFacts()
	for i, id := range []string{"old", "just", "new"} {
		at := start.Add(time.Duration(i-1) * time.Second)
		f.Desktops[id], f.Alarms[id], f.Members[id] = rollout.Read[*desktop.Desktop](at, nil), rollout.Read[[]desktop.Alarm](at, nil), rollout.Read[[]desktop.Desktop](at, nil)
	}
	f.DropBefore(start)
	for _, id := range []string{"old", "just", "new"} {
		_, a := f.Desktops[id]
		_, b := f.Alarms[id]
		_, c := f.Members[id]
		if want := id != "old"; a != want || b != want || c != want {
			t.Errorf("%s is there: %t, %t, %t; want %t", id, a, b, c, want)
		}
	}
}
