package main

import (
	"bufio"
	"context"
	"errors"
	"net/url"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

// purging is what a purge is asked for.
type purging struct {
	target, state, typ, until, id string
	yes, forget                   bool
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
			"  hookspool purge --target crm --type message --until 7d\n" +
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
	flags.StringVar(&p.state, "state", "pending", "pending or exhausted")
	flags.StringVar(&p.typ, "type", "", "only events of this `TYPE`")
	flags.StringVar(&p.until, "until", "", "only events accepted by this `INSTANT`: RFC 3339, or how "+
		"long ago (24h, 7d)")
	flags.StringVar(&p.id, "id", "", "only the event with this `ID`")
	flags.BoolVarP(&p.yes, "yes", "y", false, "do not ask")
	flags.BoolVar(&p.forget, "forget", false, "remove the target itself: one that is not in the "+
		"config and has nothing left")
	c.completeFlags(cmd, statePending, stateExhausted)
	return c.addAdminFlag(cmd)
}

func (c *cli) purge(ctx context.Context, p *purging) error {
	if p.target == "" {
		return misuse("hookspool purge --target NAME", "--target is missing")
	}
	if p.state != "pending" && p.state != "exhausted" {
		return misuse("hookspool purge --help", "--state is %q; it is pending or exhausted", p.state)
	}
	var err error
	if p.until, err = instant("--until", p.until, time.Now()); err != nil {
		return err
	}
	if !p.yes && !isTerminal(c.in) {
		return misuse("add --yes", "there is no terminal to ask at")
	}
	relay, err := c.admin()
	if err != nil {
		return err
	}
	total := int64(-1)
	if !p.yes {
		would, err := c.purgePages(ctx, relay, p, true, -1)
		if err != nil {
			return err
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
	if c.json {
		return errors.Join(c.printJSON(done), err)
	}
	c.print("purged %s of %s\n", count(int(done.Count), done.State+" delivery"), clean(done.Target))
	return err
}

// purgePath can hold any name: older imports made some that no config could have. Dots are encoded
// too, since a path that has them as a part of its own may be shortened on its way.
func purgePath(target string) string {
	return "/v1/targets/" + strings.ReplaceAll(url.PathEscape(target), ".", "%2E") + "/purge"
}

// forget removes a target that nothing is left of, so there is nothing to ask.
func (c *cli) forget(cmd *cobra.Command, p *purging) error {
	if p.target == "" {
		return misuse("hookspool purge --target NAME --forget", "--target is missing")
	}
	for _, flag := range []string{"state", "type", "until", "id"} {
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
			return sum, fail("the same command goes on", "stopped")
		}
		one, err := relay.purge(context.WithoutCancel(ctx), p, dryRun, sum.Next)
		if err != nil {
			return sum, c.explain(err)
		}
		sum.Count, sum.Next = sum.Count+one.Count, one.Next
		show(int(sum.Count))
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
	values := url.Values{"state": {q.state}, "dry_run": {strconv.FormatBool(dryRun)},
		"limit": {strconv.Itoa(pageMax)}}
	for name, value := range map[string]string{"type": q.typ, "until": q.until, "id": q.id,
		"after": after} {
		if value != "" {
			values.Set(name, value)
		}
	}
	var out admin.Purged
	return out, p.call(ctx, "POST", purgePath(q.target)+"?"+values.Encode(), &out)
}
