package main

import (
	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) resumeCommand() *cobra.Command {
	return c.order(&cobra.Command{
		Use:   "resume TARGET",
		Short: "Release a target that was paused",
		Long: "Release a target that was paused, or that asked to be left alone (Retry-After): what\n" +
			"was held is sent, oldest first; what had failed waits for the next tick.",
		Example: "  hookspool resume crm",
	}, "resume", func(t *admin.Target) string {
		return t.Name + " is " + t.Status + "; " + count(int(t.Pending), "pending delivery")
	})
}
