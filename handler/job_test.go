package handler

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/regild/regild/internal/journal/journaltest"
)

func jobsOf(t *testing.T) *jobs {
	t.Helper()
	i := newInvocation(t.Context(), Config{Journal: journaltest.Memory(), Now: time.Now, Log: slog.New(slog.DiscardHandler)}, Invocation{RequestID: "i1"})
	t.Cleanup(i.cancel)
	return &jobs{invocation: i, store: journaltest.Memory(), cache: &cache{}, byName: map[string]*job{}}
}

func TestAnOperationIsOneJobHoweverManyMessagesNameIt(t *testing.T) {
	js := jobsOf(t)
	first, fresh := js.add(kindRequest, "r1")
	again, anew := js.add(kindRequest, "r1")
	if other, is := js.add(kindRollout, "r1"); !fresh || anew || first != again || other == first || !is {
		t.Error("a request and a rollout of one id are to be one job each")
	}
	js.drop(first)
	if _, fresh := js.add(kindRequest, "r1"); !fresh {
		t.Error("what was dropped is still there")
	}
}

func TestJobsThatAreAddedMeanwhileAreGoneThroughToo(t *testing.T) {
	js := jobsOf(t)
	add := func(id string) {
		js.add(kindRollout, "not open/"+id)
		j, _ := js.add(kindRollout, id)
		if err := js.open(j); err != nil {
			t.Fatal(err)
		}
	}
	add("r1/a")
	var seen []string
	for j := range js.each() {
		seen = append(seen, j.id)
		if len(seen) < 3 {
			add(j.id + "+")
		}
	}
	if len(seen) != 3 || seen[2] != "r1/a++" {
		t.Errorf("got %v, want three", seen)
	}
}

func TestAJobFailsOnceAndIsNotLiveThen(t *testing.T) {
	js := jobsOf(t)
	j, _ := js.add(kindRequest, "r1")
	if len(js.live()) != 0 {
		t.Error("a job is live whose journal is not open")
	}
	if err := js.open(j); err != nil || len(js.live()) != 1 {
		t.Fatalf("its journal is open (%v), and it is not live", err)
	}
	first := errors.New("first")
	if !j.fail(first) || j.fail(errors.New("second")) || !errors.Is(j.failure(), first) {
		t.Errorf("it failed with %v, want the first error, once", j.failure())
	}
	if len(js.live()) != 0 {
		t.Error("a job is live that has failed")
	}
}
