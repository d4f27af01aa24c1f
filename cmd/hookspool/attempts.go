package main

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

// snippetLinesMax bounds the lines shown of one answer.
const snippetLinesMax = 8

// trying is what the attempts verb is told.
type trying struct {
	target        string
	limit         int
	follow        bool
	headers, curl bool
}

func (c *cli) attemptsCommand() *cobra.Command {
	var t trying
	cmd := &cobra.Command{
		Use:   "attempts [ID]",
		Short: "Show what was tried, and what came back",
		Long: "Show the attempts at an event's targets, oldest first: when, with which outcome, how " +
			"long it\n" +
			"took, and the start of a failure's answer. --headers shows what was sent and answered by\n" +
			"the first and the last that failed, secrets redacted, and up to 1 KiB of each answer;\n" +
			"--curl the commands that make the last one again.\n\n" +
			"Without an ID, the recent attempts at --target, newest first; with --follow, those that\n" +
			"are made from now on, of all targets or one, until stopped. Of a delivery that failed the\n" +
			"first attempt and the last ones are kept, of one that succeeded at once when, the status\n" +
			"and how long it took.",
		Example: "  hookspool attempts order-17\n  hookspool attempts order-17 --target crm --headers\n" +
			"  hookspool attempts order-17 --target crm --curl\n" +
			"  hookspool attempts --target crm --limit 20\n  hookspool attempts --follow\n" +
			"  hookspool attempts order-17 --json | jq '.attempts[] | select(.outcome != \"success\")'",
		Args: arguments(0, "ID"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := t.check(cmd, args); err != nil {
				return err
			}
			switch {
			case t.follow:
				return c.followAttempts(cmd.Context(), t.target)
			case len(args) > 0:
				return c.attemptsOfEvent(cmd.Context(), args[0], &t)
			}
			return c.attemptsOfTarget(cmd.Context(), t.target, t.limit)
		},
	}
	cmd.Flags().StringVar(&t.target, "target", "", "only the target with this `NAME`")
	c.completeFlags(cmd)
	cmd.Flags().BoolVarP(&t.follow, "follow", "f", false, "show attempts as they are made")
	cmd.Flags().BoolVar(&t.headers, "headers", false, "with an ID: show what was sent and answered")
	cmd.Flags().BoolVar(&t.curl, "curl", false, "with an ID: print commands that try again by hand")
	cmd.Flags().IntVar(&t.limit, "limit", limitDefault, "without an ID: show `N` at most")
	return c.addAdminFlag(cmd)
}

// check refuses what does not go together.
func (t *trying) check(cmd *cobra.Command, args []string) error {
	if t.target != "" {
		if err := checkTargetName(t.target); err != nil {
			return err
		}
	}
	switch {
	case len(args) > 0 && t.follow:
		return misuse("leave out one of the two", "--follow goes with --target, not with an ID")
	case len(args) > 0 && cmd.Flags().Changed("limit"):
		return misuse("leave it out", "--limit goes with --target alone, not with an ID")
	case len(args) == 0 && (t.headers || t.curl):
		return misuse("hookspool attempts ID --headers, or --curl", "--headers and --curl go with an ID")
	case t.headers && t.curl:
		return misuse("leave out one of the two", "--headers and --curl do not go together")
	case t.follow && cmd.Flags().Changed("limit"):
		return misuse("leave it out", "--follow has no --limit")
	case t.follow || len(args) > 0:
		return nil
	case t.target == "":
		return misuse("hookspool attempts ID, or hookspool attempts --target NAME",
			"there is neither an ID nor a --target")
	case t.limit < 1 || t.limit > pageMax:
		return misuse("hookspool attempts --help", "--limit is %d; it is a number from 1 to %d",
			t.limit, pageMax)
	}
	return nil
}

func (c *cli) attemptsOfEvent(ctx context.Context, id string, t *trying) error {
	path, err := idPath("/v1/attempts/", id)
	if err != nil {
		return err
	}
	if t.target != "" {
		path += "?target=" + url.QueryEscape(t.target)
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
	if t.curl {
		return printCurl(c, answer.Attempts)
	}
	if len(answer.Attempts) == 0 {
		c.say("no attempt of it is kept; where it is: hookspool events %s", shellQuote(clean(id)))
		return nil
	}
	c.printTable(attemptTable(answer.Attempts, time.Now()))
	if t.headers {
		printHeads(c, answer.Attempts)
		return nil
	}
	c.printSnippets(answer.Attempts)
	var e admin.Event // an extra: without it the attempts stand alone
	if path, err := idPath("/v1/events/", id); err == nil && relay.call(ctx, "GET", path, &e) == nil {
		c.printWhy(slices.DeleteFunc(e.Deliveries, func(d admin.DeliveryState) bool {
			return t.target != "" && d.Target != t.target
		}))
	}
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

// printHeads shows what was sent and answered by each attempt of which it is kept.
func printHeads(c *cli, attempts []admin.Attempt) {
	for i := range attempts {
		a := &attempts[i]
		if a.Request == nil && a.Response == nil && a.Snippet == "" {
			continue
		}
		c.print("\n%s\n", c.paint(c.out, bold, "attempt "+attemptNumber(a)+" at "+clean(a.Target)))
		if r := a.Request; r != nil {
			printHead(c, r.Method+" "+r.URL, r.Headers, r.Cut)
		}
		if r := a.Response; r != nil {
			c.print("\n")
			printHead(c, r.StatusLine, r.Headers, r.Cut)
		}
		if a.Snippet != "" {
			c.print("\n")
			for line := range strings.SplitSeq(strings.TrimRight(a.Snippet, "\r\n"), "\n") {
				c.print("    %s\n", clean(strings.TrimRight(line, "\r")))
			}
		}
	}
}

// printHead shows a head to the letter: its lines are not cut to the screen.
func printHead(c *cli, first string, fields []admin.HeaderField, cut bool) {
	c.print("    %s\n", clean(first))
	for _, f := range fields {
		c.print("    %s: %s\n", clean(f.Name), clean(f.Value))
	}
	if cut {
		c.print("    …\n")
	}
}

// printCurl writes the commands that make the last attempt at each target again.
func printCurl(c *cli, attempts []admin.Attempt) error {
	newest := map[string]*admin.Attempt{}
	var order []string
	for i := range attempts {
		a := &attempts[i]
		if a.Curl == "" {
			continue
		}
		if newest[a.Target] == nil {
			order = append(order, a.Target)
		}
		newest[a.Target] = a
	}
	if len(order) == 0 {
		return fail("hookspool events ID tells where the event is",
			"no attempt is kept whose target is in the config")
	}
	for i, name := range order {
		if i > 0 {
			c.print("\n")
		}
		if len(order) > 1 {
			c.print("# %s\n", clean(name))
		}
		c.print("%s", clean(newest[name].Curl))
	}
	return nil
}
