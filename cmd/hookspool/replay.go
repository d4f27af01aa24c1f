package main

import (
	"bufio"
	"context"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/relay/admin"
)

// replaying is what a replay is asked for.
type replaying struct {
	filter
	dryRun, yes bool
	run         string // what the pages before were; empty: this is the first
}

func (c *cli) replayCommand() *cobra.Command {
	var r replaying
	states := []string{stateExhausted, stateDelivered, stateExpired}
	cmd := &cobra.Command{
		Use:   "replay",
		Short: "Send exhausted or delivered deliveries again",
		Long: "Send exhausted deliveries again, or with --state delivered what has arrived, or with\n" +
			"--state expired what became too old: a replay does not expire. Each\n" +
			"starts at attempt 0 with all its retries, under the same id and with webhook-replay:\n" +
			"true. What is pending is being sent anyway: it is left alone and not counted.\n\n" +
			"It counts first and asks when there is more than one; without a terminal it wants --yes.\n" +
			"Ctrl-C stops between two pages and says how to go on.",
		Example: "  hookspool replay --target crm --dry-run\n" +
			"  hookspool replay --target crm --since 24h --type 'templateMessage*'\n" +
			"  hookspool replay --id order-17 --state delivered\n" +
			"  hookspool replay --target crm --where waId=491701234567 --since 22:00 --until 06:00\n" +
			"  hookspool replay --target crm --status 5xx --error 'answered 503'\n" +
			"  hookspool replay --target crm --yes --json | jq .count",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			r.all = true
			if err := r.check(time.Now(), states...); err != nil {
				return err
			}
			return c.replay(cmd.Context(), &r)
		},
	}
	flags := cmd.Flags()
	r.addFilter(flags, states...)
	flags.StringVar(&r.after, "after", "", "go on at a `CURSOR`, where a replay before was stopped")
	flags.BoolVar(&r.dryRun, "dry-run", false, "count, and send nothing")
	c.completeFlags(cmd, states...)
	flags.BoolVarP(&r.yes, "yes", "y", false, "do not ask")
	return c.addAdminFlag(cmd)
}

func (c *cli) replay(ctx context.Context, r *replaying) error {
	if r.target == "" && (r.id == "" || strings.HasSuffix(r.id, "*")) {
		return misuse("hookspool replay --target NAME, or hookspool replay --id ID",
			"there is neither a --target nor an --id")
	}
	r.all = false // what goes on is another replay, not a listing
	relay, err := c.admin()
	if err != nil {
		return err
	}
	total := int64(-1)
	if r.dryRun || !r.yes {
		would, err := c.replayPages(ctx, relay, r, true, -1)
		if err != nil {
			return err
		}
		if r.dryRun {
			return c.tellReplay(r, would)
		}
		if err := c.askReplay(r, &would); err != nil || would.Count == 0 {
			return err
		}
		total = int64(would.Count)
	}
	done, err := c.replayPages(ctx, relay, r, false, total)
	if done.Count > 0 || err == nil {
		if tellErr := c.tellReplay(r, done); tellErr != nil {
			return tellErr
		}
	}
	return err
}

// replayPages goes from page to page. total is what is expected, -1 if that is not known. The call
// under way is waited for when the user stops it, so that what it did is known.
func (c *cli) replayPages(parent context.Context, relay *peer, r *replaying, dryRun bool,
	total int64) (admin.Replayed, error) {
	// Not around the question: Ctrl-C there ends the process as everywhere.
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	what := "replaying"
	if dryRun {
		what = "counting"
	}
	show, end := c.pageProgress(what, total)
	defer end()
	sum := admin.Replayed{Next: r.after, DryRun: dryRun}
	for {
		if ctx.Err() != nil {
			relay.stopped(parent, sum.Run)
			return sum, c.replayStopped(r, &sum)
		}
		one, err := relay.replay(context.WithoutCancel(ctx), r, dryRun, sum.Next)
		if err != nil {
			return sum, c.replayBroke(r, &sum, err)
		}
		sum.Count, sum.Next = sum.Count+one.Count, one.Next
		addLooked(&sum.Looked, &one.Looked)
		sum.Sends, sum.WhyNot = one.Sends, one.WhyNot
		if one.Run != "" {
			sum.Run, r.run = one.Run, one.Run
		}
		show(sum.Count, one.Looked)
		if sum.Next == "" {
			return sum, nil
		}
	}
}

