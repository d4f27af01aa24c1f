package main

import (
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"
)

// version is set by the linker: -ldflags "-X main.version=1.2.3". It is the one variable of this
// package, because the linker can set nothing else.
var version string

// buildInfo is what a binary knows of its making.
type buildInfo struct {
	Version  string `json:"version"` // without a leading v; "dev" for a build from a checkout
	Commit   string `json:"commit"`  // empty when the build did not know
	Modified bool   `json:"modified"`
	Time     string `json:"commit_time"`
	Go       string `json:"go"`
	Platform string `json:"platform"`
	Tags     string `json:"tags"` // "otel" for a build that can export traces
}

// build asks the linker first, then the module system, which knows the version of go install.
func build() buildInfo {
	b := buildInfo{Version: version, Go: runtime.Version(),
		Platform: runtime.GOOS + "/" + runtime.GOARCH}
	info, ok := debug.ReadBuildInfo()
	if ok {
		if b.Version == "" {
			b.Version = info.Main.Version
		}
		for _, s := range info.Settings {
			switch s.Key {
			case "vcs.revision":
				b.Commit = s.Value
			case "vcs.modified":
				b.Modified = s.Value == "true"
			case "vcs.time":
				b.Time = s.Value
			case "-tags":
				b.Tags = s.Value
			}
		}
	}
	b.Version = strings.TrimPrefix(b.Version, "v")
	if b.Version == "" || b.Version == "(devel)" {
		b.Version = "dev"
	}
	return b
}

func (c *cli) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print version, commit and Go version",
		Example: "  hookspool version\n  hookspool version --json",
		Args:    arguments(0),
		RunE:    func(*cobra.Command, []string) error { return c.printVersion() },
	}
}

func (c *cli) printVersion() error {
	b := build()
	if c.json {
		return c.printJSON(b)
	}
	commit := b.Commit
	if commit == "" {
		commit = "unknown"
	}
	if b.Modified {
		commit += ", modified"
	}
	if b.Tags != "" {
		b.Platform += ", " + b.Tags
	}
	c.print("hookspool %s (commit %s, %s, %s)\n", b.Version, commit, b.Go, b.Platform)
	return nil
}
