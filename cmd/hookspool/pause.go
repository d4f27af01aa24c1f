package main

import (
	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) pauseCommand() *cobra.Command {
	return c.order(&cobra.Command{
		Use:   "pause TARGET",
		Short: "Hold a target's deliveries in the spool",
		Long: "Hold a target: its deliveries are spooled and wait. That costs no attempt, and it " +
			"stays\n" +
			"so across restarts until resume.",
		Example: "  hookspool pause crm",
	}, "pause", func(t *admin.Target) string {
		return t.Name + " is " + t.Status + "; " + count(int(t.Pending), "delivery") +
			" and all that come are held until: hookspool resume " + t.Name
	})
}
