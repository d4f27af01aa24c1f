package jetstream_test

import (
	"bytes"
	"context"
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

// What one Append may hold is one transaction, and comes whole to whoever reads the stream.
func TestLargest(t *testing.T) {
	effort.OnlyLong(t, "it fills a stream")
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	e := b.engine("a", nil)
	defer e.Close()
	const events, large, largeBytes = 10_000, 16, 1_000_000
	seq := uint64(0)
	commit := func(n, size int, more func(txn engine.Txn, i int)) {
		t.Helper()
		txn := e.Begin()
		defer txn.Discard()
		for i := range n {
			seq++
			if err := txn.Append(seq, eventOf(seq, size), []record.LaneID{1}); err != nil {
				t.Fatal(err)
			}
			more(txn, i)
		}
		if err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	id := func(i int) []byte { return record.IDKey(fmt.Sprint("an id that an app gave ", i)) }
	state := func(i int) []byte { return record.StateKey(fmt.Append(nil, "conversation ", i)) }
	value := bytes.Repeat([]byte("v"), 60)
	commit(events, 400, func(txn engine.Txn, i int) {
		put(t, txn, id(i), value, 2*time.Hour)
		put(t, txn, state(i), value, 25*time.Hour)
	})
	commit(large, largeBytes, func(engine.Txn, int) {})
	if n := b.messages("i"); n > 10 {
		t.Errorf("%d messages hold %d records", n, 2*events)
	}
	other := b.engine("b", nil)
	defer other.Close()
	look := other.Look()
	defer look.Close()
	for i := range uint64(events + large) {
		size := 400
		if i >= events {
			size = largeBytes
		}
		got, err := look.Get(record.LogKey(i + 1))
		if want := eventOf(i+1, size); err != nil || !bytes.Equal(got, want) {
			t.Fatalf("event %d has %d bytes; want %d: %v", i+1, len(got), len(want), err)
		}
	}
	for i := range events {
		for _, key := range [][]byte{id(i), state(i)} {
			if got, err := look.Get(key); err != nil || !bytes.Equal(got, value) {
				t.Fatalf("%q is %q: %v", key, got, err)
			}
		}
	}
}

// Of a record that is packed the newest counts, whatever became of it, and none outlives it.
func TestPacked(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	e := b.engine("a", nil)
	defer e.Close()
	const states = 300 // more than come by themselves
	state := func(i int) []byte { return record.StateKey(fmt.Append(nil, "conversation ", i)) }
	id := func(name string) []byte { return record.IDKey(name) }
	commit := func(write func(txn engine.Txn)) {
		t.Helper()
		txn := e.Begin()
		defer txn.Discard()
		write(txn)
		if err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	old, now := []byte("old"), []byte("new")
	commit(func(txn engine.Txn) {
		for i := range states {
			put(t, txn, state(i), old, 2*time.Hour)
		}
		for _, name := range []string{"again", "shorter", "longer", "deleted"} {
			put(t, txn, id(name), old, 2*time.Hour)
		}
		put(t, txn, id("over"), old, time.Second)
	})
	commit(func(txn engine.Txn) {
		for i := range states {
			put(t, txn, state(i), now, time.Minute)
		}
		put(t, txn, id("again"), now, 2*time.Hour)
		put(t, txn, id("shorter"), now, time.Minute)
		put(t, txn, id("longer"), now, 3*time.Hour)
		put(t, txn, id("fresh"), now, time.Minute)
		if err := txn.Delete(id("deleted")); err != nil {
			t.Fatal(err)
		}
	})
	commit(func(txn engine.Txn) { put(t, txn, state(7), []byte("newest"), 2*time.Hour) })
	other := b.engine("b", nil)
	defer other.Close()
	for _, of := range []*jetstream.Engine{e, other} {
		look := of.Look()
		defer look.Close()
		f := func(key, value []byte, least, most time.Duration) {
			t.Helper()
			w := look.Walk(engine.Walk{})
			defer w.Close()
			w.Seek(key)
			if !w.Valid() || !bytes.Equal(w.Key(), key) {
				t.Errorf("%q is not there", key)
				return
			}
			got, err := engine.Copy(w)
			left := time.Until(time.Unix(int64(w.ExpiresAt()), 0))
			if err != nil || !bytes.Equal(got, value) || left < least || left > most {
				t.Errorf("%q is %q for %v: %v", key, got, left, err)
			}
		}
		const hour, slack = time.Hour, time.Minute
		for i := range states {
			if i != 7 {
				f(state(i), now, 2*hour-slack, 2*hour)
			}
		}
		f(state(7), []byte("newest"), 2*hour-slack, 2*hour)
		f(id("again"), now, 2*hour-slack, 2*hour)
		f(id("shorter"), now, 2*hour-slack, 2*hour)
		f(id("longer"), now, 3*hour-slack, 3*hour)
		f(id("fresh"), now, 0, time.Minute)
		if _, err := of.Get(id("deleted")); err == nil {
			t.Error("what was deleted is there")
		}
	}
	wait(t, "an id stays for good", func() bool {
		_, err := other.Get(id("over"))
		return err != nil
	})
}

// wait waits for a condition.
func wait(tb testing.TB, otherwise string, condition func() bool) {
	tb.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !condition() {
		if time.Now().After(deadline) {
			tb.Fatal(otherwise)
		}
		<-time.After(10 * time.Millisecond)
	}
}

// eventOf is the record of an event with so many bytes of payload.
func eventOf(seq uint64, size int) []byte {
	parts := record.Parts{At: time.Unix(1_700_000_000, 0), Type: "t",
		Payload: bytes.Repeat([]byte{'a' + byte(seq%26)}, size)}
	rec, sum := parts.LayOut(1)
	rec, _ = record.SealEvent(rec, record.Seal{Seq: seq, Lanes: []record.LaneID{1}, Sum: sum})
	return rec
}

func put(tb testing.TB, txn engine.Txn, key, value []byte, ttl time.Duration) {
	tb.Helper()
	if err := txn.Put(key, value, ttl); err != nil {
		tb.Fatal(err)
	}
}

// messages is how many messages the stream has below a subject.
func (b *bed) messages(below string) (n uint64) {
	b.tb.Helper()
	for _, k := range b.state(below).Subjects {
		n += k
	}
	return n
}

// state is what the stream says of itself, and of a subject.
func (b *bed) state(below string) js.StreamState {
	b.tb.Helper()
	nc, err := client.Connect(b.url)
	if err != nil {
		b.tb.Fatal(err)
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	api, err := js.New(nc)
	if err != nil {
		b.tb.Fatal(err)
	}
	stream, err := api.Stream(ctx, b.name)
	if err != nil {
		b.tb.Fatal(err)
	}
	info, err := stream.Info(ctx, js.WithSubjectFilter(b.name+"."+below))
	if err != nil {
		b.tb.Fatal(err)
	}
	return info.State
}
