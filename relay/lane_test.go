package relay

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
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

// Nothing is taken once it may not be sent any more, and what is left is told.
func TestPortionEnds(t *testing.T) {
	var p portion
	halt := make(chan struct{})
	p.give([]*spool.Event{{Seq: 1}, {Seq: 2}, {Seq: 3}}, halt)
	if e := p.take(); e == nil || e.Seq != 1 {
		t.Errorf("got %v; want the first", e)
	}
	close(halt)
	if e := p.take(); e != nil {
		t.Errorf("event %d is taken although it may not be sent any more", e.Seq)
	}
	if seq, left := p.drop(); seq != 2 || !left {
		t.Errorf("%d is told as the first that is left, %v; want 2", seq, left)
	}
	if _, left := p.drop(); left {
		t.Error("something is left of nothing")
	}
}

// Workers take what comes next by themselves: in order, within the slots, each delivery once. What
// was fetched and may not be sent any more, because the target is paused, is sent when it may be.
func TestPortion(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	arrived, release := make(chan struct{}), make(chan struct{})
	var flying, most atomic.Int64
	var once sync.Once
	r := newReceiver(t, always(200))
	answer := r.Config.Handler
	r.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		most.Store(max(most.Load(), flying.Add(1)))
		defer flying.Add(-1)
		answer.ServeHTTP(w, q)
		once.Do(func() {
			close(arrived)
			<-release
		})
	})
	f.target("crm", r.URL, func(c *config.Target) { c.Concurrency, c.Timeout = 1, time.Minute })
	f.start()
	l := f.laneNamed("crm")
	post := func(from, to int) {
		for i := from; i < to; i++ {
			f.post("/v1/events/message", fmt.Sprint(i))
		}
	}
	pause := func(do func(admin.Order) error) {
		t.Helper()
		if err := do(order("crm")); err != nil {
			t.Fatal(err)
		}
	}
	pause(f.Pause)
	post(0, 100)
	pause(f.Resume)
	<-arrived
	pause(f.Pause) // what is fetched waits for the slot
	close(release)
	f.wait("the attempt in flight", func() bool { return l.spool.Counts().Delivered == 1 })
	f.wait("the slot", func() bool { return l.slots.InUse() == 0 })
	if n := r.count(); n != 1 {
		t.Fatalf("a paused target has %d requests; want 1", n)
	}
	pause(f.Resume)
	post(100, 200)
	f.wait("the deliveries", func() bool { return l.spool.Counts().Delivered == 200 })
	var want []string
	for i := range 200 {
		want = append(want, fmt.Sprint(i))
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if got := strings.Join(r.bodies, " "); got != strings.Join(want, " ") || most.Load() > 1 {
		t.Errorf("%d at once, in the order %s", most.Load(), got)
	}
}
