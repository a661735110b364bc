package ecd

import "time"

// Default returns the state that the local cloud starts with when it is given
// none: some eighty desktops in three regions in every condition that a rebuild
// can meet, and the images they are on or could go to.
func Default() State {
	return State{Images: defaultImages(), Desktops: append(append(hangzhou(), oddities()...), elsewhere()...)}
}

func day(month time.Month, d int) time.Time { return time.Date(2026, month, d, 2, 30, 0, 0, time.UTC) }

func defaultImages() []Image {
	const hz, sh, sg = "cn-hangzhou", "cn-shanghai", "ap-southeast-1"
	return []Image{
		{ID: "m-84mztzatmlnys0000", RegionID: hz, Name: "win11-office", Description: "release 2026.10.1", Created: day(10, 6)},
		{ID: "m-84mztzatmlnys0001", RegionID: hz, Name: "win11-office", Description: "release 2026.11.3", Created: day(11, 20)},
		{ID: "m-84mztzatmlnys0009", RegionID: hz, Name: "win11-office", Description: "release 2026.12.0", Status: Creating, ReadyAfter: 3 * time.Minute,
			Created: day(11, 23)},
		{ID: "m-84mztzatmlnys0008", RegionID: hz, Name: "win11-office", Description: "release 2026.11.2", Status: CreateFailed, Created: day(11, 12)},
		{ID: "m-84mztzatmlnys0007", RegionID: hz, Name: "win11-large", Description: "larger than most disks", GiB: 200, Created: day(11, 15)},
		{ID: "m-84mztzatmlgpu0001", RegionID: hz, Name: "win11-cad", Description: "release 2026.11.1", GPU: true, Created: day(11, 10)},
		{ID: "m-84mztzatmlgpu0000", RegionID: hz, Name: "win11-cad", Description: "release 2026.09.1", GPU: true, Created: day(9, 10)},
		{ID: "m-84mztzatmllnx0001", RegionID: hz, Name: "ubuntu-dev", Description: "release 2026.11.0", OS: "linux", Created: day(11, 5)},
		{ID: "m-84mztzatmllnx0000", RegionID: hz, Name: "ubuntu-dev", Description: "release 2026.08.0", OS: "linux", Created: day(8, 5)},
		{ID: "m-84mztzatmlnys0002", RegionID: sh, Name: "win11-office", Description: "release 2026.11.3", Created: day(11, 20)},
		{ID: "m-84mztzatmlnys0003", RegionID: sh, Name: "win11-office", Description: "release 2026.10.1", Created: day(10, 6)},
		{ID: "m-84mztzatmlnys0004", RegionID: sg, Name: "win11-office", Description: "release 2026.11.3", Created: day(11, 20)},
		{ID: "m-84mztzatmlnys0005", RegionID: sg, Name: "win11-office", Description: "release 2026.10.1", Created: day(10, 6)},
		{ID: "m-84mztzatmllnx0005", RegionID: sg, Name: "ubuntu-dev", Description: "release 2026.11.0", OS: "linux", Created: day(11, 5)},
		{ID: "desktopimage-windows-server-2022-64-ch-asp", Name: "Windows Server 2022", Type: "SYSTEM", Platform: "Windows Server 2022",
			GiB: 40, Languages: []string{"en-US", "zh-HK", "zh-CN", "ja-JP"}, Created: day(1, 10)},
	}
}

// hangzhou are the plain office desktops: 40, of which the last 4 have the new
// image already.
func hangzhou() []Desktop {
	office := Desktop{
		ID: "ecd-gx2x1dhsmucyy%04d", Name: "hz-office-%03d", RegionID: "cn-hangzhou", ImageID: "m-84mztzatmlnys0000",
		EndUsers: []string{"hz-user-%03d"}, Created: day(3, 1), Started: day(11, 20),
		Count: 36,
		Cycle: &Cycle{
			Status:       []string{Running, Running, Stopped},
			Tags:         []map[string]string{{"fleet": "office", "ring": "canary"}, {"fleet": "office", "ring": "broad"}, {"fleet": "office", "ring": "broad"}},
			RebuildTakes: []time.Duration{5 * time.Minute, 6 * time.Minute, 8 * time.Minute, 7 * time.Minute},
		},
	}
	done := office
	done.ImageID, done.From, done.Count = "m-84mztzatmlnys0001", 37, 4
	done.Records = []Record{{ImageID: "m-84mztzatmlnys0000", NewImageID: "m-84mztzatmlnys0001", Status: 1, Updated: day(11, 21)}}
	return []Desktop{office, done}
}

