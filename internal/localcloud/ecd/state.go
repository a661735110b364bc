package ecd

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// Statuses of a desktop. Source: DescribeDesktops, "DesktopStatus"; Failed is
// DescribeDesktopInfo's, Hibernated the console's.
const (
	Running    = "Running"
	Stopped    = "Stopped"
	Starting   = "Starting"
	Stopping   = "Stopping"
	Rebuilding = "Rebuilding"
	Pending    = "Pending"
	Expired    = "Expired"
	Deleted    = "Deleted"
	Failed     = "Failed"
	Hibernated = "Hibernated"
)

// Connection states of a desktop. Source: DescribeDesktops, "ConnectionStatus".
const (
	Connected    = "Connected"
	Disconnected = "Disconnected"
	Unknown      = "Unknown"
)

// Statuses of an image. Source: DescribeImages, "Status".
const (
	Creating     = "Creating"
	Available    = "Available"
	CreateFailed = "CreateFailed"
)

// A State is what the service knows when it starts. It is read from YAML, or
// from JSON by a YAML reader; durations are written as 6m or 90s, times in RFC
// 3339.
type State struct {
	Desktops []Desktop `yaml:"desktops,omitempty"`
	Images   []Image   `yaml:"images,omitempty"`
}

// A Desktop is one cloud desktop and how it behaves. Offsets count in cloud time
// from the start of the service.
type Desktop struct {
	ID       string `yaml:"id"`
	Name     string `yaml:"name,omitempty"` // default: the id
	RegionID string `yaml:"regionId"`

	Status      string    `yaml:"status,omitempty"`     // default Running
	Connection  string    `yaml:"connection,omitempty"` // default: by the sessions
	Sessions    []Session `yaml:"sessions,omitempty"`
	Flags       []string  `yaml:"flags,omitempty"` // Migrating, Updating; none shows as NoFlag
	Maintenance bool      `yaml:"maintenance,omitempty"`

	ImageID     string  `yaml:"imageId"`
	Type        string  `yaml:"type,omitempty"`        // default eds.enterprise_office.4c8g, or a graphics type with GPU
	OS          string  `yaml:"os,omitempty"`          // windows or linux, default windows
	Platform    string  `yaml:"platform,omitempty"`    // default: by the OS
	GPU         float32 `yaml:"gpu,omitempty"`         // GPUs, 0: not a GPU desktop
	Protocol    string  `yaml:"protocol,omitempty"`    // ASP or HDX, default ASP
	SessionType string  `yaml:"sessionType,omitempty"` // default SINGLE_SESSION
	Disks       []Disk  `yaml:"disks,omitempty"`       // default: a system disk of 80 GiB

	GroupID         string            `yaml:"groupId,omitempty"` // makes it a pooled desktop
	OfficeSiteID    string            `yaml:"officeSiteId,omitempty"`
	PolicyGroupID   string            `yaml:"policyGroupId,omitempty"` // default system-all-enabled-policy
	ResourceGroupID string            `yaml:"resourceGroupId,omitempty"`
	EndUsers        []string          `yaml:"endUsers,omitempty"`
	ChargeType      string            `yaml:"chargeType,omitempty"` // PostPaid or PrePaid, default PostPaid
	Tags            map[string]string `yaml:"tags,omitempty"`       // up to 20
	Created         time.Time         `yaml:"created,omitempty"`
	Started         time.Time         `yaml:"started,omitempty"`
	Expires         time.Time         `yaml:"expires,omitempty"`
	Records         []Record          `yaml:"records,omitempty"` // image changes, oldest first
	Snapshots       []Snapshot        `yaml:"snapshots,omitempty"`

	RebuildTakes time.Duration `yaml:"rebuildTakes,omitempty"` // default 6 minutes
	EndsAs       string        `yaml:"endsAs,omitempty"`       // fail: a rebuild ends with the old image and a record of Status 2
	Reason       string        `yaml:"reason,omitempty"`       // why a rebuild fails
	Sticks       bool          `yaml:"sticks,omitempty"`       // a rebuild never ends
	Settles      time.Duration `yaml:"settles,omitempty"`      // offset at which a passing Status is over
	Leaves       time.Duration `yaml:"leaves,omitempty"`       // offset at which the sessions end
	Logons       []Logon       `yaml:"logons,omitempty"`       // who tries to connect, and when
	Snapshotting Snapshotting  `yaml:"snapshotting,omitempty"` // how a snapshot goes that is made by CreateSnapshot
	Returns      time.Duration `yaml:"returns,omitempty"`      // offset at which the first end user tries to connect
	Ghost        bool          `yaml:"ghost,omitempty"`        // listed, yet no other operation knows it
	Command      Command       `yaml:"runCommand,omitempty"`
	Commands     []Command     `yaml:"runCommands,omitempty"` // by what the script has in it; the first that matches goes before runCommand

	Count int    `yaml:"count,omitempty"` // stands for so many desktops; see Cycle
	From  int    `yaml:"from,omitempty"`  // the first one's number, default 1
	Cycle *Cycle `yaml:"cycle,omitempty"`
}

