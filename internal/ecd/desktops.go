package ecd

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unique"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/dara"
	"golang.org/x/sync/errgroup"

	"github.com/regild/regild/internal/desktop"
)

const (
	// maxIDs is how many ids most ECD calls take. Source: DescribeDesktops,
	// StopDesktops, StartDesktops, SetDesktopMaintenance, "DesktopId".
	maxIDs = 100
	// maxImageFilter is how many images DescribeDesktops is asked to filter by;
	// how many it takes is not documented.
	maxImageFilter = 20
)

// Desktops returns what ECD says now of the desktops with the given ids, in the
// order of the ids, each once. An id that ECD does not list in the region is
// absent. Tags are not read. An error means that some desktop was not read, and
// nothing is returned. Source: DescribeDesktops.
func (c *Client) Desktops(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	found, err := c.byID(ctx, region, ids)
	if err != nil {
		return nil, fmt.Errorf("describing %d desktops in %s: %w", len(ids), region, err)
	}
	return found, nil
}

func (c *Client) byID(ctx context.Context, region string, ids []string) ([]desktop.Desktop, error) {
	ids = distinct(ids)
	byID, err := gather(ctx, c, ids, maxIDs, func(ctx context.Context, chunk []string) (map[string]*desktop.Desktop, error) {
		return c.list(ctx, region, sdk.DescribeDesktopsRequest{DesktopId: pointers(chunk)})
	})
	if err != nil {
		return nil, err
	}
	for _, id := range ids {
		if d := byID[id]; d != nil {
			d.ID = id // the same text, which the caller keeps
		}
	}
	return valuesOf(inOrder(ids, byID)), nil
}

// valuesOf returns what the pointers point to.
func valuesOf(list []*desktop.Desktop) []desktop.Desktop {
	out := make([]desktop.Desktop, len(list))
	for i, d := range list {
		out[i] = *d
	}
	return out
}

// inOrder returns the values of the ids that have one.
func inOrder[T any](ids []string, byID map[string]T) []T {
	out := make([]T, 0, min(len(ids), len(byID)))
	for _, id := range ids {
		if v, ok := byID[id]; ok {
			out = append(out, v)
		}
	}
	return out
}

// distinct returns the ids without empty ones and repetitions.
func distinct(ids []string) []string {
	out := make([]string, 0, len(ids))
	seen := map[string]bool{"": true}
	for _, id := range ids {
		if !seen[id] {
			seen[id] = true
			out = append(out, id)
		}
	}
	return out
}

