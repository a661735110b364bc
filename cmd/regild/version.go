package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(w world) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "say which build this is",
		Long: "Says which build of regild this is, and with which Go it was built.",
		Args: noArgs,
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo()
			say(w.out, "%s\n", version(info))
			return nil
		},
	}
}

// version tells a build by what the Go tool wrote into it. A release has a
// version, any other build a revision.
func version(info *debug.BuildInfo) string {
	const devel = "(devel)"
	v, revision, changed := devel, "", ""
	if info != nil && info.Main.Version != "" {
		v = info.Main.Version
	}
	if info != nil && v == devel {
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = " " + s.Value[:min(len(s.Value), 12)]
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = " with local changes"
			}
		}
	}
	return "regild " + v + revision + changed + ", " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
