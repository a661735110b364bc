package ecd

import (
	"slices"
	"strconv"
	"strings"
	"time"
)

type desktopsAnswer struct {
	id
	Desktops   []desktopShown
	NextToken  string
	TotalCount int
	PageNumber int `json:",omitempty"`
	PageSize   int `json:",omitempty"`
}

// desktopShown is a desktop on the wire. SystemDiskSize and DataDiskSize are
// left out: the vendor calls them preview fields, and they are null in practice.
type desktopShown struct {
	DesktopId, DesktopName, DesktopStatus, ConnectionStatus string

	ImageId, OsType, Platform string
	DesktopType               string
	Cpu, Memory               int
	GpuCategory               int // a number here, a boolean of images
	GpuCount                  float32
	GpuSpec                   string `json:",omitempty"`
	ProtocolType, SessionType string
	Disks                     []diskShown

	DesktopGroupId    *string // null when the desktop is not pooled
	OfficeSiteId      string
	DirectoryId       string
	PolicyGroupId     string
	PolicyGroupIdList []string
	EndUserIds        []string
	BindAmount        int
	Sessions          []sessionShown
	Tags              []struct{} // set tags come back empty: ListTagResources has them
	ManagementFlag    string
	ManagementFlags   []string
	ChargeType        string
	HostName          string
	Progress          string // of the creation, not of a rebuild

	CreationTime      string
	StartTime         string `json:",omitempty"`
	StandardStartTime string `json:",omitempty"`
	ExpiredTime       string `json:",omitempty"`
}

type diskShown struct {
	DiskType, DiskId string
	DiskSize         int
}

type sessionShown struct{ EndUserId, ExternalUserName, EstablishmentTime string }

func (s *Server) describeDesktops(c *call) (any, error) {
	region, err := c.region()
	if err != nil {
		return nil, err
	}
	p, err := c.numberedPage("DescribeDesktops", 100)
	if err != nil {
		return nil, err
	}
	wanted, err := c.desktopFilter()
	if err != nil {
		return nil, err
	}
	candidates := s.candidates(wanted.ids)
	found := make([]listed, 0, len(candidates))
	for _, e := range candidates {
		e.settle(c.now)
		if d := e.shown(c.now); d.RegionID == region && wanted.match(d) {
			found = append(found, listed{d, e.position})
		}
	}
	part, next := cut(found, p, func(l listed) int { return l.position })
	answer := desktopsAnswer{id: c.id(), Desktops: []desktopShown{}, NextToken: next, TotalCount: len(found)}
	if p.number > 0 {
		answer.PageNumber, answer.PageSize = p.number, p.size
	}
	for _, l := range part {
		answer.Desktops = append(answer.Desktops, s.show(l.desktop))
	}
	return answer, nil
}

// listed is a desktop as it is to be shown, with its place in the list.
type listed struct {
	desktop  *Desktop
	position int
}

// candidates returns all desktops, or those of the ids, in the order of the list
// and each once.
func (s *Server) candidates(ids []string) []*entry {
	if len(ids) == 0 {
		return s.order
	}
	var out []*entry
	for _, name := range ids {
		if e := s.desktops[name]; e != nil {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b *entry) int { return a.position - b.position })
	return slices.Compact(out)
}

func (s *Server) show(d *Desktop) desktopShown {
	shown := desktopShown{
		DesktopId: d.ID, DesktopName: d.Name, DesktopStatus: d.Status, ConnectionStatus: d.Connection,
		ImageId: d.ImageID, OsType: titled(d.OS), Platform: d.Platform, DesktopType: d.Type, Cpu: 4, Memory: 8192,
		ProtocolType: d.Protocol, SessionType: d.SessionType, Disks: []diskShown{},
		OfficeSiteId: d.OfficeSiteID, DirectoryId: d.OfficeSiteID,
		PolicyGroupId: d.PolicyGroupID, PolicyGroupIdList: []string{d.PolicyGroupID},
		EndUserIds: append([]string{}, d.EndUsers...), BindAmount: len(d.EndUsers),
		Sessions: []sessionShown{}, Tags: []struct{}{},
		ManagementFlags: d.flags(), ChargeType: d.ChargeType, HostName: d.Name, Progress: "100%",
		CreationTime: minutes(d.Created), StartTime: minutes(d.Started), StandardStartTime: seconds(d.Started),
		ExpiredTime: minutes(d.Expires),
	}
	shown.ManagementFlag = shown.ManagementFlags[0]
	if d.GPU > 0 {
		shown.GpuCategory, shown.GpuCount, shown.GpuSpec = 1, d.GPU, "NVIDIA T4"
	}
	if d.Pooled() {
		group := d.GroupID
		shown.DesktopGroupId = &group
	}
	for n, disk := range d.Disks {
		shown.Disks = append(shown.Disks, diskShown{disk.Type, "d-" + d.ID + "-" + strconv.Itoa(n+1), disk.GiB})
	}
	for _, session := range d.Sessions {
		shown.Sessions = append(shown.Sessions, sessionShown{session.User, session.User, minutes(s.since(session))})
	}
	return shown
}

// since returns when a session began.
func (s *Server) since(session Session) time.Time {
	if session.Since.IsZero() {
		return s.start
	}
	return session.Since
}

// flags returns the management flags as the service shows them.
func (d *Desktop) flags() []string {
	if len(d.Flags) == 0 {
		return []string{"NoFlag"}
	}
	return slices.Clone(d.Flags)
}

// titled is an OS family as DescribeDesktops spells it.
func titled(os string) string {
	if strings.EqualFold(os, "linux") {
		return "Linux"
	}
	return "Windows"
}
