package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/trouble"
)

const watchEvery = 2 * time.Second

func (c *cli) targetsCommand() *cobra.Command {
	watch := false
	cmd := &cobra.Command{
		Use:   "targets [NAME]",
		Short: "Show every target: status, failed jobs, pending, exhausted, last error",
		Long: "Show every target of a running relay: its status, its failed jobs in a row and the " +
			"number\n" +
			"that makes it Defective, how many deliveries are pending and how old the oldest is, how\n" +
			"many are exhausted, when it last answered well, and its last error. An orphan is not in the\n" +
			"config any more, but still has deliveries. The worst come first: Defective, paused,\n" +
			"orphans with pending deliveries, held by Retry-After, failing; with --json they come by\n" +
			"name, and \"trouble\" says which it is. With a NAME, show all there is to know of that one\n" +
			"and its last attempts.",
		Example: "  hookspool targets\n  hookspool targets --watch\n  hookspool targets crm\n" +
			"  hookspool targets --json | jq '.targets[] | select(.pending > 0)'",
		Args:              arguments(0, "NAME"),
		ValidArgsFunction: c.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			show := c.showTargets
			if len(args) > 0 {
				if err := checkTargetName(args[0]); err != nil {
					return err
				}
				show = func(ctx context.Context, relay *peer) error {
					return c.showTarget(ctx, relay, args[0])
				}
			}
			relay, err := c.admin()
			if err != nil {
				return err
			}
			if watch {
				return c.watch(cmd.Context(), relay, show)
			}
			return c.explain(show(cmd.Context(), relay))
		},
	}
	cmd.Flags().BoolVarP(&watch, "watch", "w", false, "show it again every 2s until stopped")
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
	now := time.Now()
	trouble.Sort(list.Targets, now)
	c.printTable(targetTable(list.Targets, now))
	return nil
}

// watch shows something again until it is stopped. On a terminal it overwrites what it showed,
// under a line about the relay, and goes on when the relay is away for a while.
func (c *cli) watch(parent context.Context, relay *peer,
	show func(context.Context, *peer) error) error {
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	screen := isTerminal(c.out) && !c.json
	for seen := false; ; seen = true {
		err := c.watchOnce(ctx, relay, show, screen)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && (!screen || !seen):
			return c.explain(err)
		case err != nil:
			c.print("\x1b[H\x1b[2J%s; trying again\n", clean(err.Error()))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-ticker.C:
		}
	}
}

// watchOnce draws one picture at once, so that a slow answer leaves no empty screen.
func (c *cli) watchOnce(ctx context.Context, relay *peer, show func(context.Context, *peer) error,
	screen bool) error {
	if !screen {
		return show(ctx, relay)
	}
	var s admin.Status
	if err := relay.call(ctx, "GET", "/v1/status", &s); err != nil {
		return err
	}
	now := time.Now()
	c.print("\x1b[H\x1b[2J") // home, clear
	c.print("%s\n\n", truncate(fmt.Sprintf("%s  accepts %s, ticks %s", now.Format(time.TimeOnly),
		rateText(s.AcceptedPerSecond), tickText(&s, now)), c.columnsFor(0)))
	return show(ctx, relay)
}

func targetTable(targets []admin.Target, now time.Time) *table {
	t := &table{columns: []column{
		{name: "NAME", flex: true, min: 12}, {name: "STATUS", color: statusColor},
		{name: "EVENTS", flex: true, spare: 4}, {name: "FAILED-JOBS", right: true},
		{name: "PENDING", right: true}, {name: "OLDEST", right: true, spare: 1},
		{name: "EXHAUSTED", right: true, spare: 2}, {name: "LAST-200", right: true, spare: 3},
		{name: "LAST-ERROR", flex: true, min: 12},
	}}
	shared := slices.ContainsFunc(targets, func(t admin.Target) bool { return t.Relay != "" })
	if shared {
		t.columns = append(t.columns, column{name: "RELAY", flex: true, spare: 5})
	}
	for _, target := range targets {
		lastError := "-"
		if target.LastError != nil && *target.LastError != "" {
			lastError = *target.LastError
		}
		row := []string{target.Name, statusText(&target, now), strings.Join(target.Events, ","),
			fmt.Sprintf("%d/%d", target.FailedJobs, target.FailedJobsMax),
			strconv.FormatUint(target.Pending, 10), age(target.OldestPending, now),
			strconv.FormatUint(target.Exhausted, 10), age(target.LastSuccess, now), lastError}
		if shared {
			row = append(row, dash(target.Relay))
		}
		t.add(row...)
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
