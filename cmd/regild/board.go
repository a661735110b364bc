package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/escape"
	"github.com/regild/regild/internal/fleet"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// looks has for each place where a desktop may stand its sign and its paint. The
// signs differ without colours too, and are one column wide on every terminal.
var looks = map[report.Stand]struct {
	sign string
	ink  ink
}{report.Completed: {"▮", greenInk}, report.Skipped: {"‐", dimInk}, report.Refused: {"⊘", pinkInk}, report.Failed: {"✗", redInk},
	report.Running: {"▸", cyanInk}, report.Waiting: {"⋄", yellowInk}, report.Pending: {"▯", dimInk}}

// standFor says where a desktop stands by its last outcome.
func standFor(s events.Status) report.Stand {
	switch stand := report.Stand(s); {
	case stand.Final():
		return stand
	case s == events.StatusAccepted:
		return report.Running
	}
	return report.Waiting
}

// A bar is one wave of a rollout, or a request.
type bar struct {
	label string
	cells []report.Stand
	note  string
}

func (b bar) counts() map[report.Stand]int {
	n := map[report.Stand]int{}
	for _, c := range b.cells {
		n[c]++
	}
	return n
}

// over says whether nothing of the bar can change any more.
func (b bar) over() bool {
	n := b.counts()
	return n[report.Running]+n[report.Waiting]+n[report.Pending] == 0
}

// A panel is one rollout, or one request.
type panel struct {
	request bool
	title   string
	detail  string
	bars    []bar
	state   string // why it stands still, or that it has ended
	ink     ink    // of state
}

// panelOf shows a journal. The fleets say how large the waves to come will be.
func panelOf(s *rollout.State, fleets fleet.Fleets, zone *time.Location) panel {
	o := s.Operation
	if o.Request() {
		return panel{request: true, title: o.ID, bars: []bar{{label: o.ID, cells: cellsOf(s, o.Desktops)}}}
	}
	p := panel{title: o.ID, detail: detailOf(o)}
	for i := range s.Waves {
		wave := &s.Waves[i]
		note := dayTime(wave.BegunAt, zone) + " –"
		if !wave.EndedAt.IsZero() {
			note += " " + wave.EndedAt.In(zone).Format("15:04")
		}
		p.bars = append(p.bars, bar{label: fmt.Sprintf("%d %s", wave.N, wave.Name), cells: cellsOf(s, wave.Desktops), note: note})
	}
	p.bars = append(p.bars, toCome(s, fleets)...)
	p.state, p.ink = standing(s, zone)
	return p
}

func detailOf(o *rollout.Operation) string {
	if o.Undoes != "" {
		return fmt.Sprintf("takes %s back in %s", o.Undoes, o.Place())
	}
	return fmt.Sprintf("%s (%s) over fleet %s in %s", cmp.Or(o.ImageName, "image"), o.ImageID, o.Fleet, o.Place())
}

func cellsOf(s *rollout.State, ids []string) []report.Stand {
	cells := make([]report.Stand, 0, len(ids))
	for _, id := range ids {
		if d := s.Desktops[id]; d != nil {
			cells = append(cells, report.StandOf(d))
		}
	}
	return cells
}

// toCome are the waves that have not begun: how many will be in them is known
// as far as the fleet does not change.
func toCome(s *rollout.State, fleets fleet.Fleets) []bar {
	if len(s.Waves) == 0 || s.Closed {
		return nil
	}
	at := slices.IndexFunc(fleets, func(f fleet.Fleet) bool { return f.Name == s.Operation.Fleet })
	if at < 0 {
		return nil
	}
	ends := fleets[at].Strategy.WaveEnds(s.Size, len(s.Waves[0].Desktops))
	had := len(s.Desktops)
	var out []bar
	for n := s.Waves[len(s.Waves)-1].N; n < len(ends); n++ {
		size := ends[n] - had
		if size <= 0 {
			continue
		}
		had = ends[n]
		label := fmt.Sprintf("%d wave %d", n+1, n+1)
		if n == len(ends)-1 {
			label = fmt.Sprintf("%d everybody", n+1)
		}
		out = append(out, bar{label: label, cells: slices.Repeat([]report.Stand{report.Pending}, size)})
	}
	return out
}

