package main

import (
	"context"
	"net/url"
	"strings"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) enableCommand() *cobra.Command {
	return c.order(&cobra.Command{
		Use:   "enable TARGET",
		Short: "Lift a target's defect and run a job now",
		Long: "Lift a target's defect and try everything that is pending for it now instead of at the\n" +
			"next tick. Its count of failed jobs starts at 0 again.",
		Example: "  hookspool enable crm",
	}, "enable", func(t *admin.Target) string {
		return t.Name + " is " + t.Status + "; a job runs now over " +
			count(int(t.Pending), "pending delivery")
	})
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
