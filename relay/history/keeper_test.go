package history

import (
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/spooltest"
)

// newSpool is a spool with so many lanes.
func newSpool(t *testing.T, lanes int) (*spool.Spool, []spool.LaneID) {
	t.Helper()
	s, err := spool.Open(spool.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler),
		Engine: spooltest.NewMemory(false).Engine()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Start()
	ids := make([]spool.LaneID, lanes)
	for i := range ids {
		l, err := s.Lane(fmt.Sprintf("t%d", i))
		if err != nil {
			t.Fatal(err)
		}
		ids[i] = l.ID()
	}
	return s, ids
}

func sumOf(list []uint32) (sum uint32) {
	for _, n := range list {
		sum += n
	}
	return sum
}

// Two days of attempts, one a minute and two relays after one another: every minute of the last day
// and every hour before it has what happened then, whoever was stopped in the middle of one; what
// another relay has counted of itself is part of the whole.
func TestKeep(t *testing.T) {
	s, lanes := newSpool(t, 1)
	lane := lanes[0]
	now := time.Date(2026, 11, 26, 22, 58, 0, 0, time.UTC)
	end := now.Add(48 * time.Hour)
	k, other := &Keeper{Store: s, Relay: "a"}, &Keeper{Store: s, Relay: "b"}
	c := new(Counter)
	for minute := 0; now.Before(end); minute++ {
		c.Attempt(now, 2, minute%3 > 0, time.Millisecond)
		k.Accepted.Add(now, 2)
		other.Refused.Add(now, 1)
		if minute%100 == 99 {
			c.Attempt(now.Add(30*time.Second), 2, true, time.Second)
			k.Accepted.Add(now, 1)
			keep(t, k, now.Add(31*time.Second), lane, c, true)
			k, c = &Keeper{Store: s, Relay: "a"}, new(Counter)
		}
		now = now.Add(time.Minute)
		keep(t, k, now.Add(time.Second), lane, c, false)
		keep(t, other, now, lane, new(Counter), false)
	}
	now = now.Add(-time.Second) // of the last minute in which something happened
	source := Source{Lane: lane, Counter: c}
	day, err := k.Of(lane, Spans()[0], now, k.Part(source, Spans()[0], now))
	if err != nil {
		t.Fatal(err)
	}
	failed, _ := day.Failed(2)
	for i, n := range day.Values(Delivered) {
		if got := n + failed[i]; got < 1 || got > 2 {
			t.Fatalf("at %s %d attempts were made", day.From.Add(time.Duration(i)*time.Minute), got)
		}
	}
	if got := sumOf(day.Values(Delivered)) + sumOf(failed); got != 1440+14 {
		t.Errorf("in a day %d attempts were made", got)
	}
	month, err := k.Of(lane, Spans()[2], now, k.Part(source, Spans()[2], now))
	if err != nil {
		t.Fatal(err)
	}
	failed, _ = month.Failed(2)
	if got := sumOf(month.Values(Delivered)) + sumOf(failed); got != 2880+28 {
		t.Errorf("in a month %d attempts were made", got)
	}
	if p99 := month.Milliseconds(.5)[len(failed)-3]; p99 == nil || *p99 < .9 || *p99 > 1.1 {
		t.Errorf("half of the attempts of an hour took at most %v ms", p99)
	}
	whole, err := k.Of(spool.SpoolItself, Spans()[2], now,
		k.WholePart(Spans()[2], now, []Source{source}))
	if err != nil {
		t.Fatal(err)
	}
	for counter, want := range map[int]uint32{Accepted: 2*2880 + 28, Refused: 2880} {
		if got := sumOf(whole.Values(counter)); got != want {
			t.Errorf("the relays have counted %d of counter %d, want %d", got, counter, want)
		}
	}
	failed, _ = whole.Failed(2)
	if got := sumOf(whole.Values(Delivered)) + sumOf(failed); got != 2880+28 {
		t.Errorf("of all targets %d attempts were made", got)
	}
}

func keep(t *testing.T, k *Keeper, now time.Time, lane spool.LaneID, c *Counter, stops bool) {
	t.Helper()
	if err := k.Keep(now, []Source{{Lane: lane, Counter: c}}, stops); err != nil {
		t.Fatal(err)
	}
}

// counting counts commits.
type counting struct {
	*spool.Spool
	commits int
}

func (c *counting) Records() engine.Records { return c.Spool.Records() }

func (c *counting) Apply(change spool.Change) error {
	c.commits++
	return c.Spool.Apply(change)
}

