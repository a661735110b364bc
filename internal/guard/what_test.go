package guard_test

import (
	"testing"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/guard"
)

func reset(q *guard.Question) {
	q.ImageID = ""
	q.Image = q.Current
}

func TestImageGuard(t *testing.T) {
	check(t, []line{
		{"not listed", func(q *guard.Question) { q.Image = nil }, guard.Refuse, events.CodeImageNotFound},
		{"being created", func(q *guard.Question) { q.Image.Status = desktop.ImageCreating }, guard.Wait, events.CodeImageCreating},
		{"creation failed", func(q *guard.Question) { q.Image.Status = desktop.ImageCreateFailed }, guard.Refuse, events.CodeImageNotAvailable},
		{"in a status that nobody knows", func(q *guard.Question) { q.Image.Status = "Resting" }, guard.Refuse, events.CodeImageNotAvailable},
		{"in no status", func(q *guard.Question) { q.Image.Status = "" }, guard.Refuse, events.CodeImageNotAvailable},
		{"a reset to an image that is gone", both(consent(events.ConsentReset), func(q *guard.Question) { q.ImageID, q.Image, q.Current = "", nil, nil }),
			guard.Refuse, events.CodeImageNotFound},
	})
}

func TestAlreadyGuard(t *testing.T) {
	on := func(q *guard.Question) { q.Desktop.ImageID = "m-new" }
	check(t, []line{
		{"on the image", on, guard.Skip, events.CodeAlreadyOnImage},
		{"on the image and stopped", both(on, func(q *guard.Question) { q.Desktop.Status = desktop.Stopped }), guard.Skip, events.CodeAlreadyOnImage},
		{"on its way there", both(on, func(q *guard.Question) { q.Desktop.Status = desktop.Rebuilding }), guard.Skip, events.CodeAlreadyRebuilding},
		{"no consent makes it wiped again", both(on, func(q *guard.Question) { q.Rules.Consents = events.Consents }), guard.Skip, events.CodeAlreadyOnImage},
		{"rebuilding to who knows what", func(q *guard.Question) { q.Desktop.Status = desktop.Rebuilding }, guard.Wait, events.CodeStatusWait},
	})
}

func TestGPUGuard(t *testing.T) {
	check(t, []line{
		{"image with, desktop without", func(q *guard.Question) { q.Image.GPU = true }, guard.Refuse, events.CodeGpuMismatch},
		{"desktop with, image without", func(q *guard.Question) { q.Desktop.GPU = true }, guard.Refuse, events.CodeGpuMismatch},
		{"both with", func(q *guard.Question) { q.Desktop.GPU, q.Image.GPU = true, true }, guard.Go, ""},
	})
}

// Bug 19 of the hard look: what ECD leaves out read as "no GPU".
func TestBug19AGPUThatNobodyKnowsOfIsRefused(t *testing.T) {
	check(t, []line{
		{"of the desktop", func(q *guard.Question) { q.Desktop.GPUUnknown = true }, guard.Refuse, events.CodeGpuMismatch},
		{"of the image", func(q *guard.Question) { q.Image.GPUUnknown = true }, guard.Refuse, events.CodeGpuMismatch},
		{"of both", func(q *guard.Question) { q.Image.GPUUnknown, q.Desktop.GPUUnknown = true, true }, guard.Refuse, events.CodeGpuMismatch},
		{"no consent helps", func(q *guard.Question) { q.Desktop.GPUUnknown, q.Rules.Consents = true, events.Consents }, guard.Refuse, events.CodeGpuMismatch},
	})
}

// Bug 20 of the hard look: a check that cannot be run halted the rollout.
func TestBug20ACommandIsForWindowsOnly(t *testing.T) {
	image := func(os string) func(*guard.Question) {
		return func(q *guard.Question) {
			q.Rules.Command, q.Image.OS = true, os
			q.Rules.Consents = []string{events.ConsentOSChange}
		}
	}
	linux := func(q *guard.Question) { q.Desktop.OS = "linux" }
	check(t, []line{
		{"Windows", image("windows"), guard.Go, ""},
		{"Linux", both(image("linux"), linux), guard.Refuse, events.CodeCheckNeedsWindows},
		{"Windows to Linux", image("linux"), guard.Refuse, events.CodeCheckNeedsWindows},
		{"Linux to Windows", both(image("windows"), linux), guard.Go, ""},
		{"nobody knows", image(""), guard.Refuse, events.CodeCheckNeedsWindows},
		{"no consent helps", both(image("linux"), func(q *guard.Question) { q.Rules.Consents = events.Consents }), guard.Refuse, events.CodeCheckNeedsWindows},
		{"no command", both(both(image("linux"), linux), func(q *guard.Question) { q.Rules.Command = false }), guard.Go, ""},
	})
}

