package main

import (
	"bufio"
	"context"
	"errors"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

// purging is what a purge is asked for.
type purging struct {
	filter
	yes, forget, dryRun bool
	run                 string // what the pages before were; empty: this is the first
}

func (c *cli) purgeCommand() *cobra.Command {
	var p purging
	cmd := &cobra.Command{
		Use:   "purge --target NAME",
		Short: "Delete pending or exhausted deliveries for good",
		Long: "Delete deliveries of a target that nobody is to get any more: the only way an " +
			"undelivered\n" +
			"event is ever deleted by hand. It counts first and asks; without a terminal it wants --yes.\n" +
			"Ctrl-C stops between two pages; what is gone is gone, and the same command goes on.\n" +
			"A target that is not in the config any more can be purged as well. Once nothing is left\n" +
			"of it, --forget removes the target itself, with its counts and its history; spool stat\n" +
			"lists all there are. Its name may come back one day, as a new target.",
		Example: "  hookspool purge --target crm --state exhausted\n" +
			"  hookspool purge --target crm --type message --until 7d --dry-run\n" +
			"  hookspool purge --target crm --where waId=491701234567\n" +
			"  hookspool purge --target old --yes\n" +
			"  hookspool purge --target old --forget",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			if p.forget {
				return c.forget(cmd, &p)
			}
			return c.purge(cmd.Context(), &p)
		},
	}
	flags := cmd.Flags()
	flags.StringVar(&p.target, "target", "", "the `NAME` of the target (required)")
	flags.StringVar(&p.state, "state", "pending", "only this `STATE`: pending, exhausted or expired")
	flags.StringVar(&p.typ, "type", "", "only events of this `TYPE`, which may have a *")
	flags.StringVar(&p.since, "since", "", "only events accepted since this `INSTANT`: how long ago "+
		"(24h, 7d), 22:00 for the last time it was that, '2026-11-27 22:00', or RFC 3339")
	flags.StringVar(&p.until, "until", "", "only events accepted by this `INSTANT`")
	p.addChoice(flags)
	flags.BoolVar(&p.dryRun, "dry-run", false, "count, and delete nothing")
	flags.BoolVarP(&p.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&p.forget, "forget", false, "remove the target itself: one that is not in the "+
		"config and has nothing left")
	c.completeFlags(cmd, statePending, stateExhausted, stateExpired)
	return c.addAdminFlag(cmd)
}

func (c *cli) purge(ctx context.Context, p *purging) error {
	if p.target == "" {
		return misuse("hookspool purge --target NAME", "--target is missing")
	}
	if states := []string{statePending, stateExhausted, stateExpired}; !slices.Contains(states,
		p.state) {
		return misuse("hookspool purge --help", "--state is %q; it is %s", p.state, orList(states))
	}
	if err := p.checkWindow(time.Now()); err != nil {
		return err
	}
	if err := p.checkChoice(); err != nil {
		return err
	}
	if !p.yes && !p.dryRun && !isTerminal(c.in) {
		return misuse("add --yes", "there is no terminal to ask at")
	}
	relay, err := c.admin()
	if err != nil {
		return err
	}
	total := int64(-1)
	if p.dryRun || !p.yes {
		would, err := c.purgePages(ctx, relay, p, true, -1)
		if err != nil {
			return err
		}
		if p.dryRun {
			return c.tellPurge(&would)
		}
		if sure, err := c.askPurge(p, &would); err != nil || !sure {
			return err
		}
		total = int64(would.Count)
	}
	done, err := c.purgePages(ctx, relay, p, false, total)
	if done.Count == 0 && err != nil {
		return err
	}
	return errors.Join(c.tellPurge(&done), err)
}

func (c *cli) tellPurge(sum *admin.Purged) error {
	if c.json {
		return c.printJSON(sum)
	}
	sayWhereErrors(c, &sum.Looked)
	what := count(int(sum.Count), sum.State+" delivery") + " of " + clean(sum.Target)
	if sum.DryRun {
		c.print("%s would be purged\n", what)
		return nil
	}
	c.print("purged %s\n", what)
	return nil
}

// purgePath can hold any name. Dots are encoded too, since a path that has them as a part of its
// own may be shortened on its way.
func purgePath(target string) string {
	return "/v1/targets/" + strings.ReplaceAll(url.PathEscape(target), ".", "%2E") + "/purge"
}

// forget removes a target that nothing is left of, so there is nothing to ask.
func (c *cli) forget(cmd *cobra.Command, p *purging) error {
	if p.target == "" {
		return misuse("hookspool purge --target NAME --forget", "--target is missing")
	}
	for _, flag := range []string{"state", "type", "since", "until", "id", "where", "conversation",
		"session", "status", "error", "failure", "dry-run"} {
		if cmd.Flags().Changed(flag) {
			return misuse("purge first, then forget", "--forget deletes no deliveries, so it takes no --%s",
				flag)
		}
	}
	relay, err := c.admin()
	if err != nil {
		return err
	}
	var out admin.Purged
	if err := relay.call(cmd.Context(), "POST", purgePath(p.target)+"?forget=true", &out); err != nil {
		return c.explain(err)
	}
	if c.json {
		return c.printJSON(out)
	}
	c.print("forgot %s\n", clean(p.target))
	return nil
}

// purgePages goes from page to page. total is what is expected, -1 if that is not known. The call
// under way is waited for when the user stops it, so that what it did is known.
func (c *cli) purgePages(parent context.Context, relay *peer, p *purging, dryRun bool,
	total int64) (admin.Purged, error) {
	// Not around the question: Ctrl-C there ends the process as everywhere.
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	what := "purging"
	if dryRun {
		what = "counting"
	}
	show, end := c.pageProgress(what, total)
	defer end()
	sum := admin.Purged{Target: p.target, State: p.state, DryRun: dryRun}
	for {
		if ctx.Err() != nil {
			relay.stopped(parent, sum.Run)
			return sum, fail("the same command goes on", "stopped")
		}
		one, err := relay.purge(context.WithoutCancel(ctx), p, dryRun, sum.Next)
		if err != nil {
			return sum, c.explain(err)
		}
		sum.Count, sum.Next = sum.Count+one.Count, one.Next
		addLooked(&sum.Looked, &one.Looked)
		if one.Run != "" {
			sum.Run, p.run = one.Run, one.Run
		}
		show(int(sum.Count), one.Looked)
		if sum.Next == "" {
			return sum, nil
		}
	}
}

// askPurge asks whether what was counted is to go.
func (c *cli) askPurge(p *purging, would *admin.Purged) (bool, error) {
	if would.Count == 0 {
		c.say("there is nothing to purge")
		return false, nil
	}
	c.say("%s of %s would be deleted for good. Type the target's name to go on:",
		count(int(would.Count), would.State+" delivery"), clean(would.Target))
	line, _ := bufio.NewReader(c.in).ReadString('\n') // no answer is no
	if strings.TrimSpace(line) != p.target {
		return false, fail("--yes goes on without a question", "nothing was purged")
	}
	return true, nil
}

// purge is one page of it.
func (p *peer) purge(ctx context.Context, q *purging, dryRun bool, after string) (admin.Purged,
	error) {
	values := q.values()
	values.Del("target") // it stands in the path
	values.Set("dry_run", strconv.FormatBool(dryRun))
	values.Set("limit", strconv.Itoa(pageMax))
	if q.run != "" {
		values.Set("run", q.run)
	}
	if after != "" {
		values.Set("after", after)
	}
	var out admin.Purged
	return out, p.call(ctx, "POST", purgePath(q.target)+"?"+values.Encode(), &out)
}
