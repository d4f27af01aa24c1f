package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	client "github.com/nats-io/nats.go"
	js "github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// stream is the stream of a bed, and what of it a test may take away.
func (b *bed) stream() (js.Stream, context.Context) {
	b.tb.Helper()
	nc, err := client.Connect(b.url)
	if err != nil {
		b.tb.Fatal(err)
	}
	b.tb.Cleanup(nc.Close)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	b.tb.Cleanup(cancel)
	api, err := js.New(nc)
	if err != nil {
		b.tb.Fatal(err)
	}
	s, err := api.Stream(ctx, b.name)
	if err != nil {
		b.tb.Fatal(err)
	}
	return s, ctx
}

// lose deletes the nth message with events, from 0, from all nodes.
func (b *bed) lose(n int) {
	b.tb.Helper()
	s, ctx := b.stream()
	seq := uint64(1)
	for ; ; n, seq = n-1, seq+1 {
		m, err := s.GetMsg(ctx, seq, js.WithGetMsgSubject(b.name+".e"))
		if err != nil {
			b.tb.Fatal(err)
		}
		if seq = m.Sequence; n == 0 {
			break
		}
	}
	if err := s.SecureDeleteMsg(ctx, seq); err != nil {
		b.tb.Fatal(err)
	}
}

// write commits events, as one frame, and a checkpoint if that has a head.
func writeAll(e engine.Engine, p record.Checkpoint, size int, seqs ...uint64) error {
	txn := e.Begin()
	defer txn.Discard()
	var errs error
	for _, seq := range seqs {
		errs = errors.Join(errs, txn.Append(seq, eventOf(seq, size), []record.LaneID{1}))
	}
	if p.Head > 0 {
		errs = errors.Join(errs, txn.Put(record.MetaKey(record.MetaCheckpoint), p.Encode(), 0))
	}
	return errors.Join(errs, txn.Commit())
}

// TestHoleAtStart asserts that a start refuses a stream that lacks events which were not swept, and
// takes one that lacks others, or is told to.
func TestHoleAtStart(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	url := nats.StartInProcess(t, nats.Options{}).URL()
	const small, large = 10, 900_000
	f := func(what, key string, p record.Checkpoint, size, lost int, whole bool) {
		t.Helper()
		b := newBed(t, url)
		if key != "" {
			b.key = []byte(key)
		}
		e := b.engine("a", nil)
		err := errors.Join(writeAll(e, record.Checkpoint{}, size, 1, 2), writeAll(e, record.Checkpoint{}, size, 3),
			writeAll(e, record.Checkpoint{}, size, 4, 5), writeAll(e, p, size), e.Close())
		if err != nil {
			t.Fatal(err)
		}
		b.lose(lost)
		o := b.options("b", nil)
		o.ReadOnly = lost%2 == 1
		if e, err = jetstream.Open(o); err == nil {
			err = e.Close()
		}
		if (err == nil) != whole || err != nil && !errors.Is(err, jetstream.ErrHole) {
			t.Errorf("%s: %v", what, err)
		}
		o = b.options("a", nil)
		o.AcceptLoss = true
		if e, err = jetstream.Open(o); err != nil {
			t.Fatalf("%s: a loss is accepted: %v", what, err)
		}
		if err := errors.Join(writeAll(e, record.Checkpoint{}, size, 6), e.Close()); err != nil {
			t.Error(err)
		}
	}
	f("the middle", "", record.Checkpoint{Head: 5, Swept: 2}, small, 1, false)
	f("what was not swept", "0123456789abcdef", record.Checkpoint{Head: 5, Swept: 2}, small, 1, false)
	f("the front", "", record.Checkpoint{}, small, 0, false)
	f("the end", "", record.Checkpoint{Head: 5, Swept: 3}, small, 2, false)
	f("swept", "0123456789abcdef", record.Checkpoint{Head: 5, Swept: 3}, small, 1, true)
	f("all swept", "", record.Checkpoint{Head: 5, Swept: 5}, small, 2, true)
	f("a piece in the middle", "", record.Checkpoint{Head: 5}, large, 1, false)
	f("the first piece", "", record.Checkpoint{Head: 5}, large, 0, false)
	f("the last piece", "", record.Checkpoint{Head: 5}, large, 5, false)
}

// TestHoleComes asserts that a relay that runs takes neither events after a gap nor any again, says
// so, and goes on once it reads what is whole.
func TestHoleComes(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	ours := b.engine("a", nil)
	defer ours.Close()
	if err := writeAll(ours, record.Checkpoint{}, 10, 1, 2); err != nil {
		t.Fatal(err)
	}
	frames := 1
	refused := func(seqs ...uint64) {
		t.Helper()
		theirs := b.engine(fmt.Sprint("relay", seqs), nil)
		done := make(chan error, 1)
		go func() { done <- writeAll(theirs, record.Checkpoint{}, 20, seqs...) }()
		until(t, "it is away", func() bool { return ours.Away() != nil })
		if err := ours.Away(); !errors.Is(err, engine.ErrUnavailable) ||
			!errors.Is(err, jetstream.ErrHole) {
			t.Errorf("events %d: %v", seqs, err)
		}
		if _, err := ours.Get(record.LogKey(5)); !errors.Is(err, engine.ErrNotFound) {
			t.Errorf("an event after a gap: %v", err)
		}
		got, err := ours.Get(record.LogKey(2))
		if err != nil || !bytes.Equal(got, eventOf(2, 10)) {
			t.Errorf("an event that came again is another: %v", err)
		}
		b.lose(frames)
		until(t, "it is there again", func() bool { return ours.Away() == nil })
		theirs.Kill()
		<-done
		_ = theirs.Close()
	}
	refused(4, 5)
	refused(2)
	refused(2, 3)
	if err := writeAll(ours, record.Checkpoint{}, 10, 3); err != nil {
		t.Error(err)
	}
	// What was swept may be gone before it was read.
	if err := writeAll(ours, record.Checkpoint{Head: 3, Swept: 8}, 10, 9); err != nil {
		t.Error(err)
	}
}
