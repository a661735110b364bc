package handler

import (
	"slices"
	"strings"
	"time"

	"github.com/regild/regild/events"
	"github.com/regild/regild/internal/desktop"
	"github.com/regild/regild/internal/rollout"
)

// What follows from an answer of ECD that is not a success. What it means was
// decided by the adapter; here it becomes an outcome.

// Pauses before a call is made again of which nothing was carried out.
const (
	shortPause  = 30 * time.Second // throttled, or it did not arrive
	statusPause = time.Minute      // the desktop's status did not allow it
)

// callOutcome is the outcome of every desktop of a call that failed as a whole;
// a refusal is about one desktop by then.
func callOutcome(e *desktop.CallError, now time.Time) rollout.Group {
	switch e.Delivery {
	case desktop.Forbidden:
		return rollout.Group{Status: events.StatusDeferred, Code: events.CodeNotAuthorized, Message: e.Error(), Until: now.Add(notAuthorizedPause)}
	case desktop.NotSent:
		g := rollout.Group{Status: events.StatusDeferred, Code: events.CodeCallFailed, Message: e.Error(), Until: now.Add(shortPause)}
		if e.Throttled {
			g.Code = events.CodeThrottled
		}
		return g
	case desktop.Refused:
		return refusedOutcome(e.Code, e.Message, now)
	}
	return rollout.Group{Status: events.StatusDeferred, Code: events.CodeOutcomeUnknown, Until: now.Add(time.Minute),
		Message: e.Error() + rollout.UntilShown}
}

// desktopOutcome is the outcome of a desktop of which an answer speaks.
func desktopOutcome(r desktop.Result, now time.Time) rollout.Group {
	if r.Accepted() {
		return rollout.Group{Status: events.StatusAccepted, Code: events.CodeSuccess}
	}
	words := "ECD answered " + r.Code
	if r.Message != "" {
		words += ": " + r.Message
	}
	switch {
	case r.Code == rollout.IncorrectDesktopStatus, r.Delivery == desktop.Refused:
		return refusedOutcome(r.Code, r.Message, now)
	case r.Delivery == desktop.NotSent:
		return rollout.Group{Status: events.StatusDeferred, Code: events.CodeThrottled, Message: words, Until: now.Add(shortPause)}
	case r.Delivery == desktop.Forbidden: // for this desktop: the call as a whole was allowed
		return rollout.Group{Status: events.StatusDeferred, Code: events.CodeNotAuthorized, Message: words, Until: now.Add(notAuthorizedPause)}
	}
	return rollout.Group{Status: events.StatusDeferred, Code: events.CodeOutcomeUnknown, Until: now.Add(time.Minute),
		Message: words + rollout.UntilShown}
}

// refusedOutcome is the outcome of a desktop that ECD refuses: final, but for one
// whose status does not allow a rebuild now, whether ECD says so of the desktop
// or of the whole call.
func refusedOutcome(code, message string, now time.Time) rollout.Group {
	if code == rollout.IncorrectDesktopStatus {
		return rollout.Group{Status: events.StatusDeferred, Code: code, Message: message, Until: now.Add(statusPause)}
	}
	return rollout.Group{Status: events.StatusFailed, Code: code, Message: message}
}

// aboutOne says whether a call for several desktops was not allowed because of
// one that the answer names.
func aboutOne(e *desktop.CallError, ids []string) bool {
	return e.Delivery == desktop.Forbidden && !e.Credentials &&
		slices.ContainsFunc(ids, func(id string) bool { return strings.Contains(e.Message, id) })
}

// deniedToAll says whether none of a call that was taken apart was allowed.
func deniedToAll(endings []ending) bool {
	return !slices.ContainsFunc(endings, func(e ending) bool { return e.group.Code != events.CodeNotAuthorized })
}
