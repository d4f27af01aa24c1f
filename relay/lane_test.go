package relay

import (
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/config"
)

func TestFetchSize(t *testing.T) {
	t.Parallel()
	f := func(targets, want int) {
		t.Helper()
		if got := fetchSize(targets); got != want {
			t.Errorf("%d targets: %d; want %d", targets, got, want)
		}
	}
	f(0, fetchMax)
	f(1, fetchMax)
	f(40, 102)
	f(1000, fetchMin)
}

// What waits at a target that hangs, fails or is paused holds nobody back; what waits at one that
// is quick does.
func TestWaiting(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var later atomic.Int64
	began := time.Now()
	f.now = func() time.Time { return began.Add(time.Duration(later.Load())) }
	release := make(chan struct{})
	hang := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		<-release
	}))
	t.Cleanup(hang.Close)
	t.Cleanup(func() { close(release) })
	f.target("hanging", hang.URL)
	f.target("healthy", hang.URL) // its successes are made up, so that they take what they are to
	f.target("slow", hang.URL)
	f.target("failing", newReceiver(t, always(500)).URL)
	f.target("paused", hang.URL, func(c *config.Target) { c.Status = config.StatusPaused })
	for i := range f.cfg.Targets {
		f.cfg.Targets[i].Timeout = time.Minute
	}
	f.cfg.Server.DrainTimeout = 100 * time.Millisecond
	f.start()
	const events = 20
	for range events {
		f.post("/v1/events/message", `{}`)
	}
	f.wait("the failing target's outcomes", func() bool {
		return f.laneNamed("failing").spool.Counts().Fresh == 0
	})
	check := func(what string, want accept.Waiting) {
		t.Helper()
		if got := f.waiting(); got != want {
			t.Errorf("%s: %+v; want %+v", what, got, want)
		}
	}
	check("nobody answers", accept.Waiting{})
	f.laneNamed("slow").pulse.Note(time.Second, f.now())
	check("one answers slowly", accept.Waiting{Slow: events})
	f.laneNamed("paused").pulse.Note(time.Microsecond, f.now())
	check("one was quick and is paused", accept.Waiting{Slow: events})
	f.laneNamed("healthy").pulse.Note(time.Microsecond, f.now())
	check("one is quick", accept.Waiting{Quick: events, AnyQuick: true, Slow: events})
	later.Store(int64(time.Minute))
	check("all stand still", accept.Waiting{})
}
