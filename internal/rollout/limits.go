package rollout

import "time"

// Limits of time that the decisions stand on. Each says what it bounds and why
// that long.
const (
	// CallLimit bounds one RebuildDesktops call with all its retries, from the
	// record that says it is about to be made. Nothing of it can reach ECD later,
	// so whoever finds the record may begin to ask what became of it then.
	CallLimit = time.Minute

	// lease is CallLimit and what the clocks of two instances may differ by.
	lease = CallLimit + 15*time.Second

	// Settling is how long ECD must show that a call of unknown delivery did not
	// happen before it is made again. DescribeDesktops may show the state from
	// before an accepted rebuild for a while; for how long is not published, so
	// this is some times what has been seen.
	Settling = 5 * time.Minute

	// statusLag is how long after acceptance a desktop that looks finished is not
	// yet believed to be: ImageId may change at acceptance already and the status
	// only later. Likewise after a reset was first seen Rebuilding: a later answer
	// may be an older one, of before it.
	statusLag = time.Minute

	// clockSkew is how much older than our own time stamp ECD's record of a
	// rebuild may be and still belong to it.
	clockSkew = time.Minute

	// maxAttempts is how many calls may be made for one desktop when ECD shows
	// each time that the one before did not happen.
	maxAttempts = 3

	// maxDenied is how often ECD may answer that the status of a desktop does not
	// allow a rebuild while it shows one that should.
	maxDenied = 5

	// readyLimit is how long a desktop may take to leave a passing status.
	readyLimit = time.Hour

	// lateLook is how long after its time is over a desktop may be looked at and still
	// counts as looked at all the while: looks at what takes long are 5 minutes apart.
	lateLook = 6 * time.Minute

	// stopAgain is after how long a desktop that was told to stop and is still
	// Running is told again; a stop takes a minute or two.
	stopAgain = 5 * time.Minute

	// imageLimit is how long an image may take to be created; 15 minutes are
	// usual.
	imageLimit = 2 * time.Hour

	// askLimit is how long we try to reach ECD, or to be allowed to, before a
	// desktop that waits for it has failed.
	askLimit = 6 * time.Hour

	// waitLimit is how long a request's desktop may wait in all, for whatever
	// reason, and how long one may wait for its turn. A rollout has its own limit.
	waitLimit = 7 * 24 * time.Hour

	// giveUp is how long after acceptance a desktop is followed though ECD cannot
	// be read at all.
	giveUp = 24 * time.Hour

	// MaxTick is the longest delay of a tick. It is far below the retention of
	// any sensible queue, which MNS counts from sending.
	MaxTick = time.Hour
)

var zero time.Time

// Backoff returns how long to wait before looking again at something that has
// taken since long: a third of it, so that what is slow is asked for less often.
func Backoff(since time.Duration) time.Duration {
	return min(max(since/3, 30*time.Second), 5*time.Minute).Round(time.Second)
}