// gather reads ids in chunks of size, several at once, and puts together what
// each chunk brought. The first error ends it.
func gather[T any](ctx context.Context, c *Client, ids []string, size int,
	read func(context.Context, []string) (map[string]T, error),
) (map[string]T, error) {
	var mu sync.Mutex
	all := make(map[string]T, len(ids))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(c.reading)
	for chunk := range slices.Chunk(ids, size) {
		group.Go(func() (err error) {
			defer func() { // a panic here would end the instance
				if p := recover(); p != nil {
					err = fmt.Errorf("reading shows a bug of regild: %v", p)
				}
			}()
			part, err := read(ctx, chunk)
			if err != nil {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			for id, v := range part {
				all[id] = v
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return all, nil
}

// list reads all pages of one DescribeDesktops query.
func (c *Client) list(ctx context.Context, region string, query sdk.DescribeDesktopsRequest) (map[string]*desktop.Desktop, error) {
	const api = "DescribeDesktops"
	query.RegionId = &region
	query.MaxResults = new(pageSize)
	// By default ECD leaves pooled desktops out; a guard wants to see them.
	query.FilterDesktopGroup = new(false)
	found := map[string]*desktop.Desktop{}
	err := pages(api, maxPages, func(token *string) (string, error) {
		query.NextToken = token
		page, _, err := ask[describedDesktops](ctx, c, &c.in(region).reads, api, region,
			func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
				_, err := s.DescribeDesktopsWithContext(ctx, &query, o)
				return err
			})
		for _, d := range page.Desktops {
			if d != nil && d.DesktopID != "" {
				found[string(d.DesktopID)] = d.desktop(region)
			}
		}
		return string(page.NextToken), err
	})
	return found, err
}

type describedDesktops struct {
	envelope
	Desktops  []*describedDesktop // not a list, which reads everything twice: a null is nil
	NextToken text
}

type describedDesktop struct {
	DesktopID         text `json:"DesktopId"`
	DesktopStatus     text
	ConnectionStatus  text
	Sessions          list[struct{ EndUserID, ExternalUserName text }]
	ManagementFlag    text
	ManagementFlags   texts
	ImageID           text `json:"ImageId"`
	OsType            text
	GpuCategory       text
	GpuCount          number
	ProtocolType      text
	SessionType       text
	Disks             []*disk // a null is nil
	DesktopGroupID    text    `json:"DesktopGroupId"`
	OfficeSiteID      text    `json:"OfficeSiteId"`
	PolicyGroupID     text    `json:"PolicyGroupId"`
	PolicyGroupIDList texts   `json:"PolicyGroupIdList"`
}

type disk struct {
	DiskType text
	DiskSize number
}

func (d *describedDesktop) desktop(region string) *desktop.Desktop {
	out := &desktop.Desktop{
		ID:            string(d.DesktopID),
		RegionID:      region,
		Status:        shared(d.DesktopStatus),
		Connection:    shared(d.ConnectionStatus),
		ImageID:       shared(d.ImageID),
		OS:            shared(text(strings.ToLower(string(d.OsType)))),
		Protocol:      shared(d.ProtocolType),
		SessionType:   shared(d.SessionType),
		GroupID:       shared(d.DesktopGroupID),
		OfficeSiteID:  shared(d.OfficeSiteID),
		PolicyGroupID: shared(d.PolicyGroupID),
	}
	flags := words(d.ManagementFlags, texts{d.ManagementFlag})
	if flags = slices.DeleteFunc(flags, func(f string) bool { return f == "NoFlag" }); len(flags) > 0 {
		out.Flags = flags // else the list is not kept
	}
	var users texts
	for _, s := range d.Sessions {
		// A session without a name is somebody's all the same.
		users = append(users, cmp.Or(s.EndUserID, s.ExternalUserName, "unknown"))
	}
	out.Users = words(users)
	if out.PolicyGroupID == "" && len(d.PolicyGroupIDList) > 0 {
		out.PolicyGroupID = string(d.PolicyGroupIDList[0])
	}
	out.SystemDiskGiB, out.DataDisks = disks(d.Disks)
	out.GPU, out.GPUUnknown = gpu(d.GpuCategory)
	if d.GpuCount > 0 { // one that is counted is there; a count of 0 may be one left out
		out.GPU, out.GPUUnknown = true, false
	}
	return out
}

// shared returns a text that many desktops have in common, in one copy for all of
// them: the facts of a large fleet are kept for a whole invocation.
func shared(t text) string { return unique.Make(string(t)).Value() }

// gpu says whether a category is that of a GPU, and whether ECD leaves that out
// or says something that nobody knows. Desktops have a number, images a bool.
func gpu(category text) (yes, unknown bool) {
	switch s := strings.ToLower(strings.TrimSpace(string(category))); s {
	case "true":
		return true, false
	case "false":
		return false, false
	default:
		n, err := strconv.ParseFloat(s, 64)
		if err != nil || math.IsNaN(n) {
			return false, true
		}
		return n != 0, false
	}
}

// disks returns the size of the system disk and the number of data disks. Every
// desktop has a system disk: a list without one is not to be relied on, and
// then there may be a data disk too.
func disks(all []*disk) (systemGiB, data int) {
	system := false
	for _, d := range all {
		if d == nil {
			continue
		}
		switch strings.ToUpper(string(d.DiskType)) {
		case "SYSTEM":
			system = true
			systemGiB = max(systemGiB, int(d.DiskSize))
		default:
			data++
		}
	}
	if !system {
		data = max(data, 1)
	}
	return systemGiB, data
}
