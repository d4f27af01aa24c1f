package relay

import (
	"fmt"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// expiring is a target whose deliveries become too old.
func expiring(d time.Duration) func(*config.Target) {
	return func(t *config.Target) { t.Expire = d }
}

// A delivery that became too old is not attempted any more, is no failure, and is kept and listed.
// A replay sends it all the same.
func TestExpire(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	healed := false
	rx := newReceiver(t, func(int) int {
		if healed {
			return 200
		}
		return 500
	})
	const age = time.Second // a busy machine makes the first attempt late
	f.target("crm", rx.URL, expiring(age))
	f.start()
	f.post("/v1/events/x", "failed")
	f.failedLive("crm")
	if err := f.Pause(order("crm")); err != nil {
		t.Fatal(err)
	}
	f.post("/v1/events/x", "held")
	held := time.Now()
	f.wait("them to be old", func() bool { return time.Since(held) > age })
	if err := f.Resume(order("crm")); err != nil {
		t.Fatal(err)
	}
	l := f.laneNamed("crm")
	f.wait("what was held", func() bool { return l.spool.Counts().Expired == 1 })
	f.runTick()
	f.wait("what had failed", func() bool { return l.spool.Counts().Expired == 2 })
	check := func() {
		t.Helper()
		c := f.laneNamed("crm").spool.Counts()
		if rx.count() != 1 || c.Pending != 0 || c.Exhausted != 0 || c.Expired != 2 {
			t.Errorf("%d requests, %+v; want 1, and 2 expired", rx.count(), c)
		}
		page, err := f.Deliveries(admin.Query{Target: "crm", State: "expired",
			Page: admin.Page{Limit: 10}})
		attempts := 0
		for _, d := range page.Deliveries {
			attempts += d.Attempts
			if d.State != "expired" || d.LastError[:7] != "expired" {
				t.Errorf("it is listed as %+v", d)
			}
		}
		if err != nil || len(page.Deliveries) != 2 || attempts != 1 {
			t.Errorf("listed are %+v, %v", page.Deliveries, err)
		}
		page, err = f.Deliveries(admin.Query{Target: "crm", State: "exhausted",
			Page: admin.Page{Limit: 10}})
		if err != nil || len(page.Deliveries) != 0 {
			t.Errorf("exhausted are %+v, %v", page.Deliveries, err)
		}
		if n := f.laneNamed("crm").failedJobs(); n != 0 {
			t.Errorf("%d failed jobs", n)
		}
	}
	check()
	f.restart()
	check()
	got, err := f.Purge(t.Context(), "crm", admin.PurgeQuery{State: "exhausted"})
	if err != nil || got.Count != 0 {
		t.Errorf("purged %d exhausted ones, %v", got.Count, err)
	}
	rx.mu.Lock()
	healed = true
	rx.mu.Unlock()
	replayed, err := f.Replay(t.Context(), admin.ReplayQuery{Target: "crm", State: "expired",
		Page: admin.Page{Limit: 1}})
	if err != nil || replayed.Count != 1 {
		t.Fatalf("replayed %d, %v", replayed.Count, err)
	}
	f.runTick()
	l = f.laneNamed("crm")
	f.wait("the replay", func() bool { return l.spool.Counts().Delivered == 1 })
	if got, err = f.Purge(t.Context(), "crm", admin.PurgeQuery{State: "expired"}); err != nil ||
		got.Count != 1 || l.spool.Counts().Expired != 0 {
		t.Errorf("purged %d expired ones, %v; there are %d", got.Count, err, l.spool.Counts().Expired)
	}
}

// A CloudEvent says itself when it expires, in each of its modes; whatever is no instant says nothing.
func TestExpiryTime(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	rx := newReceiver(t, always(200))
	f.target("crm", rx.URL, expiring(time.Hour))
	f.target("rated", rx.URL, rated(1000, time.Second))
	f.start()
	past, soon := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	sent := 0
	send := func(delivered int, body string, headers ...string) {
		t.Helper()
		sent++
		headers = append(headers, "Content-Type", "application/json")
		if code, got := f.post("/v1/events", body, headers...); code != 200 {
			t.Fatalf("got %d %v", code, got)
		}
		for _, name := range []string{"crm", "rated"} {
			f.wait("the delivery", func() bool { return f.laneNamed(name).spool.Counts().Pending == 0 })
		}
		if n := rx.count(); n != 2*delivered {
			t.Errorf("%d requests after event %d; want %d", n, sent, 2*delivered)
		}
	}
	binary := func(at string) []string {
		return []string{"ce-specversion", "1.0", "ce-type", "x", "ce-source", "s", "ce-id",
			fmt.Sprint(sent), "ce-expirytime", at}
	}
	structured := func(at string) (string, []string) {
		return fmt.Sprintf(`{"specversion":"1.0","type":"x","source":"t","id":"%d","expirytime":%q}`,
			sent, at), []string{"Content-Type", "application/cloudevents+json"}
	}
	send(1, "{}", binary(soon.Format(time.RFC3339))...)
	send(1, "{}", binary(past.Format(time.RFC3339Nano))...)
	send(2, "{}", binary("yesterday")...)
	post := func(delivered int, at time.Time) {
		t.Helper()
		sent++
		body, headers := structured(at.UTC().Format(time.RFC3339))
		if code, got := f.post("/v1/events", body, headers...); code != 200 {
			t.Fatalf("got %d %v", code, got)
		}
		f.wait("the deliveries", func() bool {
			return f.laneNamed("crm").spool.Counts().Pending+f.laneNamed("rated").spool.Counts().Pending == 0
		})
		if n := rx.count(); n != 2*delivered {
			t.Errorf("%d requests after event %d; want %d", n, sent, 2*delivered)
		}
	}
	post(3, soon)
	if got := rx.requests[len(rx.requests)-1].Header.Get("ce-expirytime"); got !=
		soon.UTC().Format(time.RFC3339) {
		t.Errorf("a structured event was sent with expirytime %q", got)
	}
	post(3, past)
	for _, name := range []string{"crm", "rated"} {
		if c := f.laneNamed(name).spool.Counts(); c.Expired != 2 || c.Delivered != 3 {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

// Both limits hold, whichever comes first, and asking costs an event without headers nothing.
func TestExpiresAt(t *testing.T) {
	e := new(spool.Event)
	target := config.DefaultTarget("x")
	if at := expiresAt(&target, e); !at.IsZero() {
		t.Errorf("without a limit it expires at %v", at)
	}
	if n := testing.AllocsPerRun(100, func() { expiresAt(&target, e) }); n != 0 {
		t.Errorf("%g allocations", n)
	}
	target.Expire = time.Hour
	if at := expiresAt(&target, e); !at.Equal(e.At.Add(time.Hour)) {
		t.Errorf("it expires at %v", at)
	}
	if at := expiresAt(nil, e); !at.IsZero() {
		t.Errorf("an orphan's expires at %v", at)
	}
	d := &spool.Draft{}
	d.At = time.Now()
	if old, ends := hasExpired(&target, d); old || !ends.Equal(d.At.Add(time.Hour)) {
		t.Errorf("explained as old: %t, at %v", old, ends)
	}
	d.Headers = []spool.Header{{Name: spool.ExpiryHeader, Value: d.At.Add(-time.Minute).Format(time.RFC3339)}}
	if old, _ := hasExpired(&target, d); !old {
		t.Error("an event that has expired is not explained as that")
	}
}
