package guard

import (
	"fmt"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
)

// onImage waits for an answer of ECD that says which image the desktop is on: it may have
// the wanted one.
func onImage(q Question) Verdict {
	if q.Desktop.ImageID != "" {
		return none
	}
	if v := status(q); v.Answer == Refuse {
		return v
	}
	return wait(q, "ECD does not say which image it is on")
}

// image refuses an image that is absent or broken, and waits for one that is
// still being made.
func image(q Question) Verdict {
	id := q.ImageID
	if q.Reset() {
		id = q.Desktop.ImageID
	}
	switch {
	case q.Image == nil:
		return refuse(events.CodeImageNotFound, "ECD lists no image %s in %s; images are regional", id, q.Place())
	case q.Image.Status == desktop.ImageAvailable:
		return none
	case q.Image.Status == desktop.ImageCreating:
		return Verdict{Wait, events.CodeImageCreating, fmt.Sprintf("image %s is still being created", id)}
	}
	return refuse(events.CodeImageNotAvailable, "image %s is %s, not Available", id, word(q.Image.Status))
}

// already skips a desktop that is on the image, or on its way there.
func already(q Question) Verdict {
	if q.Reset() || q.Desktop.ImageID != q.ImageID {
		return none
	}
	if q.Desktop.Status == desktop.Rebuilding {
		return Verdict{Skip, events.CodeAlreadyRebuilding, fmt.Sprintf("desktop %s is being rebuilt to %s already", q.ID, q.ImageID)}
	}
	return Verdict{Skip, events.CodeAlreadyOnImage, fmt.Sprintf("desktop %s is on %s already", q.ID, q.ImageID)}
}

// gpu refuses a GPU image on a desktop without GPU and the reverse, and what ECD
// says nothing of.
func gpu(q Question) Verdict {
	if q.Image.GPUUnknown || q.Desktop.GPUUnknown {
		what := fmt.Sprintf("desktop %s has a GPU", q.ID)
		if q.Image.GPUUnknown {
			what = fmt.Sprintf("image %s is made for desktops with a GPU", q.Image.ID)
		}
		return refuse(events.CodeGpuMismatch, "ECD does not say whether %s; what is not known is not rebuilt", what)
	}
	if q.Image.GPU == q.Desktop.GPU {
		return none
	}
	made := map[bool]string{true: "for desktops with a GPU", false: "for desktops without GPU"}
	return refuse(events.CodeGpuMismatch, "image %s is %s, desktop %s is not one", q.Image.ID, made[q.Image.GPU], q.ID)
}

// system guards a change of the OS family: outside the mainland (Hong Kong
// counts as outside) it is forbidden, inside it erases the data disk. Source:
// RebuildDesktops; where its wordings differ, the wider one is taken.
func system(q Question) Verdict {
	was, will := q.Desktop.OS, q.Image.OS
	if was == will && was != "" {
		return none
	}
	change := fmt.Sprintf("from %s to %s", word(was), word(will))
	if !mainland(q.RegionID) {
		return refuse(events.CodeOsChangeForbidden,
			"rebuilding desktop %s %s is forbidden in %s; choose an image of the same OS family", q.ID, change, q.RegionID)
	}
	if q.Rules.consents(events.ConsentOSChange) {
		return none
	}
	return refuse(events.CodeOsChangeNeedsConsent,
		"rebuilding desktop %s %s erases its data disk; send the consent os-change if that is meant", q.ID, change)
}

func mainland(region string) bool {
	return strings.HasPrefix(region, "cn-") && region != "cn-hongkong"
}

// command refuses an image on which the fleet's check cannot be run: ECD runs
// commands on Windows only. What counts is the image, since the check comes after
// the rebuild. Source: RunCommand.
func command(q Question) Verdict {
	if !q.Rules.Command || q.Image.OS == desktop.Windows {
		return none
	}
	return refuse(events.CodeCheckNeedsWindows,
		"image %s for desktop %s is of %s, and the fleet's check.command runs on Windows only; give such desktops a fleet without one",
		q.Image.ID, q.ID, word(q.Image.OS))
}

// language refuses a language for an image that takes none: only those of the
// vendor do, and those of Linux take English alone. Source: RebuildDesktops,
// "Language".
func language(q Question) Verdict {
	switch {
	case q.Language == "":
		return none
	case q.Image.Type != desktop.SystemImage:
		return refuse(events.CodeLanguageMismatch, "language %s goes with a system image, and image %s is %s; leave language out",
			q.Language, q.Image.ID, word(strings.ToLower(q.Image.Type)))
	case q.Image.OS != desktop.Windows && q.Language != english:
		return refuse(events.CodeLanguageMismatch, "image %s is of %s, which takes the language %s only, not %s",
			q.Image.ID, word(q.Image.OS), english, q.Language)
	}
	return none
}

const english = "en-US"

