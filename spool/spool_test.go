package spool

import (
	"bytes"
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// testPatience is how long tests wait for what takes milliseconds on a quiet machine: only a failure
// waits that long.
const testPatience = 2 * time.Minute

// fixture is a spool whose Decide owes every event to the lanes named in its Note.
type fixture struct {
	*Spool
	t   *testing.T
	dir string
	now time.Time // pass sets it
	// clock is now as the spool's goroutines read it.
	clock atomic.Pointer[time.Time]
	// unkept has no keeper measure the disk and sweep: the test does.
	unkept bool
	// window is how long ids are remembered; 0: an hour.
	window time.Duration
	// secret is the encryption key; empty: none.
	secret []byte
	// memory is what the engine may take of it; 0: as much as is of use.
	memory int64
	// free says how much of the disk is; nil: the disk does.
	free func(string) (int64, error)
	// inodes says how many are free; nil: the disk does.
	inodes func(string) (int64, error)
	// mayHaveFaults: verify finds what is damaged and harms nobody.
	mayHaveFaults bool
	// answered counts what relist_linux_test.go has appended.
	answered int
	given    int    // events of appendGiven
	filled   uint64 // notices of fillLog
}

func open(t *testing.T) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0)}
	f.reopen()
	t.Cleanup(func() { f.Close() })
	return f
}

func (f *fixture) options() Options {
	f.pass(0)
	return Options{
		Dir: f.dir, EncryptionKey: f.secret,
		Log: slog.New(slog.NewTextHandler(testWriter{f.t}, nil)),
		Decide: func(v *View, d *Draft) {
			names, _ := d.Note.([]string)
			for _, name := range names {
				f.Spool.lanesMu.RLock()
				l := f.byName[name]
				f.Spool.lanesMu.RUnlock()
				d.Owe(l.id)
			}
			if d.Type == "counted" {
				v.Put([]byte("n"), append(v.Get([]byte("n")), 1), time.Hour)
			}
		},
		Limits: Limits{KeepDelivered: time.Hour, KeepExhausted: time.Hour,
			DedupeWindow: cmp.Or(f.window, time.Hour)},
		Now:  func() time.Time { return *f.clock.Load() },
		free: f.free, EngineBytes: f.memory,
		inodes: f.inodes,
	}
}

// pass lets the spool's clock go on, which its keeper reads meanwhile.
func (f *fixture) pass(d time.Duration) {
	now := f.now.Add(d)
	f.now = now
	f.clock.Store(&now)
}

// reopen closes the spool as a crash would leave it or cleanly, and opens it again.
func (f *fixture) reopen() {
	f.t.Helper()
	if f.Spool != nil {
		if err := f.Close(); err != nil {
			f.t.Fatal(err)
		}
	}
	s, err := Open(f.options())
	if err != nil {
		f.t.Fatal(err)
	}
	f.Spool = s
	if !f.unkept {
		s.Start()
		return
	}
	s.running.Go(s.commitLoop)
	s.running.Go(func() { s.engine.Run(s.ctx) })
}

// names are the targets that owe a draft's event.
func (f *fixture) names(d *Draft) (names []string) {
	for _, id := range d.Lanes() {
		names = append(names, f.NameOf(id))
	}
	return names
}

func (f *fixture) lane(name string) *Lane {
	f.t.Helper()
	l, err := f.Lane(name)
	if err != nil {
		f.t.Fatal(err)
	}
	return l
}

// Event is look.Event.
func (f *fixture) Event(seq uint64) (*record.Event, error) { return look.Event(f.Records(), seq) }

// stateOf is where the delivery of an event to a lane is.
func stateOf(t interface{ Fatal(...any) }, l *Lane, e *record.Event) State {
	places, err := look.Places(l.s, e)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range places {
		if p.Lane == l.id {
			return p.State
		}
	}
	return StateNone
}

func (f *fixture) append(payload string, lanes ...string) *Draft {
	f.t.Helper()
	d := &Draft{Type: "t", ContentType: "text/plain", Payload: []byte(payload), At: f.now, Note: lanes}
	if err := f.Append(d); err != nil {
		f.t.Fatal(err)
	}
	return d
}

