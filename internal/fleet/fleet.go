// Package fleet knows what fleets.yaml says: which desktops follow which image
// names, and how they may be rebuilt.
//
// Parse reads the file strictly and reports every fault at once, each with its
// line and column. What it returns are plain values: a Fleet says which
// desktops are its own (Contains, Fleets.Of) and carries a Strategy, which says
// how a release goes over them (canary, waves, limits, windows, sessions).
// Everything here is pure: no clock, no client, no file is opened.
//
// Two rules hold everywhere. A desktop belongs to at most one fleet, the first
// in the file that contains it. And what is not written is the careful choice:
// no direct requests, a canary of one, no failure in it, nobody disconnected.
//
// The format is described for people in fleets.yaml at the root of the project,
// which works as it is, and for editors in events/schema/fleets.schema.json;
// tests hold the two and this package in agreement.
package fleet

import (
	"path"
	"slices"

	"github.com/regild/regild/internal/desktop"
)

// Fleets are the fleets of one file, in the order of the file. The order
// decides who owns a desktop; see Of. The value is not changed after Parse and
// may be shared between goroutines.
type Fleets []Fleet

// A Fleet is a set of desktops in one region that follow an image name, and how
// they may be rebuilt.
type Fleet struct {
	Name   string // unique in the file: [a-z0-9][a-z0-9-]{0,62}
	Region string // such as cn-hangzhou
	// Account is whose desktops they are. Default: the function's own account, which
	// is the zero value.
	Account Account
	// Images are the patterns of the image names that the fleet follows, in the
	// manner of path.Match: * is any run of characters without a slash, ? is one
	// such character, [a-z] one of a range, and a backslash takes away a special
	// meaning. A pattern must match the whole name, case included.
	Images  []string
	Select  desktop.Selector // the zero value ("select: all") means every desktop of the region
	Exclude Exclusion
	// Requests says whether a request may name the fleet's desktops directly.
	// Default false: only releases rebuild them.
	Requests bool
	// After are fleets of the file on which a release must have completed before it
	// begins here. Default: none.
	After []string
	// From says who may say what about the fleet. Default: whoever may send.
	From From
	// ConsentFrom are the doors through which consents count, in requests and in
	// what rollouts are told. None: all.
	ConsentFrom []string
	Rebuild     Rebuild
	Strategy    Strategy
}

// Place returns where the fleet's desktops are.
func (f Fleet) Place() desktop.Place { return desktop.Place{Account: f.Account.ID, Region: f.Region} }

// An Exclusion says which desktops are not of the fleet though its selector
// means them. One match of any kind excludes: an id or a tag or a site and so
// on; any one of its tags. The zero Exclusion excludes nobody.
type Exclusion desktop.Selector

// Matches says whether d is excluded. Tags must have been read into d when e
// names any: a desktop whose tags were not read (nil) counts as excluded then.
func (e Exclusion) Matches(d desktop.Desktop) bool {
	if slices.Contains(e.IDs, d.ID) || slices.Contains(e.OfficeSiteIDs, d.OfficeSiteID) ||
		slices.Contains(e.PolicyGroupIDs, d.PolicyGroupID) || slices.Contains(e.ImageIDs, d.ImageID) {
		return true
	}
	if len(e.Tags) > 0 && d.Tags == nil {
		return true
	}
	for k, v := range e.Tags {
		if got, ok := d.Tags[k]; ok && (v == "" || got == v) {
			return true
		}
	}
	return false
}

// A Rebuild holds the options of the RebuildDesktops calls of a fleet's
// rollouts, and what the fleet's owner knowingly destroys. The zero value keeps
// data disks, leaves language and status to ECD and consents to nothing.
type Rebuild struct {
	OperateType string // "" or "replace": the data disk is replaced too
	Language    string // "", en-US, zh-HK, zh-CN or ja-JP; system images only
	AfterStatus string // "", Running or Stopped
	// KeepSnapshots says which snapshots of a desktop keep it from being rebuilt
	// unless somebody consents to losing them: KeepByHand, KeepAll, or "" for none,
	// and then nobody asks ECD for them. It holds for requests as well. A rebuild
	// deletes the snapshots of the system disk, and those of a data disk that it
	// erases. Source: RebuildDesktops.
	KeepSnapshots string
	// Consent holds any of os-change, data-disk, sessions, downgrade and snapshots,
	// as in a request. The consent reset has no meaning here: a release names an
	// image.
	Consent []string
}

// What KeepSnapshots may be.
const (
	KeepByHand = "user" // those that somebody made
	KeepAll    = "all"  // and those of automatic policies
)

// Following returns the fleets of the place that follow an image of that name,
// in file order. A desktop that several of them contain belongs to the first
// fleet of the whole file that contains it; ask Of before acting on one.
func (fs Fleets) Following(imageName string, at desktop.Place) []Fleet {
	var out []Fleet
	for _, f := range fs {
		if f.Place() == at && f.Follows(imageName) {
			out = append(out, f)
		}
	}
	return out
}

// Follows says whether one of the fleet's patterns matches the image name.
func (f Fleet) Follows(imageName string) bool {
	for _, p := range f.Images {
		if ok, err := path.Match(p, imageName); ok && err == nil {
			return true
		}
	}
	return false
}

// Of returns the fleet that d belongs to: the first one in the file that
// contains it, whatever images the fleets follow. It returns nil when there
// is none, and also when it cannot know: when a fleet that would be asked
// decides by tags and the tags of d were not read (nil). See NeedTags. The caller
// must not change it.
func (fs Fleets) Of(d desktop.Desktop) *Fleet {
	for i := range fs {
		f := &fs[i]
		if f.Place() != d.Place() {
			continue
		}
		if d.Tags == nil && f.byTags() {
			return nil
		}
		if f.Contains(d) {
			return f
		}
	}
	return nil
}

// Contains says whether d is in the fleet's account and region, is meant by its selector
// and is not excluded. It does not look at the other fleets; Of does.
//
// A fleet that selects by current image loses a desktop the moment it is
// rebuilt: a rollout must remember whom it began.
func (f *Fleet) Contains(d desktop.Desktop) bool {
	return d.Place() == f.Place() && f.Select.Matches(d) && !f.Exclude.Matches(d)
}

// NeedTags says whether any fleet of the place uses tags in its selector, its
// exclusions, its canary or its holds, so that tags must be read before asking about the
// desktops there. A desktop without tags then carries an empty map, not nil.
func (fs Fleets) NeedTags(at desktop.Place) bool {
	return slices.ContainsFunc(fs, func(f Fleet) bool {
		return f.Place() == at && (f.byTags() || len(f.Strategy.Canary.Tags) > 0 || f.Strategy.Holds.Tag != "")
	})
}

func (f *Fleet) byTags() bool { return len(f.Select.Tags) > 0 || len(f.Exclude.Tags) > 0 }

// Spec returns the options under which the fleet's desktops are rebuilt to an image.
func (f Fleet) Spec(imageID string) desktop.Spec {
	return desktop.Spec{AccountID: f.Account.ID, RegionID: f.Region, ImageID: imageID, OperateType: f.Rebuild.OperateType,
		Language: f.Rebuild.Language, AfterStatus: f.Rebuild.AfterStatus}
}
