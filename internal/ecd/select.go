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
	// resourceType is what tags hang on. A second type, ALIYUN::GWS::DESKTOP, is
	// a namespace of its own that the console does not show.
	resourceType = "ALIYUN::GWS::INSTANCE"
	// maxTagIDs is how many resources ListTagResources takes; also its page
	// size here, since the largest it takes is not documented.
	maxTagIDs = 50
	// maxTagFilter is how many tags ListTagResources takes.
	maxTagFilter = 20
)

// Select returns the desktops of a region that s means, ordered by id. ECD
// filters where it can, and what it returns is held against s again. When s
// names tags, all tags of the desktops are read and filled in; otherwise none.
// Sources: DescribeDesktops, ListTagResources.
func (c *Client) Select(ctx context.Context, region string, s desktop.Selector) ([]desktop.Desktop, error) {
	found, err := c.candidates(ctx, region, s)
	if err != nil {
		return nil, fmt.Errorf("selecting desktops in %s: %w", region, err)
	}
	untagged := s
	untagged.Tags = nil
	found = slices.DeleteFunc(found, func(d desktop.Desktop) bool { return !untagged.Matches(d) })
	if len(s.Tags) > 0 {
		if err := c.fillTags(ctx, region, found); err != nil {
			return nil, fmt.Errorf("selecting desktops in %s: %w", region, err)
		}
		found = slices.DeleteFunc(found, func(d desktop.Desktop) bool { return !s.Matches(d) })
	}
	slices.SortFunc(found, func(a, b desktop.Desktop) int { return strings.Compare(a.ID, b.ID) })
	return found, nil
}

// candidates returns at least the desktops that s means.
func (c *Client) candidates(ctx context.Context, region string, s desktop.Selector) ([]desktop.Desktop, error) {
	if len(s.IDs) > 0 {
		return c.byID(ctx, region, s.IDs)
	}
	if len(s.Tags) > 0 {
		// DescribeDesktops can filter by tag too, but has not done so reliably.
		ids, err := c.tagged(ctx, region, s.Tags)
		if err != nil {
			return nil, err
		}
		return c.byID(ctx, region, ids)
	}
	var query sdk.DescribeDesktopsRequest
	if len(s.PolicyGroupIDs) == 1 {
		query.PolicyGroupId = &s.PolicyGroupIDs[0]
	}
	if n := len(s.ImageIDs); n > 0 && n <= maxImageFilter {
		query.ImageId = pointers(s.ImageIDs)
	}
	if len(s.OfficeSiteIDs) == 0 {
		found, err := c.list(ctx, region, query)
		return valuesOf(slices.Collect(maps.Values(found))), err
	}
	found, err := gather(ctx, c, distinct(s.OfficeSiteIDs), 1, func(ctx context.Context, site []string) (map[string]*desktop.Desktop, error) {
		query := query
		query.OfficeSiteId = &site[0]
		return c.list(ctx, region, query)
	})
	return valuesOf(slices.Collect(maps.Values(found))), err
}

// tagged returns the ids of the desktops that may have all of tags: ECD does
// not say whether it wants all or one of several.
func (c *Client) tagged(ctx context.Context, region string, tags map[string]string) ([]string, error) {
	query := sdk.ListTagResourcesRequest{}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		if len(query.Tag) < maxTagFilter {
			query.Tag = append(query.Tag, &sdk.ListTagResourcesRequestTag{Key: &key, Value: set(tags[key])})
		}
	}
	found, err := c.listTags(ctx, region, query)
	return slices.Sorted(maps.Keys(found)), err
}

func (c *Client) fillTags(ctx context.Context, region string, found []desktop.Desktop) error {
	ids := make([]string, len(found))
	for i, d := range found {
		ids[i] = d.ID
	}
	tags, err := c.tagsOf(ctx, region, ids)
	if err != nil {
		return err
	}
	for i, d := range found {
		found[i].Tags = tags[d.ID] // none: nil
	}
	return nil
}

// Tags returns the tags of the desktops with the given ids; a desktop without
// tags is absent, as is one that does not exist. Source: ListTagResources.
func (c *Client) Tags(ctx context.Context, region string, ids []string) (map[string]map[string]string, error) {
	tags, err := c.tagsOf(ctx, region, distinct(ids))
	if err != nil {
		return nil, fmt.Errorf("reading the tags of %d desktops in %s: %w", len(ids), region, err)
	}
	return tags, nil
}

func (c *Client) tagsOf(ctx context.Context, region string, ids []string) (map[string]map[string]string, error) {
	return gather(ctx, c, ids, maxTagIDs, func(ctx context.Context, chunk []string) (map[string]map[string]string, error) {
		found, err := c.listTags(ctx, region, sdk.ListTagResourcesRequest{ResourceId: pointers(chunk)})
		maps.DeleteFunc(found, func(id string, _ map[string]string) bool { return !slices.Contains(chunk, id) })
		return found, err
	})
}

type listedTags struct {
	envelope
	TagResources list[struct {
		ResourceID       text `json:"ResourceId"`
		TagKey, TagValue text
	}]
	NextToken text
}

// listTags reads all pages of one ListTagResources query.
func (c *Client) listTags(ctx context.Context, region string, query sdk.ListTagResourcesRequest) (map[string]map[string]string, error) {
	const api = "ListTagResources"
	query.RegionId = &region
	query.ResourceType = new(resourceType)
	query.MaxResults = new(int32(maxTagIDs))
	found := map[string]map[string]string{}
	err := pages(api, maxPages, func(token *string) (string, error) {
		query.NextToken = token
		page, _, err := ask[listedTags](ctx, c, &c.in(region).reads, api, region,
			func(ctx context.Context, s *sdk.Client, o *dara.RuntimeOptions) error {
				_, err := s.ListTagResourcesWithContext(ctx, &query, o)
				return err
			})
		for _, t := range page.TagResources {
			id := string(t.ResourceID)
			if id == "" {
				continue
			}
			if found[id] == nil {
				found[id] = map[string]string{}
			}
			if t.TagKey != "" {
				found[id][string(t.TagKey)] = string(t.TagValue)
			}
		}
		return string(page.NextToken), err
	})
	return found, err
}