// standing says in a sentence how a rollout stands.
func standing(s *rollout.State, zone *time.Location) (string, ink) {
	switch {
	case s.Closed && s.Aborted != "":
		return "aborted by " + s.Aborted, redInk
	case s.Closed && s.Superseded != "":
		return "superseded by " + s.Superseded, pinkInk
	case s.Closed:
		return "completed " + dayTime(s.ClosedAt, zone) + ", " + span(s.ClosedAt.Sub(s.OpenedAt)) + " after it began", greenInk
	case s.Aborted != "":
		return "aborted by " + s.Aborted + "; what was begun is followed to its end", redInk
	case s.Superseded != "":
		return "superseded by " + s.Superseded + "; what was begun is followed to its end", pinkInk
	case s.Halted != nil:
		return "halted: " + s.Halted.Message, redInk
	case s.Paused != "":
		return "paused by " + s.Paused, yellowInk
	case s.Waiting != nil:
		return "waiting: " + reasonText(s.Waiting, zone), yellowInk
	}
	c := s.Counts()
	return fmt.Sprintf("under way: %s", cmp.Or(countsText(c), "nothing yet")), cyanInk
}

// reasonText says why something waits, and until when.
func reasonText(r *events.Reason, zone *time.Location) string {
	text := whyText(r)
	if r.Until != nil {
		text += " until " + dayTime(*r.Until, zone)
	}
	return text
}

// whyText says why something waits, in few words.
func whyText(r *events.Reason) string {
	if r.Code == events.CodeWindowClosed {
		return "the maintenance window is closed"
	}
	return r.Message
}

// heardPanel shows what was told of an operation that no journal is there of.
func heardPanel(id string, statuses map[string]events.Status) panel {
	b := bar{label: id}
	for _, desktop := range slices.Sorted(maps.Keys(statuses)) {
		b.cells = append(b.cells, standFor(statuses[desktop]))
	}
	return panel{request: true, title: id, bars: []bar{b}}
}

// A board is all that is seen at one moment.
type board struct {
	now        time.Time
	zone       *time.Location
	rate, base float64
	real       time.Duration
	title      string
	panels     []panel
	newest     []line // oldest first
	calls      int
	wipes      int
	watched    bool // it shows a real journal: no speed, wipes and calls are known
}

func (b *board) add(p panel) { b.panels = append(b.panels, p) }

// Sizes of a board.
const (
	minWidth   = 60
	labelWidth = 16
	tallyWidth = 9
	noteWidth  = 17
	minTable   = 4 // lines of the table that are kept however many panels there are

	maxRequests = 6 // that are shown, unless more are open
)

// lines returns the board as it is to be written, cut to the width. The height
// decides how much of the table is shown; 0 shows none of it.
func (b board) lines(width, height int, p palette) []string {
	width = max(width, minWidth)
	out := b.header(width, p)
	panels := b.panelLines(width, p)
	foot := b.footer(width, p)
	if height == 0 {
		return slices.Concat(out, panels, foot)
	}
	room := height - len(out) - len(foot) - minTable - 2
	if len(panels) > room {
		panels = panels[max(0, len(panels)-max(room, 0)):]
	}
	out = append(out, panels...)
	t := table{zone: b.zone, width: width, palette: p}
	out = append(out, "", t.head())
	room = max(0, height-len(out)-len(foot))
	shown := b.newest[max(0, len(b.newest)-room):]
	for _, l := range shown {
		out = append(out, t.row(l))
	}
	for range room - len(shown) {
		out = append(out, "")
	}
	out = append(out, foot...)
	return out[:min(len(out), height)]
}

func (b board) header(width int, p palette) []string {
	clock := b.now.In(b.zone).Format("Mon 2 Jan 15:04:05 MST")
	name, speed := "regild local", fmt.Sprintf("×%.0f", b.rate)
	switch {
	case b.watched:
		name, speed = "regild watch", b.zone.String()
	case b.base > 0 && b.rate > b.base*1.01:
		speed = fmt.Sprintf("»»» ×%.0f", b.rate)
	}
	left := name + "  " + clock + "  " + speed
	took := span(b.real)
	return []string{
		p.paint(boldInk, name) + "  " + p.paint(cyanInk, clock) + "  " + p.paint(dimInk, speed) +
			p.paint(dimInk, lead(took, max(0, width-columnsOf(left)))),
		cut(escape.Terminal(b.title), width),
	}
}

// panelLines shows the requests together and each rollout for itself.
func (b board) panelLines(width int, p palette) []string {
	var out []string
	room := b.barRoom(width)
	if requests, more := b.requests(); len(requests) > 0 {
		out = append(out, "", p.paint(boldInk, "requests"))
		for _, r := range requests {
			out = append(out, r.line(width, room, p))
		}
		if more > 0 {
			out = append(out, p.paint(dimInk, fmt.Sprintf("  and %d more that are finished", more)))
		}
	}
	for _, x := range b.panels {
		if x.request {
			continue
		}
		title := cut(escape.Terminal(x.title), width)
		out = append(out, "", p.paint(boldInk, title)+"  "+p.paint(dimInk, cut(escape.Terminal(x.detail), width-2-columnsOf(title))))
		for _, r := range x.bars {
			out = append(out, r.line(width, room, p))
		}
		out = append(out, "  "+p.paint(x.ink, cut(escape.Terminal(x.state), width-2)))
	}
	return out
}