func (c *cli) replayStopped(r *replaying, sum *admin.Replayed) error {
	if sum.DryRun {
		return fail("run it again", "stopped while counting; nothing was replayed")
	}
	return fail("go on with: "+c.again(&r.filter, "replay", sum.Next), "stopped")
}

// stopped tells the relay that no other page of an action will be asked for. What was done is done
// whether it hears that or not.
func (p *peer) stopped(ctx context.Context, run string) {
	if run != "" {
		var ended action.Action
		_ = p.call(ctx, "POST", "/v1/actions/"+run+"/stop", &ended)
	}
}

// replayBroke says how to go on after a failure in the middle.
func (c *cli) replayBroke(r *replaying, sum *admin.Replayed, err error) error {
	err = c.explain(err)
	if sum.DryRun || sum.Count == 0 {
		return err
	}
	return fail("when that is mended, go on with: "+c.again(&r.filter, "replay", sum.Next), "%w", err)
}

func (p *peer) replay(ctx context.Context, r *replaying, dryRun bool, after string) (admin.Replayed,
	error) {
	values := r.values()
	values.Set("limit", strconv.Itoa(pageMax))
	values.Set("dry_run", strconv.FormatBool(dryRun))
	if after != "" {
		values.Set("after", after)
	}
	if r.run != "" && !dryRun {
		values.Set("run", r.run)
	}
	var out admin.Replayed
	return out, p.call(ctx, "POST", "/v1/replay?"+values.Encode(), &out)
}

// askReplay asks when there is more than one, or when nothing would be sent. A no is an error:
// nothing was done.
func (c *cli) askReplay(r *replaying, would *admin.Replayed) error {
	n := would.Count
	what, then := count(n, r.stateOr()+" delivery"), "replayed"
	if stays(would) {
		then = "queued, and not sent"
	}
	switch {
	case n == 0 && c.json:
		return c.printJSON(admin.Replayed{Sends: would.Sends, WhyNot: would.WhyNot})
	case n == 0:
		c.say("there is no %s to replay", r.stateOr()+" delivery")
		return nil
	case n == 1 && !stays(would):
		return nil
	case !isTerminal(c.in):
		return misuse("add --yes", "%s would be %s%s, and there is no terminal to ask at", what, then,
			because(would))
	}
	c.say("%s would be %s%s. Type yes to go on:", what, then, because(would))
	line, _ := bufio.NewReader(c.in).ReadString('\n') // no answer is no
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "yes" && answer != "y" {
		return fail("--yes goes on without a question", "nothing was replayed")
	}
	return nil
}

// stays reports whether what is replayed is not sent.
func stays(r *admin.Replayed) bool { return !r.Sends && r.WhyNot != "" }

// because is what is in the way of sending what is replayed, if anything is.
func because(r *admin.Replayed) string {
	if r.WhyNot == "" {
		return ""
	}
	return " (" + clean(r.WhyNot) + ")"
}

func (r *replaying) stateOr() string {
	if r.state == "" {
		return stateExhausted
	}
	return r.state
}

func (c *cli) tellReplay(r *replaying, sum admin.Replayed) error {
	if c.json {
		return c.printJSON(sum)
	}
	sayWhereErrors(c, &sum.Looked)
	what := count(sum.Count, r.stateOr()+" delivery")
	verb := "replayed"
	if stays(&sum) && sum.Count > 0 {
		verb = "queued"
	}
	why := ""
	if sum.WhyNot != "" && sum.Count > 0 {
		why = "; " + clean(sum.WhyNot)
	}
	if sum.DryRun {
		c.print("%s would be %s%s\n", what, verb, why)
		return nil
	}
	c.print("%s %s%s\n", verb, what, why)
	return nil
}

// pageProgress is a bar when the end is known, else a number; on a terminal only.
func (c *cli) pageProgress(what string, total int64) (show progressFunc, end func()) {
	if total < 0 || !isTerminal(c.errOut) {
		return c.counter(what)
	}
	bar := progressbar.NewOptions64(total, progressbar.OptionSetWriter(c.errOut),
		progressbar.OptionSetDescription(what), progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(), progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionClearOnFinish())
	show = func(n int, _ admin.Looked) {
		bar.ChangeMax64(max(total, int64(n)))
		_ = bar.Set(n) // a bar that cannot be drawn stops nothing
	}
	return show, func() { _ = bar.Finish() }
}
