package ecd

import (
	"slices"
	"strings"
)

type imagesAnswer struct {
	id
	Images    []imageShown
	NextToken string
}

type imageShown struct {
	ImageId, Name, Description string
	ImageType, Status          string
	Progress                   string
	OsType, Platform           string
	GpuCategory                bool // a boolean here, a number of desktops
	ProtocolType, SessionType  string
	Size                       int
	DataDiskSize               int `json:",omitempty"`
	SharedCount                int
	SupportedLanguages         []string
	VolumeEncryptionEnabled    bool
	CreationTime, UpdateTime   string
}

func (s *Server) describeImages(c *call) (any, error) {
	region, p, err := c.paged("DescribeImages", 100)
	if err != nil {
		return nil, err
	}
	match, err := c.imageFilter()
	if err != nil {
		return nil, err
	}
	var found []*picture
	for _, i := range s.images {
		i.settle(c.now)
		if i.in(region) && match(&i.Image) {
			found = append(found, i)
		}
	}
	part, next := cut(found, p, func(i *picture) int { return i.position })
	answer := imagesAnswer{id: c.id(), Images: []imageShown{}, NextToken: next}
	for _, i := range part {
		answer.Images = append(answer.Images, showImage(&i.Image))
	}
	return answer, nil
}

// imageFilter reads what images are wanted. Whether an image suits an instance
// type is decided here by GPU alone: graphics types are the ones that have it.
func (c *call) imageFilter() (func(*Image) bool, error) {
	ids, err := c.list("ImageId", 100)
	if err != nil {
		return nil, err
	}
	kind, err := c.oneOf("ImageType", "SYSTEM", "CUSTOM")
	if err != nil {
		return nil, err
	}
	gpu, err := c.flag("GpuCategory", false)
	if err != nil {
		return nil, err
	}
	p := c.params
	is := func(name, got string) bool { return p[name] == "" || strings.EqualFold(p[name], got) }
	return func(i *Image) bool {
		return (len(ids) == 0 || slices.Contains(ids, i.ID)) &&
			(kind == "" || kind == i.Type) &&
			(p["GpuCategory"] == "" || gpu == i.GPU) &&
			(p["DesktopInstanceType"] == "" || strings.Contains(p["DesktopInstanceType"], "graphics") == i.GPU) &&
			(p["LanguageType"] == "" || slices.Contains(i.Languages, p["LanguageType"])) &&
			is("ImageStatus", i.Status) && is("ImageName", i.Name) && is("OsType", i.OS) &&
			is("ProtocolType", i.Protocol) && is("SessionType", i.SessionType)
	}, nil
}

func showImage(i *Image) imageShown {
	progress := "100%"
	switch i.Status {
	case Creating:
		progress = "50%"
	case CreateFailed:
		progress = "0%"
	}
	return imageShown{
		ImageId: i.ID, Name: i.Name, Description: i.Description,
		ImageType: i.Type, Status: i.Status, Progress: progress,
		OsType: strings.ToUpper(i.OS), Platform: i.Platform, GpuCategory: i.GPU,
		ProtocolType: i.Protocol, SessionType: i.SessionType,
		Size: i.GiB, DataDiskSize: i.DataGiB,
		SupportedLanguages: slices.Clone(i.Languages),
		CreationTime:       seconds(i.Created), UpdateTime: seconds(i.Created),
	}
}
