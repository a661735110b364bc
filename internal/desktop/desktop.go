// Package desktop holds regild's own words for a cloud desktop and for what is
// done to it: a desktop and an image as ECD shows them now, the spec of a
// rebuild, its batches, its outcome, and how a call to the cloud ended.
//
// It is the vocabulary that the other packages share. It imports nothing of ours,
// knows no SDK, no clock and no client, and every type in it is a plain value.
package desktop

import (
	"slices"
	"strings"
	"time"
)

// A Place is one region of one account: what a client calls, what facts are about
// and what is paced. The same desktop id in two places is two desktops. Account "" is
// the function's own.
type Place struct{ Account, Region string }

// String names the place for people.
func (p Place) String() string {
	if p.Account == "" {
		return p.Region
	}
	return p.Region + " of account " + p.Account
}

// Statuses of a desktop that regild acts on; ECD knows more (Expired, Deleted,
// Pending, Failed, Hibernated, …) and may add others. An unknown status is
// never taken for a good one. Source: DescribeDesktops, "DesktopStatus".
const (
	Running    = "Running"
	Stopped    = "Stopped"
	Starting   = "Starting"
	Stopping   = "Stopping"
	Rebuilding = "Rebuilding"
	Pending    = "Pending"
)

// Connection states of a desktop. Source: DescribeDesktops, "ConnectionStatus".
const (
	Connected    = "Connected"
	Disconnected = "Disconnected"
)

// A Desktop is what ECD says of one desktop now.
type Desktop struct {
	ID        string
	RegionID  string
	AccountID string // whose it is; "": the function's own account. The adapter does not fill it in

	Status     string // ECD's word, such as Running
	Connection string // Connected, Disconnected or Unknown
	// Users are the people with a session on the desktop, connected or not.
	Users []string
	// Flags are ECD's management flags without NoFlag: Migrating, Updating.
	Flags []string

	ImageID string

	OS            string // family in lower case: windows, linux
	GPU           bool
	GPUUnknown    bool   // ECD does not say whether it has one; GPU is false then
	Protocol      string // HDX or ASP
	SessionType   string // SINGLE_SESSION or MULTIPLE_SESSION
	SystemDiskGiB int    // 0: ECD does not say
	DataDisks     int
	GroupID       string // set when the desktop belongs to a desktop group (is pooled)
	OfficeSiteID  string
	PolicyGroupID string
	Tags          map[string]string // nil until they were asked for: DescribeDesktops leaves them out
}

// Place returns where the desktop is.
func (d Desktop) Place() Place { return Place{d.AccountID, d.RegionID} }

// InUse says whether somebody is, or may be, working on the desktop: a
// connection that is not known to be closed counts as one. A stopped desktop
// has nobody on it.
func (d Desktop) InUse() bool {
	if d.Status == Stopped && d.Connection != Connected {
		return false
	}
	return d.Connection != Disconnected || len(d.Users) > 0
}

// Statuses of an image. Source: DescribeImages, "Status".
const (
	ImageCreating     = "Creating"
	ImageAvailable    = "Available"
	ImageCreateFailed = "CreateFailed"
)

// Types of an image. Source: DescribeImages, "ImageType".
const (
	SystemImage = "SYSTEM" // of the vendor
	CustomImage = "CUSTOM"
)

// Families of operating systems, as Desktop.OS and Image.OS have them. Source:
// DescribeDesktops and DescribeImages, "OsType".
const (
	Windows = "windows"
	Linux   = "linux"
)

// An Image is what ECD says of one image in one region now.
type Image struct {
	ID        string
	Name      string
	RegionID  string
	AccountID string // that lists it; "": the function's own account. The adapter does not fill it in

	Status      string // Creating, Available or CreateFailed
	Type        string // CustomImage or SystemImage
	OS          string // family in lower case: windows, linux
	GPU         bool   // made for desktops with a GPU
	GPUUnknown  bool   // ECD does not say whether it is; GPU is false then
	Protocol    string
	SessionType string
	SizeGiB     int       // of the system disk; 0: ECD does not say
	DataDiskGiB int       // above 0 when the image carries a data disk
	Created     time.Time // zero: unknown
}

// Place returns where the image is.
func (i Image) Place() Place { return Place{i.AccountID, i.RegionID} }

// A Change is one line of ECD's record of image changes of one desktop, which
// is the only published proof that a rebuild ended, well or badly. Source:
// DescribeImageModifiedRecords.
type Change struct {
	DesktopID string
	From, To  string // image ids before and after
	State     ChangeState
	Reason    string // why it failed
	Updated   time.Time
}

// A ChangeState says how far an image change is. The zero value is an unknown one.
type ChangeState int

// The states that ECD documents (0, 1 and 2 on the wire).
const (
	ChangeUnknown ChangeState = iota
	Changing
	ChangeSucceeded
	ChangeFailed
)

