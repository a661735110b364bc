package ecd

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/regild/regild/internal/credentials"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/pace"
)

type rebuilt struct {
	envelope
	RebuildResults list[struct {
		DesktopID text `json:"DesktopId"`
		Code      text
		Message   text
	}]
}

// Rebuild asks ECD once to rebuild the desktops of b, and tells what it
// answered for each, in b's order. A desktop that ECD answered nothing readable
// about is missing from the answer: its delivery is unknown.
//
// The call is made again only while it certainly was not carried out (it was
// throttled or did not arrive) and ctx leaves time for it. Every error is a
// *desktop.CallError; when its Delivery is Unknown, any desktop of b may be on its
// way to being wiped. Source: RebuildDesktops.
func (c *Client) Rebuild(ctx context.Context, b desktop.Batch) (desktop.Answer, error) {
	const api = "RebuildDesktops"
	if err := checkBatch(b); err != nil {
		return desktop.Answer{}, &desktop.CallError{Call: api, Delivery: desktop.Refused, Message: err.Error(), Err: err}
	}
	req := &sdk.RebuildDesktopsRequest{
		RegionId: &b.RegionID, DesktopId: pointers(b.IDs),
		ImageId: set(b.ImageID), OperateType: set(b.OperateType), Language: set(b.Language), AfterStatus: set(b.AfterStatus),
	}
	body, requestID, err := ask[rebuilt](ctx, c, &c.in(b.RegionID).rebuilds, api, b.RegionID,
		func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
			_, err := s.RebuildDesktopsWithContext(ctx, req, o)
			return err
		})
	if err != nil {
		return desktop.Answer{}, err
	}
	return desktop.Answer{RequestID: requestID, Results: results(api, b.IDs, body)}, nil
}

func checkBatch(b desktop.Batch) error {
	if len(b.IDs) == 0 || len(b.IDs) > desktop.MaxBatch {
		return fmt.Errorf("a batch has 1 to %d desktops, not %d", desktop.MaxBatch, len(b.IDs))
	}
	seen := map[string]bool{"": true}
	for _, id := range b.IDs {
		if seen[id] {
			return fmt.Errorf("desktop %q is empty or twice in a batch", id)
		}
		seen[id] = true
	}
	return nil
}

// results keeps what was asked for. A result without a code says nothing, and
// nor do several that say different things of one desktop.
func results(api string, ids []string, body rebuilt) []desktop.Result {
	said := make(map[string]desktop.Result, len(body.RebuildResults))
	torn := map[string]bool{}
	for _, r := range body.RebuildResults {
		id := string(r.DesktopID)
		result := ResultOf(api, id, pace.Message(strings.TrimSpace(string(r.Code)), credentials.Keys{}))
		result.Message = pace.Message(string(r.Message), credentials.Keys{})
		if result.Code == "" {
			continue
		}
		earlier, twice := said[id]
		if twice && !strings.EqualFold(earlier.Code, result.Code) {
			torn[id] = true
		}
		said[id] = result
	}
	out := make([]desktop.Result, 0, len(said))
	for _, id := range ids {
		if r, ok := said[id]; ok && !torn[id] {
			out = append(out, r)
		}
	}
	return out
}

// ResultOf is what a code in the results of a 200 is taken for, by Table.
func ResultOf(api, id, code string) desktop.Result {
	r := desktop.Result{DesktopID: id, Code: code}
	r.Delivery, r.Throttled, _ = verdict(OfDesktop, api, http.StatusOK, code).delivery()
	return r
}

// set is the SDK's way to leave a parameter out: nil for "".
func set(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

func pointers(list []string) []*string {
	out := make([]*string, len(list))
	for i := range list {
		out[i] = &list[i]
	}
	return out
}