// A minute of 1,000 targets takes few commits; one in which nothing happened none.
func TestKeepThousand(t *testing.T) {
	s, lanes := newSpool(t, 1000)
	store := &counting{Spool: s}
	k := &Keeper{Store: store}
	now := time.Unix(1e9, 0)
	sources := make([]Source, len(lanes))
	for i := range sources {
		sources[i] = Source{lanes[i], new(Counter)}
		sources[i].Counter.Attempt(now, 1, true, time.Millisecond)
	}
	began := time.Now()
	if err := k.Keep(now.Add(time.Minute), sources, false); err != nil {
		t.Fatal(err)
	}
	t.Logf("1,000 targets took %s", time.Since(began))
	if store.commits > 6 {
		t.Errorf("a minute took %d commits", store.commits)
	}
	before := store.commits
	if err := k.Keep(now.Add(2*time.Minute), sources, false); err != nil || store.commits != before {
		t.Errorf("a minute of nothing took %d commits, %v", store.commits-before, err)
	}
	for i, lane := range lanes[:2] {
		series, err := k.Of(lane, Spans()[1], now.Add(time.Minute))
		if err != nil || sumOf(series.Values(Delivered)) != 1 {
			t.Errorf("target %d has %v, %v", i, series.Values(Delivered), err)
		}
	}
}

// slow lets whoever keeps wait until it is told to go on.
type slow struct {
	*spool.Spool
	came, goes chan struct{}
}

func (s *slow) Records() engine.Records { return s.Spool.Records() }

func (s *slow) Apply(change spool.Change) error {
	s.came <- struct{}{}
	<-s.goes
	return s.Spool.Apply(change)
}

// While a minute is being written it is told once, and it is after. Nobody else keeps meanwhile,
// but who waits for it does as soon as it is written.
func TestKeepUnderWay(t *testing.T) {
	s, lanes := newSpool(t, 1)
	store := &slow{s, make(chan struct{}), make(chan struct{})}
	k, c := &Keeper{Store: store, Relay: "a"}, new(Counter)
	sources := []Source{{lanes[0], c}}
	now := time.Unix(1e9, 0)
	for range 5 {
		c.Attempt(now, 1, true, time.Millisecond)
	}
	delivered := func(want uint32, when string) {
		t.Helper()
		for _, span := range Spans() {
			one, err := k.Of(lanes[0], span, now, k.Part(sources[0], span, now))
			all, err2 := k.Of(spool.SpoolItself, span, now, k.WholePart(span, now, sources))
			if a, b := sumOf(one.Values(Delivered)), sumOf(all.Values(Delivered)); a != want || b != want ||
				err != nil || err2 != nil {
				t.Errorf("%s in %s it has delivered %d, the relay %d, want %d: %v, %v", when, span.Name, a,
					b, want, err, err2)
			}
		}
	}
	delivered(5, "before")
	kept := make(chan error)
	go func() { kept <- k.Keep(now.Add(time.Minute), sources, false) }()
	<-store.came
	delivered(5, "while it is written")
	if err := k.Keep(now.Add(time.Minute), sources, false); !errors.Is(err, BusyError{}) {
		t.Errorf("two keep at once: %v", err)
	}
	c.Attempt(now, 1, true, time.Millisecond)
	flushed := make(chan error)
	go func() { flushed <- k.Flush(sources) }()
	close(store.goes)
	for _, ended := range []chan error{kept, flushed} {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	delivered(6, "after")
	if len(c.Look()) > 0 {
		t.Errorf("after a flush it has %v", c.Look())
	}
	c.Attempt(now, 1, true, time.Millisecond)
	if err := k.Keep(now.Add(2*time.Minute), sources, true); err != nil {
		t.Fatal(err)
	}
	delivered(7, "after what follows a flush")
	s.Barrier()
	if got, err := k.Of(lanes[0], Spans()[1], now); err != nil || sumOf(got.Values(Delivered)) != 7 {
		t.Errorf("the spool has %v, %v", got.Values(Delivered), err)
	}
}

// Two relays have counted the same minute of a target, one after the other; a third one that knows
// what both have not kept tells the sum, whether it has heard of their pages or not.
func TestParts(t *testing.T) {
	s, lanes := newSpool(t, 1)
	now := time.Unix(1e9, 0)
	keepers := []*Keeper{{Store: s, Relay: "a"}, {Store: s, Relay: "b"}}
	var parts []Part
	for i, k := range keepers {
		c := new(Counter)
		of := Source{lanes[0], c}
		c.Attempt(now, 1, true, time.Millisecond)
		if err := k.Keep(now.Add(time.Minute), []Source{of}, false); err != nil {
			t.Fatal(err)
		}
		c.Attempt(now, 1, true, time.Millisecond) // late
		c.Attempt(now.Add(time.Minute), 1, i == 0, time.Millisecond)
		parts = append(parts, k.Part(of, Spans()[0], now.Add(time.Minute)))
	}
	other, _ := newSpool(t, 1)
	for name, store := range map[string]*spool.Spool{"that has heard": s, "that has not": other} {
		k := &Keeper{Store: store, Relay: "c"}
		got, err := k.Of(lanes[0], Spans()[0], now.Add(time.Minute), parts...)
		failed, _ := got.Failed(1)
		if n := len(failed); err != nil || got.Values(Delivered)[n-2] != 4 ||
			got.Values(Delivered)[n-1] != 1 || failed[n-1] != 1 {
			t.Errorf("one %s tells of %v delivered, %v failed: %v", name, got.Values(Delivered)[n-2:],
				failed[n-2:], err)
		}
	}
}
