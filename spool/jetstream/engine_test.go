package jetstream_test

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream"
	"github.com/hookspool/hookspool/spool/spooltest"
	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

func TestMain(m *testing.M) {
	code := m.Run()
	if err := nats.RemoveBinary(); err != nil {
		fmt.Fprintln(os.Stderr, "cannot remove the binary:", err)
	}
	os.Exit(code)
}

// The engine passes what every engine must.
func TestEngine(t *testing.T) {
	url := nats.StartInProcess(t, nats.Options{}).URL()
	spooltest.Run(t, func(tb testing.TB) spooltest.Bed {
		b := newBed(tb, url)
		b.dead = deadInTests
		return b
	})
}

// So does one that encrypts what it stores, and whose servers leave every tenth publication without
// an answer, whether they have stored it or not.
func TestUnanswered(t *testing.T) {
	effort.OnlyLong(t, "the suite with servers that do not answer")
	url := nats.StartInProcess(t, nats.Options{}).URL()
	spooltest.Run(t, func(tb testing.TB) spooltest.Bed {
		b := newBed(tb, url)
		b.dead, b.key = deadInTests, []byte("0123456789abcdef")
		n := atomic.Int64{}
		b.through = func(_ string, publish func() error) error {
			switch n.Add(1) % 20 {
			case 5:
				return errUnanswered
			case 15:
				return cmp.Or(publish(), errUnanswered)
			}
			return publish()
		}
		return b
	})
}

// A refusal that will be the same the next time stops the spool instead of being asked for again for
// ever; one that says that nobody can answer now does not.
func TestRefused(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	var refusals atomic.Int64
	var code atomic.Int64
	b.through = func(_ string, publish func() error) error {
		if refusals.Add(-1) >= 0 {
			return jetstream.Refusal(int(code.Load()))
		}
		return publish()
	}
	o := spool.Options{Log: slog.New(slog.DiscardHandler)}
	b.Prepare(&o)
	s, err := spool.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	s.Start()
	code.Store(503)
	refusals.Store(3)
	if _, err := s.Lane("a"); err != nil {
		t.Errorf("after a silence: %v", err)
	}
	code.Store(400)
	refusals.Store(1)
	for s.Err() == nil { // a sign of life may be what is refused
		if _, err := s.Beat(time.Now()); err != nil && !strings.Contains(err.Error(), "refused by the test") {
			t.Fatal(err)
		} else if err == nil {
			refusals.Store(1)
		}
	}
}

