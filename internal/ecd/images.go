package ecd

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	sdk "github.com/alibabacloud-go/ecd-20200930/v5/client"
	"github.com/alibabacloud-go/tea/dara"

	"github.com/regild/regild/internal/desktop"
)

const (
	// maxImageIDs is how many image ids one DescribeImages call is given; how
	// many it takes is not documented.
	maxImageIDs = 50
	// maxChangePages bounds the record of one desktop: 5,000 changes. A longer
	// one is an error, since nothing says that the newest come first.
	maxChangePages = 50
)

// Images returns what ECD says now of the images with the given ids, in the
// order of the ids, each once. An id that ECD does not list in the region is
// absent. Source: DescribeImages.
func (c *Client) Images(ctx context.Context, region string, ids []string) ([]desktop.Image, error) {
	ids = distinct(ids)
	found, err := gather(ctx, c, ids, maxImageIDs, func(ctx context.Context, chunk []string) (map[string]desktop.Image, error) {
		return c.listImages(ctx, region, sdk.DescribeImagesRequest{ImageId: pointers(chunk)})
	})
	if err != nil {
		return nil, fmt.Errorf("describing %d images in %s: %w", len(ids), region, err)
	}
	return inOrder(ids, found), nil
}

// ImagesNamed returns the images of a region that have exactly this name,
// newest first; names are not unique. Source: DescribeImages.
func (c *Client) ImagesNamed(ctx context.Context, region, name string) ([]desktop.Image, error) {
	if name == "" {
		return nil, nil
	}
	found, err := c.listImages(ctx, region, sdk.DescribeImagesRequest{ImageName: &name})
	if err != nil {
		return nil, fmt.Errorf("looking for images named %q in %s: %w", name, region, err)
	}
	var out []desktop.Image
	for _, image := range found {
		if image.Name == name {
			out = append(out, image)
		}
	}
	slices.SortFunc(out, func(a, b desktop.Image) int {
		if n := b.Created.Compare(a.Created); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	return out, nil
}

// AllImages returns the images of a region, in the order of their ids. Source:
// DescribeImages.
func (c *Client) AllImages(ctx context.Context, region string) ([]desktop.Image, error) {
	found, err := c.listImages(ctx, region, sdk.DescribeImagesRequest{})
	if err != nil {
		return nil, fmt.Errorf("listing the images of %s: %w", region, err)
	}
	return inOrder(slices.Sorted(maps.Keys(found)), found), nil
}

type describedImages struct {
	envelope
	Images    list[describedImage]
	NextToken text
}

type describedImage struct {
	ImageID      text `json:"ImageId"`
	Name         text
	Status       text
	ImageType    text
	OsType       text
	GpuCategory  text
	ProtocolType text
	SessionType  text
	Size         number
	DataDiskSize number
	CreationTime text
}

// listImages reads all pages of one DescribeImages query.
func (c *Client) listImages(ctx context.Context, region string, query sdk.DescribeImagesRequest) (map[string]desktop.Image, error) {
	const api = "DescribeImages"
	query.RegionId = &region
	query.MaxResults = new(pageSize)
	found := map[string]desktop.Image{}
	err := pages(api, maxPages, func(token *string) (string, error) {
		query.NextToken = token
		page, _, err := ask[describedImages](ctx, c, &c.in(region).reads, api, region,
			func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
				_, err := s.DescribeImagesWithContext(ctx, &query, o)
				return err
			})
		for _, i := range page.Images {
			if i.ImageID != "" {
				found[string(i.ImageID)] = i.image(region)
			}
		}
		return string(page.NextToken), err
	})
	return found, err
}

func (i describedImage) image(region string) desktop.Image {
	yes, unknown := gpu(i.GpuCategory)
	return desktop.Image{
		ID:          string(i.ImageID),
		Name:        string(i.Name),
		RegionID:    region,
		Status:      string(i.Status),
		Type:        strings.ToUpper(string(i.ImageType)),
		OS:          strings.ToLower(string(i.OsType)),
		GPU:         yes,
		GPUUnknown:  unknown,
		Protocol:    string(i.ProtocolType),
		SessionType: string(i.SessionType),
		SizeGiB:     int(i.Size),
		DataDiskGiB: int(i.DataDiskSize),
		Created:     parseTime(i.CreationTime),
	}
}

type modifiedRecords struct {
	envelope
	ImageModifiedRecords list[struct {
		ImageID    text `json:"ImageId"`
		NewImageID text `json:"NewImageId"`
		Status     text
		Reason     text
		UpdateTime text
	}]
	NextToken text
}

// Changes returns ECD's record of the image changes of one desktop, newest
// first. Source: DescribeImageModifiedRecords.
func (c *Client) Changes(ctx context.Context, region, desktopID string) ([]desktop.Change, error) {
	const api = "DescribeImageModifiedRecords"
	query := sdk.DescribeImageModifiedRecordsRequest{RegionId: &region, DesktopId: &desktopID, MaxResults: new(pageSize)}
	var out []desktop.Change
	err := pages(api, maxChangePages, func(token *string) (string, error) {
		query.NextToken = token
		page, _, err := ask[modifiedRecords](ctx, c, &c.in(region).reads, api, region,
			func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
				_, err := s.DescribeImageModifiedRecordsWithContext(ctx, &query, o)
				return err
			})
		for _, r := range page.ImageModifiedRecords {
			out = append(out, desktop.Change{
				DesktopID: desktopID, From: string(r.ImageID), To: string(r.NewImageID),
				State: changeState(r.Status), Reason: string(r.Reason), Updated: parseTime(r.UpdateTime),
			})
		}
		return string(page.NextToken), err
	})
	if err != nil {
		return nil, fmt.Errorf("reading the image changes of %s in %s: %w", desktopID, region, err)
	}
	// ECD does not document an order.
	slices.SortStableFunc(out, func(a, b desktop.Change) int { return b.Updated.Compare(a.Updated) })
	return out, nil
}

func changeState(status text) desktop.ChangeState {
	switch status {
	case "0":
		return desktop.Changing
	case "1":
		return desktop.ChangeSucceeded
	case "2":
		return desktop.ChangeFailed
	}
	return desktop.ChangeUnknown
}
