package ecd

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/regild/regild/internal/pace"
	"github.com/regild/regild/internal/pattern"
)

// A place is where ECD is called for one region. Its host is "" when it follows
// from the region: ecd.<region>.aliyuncs.com, which is published for all of them.
// The hosts within a VPC follow no rule, and the vendor's pages contradict each
// other about them, so they are never guessed. Source: "Endpoints".
type place struct{ protocol, host string }

// places are by region; that of "" is for all others.
type places map[string]place

func (p places) of(region string) place {
	if at, ok := p[region]; ok {
		return at
	}
	return p[""]
}

// parseEndpoints reads one endpoint for all regions, or region=endpoint for some
// of them, separated by commas. Where it is known which regions will be called,
// nothing may be said about others, nor may one region's calls go to the endpoint
// of another: there its desktops would read as not existing.
func parseEndpoints(s string, regions []string) (places, error) {
	out := places{"": {protocol: "HTTPS"}}
	if !strings.Contains(s, "=") {
		at, err := parseEndpoint(s)
		if err != nil {
			return nil, err
		}
		out[""] = at
		named := regionOf(at.host)
		if i := slices.IndexFunc(regions, func(r string) bool { return named != "" && r != named }); i >= 0 {
			return nil, fmt.Errorf("ecd: endpoint %q is that of %s, and desktops of %s are to be called for too: write region=host for each region, "+
				"separated by commas", s, named, regions[i])
		}
		return out, nil
	}
	var faults []error
	for pair := range strings.SplitSeq(s, ",") {
		region, given, _ := strings.Cut(strings.TrimSpace(pair), "=")
		at, err := parseEndpoint(given)
		named := regionOf(at.host)
		_, twice := out[region]
		switch {
		case !pattern.Region.Matches(region):
			err = fmt.Errorf("ecd: %q does not begin with a region and =, as in cn-hangzhou=host", pair)
		case err == nil && at.host == "":
			err = fmt.Errorf("ecd: no host is given for %s", region)
		case err == nil && twice:
			err = fmt.Errorf("ecd: two endpoints are given for %s", region)
		case err == nil && regions != nil && !slices.Contains(regions, region):
			err = fmt.Errorf("ecd: an endpoint is given for %s, whose desktops are not to be called for (REGILD_REGIONS)", region)
		case err == nil && named != "" && named != region:
			err = fmt.Errorf("ecd: the endpoint that is given for %s, %q, is that of %s", region, at.host, named)
		}
		faults = append(faults, err)
		out[region] = at
	}
	if err := errors.Join(faults...); err != nil {
		return nil, err
	}
	return out, nil
}

// ofOneRegion are hosts that name the region they belong to.
var ofOneRegion = pattern.Lazily(`^ecd(?:-vpc)?\.([a-z0-9-]+)\.aliyuncs\.com$`)

// regionOf returns the region that a host names, or "".
func regionOf(host string) string {
	if m := ofOneRegion().FindStringSubmatch(host); m != nil && m[1] != "vpc-proxy" { // which serves several
		return m[1]
	}
	return ""
}

// parseEndpoint splits an endpoint into protocol and host.
func parseEndpoint(s string) (place, error) {
	if s == "" {
		return place{protocol: "HTTPS"}, nil
	}
	u, err := pace.ParseEndpoint(s)
	if err != nil {
		return place{}, fmt.Errorf("ecd: %w", err)
	}
	return place{strings.ToUpper(u.Scheme), u.Host}, nil
}
