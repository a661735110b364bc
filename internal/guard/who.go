package guard

import (
	"slices"

	"github.com/regild/regild/events"
)

// account refuses what is neither in the function's own account nor in one that is
// declared.
func account(q Question) Verdict {
	if !q.Rules.Undeclared {
		return none
	}
	return refuse(events.CodeAccountNotAllowed,
		"no account of fleets.yaml has the id %s; declare it there, or leave accountId out for the function's own account", q.AccountID)
}

// region refuses what lies outside the allow-list: REGILD_REGIONS, or an account's own.
func region(q Question) Verdict {
	if slices.Contains(q.Rules.Regions, q.RegionID) {
		return none
	}
	if q.AccountID != "" {
		return refuse(events.CodeRegionNotAllowed,
			"region %s is not in the regions of account %s in fleets.yaml; add it there if desktops in it may be rebuilt", q.RegionID, q.AccountID)
	}
	return refuse(events.CodeRegionNotAllowed, "region %s is not in REGILD_REGIONS; add it there if desktops in it may be rebuilt", q.RegionID)
}

// known refuses a desktop that ECD does not list. ECD is asked region by region
// and does not say whether an id exists elsewhere.
func known(q Question) Verdict {
	if q.Desktop != nil {
		return none
	}
	return refuse(events.CodeDesktopNotFound, "ECD lists no desktop %s in %s; check the id and the region", q.ID, q.Place())
}

// fleet refuses a desktop that no fleet lets this request have.
func fleet(q Question) Verdict {
	if !q.Rules.Outside {
		return none
	}
	return refuse(events.CodeOutsideFleet,
		"desktop %s is in no fleet of fleets.yaml that allows this; declare it in one (requests: true for direct requests)", q.ID)
}

// door refuses a request that came on a way on which the fleet hears none.
func door(q Question) Verdict {
	if q.Rules.Door == "" {
		return none
	}
	return refuse(events.CodeWrongDoor, "desktop %s: %s", q.ID, q.Rules.Door)
}

// forgetful refuses what would be left in maintenance mode, or stopped.
func forgetful(q Question) Verdict {
	if !q.Rules.Forgetful {
		return none
	}
	return refuse(events.CodeNeedsTickKey,
		"desktop %s would first be put into maintenance mode or stopped, and nothing would remember that it has to be given back; "+
			"set REGILD_JOURNAL or REGILD_TICK_KEY", q.ID)
}

// pooled refuses desktops of a desktop group: their image belongs to the group.
func pooled(q Question) Verdict {
	if q.Desktop.GroupID == "" {
		return none
	}
	return refuse(events.CodePooledDesktop, "desktop %s belongs to the desktop group %s; change the group's image instead", q.ID, q.Desktop.GroupID)
}
