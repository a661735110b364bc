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

// Our codes, by status. A new one is a line here, and nothing else.
var (
	CodeSuccess    = code("Success", StatusAccepted, "ECD has started the rebuild.")
	CodeReconciled = code("Reconciled", StatusAccepted, "The call's answer was lost, but ECD shows that the rebuild began.")
	CodeCompleted  = code("Completed", StatusCompleted, "The desktop is on the new image and no longer rebuilding.")
	CodeDryRun     = code("DryRun", StatusSkipped, "A dry run: the desktop would be rebuilt.")

	CodeAlreadyOnImage    = code("AlreadyOnImage", StatusSkipped, "The desktop is on the image already.")
	CodeAlreadyRebuilding = code("AlreadyRebuilding", StatusSkipped, "The desktop is being rebuilt to the image already.")
	CodeLeftFleet         = code("LeftFleet", StatusSkipped, "The desktop is no longer in the fleet.")
	CodeChangedOutside    = code("ChangedOutside", StatusFailed, "Somebody else rebuilt, moved or released the desktop meanwhile; it is left as it is.")
	CodeSuperseded        = code("Superseded", StatusSkipped, "A newer release for the fleet took over before the rebuild began.")
	CodeSessionSkipped    = code("SessionSkipped", StatusSkipped, "Somebody is connected, and the fleet's rule is to skip such a desktop.")

	CodeMalformedMessage   = code("MalformedMessage", StatusRefused, "The message cannot be read.")
	CodeInvalidRequest     = code("InvalidRequest", StatusRefused, "The message can be read, but fields are missing, unknown or wrong.")
	CodeUnknownType        = code("UnknownType", StatusRefused, "The CloudEvent is of a type that regild does not take.")
	CodeWrongDoor          = code("WrongDoor", StatusRefused, "The message came through a door, or from a source, that may not say this; the message names it.")
	CodeConflictingTargets = code("ConflictingTargets", StatusRefused,
		"Another request of the same delivery wants the desktop under another spec; the first stands.")
	CodeRequestIdReused   = code("RequestIdReused", StatusRefused, "The request id was used before with other content.")
	CodeAccountNotAllowed = code("AccountNotAllowed", StatusRefused, "No account of fleets.yaml has that id.")
	CodeRegionNotAllowed  = code("RegionNotAllowed", StatusRefused,
		"The region is not in REGILD_REGIONS or, for another account, not in its regions in fleets.yaml.")
	CodeImageNotFound     = code("ImageNotFound", StatusRefused, "ECD has no such image in the region.")
	CodeImageNotAvailable = code("ImageNotAvailable", StatusRefused, "The image cannot be used: its status is neither Available nor on the way there.")
	CodeDesktopNotFound   = code("DesktopNotFound", StatusRefused, "ECD lists no such desktop in the region.")
	CodeDesktopNotReady   = code("DesktopNotReady", StatusRefused, "The desktop's status does not allow a rebuild and will not by itself.")
	CodePooledDesktop     = code("PooledDesktop", StatusRefused, "The desktop belongs to a desktop group, which RebuildDesktops is not for.")
	CodeGpuMismatch       = code("GpuMismatch", StatusRefused,
		"A GPU image does not go on a desktop without a GPU, nor the reverse; nor is a desktop or an image touched of which ECD leaves that out.")
	CodeOsChangeForbidden    = code("OsChangeForbidden", StatusRefused, "Another OS family is not allowed in this region.")
	CodeOsChangeNeedsConsent = code("OsChangeNeedsConsent", StatusRefused, "Another OS family erases the data disk; it needs the consent os-change.")
	CodeDataDiskNeedsConsent = code("DataDiskNeedsConsent", StatusRefused, "The data disk would be replaced; it needs the consent data-disk.")
	CodeSnapshotsNeedConsent = code("SnapshotsNeedConsent", StatusRefused,
		"The rebuild would delete snapshots that the fleet keeps; it needs the consent snapshots.")
	CodeSessionActive = code("SessionActive", StatusRefused, "Somebody is connected; it needs the consent sessions.")
	CodeOutsideFleet  = code("OutsideFleet", StatusRefused, "The desktop is in no fleet that allows requests.")
	CodeFleetUnknown  = code("FleetUnknown", StatusRefused, "No fleet of that name is declared.")
	CodeFleetEmpty    = code("FleetEmpty", StatusRefused, "The fleet has no desktop, or no further one; it is listed once more before its rollout ends.")
	CodeFleetTooLarge = code("FleetTooLarge", StatusRefused,
		"The fleet has more desktops than ECD lists or than the journal of one rollout holds; nothing more is begun.")
	CodeJournalFull         = code("JournalFull", StatusRefused, "The journal has room for what was begun and for nothing more.")
	CodeNoFleetFollows      = code("NoFleetFollows", StatusRefused, "No fleet follows the image.")
	CodeDowngrade           = code("Downgrade", StatusRefused, "The image is older than the desktop's own; it needs the consent downgrade.")
	CodeImageReleasedBefore = code("ImageReleasedBefore", StatusRefused, "Another rollout is bringing the image to the fleet already.")
	CodeDiskTooSmall        = code("DiskTooSmall", StatusRefused, "The image's system disk is larger than the desktop's.")
	CodeProtocolMismatch    = code("ProtocolMismatch", StatusRefused, "The image is made for another streaming protocol or session type than the desktop's.")
	CodeLanguageMismatch    = code("LanguageMismatch", StatusRefused, "language goes with system images only, and on Linux only English does.")
	CodeCheckNeedsWindows   = code("CheckNeedsWindows", StatusRefused,
		"The fleet checks with a command, which ECD runs on Windows only, and the image is of another OS.")
	CodeBeforeFailed   = code("BeforeFailed", StatusRefused, "The fleet's command before a rebuild failed on the desktop; nothing was touched.")
	CodeSnapshotFailed = code("SnapshotFailed", StatusRefused,
		"The data disk could not be saved as a snapshot before the rebuild that erases it, so nothing was touched. With the status failed: ECD no "+
			"longer lists the snapshot after the rebuild.")
	CodeResetNeedsConsent   = code("ResetNeedsConsent", StatusRefused, "Resetting to the current image needs the consent reset.")
	CodeResetNeedsJournal   = code("ResetNeedsJournal", StatusRefused, "Without a journal a second delivery of a reset cannot be told from a second reset.")
	CodeRolloutNeedsJournal = code("RolloutNeedsJournal", StatusRefused, "A rollout with waves needs a journal.")
	CodeNeedsTickKey        = code("NeedsTickKey", StatusRefused,
		"Maintenance mode and stopFirst need a journal, or ticks that are signed: else nothing remembers to give the desktop back.")
	CodeRolloutUnknown     = code("RolloutUnknown", StatusRefused, "There is no such rollout.")
	CodeControlNotPossible = code("ControlNotPossible", StatusRefused,
		"The rollout or request is not in a state in which the command makes sense, or there is no such request or freeze.")
	CodePlanChanged      = code("PlanChanged", StatusRefused, "The plan is no longer the one whose digest was demanded.")
	CodeAborted          = code("Aborted", StatusRefused, "The rollout or request was aborted before the rebuild began.")
	CodeEcsImage         = code("EcsImage", StatusRefused, "The event speaks of an ECS image, which is not an image of ECD.")
	CodeFactsUnavailable = code("FactsUnavailable", StatusDeferred, "ECD could not be asked about the desktop; what cannot be asked is not touched.")
	CodePanicked         = code("Panicked", StatusRefused, "Handling the message made the function panic; the message is set aside.")

	CodeUnlisted = code("Unlisted", StatusDeferred,
		"regild's own reason is not in this list, which is a fault of regild; the message repeats it. It comes with any status.")
	CodeThrottled      = code("Throttled", StatusDeferred, "ECD asked to slow down.")
	CodeTimeShort      = code("TimeShort", StatusDeferred, "The invocation's time ran short before the desktop's turn.")
	CodeOutcomeUnknown = code("OutcomeUnknown", StatusDeferred,
		"The call's answer was lost or says nothing certain; the facts are read until they show whether the rebuild began.")
	CodeImageCreating = code("ImageCreating", StatusDeferred, "The image is still being made.")
	CodeWindowClosed  = code("WindowClosed", StatusDeferred, "The maintenance window is closed.")
	CodeSessionWait   = code("SessionWait", StatusDeferred, "Somebody is connected; the desktop waits for its user to leave.")
	CodeStatusWait    = code("StatusWait", StatusDeferred, "The desktop is starting, stopping or rebuilding; it waits for that to pass.")
	CodeStopWait      = code("StopWait", StatusDeferred, "The desktop was told to stop first.")
	CodeScheduled     = code("Scheduled", StatusDeferred, "The request names a time before which nothing begins.")
	CodeRingAwaited   = code("RingAwaited", StatusDeferred, "The release has not completed on the fleets that this one comes after.")
	CodeFrozen        = code("Frozen", StatusDeferred, "Somebody has frozen the region or the fleet until a time.")
	CodeNoticeGiven   = code("NoticeGiven", StatusDeferred,
		"The people at the desktop were told of the rebuild; it is not begun before the time that they were told.")
	CodeNoticeNotGiven = code("NoticeNotGiven", StatusDeferred,
		"The people at the desktop could not be told of the rebuild; it waits, and is skipped or rebuilt in the end as the fleet's sessions say.")
	CodeNotNow = code("NotNow", StatusDeferred,
		"The desktop said not now when it was asked before its rebuild, or a tag holds it back; it is skipped when that takes too long.")
	CodeNotAsked     = code("NotAsked", StatusDeferred, "The desktop cannot be asked whether it may be rebuilt; it is skipped when that takes too long.")
	CodeSnapshotWait = code("SnapshotWait", StatusDeferred, "A snapshot of the data disk is being made before the rebuild that erases the disk.")
	CodeUseAwaited   = code("UseAwaited", StatusDeferred,
		"Too few of a wave's desktops were used since they were rebuilt; the next wave waits for that, or for somebody to approve.")
	CodeAlarmActive     = code("AlarmActive", StatusDeferred, "An alarm of the fleet is in ALARM: the next wave waits, and if it lasts the rollout halts.")
	CodeAlarmUnknown    = code("AlarmUnknown", StatusDeferred, "CloudMonitor does not tell the state of an alarm of the fleet; the next wave waits.")
	CodeSoaking         = code("Soaking", StatusDeferred, "A wave is done and its soak time is not over.")
	CodeApprovalAwaited = code("ApprovalAwaited", StatusDeferred, "A wave is done and somebody has to approve it.")
	CodePaused          = code("Paused", StatusDeferred, "The rollout is paused.")
	CodeMaxUnavailable  = code("MaxUnavailable", StatusDeferred, "As many desktops as allowed are being rebuilt already.")

	CodeRebuildTimeout  = code("RebuildTimeout", StatusFailed, "The rebuild did not end within REGILD_REBUILD_TIMEOUT, or the fleet's rebuildTimeout.")
	CodeRebuildFailed   = code("RebuildFailed", StatusFailed, "ECD recorded that the rebuild failed.")
	CodeCheckFailed     = code("CheckFailed", StatusFailed, "The check after the rebuild failed on the desktop.")
	CodeNotAuthorized   = code("NotAuthorized", StatusFailed, "The function's credentials may not do this.")
	CodeCallFailed      = code("CallFailed", StatusFailed, "The call to ECD failed before anything was started, and every try was used up.")
	CodeTooManyFailures = code("TooManyFailures", StatusFailed, "More desktops failed than the fleet allows, so the rollout halted.")
	CodeTooFewUsed      = code("TooFewUsed", StatusFailed, "Too few of a wave's desktops were used in time, so the rollout halted.")
	CodeLogonsFailed    = code("LogonsFailed", StatusFailed, "More of the logons to a wave's desktops failed than the fleet allows, so the rollout halted.")
	CodeRolloutTimeout  = code("RolloutTimeout", StatusFailed, "The rollout took longer than the fleet allows.")
	CodeOpenedLate      = code("OpenedLate", StatusFailed, "Nobody could open it for a day: a rollout halts before it begins, a request is refused.")
)

// Codes is the closed list of our codes, in the order above.
var Codes []Code

// code adds a code to the list and returns its name.
func code(name string, status Status, meaning string) string {
	Codes = append(Codes, Code{name, status, meaning})
	return name
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
