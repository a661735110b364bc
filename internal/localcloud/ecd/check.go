package ecd

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// maxCount bounds what one declaration stands for, so that a slip of the pen in
// a state file does not take the machine's memory.
const maxCount = 200_000

// number is the one verb a pattern may hold.
var number = regexp.MustCompile(`%(0?)([0-9]{0,2})d`)

// expand returns the desktops that the declarations stand for, and what is
// wrong with their Counts.
func expand(declared []Desktop) ([]Desktop, []error) {
	var out []Desktop
	var faults []error
	for i, d := range declared {
		switch {
		case d.Count < 0 || d.Count > maxCount:
			faults = append(faults, fmt.Errorf("%s: count %d is not in 1..%d", label("desktop", d.ID, i), d.Count, maxCount))
		case d.Count > 1 && !number.MatchString(d.ID):
			faults = append(faults, fmt.Errorf("%s: an id for %d desktops needs a %%d", label("desktop", d.ID, i), d.Count))
		case d.Count == 0 && d.Cycle != nil:
			faults = append(faults, fmt.Errorf("%s: a cycle needs a count", label("desktop", d.ID, i)))
		case d.Count == 0:
			out = append(out, d.clone())
		default:
			for n := range d.Count {
				out = append(out, d.member(n))
			}
		}
	}
	return out, faults
}

// member returns the n-th desktop that a declaration stands for, n from 0.
func (d Desktop) member(n int) Desktop {
	out := d.clone()
	if c := d.Cycle; c != nil {
		turn(&out.Status, c.Status, n)
		turn(&out.Sessions, c.Sessions, n)
		turn(&out.ImageID, c.ImageID, n)
		turn(&out.OfficeSiteID, c.OfficeSiteID, n)
		turn(&out.PolicyGroupID, c.PolicyGroupID, n)
		turn(&out.GroupID, c.GroupID, n)
		turn(&out.Tags, c.Tags, n)
		turn(&out.RebuildTakes, c.RebuildTakes, n)
		turn(&out.EndsAs, c.EndsAs, n)
		turn(&out.Logons, c.Logons, n)
	}
	out.Sessions = slices.Clone(out.Sessions)
	out.Tags = maps.Clone(out.Tags)
	out.Logons = slices.Clone(out.Logons)
	first := d.From
	or(&first, 1)
	name := func(s *string) { *s = numbered(*s, first+n) }
	name(&out.ID)
	name(&out.Name)
	for i := range out.EndUsers {
		name(&out.EndUsers[i])
	}
	for i := range out.Sessions {
		name(&out.Sessions[i].User)
	}
	for i := range out.Logons {
		name(&out.Logons[i].User)
	}
	return out
}

func turn[T any](v *T, list []T, n int) {
	if len(list) > 0 {
		*v = list[n%len(list)]
	}
}

// numbered puts n in the place of %d, %5d or %05d.
func numbered(pattern string, n int) string {
	return number.ReplaceAllStringFunc(pattern, func(verb string) string {
		parts := number.FindStringSubmatch(verb)
		width, _ := strconv.Atoi(parts[2])
		digits, pad := strconv.Itoa(n), " "
		if parts[1] != "" {
			pad = "0"
		}
		return strings.Repeat(pad, max(0, width-len(digits))) + digits
	})
}

func label(kind, id string, i int) string {
	if id == "" {
		return fmt.Sprintf("%s number %d", kind, i+1)
	}
	return kind + " " + id
}

// checker collects what is wrong with one thing after another.
type checker struct {
	faults []error
	label  string
}

func (c *checker) want(ok bool, format string, args ...any) {
	if !ok {
		c.faults = append(c.faults, fmt.Errorf("%s: %s", c.label, fmt.Sprintf(format, args...)))
	}
}

// oneOf wants v to be empty or in the list, in any case of its letters.
func (c *checker) oneOf(field, v string, list ...string) {
	c.want(v == "" || slices.ContainsFunc(list, func(s string) bool { return strings.EqualFold(s, v) }),
		"%s %q is not one of %s", field, v, strings.Join(list, ", "))
}

// exactly wants v to be empty or in the list, as it is spelled there.
func (c *checker) exactly(field, v string, list ...string) {
	c.want(v == "" || slices.Contains(list, v), "%s %q is not one of %s", field, v, strings.Join(list, ", "))
}

func (c *checker) notNegative(field string, d time.Duration) {
	c.want(d >= 0, "%s %s is negative", field, d)
}