// Bug 19 of the hard look: a language went out for images that take none.
func TestBug19ALanguageGoesWithSystemImagesOnlyAndWithLinuxOnlyEnglish(t *testing.T) {
	speaks := func(language, kind, os string) func(*guard.Question) {
		return func(q *guard.Question) {
			q.Language, q.Image.Type, q.Image.OS, q.Desktop.OS = language, kind, os, os
		}
	}
	check(t, []line{
		{"a custom image", speaks("en-US", "CUSTOM", "windows"), guard.Refuse, events.CodeLanguageMismatch},
		{"an image of unknown type", speaks("en-US", "", "windows"), guard.Refuse, events.CodeLanguageMismatch},
		{"a system image of Windows", speaks("ja-JP", "SYSTEM", "windows"), guard.Go, ""},
		{"a system image of Linux in English", speaks("en-US", "SYSTEM", "linux"), guard.Go, ""},
		{"a system image of Linux in another language", speaks("ja-JP", "SYSTEM", "linux"), guard.Refuse, events.CodeLanguageMismatch},
		{"no language", speaks("", "CUSTOM", "windows"), guard.Go, ""},
		{"a reset of a custom image", both(consent(events.ConsentReset), both(reset, func(q *guard.Question) { q.Language = "en-US" })), guard.Refuse, events.CodeLanguageMismatch},
	})
}

func TestSystemGuard(t *testing.T) {
	linux := func(q *guard.Question) { q.Image.OS = "linux" }
	in := func(region string) func(*guard.Question) {
		return func(q *guard.Question) { q.RegionID, q.Rules.Regions = region, []string{region} }
	}
	check(t, []line{
		{"another family in the mainland", linux, guard.Refuse, events.CodeOsChangeNeedsConsent},
		{"with consent", both(linux, consent(events.ConsentOSChange)), guard.Go, ""},
		{"another consent does not do", both(linux, consent(events.ConsentDataDisk)), guard.Refuse, events.CodeOsChangeNeedsConsent},
		{"abroad", both(linux, in("ap-southeast-1")), guard.Refuse, events.CodeOsChangeForbidden},
		{"abroad with consent", both(both(linux, in("ap-southeast-1")), consent(events.ConsentOSChange)), guard.Refuse, events.CodeOsChangeForbidden},
		{"in Hong Kong with consent", both(both(linux, in("cn-hongkong")), consent(events.ConsentOSChange)), guard.Refuse, events.CodeOsChangeForbidden},
		{"the same family abroad", in("ap-southeast-1"), guard.Go, ""},
		{"nobody knows either", func(q *guard.Question) { q.Image.OS, q.Desktop.OS = "", "" }, guard.Refuse, events.CodeOsChangeNeedsConsent},
	})
}

func TestProtocolGuard(t *testing.T) {
	check(t, []line{
		{"another protocol", func(q *guard.Question) { q.Image.Protocol = "HDX" }, guard.Refuse, events.CodeProtocolMismatch},
		{"another session type", func(q *guard.Question) { q.Image.SessionType = "MULTIPLE_SESSION" }, guard.Refuse, events.CodeProtocolMismatch},
		{"the same, spelt otherwise", func(q *guard.Question) { q.Image.Protocol = "asp" }, guard.Go, ""},
		{"an image that says nothing", func(q *guard.Question) { q.Image.Protocol, q.Image.SessionType = "", "" }, guard.Go, ""},
		{"a desktop that says nothing", func(q *guard.Question) { q.Desktop.Protocol, q.Desktop.SessionType = "", "" }, guard.Go, ""},
	})
}

func TestDiskGuard(t *testing.T) {
	check(t, []line{
		{"too small", func(q *guard.Question) { q.Image.SizeGiB = 81 }, guard.Refuse, events.CodeDiskTooSmall},
		{"larger than need be", func(q *guard.Question) { q.Desktop.SystemDiskGiB = 200 }, guard.Go, ""},
		{"an image of unknown size", func(q *guard.Question) { q.Image.SizeGiB = 0 }, guard.Refuse, events.CodeDiskTooSmall},
		{"a desktop of unknown size", func(q *guard.Question) { q.Desktop.SystemDiskGiB = 0 }, guard.Refuse, events.CodeDiskTooSmall},
	})
}

func TestDataDiskGuard(t *testing.T) {
	replace := func(q *guard.Question) { q.OperateType, q.Desktop.DataDisks = "replace", 1 }
	check(t, []line{
		{"replaced", replace, guard.Refuse, events.CodeDataDiskNeedsConsent},
		{"replaced with consent", both(replace, consent(events.ConsentDataDisk)), guard.Go, ""},
		{"another consent does not do", both(replace, consent(events.ConsentOSChange)), guard.Refuse, events.CodeDataDiskNeedsConsent},
		{"kept", func(q *guard.Question) { q.Desktop.DataDisks = 1 }, guard.Go, ""},
		{"none there", func(q *guard.Question) { q.OperateType = "replace" }, guard.Go, ""},
	})
}