// A Cycle varies the desktops of one declaration with a Count: the n-th desktop
// takes the n-th value of each list, beginning again at its end. A list without
// values changes nothing. In ID, Name, EndUsers and the users of Sessions and Logons, %d
// or %04d stands for the desktop's number.
type Cycle struct {
	Status        []string            `yaml:"status,omitempty"`
	Sessions      [][]Session         `yaml:"sessions,omitempty"`
	ImageID       []string            `yaml:"imageId,omitempty"`
	OfficeSiteID  []string            `yaml:"officeSiteId,omitempty"`
	PolicyGroupID []string            `yaml:"policyGroupId,omitempty"`
	GroupID       []string            `yaml:"groupId,omitempty"`
	Tags          []map[string]string `yaml:"tags,omitempty"`
	RebuildTakes  []time.Duration     `yaml:"rebuildTakes,omitempty"`
	EndsAs        []string            `yaml:"endsAs,omitempty"`
	Logons        [][]Logon           `yaml:"logons,omitempty"`
}

// A Session is somebody logged on to a desktop.
type Session struct {
	User         string        `yaml:"user"`
	Since        time.Time     `yaml:"since,omitempty"`        // default: the start of the service
	Idle         time.Duration `yaml:"idle,omitempty"`         // when it is declared; it grows
	IdleSince    time.Time     `yaml:"idleSince,omitempty"`    // default: by Idle; zero: not idle
	IdleHidden   bool          `yaml:"idleHidden,omitempty"`   // the field is left out of answers
	Disconnected bool          `yaml:"disconnected,omitempty"` // logged on, but not connected
}

// A Logon is one try of a user to connect, at an offset from the start of the
// service. On a desktop that does not let them in it fails at the ticket.
type Logon struct {
	At    time.Duration `yaml:"at"`
	User  string        `yaml:"user"`
	Stays time.Duration `yaml:"stays,omitempty"` // then they leave; 0: they stay
	Fails string        `yaml:"fails,omitempty"` // ticket: none is given; connect: one is, and no connection follows
}

// How a Logon fails.
const (
	failsTicket  = "ticket"
	failsConnect = "connect"
)

// Snapshotting says what becomes of a snapshot.
type Snapshotting struct {
	Takes  time.Duration `yaml:"takes,omitempty"`  // default 2 minutes
	EndsAs string        `yaml:"endsAs,omitempty"` // fail: it is over as FAILED; stick: it never ends
}

// A Disk is one disk of a desktop.
type Disk struct {
	Type string `yaml:"type"` // SYSTEM or DATA
	GiB  int    `yaml:"gib"`
}

// A Snapshot is one snapshot of a disk of a desktop. A rebuild deletes those of
// the system disk, and those of a data disk that it erases. Source:
// DescribeSnapshots, RebuildDesktops.
type Snapshot struct {
	ID      string    `yaml:"id,omitempty"`     // default: made of the desktop's id
	Disk    string    `yaml:"disk,omitempty"`   // SYSTEM or DATA, default SYSTEM
	Auto    bool      `yaml:"auto,omitempty"`   // made by a policy
	Status  string    `yaml:"status,omitempty"` // ACCOMPLISHED, PROGRESSING or FAILED; default ACCOMPLISHED
	Created time.Time `yaml:"created,omitempty"`
	Name    string    `yaml:"name,omitempty"` // default: the id
	// Ready is when PROGRESSING is over, as EndsAs says; zero: never.
	Ready  time.Time `yaml:"ready,omitempty"`
	EndsAs string    `yaml:"endsAs,omitempty"`
}

// A Record is one change of a desktop's image. Source:
// DescribeImageModifiedRecords.
type Record struct {
	ImageID    string    `yaml:"imageId"` // the former image
	NewImageID string    `yaml:"newImageId"`
	Status     int       `yaml:"status"` // 0 under way, 1 succeeded, 2 failed
	Reason     string    `yaml:"reason,omitempty"`
	Updated    time.Time `yaml:"updated"`
}

// A Command is what a command that is run on the desktop comes to.
type Command struct {
	If       string        `yaml:"if,omitempty"`    // of runCommands: a text that the script has in it
	Image    string        `yaml:"image,omitempty"` // of runCommands: only while the desktop is on this image
	Until    time.Duration `yaml:"until,omitempty"` // of runCommands: only before this offset
	ExitCode int           `yaml:"exitCode,omitempty"`
	Output   string        `yaml:"output,omitempty"`
	Takes    time.Duration `yaml:"takes,omitempty"` // default 5 seconds
}