func checkImages(images []Image) []error {
	var c checker
	seen := map[string]bool{}
	for n, i := range images {
		c.label = label("image", i.ID, n)
		c.want(i.ID != "", "an id is missing")
		c.want(i.ID == "" || !seen[i.ID], "the id is used twice")
		seen[i.ID] = true
		c.want(i.RegionID == "" || knownRegion(i.RegionID), "region %q is unknown", i.RegionID)
		c.exactly("status", i.Status, Creating, Available, CreateFailed)
		c.exactly("type", i.Type, "CUSTOM", "SYSTEM")
		c.oneOf("os", i.OS, "windows", "linux")
		c.exactly("protocol", i.Protocol, "ASP", "HDX")
		c.exactly("sessionType", i.SessionType, "SINGLE_SESSION", "MULTIPLE_SESSION")
		c.exactly("endsAs", i.EndsAs, fails)
		c.want(i.GiB >= 0 && i.DataGiB >= 0, "a disk size is negative")
		c.notNegative("readyAfter", i.ReadyAfter)
		c.want(i.ReadyAfter == 0 || i.Status == Creating, "readyAfter is only for an image that is %s", Creating)
	}
	return c.faults
}

func checkDesktops(desktops []Desktop, images []Image) []error {
	var c checker
	seen := map[string]bool{}
	homes := map[string]string{}
	for _, i := range images {
		homes[i.ID] = i.RegionID
	}
	for n, d := range desktops {
		c.label = label("desktop", d.ID, n)
		c.want(d.ID != "", "an id is missing")
		c.want(d.ID == "" || !seen[d.ID], "the id is used twice")
		seen[d.ID] = true
		c.want(knownRegion(d.RegionID), "region %q is unknown", d.RegionID)
		c.want(d.ImageID != "", "an imageId is missing")
		home := homes[d.ImageID]
		c.want(home == "" || home == d.RegionID, "image %s is in %s, not in %s", d.ImageID, home, d.RegionID)
		c.desktop(d)
	}
	return c.faults
}

func (c *checker) desktop(d Desktop) {
	c.exactly("status", d.Status, Running, Stopped, Starting, Stopping, Rebuilding, Pending, Expired, Deleted, Failed, Hibernated)
	c.exactly("connection", d.Connection, Connected, Disconnected, Unknown)
	c.oneOf("os", d.OS, "windows", "linux")
	c.exactly("protocol", d.Protocol, "ASP", "HDX")
	c.exactly("sessionType", d.SessionType, "SINGLE_SESSION", "MULTIPLE_SESSION")
	c.exactly("chargeType", d.ChargeType, "PostPaid", "PrePaid")
	c.exactly("endsAs", d.EndsAs, fails)
	for _, f := range d.Flags {
		c.exactly("flag", f, "Migrating", "Updating")
	}
	for _, s := range d.Sessions {
		c.want(s.User != "", "a session has no user")
		c.notNegative("idle", s.Idle)
	}
	for _, l := range d.Logons {
		c.want(l.User != "", "a logon has no user")
		c.notNegative("at of a logon", l.At)
		c.notNegative("stays of a logon", l.Stays)
		c.exactly("fails of a logon", l.Fails, failsTicket, failsConnect)
	}
	c.notNegative("snapshotting.takes", d.Snapshotting.Takes)
	c.exactly("snapshotting.endsAs", d.Snapshotting.EndsAs, fails, sticks)
	systems := 0
	for _, k := range d.Disks {
		c.want(k.Type == "SYSTEM" || k.Type == "DATA", "disk type %q is not one of SYSTEM, DATA", k.Type)
		c.want(k.GiB > 0, "a disk has %d GiB", k.GiB)
		if k.Type == "SYSTEM" {
			systems++
		}
	}
	c.want(len(d.Disks) == 0 || systems == 1, "it has %d system disks", systems)
	for _, r := range d.Records {
		c.want(r.Status >= 0 && r.Status <= 2, "record status %d is not in 0..2", r.Status)
	}
	c.want(d.GPU >= 0, "gpu %v is negative", d.GPU)
	c.want(len(d.Tags) <= maxTags, "it has %d tags, more than %d", len(d.Tags), maxTags)
	for _, k := range sortedKeys(d.Tags) {
		c.want(tagFault(k, d.Tags[k]) == "", "tag %q: %s", k, tagFault(k, d.Tags[k]))
	}
	c.notNegative("rebuildTakes", d.RebuildTakes)
	c.notNegative("settles", d.Settles)
	c.notNegative("leaves", d.Leaves)
	c.notNegative("returns", d.Returns)
	c.notNegative("runCommand.takes", d.Command.Takes)
	for i, command := range d.Commands {
		c.notNegative(fmt.Sprintf("runCommands[%d].takes", i), command.Takes)
		c.notNegative(fmt.Sprintf("runCommands[%d].until", i), command.Until)
	}
	_, passes := settled[d.Status]
	c.want(d.Settles == 0 || passes, "settles is only for a status that passes, not for %q", d.Status)
}
