package testenv

import (
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestFleetCopies takes messages out of the copy of a node that does not lead, while it is away, as
// a power cut may. Both relays tell of it, by status, metrics and log, and one mail goes out; check
// warns. It does not lead for long, though it is elected; and once it began with nothing it is told
// of no more. All of that is under load, of which nothing is lost.
func TestFleetCopies(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	f := readyFleet(t, 2, "a", "b")
	box := NewMailbox(t)
	box.Configure(f.Config)
	f.Config.Set("spool.jetstream.compare_every", "1s")
	f.StartAll()
	end := make(chan struct{})
	var load sync.WaitGroup
	load.Go(func() { // ends with end
		for n := 0; ; n++ {
			f.PostTo(n%2, Post{ID: fmt.Sprint("load-", n), Body: []byte(`{"eventType":"message"}`)})
			select {
			case <-end:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	Until(t, 6*Patience, "events", func() bool { return f.Ledger.Accepted() > 200 })
	short := func(n int) {
		t.Helper()
		for _, r := range f.Relays {
			Until(t, 8*Patience, fmt.Sprint(n, " copies to be short"), func() bool {
				m := r.Metrics()
				return m.Get("spool_copies_short") == n &&
					m.Get("spool_copies_compared_timestamp_seconds") > 0
			})
		}
	}
	short(0)
	stream := f.Config.Text("spool.jetstream.name")
	victim := (f.Cluster.Leader(stream) + 1) % f.Cluster.Nodes()
	node := f.Cluster.Node(victim)
	node.Stop()
	if gone := node.Puncture(stream, 100, 400); len(gone) < 50 {
		t.Fatalf("only %d messages are gone", len(gone))
	}
	node.Start()
	f.Cluster.WaitReady()
	short(1)
	for _, r := range f.Relays {
		out := r.CLI("status")
		if !strings.Contains(out.Stdout, "server "+node.Name()+" lacks ") ||
			!strings.Contains(out.Stdout, "empty its store_dir") {
			t.Errorf("status says:\n%s", out.Stdout)
		}
	}
	Until(t, 4*Patience, "check to warn", func() bool { // servers may be too busy to say anything
		out := f.CLI("check")
		return strings.Contains(out.Stdout+out.Stderr, "server \""+node.Name()+"\" lacks ")
	})
	mails := box.Await(1)
	if !strings.Contains(mails[0].Text, "Server "+node.Name()+" says that its copy") {
		t.Errorf("the mail says:\n%s", mails[0].Text)
	}
	f.Cluster.StepDown(stream, victim)
	Until(t, 4*Patience, "another one to lead", func() bool { return f.Cluster.Leader(stream) != victim })
	node.Stop()
	if err := os.RemoveAll(node.Store()); err != nil {
		t.Fatal(err)
	}
	node.Start()
	f.Cluster.WaitReady()
	short(0)
	close(end)
	load.Wait()
	f.Ledger.AwaitDelivered()
	if n := len(box.Mails()); n != 1 {
		t.Errorf("%d mails", n)
	}
	t.Logf("%d accepted, %d deliveries repeated", f.Ledger.Accepted(), f.Ledger.Duplicates())
}