// What was planned before another relay wrote is not written after it, even if it is known by then.
func TestPlannedBefore(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	ours, theirs := b.engine("a", nil), b.engine("b", nil)
	defer ours.Close()
	defer theirs.Close()
	put := func(txn engine.Txn) error {
		if err := txn.Put([]byte("sconversation"), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		return txn.Commit()
	}
	planned := ours.Begin()
	if err := put(theirs.Begin()); err != nil {
		t.Fatal(err)
	}
	if err := ours.Await(theirs); err != nil {
		t.Fatal(err)
	}
	if err := put(planned); !errors.Is(err, engine.ErrConflict) {
		t.Errorf("planned before and committed after: %v", err)
	}
	if err := put(ours.Begin()); err != nil {
		t.Errorf("planned again: %v", err)
	}
}

// deadInTests is soon enough for tests that kill a relay again and again.
const deadInTests = 300 * time.Millisecond

// A stream that holds less than a relay has answered is refused, unless the loss is accepted.
func TestStreamGoesBack(t *testing.T) {
	cluster := nats.StartInProcess(t, nats.Options{})
	b := newBed(t, cluster.URL())
	open := func(accept bool) error {
		o := spool.Options{Log: slog.New(slog.DiscardHandler), AcceptLoss: accept,
			Decide: func(_ *spool.View, d *spool.Draft) { d.Owe(1) }}
		b.Prepare(&o)
		s, err := spool.Open(o)
		if err != nil {
			return err
		}
		s.Start()
		if _, err = s.Lane("a"); err == nil {
			err = s.Append(&spool.Draft{At: time.Now(), Payload: []byte("x")})
		}
		return errors.Join(err, s.Close())
	}
	for range 2 {
		if err := open(false); err != nil {
			t.Fatal(err)
		}
	}
	if err := nats.RemoveStream(cluster.URL(), b.name); err != nil {
		t.Fatal(err)
	}
	if err := open(false); !errors.Is(err, engine.ErrLoss) {
		t.Errorf("of an empty stream: %v", err)
	}
	if err := open(true); err != nil {
		t.Errorf("with the loss accepted: %v", err)
	}
	if err := open(false); err != nil {
		t.Errorf("after that: %v", err)
	}
}

var errUnanswered = fmt.Errorf("nobody answers: %w", client.ErrTimeout)

var streams atomic.Int64

// bed is a stream of the cluster.
type bed struct {
	spooltest.CommitFaults
	tb   testing.TB
	url  string // of the cluster
	root string
	name string
	open *jetstream.Engine
	n    int
	// maxBytes of the stream; 0: no bound.
	maxBytes int64
	// key encrypts what is stored; nil: nothing is.
	key []byte
	// other is another relay's, once it has taken a lane.
	other *jetstream.Engine
	// dead is its Options.DeadAfter.
	dead time.Duration
	// through is where what is published goes through.
	through engine.Seam
	// compare is its Options.CompareEvery.
	compare time.Duration
}

var _ spooltest.Bed = (*bed)(nil)

func newBed(tb testing.TB, url string) *bed {
	return &bed{tb: tb, url: url, root: tb.TempDir(), name: fmt.Sprintf("spool%d", streams.Add(1))}
}

func (b *bed) Prepare(o *spool.Options) {
	b.tb.Helper()
	o.Dir = filepath.Join(b.root, "spool")
	b.open = b.engine("a", b.through)
	o.Engine = faulty{b.open, b}
}

// engine opens one for a relay.
func (b *bed) engine(relay string, through engine.Seam) *jetstream.Engine {
	b.tb.Helper()
	e, err := jetstream.Open(b.options(relay, through))
	if err != nil {
		b.tb.Fatal(err)
	}
	return e
}

func (b *bed) options(relay string, through engine.Seam) jetstream.Options {
	b.n++
	dir := filepath.Join(b.root, fmt.Sprintf("replica-%d", b.n))
	return jetstream.Options{URL: b.url, Name: b.name, Relay: relay, Through: through,
		MaxBytes: b.maxBytes, Key: b.key,
		DeadAfter: b.dead, CompareEvery: b.compare, CompareGap: b.compare / 20, Log: slog.New(slog.DiscardHandler), Replica: func() (engine.Engine, error) {
			return badger.OpenReplica(badger.StoreOptions{Fail: func(err error) error { return err },
				Files: badger.Files{Dir: dir, Log: slog.New(slog.DiscardHandler)}})
		}}
}

func (b *bed) Crash(s *spool.Spool) {
	b.open.Kill()
	_ = s.Close() // it cannot write any more, and says so
}

// Take is part of what is asked of a bed whose lanes another relay can take.
func (b *bed) Take(lane spool.LaneID, late bool) {
	b.tb.Helper()
	if b.other == nil {
		b.other = b.engine("b", nil)
		b.tb.Cleanup(func() {
			if b.other != nil {
				_ = b.other.Close()
			}
		})
	}
	if late {
		b.open.Deafen()
	}
	err := b.other.Take(lane)
	if err == nil {
		err = b.open.Await(b.other)
	}
	if err != nil {
		b.tb.Fatal(err)
	}
}

// Return is the other part.
func (b *bed) Return(lane spool.LaneID) {
	b.tb.Helper()
	err := b.other.Return(lane)
	if err == nil {
		err = b.other.Close() // or the lanes would be shared out between the two
	}
	if b.other = nil; err != nil {
		b.tb.Fatal(err)
	}
}

func (b *bed) TxnBytes() int { return 2 << 20 }

// Whole: several relays could not clean up after each other.
func (b *bed) Whole() bool { return true }

// Pass is the machine's.
func (b *bed) Pass(time.Duration) time.Duration { return 20 * time.Second }

// faulty is an engine whose commits a test lets fail.
type faulty struct {
	*jetstream.Engine
	b *bed
}

func (f faulty) Begin() engine.Txn {
	return faultyTxn{f.Engine.Begin().(engine.SharedTxn), f.b}
}

type faultyTxn struct {
	engine.SharedTxn
	b *bed
}

func (t faultyTxn) Commit() error {
	return t.b.Do(t.SharedTxn.Commit)
}