// appendRandom appends n events of size bytes whose type is the digest of their payload.
// appendGiven is appendRandom with an id for each, which the spool remembers.
func (f *fixture) appendGiven(n, size int, lane string) {
	f.t.Helper()
	drafts := f.random(n, size, lane)
	for _, d := range drafts {
		f.given++
		d.ID, d.Given = fmt.Sprintf("given-%030d", f.given), true
	}
	if err := f.Append(drafts...); err != nil {
		f.t.Error(err)
	}
}

func (f *fixture) appendRandom(n, size int, lane string) {
	f.t.Helper()
	if err := f.Append(f.random(n, size, lane)...); err != nil {
		f.t.Error(err)
	}
}

// random are drafts whose types are the sums of their payloads.
func (f *fixture) random(n, size int, lane string) []*Draft {
	random := rand.NewChaCha8([32]byte{byte(n), byte(size)})
	drafts := make([]*Draft, 0, n)
	for range n {
		payload := make([]byte, size)
		_, _ = random.Read(payload)
		sum := sha256.Sum256(payload)
		drafts = append(drafts, &Draft{Type: hex.EncodeToString(sum[:]), Payload: payload, At: f.now,
			Note: []string{lane}})
	}
	return drafts
}

func (f *fixture) flushNow() {
	f.t.Helper()
	o := newOp(nil)
	o.run = f.disk.Flush
	if err := f.submit(o); err != nil {
		f.t.Error(err)
	}
}

// fetch takes exactly n fresh deliveries.
func (f *fixture) fetch(l *Lane, n int) []*record.Event {
	f.t.Helper()
	var out []*record.Event
	deadline := time.Now().Add(testPatience)
	for len(out) < n {
		es, err := l.Fetch(n - len(out))
		if err != nil {
			f.t.Fatal(err)
		}
		out = append(out, es...)
		if time.Now().After(deadline) {
			f.t.Fatalf("fetched %d deliveries; want %d", len(out), n)
		}
	}
	return out
}

func (f *fixture) none(l *Lane) {
	f.t.Helper()
	es, err := l.Fetch(10)
	if err != nil || len(es) != 0 {
		f.t.Fatalf("fetched %d deliveries, %v; want none", len(es), err)
	}
}

