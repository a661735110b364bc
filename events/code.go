package events

import "sync"

// A Code is one of our own words for why an outcome is what it is. Where ECD
// spoke, an outcome carries ECD's code instead, unchanged.
type Code struct {
	Name string // PascalCase, as on the wire
	// Status is the status that the code usually goes with. A few go with
	// others too: OutcomeUnknown is deferred until it is settled and failed in
	// the end; DryRun tells of any.
	Status  Status
	Meaning string // one sentence
}

// The names of our codes. A new one gets a name here and a line in Codes; a
// test holds the two together.
const (
	CodeSuccess    = "Success"
	CodeReconciled = "Reconciled"
	CodeCompleted  = "Completed"
	CodeDryRun     = "DryRun"

	CodeAlreadyOnImage    = "AlreadyOnImage"
	CodeAlreadyRebuilding = "AlreadyRebuilding"
	CodeLeftFleet         = "LeftFleet"
	CodeChangedOutside    = "ChangedOutside"
	CodeSuperseded        = "Superseded"
	CodeSessionSkipped    = "SessionSkipped"

	CodeMalformedMessage     = "MalformedMessage"
	CodeInvalidRequest       = "InvalidRequest"
	CodeUnknownType          = "UnknownType"
	CodeWrongDoor            = "WrongDoor"
	CodeConflictingTargets   = "ConflictingTargets"
	CodeRequestIdReused      = "RequestIdReused"
	CodeAccountNotAllowed    = "AccountNotAllowed"
	CodeRegionNotAllowed     = "RegionNotAllowed"
	CodeImageNotFound        = "ImageNotFound"
	CodeImageNotAvailable    = "ImageNotAvailable"
	CodeDesktopNotFound      = "DesktopNotFound"
	CodeDesktopNotReady      = "DesktopNotReady"
	CodePooledDesktop        = "PooledDesktop"
	CodeGpuMismatch          = "GpuMismatch"
	CodeOsChangeForbidden    = "OsChangeForbidden"
	CodeOsChangeNeedsConsent = "OsChangeNeedsConsent"
	CodeDataDiskNeedsConsent = "DataDiskNeedsConsent"
	CodeSnapshotsNeedConsent = "SnapshotsNeedConsent"
	CodeSessionActive        = "SessionActive"
	CodeOutsideFleet         = "OutsideFleet"
	CodeFleetUnknown         = "FleetUnknown"
	CodeFleetEmpty           = "FleetEmpty"
	CodeFleetTooLarge        = "FleetTooLarge"
	CodeJournalFull          = "JournalFull"
	CodeNoFleetFollows       = "NoFleetFollows"
	CodeDowngrade            = "Downgrade"
	CodeImageReleasedBefore  = "ImageReleasedBefore"
	CodeDiskTooSmall         = "DiskTooSmall"
	CodeProtocolMismatch     = "ProtocolMismatch"
	CodeLanguageMismatch     = "LanguageMismatch"
	CodeCheckNeedsWindows    = "CheckNeedsWindows"
	CodeBeforeFailed         = "BeforeFailed"
	CodeSnapshotFailed       = "SnapshotFailed"
	CodeResetNeedsConsent    = "ResetNeedsConsent"
	CodeResetNeedsJournal    = "ResetNeedsJournal"
	CodeRolloutNeedsJournal  = "RolloutNeedsJournal"
	CodeNeedsTickKey         = "NeedsTickKey"
	CodeRolloutUnknown       = "RolloutUnknown"
	CodeControlNotPossible   = "ControlNotPossible"
	CodePlanChanged          = "PlanChanged"
	CodeAborted              = "Aborted"
	CodeEcsImage             = "EcsImage"
	CodeFactsUnavailable     = "FactsUnavailable"
	CodePanicked             = "Panicked"
	CodeUnlisted             = "Unlisted"

	CodeThrottled       = "Throttled"
	CodeTimeShort       = "TimeShort"
	CodeOutcomeUnknown  = "OutcomeUnknown"
	CodeImageCreating   = "ImageCreating"
	CodeWindowClosed    = "WindowClosed"
	CodeSessionWait     = "SessionWait"
	CodeStatusWait      = "StatusWait"
	CodeStopWait        = "StopWait"
	CodeScheduled       = "Scheduled"
	CodeRingAwaited     = "RingAwaited"
	CodeFrozen          = "Frozen"
	CodeNoticeGiven     = "NoticeGiven"
	CodeNoticeNotGiven  = "NoticeNotGiven"
	CodeNotNow          = "NotNow"
	CodeNotAsked        = "NotAsked"
	CodeSnapshotWait    = "SnapshotWait"
	CodeUseAwaited      = "UseAwaited"
	CodeAlarmActive     = "AlarmActive"
	CodeAlarmUnknown    = "AlarmUnknown"
	CodeSoaking         = "Soaking"
	CodeApprovalAwaited = "ApprovalAwaited"
	CodePaused          = "Paused"
	CodeMaxUnavailable  = "MaxUnavailable"

	CodeRebuildTimeout  = "RebuildTimeout"
	CodeRebuildFailed   = "RebuildFailed"
	CodeCheckFailed     = "CheckFailed"
	CodeNotAuthorized   = "NotAuthorized"
	CodeCallFailed      = "CallFailed"
	CodeTooManyFailures = "TooManyFailures"
	CodeTooFewUsed      = "TooFewUsed"
	CodeLogonsFailed    = "LogonsFailed"
	CodeRolloutTimeout  = "RolloutTimeout"
	CodeOpenedLate      = "OpenedLate"
)

