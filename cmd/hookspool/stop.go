package main

import (
	"context"
	"io"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// sameSignal is how long after the first signal another one is the same request to stop: timeout(1)
// signals its child and then the group, an init passes on what a terminal has sent to all, and a
// supervisor's SIGTERM follows the terminal's SIGINT.
const sameSignal = 300 * time.Millisecond

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. A second one, later
// than sameSignal, ends the process at once: somebody who asks twice does not want to wait. onFirst
// is told of the first and must not block. The function returned ends its goroutine.
func (c *cli) untilSignal(parent context.Context, onFirst func(os.Signal)) (context.Context,
	func()) {
	return c.untilOneOf(parent, onFirst, os.Interrupt, syscall.SIGTERM)
}

// untilStopped is untilSignal for what belongs to a terminal: when that closes, it is over. Under
// nohup(1) it is not.
func (c *cli) untilStopped(parent context.Context, onFirst func(os.Signal)) (context.Context,
	func()) {
	stops := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) {
		stops = append(stops, syscall.SIGHUP)
	}
	return c.untilOneOf(parent, onFirst, stops...)
}

func (c *cli) untilOneOf(parent context.Context, onFirst func(os.Signal), stops ...os.Signal) (
	context.Context, func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2) // package signal drops what does not fit
	signal.Notify(signals, stops...)
	over := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			onFirst(s)
			cancel()
		case <-over:
			return
		}
		for first := time.Now(); ; {
			select {
			case <-signals:
				if time.Since(first) < sameSignal {
					continue
				}
				c.lastWord("error: stopped at once by a second signal; what was accepted is in the " +
					"spool")
				os.Exit(exitFailed)
			case <-over:
				return
			}
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(over)
		cancel()
	})
}

// untilDone reads until ctx is done. Input may be a pipe or a terminal that says nothing, and a
// verb that waits for it would not end by a signal. What was read and not taken is dropped then.
func untilDone(ctx context.Context, in io.Reader) io.Reader {
	out, to := io.Pipe()
	go func() { // ends with the input, or with the process
		_, err := io.Copy(to, in)
		_ = to.CloseWithError(err) // it never fails
	}()
	context.AfterFunc(ctx, func() { _ = to.CloseWithError(context.Cause(ctx)) })
	return out
}
