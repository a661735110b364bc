package rollout

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
)

// A form is what the records of one kind have, and how they are folded.
type form struct {
	// fields are the names in JSON of the fields that a record has besides v, kind,
	// at and by; a ? behind a name says that it may be left out.
	fields string
	// fold adds a record to the state. It is nil for records of other logs.
	fold func(*State, *Record)
}

// What several kinds have, and how they are folded.
const (
	someDesktops = "desktops"
	anAct        = "call? desktops"
	anEndOfCall  = "call desktops invoke? reason?"
	aWord        = "action who? wave? reason? message? event? via?"
)

var (
	foldMark   = each((*Desktop).mark)
	foldAct    = each((*Desktop).act)
	foldNotice = each((*Desktop).notice)
	foldAsk    = each((*Desktop).ask)
	foldSave   = each((*Desktop).save)
)

// forms has every kind of record.
var forms = map[Kind]form{
	KindOpened:     {"work message? event?", (*State).takeOn},
	KindBack:       {"name desktops", (*State).takeBack},
	KindUnplanned:  {"name digest message? event? reason?", (*State).refusePlan},
	KindWave:       {"wave waves size name desktops? of?", (*State).beginWave},
	KindWaveEnded:  {"wave", (*State).endWave},
	KindBegun:      {"call desktops from?", (*State).begun},
	KindEnded:      {"call outcomes ecdRequestId?", (*State).outcomes},
	KindSettled:    {"outcomes ecdRequestId?", (*State).outcomes},
	KindPublished:  {"outcomes? upTo? n? news? ending?", (*State).published},
	KindTick:       {"n until again? indexed?", (*State).tick},
	KindNotBegun:   {someDesktops, foldMark},
	KindSeen:       {someDesktops, foldMark},
	KindLate:       {someDesktops, foldMark},
	KindArrived:    {someDesktops, (*State).arrived},
	KindMissing:    {someDesktops, foldMark},
	KindListed:     {someDesktops, foldMark},
	KindOutside:    {someDesktops, foldMark},
	KindIdle:       {someDesktops, foldMark},
	KindChecking:   {"call desktops", foldMark},
	KindHolding:    {anAct, foldAct},
	KindHeld:       {anAct, foldAct},
	KindReleasing:  {anAct, foldAct},
	KindReleased:   {anAct, foldAct},
	KindStopping:   {anAct, foldAct},
	KindStarting:   {anAct, foldAct},
	KindStarted:    {anAct, foldAct},
	KindNotifying:  {"call desktops n until?", foldNotice},
	KindSent:       {anEndOfCall, foldNotice},
	KindNotified:   {someDesktops, foldNotice},
	KindUnnotified: {someDesktops, foldNotice},
	KindAsking:     {"call desktops", foldAsk},
	KindAsked:      {anEndOfCall, foldAsk},
	KindCleared:    {someDesktops, foldAsk},
	KindNotNow:     {someDesktops, foldAsk},
	KindUnasked:    {someDesktops, foldAsk},
	KindOnHold:     {someDesktops, foldAsk},
	KindWaiting:    {"reason rings?", (*State).waiting},
	KindHalted:     {"reason action?", (*State).halted},
	KindControl:    {aWord, (*State).control},
	KindRefused:    {"action? name? who? wave? reason? message? event? via?", (*State).refuse},
	KindSuperseded: {"who reason?", (*State).superseded},
	KindUndoing:    {"work message? event?", (*State).takenBack},
	KindGoingBack:  {"", (*State).backOut},
	KindStays:      {"reason", (*State).backOut},
	KindFreeze:     {"name until regions? fleets? who? reason? message? event? via?", nil},
	KindLift:       {"name who? reason? message? event? via?", nil},
	KindUse:        {"wave use", func(s *State, r *Record) { s.Use = r.Use }},
	KindAlarms:     {"alarms", func(s *State, r *Record) { s.Alarms = r.Alarms }},
	KindSaving:     {"call desktops n", foldSave},
	KindSaved:      {"call desktops snapshot? reason?", foldSave},
	KindUnsaved:    {someDesktops, foldSave},
	KindSafe:       {"desktops n snapshot gib?", foldSave},
	KindClosed:     {"digest reason?", (*State).close},
}

// Kinds returns every kind of record, sorted.
func Kinds() []Kind { return slices.Sorted(maps.Keys(forms)) }

// Fields returns the fields that a record of the kind has, by their names in JSON:
// those that every record has, and those that it may have.
func (k Kind) Fields() (required, optional []string) {
	required = []string{"v", "kind", "at"}
	optional = []string{"by"}
	for _, name := range strings.Fields(forms[k].fields) {
		if name, may := strings.CutSuffix(name, "?"); may {
			optional = append(optional, name)
		} else {
			required = append(required, name)
		}
	}
	return required, optional
}

// Check says what is wrong with the fields of a record of a known kind, or nil. A
// record is read all the same: an earlier or a later build may have written it.
func (r Record) Check() error {
	if _, known := forms[r.Kind]; !known {
		return nil
	}
	required, optional := r.Kind.Fields()
	v := reflect.ValueOf(r)
	for f := range v.Type().Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch empty := v.FieldByIndex(f.Index).IsZero(); {
		case empty && slices.Contains(required, name):
			return fmt.Errorf("record %s has no %s", r.Kind, name)
		case !empty && !slices.Contains(required, name) && !slices.Contains(optional, name):
			return fmt.Errorf("record %s has %s, which records of its kind do not have", r.Kind, name)
		}
	}
	return nil
}
