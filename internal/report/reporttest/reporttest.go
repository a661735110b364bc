// Package reporttest makes up journals for tests and pictures: what a function
// would have written of a rollout of any size in which a good deal happened. It
// is not for production.
package reporttest

import (
	"fmt"
	"slices"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// Start is when everything begins: a Monday, 16:00 in Hangzhou, four hours
// before the window opens.
var Start = time.Date(2026, 11, 23, 8, 0, 0, 0, time.UTC)

// Hangzhou is the time zone of the fleets.
var Hangzhou = time.FixedZone("Asia/Shanghai", 8*3600)

// Images before and after.
const (
	OldImage = "m-84mztzatmlnys0000"
	NewImage = "m-84mztzatmlnys0001"
)

// Hostile is text that somebody could put where names and messages come from.
const Hostile = `<img src=x onerror="window.hacked=1"><script>window.hacked=1</script>"'&</script><!--` + "\u202e\x1b[31m\u0000${`x`}{{.}}"

// Options say what kind of journal it is to be. The zero value is a rollout over
// 40 desktops that has ended well, but for a few.
type Options struct {
	ID      string // 2026.11.3/office if empty
	Size    int    // desktops; 40 if 0
	Until   Moment // how far it is
	Hostile bool   // names, reasons and messages try to break out
}

// A Moment is how far a rollout is.
type Moment int

// The moments of the story that every rollout here goes through.
const (
	Ended    Moment = iota // all waves are over
	Approval               // the canary is over, and somebody has to approve it
	Halted                 // too many failed in wave 2
	Underway               // the last wave is being rebuilt
)

// Rollout returns the records of a rollout. A canary of a twentieth waits for
// the window and for an approval; wave 2 halts and is resumed; the last wave is the
// rest, with a pause in the middle. Batches of 20 begin a minute apart. One desktop
// in ten ends otherwise than completed.
func Rollout(o Options) []rollout.Record {
	if o.ID == "" {
		o.ID = "2026.11.3/office"
	}
	if o.Size == 0 {
		o.Size = 40
	}
	b := &book{o: o, at: Start, final: map[string]string{}}
	b.tell()
	b.publishEvents()
	return b.records
}

// Request returns the records of a request for so many desktops that has ended.
func Request(id string, size int) []rollout.Record {
	b := &book{o: Options{ID: id, Size: size}, at: Start, final: map[string]string{}}
	ids := b.ids(0, size)
	b.write(rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: id, Desktops: ids,
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: NewImage}}})
	b.rebuild(ids)
	b.close()
	return b.records
}

// Open returns the records of a request that has just come.
func Open(id string, size int) []rollout.Record {
	b := &book{o: Options{ID: id, Size: size}, at: Start}
	return append(b.records, rollout.Record{Kind: rollout.KindOpened, At: Start, Operation: &rollout.Operation{ID: id, Desktops: b.ids(0, size),
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: NewImage}}})
}

// Fleet returns the records of a fleet's log in which the rollouts were entered,
// oldest first.
func Fleet(name string, rollouts ...string) []rollout.Record {
	var out []rollout.Record
	for i, id := range rollouts {
		release, _, _ := rollout.SplitID(id)
		out = append(out, rollout.Record{Kind: rollout.KindOpened, At: Start.Add(time.Duration(i) * time.Minute), Operation: &rollout.Operation{ID: id, Fleet: name, ReleaseID: release,
			ImageName: "win11-office", Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: NewImage}}})
	}
	return out
}

// A book is a journal that is being written.
type book struct {
	o       Options
	at      time.Time
	calls   int
	records []rollout.Record
	final   map[string]string // ids of final outcomes, by desktop
}

func (b *book) write(r rollout.Record) {
	r.At, r.By = b.at, "1-6a2b3c4d"
	b.records = append(b.records, r)
}

func (b *book) wait(d time.Duration) { b.at = b.at.Add(d) }

func (b *book) ids(from, to int) []string {
	var out []string
	for i := from; i < to; i++ {
		out = append(out, b.id(i))
	}
	return out
}

func (b *book) id(i int) string {
	if b.o.Hostile && i == 0 {
		return "ecd-" + Hostile
	}
	return fmt.Sprintf("ecd-gx2x1dhsmucy%05d", i+1)
}

