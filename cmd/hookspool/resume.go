package main

import (
	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) resumeCommand() *cobra.Command {
	return c.order(&cobra.Command{
		Use:     "resume TARGET",
		Short:   "Release a target that was paused",
		Long:    "Release a target that was paused: what was held is sent, oldest first.",
		Example: "  hookspool resume crm",
	}, "resume", func(t *admin.Target) string {
		return t.Name + " is " + t.Status + "; " + count(int(t.Pending), "pending delivery")
	})
}