// requests returns the bars of the requests that are shown, those that are open
// first in line, and how many finished ones are not.
func (b board) requests() (shown []bar, more int) {
	for _, x := range b.panels {
		if x.request {
			shown = append(shown, x.bars...)
		}
	}
	all := len(shown)
	shown = slices.DeleteFunc(shown, func(r bar) bool {
		drop := more < all-maxRequests && r.over()
		if drop {
			more++
		}
		return drop
	})
	return shown, more
}

// barRoom is how wide the longest bar is drawn.
func (b board) barRoom(width int) int {
	longest := 0
	for _, x := range b.panels {
		for _, r := range x.bars {
			longest = max(longest, len(r.cells))
		}
	}
	return max(10, min(longest, width-2-labelWidth-1-tallyWidth-2-2-noteWidth))
}

// line draws a bar: a cell for each desktop in its place, or, where there are
// more than fit, a share of the room for each kind.
func (b bar) line(wide, room int, p palette) string {
	n := b.counts()
	done := len(b.cells) - n[report.Running] - n[report.Waiting] - n[report.Pending]
	tally := lead(fmt.Sprintf("%d/%d", done, len(b.cells)), tallyWidth)
	var drawn strings.Builder
	used := min(len(b.cells), room)
	if len(b.cells) <= room {
		for from := 0; from < len(b.cells); { // neighbours alike are painted together
			to := from
			for to < len(b.cells) && b.cells[to] == b.cells[from] {
				to++
			}
			drawn.WriteString(cells(b.cells[from], to-from, p))
			from = to
		}
	} else {
		columns := shares(n, room)
		for _, stand := range report.Stands {
			drawn.WriteString(cells(stand, columns[stand], p))
		}
	}
	line := "  " + pad(escape.Terminal(b.label), labelWidth) + " " + tally + "  " + drawn.String()
	if b.note == "" {
		return line
	}
	free := wide - 2 - labelWidth - 1 - tallyWidth - 2 - room - 2
	return line + strings.Repeat(" ", room-used+2) + p.paint(dimInk, cut(escape.Terminal(b.note), free))
}

// cells draws so many of one kind.
func cells(s report.Stand, n int, p palette) string {
	return p.paint(looks[s].ink, strings.Repeat(looks[s].sign, n))
}

// shares says how many columns the desktops get that stand at each place. Nobody who
// is there is left out, as far as there is room.
func shares(n map[report.Stand]int, room int) map[report.Stand]int {
	all, most := 0, 0
	for _, k := range n {
		all, most = all+k, max(most, k)
	}
	if all <= room {
		return n
	}
	out, left := map[report.Stand]int{}, room
	give := func(s report.Stand, k int) {
		k = min(k, left)
		out[s] += k
		left -= k
	}
	for _, s := range report.Stands {
		give(s, min(n[s], 1))
	}
	free := left
	for _, s := range report.Stands {
		give(s, n[s]*free/all)
	}
	for _, s := range report.Stands { // what rounding left goes to the largest
		if n[s] == most {
			give(s, left)
		}
	}
	return out
}

// footer is the legend with the totals.
func (b board) footer(width int, p palette) []string {
	n, all := map[report.Stand]int{}, 0
	for _, x := range b.panels {
		for _, r := range x.bars {
			for s, k := range r.counts() {
				n[s] += k
				all += k
			}
		}
	}
	var parts, plain []string
	for _, s := range report.Stands {
		if n[s] > 0 {
			text := fmt.Sprintf("%s %d %s", looks[s].sign, n[s], s)
			parts, plain = append(parts, p.paint(looks[s].ink, text)), append(plain, text)
		}
	}
	legend := strings.Join(parts, "  ")
	if columnsOf(strings.Join(plain, "  ")) > width {
		legend = cut(strings.Join(plain, "  "), width)
	}
	totals := fmt.Sprintf("%d desktops, %d wipes, %d API calls", all, b.wipes, b.calls)
	if b.watched {
		totals = fmt.Sprintf("%d desktops; q ends it", all)
	}
	return []string{"", legend, p.paint(dimInk, cut(totals, width))}
}

// totals adds up calls.
func totals(calls map[[2]string]int) int {
	all := 0
	for _, n := range calls {
		all += n
	}
	return all
}