// A Snapshot is one snapshot of a disk of a desktop, whole or still being made.
// Source: DescribeSnapshots.
type Snapshot struct {
	ID        string
	DesktopID string
	// DataDisk says that it is of a data disk; any other is taken for one of the
	// system disk, whose snapshots every rebuild deletes.
	DataDisk bool
	// Auto says that an automatic policy made it; any other counts as made by hand.
	Auto    bool
	Created time.Time // zero: unknown
	Name    string
	GiB     int // of the disk; 0: ECD does not say
	State   SnapshotState
}

// A SnapshotState is how far a snapshot is.
type SnapshotState int

// The states. SnapshotUnknown is a word or a progress that no page lists.
const (
	SnapshotUnknown SnapshotState = iota
	SnapshotUnderWay
	SnapshotDone // complete, to 100%
	SnapshotFailed
)

// A Session is one session of a user on a desktop. ECD also lists sessions that
// are over.
type Session struct {
	DesktopID, User string
	Status          string    // Connected or Disconnected
	Started         time.Time // zero: unknown
	Idle            time.Duration
	IdleKnown       bool // ECD says how long it has been idle
}

// An Event is what a user's client did.
type Event struct {
	DesktopID, User string
	Kind            EventKind
	At              time.Time
}

// An EventKind is one sort of Event.
type EventKind int

// The kinds that are read here.
const (
	TicketAsked EventKind = iota + 1 // somebody asked to connect
	ConnectDone                      // a connection was made
)

// An Alarm is an alarm rule of CloudMonitor as it is now.
type Alarm struct {
	Name  string
	State string // OK, ALARM or INSUFFICIENT_DATA
	On    bool   // it is evaluated at all
}

// AlarmActive is the State of an alarm whose condition is met.
const AlarmActive = "ALARM"

// A Spec is what must be equal for desktops to share a RebuildDesktops call.
// It is comparable. An empty ImageID means: reset to the current image.
type Spec struct {
	AccountID   string `json:"accountId,omitempty"` // "": the function's own account
	RegionID    string `json:"regionId"`
	ImageID     string `json:"imageId,omitempty"`
	OperateType string `json:"operateType,omitempty"` // "" or "replace"
	Language    string `json:"language,omitempty"`
	AfterStatus string `json:"afterStatus,omitempty"`
}

// Place returns where the desktops are.
func (s Spec) Place() Place { return Place{s.AccountID, s.RegionID} }

// Reset says whether the spec rebuilds a desktop to the image it already has.
func (s Spec) Reset() bool { return s.ImageID == "" }

// A Target is one desktop under one spec.
type Target struct {
	ID string
	Spec
}

// MaxBatch is how many desktops one RebuildDesktops call takes. Source:
// RebuildDesktops, "DesktopId".
const MaxBatch = 20

// A Batch is one RebuildDesktops call: 1 to MaxBatch desktops of one spec.
type Batch struct {
	Spec
	IDs []string
}

// A Selector says which desktops of a region are meant. Every field that is
// set must match; within a field one value is enough, but all tags must match.
// The zero Selector matches every desktop.
type Selector struct {
	IDs            []string
	Tags           map[string]string // value "" matches any value of the key
	OfficeSiteIDs  []string
	PolicyGroupIDs []string
	ImageIDs       []string // the image the desktop is on now
}

// Matches says whether d is meant by s. Tags must have been read into d when s
// names any.
func (s Selector) Matches(d Desktop) bool {
	in := func(list []string, v string) bool { return len(list) == 0 || slices.Contains(list, v) }
	if !in(s.IDs, d.ID) || !in(s.OfficeSiteIDs, d.OfficeSiteID) ||
		!in(s.PolicyGroupIDs, d.PolicyGroupID) || !in(s.ImageIDs, d.ImageID) {
		return false
	}
	for k, v := range s.Tags {
		got, ok := d.Tags[k]
		if !ok || (v != "" && got != v) {
			return false
		}
	}
	return true
}

// A Result is what ECD answered for one desktop of a batch.
type Result struct {
	DesktopID string
	Code      string // ECD's own code, unchanged; see Accepted
	Message   string
	// Delivery and Throttled say what Code means for this desktop, as in a CallError,
	// unless it was accepted.
	Delivery  Delivery
	Throttled bool
}

// Accepted says whether the rebuild was started. ECD spells it both success
// and Success.
func (r Result) Accepted() bool { return strings.EqualFold(r.Code, "success") }

// An Answer is the body of a RebuildDesktops call that ECD answered with 200.
// A desktop of the batch that is missing from Results has an unknown delivery.
type Answer struct {
	RequestID string // of the call
	Results   []Result
}

// An Invocation is the result of a command that was run on a desktop (ECD's
// RunCommand and DescribeInvocations).
type Invocation struct {
	DesktopID string
	Status    string // ECD's word: Success, Failed, Timeout, Running, Pending, …
	Done      bool   // no further change is to be expected
	ExitCode  int    // meaningful when Done
	Output    string // decoded, cut to a bounded length
}
