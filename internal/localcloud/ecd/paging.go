package ecd

import (
	"encoding/base64"
	"sort"
	"strconv"
	"strings"
)

// A page says which part of a list is wanted: what comes after a position, or,
// when number is above 0, the page of that number.
type page struct {
	operation string
	after     int
	size      int
	number    int
}

// page reads MaxResults and NextToken, up to so many; operations that know
// PageNumber and PageSize read those with numbered.
func (c *call) page(operation string, most int) (page, error) {
	size, err := c.number("MaxResults", 10, 1, most)
	if err != nil {
		return page{}, err
	}
	p := page{operation: operation, size: size}
	if token := c.params["NextToken"]; token != "" {
		raw, err := base64.RawURLEncoding.DecodeString(token)
		position, ok := strings.CutPrefix(string(raw), operation+" ")
		n, atoi := strconv.Atoi(position)
		if err != nil || !ok || atoi != nil || n < 0 {
			return page{}, invalid("NextToken", "it is none of this operation's")
		}
		p.after = n
	}
	return p, nil
}

// paged reads the region of a call and the page of it that is wanted.
func (c *call) paged(operation string, most int) (region string, p page, err error) {
	if region, err = c.region(); err == nil {
		p, err = c.page(operation, most)
	}
	return region, p, err
}

// regional reads the region of a call and the desktops of it that are meant.
func (c *call) regional(list string, most int) (region string, ids []string, err error) {
	if region, err = c.region(); err == nil {
		ids, err = c.ids(list, most)
	}
	return region, ids, err
}

// numberedPage is page for an operation that also knows PageNumber and PageSize;
// these count when no MaxResults and no NextToken is there.
func (c *call) numberedPage(operation string, most int) (page, error) {
	p, err := c.page(operation, most)
	if err != nil || c.params["MaxResults"] != "" || c.params["NextToken"] != "" {
		return p, err
	}
	if c.params["PageNumber"] == "" && c.params["PageSize"] == "" {
		return p, nil
	}
	if p.number, err = c.number("PageNumber", 1, 1, 1<<20); err != nil {
		return page{}, err
	}
	p.size, err = c.number("PageSize", 10, 1, most)
	return p, err
}

// cut returns the wanted part of a list whose positions ascend, and the token of
// what follows, which is empty at the end. Positions are not indices, so that
// nothing is left out when an earlier element is removed between two pages.
func cut[T any](all []T, p page, position func(T) int) (part []T, next string) {
	if p.number > 0 {
		from := min((p.number-1)*p.size, len(all))
		return all[from:min(from+p.size, len(all))], ""
	}
	from := sort.Search(len(all), func(i int) bool { return position(all[i]) > p.after })
	to := min(from+p.size, len(all))
	if to < len(all) {
		next = base64.RawURLEncoding.EncodeToString([]byte(p.operation + " " + strconv.Itoa(position(all[to-1]))))
	}
	return all[from:to], next
}
