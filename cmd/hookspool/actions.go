package main

import (
	"context"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/relay/admin"
)

func (c *cli) actionsCommand() *cobra.Command {
	var f filter
	verb := ""
	cmd := &cobra.Command{
		Use:   "actions",
		Short: "Show who paused, enabled, replayed, purged … what, and when",
		Long: "Show what operators did at a running relay, newest first: when, who, what, to which\n" +
			"target, how many deliveries that were, and with what result. It is kept for 90 days, at\n" +
			"most 10,000 actions, in the spool. Who it was is what the system says of whoever calls over\n" +
			"a unix socket; anybody else is who he claims to be: this program sends the name of the user\n" +
			"and of the machine. What came with an import of another spool is marked so.",
		Example: "  hookspool actions\n" +
			"  hookspool actions --target bot --since 24h\n" +
			"  hookspool actions --verb replay --all --json | jq -r '[.at, .by, .count] | @tsv'",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := f.check(time.Now()); err != nil {
				return err
			}
			if verb != "" && !slices.Contains(action.Verbs(), verb) {
				return misuse("leave it out, or choose one of these", "--verb is %q; it is %s", verb,
					orList(action.Verbs()))
			}
			return listActions(cmd.Context(), c, &f, verb)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&f.target, "target", "", "only those to the target with this `NAME`")
	flags.StringVar(&verb, "verb", "", "only this `VERB`, such as pause or replay")
	flags.StringVar(&f.since, "since", "", "only those begun since this `INSTANT`: RFC 3339, or how "+
		"long ago (15m, 7d)")
	flags.StringVar(&f.until, "until", "", "only those begun by this `INSTANT`")
	f.addPaging(flags)
	c.completeFlags(cmd)
	return c.addAdminFlag(cmd)
}

func listActions(ctx context.Context, c *cli, f *filter, verb string) error {
	relay, err := c.admin()
	if err != nil {
		return err
	}
	again := "actions"
	if verb != "" {
		again += " --verb " + shellQuote(verb)
	}
	return list(ctx, c, f, &listing[action.Action]{
		verb: again,
		noun: "action",
		fetch: func(ctx context.Context, limit int, after string) (page[action.Action], error) {
			var p admin.Actions
			values := f.values()
			for key, value := range map[string]string{"verb": verb, "after": after} {
				if value != "" {
					values.Set(key, value)
				}
			}
			values.Set("limit", strconv.Itoa(limit))
			err := relay.call(ctx, "GET", "/v1/actions?"+values.Encode(), &p)
			return page[action.Action]{p.Actions, p.Next, admin.Looked{}}, err
		},
		table: &table{columns: []column{
			{name: "WHEN"}, {name: "WHO", flex: true, min: 12}, {name: "VERB"},
			{name: "TARGET", flex: true, min: 8}, {name: "COUNT", right: true, spare: 1},
			{name: "RESULT", flex: true, min: 12}, {name: "FILTER", flex: true, spare: 3},
			{name: "FROM", flex: true, spare: 4},
		}},
		row: addAction,
		whole: func(p page[action.Action]) any {
			return admin.Actions{Actions: array(p.elements), Next: p.next}
		},
	})
}

func addAction(t *table, a *action.Action, now time.Time) {
	number := "-"
	if a.Count > 0 {
		number = strconv.FormatUint(a.Count, 10)
	}
	result := a.Result
	if a.EndedAt == nil {
		// What several calls do has no result before the last one: it goes on, or was left.
		if result = strings.TrimSuffix("not ended: "+result, ": done"); a.Result == "" {
			result = "not ended"
		}
	}
	when := a.At.Local().Format(time.DateTime)
	if now.Sub(a.At) < 12*time.Hour {
		when = a.At.Local().Format(time.TimeOnly)
	}
	who := a.Who.String()
	if a.Imported {
		who += " (imported)"
	}
	t.add(when, who, a.Verb, dash(a.Target), number, dash(result), dash(a.Filter),
		dash(a.Remote))
}

// claiming has a peer told who calls: the user and the machine. With sudo it is who used that.
func claiming(p *peer, err error) (*peer, error) {
	if err != nil {
		return nil, err
	}
	name := ""
	if u, err := user.Current(); err == nil {
		name = u.Username
	}
	if by := os.Getenv("SUDO_USER"); by != "" && by != name {
		name = by + " (sudo " + name + ")"
	}
	if host, err := os.Hostname(); err == nil && name != "" {
		name += "@" + host
	}
	p.user = action.Name(name)
	return p, nil
}

// pausedText is since when a target is paused, and by whom.
func pausedText(t *admin.Target, now time.Time) string {
	if t.PausedSince == nil || t.GoneSince != nil {
		return ""
	}
	text := "since " + t.PausedSince.Local().Format(time.DateTime) + " (" + ago(t.PausedSince, now) +
		")"
	if t.PausedBy != "" {
		text += " by " + t.PausedBy
	}
	return text
}
