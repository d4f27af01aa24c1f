package jetstream_test

import (
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// tank is a spool in a small stream.
type tank struct {
	*spool.Spool
	tb    testing.TB
	bed   *bed
	lanes []*spool.Lane
}

const tankBytes = 16 << 20

// newTank makes one whose events all of some lanes owe.
func newTank(tb testing.TB, names ...string) *tank {
	k := &tank{tb: tb, bed: newBed(tb, nats.StartInProcess(tb, nats.Options{}).URL())}
	k.bed.maxBytes = tankBytes
	o := spool.Options{Log: slog.New(slog.DiscardHandler),
		Limits: spool.Limits{KeepDelivered: time.Hour, KeepExhausted: time.Hour}}
	o.Decide = func(_ *spool.View, d *spool.Draft) {
		for _, l := range k.lanes {
			d.Owe(l.ID())
		}
	}
	k.bed.Prepare(&o)
	var err error
	if k.Spool, err = spool.Open(o); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = k.Close() })
	k.Start()
	for _, name := range names {
		l, err := k.Lane(name)
		if err != nil {
			tb.Fatal(err)
		}
		k.lanes = append(k.lanes, l)
	}
	return k
}

// fill appends events, some at once, until one is refused.
func (k *tank) fill(size, atOnce int) (events int) {
	k.tb.Helper()
	payload := make([]byte, size)
	for {
		drafts := make([]*spool.Draft, atOnce)
		for i := range drafts {
			drafts[i] = &spool.Draft{At: time.Now(), Payload: payload}
		}
		err := k.Admit(size * atOnce)
		if err == nil {
			err = k.Append(drafts...)
		}
		if errors.Is(err, spool.ErrFull) {
			return events
		}
		if err != nil {
			k.tb.Fatal(err)
		}
		events += atOnce
	}
}

// settle gives what is fresh of a lane an outcome.
func (k *tank) settle(l *spool.Lane, as spool.Settlement) (seqs []uint64) {
	k.tb.Helper()
	for {
		events, err := l.Fetch(100)
		if err != nil || k.Err() != nil {
			k.tb.Fatal(err, k.Err())
		}
		if len(events) == 0 {
			return seqs
		}
		var c spool.Change
		for _, e := range events {
			as.Lane, as.Seq, as.AcceptedAt, as.At = l.ID(), e.Seq, e.At, time.Now()
			as.Fresh, as.Attempts = true, 1
			c.Settle = append(c.Settle, as)
			seqs = append(seqs, e.Seq)
		}
		k.apply(c)
	}
}

// apply is done soon, however full the stream is.
func (k *tank) apply(c spool.Change) {
	k.tb.Helper()
	done := make(chan error, 1)
	go func() { done <- k.Apply(c) }()
	select {
	case err := <-done:
		if err != nil {
			k.tb.Fatal(err)
		}
	case <-time.After(10 * time.Second):
		k.tb.Fatal("an outcome waits behind a full stream")
	}
}

// A full stream refuses events and nothing else: what waits is delivered, swept, and gives room to
// others, again and again.
func TestFull(t *testing.T) {
	effort.OnlyLong(t, "it fills a stream")
	k := newTank(t, "a")
	const size = 16 << 10
	first := k.fill(size, 4)
	if mib := first * size >> 20; mib < 10 || mib > 16 {
		t.Errorf("%d MiB of events fit into a stream of 16 MiB", mib)
	}
	k.lanes[0].Open(true)
	for range 2 {
		k.settle(k.lanes[0], spool.Settlement{Verdict: spool.Delivered})
		again := 0
		wait(t, "what is swept gives no room", func() bool {
			again += k.fill(size, 4)
			return again > first*3/4
		})
	}
}

// A full stream loses nothing of a target that is paused, and takes every outcome of one that fails
// over and over.
func TestFullPaused(t *testing.T) {
	effort.OnlyLong(t, "it fills a stream")
	k := newTank(t, "paused", "fails")
	n := k.fill(1<<10, 50)
	paused, fails := k.lanes[0], k.lanes[1]
	fails.Open(true)
	made := record.Made{Snippet: make([]byte, 1<<10)}
	seqs := k.settle(fails, spool.Settlement{Verdict: spool.Retry, Status: 500, Made: made})
	if len(seqs) != n {
		t.Fatalf("%d of %d events came", len(seqs), n)
	}
	const attempts = 6
	for attempt := 2; attempt <= attempts; attempt++ {
		for rest := seqs; len(rest) > 0; {
			var c spool.Change
			some := min(100, len(rest))
			for _, seq := range rest[:some] {
				verdict := spool.Retry
				if attempt == attempts {
					verdict = spool.Delivered
				}
				c.Settle = append(c.Settle, spool.Settlement{Lane: fails.ID(), Seq: seq, At: time.Now(),
					AcceptedAt: time.Now(), Verdict: verdict, Attempts: attempt, Made: made})
			}
			rest = rest[some:]
			k.apply(c)
		}
		if k.fill(1<<10, 1) > 0 && attempt < attempts {
			t.Errorf("there is room for events after attempt %d", attempt)
		}
	}
	k.wantReceipts(fails, seqs, attempts)
	paused.Open(true)
	if got := len(k.settle(paused, spool.Settlement{Verdict: spool.Delivered})); got < n {
		t.Errorf("%d of %d events came once the target was resumed", got, n)
	}
	wait(t, "what is swept gives no room", func() bool { return k.fill(1<<10, 50) > n/4 })
}

