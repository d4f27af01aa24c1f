package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) statusCommand() *cobra.Command {
	return c.addAdminFlag(&cobra.Command{
		Use:   "status",
		Short: "Show a running relay as a whole",
		Long: "Show a running relay as a whole: whether it is ready, where it listens, when the next " +
			"tick\n" +
			"is, what it has accepted, what is pending, and how full its spool is. For an exit code\n" +
			"there is healthcheck; targets shows each target.",
		Example: "  hookspool status\n  hookspool status --json | jq .pending",
		Args:    arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			relay, err := c.admin()
			if err != nil {
				return err
			}
			var s admin.Status
			if err := relay.call(cmd.Context(), "GET", "/v1/status", &s); err != nil {
				return c.explain(err)
			}
			if c.json {
				return c.printJSON(s)
			}
			c.printStatus(&s, time.Now())
			return nil
		},
	})
}

func (c *cli) printStatus(s *admin.Status, now time.Time) {
	c.print("hookspool %s is %s, up %s\n", clean(s.Version), c.readyText(s),
		age(&s.StartedAt, now))
	reloaded := "read " + ago(&s.ReloadedAt, now)
	if s.ReloadFailed {
		reloaded += "; the file as it is now is refused: hookspool check"
	}
	full := ""
	if s.SpoolLimit > 0 {
		full = fmt.Sprintf(" of %s (%d %%)", bytesText(s.SpoolLimit), 100*s.SpoolBytes/s.SpoolLimit)
	}
	rows := [][2]string{
		{"config", dash(s.Config) + ", " + reloaded},
		{"listens", strings.Join(s.Listen, ", ") + "; admin " + s.Admin},
		{"ticks", tickText(s, now)},
		{"accepted", fmt.Sprintf("%d since the start, %s, the last %s", s.Accepted,
			rateText(s.AcceptedPerSecond), ago(s.LastEvent, now))},
		{"owes", fmt.Sprintf("%d pending, %d exhausted, %d quarantined", s.Pending, s.Exhausted,
			s.Quarantined)},
		{"spool", bytesText(s.SpoolBytes) + full + ", " + bytesText(s.FreeBytes) + inodesText(s) +
			" free on its disk"},
	}
	if s.MemoryLimit > 0 {
		rows = append(rows, [2]string{"memory", fmt.Sprintf("limited to %s: %s of bodies in hand, %d "+
			"connections of senders", bytesText(s.MemoryLimit), bytesText(s.BodiesLimit),
			s.ConnectionsLimit)})
	}
	c.printRows(rows)
}

func (c *cli) readyText(s *admin.Status) string {
	if s.Ready {
		return c.paint(c.out, green, "ready")
	}
	return c.paint(c.out, red, "not ready") + " (" + clean(strings.Join(s.Unready, "; ")) + ")"
}

// tickText says how often the clock ticks and when it does next.
func tickText(s *admin.Status, now time.Time) string {
	text := "every " + s.Interval
	if d, err := time.ParseDuration(s.Interval); err == nil {
		text = "every " + durationText(d)
	}
	if s.NextTick != nil {
		text += ", the next in " + age(&now, *s.NextTick)
	}
	return text
}

func rateText(perSecond float64) string { return fmt.Sprintf("%.1f/s", perSecond) }

func (c *cli) reloadCommand() *cobra.Command {
	return c.addAdminFlag(&cobra.Command{
		Use:   "reload",
		Short: "Make a running relay read its config again",
		Long: "Make a running relay read its config again, as SIGHUP does. It is validated whole,\n" +
			"then swapped; a bad file changes nothing, and every fault is shown with its place.",
		Example: "  hookspool reload",
		Args:    arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			relay, err := c.admin()
			if err != nil {
				return err
			}
			var s admin.Status
			if err := relay.call(cmd.Context(), "POST", "/v1/reload", &s); err != nil {
				return c.explain(err)
			}
			if c.json {
				return c.printJSON(s)
			}
			c.print("reloaded %s\n", clean(s.Config))
			return nil
		},
	})
}

// inodesFew is when free inodes are told beside free bytes: a file system that is made for the
// spool's few files and no others has as many.
const inodesFew = 10_000

func inodesText(s *admin.Status) string {
	if s.FreeInodes == nil || *s.FreeInodes >= inodesFew {
		return ""
	}
	return fmt.Sprintf(" and %d inodes", *s.FreeInodes)
}
