package main

import (
	"context"
	"net/url"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/failures"
)

func (c *cli) failuresCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "failures TARGET",
		Short: "Group what fails at a target by what came back",
		Long: "Group the deliveries of a target that failed, and wait for another attempt, are " +
			"exhausted\n" +
			"or expired: by outcome, status, error and the first line of the answer, the largest group\n" +
			"first, with how many there are, since when, and the newest one's event. All of them are\n" +
			"looked at, page by page. Ids, instants and addresses in errors and answers do not make\n" +
			"another group. The FAILURE of a group selects exactly its deliveries: events, deliveries,\n" +
			"exhausted, replay and purge take it as --failure.",
		Example: "  hookspool failures crm\n" +
			"  hookspool failures crm --json | jq -r '.groups[] | \"\\(.count) \\(.status) \\(.line)\"'",
		Args:              arguments(1, "TARGET"),
		ValidArgsFunction: c.completeTarget,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := checkTargetName(args[0]); err != nil {
				return err
			}
			return showFailures(cmd.Context(), c, args[0])
		},
	}
	return c.addAdminFlag(cmd)
}

func showFailures(parent context.Context, c *cli, target string) error {
	relay, err := c.admin()
	if err != nil {
		return err
	}
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	show, end := c.counter("looking at failures")
	defer end()
	all := admin.Failures{Target: target}
	var groups failures.Groups
	for {
		var page admin.Failures
		path := "/v1/targets/" + url.PathEscape(target) + "/failures"
		if all.Next != "" {
			path += "?after=" + url.QueryEscape(all.Next)
		}
		if err := relay.call(ctx, "GET", path, &page); err != nil {
			return c.explain(err)
		}
		all.LookedAt += page.LookedAt
		groups.AddOthers(page.Others)
		for i := range page.Groups {
			groups.Add(failureGroup(&page.Groups[i]))
		}
		if all.Next = page.Next; all.Next == "" {
			break
		}
		show(all.LookedAt, admin.Looked{})
	}
	end()
	list, others := groups.List()
	all.Groups, all.Others = failureGroups(list), others
	if c.json {
		return c.printJSON(all)
	}
	if len(list) == 0 {
		c.say("nothing fails at %s", clean(target))
		return nil
	}
	c.printTable(failureTable(all.Groups, time.Now()))
	if others > 0 {
		c.say("and %s in smaller groups", count(others, "delivery"))
	}
	adviseFailures(c, target, &all.Groups[0])
	return nil
}

// failureGroup is a group of the API, to be gathered with those of other pages.
func failureGroup(g *admin.FailureGroup) failures.Group {
	return failures.Group{Outcome: g.Outcome, Status: g.Status, Error: g.Error, Line: g.Line,
		Pending: g.Pending, Exhausted: g.Exhausted, Expired: g.Expired, First: g.FirstSeen,
		Last: g.LastSeen, Example: g.Example}
}

func failureGroups(list []failures.Group) []admin.FailureGroup {
	out := make([]admin.FailureGroup, len(list))
	for i := range list {
		g := &list[i]
		out[i] = admin.FailureGroup{Outcome: g.Outcome, Status: g.Status, Error: g.Error, Line: g.Line,
			Count: g.Count(), Pending: g.Pending, Exhausted: g.Exhausted, Expired: g.Expired,
			FirstSeen: g.First, LastSeen: g.Last, Example: g.Example}
		out[i].Failure = g.Name()
		out[i].ByStatus, out[i].ByError = g.Filter()
	}
	return out
}

func failureTable(groups []admin.FailureGroup, now time.Time) *table {
	t := &table{columns: []column{{name: "COUNT", right: true},
		{name: "PENDING", right: true, spare: 3}, {name: "EXHAUSTED", right: true, spare: 2},
		{name: "FIRST", right: true, spare: 1}, {name: "LAST", right: true},
		{name: "OUTCOME", color: outcomeColor},
		{name: "WHAT CAME BACK", flex: true, min: 20}, {name: "FAILURE"}, {name: "NEWEST", spare: 4}}}
	for i := range groups {
		g := &groups[i]
		came := g.Line
		if came == "" {
			came = g.Error
		}
		t.add(strconv.Itoa(g.Count), strconv.Itoa(g.Pending), strconv.Itoa(g.Exhausted+g.Expired),
			age(&g.FirstSeen, now), age(&g.LastSeen, now),
			outcomeText(&admin.Attempt{Outcome: g.Outcome, Status: g.Status}), dash(came), g.Failure,
			dash(g.Example))
	}
	return t
}

// adviseFailures says how to look at the largest group, and how to send it again.
func adviseFailures(c *cli, target string, g *admin.FailureGroup) {
	flags := " --target " + shellQuote(target)
	if g.ByStatus != "" {
		flags += " --status " + g.ByStatus // for whoever reads it in the log of actions
	}
	flags += " --failure " + g.Failure
	if g.Example != "" {
		c.say("one of them: hookspool events %s", shellQuote(clean(g.Example)))
	}
	switch {
	case g.Exhausted > 0:
		c.say("once it is mended: hookspool replay%s", clean(flags))
	case g.Expired > 0:
		c.say("to send them all the same: hookspool replay%s --state expired", clean(flags))
	default:
		c.say("all of them: hookspool deliveries%s", clean(flags))
	}
}
