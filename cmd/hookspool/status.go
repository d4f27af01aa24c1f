package main

import (
	"fmt"
	"strconv"
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
			"is, what it has accepted, what is pending, and how full its spool is. Where several relays\n" +
			"share the spool, all of them, and what is wrong with one. For an exit code there is\n" +
			"healthcheck; targets shows each target.",
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
	for _, one := range s.CopiesShort {
		c.print("\n%s\n", c.paint(c.out, red, copyText(&one)))
	}
	if len(s.Relays) > 0 {
		c.print("\n")
		c.printTable(relayTable(s))
	}
}

// copyText says that a server's copy lacks messages, and what to do.
func copyText(s *admin.ShortCopy) string {
	text := fmt.Sprintf("server %s lacks %d messages at least, and says that it is current",
		clean(s.Server), s.Missing)
	if s.Leads {
		text += "; it leads"
	}
	if s.Doubtful {
		return text + "; that is doubtful: let all servers run, and see what is said then"
	}
	return text + ": empty its store_dir while it is stopped"
}

// relayTable is the relays that share the spool.
func relayTable(s *admin.Status) *table {
	t := &table{columns: []column{
		{name: "RELAY", flex: true, min: 12}, {name: "VERSION", spare: 2},
		{name: "TARGETS", right: true}, {name: "SEEN", right: true, spare: 1},
		{name: "ADMIN", flex: true, spare: 3}, {name: "NOTES", flex: true, min: 12},
	}}
	for _, r := range s.Relays {
		t.add(r.Name, dash(r.Version), strconv.Itoa(r.Lanes), secondsText(r.SeenAgo)+" ago",
			dash(r.Admin), dash(strings.Join(relayNotes(s, &r), ", ")))
	}
	return t
}

// clockTold is from where on the clock of another relay is told of.
const clockTold = time.Second

// relayNotes are what there is to say of a relay.
func relayNotes(s *admin.Status, r *admin.Peer) (notes []string) {
	if r.Leads {
		notes = append(notes, "leads")
	}
	if r.ConfigDiffers {
		notes = append(notes, "another config")
	}
	tick, err := time.ParseDuration(s.Interval)
	if off := seconds(r.ClockAhead); err == nil && off.Abs() > max(tick, clockTold) {
		way := " ahead"
		if off < 0 {
			way = " behind"
		}
		notes = append(notes, "its clock is "+durationText(off.Abs().Round(time.Second))+way)
	}
	return notes
}

func secondsText(s float64) string { return durationText(seconds(s).Round(time.Second)) }

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