// Bug 19 of the hard look: a rebuild deletes snapshots, and nobody said so.
func TestBug19SnapshotsThatAFleetKeepsAreNotDeletedWithoutConsent(t *testing.T) {
	keep := func(k guard.Keep, list ...desktop.Snapshot) func(*guard.Question) {
		return func(q *guard.Question) {
			q.Rules.Keep, q.Snapshots = k, append([]desktop.Snapshot{}, list...)
		}
	}
	mine, auto, data := desktop.Snapshot{}, desktop.Snapshot{Auto: true}, desktop.Snapshot{DataDisk: true}
	replace := func(q *guard.Question) { q.OperateType = "replace" }
	linux := both(consent(events.ConsentOSChange), func(q *guard.Question) { q.Image.OS = "linux" })
	const code = events.CodeSnapshotsNeedConsent
	check(t, []line{
		{"none are kept", keep(guard.KeepNone, mine, auto, data), guard.Go, ""},
		{"none are there", keep(guard.KeepAll), guard.Go, ""},
		{"one by hand", keep(guard.KeepByHand, mine), guard.Refuse, code},
		{"one by hand with consent", both(keep(guard.KeepByHand, mine), consent(events.ConsentSnapshots)), guard.Go, ""},
		{"another consent does not do", both(keep(guard.KeepByHand, mine), consent(events.ConsentDataDisk)), guard.Refuse, code},
		{"a policy's", keep(guard.KeepByHand, auto), guard.Go, ""},
		{"a policy's where all are kept", keep(guard.KeepAll, auto), guard.Refuse, code},
		{"of a data disk that stays", keep(guard.KeepAll, data), guard.Go, ""},
		{"of a data disk that is replaced", both(keep(guard.KeepAll, data), replace), guard.Refuse, code},
		{"of a data disk that another OS erases", both(keep(guard.KeepAll, data), linux), guard.Refuse, code},
		{"for a reset", both(both(keep(guard.KeepByHand, mine), reset), consent(events.ConsentReset)), guard.Refuse, code},
		{"nobody was asked", func(q *guard.Question) { q.Rules.Keep = guard.KeepByHand }, guard.Refuse, code},
		{"nobody was asked, with consent", both(consent(events.ConsentSnapshots), func(q *guard.Question) { q.Rules.Keep = guard.KeepByHand }), guard.Go, ""},
	})
	q := good()
	both(keep(guard.KeepAll, mine, auto, data), replace)(&q)
	if got, want := guard.Losses(q), "rebuilding desktop ecd-1 deletes 2 snapshots of its system disk and 1 snapshot of its data disk"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDowngradeGuard(t *testing.T) {
	older := func(q *guard.Question) { q.Image.Created = made.AddDate(0, -1, 0) }
	check(t, []line{
		{"older", older, guard.Refuse, events.CodeDowngrade},
		{"older with consent", both(older, consent(events.ConsentDowngrade)), guard.Go, ""},
		{"of the same moment", func(q *guard.Question) { q.Image.Created = made }, guard.Go, ""},
		{"the present image is no longer listed", func(q *guard.Question) { q.Current = nil }, guard.Refuse, events.CodeDowngrade},
		{"no longer listed, with consent", both(func(q *guard.Question) { q.Current = nil }, consent(events.ConsentDowngrade)), guard.Go, ""},
		{"of unknown age", func(q *guard.Question) { q.Image.Created = time.Time{} }, guard.Refuse, events.CodeDowngrade},
		{"after one of unknown age", func(q *guard.Question) { q.Current.Created = time.Time{} }, guard.Refuse, events.CodeDowngrade},
	})
}

func TestResetGuard(t *testing.T) {
	check(t, []line{
		{"without consent", reset, guard.Refuse, events.CodeResetNeedsConsent},
		{"with consent", both(reset, consent(events.ConsentReset)), guard.Go, ""},
		{"with consent and no journal", both(both(reset, consent(events.ConsentReset)), func(q *guard.Question) { q.Rules.Journal = false }),
			guard.Refuse, events.CodeResetNeedsJournal},
		{"a rebuild without journal", func(q *guard.Question) { q.Rules.Journal = false }, guard.Go, ""},
	})
}

// ECD leaves out which image a desktop is on. It was rebuilt though it had the image, with
// the consent downgrade, by which the age of its own does not matter.
func TestADesktopWhoseImageIsNotKnownWaits(t *testing.T) {
	check(t, []line{
		{"unknown", func(q *guard.Question) {
			q.Desktop.ImageID, q.Current, q.Rules.Consents = "", nil, []string{events.ConsentDowngrade}
		}, guard.Wait, events.CodeStatusWait},
		{"unknown, reset", func(q *guard.Question) { q.Desktop.ImageID, q.ImageID, q.Image = "", "", nil }, guard.Wait, events.CodeStatusWait},
		{"unknown, so that its fleet is not either", func(q *guard.Question) { q.Desktop.ImageID, q.Rules.Outside = "", true }, guard.Wait, events.CodeStatusWait},
		{"unknown, of a desktop that is no good", func(q *guard.Question) { q.Desktop.ImageID, q.Desktop.Status = "", "Failed" }, guard.Refuse, events.CodeDesktopNotReady},
	})
}
