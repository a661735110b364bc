package fleet

import (
	"strings"
	"testing"
)

// Bug 20 of the hard look: a check by command went over Linux desktops, where ECD
// runs none. Where the file itself says Linux, the file is at fault.
func TestBug20ACommandForAFleetThatIsLinuxIsAFault(t *testing.T) {
	const fault = "f.yaml:7:33: fleets[0].strategy.check.command: runs on Windows only, and the fleet "
	for _, tt := range []struct{ images, selects, rebuild, want string }{
		{"[ubuntu-dev]", "all", "", "follows images of Linux only; leave it out"},
		{`["Ubuntu22*", "kylin_v10"]`, "all", "", "follows images of Linux only; leave it out"},
		{"[win11-office]", "{currentImageIds: [desktopimage-ubuntu-2204]}", "", "selects desktops of Linux only; leave it out"},
		{"[win11-office]", "{currentImageIds: [desktopimage-ubuntu-2204]}", "{consent: [os-change]}", ""},
		{"[win11-office]", "{currentImageIds: [desktopimage-ubuntu-2204, m-1]}", "", ""}, // m-1 may be of Windows
		{"[win11-office]", "{currentImageIds: [m-ubuntu]}", "", ""},                      // a custom image's id tells nothing
		{"[win11-office, ubuntu-dev]", "all", "", ""},                                    // mixed: the guard looks at each
		{"[office]", "all", "", ""},
		{"[windows-with-ubuntu]", "all", "", ""},
		{"[suset]", "all", "", ""},
		{`["*"]`, "all", "", ""},
	} {
		rebuild := tt.rebuild
		if rebuild == "" {
			rebuild = "{afterStatus: Running}"
		}
		file := "fleets:\n  - name: f\n    region: cn-hangzhou\n    images: " + tt.images + "\n    select: " + tt.selects +
			"\n    rebuild: " + rebuild + "\n    strategy: {check: {command: exit 0}}\n"
		_, err := Parse("f.yaml", []byte(file))
		got := ""
		if err != nil {
			got = err.Error()
		}
		want := ""
		if tt.want != "" {
			want = fault + tt.want
		}
		if got != want {
			t.Errorf("%s, select %s: got %q, want %q", tt.images, tt.selects, got, want)
		}
		if _, err := Parse("f.yaml", []byte(strings.Replace(file, "command: exit 0", "stable: 5m", 1))); err != nil {
			t.Errorf("%s without a command: %v", tt.images, err)
		}
	}
}