// settle applies one outcome and waits for it.
func (f *fixture) settle(st Settlement) {
	f.t.Helper()
	if st.At.IsZero() {
		st.At = f.now
	}
	if err := f.Apply(Change{Settle: []Settlement{st}}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) counts(l *Lane, pending, exhausted uint64) {
	f.t.Helper()
	c := l.Counts()
	if c.Pending != pending || c.Exhausted != exhausted {
		f.t.Errorf("target %q has %d pending, %d exhausted; want %d, %d",
			l.name, c.Pending, c.Exhausted, pending, exhausted)
	}
}

func (f *fixture) due(l *Lane, tick uint64) []Delivery {
	f.t.Helper()
	var out []Delivery
	for d := l.Due(tick); ; {
		ds, err := d.Next(3)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(ds) == 0 {
			return out
		}
		out = append(out, ds...)
	}
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

func TestJourney(t *testing.T) {
	f := open(t)
	crm, erp := f.lane("crm"), f.lane("erp")
	crm.Open(true)
	d := f.append("hello", "crm", "erp")
	if d.Seq != 1 || d.ID == "" || len(d.lanes) != 2 {
		t.Fatalf("got sequence %d, id %q, targets %v", d.Seq, d.ID, f.names(d))
	}
	e := f.fetch(crm, 1)[0]
	if string(e.Payload()) != "hello" || e.ID() != d.ID || e.Type() != "t" ||
		e.ContentType() != "text/plain" || !e.At.Equal(f.now) {
		t.Errorf("got another event: %+v", e)
	}
	f.counts(crm, 1, 0)
	f.Settle(Settlement{Lane: crm.id, Seq: 1, Fresh: true, Verdict: Delivered, At: f.now})
	f.counts(crm, 0, 0)
	f.counts(erp, 1, 0)
	if _, pending := crm.OldestPending(); pending {
		t.Error("crm has an oldest pending delivery; want none")
	}
	if p, ok := erp.OldestPending(); !ok || p.Seq != 1 || !p.At.Equal(f.now) {
		t.Errorf("erp's oldest pending delivery is %+v, %v", p, ok)
	}

	f.reopen()
	crm, erp = f.lane("crm"), f.lane("erp")
	f.counts(crm, 0, 0)
	f.none(crm)
	f.counts(erp, 1, 0)
	f.fetch(erp, 1)
	f.settle(Settlement{Lane: erp.id, Seq: 1, Fresh: true, Verdict: Retry, Attempts: 1, Due: 5,
		Status: 503, Error: "503", AcceptedAt: f.now})
	f.counts(erp, 1, 0)
	if got := f.due(erp, 4); len(got) != 0 {
		t.Errorf("got %d deliveries before they are due", len(got))
	}
	f.reopen()
	erp = f.lane("erp")
	f.none(erp)
	got := f.due(erp, 5)
	if len(got) != 1 || got[0].Attempts != 1 || got[0].LastStatus != 503 ||
		string(got[0].Event.Payload()) != "hello" {
		t.Fatalf("got %+v; want the one failed delivery", got)
	}
	f.settle(Settlement{Lane: erp.id, Seq: 1, Verdict: Exhausted, Attempts: 145})
	f.counts(erp, 0, 1)
	f.settle(Settlement{Lane: erp.id, Seq: 1, Verdict: Exhausted, Attempts: 145})
	f.counts(erp, 0, 1)
	if _, err := f.Replay(record.Ref{Lane: erp.id, Seq: 1}); err != nil {
		t.Fatal(err)
	}
	f.counts(erp, 1, 0)
	got = f.due(erp, 0)
	if len(got) != 1 || got[0].Attempts != 0 || !got[0].Replay {
		t.Fatalf("got %+v; want one replay from attempt 0", got)
	}
	f.settle(Settlement{Lane: erp.id, Seq: 1, Verdict: Delivered})
	f.counts(erp, 0, 0)
}

// A crash repeats what was in flight, and nothing that failed or was recorded before.
func TestWindowAcrossRestart(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	l.Open(true)
	for i := range 10 {
		f.append(fmt.Sprint(i), "crm")
	}
	f.fetch(l, 8)
	for _, seq := range []uint64{1, 3, 7} {
		f.Settle(Settlement{Lane: l.id, Seq: seq, Fresh: true, Verdict: Delivered, At: f.now})
	}
	f.settle(Settlement{Lane: l.id, Seq: 5, Fresh: true, Verdict: Retry, Attempts: 1, Due: 1})
	f.counts(l, 7, 0)
	f.reopen()
	l = f.lane("crm")
	f.counts(l, 7, 0)
	var seqs []uint64
	for _, e := range f.fetch(l, 6) {
		seqs = append(seqs, e.Seq)
	}
	if fmt.Sprint(seqs) != "[2 4 6 8 9 10]" {
		t.Errorf("handed out %v again; want what was neither delivered nor failed", seqs)
	}
	f.none(l)
	if got := f.due(l, 1); len(got) != 1 || got[0].Event.Seq != 5 {
		t.Errorf("got %d exceptions; want the failed one", len(got))
	}
}

// A lane that is closed or too slow keeps little in memory and misses nothing, in order.
func TestLaneFallsBehind(t *testing.T) {
	f := open(t)
	f.fresh.max = 128 << 10
	l := f.lane("slow")
	l.Open(true)
	const events = 500
	for i := range events {
		f.append(fmt.Sprint(i), "slow")
	}
	l.mu.Lock()
	bytes, behind := l.way.freshBytes, l.way.behind
	l.mu.Unlock()
	if bytes > f.fresh.max/freshShare || !behind {
		t.Errorf("the lane holds %d bytes, behind %v; want at most %d and behind", bytes, behind,
			f.fresh.max/freshShare)
	}
	want := uint64(1)
	for _, e := range f.fetch(l, events) {
		if e.Seq != want {
			t.Fatalf("got sequence %d; want %d", e.Seq, want)
		}
		want++
		f.Settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Delivered, At: f.now})
	}
	f.none(l)
	f.counts(l, 0, 0)
	f.append("live again", "slow")
	f.fetch(l, 1)
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.way.behind {
		t.Error("the lane still reads the log although it has caught up")
	}
}

