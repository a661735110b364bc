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
const telling = "telling"

// maxTellings is how many notices are announced and sent in one step, so that
// all of it fits into the time of a call. The rest goes out in the next.
const maxTellings = 20

// announcedTellings returns the records that announce notices. Each has a call of
// its own, so that its end is told from that of another.
func announcedTellings(tell []rollout.Telling, call string) []rollout.Record {
	var out []rollout.Record
	for i, t := range tell {
		n := 1
		if t.Again {
			n = 2
		}
		out = append(out, rollout.Record{Kind: rollout.KindTelling, Call: tellingCall(call, i), Until: t.Due, N: n, Desktops: t.Desktops})
	}
	return out
}

func tellingCall(call string, i int) string { return call + "/" + strconv.Itoa(i) }

// runTell has notices shown, and writes down for whom that was asked for and for
// whom it could not be.
func (r *run) runTell(ctx context.Context, j *job, region string, tell []rollout.Telling, call string) {
	for i, t := range tell {
		var invoked []string
		sent := r.attempt(j, telling, t.Desktops, func(ids []string) error {
			if r.Teller == nil {
				return errors.New("nobody can be told here")
			}
			more, err := r.Teller.Tell(ctx, region, ids, t.User, t.Text)
			if err == nil {
				invoked = append(invoked, more...)
			}
			return err
		})
		call := tellingCall(call, i)
		r.record(j, func(*rollout.State) rollout.Record {
			return rollout.Record{Kind: rollout.KindSent, Call: call, Invoke: strings.Join(invoked, ","), Desktops: sent}
		})
		byReason := map[string][]string{}
		for _, id := range t.Desktops {
			if err := j.unable[id]; err != nil {
				byReason[err.Error()] = append(byReason[err.Error()], id)
			}
		}
		for why, ids := range byReason {
			r.record(j, func(*rollout.State) rollout.Record {
				return rollout.Record{Kind: rollout.KindSent, Call: call, Desktops: ids,
					Reason: &events.Reason{Code: events.CodeNoticeNotGiven, Message: rollout.Cut(why)}}
			})
		}
	}
}
