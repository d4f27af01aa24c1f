package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/admin"
)

const (
	// jobWait is how long a job is waited for unless --wait says otherwise.
	jobWait = time.Hour
	// jobLook is how often it is looked at.
	jobLook = 250 * time.Millisecond
	// jobLost is how long nothing may run before a job that was asked for counts as lost: the relay
	// was started again, or the target moved to another one.
	jobLost = 15 * time.Second
)

// jobOrder completes a command that runs a job of one target, waits for it, and tells what it came
// to.
func jobOrder(c *cli, cmd *cobra.Command, verb string) *cobra.Command {
	wait, force := time.Duration(0), false
	cmd.Args = arguments(1, "TARGET")
	cmd.ValidArgsFunction = c.completeTarget
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if wait < 0 {
			return misuse("--wait 0s does not wait", "--wait is %s", wait)
		}
		relay, err := c.admin()
		if err != nil {
			return err
		}
		path := verb
		if force {
			path += "?force=true"
		}
		// Who stops while the order is given is to know that it was.
		ctx, stop := c.untilStopped(cmd.Context(), func(os.Signal) {})
		defer stop()
		t, err := c.postOrder(context.WithoutCancel(ctx), relay, path, args[0])
		if err != nil {
			return c.explain(err)
		}
		if t.JobAsked > 0 && wait > 0 {
			if t, err = waitForJob(ctx, c, relay, t, wait); err != nil {
				return err
			}
		}
		if c.json {
			if err := c.printJSON(t); err != nil {
				return err
			}
		}
		if t.JobAsked > 0 && wait > 0 && !jobEnded(t, t.JobAsked) {
			return fail("hookspool targets "+clean(t.Name)+" shows what it comes to; --wait 1h waits "+
				"longer", "%s: the job goes on after %s: %s", clean(t.Name), durationText(wait),
				strings.TrimSuffix(jobProgress(t, t.JobAsked), " …"))
		}
		return tellJob(c, t)
	}
	cmd.Flags().DurationVar(&wait, "wait", jobWait, "wait at most this `DURATION` for the job to "+
		"end, then exit 1; 0s: do not wait")
	if verb == "enable" {
		cmd.Flags().BoolVar(&force, "force", false, "lift the defect whatever comes of the job")
	}
	return c.addAdminFlag(cmd)
}

// jobEnded reports whether the job that was asked for has ended.
func jobEnded(t *admin.Target, asked uint64) bool {
	return t.LastJob != nil && t.LastJob.Number >= asked && t.LastJob.EndedAt != nil
}

// waitForJob returns the target once the job that was asked for has ended, or as it is when time is
// up. Ctrl-C stops the waiting, and the job goes on.
func waitForJob(ctx context.Context, c *cli, relay *peer, t *admin.Target,
	wait time.Duration) (*admin.Target, error) {
	asked, relayThen := t.JobAsked, t.Relay
	look := time.NewTicker(jobLook)
	defer look.Stop()
	onTerminal, began, seen := isTerminal(c.errOut), time.Now(), time.Now()
	for !jobEnded(t, asked) && time.Since(began) < wait {
		if onTerminal {
			c.status(jobProgress(t, asked))
		}
		select {
		case <-ctx.Done():
			clearStatus(c, onTerminal)
			return nil, fail("hookspool targets "+clean(t.Name)+" shows it", "stopped waiting; the job "+
				"goes on")
		case <-look.C:
		}
		var now admin.Target
		if err := relay.call(ctx, "GET", targetPath(t.Name), &now); err != nil {
			if ctx.Err() != nil {
				continue
			}
			clearStatus(c, onTerminal)
			return nil, fail("hookspool actions --target "+clean(t.Name)+" tells it once the relay "+
				"answers", "cannot see what the job comes to: %w", err)
		}
		t, now.JobAsked = &now, asked
		switch {
		case t.JobRunning:
			seen = time.Now()
		case time.Since(seen) > jobLost || t.Relay != relayThen && t.Relay != "":
			clearStatus(c, onTerminal)
			return nil, fail("run it again", "the job was cut off: the relay was started again, or "+
				"another one serves the target now")
		}
	}
	clearStatus(c, onTerminal)
	return t, nil
}

func clearStatus(c *cli, drawn bool) {
	if drawn {
		c.status("")
	}
}

// jobProgress is a line about a job that runs.
func jobProgress(t *admin.Target, asked uint64) string {
	j := t.LastJob
	if j == nil || j.Number < asked && j.EndedAt != nil {
		return "a job begins …"
	}
	text := fmt.Sprintf("%d of %d: %s …", j.Tried, j.Due, clean(j.Summary))
	if j.Number < asked {
		return "a job is running already, one more comes after it; " + text
	}
	return text
}

// tellJob says what a job came to. It is an error if something was tried and nothing acknowledged.
func tellJob(c *cli, t *admin.Target) error {
	name, j := clean(t.Name), t.LastJob
	tell := func(format string, args ...any) {
		if !c.json {
			c.print("%s\n", fmt.Sprintf(format, args...))
		}
	}
	test := "hookspool sample " + name
	switch {
	case t.JobAsked == 0 && t.Status == "Defective":
		tell("%s: nothing is pending; %s tests it. It stays Defective until something is "+
			"acknowledged, or hookspool enable --force %s", name, test, name)
	case t.JobAsked == 0 && t.Pending > 0:
		tell("%s is %s: nothing waits for a job; %s being sent", name, t.Status,
			count(int(t.Pending), "pending delivery")+isAre(t.Pending))
	case t.JobAsked == 0:
		tell("%s is %s: nothing is pending; %s tests it", name, t.Status, test)
	case !jobEnded(t, t.JobAsked):
		tell("%s: a job runs over %s; hookspool targets %s shows what it comes to", name,
			count(int(t.Pending), "pending delivery"), name)
	case j.Acknowledged == 0 && (j.Tried > 0 || len(j.Outcomes) > 0):
		if c.json {
			return silent()
		}
		return fail(test+" shows what it answers", "%s: %s", name, clean(j.Summary))
	default:
		tell("%s: %s", name, clean(j.Summary))
	}
	return nil
}

func isAre(n uint64) string {
	if n == 1 {
		return " is"
	}
	return " are"
}

// lastJobText is what a target's last job came to.
func lastJobText(t *admin.Target, now time.Time) string {
	j := t.LastJob
	switch {
	case j == nil:
		return ""
	case j.EndedAt == nil:
		return fmt.Sprintf("%d of %d: %s", j.Tried, j.Due, j.Summary)
	}
	return ago(j.EndedAt, now) + ": " + j.Summary
}
