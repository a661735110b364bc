package fleet

import (
	"slices"
	"strings"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/pattern"
)

// linuxWords are names that only Linux has, as parts of an image's name or of a
// system image's id (desktopimage-ubuntu-…), with a number behind them or none.
var linuxWords = pattern.Lazily(`(?i)(^|[^a-z])(linux|alinux|anolis|centos|debian|` +
	`deepin|fedora|kylin|neokylin|opensuse|redhat|rhel|rocky|suse|sles|ubuntu|uos)([^a-z]|$)`)

var windowsWords = pattern.Lazily(`(?i)(^|[^a-z])win(dows)?([^a-z]|$)`)

// saysLinux says whether a name is one of Linux, as far as a name can say.
func saysLinux(name string) bool {
	return linuxWords().MatchString(name) && !windowsWords().MatchString(name)
}

// systemImage begins the ids of the vendor's own images, which tell the OS; ids
// of other images tell nothing. Source: RebuildDesktops, "ImageId".
const systemImage = "desktopimage-"

// linuxOnly says why a fleet can have no desktop that Windows runs on after a
// rebuild, or "": then nobody knows, and each desktop is looked at. A desktop
// stays with its OS family unless the fleet consents to another.
func (f Fleet) linuxOnly() string {
	if len(f.Images) > 0 && !slices.ContainsFunc(f.Images, func(p string) bool { return !saysLinux(p) }) {
		return "the fleet follows images of Linux only"
	}
	ids := f.Select.ImageIDs
	other := func(id string) bool { return !strings.HasPrefix(id, systemImage) || !saysLinux(id) }
	if len(ids) > 0 && !slices.ContainsFunc(ids, other) && !slices.Contains(f.Rebuild.Consent, events.ConsentOSChange) {
		return "the fleet selects desktops of Linux only"
	}
	return ""
}
