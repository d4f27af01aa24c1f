package main

import "github.com/spf13/cobra"

func (c *cli) retryCommand() *cobra.Command {
	return jobOrder(c, &cobra.Command{
		Use:   "retry TARGET",
		Short: "Run a target's job now, wait for it, and tell what came back",
		Long: "Run a job of a target now instead of at the next tick: one attempt for each delivery " +
			"that\n" +
			"failed before, oldest first. It is waited for, and told: how many were tried, how many\n" +
			"acknowledged, and what came back; with nothing acknowledged the exit code is 1. It counts\n" +
			"like the job of a tick: the first success makes a Defective target Enabled. Ctrl-C stops\n" +
			"the waiting only.",
		Example: "  hookspool sample crm && hookspool retry crm\n  hookspool retry crm --wait 0s\n" +
			"  hookspool retry crm --json | jq .last_job.outcomes",
	}, "retry")
}
