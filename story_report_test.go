package main_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/regild/regild/internal/localcloud"
	"github.com/regild/regild/internal/page"
	"github.com/regild/regild/internal/report"
	"github.com/regild/regild/internal/rollout"
)

// misreported says what the report of a story's journals tells otherwise than the
// journals do: every story ends with this, whatever it is about.
func (w *world) misreported() []string {
	var faults []string
	for _, key := range w.cloud.OSS.Keys(localcloud.JournalBucket) {
		name := strings.TrimPrefix(key, localcloud.JournalPrefix+"/")
		lines, ok := w.cloud.OSS.Object(localcloud.JournalBucket, key)
		if !ok || !strings.HasPrefix(name, "rollout/") && !strings.HasPrefix(name, "request/") {
			continue
		}
		records, err := rollout.Decode(lines)
		if err != nil {
			continue // a story about a damaged journal
		}
		if err := holdReport(records, lines); err != nil {
			faults = append(faults, fmt.Sprintf("the report of %s: %v", name, err))
		}
	}
	return faults
}

func holdReport(records []rollout.Record, lines []byte) error {
	s := rollout.NewState()
	s.Apply(records...)
	if s.Operation == nil {
		return nil
	}
	if e := rollout.EndingIn(lines); e != nil && !reflect.DeepEqual(sameTimes(e), sameTimes(s.Ending())) {
		return fmt.Errorf("it says that it came out as %+v, and it came out as %+v", e, s.Ending())
	}
	// One that somebody took back afterwards is folded.
	if s.Closed && s.Quiet() && records[len(records)-1].Kind == rollout.KindPublished && rollout.EndingIn(lines) == nil {
		return errors.New("it has ended, and does not say at its end how it came out")
	}
	r, err := report.Of(lines)
	if err != nil {
		return err
	}
	counts := s.Counts()
	for _, stand := range report.Stands {
		n := 0
		for _, d := range r.Desktops {
			if d.Stand == stand {
				n++
			}
		}
		if want := stand.Of(counts); n != want && (stand != report.Pending || n > want) { // some of the fleet may not have come
			return fmt.Errorf("%d desktops are %s, the journal has %d", n, stand, want)
		}
	}
	if r.Closed && !r.Digest.Agrees() {
		return fmt.Errorf("the digest is %s, over %d outcomes counted as %s", r.Digest.Written, r.Digest.N, r.Digest.Counted)
	}
	for _, lang := range page.Langs {
		if err := page.Report(new(bytes.Buffer), r, page.Extras{}, page.Options{Lang: lang, Now: r.Last}); err != nil {
			return err
		}
	}
	return nil
}

// sameTimes is an ending as JSON has it, so that equal times are equal.
func sameTimes(e *rollout.Ending) any {
	text, err := json.Marshal(e)
	var v any
	return []any{json.Unmarshal(text, &v), err, v}
}