// wantReceipts asserts that it is known of each delivery when it was delivered.
func (k *tank) wantReceipts(l *spool.Lane, seqs []uint64, attempts int) {
	k.tb.Helper()
	there := k.Records().Look()
	defer there.Close()
	r := look.OpenReceipts(there, l.ID(), nil)
	defer r.Close()
	missing := 0
	for _, seq := range seqs {
		got, err := r.Find(seq)
		if err != nil {
			k.tb.Fatal(err)
		}
		if got.At.IsZero() || got.Attempts != attempts {
			missing++
		}
	}
	if missing > 0 {
		k.tb.Errorf("of %d of %d deliveries it is not known when they were delivered", missing, len(seqs))
	}
}

// Events that meet a full stream are refused, so that what was kept goes on without them; what has
// no events waits for room.
func TestFullMet(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	var refusals atomic.Int64
	e := b.engine("a", func(_ string, publish func() error) error {
		if refusals.Add(-1) >= 0 {
			return jetstream.Full()
		}
		return publish()
	})
	defer e.Close()
	value, kept, late := []byte("v"), record.StateKey([]byte("kept")), record.StateKey([]byte("late"))
	txn := e.Begin().(engine.SharedTxn)
	defer txn.Discard()
	put(t, txn, kept, value, time.Hour)
	txn.Keep()
	put(t, txn, late, value, time.Hour)
	if err := txn.Append(1, eventOf(1, 100), []record.LaneID{1}); err != nil {
		t.Fatal(err)
	}
	const many = 60 // signs of life may be among them
	refusals.Store(many)
	if err := txn.Commit(); !errors.Is(err, engine.ErrFull) {
		t.Fatalf("events met a full stream: %v", err)
	}
	if err := e.Admit(1); !errors.Is(err, engine.ErrFull) {
		t.Errorf("more is accepted: %v", err)
	}
	txn.Again()
	done := make(chan error, 1)
	go func() { done <- txn.Commit() }()
	wait(t, "nothing is tried again", func() bool { return refusals.Load() < many-5 })
	select {
	case err := <-done:
		t.Fatalf("what must be written does not wait: %v", err)
	default:
	}
	refusals.Store(0)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if err := e.Admit(1); err != nil {
		t.Errorf("there is room again: %v", err)
	}
	for key, there := range map[string]bool{string(kept): true, string(late): false,
		string(record.LogKey(1)): false} {
		if _, err := e.Get([]byte(key)); (err == nil) != there {
			t.Errorf("%q: %v; want it there: %v", key, err, there)
		}
	}
}

// A checkpoint of more lanes than one batch takes is several.
func TestManyLanes(t *testing.T) {
	effort.OnlyLong(t, "it fills a stream")
	names := make([]string, 500)
	for i := range names {
		names[i] = fmt.Sprint("target ", i)
	}
	k := newTank(t, names...)
	if err := k.Append(&spool.Draft{At: time.Now(), Payload: []byte("x")}); err != nil {
		t.Fatal(err)
	}
	var fetched []spool.Settlement
	for _, l := range k.lanes {
		l.Open(true)
		wait(t, "a lane is not fed", func() bool {
			events, err := l.Fetch(1)
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range events {
				fetched = append(fetched, spool.Settlement{Lane: l.ID(), Seq: e.Seq, AcceptedAt: e.At,
					At: time.Now(), Fresh: true, Attempts: 1, Verdict: spool.Delivered})
			}
			return len(events) > 0
		})
	}
	for _, st := range fetched {
		k.Settle(st)
	}
	if err := errors.Join(k.Err(), k.Close()); err != nil {
		t.Fatal(err)
	}
	e := k.bed.engine("b", nil)
	defer e.Close()
	for _, l := range k.lanes {
		value, err := e.Get(record.LaneKey(record.PrefixLane, l.ID()))
		if err != nil {
			t.Fatal(err)
		}
		if r, err := record.DecodeLane(value); err != nil || r.Passed != 1 {
			t.Fatalf("lane %d: %+v: %v", l.ID(), r, err)
		}
	}
}

// An import may bring more names than one batch has room for.
func TestManyNames(t *testing.T) {
	effort.OnlyLong(t, "it fills a stream")
	k := newTank(t, "a")
	events := make([]*care.Incoming, 500)
	for i := range events {
		id := fmt.Sprint("event", i)
		events[i] = &care.Incoming{ID: id, Payload: []byte("x"), At: time.Now(),
			Names: []string{"a", "target of " + id}, NewNames: 1}
	}
	if err := k.Take(events); err != nil {
		t.Fatal(err)
	}
	if n := len(k.LaneNames()); n != 501 {
		t.Errorf("there are %d lanes", n)
	}
	for _, in := range events {
		if in.Deliveries != 2 {
			t.Fatalf("%d deliveries of event %q", in.Deliveries, in.ID)
		}
	}
	if err := k.Close(); err != nil {
		t.Fatal(err)
	}
}
