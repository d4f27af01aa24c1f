package main

import (
	"context"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/hookspool/hookspool/cmd/hookspool/top"
	"github.com/hookspool/hookspool/relay/admin"
)

const (
	// topEvery is how often the ages on the screen move on, and the attempts are asked for.
	topEvery = time.Second
	// topAttempts bounds the attempts shown of one target; the relay keeps 128.
	topAttempts = 100
)

func (c *cli) topCommand() *cobra.Command {
	return c.addAdminFlag(&cobra.Command{
		Use:   "top",
		Short: "Watch a running relay live: targets, rates, latencies, what waits and why",
		Long: "Watch a running relay on the whole terminal: how much it accepts and owes, and each\n" +
			"target, the worst first: its status, attempts a second that succeed and that fail,\n" +
			"latencies, what is pending and since when, what it waits for, and its last error. Enter\n" +
			"shows one target and its latest attempts, / filters, s sorts, ? lists the keys, q leaves.\n\n" +
			"It follows the relay's stream and asks every 2s where there is none. When the relay is away\n" +
			"it says so and goes on once it is back. The terminal is left as it was. Elsewhere than on a\n" +
			"terminal use hookspool targets --watch.",
		Example: "  hookspool top\n  hookspool top --admin http://127.0.0.1:8471\n" +
			"  NO_COLOR=1 hookspool top",
		Args: arguments(0),
		RunE: func(cmd *cobra.Command, _ []string) error { return c.top(cmd.Context()) },
	})
}

// watching is the state of top. One goroutine owns it; the others tell it things by channel.
type watching struct {
	c       *cli
	view    top.View
	news    topNews // the newest of each part
	columns int
	rows    int
	// restarted is when the relay began again, as seen by this screen; zero: it did not.
	restarted time.Time
	asked     bool // attempts are being asked for
}

func (c *cli) top(parent context.Context) error {
	in, isIn := fileOf(c.in)
	out, isOut := fileOf(c.out)
	const hint = "hookspool targets --watch shows it anywhere, with --json for machines"
	switch {
	case c.json:
		return misuse(hint, "top has no --json")
	case !isIn || !isOut || !isTerminal(c.in) || !isTerminal(c.out) || c.getenv("TERM") == "dumb":
		return fail(hint, "top wants a terminal, for input and output")
	}
	relay, err := c.admin()
	if err != nil {
		return err
	}
	// Whatever keeps it from beginning is told on the screen of before.
	first, err := relay.ask(parent)
	if err != nil {
		return c.explain(err)
	}
	w := &watching{c: c, news: first}
	screen, err := top.Take(in, out)
	if err != nil {
		return fail(hint, "%w", err)
	}
	defer screen.Give() // after a panic too
	ctx, stop := c.untilStopped(parent, func(os.Signal) {})
	defer stop()
	return w.run(ctx, screen, relay, in)
}

// run shows what comes until the user leaves. The goroutines that it starts end with ctx, but for
// the one that reads keys, which ends with its terminal or the process.
func (w *watching) run(parent context.Context, screen *top.Screen, relay *peer,
	in *os.File) error {
	ctx, cancel := context.WithCancel(parent)
	defer cancel()
	keys := make(chan []top.Key)
	news := make(chan topNews)
	asks := make(chan string, 1) // so that the one who shows never waits for the one who asks
	go readKeys(ctx, screen, in, keys)
	go followRelay(ctx, screen, relay, news)
	go askAttempts(ctx, screen, relay, asks, news)
	resized, continued := make(chan os.Signal, 1), make(chan os.Signal, 1)
	defer notifyTerminal(resized, continued)()
	every := time.NewTicker(topEvery)
	defer every.Stop()
	for {
		w.columns, w.rows = screen.Size()
		if err := screen.Draw(w.lines(time.Now())); err != nil {
			return fail("is the terminal still there?", "%w", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case pressed, open := <-keys:
			if !open || w.press(pressed, screen, asks) {
				return nil
			}
		case n := <-news:
			w.take(n)
		case <-resized:
			screen.Forget()
		case <-continued:
			if err := screen.Again(); err != nil {
				return fail("is the terminal still there?", "%w", err)
			}
		case <-every.C:
			w.ask(asks)
		}
	}
}

// press does what keys mean; true: leave.
func (w *watching) press(pressed []top.Key, screen *top.Screen, asks chan<- string) bool {
	for _, k := range pressed {
		switch w.view.Press(k, w.view.Of(w.news.targets), w.listLines()) {
		case top.Leave:
			return true
		case top.Repaint:
			screen.Forget()
		case top.Ask:
			w.news.attempts, w.news.of = nil, ""
			w.ask(asks)
		case top.Stop:
			screen.Give()
			suspend()
			if screen.Again() != nil {
				return true // nobody is there any more
			}
		}
	}
	return false
}

// ask has the attempts of the target on the screen asked for, unless that is under way.
func (w *watching) ask(asks chan<- string) {
	if w.view.Detail == "" || w.asked {
		return
	}
	w.asked = true
	asks <- w.view.Detail
}

// take brings what is known up to date.
func (w *watching) take(n topNews) {
	if n.of != "" {
		w.asked = false
		if n.of == w.view.Detail {
			w.news.of, w.news.attempts, w.news.attemptsErr = n.of, n.attempts, n.attemptsErr
		}
		return
	}
	w.news.way = n.way
	if w.news.err = n.err; n.err != nil {
		return
	}
	if n.status != nil {
		if !n.status.StartedAt.Equal(w.news.status.StartedAt) {
			w.restarted = time.Now()
		}
		w.news.status = n.status
	}
	if n.targets != nil {
		w.news.targets = n.targets
	}
	w.news.at = n.at
}

// readKeys sends what is pressed, and closes its channel when the terminal is gone.
func readKeys(ctx context.Context, screen *top.Screen, in *os.File, to chan<- []top.Key) {
	defer screen.Guard()
	defer close(to)
	buffer, rest := make([]byte, 256), []byte(nil)
	for {
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		var keys []top.Key
		keys, rest = top.Decode(append(rest, buffer[:n]...))
		select {
		case to <- keys:
		case <-ctx.Done():
			return
		}
	}
}

// askAttempts asks for the attempts of one target after the other.
func askAttempts(ctx context.Context, screen *top.Screen, relay *peer, asks <-chan string,
	to chan<- topNews) {
	defer screen.Guard()
	for {
		select {
		case name := <-asks:
			var answer admin.RecentAttempts
			err := relay.call(ctx, "GET", attemptsPath(name, topAttempts), &answer)
			tell(ctx, to, topNews{of: name, attempts: answer.Attempts, attemptsErr: err})
		case <-ctx.Done():
			return
		}
	}
}
