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

// version tells a build by what the Go tool wrote into it.
func version(info *debug.BuildInfo) string {
	v, revision, changed := "(devel)", "", ""
	if info != nil {
		if info.Main.Version != "" {
			v = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				revision = " " + s.Value[:min(len(s.Value), 12)]
			case "vcs.modified":
				if s.Value == "true" {
					changed = " with local changes"
				}
			}
		}
	}
	return "regild " + v + revision + changed + ", " + runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH
}
