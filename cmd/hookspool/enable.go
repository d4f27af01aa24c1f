package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) enableCommand() *cobra.Command {
	return jobOrder(c, &cobra.Command{
		Use:   "enable TARGET",
		Short: "Try what is pending now; a success lifts a target's defect",
		Long: "Try everything that is pending for a target now instead of at the next tick, wait for " +
			"it,\n" +
			"and tell what came back. The first success lifts a defect; without one the target stays\n" +
			"Defective, its count of failed jobs goes on, and the exit code is 1. --force lifts the\n" +
			"defect in any case, and its alarm with it. Ctrl-C stops the waiting only.",
		Example: "  hookspool sample crm && hookspool enable crm\n  hookspool enable crm --force",
	}, "enable")
}

// order completes a command that changes one target: it posts, and tells the result in a sentence.
func (c *cli) order(cmd *cobra.Command, verb string, tell func(*admin.Target) string,
) *cobra.Command {
	cmd.Args = arguments(1, "TARGET")
	cmd.ValidArgsFunction = c.completeTarget
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		relay, err := c.admin()
		if err != nil {
			return err
		}
		// What a job runs over may be gone when the order is answered. The order tells what is wrong.
		var before admin.Target
		known := checkTargetName(args[0]) == nil &&
			relay.call(cmd.Context(), "GET", targetPath(args[0]), &before) == nil
		target, err := c.postOrder(cmd.Context(), relay, verb, args[0])
		if err != nil {
			return c.explain(err)
		}
		if c.json {
			return c.printJSON(target)
		}
		if known {
			target.Pending = before.Pending
		}
		c.print("%s\n", clean(tell(target)))
		return nil
	}
	return c.addAdminFlag(cmd)
}

func (c *cli) postOrder(ctx context.Context, relay *peer, verb, name string) (*admin.Target,
	error) {
	if err := checkTargetName(name); err != nil {
		return nil, err
	}
	var target admin.Target
	path := targetPath(name) + "/" + verb
	if err := relay.call(ctx, "POST", path, &target); err != nil {
		return nil, err
	}
	return &target, nil
}

func targetPath(name string) string { return "/v1/targets/" + url.PathEscape(name) }

// checkTargetName refuses what no path can hold, before a server has to.
func checkTargetName(name string) error {
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return misuse("hookspool targets lists them", "%q is not the name of a target", name)
	}
	return nil
}
