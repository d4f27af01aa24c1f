package main

import (
	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) retryCommand() *cobra.Command {
	return c.order(&cobra.Command{
		Use:   "retry TARGET",
		Short: "Run a target's job now instead of at the next tick",
		Long: "Run a job of a target now: one attempt for each delivery that failed before, oldest " +
			"first.\n" +
			"It counts like the job of a tick. Unlike enable it leaves the target's status and its count\n" +
			"of failed jobs alone.",
		Example: "  hookspool retry crm",
	}, "retry", func(t *admin.Target) string {
		return "a job runs now over " + count(int(t.Pending), "pending delivery") + " of " + t.Name +
			"; see hookspool attempts --target " + t.Name
	})
}