func (b *book) text(s string) string {
	if b.o.Hostile {
		return s + " " + Hostile
	}
	return s
}

func (b *book) tell() {
	release, fleet, _ := rollout.SplitID(b.o.ID)
	b.write(rollout.Record{Kind: rollout.KindOpened, Operation: &rollout.Operation{ID: b.o.ID, Fleet: fleet, ReleaseID: release, ImageName: b.text("win11-office"),
		ImageMade: Start.Add(-time.Hour), By: b.text("release-pipeline"), Consents: []string{"sessions"},
		Spec: desktop.Spec{RegionID: "cn-hangzhou", ImageID: NewImage, AfterStatus: "Running"}}})
	canary, second := max(1, b.o.Size/20), max(2, b.o.Size/2)
	b.wave(1, "canary", 0, canary)
	opens := Start.Add(4 * time.Hour)
	b.write(rollout.Record{Kind: rollout.KindWaiting, Reason: &events.Reason{Code: events.CodeWindowClosed, Message: "the maintenance windows are closed", Until: &opens}})
	b.at = opens
	b.rebuild(b.ids(0, canary))
	b.write(rollout.Record{Kind: rollout.KindWaveEnded, Wave: 1})
	b.write(rollout.Record{Kind: rollout.KindWaiting, Reason: &events.Reason{Code: events.CodeApprovalAwaited, Message: "wave 1 (canary) is finished; somebody has to approve it"}})
	if b.o.Until == Approval {
		return
	}
	b.wait(23 * time.Minute)
	b.say(events.ActionApprove, "li.na@example.com", "looked at two of them, printing works")
	b.wave(2, "wave 2", canary, second)
	b.rebuild(b.ids(canary, second))
	b.write(rollout.Record{Kind: rollout.KindHalted, Reason: &events.Reason{Code: events.CodeTooManyFailures, Message: b.text("2 of the desktops of wave 2 have failed, 1 may")}})
	if b.o.Until == Halted {
		return
	}
	b.wait(41 * time.Minute)
	b.say(events.ActionResume, "wang.wei@example.com", "both have a broken disk, the image is fine")
	b.write(rollout.Record{Kind: rollout.KindWaveEnded, Wave: 2})
	b.write(rollout.Record{Kind: rollout.KindWaiting, Reason: &events.Reason{Code: events.CodeSoaking, Message: "wave 2 soaks for 30m0s"}})
	b.wait(30 * time.Minute)
	b.wave(3, "everybody", second, b.o.Size)
	last := b.ids(second, b.o.Size)
	half := len(last) / 2
	b.rebuild(last[:half])
	b.say(events.ActionPause, "chen@example.com", "the file server is being restarted")
	b.wait(35 * time.Minute)
	b.say(events.ActionResume, "chen@example.com", "it is back")
	if b.o.Until == Underway {
		for from := half; from < len(last)-5; from += desktop.MaxBatch {
			b.begin(last[from:min(from+desktop.MaxBatch, len(last)-5)])
		}
		return
	}
	b.rebuild(last[half:])
	b.write(rollout.Record{Kind: rollout.KindWaveEnded, Wave: 3})
	b.close()
}

func (b *book) wave(n int, name string, from, to int) {
	b.write(rollout.Record{Kind: rollout.KindWave, Wave: n, Waves: 3, Name: name, Size: b.o.Size, Desktops: b.ids(from, to)})
}

func (b *book) say(action, who, why string) {
	b.write(rollout.Record{Kind: rollout.KindControl, Action: action, Who: b.text(who), Message: fmt.Sprint("control-", len(b.records)),
		Reason: &events.Reason{Code: events.CodeSuccess, Message: b.text(why)}})
}

// begin begins a batch and has ECD accept it.
func (b *book) begin(batch []string) string {
	b.calls++
	call, id := fmt.Sprint("call-", b.calls), fmt.Sprintf("1CBAFFAB-B697-4049-A9B1-%012d", b.calls)
	from := make([]string, len(batch))
	for i := range from {
		from[i] = OldImage
	}
	b.write(rollout.Record{Kind: rollout.KindBegun, Call: call, Desktops: batch, From: from})
	b.write(rollout.Record{Kind: rollout.KindEnded, Call: call, RequestID: id, Outcomes: []rollout.Group{{Status: events.StatusAccepted, Code: events.CodeSuccess, Desktops: batch}}})
	b.published(events.StatusAccepted, batch...)
	return id
}

