package ecd

import "slices"

// regions are those in which the vendor offers the service.
func regions() [][2]string {
	return [][2]string{
		{"cn-hangzhou", "China (Hangzhou)"},
		{"cn-shanghai", "China (Shanghai)"},
		{"cn-beijing", "China (Beijing)"},
		{"cn-shenzhen", "China (Shenzhen)"},
		{"cn-guangzhou", "China (Guangzhou)"},
		{"cn-chengdu", "China (Chengdu)"},
		{"cn-qingdao", "China (Qingdao)"},
		{"cn-zhangjiakou", "China (Zhangjiakou)"},
		{"cn-wulanchabu", "China (Ulanqab)"},
		{"cn-nanjing", "China (Nanjing)"},
		{"cn-hangzhou-finance", "China (Hangzhou) Finance"},
		{"cn-shanghai-finance-1", "China (Shanghai) Finance"},
		{"cn-hongkong", "China (Hong Kong)"},
		{"ap-southeast-1", "Singapore"},
		{"ap-southeast-5", "Indonesia (Jakarta)"},
		{"ap-southeast-6", "Philippines (Manila)"},
		{"ap-southeast-7", "Thailand (Bangkok)"},
		{"ap-northeast-1", "Japan (Tokyo)"},
		{"us-west-1", "US (Silicon Valley)"},
		{"eu-central-1", "Germany (Frankfurt)"},
		{"eu-west-1", "UK (London)"},
		{"me-east-1", "UAE (Dubai)"},
		{"me-central-1", "Saudi Arabia (Riyadh)"},
	}
}

func knownRegion(id string) bool {
	return slices.ContainsFunc(regions(), func(r [2]string) bool { return r[0] == id })
}

// mainland says whether a region is in the mainland of China, where a desktop
// may be rebuilt to another OS family. Source: RebuildDesktops.
func mainland(region string) bool {
	return len(region) > 3 && region[:3] == "cn-" && region != "cn-hongkong"
}

type regionAnswer struct {
	id
	Regions []regionShown
}

type regionShown struct{ RegionId, RegionEndpoint, LocalName string }

func (s *Server) describeRegions(c *call) (any, error) {
	answer := regionAnswer{id: c.id()}
	for _, r := range regions() {
		answer.Regions = append(answer.Regions, regionShown{r[0], "ecd." + r[0] + ".aliyuncs.com", r[1]})
	}
	return answer, nil
}

// region returns the region of the call.
func (c *call) region() (string, error) {
	region, err := c.required("RegionId")
	if err == nil && !knownRegion(region) {
		err = notFound("RegionId", region)
	}
	return region, err
}