// An Image is one desktop image.
type Image struct {
	ID          string        `yaml:"id"`
	RegionID    string        `yaml:"regionId,omitempty"` // "": in every region, as SYSTEM images are
	Name        string        `yaml:"name,omitempty"`     // default: the id
	Description string        `yaml:"description,omitempty"`
	Type        string        `yaml:"type,omitempty"`     // CUSTOM or SYSTEM, default CUSTOM
	Status      string        `yaml:"status,omitempty"`   // default Available
	OS          string        `yaml:"os,omitempty"`       // windows or linux, default windows
	Platform    string        `yaml:"platform,omitempty"` // default: by the OS
	GPU         bool          `yaml:"gpu,omitempty"`
	Protocol    string        `yaml:"protocol,omitempty"`    // ASP or HDX, default ASP
	SessionType string        `yaml:"sessionType,omitempty"` // default SINGLE_SESSION
	GiB         int           `yaml:"gib,omitempty"`         // of the system disk, default 60
	DataGiB     int           `yaml:"dataGib,omitempty"`
	Languages   []string      `yaml:"languages,omitempty"`
	Created     time.Time     `yaml:"created,omitempty"`
	ReadyAfter  time.Duration `yaml:"readyAfter,omitempty"` // offset at which Creating is over
	EndsAs      string        `yaml:"endsAs,omitempty"`     // fail: it is over as CreateFailed
}

// fails is the value of EndsAs that makes a thing end badly.
const fails = "fail"

// Pooled says whether the desktop belongs to a desktop group.
func (d Desktop) Pooled() bool { return d.GroupID != "" }

// hasData says whether the desktop has a data disk.
func (d Desktop) hasData() bool {
	return slices.ContainsFunc(d.Disks, func(k Disk) bool { return k.Type == "DATA" })
}

func (d Desktop) clone() Desktop {
	d.Sessions = slices.Clone(d.Sessions)
	d.Flags = slices.Clone(d.Flags)
	d.Disks = slices.Clone(d.Disks)
	d.EndUsers = slices.Clone(d.EndUsers)
	d.Tags = maps.Clone(d.Tags)
	d.Records = slices.Clone(d.Records)
	d.Snapshots = slices.Clone(d.Snapshots)
	d.Commands = slices.Clone(d.Commands)
	d.Logons = slices.Clone(d.Logons)
	d.Cycle = nil
	d.Count, d.From = 0, 0
	return d
}

// complete fills in what a declaration may leave out.
func (d *Desktop) complete() {
	or(&d.Name, d.ID)
	or(&d.Status, Running)
	or(&d.Connection, byPresence(d.Sessions))
	or(&d.OS, "windows")
	or(&d.Platform, platform(d.OS))
	if d.GPU > 0 {
		or(&d.Type, "eds.graphics_flagship.8c32g")
	}
	or(&d.Type, "eds.enterprise_office.4c8g")
	or(&d.Protocol, "ASP")
	or(&d.SessionType, "SINGLE_SESSION")
	or(&d.OfficeSiteID, d.RegionID+"+dir-0000000001")
	or(&d.PolicyGroupID, "system-all-enabled-policy")
	or(&d.ChargeType, "PostPaid")
	if len(d.Disks) == 0 {
		d.Disks = []Disk{{Type: "SYSTEM", GiB: 80}}
	}
	d.Snapshots = slices.Clone(d.Snapshots)
	for i := range d.Snapshots {
		or(&d.Snapshots[i].ID, fmt.Sprintf("s-%s-%d", d.ID, i+1))
		or(&d.Snapshots[i].Disk, "SYSTEM")
		or(&d.Snapshots[i].Status, snapshotDone)
		or(&d.Snapshots[i].Name, d.Snapshots[i].ID)
	}
	or(&d.RebuildTakes, defaultRebuild)
	or(&d.Snapshotting.Takes, defaultSnapshot)
	or(&d.Command.Takes, defaultCommand)
}

func (i Image) clone() Image {
	i.Languages = slices.Clone(i.Languages)
	return i
}

func (i *Image) complete() {
	or(&i.Name, i.ID)
	or(&i.Type, "CUSTOM")
	or(&i.Status, Available)
	or(&i.OS, "windows")
	or(&i.Platform, platform(i.OS))
	or(&i.Protocol, "ASP")
	or(&i.SessionType, "SINGLE_SESSION")
	or(&i.GiB, 60)
	if len(i.Languages) == 0 {
		i.Languages = []string{"zh-CN", "en-US"}
	}
}

// or sets *v to d when it is zero.
func or[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func platform(os string) string {
	if strings.EqualFold(os, "linux") {
		return "Ubuntu"
	}
	return "Windows 11"
}

func byPresence(sessions []Session) string {
	for _, s := range sessions {
		if !s.Disconnected {
			return Connected
		}
	}
	return Disconnected
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
