package handler

import (
	"context"
	"errors"
	"strconv"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/rollout"
)

// telling is what the calls that show notices are called in the log. Like a check
// they are not repeated without need: somebody reads each.
const (
	telling = "telling"
	asking  = "asking"
)

// maxTellings is how many notices are announced and sent in one step, so that
// all of it fits into the time of a call. The rest goes out in the next.
const maxTellings = 20

// announcedTellings returns the records that announce notices. Each has a call of
// its own, so that its end is told from that of another.
func announcedTellings(tell []rollout.Notification, call string) []rollout.Record {
	var out []rollout.Record
	for i, t := range tell {
		out = append(out, rollout.Record{Kind: rollout.KindNotifying, Call: tellingCall(call, i), Until: t.Due, N: t.N(), Desktops: t.Desktops})
	}
	return out
}

func tellingCall(call string, i int) string { return call + "/" + strconv.Itoa(i) }

// announcedAsks returns the records that announce commands before a rebuild.
func announcedAsks(ask []rollout.Command, call string) []rollout.Record {
	var out []rollout.Record
	for i, c := range ask {
		out = append(out, rollout.Record{Kind: rollout.KindAsking, Call: tellingCall(call, i), Desktops: c.Desktops})
	}
	return out
}

// runAsk asks desktops whether they may be rebuilt.
func (r *run) runAsk(ctx context.Context, j *job, region string, ask []rollout.Command, call string) {
	for i, c := range ask {
		r.startOn(j, rollout.KindAsked, asking, tellingCall(call, i), c.Desktops, func(ids []string) ([]string, error) {
			return r.ECD.Run(ctx, region, ids, c.Text, c.Kind, c.Timeout)
		})
	}
}

// runTell has notices shown, and writes down for whom that was asked for and for
// whom it could not be.
func (r *run) runTell(ctx context.Context, j *job, region string, tell []rollout.Notification, call string) {
	for i, t := range tell {
		r.startOn(j, rollout.KindSent, telling, tellingCall(call, i), t.Desktops, func(ids []string) ([]string, error) {
			if r.Notifier == nil {
				return nil, errors.New("nobody can be told here")
			}
			return r.Notifier.Tell(ctx, region, ids, t.User, t.Text)
		})
	}
}

// startOn starts something on desktops that ends later, and writes down what to
// ask for its results, or why it was not started.
func (r *run) startOn(j *job, kind rollout.Kind, what, call string, ids []string, start func([]string) ([]string, error)) {
	var invoked []string
	sent := r.attempt(j, what, ids, func(ids []string) error {
		more, err := start(ids)
		if err == nil {
			invoked = append(invoked, more...)
		}
		return err
	})
	r.record(j, func(*rollout.State) rollout.Record {
		return rollout.Record{Kind: kind, Call: call, Invoke: strings.Join(invoked, ","), Desktops: sent}
	})
	byReason := map[string][]string{}
	for _, id := range ids {
		if err := j.unable[id]; err != nil {
			byReason[err.Error()] = append(byReason[err.Error()], id)
		}
	}
	for why, ids := range byReason {
		r.record(j, func(*rollout.State) rollout.Record {
			return rollout.Record{Kind: kind, Call: call, Desktops: ids, Reason: &events.Reason{Code: events.CodeCallFailed, Message: rollout.Cut(why)}}
		})
	}
}
