package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/relay/receiver"
)

// goodbye bounds how long a receiver waits for requests in hand when it is stopped.
const goodbye = 3 * time.Second

// listening is what listen is told by flags.
type listening struct {
	addr, fail string
	secrets    []string
	options    receiver.Options
}

func (c *cli) listenCommand() *cobra.Command {
	var l listening
	cmd := &cobra.Command{
		Use:   "listen",
		Short: "Receive events for development: show them, verify them, fail on request",
		Long: "A development receiver: it prints what arrives, verifies signatures, and fails on " +
			"request,\n" +
			"so that the relay's retries can be watched. It keeps nothing.",
		Example: "  hookspool listen\n" +
			"  hookspool listen --fail 30% --latency 200ms --secret env:CRM_SECRET\n" +
			"  hookspool listen --status 503 --retry-after 60s --json | jq .id",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.listen(cmd.Context(), &l) },
	}
	flags, o := cmd.Flags(), &l.options
	flags.StringVar(&l.addr, "addr", "127.0.0.1:9000", "the `ADDRESS` to listen on; port 0: any")
	flags.StringVar(&l.fail, "fail", "0%", "the `SHARE` of requests that fail: 30% or 0.3")
	flags.IntVar(&o.Status, "status", 200, "the usual answer's `CODE`")
	flags.IntVar(&o.FailStatus, "fail-status", 503, "a failure's `CODE`")
	flags.DurationVar(&o.Latency, "latency", 0, "the `DURATION` that each answer waits")
	flags.DurationVar(&o.RetryAfter, "retry-after", 0,
		"the Retry-After of every answer that is not 2xx, a `DURATION`")
	flags.BoolVar(&o.ShowBody, "body", false, "show bodies too")
	addSecretFlag(flags, &l.secrets, "answer 401 to what is not signed by this `SECRET`")
	return cmd
}

func (c *cli) listen(parent context.Context, l *listening) error {
	if err := l.check(); err != nil {
		return err
	}
	var err error
	if l.options.Keys, err = c.keys(l.secrets); err != nil {
		return err
	}
	ignoreTerminal()
	c.neverWait(c.missingShown())
	l.options.Out, l.options.JSON, l.options.Color = c.out, c.json, c.colored(c.out)
	ln, err := net.Listen("tcp", l.addr)
	if err != nil {
		return fail("choose another with --addr 127.0.0.1:PORT", "cannot listen on %q: %w", l.addr,
			lastCause(err))
	}
	r := receiver.New(l.options)
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	served := make(chan error, 1) // the goroutine below is its sender and never waits
	go func() { served <- r.Serve(ln) }()
	c.say("listening on http://%s, Ctrl-C stops", ln.Addr())
	select {
	case err = <-served:
	case <-ctx.Done():
		bye, cancel := context.WithTimeout(context.Background(), goodbye)
		defer cancel()
		err = errors.Join(r.Shutdown(bye), <-served)
	}
	n := r.Counters()
	c.say("received %d, answered 200 %d, duplicates %d", n.Received, n.Answered200, n.Duplicates)
	return err
}

// missingShown is how the table says that lines are missing. JSON has no place for that, so it is
// said on stderr.
func (c *cli) missingShown() func(lines int) []byte {
	if !c.json {
		return missingLines
	}
	return func(lines int) []byte {
		c.say("%s could not be written to stdout", count(lines, "line"))
		return nil
	}
}

func (l *listening) check() error {
	share, err := parseShare(l.fail)
	if err != nil {
		return err
	}
	l.options.Fail = share
	for _, c := range []struct {
		flag   string
		status int
	}{{"--status", l.options.Status}, {"--fail-status", l.options.FailStatus}} {
		if c.status < 200 || c.status > 599 {
			return misuse("write one such as 200, 429 or 503", "%s %d is not a status from 200 to 599",
				c.flag, c.status)
		}
	}
	if l.options.FailStatus == http.StatusOK {
		return misuse("write one such as 429 or 503", "--fail-status 200 is no failure: it acknowledges")
	}
	if l.options.Latency < 0 || l.options.RetryAfter < 0 {
		return misuse("write how long, such as 200ms", "a duration cannot be negative")
	}
	return nil
}

// parseShare reads "30%" or "0.3".
func parseShare(text string) (float64, error) {
	number, percent := strings.CutSuffix(text, "%")
	share, err := strconv.ParseFloat(number, 64)
	if percent {
		share /= 100
	}
	if err != nil || !(share >= 0 && share <= 1) {
		return 0, misuse("write 30% or 0.3", "--fail %q is not a share from 0%% to 100%%", text)
	}
	return share, nil
}

// lastCause drops what package net puts before an error.
func lastCause(err error) error {
	var op *net.OpError
	if errors.As(err, &op) {
		var call *os.SyscallError
		if errors.As(op.Err, &call) {
			return call.Err
		}
		return op.Err
	}
	return err
}
