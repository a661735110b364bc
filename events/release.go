package events

import "slices"

// maxRegions bounds the regions of one release; ECD has fewer than 30.
const maxRegions = 64

// maxImageName bounds an image's name, in characters. Source: CreateImage,
// "ImageName".
const maxImageName = 128

// A Release is the data of regild.image.published.v1: a golden image was
// published. It is only a hint; the image is read again from ECD.
type Release struct {
	// ReleaseID names the release. A release that gives none is named after
	// its image: the id in the first region by name.
	ReleaseID string `json:"releaseId"`
	// Image is the image's name, which fleets follow; "": read it from ECD.
	Image string `json:"image,omitempty"`
	// Images has the image's id in each region; images are regional.
	Images map[string]string `json:"images"`
	// DryRun publishes the plan and does nothing.
	DryRun bool `json:"dryRun,omitempty"`
	// PlanDigest, when set, demands that the plan made now is the one that was
	// shown before (see DigestPlan).
	PlanDigest string `json:"planDigest,omitempty"`
}

// ParseRelease reads a release: images by region, or regionId and imageId for
// one region. The fields osType and channel are allowed and not used, because
// image pipelines send them. The error, if any, is a *Faults.
func ParseRelease(data []byte) (Release, error) {
	r := read(data)
	rel := Release{
		ReleaseID: r.str("releaseId", checkRelease),
		Image:     r.str("image", checkText(maxImageName)),
	}
	rel.Images = r.images()
	if !r.has("images") {
		r.require("regionId", "name the region of the image, or give images by region")
		r.require("imageId", "name the image, or give images by region")
	}
	region, image := r.str("regionId", checkRegion), r.str("imageId", checkReleaseImage)
	switch {
	case !r.has("images"):
		rel.Images = map[string]string{region: image}
	case r.has("regionId") || r.has("imageId"):
		r.faults.add("images", "stands beside regionId or imageId; use images, or the pair, not both")
	}
	rel.DryRun = r.flag("dryRun")
	rel.PlanDigest = r.str("planDigest", checkDigest)
	r.str("osType", checkText(maxImageName))
	r.str("channel", checkText(maxImageName))

	if err := r.finish(); err != nil {
		return Release{}, err
	}
	if rel.ReleaseID == "" {
		rel.ReleaseID = rel.Images[slices.Min(sortedNames(rel.Images))]
	}
	return rel, nil
}

// images reads the map of images by region.
func (r *reader) images() map[string]string {
	v, there := r.field("images", object)
	if !there {
		return nil
	}
	regions := v.fields()
	if len(regions.list) == 0 {
		r.faults.add("images", "is empty; give at least one region and its image")
	}
	if len(regions.list) > maxRegions {
		r.faults.add("images", "has %d regions, more than the %d that are allowed", len(regions.list), maxRegions)
		return nil
	}
	images := map[string]string{}
	for _, m := range regions.list {
		region, image := string(m.Name), value(m.Value)
		at := "images." + region
		if problem := checkRegion(region); problem != "" {
			r.faults.add("images", "%s", problem)
			continue
		}
		if image.kind() != text {
			r.faults.add(at, "is %s; write the image's id", image.kind())
			continue
		}
		if problem := checkReleaseImage(image.text()); problem != "" {
			r.faults.add(at, "%s", problem)
			continue
		}
		images[region] = image.text()
	}
	for _, region := range unique(regions.twice) {
		r.faults.add("images."+path(region), "stands more than once; keep one")
	}
	return images
}