func TestIDs(t *testing.T) {
	f := open(t)
	f.lane("crm")
	send := func(id, body string, lanes ...string) (*Draft, error) {
		d := &Draft{ID: id, Given: true, Hash: sha256.Sum256([]byte(body)), Payload: []byte(body),
			At: f.now, Note: lanes}
		return d, f.Append(d)
	}
	first, err := send("a", "x", "crm")
	if err != nil || first.Duplicate {
		t.Fatal(err, first.Duplicate)
	}
	again, err := send("a", "x", "crm")
	if err != nil || !again.Duplicate || len(again.lanes) != 1 {
		t.Errorf("the same id and body: %v, duplicate %v, targets %v", err, again.Duplicate,
			f.names(again))
	}
	var conflict *ConflictError
	if _, err := send("a", "y", "crm"); !errors.As(err, &conflict) {
		t.Errorf("the same id and another body: %v; want a conflict", err)
	}
	f.reopen()
	if d, err := send("a", "x", "crm"); err != nil || !d.Duplicate {
		t.Errorf("after a restart: %v, duplicate %v", err, d.Duplicate)
	}
	if e, err := look.EventByID(f, "a"); err != nil || e.Seq != 1 {
		t.Errorf("cannot find the event by the id given: %v", err)
	}
	f.pass(time.Hour)
	if d, err := send("a", "y", "crm"); err != nil || d.Duplicate {
		t.Errorf("after the window: %v, duplicate %v; want a new event", err, d.Duplicate)
	}
	// An id is remembered even if nobody wanted the event.
	if _, err := send("b", "x"); err != nil {
		t.Fatal(err)
	}
	if d, err := send("b", "x", "crm"); err != nil || !d.Duplicate {
		t.Errorf("an unwanted event again: %v, duplicate %v", err, d.Duplicate)
	}
	made := f.append("z", "crm")
	if e, err := look.EventByID(f, made.ID); err != nil || string(e.Payload()) != "z" {
		t.Errorf("cannot find the event by the id made here: %v", err)
	}
	if _, err := look.EventByID(f, "evt_nothing"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unknown id: %v; want ErrNotFound", err)
	}
}

// A batch is spooled whole or not at all, whatever its size.
func TestBatch(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	batch := func(n, bytesEach int, id string) []*Draft {
		var ds []*Draft
		for i := range n {
			body := append([]byte(fmt.Sprint(i)), make([]byte, bytesEach)...)
			d := &Draft{Payload: body, At: f.now, Note: []string{"crm"}, Type: "counted"}
			if id != "" {
				d.ID, d.Given, d.Hash = fmt.Sprint(id, i), true, sha256.Sum256(body)
			}
			ds = append(ds, d)
		}
		return ds
	}
	small := batch(3, 0, "s")
	small = append(small, small[1])
	dup := *small[1]
	small[3] = &dup
	if err := f.Append(small...); err != nil {
		t.Fatal(err)
	}
	if !small[3].Duplicate || small[3].Seq != 2 || small[0].Duplicate {
		t.Errorf("the repeat inside the batch: %+v", small[3])
	}
	f.counts(l, 3, 0)
	bad := batch(3, 0, "t")
	bad[2].ID = "s0"
	bad[2].Hash[0]++
	var conflict *ConflictError
	if err := f.Append(bad...); !errors.As(err, &conflict) || fmt.Sprint(conflict.Indexes) != "[2]" {
		t.Fatalf("got %v; want a conflict at 2", err)
	}
	f.counts(l, 3, 0)
	if _, err := look.EventByID(f, "t0"); !errors.Is(err, ErrNotFound) {
		t.Error("a refused batch left an event behind")
	}
	// Larger than several transactions.
	if err := f.Append(batch(16, 512<<10, "L")...); err != nil {
		t.Fatal(err)
	}
	if err := f.Append(batch(10_000, 0, "m")...); err != nil {
		t.Fatal(err)
	}
	f.counts(l, 10_019, 0)
	f.reopen()
	f.counts(f.lane("crm"), 10_019, 0)
}

