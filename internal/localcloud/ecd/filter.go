package ecd

import (
	"slices"
	"strings"
)

// A desktopFilter is what DescribeDesktops was asked for. What is empty does not
// filter.
type desktopFilter struct {
	ids, images, users, notUsers, osTypes, statuses []string
	tags                                            []tag
	name, officeSite, policyGroup, group, protocol  string
	resourceGroup, flag, kind, charge               string
	hidePooled, onlyPooled                          bool
}

func (c *call) desktopFilter() (desktopFilter, error) {
	p := c.params
	f := desktopFilter{
		name: p["DesktopName"], officeSite: p["OfficeSiteId"], policyGroup: p["PolicyGroupId"], group: p["DesktopGroupId"],
		resourceGroup: p["ResourceGroupId"], flag: p["ManagementFlag"], kind: p["DesktopType"], charge: p["ChargeType"],
	}
	or(&f.officeSite, p["DirectoryId"])
	for _, list := range []struct {
		name string
		to   *[]string
	}{
		{"DesktopId", &f.ids},
		{"ImageId", &f.images},
		{"EndUserId", &f.users},
		{"ExcludedEndUserId", &f.notUsers},
		{"OsTypes", &f.osTypes},
		{"DesktopStatusList", &f.statuses},
	} {
		var err error
		if *list.to, err = p.list(list.name, 100); err != nil {
			return f, err
		}
	}
	if status := p["DesktopStatus"]; status != "" {
		f.statuses = append(f.statuses, status)
	}
	return f, f.readRest(p)
}

func (f *desktopFilter) readRest(p params) (err error) {
	if f.protocol, err = p.oneOf("ProtocolType", "ASP", "HDX"); err != nil {
		return err
	}
	if f.onlyPooled, err = p.flag("OnlyDesktopGroup", false); err != nil {
		return err
	}
	// Whoever names a group, or asks for pooled desktops alone, means pooled ones.
	if f.hidePooled, err = p.flag("FilterDesktopGroup", f.group == "" && !f.onlyPooled); err != nil {
		return err
	}
	f.tags, err = p.tags()
	return err
}

func (f *desktopFilter) match(d *Desktop) bool {
	if d.Pooled() && f.hidePooled || !d.Pooled() && f.onlyPooled {
		return false
	}
	if f.group != "" && !f.onlyPooled && d.GroupID != f.group {
		return false
	}
	return is(f.name, d.Name) && is(f.officeSite, d.OfficeSiteID) && is(f.policyGroup, d.PolicyGroupID) &&
		is(f.protocol, d.Protocol) && is(f.resourceGroup, d.ResourceGroupID) && is(f.kind, d.Type) && is(f.charge, d.ChargeType) &&
		(f.flag == "" || slices.Contains(d.flags(), f.flag)) &&
		in(f.statuses, d.Status) && in(f.images, d.ImageID) && in(f.osTypes, d.OS) &&
		(len(f.users) == 0 || overlap(f.users, d.EndUsers)) && !overlap(f.notUsers, d.EndUsers) &&
		hasTags(d.Tags, f.tags)
}

// is says whether got is what is wanted, or nothing is.
func is(want, got string) bool { return want == "" || strings.EqualFold(want, got) }

// in says whether got is one of the list, or the list is empty.
func in(list []string, got string) bool {
	return len(list) == 0 || slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, got) })
}

func overlap(a, b []string) bool {
	return slices.ContainsFunc(a, func(s string) bool { return slices.Contains(b, s) })
}

// hasTags says whether all wanted tags are there.
func hasTags(have map[string]string, want []tag) bool {
	for _, t := range want {
		value, ok := have[t.Key]
		if !ok || t.HasValue && value != t.Value {
			return false
		}
	}
	return true
}
