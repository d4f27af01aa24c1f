package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

const watchEvery = 2 * time.Second

func (c *cli) targetsCommand() *cobra.Command {
	watch := false
	cmd := &cobra.Command{
		Use:   "targets",
		Short: "Show every target: status, failed jobs, pending, exhausted, last error",
		Long: "Show every target of a running relay: its status, its failed jobs in a row and the " +
			"number\n" +
			"that makes it Defective, how many deliveries are pending and how old the oldest is, how\n" +
			"many are exhausted, when it last answered well, and its last error. An orphan is not in the\n" +
			"config any more, but still has deliveries.",
		Example: "  hookspool targets\n  hookspool targets --watch\n" +
			"  hookspool targets --json | jq '.targets[] | select(.pending > 0)'",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			relay, err := c.admin()
			if err != nil {
				return err
			}
			if watch {
				return c.watchTargets(cmd.Context(), relay)
			}
			return c.explain(c.showTargets(cmd.Context(), relay))
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it anew every 2s until stopped")
	return c.addAdminFlag(cmd)
}

func (c *cli) showTargets(ctx context.Context, relay *peer) error {
	var list admin.TargetList
	if err := relay.call(ctx, "GET", "/v1/targets", &list); err != nil {
		return err
	}
	if c.json {
		return c.printJSON(list)
	}
	if len(list.Targets) == 0 {
		c.print("there is no target: every event is unmatched and not spooled\n")
		return nil
	}
	c.printTable(targetTable(list.Targets, time.Now()))
	return nil
}

func (c *cli) watchTargets(parent context.Context, relay *peer) error {
	ctx, stop := c.untilSignal(parent, func(os.Signal) {})
	defer stop()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		if isTerminal(c.out) && !c.json {
			c.print("\x1b[H\x1b[2J") // home, clear
		}
		if err := c.showTargets(ctx, relay); err != nil && ctx.Err() == nil {
			return c.explain(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

func targetTable(targets []admin.Target, now time.Time) *table {
	t := &table{columns: []column{
		{name: "NAME", flex: true, min: 12}, {name: "STATUS", color: statusColor},
		{name: "EVENTS", flex: true, spare: 4}, {name: "FAILED-JOBS", right: true},
		{name: "PENDING", right: true}, {name: "OLDEST", right: true, spare: 1},
		{name: "EXHAUSTED", right: true, spare: 2}, {name: "LAST-200", right: true, spare: 3},
		{name: "LAST-ERROR", flex: true, min: 12},
	}}
	for _, target := range targets {
		status, lastError := target.Status, "-"
		if target.Orphan {
			status = "orphan"
		}
		if target.LastError != nil && *target.LastError != "" {
			lastError = *target.LastError
		}
		t.add(target.Name, status, strings.Join(target.Events, ","),
			fmt.Sprintf("%d/%d", target.FailedJobs, target.FailedJobsMax),
			strconv.FormatUint(target.Pending, 10), age(target.OldestPending, now),
			strconv.FormatUint(target.Exhausted, 10), age(target.LastSuccess, now), lastError)
	}
	return t
}

func statusColor(status string) string {
	switch status {
	case "Enabled":
		return green
	case "Defective":
		return red
	}
	return yellow
}
