package ecd

import (
	"fmt"
	"testing"
	"unicode/utf8"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/pace"
)

// Whatever bytes arrive, nothing panics, nothing is taken for an accepted
// rebuild that was not asked for, and what is passed on is bounded UTF-8.
func FuzzAnswers(f *testing.F) {
	for _, seed := range []string{
		`{"RequestId":"REQ-1","RebuildResults":[{"DesktopId":"ecd-1","Code":"success","Message":"ok"}]}`,
		`{"RequestId":"REQ-1","Desktops":[{"DesktopId":"ecd-1","Disks":[{"DiskType":"DATA","DiskSize":"1e9"}],"GpuCategory":true,"Sessions":[null,{}]}],"NextToken":"x"}`,
		`{"RequestId":"REQ-1","Images":[{"ImageId":"m-1","Size":1e400,"CreationTime":"2020-11-06T08:28Z"}]}`,
		`{"RequestId":"REQ-1","ImageModifiedRecords":[{"Status":1,"UpdateTime":"2022-03-03T02:43:44.851Z"}]}`,
		`{"RequestId":"REQ-1","Snapshots":[null,{"SnapshotId":1,"DesktopId":"ecd-1","SourceDiskType":"DATA","SnapshotType":"AUTO","CreationTime":"2020-12-20T14:52:28Z"}]}`,
		`{"RequestId":1,"Code":{"a":[]},"Message":null}`,
		errorBody("Throttling.User"), `<html>`, ``, `[]`, `{}`, "{\"RequestId\":\"\xff\"}",
	} {
		f.Add(200, []byte(seed))
		f.Add(400, []byte(seed))
	}
	f.Fuzz(func(t *testing.T, status int, body []byte) {
		answer := pace.Answer{Status: status, Body: body}
		_, id, err := read[acknowledged]("X", keys, answer)
		if err == nil && (status != 200 || id == "") {
			t.Errorf("status %d and request id %q pass for success", status, id)
		}
		if err != nil && (!utf8.ValidString(err.Error()) || len(err.Error()) > 4096) {
			t.Errorf("error of %d bytes: %q", len(err.Error()), err)
		}
		// What every answer has is read with the rest, and says the same as by itself.
		if page, pageID, pageErr := read[describedDesktops]("X", keys, answer); pageID != id || (err != nil) && fmt.Sprint(pageErr) != fmt.Sprint(err) {
			t.Errorf("with the rest: id %q and %v, by itself: id %q and %v", pageID, pageErr, id, err)
		} else if pageErr != nil && page.Desktops != nil {
			t.Errorf("an answer that failed (%v) shows %d desktops", pageErr, len(page.Desktops))
		}
		if r, err := decode[rebuilt](body); err == nil {
			for _, result := range results("RebuildDesktops", []string{"ecd-1"}, r) {
				if result.DesktopID != "ecd-1" || result.Code == "" {
					t.Errorf("result %+v was not asked for", result)
				}
			}
		}
		if p, err := decode[describedDesktops](body); err == nil {
			for _, d := range p.Desktops {
				if d == nil {
					continue
				}
				if got := d.desktop(region); got.SystemDiskGiB < 0 && got.DataDisks < 0 || got.GPU && got.GPUUnknown {
					t.Errorf("desktop %+v", got)
				}
			}
		}
		if p, err := decode[describedImages](body); err == nil {
			for _, i := range p.Images {
				if got := i.image(region); got.GPU && got.GPUUnknown {
					t.Errorf("image %+v", got)
				}
			}
		}
		if p, err := decode[modifiedRecords](body); err == nil {
			for _, r := range p.ImageModifiedRecords {
				_, _ = changeState(r.Status), parseTime(r.UpdateTime)
			}
		}
		if p, err := decode[describedInvocations](body); err == nil {
			for _, i := range p.Invocations {
				for _, d := range i.InvokeDesktops {
					if s := output(d.Output, d.ErrorInfo); len(s) > 3*maxOutput || !utf8.ValidString(s) {
						t.Errorf("output of %d bytes", len(s))
					}
				}
			}
		}
		_, _ = decode[listedTags](body)
		_, _ = decode[describedSnapshots](body)
	})
}

func FuzzMessage(f *testing.F) {
	f.Add("seen LTAItest\n\x00\xff")
	f.Fuzz(func(t *testing.T, s string) {
		got := pace.Message(s, credentials.Keys{})
		if !utf8.ValidString(got) || len(got) > 600 {
			t.Errorf("got %q", got)
		}
	})
}
