package relay

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"
)

// A listener that ends although nobody asked for it, whatever it serves, makes the relay unready and
// ends it with the reason.
func TestListenerEnds(t *testing.T) {
	t.Parallel()
	check := func(which int) {
		f := newFixture(t)
		r, err := New(Options{Config: &f.cfg, Version: "test", Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		ready := make(chan struct{})
		r.OnReady(func() { close(ready) })
		done := make(chan error, 1)
		go func() { done <- r.Run(context.Background()) }()
		<-ready
		ln := r.servers.patients()[which]
		if err := ln.Listener.Close(); err != nil {
			t.Fatal(err)
		}
		<-r.deafC
		if reasons := strings.Join(r.Unready(), "; "); !strings.Contains(reasons, "cannot serve ") {
			t.Errorf("it is unready because %q", reasons)
		}
		if r.Dead() == nil {
			t.Error("it looks alive")
		}
		select {
		case err := <-done:
			if !errors.Is(err, net.ErrClosed) {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(30 * time.Second):
			t.Fatal("it does not end")
		}
	}
	check(0)
	check(1)
}
