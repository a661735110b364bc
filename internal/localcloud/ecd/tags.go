package ecd

import (
	"net/http"
	"strings"
)

// maxTags is how many tags a resource has and a call names. Source: TagResources.
const maxTags = 20

// resourceType is the one kind of resource that has tags here.
const resourceType = "ALIYUN::GWS::INSTANCE"

type tagsAnswer struct {
	id
	TagResources []tagShown
	NextToken    string
}

type tagShown struct {
	ResourceType, ResourceId string
	TagKey, TagValue         string
	position                 int
}

// listTagResources lists the tags of resources, or the resources of tags.
func (s *Server) listTagResources(c *call) (any, error) {
	region, err := c.tagged()
	if err != nil {
		return nil, err
	}
	ids, err := c.list("ResourceId", 50)
	if err != nil {
		return nil, err
	}
	want, err := c.tags()
	if err != nil {
		return nil, err
	}
	if len(ids) == 0 && len(want) == 0 {
		return nil, missing("ResourceId")
	}
	p, err := c.page("ListTagResources", 100)
	if err != nil {
		return nil, err
	}
	var found []tagShown
	for _, e := range s.candidates(ids) {
		if e.RegionID != region || e.Ghost || !hasTags(e.Tags, want) {
			continue
		}
		for n, key := range sortedKeys(e.Tags) {
			found = append(found, tagShown{resourceType, e.ID, key, e.Tags[key], e.position*(maxTags+1) + n})
		}
	}
	part, next := cut(found, p, func(t tagShown) int { return t.position })
	return tagsAnswer{c.id(), append([]tagShown{}, part...), next}, nil
}

// tagged reads what the two operations on tags have in common.
func (c *call) tagged() (region string, err error) {
	if region, err = c.region(); err != nil {
		return "", err
	}
	kind, err := c.required("ResourceType")
	if err != nil {
		return "", err
	}
	if kind != resourceType {
		return "", invalid("ResourceType", "it must be %s", resourceType)
	}
	return region, nil
}

func (s *Server) tagResources(c *call) (any, error) {
	region, err := c.tagged()
	if err != nil {
		return nil, err
	}
	ids, err := c.ids("ResourceId", 50)
	if err != nil {
		return nil, err
	}
	tags, err := c.tags()
	if err != nil {
		return nil, err
	}
	if len(tags) == 0 {
		return nil, missing("Tag")
	}
	for _, t := range tags {
		if fault := tagFault(t.Key, t.Value); fault != "" {
			return nil, invalid("Tag", "%s", fault)
		}
	}
	entries, err := s.find(ids, region, "ResourceId")
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if tooMany(e.Tags, tags) {
			return nil, refuse(http.StatusBadRequest, "QuotaExceeded.TagsPerResource", "A resource has at most %d tags.", maxTags)
		}
	}
	for _, e := range entries {
		if e.Tags == nil {
			e.Tags = map[string]string{}
		}
		for _, t := range tags {
			e.Tags[t.Key] = t.Value
		}
	}
	return c.id(), nil
}

func tooMany(have map[string]string, add []tag) bool {
	fresh := map[string]bool{}
	for _, t := range add {
		if _, there := have[t.Key]; !there {
			fresh[t.Key] = true
		}
	}
	return len(have)+len(fresh) > maxTags
}

// tagFault says what is wrong with a tag, or nothing. Source: TagResources.
func tagFault(key, value string) string {
	switch {
	case strings.TrimSpace(key) == "":
		return "a key is empty"
	case len([]rune(key)) > 128 || len([]rune(value)) > 128:
		return "a key or a value is longer than 128 characters"
	case strings.HasPrefix(key, "acs:") || strings.HasPrefix(key, "aliyun"):
		return "a key begins with acs: or aliyun"
	case strings.Contains(key+" "+value, "http://") || strings.Contains(key+" "+value, "https://"):
		return "a key or a value contains http:// or https://"
	}
	return ""
}