// A batch that was cut off before its last record is gone after the start, ids and all.
func TestUnfinishedBatch(t *testing.T) {
	f := open(t)
	f.lane("crm")
	f.append("before", "crm")
	f.Close()
	s, err := Open(f.options())
	if err != nil {
		t.Fatal(err)
	}
	f.Spool = s
	g := looseGroup(s)
	for i := range 3 {
		d := &Draft{ID: fmt.Sprint("u", i), Given: true, Payload: []byte("x"), At: f.now}
		d.lanes = []record.LaneID{s.byName["crm"].id}
		parts := d.parts()
		d.rec, d.sum = parts.LayOut(1)
		d.Seq = uint64(2 + i)
		g.putEvent(d, 5)
	}
	if err := g.commit(); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	f.counts(f.lane("crm"), 1, 0)
	if _, err := look.EventByID(f, "u0"); !errors.Is(err, ErrNotFound) {
		t.Errorf("an unanswered event is still found: %v", err)
	}
	d := &Draft{ID: "u0", Given: true, Payload: []byte("x"), At: f.now, Note: []string{"crm"}}
	if err := f.Append(d); err != nil || d.Duplicate || d.Seq != 2 {
		t.Errorf("sending again: %v, duplicate %v, sequence %d", err, d.Duplicate, d.Seq)
	}
}

