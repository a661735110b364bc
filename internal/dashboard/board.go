package dashboard

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/page"
	"github.com/regild/regild/internal/report"
)

// maxListed bounds each list on the board, maxNeeds that of what waits for
// somebody, at its top.
const (
	maxListed = 200
	maxNeeds  = 10
)

// board draws a picture of the index: which fleets there are, what is under way
// and what has ended.
func board(p picture, declared fleet.Fleets, query string) page.Board {
	b := page.Board{Query: query, Read: p.read, Total: p.total, Left: p.left, Limit: maxJournals, Broken: p.broken, BrokenWhy: p.brokenWhy, Trouble: p.trouble}
	b.Fleets = fleetsOf(p, declared)
	words := strings.Fields(strings.ToLower(query))
	for _, o := range p.operations {
		switch {
		case !o.Closed:
			b.Open = append(b.Open, o)
		case matches(o, words):
			if b.Ended++; len(b.History) < maxListed {
				b.History = append(b.History, o)
			}
		}
	}
	b.OpenAll = len(b.Open)
	slices.SortStableFunc(b.Open, func(a, b report.Brief) int { return cmp.Compare(urgency(a), urgency(b)) })
	for _, o := range b.Open {
		if urgency(o) < urgencyNone && len(b.Needs) < maxNeeds {
			b.Needs = append(b.Needs, o)
		}
	}
	b.Open = b.Open[:min(len(b.Open), maxListed)]
	return b
}

func fleetsOf(p picture, declared fleet.Fleets) []page.Fleet {
	var out []page.Fleet
	add := func(f page.Fleet) {
		ids := p.fleets[f.Name]
		if f.Had = len(ids); f.Had > 0 {
			f.Last = ids[f.Had-1]
		}
		if latest, ok := p.latest[f.Name]; ok {
			f.Latest, f.Region = &latest, cmp.Or(f.Region, latest.RegionID)
		}
		out = append(out, f)
	}
	known := map[string]bool{}
	for _, f := range declared {
		known[f.Name] = true
		add(page.Fleet{Name: f.Name, Region: f.Region, Images: f.Images})
	}
	for _, name := range slices.Sorted(maps.Keys(p.fleets)) {
		if !known[name] {
			add(page.Fleet{Name: name})
		}
	}
	return out
}

// urgency is the order in which open operations are wanted: first those that wait for
// a person.
func urgency(b report.Brief) int {
	switch {
	case b.State == report.StateHalted:
		return 0
	case b.State == report.StateWaiting && b.Reason != nil && b.Reason.Code == events.CodeApprovalAwaited:
		return 1
	case b.State == report.StatePaused:
		return 2
	case !b.Request():
		return urgencyNone
	}
	return urgencyNone + 1
}

// urgencyNone is that of a rollout that waits for nobody.
const urgencyNone = 3

// matches says whether all words stand somewhere in what is known of an operation.
func matches(b report.Brief, words []string) bool {
	if len(words) == 0 {
		return true
	}
	text := strings.ToLower(strings.Join([]string{b.Name(), b.Fleet, b.ReleaseID, b.AccountID, b.RegionID, b.ImageID, b.ImageName,
		b.By, b.Who, string(b.State)}, "\n"))
	return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
}
