package ecd

import (
	"context"
	"fmt"
	"slices"
	"strings"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/regild/regild/internal/desktop"
)

// fewSnapshots is up to how many desktops are asked one by one for their
// snapshots, which is all that DescribeSnapshots takes; for more than that the
// region's are read once.
const fewSnapshots = 20

// Snapshots returns the snapshots of the desktops with the given ids, whole,
// still being made or failed, oldest first; each desktop has an entry, if only an empty
// one. An error means that some were not read, and nothing is returned. Source:
// DescribeSnapshots.
func (c *Client) Snapshots(ctx context.Context, region string, ids []string) (map[string][]desktop.Snapshot, error) {
	ids = distinct(ids)
	size := 1
	if len(ids) > fewSnapshots {
		size = len(ids)
	}
	found, err := gather(ctx, c, ids, size, func(ctx context.Context, chunk []string) (map[string][]desktop.Snapshot, error) {
		return c.listSnapshots(ctx, region, chunk)
	})
	if err != nil {
		return nil, fmt.Errorf("reading the snapshots of %d desktops in %s: %w", len(ids), region, err)
	}
	return found, nil
}

type describedSnapshots struct {
	envelope
	Snapshots list[struct {
		SnapshotID     text `json:"SnapshotId"`
		DesktopID      text `json:"DesktopId"`
		SnapshotType   text
		SourceDiskType text
		SnapshotName   text
		SourceDiskSize number
		Status         text
		Progress       text
		CreationTime   text
	}]
	NextToken text
}

// listSnapshots reads all pages of the snapshots of one desktop, or of a region
// for several.
func (c *Client) listSnapshots(ctx context.Context, region string, ids []string) (map[string][]desktop.Snapshot, error) {
	const api = "DescribeSnapshots"
	query := sdk.DescribeSnapshotsRequest{RegionId: &region, MaxResults: new(pageSize)}
	if len(ids) == 1 {
		query.DesktopId = &ids[0]
	}
	found := make(map[string][]desktop.Snapshot, len(ids))
	for _, id := range ids {
		found[id] = []desktop.Snapshot{}
	}
	err := pages(api, maxPages, func(token *string) (string, error) {
		query.NextToken = token
		page, _, err := ask[describedSnapshots](ctx, c, &c.in(region).reads, api, region,
			func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
				_, err := s.DescribeSnapshotsWithContext(ctx, &query, o)
				return err
			})
		for _, s := range page.Snapshots {
			id := string(s.DesktopID)
			if id == "" && len(ids) == 1 {
				id = ids[0] // it was asked for alone
			}
			if _, wanted := found[id]; !wanted {
				continue
			}
			found[id] = append(found[id], desktop.Snapshot{
				ID: string(s.SnapshotID), DesktopID: id,
				DataDisk: strings.EqualFold(string(s.SourceDiskType), "DATA"),
				Auto:     strings.EqualFold(string(s.SnapshotType), "AUTO"),
				Created:  parseTime(s.CreationTime), Name: string(s.SnapshotName), GiB: int(s.SourceDiskSize),
				State: snapshotState(string(s.Status), string(s.Progress)),
			})
		}
		return string(page.NextToken), err
	})
	for _, list := range found {
		slices.SortStableFunc(list, func(a, b desktop.Snapshot) int { return a.Created.Compare(b.Created) })
	}
	return found, err
}

// snapshotState takes a snapshot for complete only if status and progress both say
// so. Source: DescribeSnapshots, "Status", "Progress".
func snapshotState(status, progress string) desktop.SnapshotState {
	switch strings.ToUpper(strings.TrimSpace(status)) {
	case "ACCOMPLISHED":
		if strings.TrimSuffix(strings.TrimSpace(progress), "%") == "100" {
			return desktop.SnapshotDone
		}
		return desktop.SnapshotUnknown
	case "PROGRESSING":
		return desktop.SnapshotUnderWay
	case "FAILED":
		return desktop.SnapshotFailed
	}
	return desktop.SnapshotUnknown
}

// CreateSnapshot begins a snapshot of the desktop's data disk and returns its id.
// The call is not repeated when its delivery is unknown: whether there is a snapshot of
// that name shows in Snapshots.
func (c *Client) CreateSnapshot(ctx context.Context, region, id, name string) (string, error) {
	const api = "CreateSnapshot"
	body, requestID, err := ask[struct {
		envelope
		SnapshotID text `json:"SnapshotId"`
	}](ctx, c, &c.in(region).changes, api, region,
		func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
			_, err := s.CreateSnapshotWithContext(ctx, &sdk.CreateSnapshotRequest{
				RegionId: &region, DesktopId: &id, SnapshotName: &name, SourceDiskType: new("data"),
			}, o)
			return err
		})
	if err == nil && body.SnapshotID == "" {
		err = &desktop.CallError{Call: api, RequestID: requestID, Message: "the answer names no snapshot"}
	}
	if err != nil {
		return "", fmt.Errorf("making a snapshot of desktop %s in %s: %w", id, region, err)
	}
	return string(body.SnapshotID), nil
}
