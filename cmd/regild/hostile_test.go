package main

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
	"testing/quick"
	"time"
	"unicode"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/operator"
	"github.com/regild/regild/internal/rollout"
)

// poison puts a text behind every text of a value.
func poison(v reflect.Value, text string) {
	switch v.Kind() {
	case reflect.String:
		if v.CanSet() && v.Type() != reflect.TypeFor[rollout.Kind]() && v.Type() != reflect.TypeFor[events.Status]() {
			v.SetString(v.String() + text)
		}
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() {
			poison(v.Elem(), text)
		}
	case reflect.Slice:
		for i := range v.Len() {
			poison(v.Index(i), text)
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			return
		}
		for i := range v.NumField() {
			if v.Type().Field(i).IsExported() {
				poison(v.Field(i), text)
			}
		}
	}
}

// Whatever stands in the journal, in each of its texts: nothing that a terminal
// obeys is shown, by no command and in no form.
func TestNothingInAJournalCommandsATerminal(t *testing.T) {
	holds := func(text string) bool {
		text += "\x1b[2J\u009b\u202e\n\r\xff"
		records := records()
		for i := range records {
			poison(reflect.ValueOf(&records[i]), text)
		}
		s := stateOf(records)
		if len(s.Desktops) == 0 {
			t.Fatal("nothing was folded")
		}
		var out bytes.Buffer
		w := world{out: &out, err: &out}
		form := outputTable
		l := operator.Listing{Operations: []operator.Operation{operator.OperationOf(s)}}
		r, h := reportOf(s, records), history{ID: text, Entries: entriesOf(records)}
		answer := operator.Answer{Taken: text, Operation: operator.OperationOf(s)}
		b := board{now: start, zone: hangzhou, title: text}
		b.add(panelOf(s, office(t), hangzhou))
		lines, rows := tableOf(records), table{zone: hangzhou}
		b.newest = lines
		for _, show := range []func() []string{
			func() []string { return listLines(l, hangzhou) }, func() []string { return detailLines(s, hangzhou) },
			func() []string { return r.lines(hangzhou) }, func() []string { return h.lines(hangzhou) },
			func() []string { return answerLines("pause", answer, hangzhou) },
		} {
			_ = form.show(w, nil, show)
		}
		for _, l := range b.lines(120, 60, palette{}) {
			say(&out, "%s\n", l)
		}
		for _, l := range lines {
			say(&out, "%s\n", rows.row(l))
		}
		for _, action := range events.Actions {
			_ = confirm(t.Context(), w, true, operator.TouchOf(s, action, 0).Facts, text)
		}
		exitCode(w, rootCommand(w), endError{1, &operator.UnknownError{Kind: "rollout", ID: text}})
		return !strings.ContainsFunc(strings.ReplaceAll(out.String(), "\n", ""), func(r rune) bool { return !unicode.IsPrint(r) })
	}
	if err := quick.Check(holds, &quick.Config{MaxCount: 30}); err != nil {
		t.Error(err)
	}
}

// tableOf returns what the records tell, as watch does.
func tableOf(records []rollout.Record) []line {
	s := rollout.NewState()
	var out []line
	for _, r := range records {
		s.Apply(r)
		out = append(out, linesOf(s, r)...)
	}
	return out
}
