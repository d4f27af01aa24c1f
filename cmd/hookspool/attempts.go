package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

// snippetLinesMax bounds the lines shown of one answer.
const snippetLinesMax = 8

func (c *cli) attemptsCommand() *cobra.Command {
	var target string
	limit, follow := limitDefault, false
	cmd := &cobra.Command{
		Use:   "attempts [ID]",
		Short: "Show what was tried, and what came back",
		Long: "Show the attempts at an event's targets, oldest first: when, with which outcome, how " +
			"long it\n" +
			"took, and the start of a failure's answer. Without an ID, the recent attempts at --target,\n" +
			"newest first; with --follow, those that are made from now on, of all targets or one, until\n" +
			"stopped. Of a delivery that failed the first attempt and the last ones are kept, of one\n" +
			"that succeeded at once only what is recent.",
		Example: "  hookspool attempts order-17\n  hookspool attempts order-17 --target crm\n" +
			"  hookspool attempts --target crm --limit 20\n  hookspool attempts --follow\n" +
			"  hookspool attempts order-17 --json | jq '.attempts[] | select(.outcome != \"success\")'",
		Args: arguments(0, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if target != "" {
				if err := checkTargetName(target); err != nil {
					return err
				}
			}
			switch {
			case len(args) > 0 && follow:
				return misuse("leave out one of the two", "--follow goes with --target, not with an ID")
			case len(args) > 0 && cmd.Flags().Changed("limit"):
				return misuse("leave it out", "--limit goes with --target alone, not with an ID")
			case follow && cmd.Flags().Changed("limit"):
				return misuse("leave it out", "--follow has no --limit")
			case follow:
				return c.followAttempts(cmd.Context(), target)
			case len(args) > 0:
				return c.attemptsOfEvent(cmd.Context(), args[0], target)
			case target == "":
				return misuse("hookspool attempts ID, or hookspool attempts --target NAME",
					"there is neither an ID nor a --target")
			case limit < 1 || limit > pageMax:
				return misuse("hookspool attempts --help", "--limit is %d; it is a number from 1 to %d",
					limit, pageMax)
			}
			return c.attemptsOfTarget(cmd.Context(), target, limit)
		},
	}
	cmd.Flags().StringVar(&target, "target", "", "only the target with this `NAME`")
	c.completeFlags(cmd)
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "show attempts as they are made")
	cmd.Flags().IntVar(&limit, "limit", limitDefault, "without an ID: show at most this `MANY`")
	return c.addAdminFlag(cmd)
}

func (c *cli) attemptsOfEvent(ctx context.Context, id, target string) error {
	path, err := idPath("/v1/attempts/", id)
	if err != nil {
		return err
	}
	if target != "" {
		path += "?target=" + url.QueryEscape(target)
	}
	relay, err := c.admin()
	if err != nil {
		return err
	}
	var answer admin.Attempts
	if err := relay.call(ctx, "GET", path, &answer); err != nil {
		return c.explain(err)
	}
	if c.json {
		return c.printJSON(answer)
	}
	if len(answer.Attempts) == 0 {
		c.say("no attempt of it is kept; where it is: hookspool events %s", shellQuote(clean(id)))
		return nil
	}
	c.printTable(attemptTable(answer.Attempts, time.Now()))
	c.printSnippets(answer.Attempts)
	return nil
}

func (c *cli) attemptsOfTarget(ctx context.Context, target string, limit int) error {
	relay, err := c.admin()
	if err != nil {
		return err
	}
	path := "/v1/targets/" + url.PathEscape(target) + "/attempts?limit=" + strconv.Itoa(limit)
	var answer admin.RecentAttempts
	if err := relay.call(ctx, "GET", path, &answer); err != nil {
		return c.explain(err)
	}
	if c.json {
		return c.printJSON(answer)
	}
	if len(answer.Attempts) == 0 {
		c.say("no attempt at %s is kept", clean(target))
		return nil
	}
	c.printTable(recentTable(answer.Attempts, time.Now()))
	return nil
}