// rebuild takes desktops to their ends.
func (b *book) rebuild(ids []string) {
	first, end := len(b.records), b.at
	for from := 0; from < len(ids); from += desktop.MaxBatch {
		batch := ids[from:min(from+desktop.MaxBatch, len(ids))]
		var calling, failing []string
		for i, id := range batch {
			switch n := from + i; {
			case n%40 == 7:
				b.settle(events.StatusSkipped, events.CodeAlreadyOnImage, b.text("desktop "+id+" is on "+NewImage+" already"), id)
			case n%40 == 11:
				b.settle(events.StatusRefused, events.CodeDataDiskNeedsConsent, "desktop "+id+" has a data disk, which would be replaced", id)
			default:
				if n%40 == 13 {
					b.settle(events.StatusDeferred, events.CodeSessionWait, "somebody is using desktop "+id, id)
				}
				if n%40 == 3 || n%40 == 16 {
					failing = append(failing, id)
				}
				calling = append(calling, id)
			}
		}
		b.begin(calling)
		begun := b.at
		failed := map[string]bool{}
		for _, id := range failing {
			failed[id] = true
		}
		// Looks come a minute apart; some desktops take longer than others.
		for minute := range 40 {
			var done []string
			for i, id := range calling {
				if !failed[id] && b.minutes(from+i) == minute {
					done = append(done, id)
				}
			}
			if len(done) > 0 {
				b.at = begun.Add(time.Duration(minute) * time.Minute)
				b.settle(events.StatusCompleted, events.CodeCompleted, "", done...)
				end = later(end, b.at)
			}
		}
		b.at = begun.Add(19 * time.Minute)
		for i, id := range failing {
			if i%2 == 0 {
				b.settle(events.StatusFailed, events.CodeRebuildFailed, b.text("ECD records that the rebuild of "+id+" failed: the system disk could not be created"), id)
			} else {
				b.settle(events.StatusFailed, events.CodeCheckFailed, "the check on "+id+" ended with exit code 1: print spooler not running", id)
			}
		}
		end = later(end, b.at)
		b.at = begun.Add(time.Minute)
	}
	b.at = end
	slices.SortStableFunc(b.records[first:], func(a, b rollout.Record) int { return a.At.Compare(b.At) })
}

// minutes is how long the n-th desktop of some takes: mostly about ten minutes,
// a few a good deal longer.
func (b *book) minutes(n int) int {
	n = n*2654435761%1000 + b.calls
	return 7 + n%4 + n/5%4 + n/7%3 + n%37/35*9
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

func (b *book) settle(status events.Status, code, message string, ids ...string) {
	b.write(rollout.Record{Kind: rollout.KindSettled, Outcomes: []rollout.Group{{Status: status, Code: code, Message: message, Desktops: ids}}})
	b.published(status, ids...)
	if status == events.StatusDeferred {
		return
	}
	for _, id := range ids {
		b.final[id] = rollout.OutcomeID(b.o.ID, id, status, 1)
	}
}

func (b *book) published(status events.Status, ids ...string) {
	b.write(rollout.Record{Kind: rollout.KindPublished, Outcomes: []rollout.Group{{Status: status, Desktops: ids}}})
}

// publishEvents has MNS take all events of the rollout as a whole.
func (b *book) publishEvents() {
	s := rollout.NewState()
	s.Apply(b.records...)
	var ids []string
	for _, n := range s.UnpublishedEvents {
		ids = append(ids, n.ID())
	}
	b.write(rollout.Record{Kind: rollout.KindPublished, Events: ids})
}

func (b *book) close() {
	ids := make([]string, 0, len(b.final))
	for _, id := range b.final {
		ids = append(ids, id)
	}
	b.write(rollout.Record{Kind: rollout.KindClosed, Digest: events.Digest(ids)})
}

// Lines returns records as the lines of a journal.
func Lines(records []rollout.Record) []byte {
	lines, err := rollout.Encode(records)
	if err != nil { // records of this package can be encoded
		panic(err)
	}
	return lines
}
