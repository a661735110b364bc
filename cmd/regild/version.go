package main

import (
	"context"
	"runtime"
	"runtime/debug"
)

var versionCommand = &command{
	name: "version", short: "say which build this is",
	long: "Says which build of regild this is, and with which Go it was built.",
	run: func(_ context.Context, w world, c *command, args []string) error {
		rest, err := c.parse(w, c.flags(), args)
		if err != nil {
			return err
		}
		if err := takesNo(rest); err != nil {
			return err
		}
		info, _ := debug.ReadBuildInfo()
		say(w.out, "%s\n", version(info))
		return nil
	},
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