// Codes is the closed list of our codes, by status.
var Codes = []Code{
	{CodeSuccess, StatusAccepted, "ECD has started the rebuild."},
	{CodeReconciled, StatusAccepted, "The call's answer was lost, but ECD shows that the rebuild began."},
	{CodeCompleted, StatusCompleted, "The desktop is on the new image and no longer rebuilding."},
	{CodeDryRun, StatusSkipped, "A dry run: the desktop would be rebuilt."},

	{CodeAlreadyOnImage, StatusSkipped, "The desktop is on the image already."},
	{CodeAlreadyRebuilding, StatusSkipped, "The desktop is being rebuilt to the image already."},
	{CodeLeftFleet, StatusSkipped, "The desktop is no longer in the fleet."},
	{CodeChangedOutside, StatusFailed, "Somebody else rebuilt, moved or released the desktop meanwhile; it is left as it is."},
	{CodeSuperseded, StatusSkipped, "A newer release for the fleet took over before the rebuild began."},
	{CodeSessionSkipped, StatusSkipped, "Somebody is connected, and the fleet's rule is to skip such a desktop."},

	{CodeMalformedMessage, StatusRefused, "The message cannot be read."},
	{CodeInvalidRequest, StatusRefused, "The message can be read, but fields are missing, unknown or wrong."},
	{CodeUnknownType, StatusRefused, "The CloudEvent is of a type that regild does not take."},
	{CodeWrongDoor, StatusRefused, "The message came through a door, or from a source, that may not say this; the message names it."},
	{CodeConflictingTargets, StatusRefused, "Another request of the same delivery wants the desktop under another spec; the first stands."},
	{CodeRequestIdReused, StatusRefused, "The request id was used before with other content."},
	{CodeAccountNotAllowed, StatusRefused, "No account of fleets.yaml has that id."},
	{CodeRegionNotAllowed, StatusRefused, "The region is not in REGILD_REGIONS or, for another account, not in its regions in fleets.yaml."},
	{CodeImageNotFound, StatusRefused, "ECD has no such image in the region."},
	{CodeImageNotAvailable, StatusRefused, "The image cannot be used: its status is neither Available nor on the way there."},
	{CodeDesktopNotFound, StatusRefused, "ECD lists no such desktop in the region."},
	{CodeDesktopNotReady, StatusRefused, "The desktop's status does not allow a rebuild and will not by itself."},
	{CodePooledDesktop, StatusRefused, "The desktop belongs to a desktop group, which RebuildDesktops is not for."},
	{CodeGpuMismatch, StatusRefused, "A GPU image does not go on a desktop without a GPU, nor the reverse; nor is a desktop or an image touched of which " +
		"ECD leaves that out."},
	{CodeOsChangeForbidden, StatusRefused, "Another OS family is not allowed in this region."},
	{CodeOsChangeNeedsConsent, StatusRefused, "Another OS family erases the data disk; it needs the consent os-change."},
	{CodeDataDiskNeedsConsent, StatusRefused, "The data disk would be replaced; it needs the consent data-disk."},
	{CodeSnapshotsNeedConsent, StatusRefused, "The rebuild would delete snapshots that the fleet keeps; it needs the consent snapshots."},
	{CodeSessionActive, StatusRefused, "Somebody is connected; it needs the consent sessions."},
	{CodeOutsideFleet, StatusRefused, "The desktop is in no fleet that allows requests."},
	{CodeFleetUnknown, StatusRefused, "No fleet of that name is declared."},
	{CodeFleetEmpty, StatusRefused, "The fleet has no desktop, or no further one; it is listed once more before its rollout ends."},
	{CodeFleetTooLarge, StatusRefused, "The fleet has more desktops than ECD lists or than the journal of one rollout holds; nothing more is begun."},
	{CodeJournalFull, StatusRefused, "The journal has room for what was begun and for nothing more."},
	{CodeNoFleetFollows, StatusRefused, "No fleet follows the image."},
	{CodeDowngrade, StatusRefused, "The image is older than the desktop's own; it needs the consent downgrade."},
	{CodeImageReleasedBefore, StatusRefused, "Another rollout is bringing the image to the fleet already."},
	{CodeDiskTooSmall, StatusRefused, "The image's system disk is larger than the desktop's."},
	{CodeProtocolMismatch, StatusRefused, "The image is made for another streaming protocol or session type than the desktop's."},
	{CodeLanguageMismatch, StatusRefused, "language goes with system images only, and on Linux only English does."},
	{CodeCheckNeedsWindows, StatusRefused, "The fleet checks with a command, which ECD runs on Windows only, and the image is of another OS."},
	{CodeBeforeFailed, StatusRefused, "The fleet's command before a rebuild failed on the desktop; nothing was touched."},
	{CodeSnapshotFailed, StatusRefused, "The data disk could not be saved as a snapshot before the rebuild that erases it, so nothing was touched. " +
		"With the status failed: ECD no longer lists the snapshot after the rebuild."},
	{CodeResetNeedsConsent, StatusRefused, "Resetting to the current image needs the consent reset."},
	{CodeResetNeedsJournal, StatusRefused, "Without a journal a second delivery of a reset cannot be told from a second reset."},
	{CodeRolloutNeedsJournal, StatusRefused, "A rollout with waves needs a journal."},
	{CodeNeedsTickKey, StatusRefused, "Maintenance mode and stopFirst need a journal, or ticks that are signed: else nothing remembers to give the desktop back."},
	{CodeRolloutUnknown, StatusRefused, "There is no such rollout."},
	{CodeControlNotPossible, StatusRefused, "The rollout or request is not in a state in which the command makes sense, or there is no such request or freeze."},
	{CodePlanChanged, StatusRefused, "The plan is no longer the one whose digest was demanded."},
	{CodeAborted, StatusRefused, "The rollout or request was aborted before the rebuild began."},
	{CodeEcsImage, StatusRefused, "The event speaks of an ECS image, which is not an image of ECD."},
	{CodeFactsUnavailable, StatusDeferred, "ECD could not be asked about the desktop; what cannot be asked is not touched."},
	{CodePanicked, StatusRefused, "Handling the message made the function panic; the message is set aside."},

	{CodeUnlisted, StatusDeferred, "regild's own reason is not in this list, which is a fault of regild; the message repeats it. It comes with any status."},
	{CodeThrottled, StatusDeferred, "ECD asked to slow down."},
	{CodeTimeShort, StatusDeferred, "The invocation's time ran short before the desktop's turn."},
	{CodeOutcomeUnknown, StatusDeferred, "The call's answer was lost or says nothing certain; the facts are read until they show whether the rebuild began."},
	{CodeImageCreating, StatusDeferred, "The image is still being made."},
	{CodeWindowClosed, StatusDeferred, "The maintenance window is closed."},
	{CodeSessionWait, StatusDeferred, "Somebody is connected; the desktop waits for its user to leave."},
	{CodeStatusWait, StatusDeferred, "The desktop is starting, stopping or rebuilding; it waits for that to pass."},
	{CodeStopWait, StatusDeferred, "The desktop was told to stop first."},
	{CodeScheduled, StatusDeferred, "The request names a time before which nothing begins."},
	{CodeRingAwaited, StatusDeferred, "The release has not completed on the fleets that this one comes after."},
	{CodeFrozen, StatusDeferred, "Somebody has frozen the region or the fleet until a time."},
	{CodeNoticeGiven, StatusDeferred, "The people at the desktop were told of the rebuild; it is not begun before the time that they were told."},
	{CodeNoticeNotGiven, StatusDeferred, "The people at the desktop could not be told of the rebuild; it waits, and is skipped or rebuilt in the end as " +
		"the fleet's sessions say."},
	{CodeNotNow, StatusDeferred, "The desktop said not now when it was asked before its rebuild, or a tag holds it back; it is skipped when that takes too long."},
	{CodeNotAsked, StatusDeferred, "The desktop cannot be asked whether it may be rebuilt; it is skipped when that takes too long."},
	{CodeSnapshotWait, StatusDeferred, "A snapshot of the data disk is being made before the rebuild that erases the disk."},
	{CodeUseAwaited, StatusDeferred, "Too few of a wave's desktops were used since they were rebuilt; the next wave waits for that, or for somebody to approve."},
	{CodeAlarmActive, StatusDeferred, "An alarm of the fleet is in ALARM: the next wave waits, and if it lasts the rollout halts."},
	{CodeAlarmUnknown, StatusDeferred, "CloudMonitor does not tell the state of an alarm of the fleet; the next wave waits."},
	{CodeSoaking, StatusDeferred, "A wave is done and its soak time is not over."},
	{CodeApprovalAwaited, StatusDeferred, "A wave is done and somebody has to approve it."},
	{CodePaused, StatusDeferred, "The rollout is paused."},
	{CodeMaxUnavailable, StatusDeferred, "As many desktops as allowed are being rebuilt already."},

	{CodeRebuildTimeout, StatusFailed, "The rebuild did not end within REGILD_REBUILD_TIMEOUT, or the fleet's rebuildTimeout."},
	{CodeRebuildFailed, StatusFailed, "ECD recorded that the rebuild failed."},
	{CodeCheckFailed, StatusFailed, "The check after the rebuild failed on the desktop."},
	{CodeNotAuthorized, StatusFailed, "The function's credentials may not do this."},
	{CodeCallFailed, StatusFailed, "The call to ECD failed before anything was started, and every try was used up."},
	{CodeTooManyFailures, StatusFailed, "More desktops failed than the fleet allows, so the rollout halted."},
	{CodeTooFewUsed, StatusFailed, "Too few of a wave's desktops were used in time, so the rollout halted."},
	{CodeLogonsFailed, StatusFailed, "More of the logons to a wave's desktops failed than the fleet allows, so the rollout halted."},
	{CodeRolloutTimeout, StatusFailed, "The rollout took longer than the fleet allows."},
	{CodeOpenedLate, StatusFailed, "Nobody could open it for a day: a rollout halts before it begins, a request is refused."},
}

// CodeNamed returns the code of that name, and whether there is one.
func CodeNamed(name string) (Code, bool) {
	c, listed := codesByName()[name]
	return c, listed
}

var codesByName = sync.OnceValue(func() map[string]Code {
	byName := map[string]Code{}
	for _, c := range Codes {
		byName[c.Name] = c
	}
	return byName
})