// A record that cannot be read is set aside and counted; what lies around it is delivered.
func TestQuarantine(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	for i := range 5 {
		f.append(fmt.Sprint(i), "crm")
	}
	l.Open(true)
	f.fetch(l, 1)
	f.settle(Settlement{Lane: l.id, Seq: 1, Fresh: true, Verdict: Retry, Attempts: 1})
	damage := func(seq uint64, change func(rec []byte) []byte) {
		rec, err := f.get(record.LogKey(seq))
		if err != nil {
			t.Fatal(err)
		}
		err = f.disk.DB.Update(func(txn *badger.Txn) error {
			return txn.Set(record.LogKey(seq), change(append([]byte(nil), rec...)))
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	damage(3, func(rec []byte) []byte { rec[len(rec)-5] ^= 1; return rec })
	damage(4, func(rec []byte) []byte { return rec[:7] })
	f.reopen()
	l = f.lane("crm")
	got := f.fetch(l, 2)
	if got[0].Seq != 2 || got[1].Seq != 5 {
		t.Fatalf("got %d and %d; want 2 and 5", got[0].Seq, got[1].Seq)
	}
	f.none(l)
	if n := f.Quarantined(); n != 2 {
		t.Errorf("%d records are set aside; want 2", n)
	}
	f.Settle(Settlement{Lane: l.id, Seq: 2, Fresh: true, Verdict: Delivered, At: f.now})
	f.Settle(Settlement{Lane: l.id, Seq: 5, Fresh: true, Verdict: Delivered, At: f.now})
	f.counts(l, 1, 0)
	if c := l.Counts(); c.Quarantined != 2 {
		t.Errorf("%d deliveries are quarantined; want 2", c.Quarantined)
	}
	damage(1, func(rec []byte) []byte { rec[50] ^= 1; return rec })
	if got := f.due(l, 9); len(got) != 0 {
		t.Errorf("got %d due deliveries; want none", len(got))
	}
	f.counts(l, 0, 0)
	f.reopen()
	if n := f.Quarantined(); n != 3 {
		t.Errorf("%d records are set aside after a restart; want 3", n)
	}
}

// What is on disk beats what was answered only if it is not less.
func TestHighWater(t *testing.T) {
	f := open(t)
	f.lane("crm")
	f.append("x", "crm")
	f.Close()
	if seq, err := highwater.Read(f.dir); err != nil || seq != 1 {
		t.Fatalf("the high-water mark is %d, %v; want 1", seq, err)
	}
	if err := highwater.Write(f.dir, 7); err != nil {
		t.Fatal(err)
	}
	var err error
	if _, err = Open(f.options()); !errors.Is(err, ErrLoss) {
		t.Fatalf("got %v; want ErrLoss", err)
	}
	o := f.options()
	o.AcceptLoss = true
	if f.Spool, err = Open(o); err != nil {
		t.Fatal(err)
	}
	f.Start()
	if d := f.append("y", "crm"); d.Seq != 8 {
		t.Errorf("got sequence %d; want 8, never one that was answered before", d.Seq)
	}
}

// A lane that is behind reads on from page to page, sees what came meanwhile, and lets go of its
// snapshot at the end, after a while, and when the spool closes.
func TestCursor(t *testing.T) {
	const page = 64
	f := open(t)
	l := f.lane("a")
	more := func(n int) {
		t.Helper()
		for range n {
			f.append("x", "a")
		}
	}
	held := func(want bool) {
		t.Helper()
		l.fetching.Lock()
		defer l.fetching.Unlock()
		if got := l.cursor.c != nil; got != want || f.cursors.Load() > 0 != want {
			t.Errorf("a cursor is held: %v, %d; want %v", got, f.cursors.Load(), want)
		}
	}
	more(3*page + 5)
	l.Open(true)
	next := uint64(1)
	read := func() (n int) {
		t.Helper()
		es, err := l.Fetch(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range es {
			if e.Seq != next {
				t.Fatalf("got event %d; want %d", e.Seq, next)
			}
			next++
			f.Settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Delivered, At: f.now})
		}
		return len(es)
	}
	read()
	held(true)
	f.dropCursors(time.Now())
	held(false)
	read()
	held(true)
	more(page) // the cursor does not see them; the next one does
	for end := time.Now().Add(testPatience); next <= 4*page+5 && time.Now().Before(end); {
		read()
	}
	if next != 4*page+6 {
		t.Errorf("read to %d; want %d", next-1, 4*page+5)
	}
	held(false)
	l.Open(false)
	more(3 * page)
	l.Open(true)
	read()
	held(true)
	f.reopen() // Close would wait for ever, or panic
	f.append("y", "a")
}

func TestSweep(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	l.Open(true)
	for i := range 4 {
		f.append(fmt.Sprint(i), "crm")
	}
	f.fetch(l, 4)
	f.Settle(Settlement{Lane: l.id, Seq: 1, Fresh: true, Verdict: Delivered, At: f.now})
	f.settle(Settlement{Lane: l.id, Seq: 2, Fresh: true, Verdict: Retry, Attempts: 1})
	f.settle(Settlement{Lane: l.id, Seq: 3, Fresh: true, Verdict: Exhausted, Attempts: 1})
	exists := func(want ...uint64) {
		t.Helper()
		var got []uint64
		for seq := uint64(1); seq <= 4; seq++ {
			if _, err := f.Event(seq); err == nil {
				got = append(got, seq)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("events %v are there; want %v", got, want)
		}
	}
	sweep := func(after time.Duration) {
		t.Helper()
		f.pass(after)
		// A checkpoint first: the sweep goes by what is on disk.
		f.commitCheckpoint()
		if err := f.Sweep(f.now); err != nil {
			t.Fatal(err)
		}
	}
	sweep(time.Minute)
	exists(1, 2, 3, 4)
	sweep(59 * time.Minute)
	exists(2, 4) // 1 was delivered, 3 was kept as exhausted for an hour; 4 is in flight
	f.counts(l, 2, 0)
	f.Settle(Settlement{Lane: l.id, Seq: 4, Fresh: true, Verdict: Delivered, At: f.now})
	sweep(0)
	exists(2)
	f.settle(Settlement{Lane: l.id, Seq: 2, Verdict: Delivered})
	sweep(time.Minute)
	exists(2) // delivered just now, and kept for an hour from then
	sweep(time.Hour)
	exists()
	f.reopen()
	f.counts(f.lane("crm"), 0, 0)
	if d := f.append("next", "crm"); d.Seq != 5 {
		t.Errorf("got sequence %d after everything was swept; want 5", d.Seq)
	}
}

// commitCheckpoint waits until the lanes' records are on disk.
func (f *fixture) commitCheckpoint() {
	f.t.Helper()
	deadline := time.Now().Add(testPatience)
	for {
		clean := f.storedHead.Load() == f.head.Load()
		for _, l := range f.Lanes() {
			l.mu.Lock()
			clean = clean && !l.dirty
			l.mu.Unlock()
		}
		// A lane is clean from the moment its record is planned: wait for the commit, too.
		if err := f.Apply(Change{}); err != nil {
			f.t.Fatal(err)
		}
		if clean {
			return
		}
		if time.Now().After(deadline) {
			f.t.Fatal("no checkpoint came")
		}
	}
}

func TestSmallState(t *testing.T) {
	f := open(t)
	l := f.lane("crm")
	st := record.Standing{FailedJobs: 7, DefectiveSince: f.now, Held: true, ShutUntil: f.now.Add(time.Hour),
		GoneSince: f.now}
	err := f.Apply(Change{Standing: &st, StandingOf: l.id, Tick: &record.Tick{At: f.now},
		Owe: []Notice{{Lane: l.id, Episode: 9, Body: []byte("mail")}}})
	if err != nil {
		t.Fatal(err)
	}
	d := &Draft{Type: "counted", Payload: []byte("x"), At: f.now}
	for range 2 {
		if err := f.Append(&Draft{Type: "counted", At: f.now}, d); err != nil {
			t.Fatal(err)
		}
	}
	f.reopen()
	l = f.lane("crm")
	if got := l.Standing(); got.FailedJobs != 7 || !got.Held || !got.DefectiveSince.Equal(f.now) ||
		!got.ShutUntil.Equal(f.now.Add(time.Hour)) || !got.GoneSince.Equal(f.now) {
		t.Errorf("got standing %+v; want %+v", got, st)
	}
	if got := f.LastTick(); got.Number != 1 || !got.At.Equal(f.now) {
		t.Errorf("got tick %+v", got)
	}
	n, err := f.Notices()
	if err != nil || len(n) != 1 || string(n[0].Body) != "mail" || n[0].Lane != l.id {
		t.Fatalf("got notices %+v, %v", n, err)
	}
	if err := f.Apply(Change{Paid: n}); err != nil {
		t.Fatal(err)
	}
	if n, err := f.Notices(); err != nil || len(n) != 0 {
		t.Errorf("got notices %+v, %v; want none", n, err)
	}
	var state []byte
	g := looseGroup(f.Spool)
	state = (&View{g}).Get([]byte("n"))
	g.txn.Discard()
	if len(state) != 4 {
		t.Errorf("state was put %d times; want 4", len(state))
	}
}

func TestRefusals(t *testing.T) {
	f := open(t)
	if _, err := Open(f.options()); !errors.Is(err, ErrInUse) {
		t.Errorf("a second spool in the same place: %v; want ErrInUse", err)
	}
	f.lane("crm")
	var large *TooLargeError
	err := f.Append(&Draft{Payload: make([]byte, 1<<20), At: f.now, Note: []string{"crm"}})
	if !errors.As(err, &large) {
		t.Errorf("an event of 1 MiB: %v; want TooLargeError", err)
	}
	lim := Limits{MaxBytes: 1}
	f.SetLimits(lim)
	if err := f.Admit(10); !errors.Is(err, ErrFull) {
		t.Errorf("beyond the budget: %v; want ErrFull", err)
	}
	f.SetLimits(Limits{})
	if err := f.Admit(10); err != nil {
		t.Errorf("without a budget: %v", err)
	}
	f.fail(errors.New("the disk is gone"))
	if err := f.Append(&Draft{At: f.now, Note: []string{"crm"}}); !errors.Is(err, ErrFailed) {
		t.Errorf("after a failed commit: %v; want ErrFailed", err)
	}
	f.Close()
	if err := f.Append(&Draft{At: f.now}); err == nil {
		t.Error("a closed spool took an event")
	}
	link := f.dir + "-link"
	if err := os.Symlink(f.dir, link); err != nil {
		t.Fatal(err)
	}
	o := f.options()
	o.Dir = link
	if _, err := Open(o); err == nil {
		t.Error("a linked directory was taken")
	}
}

// A high-water mark that cannot be read is told, written again, and keeps nothing from starting.
func TestDamagedHighWater(t *testing.T) {
	f := open(t)
	f.lane("crm")
	f.append("x", "crm")
	f.Close()
	path := f.dir + "/" + highwater.Name
	if err := os.WriteFile(path, []byte("not a mark!!"), 0o600); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	o := f.options()
	o.Log = slog.New(slog.NewTextHandler(&said, nil))
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(said.Bytes(), []byte("cannot read the high-water mark")) {
		t.Errorf("the start said %s", said.Bytes())
	}
	f.Spool = nil
	said.Reset()
	f.reopen()
	if f.hw.Damaged() || f.hw.Last() != 1 {
		t.Errorf("the mark is %d, damaged %v; want 1 again", f.hw.Last(), f.hw.Damaged())
	}
}

// looseGroup is a group beside the committer's own, for looking.
func looseGroup(s *Spool) *group {
	return &group{s: s, txn: s.engine.Begin(), state: map[string]statePut{},
		ids: map[string]*record.ID{}, forced: map[*Lane]struct{}{}}
}
