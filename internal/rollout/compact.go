package rollout

import (
	"slices"
	"time"

	"github.com/regild/regild/events"
)

// Compact returns the fewest records that fold to what the state knows of the
// desktops that are not finished: for a function without a journal, which sends
// them to itself in a tick. What is finished and published is left out, so the
// result speaks of a smaller request than the journal would.
func (s *State) Compact(ids []string) []Record {
	w := *s.Work
	w.Desktops = ids
	out := []Record{{Kind: KindOpened, At: s.OpenedAt, Work: &w}}
	for _, id := range ids {
		d := s.Desktops[id]
		last := func(status events.Status) Group {
			return Group{Status: status, Code: d.Last.Code, Message: d.Last.Message, Until: d.Again, Desktops: []string{id}}
		}
		for range d.Attempt {
			out = append(out, Record{Kind: KindBegun, At: d.BegunAt, Call: d.Call, Desktops: []string{id}, From: []string{d.From}})
		}
		switch d.Phase {
		case Begun:
			if !d.CallEnded.IsZero() {
				g := last(events.StatusDeferred)
				g.Code = events.CodeOutcomeUnknown
				out = append(out, Record{Kind: KindEnded, At: d.CallEnded, Call: d.Call, Outcomes: []Group{g}})
			}
		case Accepted:
			out = append(out, Record{Kind: KindSettled, At: d.AcceptedAt, Outcomes: []Group{last(events.StatusAccepted)}})
			if d.Seen {
				out = append(out, Record{Kind: KindSeen, At: d.AcceptedAt, Desktops: []string{id}})
			}
		case Pending:
			if d.Attempt > 0 {
				out = append(out, Record{Kind: KindAgain, At: d.BegunAt, Desktops: []string{id}})
			}
			if d.WaitCode != "" {
				g := last(events.StatusDeferred)
				g.Code = d.WaitCode
				out = append(out, Record{Kind: KindSettled, At: d.WaitSince, Outcomes: []Group{g}})
			}
		case Final:
			out = append(out, Record{Kind: KindSettled, At: d.DoneAt, Outcomes: []Group{last(d.Last.Status)}})
		}
		if d.Held {
			out = append(out, Record{Kind: KindHolding, At: d.BegunAt, Desktops: []string{id}})
		}
		if d.Stopped {
			out = append(out, Record{Kind: KindStopping, At: d.StoppedAt, Desktops: []string{id}})
		}
	}
	return append(merged(out), s.alreadyPublished(ids)...)
}

// merged joins neighbouring records that say the same of several desktops.
func merged(records []Record) []Record {
	type sameness struct {
		kind  Kind
		at    time.Time
		call  string
		group groupKey
	}
	var out []Record
	at := map[sameness]int{}
	for _, r := range records {
		if r.Kind == KindOpened {
			out = append(out, r)
			continue
		}
		key := sameness{kind: r.Kind, at: r.At, call: r.Call}
		for _, g := range r.Outcomes { // one at most
			key.group = groupKey{Gist{g.Status, g.Code, g.Message}, g.Until}
		}
		// A desktop's own records must stay in their order, and begun twice is
		// two attempts: only those of other desktops are joined. Its own came
		// right before.
		i, known := at[key]
		if !known || lastOf(desktopsOf(out[i])) == desktopsOf(r)[0] {
			at[key] = len(out)
			out = append(out, r)
			continue
		}
		out[i].Desktops = append(out[i].Desktops, r.Desktops...)
		out[i].From = append(out[i].From, r.From...)
		for k := range r.Outcomes {
			out[i].Outcomes[k].Desktops = append(out[i].Outcomes[k].Desktops, r.Outcomes[k].Desktops...)
		}
	}
	return out
}

func lastOf(ids []string) string { return ids[len(ids)-1] }

func desktopsOf(r Record) []string {
	if len(r.Outcomes) > 0 {
		return r.Outcomes[0].Desktops
	}
	return r.Desktops
}

// alreadyPublished says which of the outcomes that Compact tells anew are out.
func (s *State) alreadyPublished(ids []string) []Record {
	groups := map[events.Status]*Group{}
	rec := Record{Kind: KindPublished, At: s.OpenedAt}
	for _, id := range ids {
		d := s.Desktops[id]
		if d.Last.Status == "" || slices.ContainsFunc(d.Unpublished, func(o Outcome) bool { return o.Status == d.Last.Status }) {
			continue
		}
		if groups[d.Last.Status] == nil {
			groups[d.Last.Status] = &Group{Status: d.Last.Status}
		}
		groups[d.Last.Status].Desktops = append(groups[d.Last.Status].Desktops, id)
	}
	for _, status := range events.Statuses {
		if g := groups[status]; g != nil {
			rec.Outcomes = append(rec.Outcomes, *g)
		}
	}
	if rec.Outcomes == nil {
		return nil
	}
	return []Record{rec}
}