// oddities are the desktops in Hangzhou that something is the matter with.
func oddities() []Desktop {
	at := func(id, name string) Desktop {
		return Desktop{ID: id, Name: name, RegionID: "cn-hangzhou", ImageID: "m-84mztzatmlnys0000",
			Tags: map[string]string{"fleet": "office", "ring": "broad"}, EndUsers: []string{name + "-user"}, Created: day(3, 1), Started: day(11, 20)}
	}
	connected := at("ecd-gx2x1dhsmconn%04d", "hz-connected-%d")
	connected.Count, connected.Sessions = 4, []Session{{User: "hz-connected-%d-user"}}
	leaving := at("ecd-gx2x1dhsmleav0001", "hz-leaving")
	leaving.Sessions, leaving.Leaves = []Session{{User: "hz-leaving-user"}}, 10*time.Minute
	idle := at("ecd-gx2x1dhsmidle0001", "hz-logged-on")
	idle.Sessions = []Session{{User: "hz-logged-on-user", Idle: 20 * time.Hour, Disconnected: true}}
	starting := at("ecd-gx2x1dhsmstrt0001", "hz-starting")
	starting.Status, starting.Settles = Starting, time.Minute
	rebuilding := at("ecd-gx2x1dhsmrbld0001", "hz-rebuilding")
	rebuilding.Status, rebuilding.Settles = Rebuilding, 4*time.Minute
	expired := at("ecd-gx2x1dhsmexpd0001", "hz-expired")
	expired.Status, expired.ChargeType, expired.Expires = Expired, "PrePaid", day(11, 1)
	updating := at("ecd-gx2x1dhsmupdt0001", "hz-updating")
	updating.Flags = []string{"Updating"}
	data := at("ecd-gx2x1dhsmdata%04d", "hz-data-%d")
	data.Count, data.Disks = 3, []Disk{{"SYSTEM", 80}, {"DATA", 200}}
	pooled := at("ecd-gx2x1dhsmpool%04d", "hz-pool-%d")
	pooled.Count, pooled.GroupID = 4, "dg-2i8qxpv6t1a030001"
	gpu := at("ecd-gx2x1dhsmgpux%04d", "hz-cad-%d")
	gpu.Count, gpu.GPU, gpu.ImageID, gpu.Tags = 3, 1, "m-84mztzatmlgpu0000", map[string]string{"fleet": "cad"}
	linux := at("ecd-gx2x1dhsmlinx%04d", "hz-dev-%d")
	linux.Count, linux.OS, linux.ImageID, linux.Tags = 4, "linux", "m-84mztzatmllnx0000", map[string]string{"fleet": "dev"}
	failing := at("ecd-gx2x1dhsmfail0001", "hz-failing")
	failing.EndsAs = fails
	stuck := at("ecd-gx2x1dhsmstck0001", "hz-stuck")
	stuck.Sticks = true
	broken := at("ecd-gx2x1dhsmbrkn0001", "hz-smoke-test-fails")
	broken.Command = Command{ExitCode: 1, Output: "office is not installed\r\n"}
	return []Desktop{connected, leaving, idle, starting, rebuilding, expired, updating, data, pooled, gpu, linux, failing, stuck, broken}
}

func elsewhere() []Desktop {
	shanghai := Desktop{
		ID: "ecd-7w78ozhjcwa3u%04d", Name: "sh-office-%03d", RegionID: "cn-shanghai", ImageID: "m-84mztzatmlnys0003",
		EndUsers: []string{"sh-user-%03d"}, Tags: map[string]string{"fleet": "office", "ring": "broad"}, Created: day(4, 1), Started: day(11, 20),
		Count: 8, Cycle: &Cycle{Status: []string{Running, Stopped}},
	}
	singapore := Desktop{
		ID: "ecd-ia2zw38bi6cm7%04d", Name: "sg-office-%03d", RegionID: "ap-southeast-1", ImageID: "m-84mztzatmlnys0005",
		EndUsers: []string{"sg-user-%03d"}, Tags: map[string]string{"fleet": "office", "ring": "broad"}, Created: day(5, 1), Started: day(11, 20),
		Count: 6, Cycle: &Cycle{Status: []string{Running, Running, Stopped}},
	}
	return []Desktop{shanghai, singapore}
}
