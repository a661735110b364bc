package ecd

import "strings"

type snapshotsAnswer struct {
	id
	Snapshots []snapshotShown
	NextToken string
}

type snapshotShown struct {
	SnapshotId, SnapshotName     string
	SnapshotType, SourceDiskType string
	Status, Progress             string
	DesktopId, DesktopName       string
	DesktopStatus, CreationTime  string
}

// describeSnapshots shows a region's snapshots, or those of one desktop; one
// that is not there has none.
func (s *Server) describeSnapshots(c *call) (any, error) {
	region, p, err := c.paged("DescribeSnapshots", 100)
	if err != nil {
		return nil, err
	}
	kind, err := c.oneOf("SnapshotType", "all", "auto", "user")
	if err != nil {
		return nil, err
	}
	type numbered struct {
		shown    snapshotShown
		position int
	}
	var found []numbered
	n := 0
	for _, e := range s.order {
		for _, snap := range e.Snapshots {
			n++
			made := "USER"
			if snap.Auto {
				made = "AUTO"
			}
			if e.RegionID != region || e.Ghost || !is(c.params["DesktopId"], e.ID) || !is(c.params["SourceDiskType"], snap.Disk) ||
				kind != "" && kind != "all" && !strings.EqualFold(kind, made) {
				continue
			}
			found = append(found, numbered{snapshotShown{
				SnapshotId: snap.ID, SnapshotName: snap.ID, SnapshotType: made, SourceDiskType: snap.Disk, Status: snap.Status,
				Progress: "100%", DesktopId: e.ID, DesktopName: e.Name, DesktopStatus: e.Status, CreationTime: seconds(snap.Created),
			}, n})
		}
	}
	part, next := cut(found, p, func(f numbered) int { return f.position })
	answer := snapshotsAnswer{id: c.id(), Snapshots: []snapshotShown{}, NextToken: next}
	for _, f := range part {
		answer.Snapshots = append(answer.Snapshots, f.shown)
	}
	return answer, nil
}
