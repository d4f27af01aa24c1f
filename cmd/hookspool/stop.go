package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// untilSignal returns a context that ends with the first SIGINT or SIGTERM. A second one ends the
// process at once: somebody who asks twice does not want to wait. The function returned ends the
// goroutine behind it.
func (c *cli) untilSignal(parent context.Context, onFirst func(os.Signal)) (context.Context,
	func()) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 2) // package signal drops what does not fit
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	over := make(chan struct{})
	go func() {
		select {
		case s := <-signals:
			onFirst(s)
			cancel()
		case <-over:
			return
		}
		select {
		case <-signals:
			c.say("error: stopped at once by a second signal; what was accepted is in the spool")
			os.Exit(exitFailed)
		case <-over:
		}
	}()
	return ctx, sync.OnceFunc(func() {
		signal.Stop(signals)
		close(over)
		cancel()
	})
}