// protocol refuses an image made for another streaming protocol or session
// type. Whether ECD would refuse it by itself is not published.
func protocol(q Question) Verdict {
	for _, p := range []struct{ what, image, desktop string }{
		{"protocol", q.Image.Protocol, q.Desktop.Protocol},
		{"session type", q.Image.SessionType, q.Desktop.SessionType},
	} {
		if p.image != "" && p.desktop != "" && !strings.EqualFold(p.image, p.desktop) {
			return refuse(events.CodeProtocolMismatch, "image %s has the %s %s, desktop %s has %s", q.Image.ID, p.what, p.image, q.ID, p.desktop)
		}
	}
	return none
}

// disk refuses an image whose system disk is larger than the desktop's.
func disk(q Question) Verdict {
	if q.Image.SizeGiB > 0 && q.Desktop.SystemDiskGiB >= q.Image.SizeGiB {
		return none
	}
	return refuse(events.CodeDiskTooSmall, "image %s needs a system disk of %s, desktop %s has %s",
		q.Image.ID, gib(q.Image.SizeGiB), q.ID, gib(q.Desktop.SystemDiskGiB))
}

// dataDisk refuses to replace a data disk without consent.
func dataDisk(q Question) Verdict {
	if q.OperateType == "" || q.Desktop.DataDisks == 0 || q.Rules.consents(events.ConsentDataDisk) {
		return none
	}
	return refuse(events.CodeDataDiskNeedsConsent,
		"operateType %s erases the data disk of desktop %s; leave it out, or send the consent data-disk", q.OperateType, q.ID)
}

// snapshots refuses to delete snapshots that the fleet keeps.
func snapshots(q Question) Verdict {
	if q.Rules.Keep == KeepNone || q.Rules.consents(events.ConsentSnapshots) {
		return none
	}
	if q.Snapshots == nil {
		return refuse(events.CodeSnapshotsNeedConsent,
			"which snapshots desktop %s has is not known; send the consent snapshots if they may be deleted", q.ID)
	}
	if lost := Losses(q); lost != "" {
		return refuse(events.CodeSnapshotsNeedConsent, "%s; send the consent snapshots if that is meant", lost)
	}
	return none
}

// Losses says which snapshots a rebuild would delete, of those that the fleet
// keeps, or "". Every rebuild deletes those of the system disk; those of a data
// disk go with it, when the OS family changes or operateType replaces it. Source:
// RebuildDesktops.
func Losses(q Question) string {
	if q.Rules.Keep == KeepNone || q.Desktop == nil || q.Image == nil {
		return ""
	}
	erased := q.OperateType != "" || q.Image.OS != q.Desktop.OS || q.Image.OS == ""
	var system, data int
	for _, s := range q.Snapshots {
		switch {
		case s.State == desktop.SnapshotFailed, s.Auto && q.Rules.Keep != KeepAll:
		case !s.DataDisk:
			system++
		case erased:
			data++
		}
	}
	var lost []string
	if system > 0 {
		lost = append(lost, counted(system, "snapshot")+" of its system disk")
	}
	if data > 0 {
		lost = append(lost, counted(data, "snapshot")+" of its data disk")
	}
	if lost == nil {
		return ""
	}
	return fmt.Sprintf("rebuilding desktop %s deletes %s", q.ID, strings.Join(lost, " and "))
}

func counted(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// downgrade refuses an image that is older than the desktop's own, or whose age
// cannot be compared.
func downgrade(q Question) Verdict {
	if q.Reset() || q.Rules.consents(events.ConsentDowngrade) {
		return none
	}
	const mend = "; send the consent downgrade if that is meant"
	switch {
	case q.Current == nil || q.Current.Created.IsZero() || q.Image.Created.IsZero():
		return refuse(events.CodeDowngrade, "ECD does not say whether image %s is newer than %s, which desktop %s is on%s",
			q.ImageID, word(q.Desktop.ImageID), q.ID, mend)
	case q.Image.Created.Before(q.Current.Created):
		return refuse(events.CodeDowngrade, "image %s (%s) is older than %s (%s), which desktop %s is on%s", q.ImageID,
			q.Image.Created.UTC().Format("2006-01-02"), q.Current.ID, q.Current.Created.UTC().Format("2006-01-02"), q.ID, mend)
	}
	return none
}

// reset refuses to rebuild a desktop to the image it has unless the sender says
// so and a journal tells a second delivery from a second wish: nothing in ECD
// does.
func reset(q Question) Verdict {
	switch {
	case !q.Reset():
		return none
	case !q.Rules.consents(events.ConsentReset):
		return refuse(events.CodeResetNeedsConsent,
			"without imageId desktop %s would be reset to its own image; send the consent reset if that is meant", q.ID)
	case !q.Rules.Journal:
		return refuse(events.CodeResetNeedsJournal,
			"desktop %s is not reset without a journal, since a second delivery would wipe it again; set REGILD_JOURNAL", q.ID)
	}
	return none
}

func word(s string) string {
	if s == "" {
		return "unknown"
	}
	return s
}

func gib(n int) string {
	if n == 0 {
		return "unknown size"
	}
	return fmt.Sprintf("%d GiB", n)
}
