package ecd

import (
	"reflect"
	"strings"
	"testing"
)

func TestEndpointsOfSeveralRegions(t *testing.T) {
	both := []string{"cn-hangzhou", "ap-southeast-1"}
	for name, c := range map[string]struct {
		given   string
		regions []string
		want    places
		fault   string
	}{
		"none":            {"", both, places{"": {"HTTPS", ""}}, ""},
		"one for all":     {"ecd.vpc-proxy.aliyuncs.com", both, places{"": {"HTTPS", "ecd.vpc-proxy.aliyuncs.com"}}, ""},
		"of the region":   {"ecd-vpc.me-east-1.aliyuncs.com", []string{"me-east-1"}, places{"": {"HTTPS", "ecd-vpc.me-east-1.aliyuncs.com"}}, ""},
		"regions unknown": {"ecd.cn-hangzhou.aliyuncs.com", nil, places{"": {"HTTPS", "ecd.cn-hangzhou.aliyuncs.com"}}, ""},
		"for each": {"cn-hangzhou=ecd.vpc-proxy.aliyuncs.com, ap-southeast-1=ecd-intl.vpc-proxy.aliyuncs.com", both, places{
			"": {"HTTPS", ""}, "cn-hangzhou": {"HTTPS", "ecd.vpc-proxy.aliyuncs.com"}, "ap-southeast-1": {"HTTPS", "ecd-intl.vpc-proxy.aliyuncs.com"},
		}, ""},
		"for one of them":       {"cn-hangzhou=http://127.0.0.1:80", both, places{"": {"HTTPS", ""}, "cn-hangzhou": {"HTTP", "127.0.0.1:80"}}, ""},
		"another region's":      {"ecd.cn-hangzhou.aliyuncs.com", both, nil, "is that of cn-hangzhou, and desktops of ap-southeast-1"},
		"the first's alone":     {"ecd.ap-southeast-1.aliyuncs.com", both, nil, "is that of ap-southeast-1, and desktops of cn-hangzhou"},
		"its own":               {"cn-hangzhou=ecd.cn-hangzhou.aliyuncs.com", nil, places{"": {"HTTPS", ""}, "cn-hangzhou": {"HTTPS", "ecd.cn-hangzhou.aliyuncs.com"}}, ""},
		"twice, the second bad": {"cn-hangzhou=a.example,cn-hangzhou=http://b.example", both, nil, "unencrypted"},
		"not allowed, and bad":  {"cn-shanghai=http://a.example", both, nil, "unencrypted"},
		"a pair that crosses":   {"cn-hangzhou=ecd.cn-shanghai.aliyuncs.com", both, nil, "is that of cn-shanghai"},
		"twice":                 {"cn-hangzhou=a.example,cn-hangzhou=b.example", both, nil, "two endpoints are given for cn-hangzhou"},
		"not allowed":           {"cn-shanghai=a.example", both, nil, "REGILD_REGIONS"},
		"no host":               {"cn-hangzhou=", both, nil, "no host is given for cn-hangzhou"},
		"no region":             {"=a.example", both, nil, "does not begin with a region"},
		"half a pair":           {"cn-hangzhou=a.example,b.example", both, nil, "does not begin with a region"},
		"not encrypted":         {"cn-hangzhou=http://a.example", both, nil, "unencrypted"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := parseEndpoints(c.given, c.regions)
			if c.fault != "" {
				if err == nil || !strings.Contains(err.Error(), c.fault) {
					t.Errorf("got %v, %v, want the fault %q", got, err, c.fault)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("got %v, %v, want %v", got, err, c.want)
			}
		})
	}
}
