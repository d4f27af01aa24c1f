package jetstream_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
	"github.com/hookspool/hookspool/testenv/nats"
)

// A transaction that another relay was before goes on with what was kept, but for what is about a
// lane that was lost, and is planned on what is there then.
func TestAgain(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	ours, theirs := b.engine("a", nil), b.engine("b", nil)
	defer ours.Close()
	defer theirs.Close()
	put := func(txn engine.Txn, key string) {
		t.Helper()
		if err := txn.Put([]byte(key), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
	}
	own := func(lane record.LaneID) engine.Tenure {
		t.Helper()
		tenure, err := ours.Own(lane)
		if err != nil {
			t.Fatal(err)
		}
		return tenure
	}
	of := func(prefix byte, lane record.LaneID) string { return string(record.LaneKey(prefix, lane)) }
	one, two := own(1), own(2)
	txn := ours.Begin().(engine.SharedTxn)
	defer txn.Discard()
	txn.Guard(1, one.Fence)
	txn.Guard(2, two.Fence)
	for _, lane := range []record.LaneID{1, 2} {
		put(txn, of(record.PrefixLane, lane))
		put(txn, of(record.PrefixMemo, lane))
		put(txn, string(record.NoticeKey(lane, 7, 1)))
	}
	released := string(record.ReleasedKey(time.Unix(1, 0), 2)) // 1 and 2 are no lanes of it
	put(txn, released)
	txn.Keep()
	put(txn, "sours")
	commit := func(txn engine.Txn, want error) {
		t.Helper()
		if err := txn.Commit(); !errors.Is(err, want) {
			t.Fatalf("commit: %v; want %v", err, want)
		}
	}
	has := func(there bool, keys ...string) {
		t.Helper()
		for _, key := range keys {
			if _, err := ours.Get([]byte(key)); (err == nil) != there {
				t.Errorf("%q: %v; want it there: %v", key, err, there)
			}
		}
	}
	other := theirs.Begin()
	put(other, "stheirs")
	commit(other, nil)
	commit(txn, engine.ErrConflict)
	txn.Again()
	if txn.Has([]byte("sours")) || !txn.Has([]byte(released)) || !txn.Has([]byte("stheirs")) {
		t.Error("it does not go on with what was kept, on what others have written")
	}
	if err := theirs.Take(1); err != nil {
		t.Fatal(err)
	}
	put(txn, "sagain")
	commit(txn, engine.ErrElsewhere)
	has(false, "sagain", released)
	txn.Again()
	put(txn, "slast")
	commit(txn, nil)
	has(true, "slast", released, of(record.PrefixLane, 2), of(record.PrefixMemo, 2),
		string(record.NoticeKey(2, 7, 1)))
	has(false, "sours", "sagain", of(record.PrefixLane, 1), of(record.PrefixMemo, 1),
		string(record.NoticeKey(1, 7, 1)))
}

// What another relay writes is heard, once, and what this one writes is not.
func TestNews(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	ours, theirs := b.engine("a", nil), b.engine("b", nil)
	defer ours.Close()
	defer theirs.Close()
	write := func(e *jetstream.Engine, seq uint64, keys ...[]byte) {
		t.Helper()
		txn := e.Begin()
		for _, key := range keys {
			if err := txn.Put(key, []byte("x"), 0); err != nil {
				t.Fatal(err)
			}
		}
		if seq > 0 {
			if err := txn.Append(seq, eventRecord(seq), []record.LaneID{1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	hear := func(want engine.News) {
		t.Helper()
		if err := ours.Await(theirs); err != nil {
			t.Fatal(err)
		}
		token := false
		select {
		case <-ours.Heard():
			token = true
		default:
		}
		if got := ours.News(); !maps.Equal(got.Kinds, want.Kinds) || !maps.Equal(got.Lanes, want.Lanes) ||
			got.Newest != want.Newest || got.Crew != want.Crew {
			t.Errorf("heard %+v; want %+v", got, want)
		}
		if something := len(want.Kinds) > 0 || want.Crew; token != something {
			t.Errorf("a token: %v; want one: %v", token, something)
		}
	}
	hear(engine.News{Crew: true}) // b came
	hear(engine.News{})
	write(ours, 1, record.LaneKey(record.PrefixMemo, 3))
	hear(engine.News{Newest: 1})
	if err := theirs.Await(ours); err != nil { // what is planned before it has come is second
		t.Fatal(err)
	}
	write(theirs, 2, record.LaneKey(record.PrefixMemo, 4), record.LaneKey(record.PrefixName, 5),
		record.NoticeKey(record.SpoolItself, 1, 0), []byte("iid"))
	hear(engine.News{Newest: 2,
		Kinds: map[byte]bool{'e': true, 'k': true, 'n': true, 'o': true, 'i': true},
		Lanes: map[record.LaneID]bool{4: true, record.SpoolItself: true}})
	if _, err := ours.Own(6); err != nil {
		t.Fatal(err)
	}
	hear(engine.News{Newest: 2})
	if _, err := theirs.Own(7); err != nil {
		t.Fatal(err)
	}
	hear(engine.News{Newest: 2, Crew: true})
	hear(engine.News{Newest: 2})
}

// eventRecord is the record of an event that one lane owes.
func eventRecord(seq uint64) []byte {
	return record.NewEvent(record.Parts{At: time.Unix(int64(seq), 0), Type: "t", Payload: []byte("x")},
		record.Seal{Seq: seq, BatchEnd: seq, Spool: 1, Lanes: []record.LaneID{1}})
}

// A lane that is released is another relay's for the asking. What this one was about to write of it
// is refused as if another had taken it.
func TestRelease(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	ours, theirs := b.engine("a", nil), b.engine("b", nil)
	defer ours.Close()
	defer theirs.Close()
	before, err := ours.Own(1)
	if err != nil {
		t.Fatal(err)
	}
	if again, err := ours.Own(1); err != nil || again != before {
		t.Errorf("owned twice: %+v, then %+v: %v", before, again, err)
	}
	if err := theirs.Await(ours); err != nil {
		t.Fatal(err)
	}
	if _, err := theirs.Own(1); !errors.Is(err, engine.ErrElsewhere) {
		t.Errorf("a lane that another relay has: %v", err)
	}
	if got := theirs.Owner(1); got != "a" || ours.Owner(1) != "a" || ours.Owner(2) != "" {
		t.Errorf("lane 1 is %q's", got)
	}
	txn := ours.Begin()
	txn.Guard(1, before.Fence)
	if err := txn.Put(record.LaneKey(record.PrefixLane, 1), []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	if err := ours.Release(1); err != nil {
		t.Fatal(err)
	}
	if err := ours.Release(1); err != nil {
		t.Errorf("released twice: %v", err)
	}
	if !before.Over() {
		t.Error("a tenure lasts that was released")
	}
	if err := txn.Commit(); !errors.Is(err, engine.ErrElsewhere) {
		t.Errorf("written of a lane that was released: %v", err)
	}
	if err := theirs.Await(ours); err != nil {
		t.Fatal(err)
	}
	if got := theirs.Owner(1); got != "" {
		t.Errorf("a lane that was released is %q's", got)
	}
	after, err := theirs.Own(1)
	if err != nil || after.Fence <= before.Fence {
		t.Errorf("it cannot be had, or has no larger fence: %v", err)
	}
}

// until waits for a condition that others bring about.
func until(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	every := time.NewTicker(5 * time.Millisecond)
	defer every.Stop()
	for end := time.Now().Add(2 * time.Minute); !condition(); <-every.C {
		if time.Now().After(end) {
			tb.Fatalf("not within two minutes: %s", what)
		}
	}
}

// others are the relays that live by the word of one, but itself.
func others(e *jetstream.Engine) (list []engine.Relay) {
	for _, r := range e.Relays() {
		if r.Name != e.Name() {
			list = append(list, r)
		}
	}
	return list
}

// A relay sees who comes, what they say, and who goes: at once if it goes in order, a while later if
// it was killed. Then their lanes are to be had.
func TestRelays(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	b.dead = time.Second
	ours, theirs := b.engine("a", nil), b.engine("b", nil)
	defer ours.Close()
	defer theirs.Close()
	hear := func(what string, condition func() bool) {
		t.Helper()
		until(t, what, func() bool {
			select {
			case <-ours.Heard():
				return ours.News().Crew && condition()
			default:
				return false
			}
		})
	}
	hear("b comes", func() bool { return len(others(ours)) == 1 })
	theirs.Say([]byte("hello"))
	hear("b says hello", func() bool { return string(others(ours)[0].Note) == "hello" })
	r := others(ours)[0]
	if r.Name != "b" || r.Ahead.Abs() > time.Minute || time.Since(r.Seen) > time.Minute {
		t.Errorf("it is seen as %+v", r)
	}
	own := func(e *jetstream.Engine, lane record.LaneID) {
		t.Helper()
		if _, err := e.Own(lane); err != nil {
			t.Fatal(err)
		}
	}
	own(theirs, 1)
	hear("b has lane 1", func() bool { return ours.Owner(1) == "b" })
	if err := theirs.Close(); err != nil {
		t.Fatal(err)
	}
	hear("b has gone", func() bool { return len(others(ours)) == 0 })
	if ours.Owner(1) != "" {
		t.Error("a lane is one's that has gone")
	}
	own(ours, 1)

	killed := b.engine("c", nil)
	own(killed, 2)
	hear("c has lane 2", func() bool { return ours.Owner(2) == "c" })
	killed.Kill()
	at := time.Now()
	defer killed.Close()
	hear("c is dead", func() bool { return len(others(ours)) == 0 })
	if took := time.Since(at); took < b.dead/3 {
		t.Errorf("it is taken for dead after %v", took)
	}
	own(ours, 2)
}

// Of two relays with one name the second does not start, unless the first has gone or is dead. If it
// does all the same, the first writes nothing any more.
func TestNameInUse(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	b.dead = time.Second
	first := b.engine("a", nil)
	_, err := jetstream.Open(b.options("a", nil))
	if !errors.Is(err, engine.ErrInUse) || !strings.Contains(err.Error(), `"a"`) ||
		!strings.Contains(err.Error(), "spool.jetstream.relay") {
		t.Errorf("opened by two: %v", err)
	}
	write := func(e *jetstream.Engine) error {
		txn := e.Begin()
		if err := txn.Put([]byte("sx"), []byte("x"), 0); err != nil {
			t.Fatal(err)
		}
		return txn.Commit()
	}
	if err := write(first); err != nil {
		t.Errorf("the first does not write after the second was refused: %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	b.dead = time.Hour     // whoever waits for its death, after it has gone in order, does not start
	var still sync.RWMutex // held: what the second writes is under way
	var begun atomic.Int64
	second := b.engine("a", func(_ string, publish func() error) error {
		begun.Add(1)
		still.RLock()
		defer still.RUnlock()
		return publish()
	})
	b.dead = time.Second
	second.Mute()
	still.Lock()
	before, lost := begun.Load(), make(chan error, 1)
	go func() { lost <- write(second) }()
	until(t, "the second writes", func() bool { return begun.Load() > before })
	third := b.engine("a", nil)
	defer third.Close()
	if err := write(third); err != nil {
		t.Errorf("the one that took the name: %v", err)
	}
	still.Unlock()
	if err := <-lost; !errors.Is(err, engine.ErrInUse) {
		t.Errorf("the one that lost the name: %v", err)
	}
	second.Kill()
	_ = second.Close()
}

// A relay that stood still while another took its name says nothing of itself any more when it goes
// on, and takes no events.
func TestReplaced(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	b.dead = time.Second
	var still sync.RWMutex
	frozen := b.engine("a", func(_ string, publish func() error) error {
		still.RLock()
		defer still.RUnlock()
		return publish()
	})
	defer frozen.Close()
	witness := b.engine("b", nil)
	defer witness.Close()
	still.Lock()
	next := b.engine("a", nil)
	defer next.Close()
	if _, err := next.Own(1); err != nil {
		t.Fatal(err)
	}
	if err := frozen.Away(); errors.Is(err, engine.ErrInUse) {
		t.Error(err)
	}
	until(t, "the witness hears it", func() bool { return witness.Owner(1) == "a" })
	still.Unlock()
	until(t, "it hears that it has no name", func() bool {
		if witness.Owner(1) != "a" {
			t.Fatal("a lane has no owner although there is one")
		}
		return errors.Is(frozen.Away(), engine.ErrInUse)
	})
	if err := frozen.Close(); err != nil {
		t.Error(err)
	}
	if err := witness.Await(next); err != nil {
		t.Fatal(err)
	}
	if witness.Owner(1) != "a" || len(others(witness)) != 1 {
		t.Error("whoever has the name has gone with the one before")
	}
}

// A relay answers the questions of others, some at once, and large answers come whole. Where nobody
// answers, that is told: at once if nobody is there.
func TestAsk(t *testing.T) {
	b := newBed(t, nats.StartInProcess(t, nats.Options{}).URL())
	ours, theirs := b.engine("a", nil), b.engine("b", nil)
	defer ours.Close()
	defer theirs.Close()
	fails := func(relay, question, word string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
		defer cancel()
		_, err := ours.Ask(ctx, relay, []byte(question))
		if err == nil || !strings.Contains(err.Error(), word) || ctx.Err() != nil {
			t.Errorf("%v, %v; want %q", err, ctx.Err(), word)
		}
	}
	fails("b", "nobody answers there", "it is not there")
	fails("nobody", "x", engine.ErrUnavailable.Error())
	var now, most atomic.Int64
	var full sync.Once
	over := make(chan struct{})
	all := make(chan struct{})
	theirs.Answer(func(ctx context.Context, question []byte) []byte {
		if n, err := strconv.Atoi(string(question)); err == nil {
			return bytes.Repeat([]byte("x"), n)
		}
		if string(question) == "wait" {
			<-ctx.Done()
			<-over
			return nil
		}
		if n := now.Add(1); n == 8 {
			full.Do(func() { close(all) })
		} else if n > 8 {
			most.Store(n)
		}
		<-all
		now.Add(-1)
		return append([]byte("you said "), question...)
	})
	for _, n := range []int{0, 1, 700_000, 4 << 20} {
		until(t, "b answers", func() bool { // it may take a moment until the servers know of it
			answer, err := ours.Ask(t.Context(), "b", []byte(strconv.Itoa(n)))
			return err == nil && len(answer) == n
		})
	}
	fails("b", strconv.Itoa(4<<20+1), "4194305 bytes; 4194304 at most")
	fails("b", strings.Repeat("x", 9<<20), "the question has")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := ours.Ask(ctx, "b", []byte("wait")); !errors.Is(err, engine.ErrUnavailable) ||
		!errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("no answer in time: %v", err)
	}
	close(over)
	var askers sync.WaitGroup
	for range 24 {
		askers.Go(func() {
			if a, err := ours.Ask(t.Context(), "b", []byte("hi")); err != nil || string(a) != "you said hi" {
				t.Errorf("%q, %v", a, err)
			}
		})
	}
	askers.Wait()
	if n := most.Load(); n > 0 {
		t.Errorf("%d questions are answered at once", n)
	}
}

// While most of the nodes are away, that is told; the commit waits for its verdict.
func TestAway(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	cluster := nats.StartInProcess(t, nats.Options{})
	b := newBed(t, cluster.URL())
	e := b.engine("a", nil)
	defer e.Close()
	if err := e.Away(); err != nil {
		t.Error(err)
	}
	leader := cluster.Leader(b.name)
	cluster.Node(leader).Stop()
	cluster.Node((leader + 1) % 3).Stop()
	txn := e.Begin()
	if err := txn.Put([]byte("sx"), []byte("x"), 0); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- txn.Commit() }()
	until(t, "it is away", func() bool { return e.Away() != nil })
	if err := e.Away(); !errors.Is(err, engine.ErrUnavailable) ||
		!strings.Contains(err.Error(), "have not answered since 2") {
		t.Errorf("it says %v", err)
	}
	cluster.Node(leader).Start()
	cluster.Node((leader + 1) % 3).Start()
	if err := <-done; err != nil {
		t.Errorf("what waited: %v", err)
	}
	until(t, "it is there again", func() bool { return e.Away() == nil })
}