// attemptColumns are those of every table of attempts.
func attemptColumns(first ...column) []column {
	return append(first, column{name: "ATTEMPT", right: true},
		column{name: "OUTCOME", color: outcomeColor}, column{name: "TOOK", right: true, spare: 1},
		column{name: "REMOTE", flex: true, spare: 2}, column{name: "ERROR", flex: true, min: 12})
}

// attemptTable shows the attempts of one event.
func attemptTable(attempts []admin.Attempt, now time.Time) *table {
	t := &table{columns: attemptColumns(column{name: "WHEN", right: true},
		column{name: "TARGET", flex: true})}
	for i := range attempts {
		a := &attempts[i]
		if missing := notKept(attempts[:i], a); missing > 0 {
			t.add("-", a.Target, "-", "-", "-", "-", count(missing, "attempt")+" not kept")
		}
		t.add(attemptCells(a.Target, a, now)...)
	}
	return t
}

// recentTable shows the recent attempts at one target.
func recentTable(attempts []admin.RecentAttempt, now time.Time) *table {
	t := &table{columns: attemptColumns(column{name: "WHEN", right: true},
		column{name: "EVENT", flex: true, min: idMin})}
	for i := range attempts {
		id := attempts[i].ID
		if id == "" {
			id = "(gone)"
		}
		t.add(attemptCells(id, &attempts[i].Attempt, now)...)
	}
	return t
}

func attemptCells(of string, a *admin.Attempt, now time.Time) []string {
	return []string{age(&a.At, now), of, attemptNumber(a), outcomeText(a),
		latencyText(seconds(a.Duration)), dash(a.Remote), dash(a.Error)}
}

func attemptNumber(a *admin.Attempt) string {
	if a.Replay {
		return strconv.Itoa(a.Attempt) + " (replay)"
	}
	return strconv.Itoa(a.Attempt)
}

// notKept is how many attempts of a delivery lie between one and the one kept before it.
func notKept(before []admin.Attempt, a *admin.Attempt) int {
	for i := len(before) - 1; i >= 0; i-- {
		if b := &before[i]; b.Target == a.Target {
			if b.Replay != a.Replay {
				break // a replay counts from 0 again
			}
			return a.Attempt - b.Attempt - 1
		}
	}
	return a.Attempt
}

func outcomeText(a *admin.Attempt) string {
	if a.Status > 0 {
		return fmt.Sprintf("%s %d", a.Outcome, a.Status)
	}
	return a.Outcome
}

func outcomeColor(outcome string) string {
	switch {
	case outcome == "-":
		return ""
	case strings.HasPrefix(outcome, "success"):
		return green
	}
	return red
}

// printSnippets shows of each target the answer to its newest attempt, if one is kept.
func (c *cli) printSnippets(attempts []admin.Attempt) {
	newest := map[string]*admin.Attempt{}
	var order []string
	for i := range attempts {
		a := &attempts[i]
		if newest[a.Target] == nil {
			order = append(order, a.Target)
		}
		newest[a.Target] = a
	}
	for _, name := range order {
		a := newest[name]
		if a.Snippet == "" {
			continue
		}
		c.print("\n%s answered attempt %d:\n", clean(name), a.Attempt)
		c.printLines(a.Snippet, snippetLinesMax)
	}
}

// printLines indents a text of somebody else's, cut to the screen and to so many lines.
func (c *cli) printLines(text string, most int) {
	lines := strings.Split(strings.TrimRight(text, "\r\n"), "\n")
	for i, line := range lines {
		if i == most {
			c.print("    … %s more\n", count(len(lines)-i, "line"))
			return
		}
		line = strings.ReplaceAll(clean(strings.TrimRight(line, "\r")), "\t", "  ")
		c.print("    %s\n", truncate(line, c.columnsFor(4)))
	}
}
