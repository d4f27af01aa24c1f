package look_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// testPatience is how long tests wait for what takes milliseconds on a quiet machine: only a failure
// waits that long.
const testPatience = 2 * time.Minute

// begin is when the first event of a fixture comes; one comes every second.
var begin = time.Unix(1_700_000_000, 0)

// fixture is a spool whose events are owed to the targets that their Note names.
type fixture struct {
	*spool.Spool
	t   *testing.T
	dir string
	now time.Time // pass sets it
	// clock is now as the spool's goroutines read it.
	clock atomic.Pointer[time.Time]
}

// open is a new spool on an engine of its own; nil: in a directory.
func open(t *testing.T, own engine.Engine) *fixture {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: begin}
	f.start(own)
	t.Cleanup(f.close)
	return f
}

// reopen is a restart of a spool in a directory.
func (f *fixture) reopen() {
	f.t.Helper()
	f.close()
	f.start(nil)
}

func (f *fixture) close() {
	f.t.Helper()
	if err := f.Close(); err != nil {
		f.t.Error(err)
	}
}

func (f *fixture) start(own engine.Engine) {
	f.t.Helper()
	f.pass(0)
	s, err := spool.Open(spool.Options{
		Dir: f.dir, Engine: own, Log: slog.New(slog.NewTextHandler(logWriter{f.t}, nil)),
		Decide: func(v *spool.View, d *spool.Draft) {
			ids, _ := d.Note.([]record.LaneID)
			for _, id := range ids {
				d.Owe(id)
			}
			v.Put([]byte(d.Type), d.Payload, time.Hour)
		},
		Limits: spool.Limits{KeepDelivered: time.Hour, KeepExhausted: time.Hour,
			DedupeWindow: time.Hour},
		Now: func() time.Time { return *f.clock.Load() },
	})
	if err != nil {
		f.t.Fatal(err)
	}
	f.Spool = s
	s.Start()
}

// pass lets the spool's clock go on, which its keeper reads meanwhile.
func (f *fixture) pass(d time.Duration) {
	now := f.now.Add(d)
	f.now = now
	f.clock.Store(&now)
}

type logWriter struct{ t *testing.T }

func (w logWriter) Write(p []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimSpace(p))
	return len(p), nil
}

// lane is an open lane, from which is fetched.
func (f *fixture) lane(name string) *spool.Lane {
	f.t.Helper()
	l, err := f.Lane(name)
	if err != nil {
		f.t.Fatal(err)
	}
	l.Open(true)
	return l
}

// append spools an event of a type, a second after the one before.
func (f *fixture) append(typ string, lanes ...*spool.Lane) *spool.Draft {
	f.t.Helper()
	var ids []record.LaneID
	for _, l := range lanes {
		ids = append(ids, l.ID())
	}
	f.pass(time.Second)
	d := &spool.Draft{Type: typ, ContentType: "text/plain", Payload: []byte("payload of " + typ),
		At: f.now, Note: ids}
	if err := f.Append(d); err != nil {
		f.t.Fatal(err)
	}
	return d
}

// fetch takes what a lane has, n deliveries at least.
func (f *fixture) fetch(l *spool.Lane, n int) {
	f.t.Helper()
	for deadline := time.Now().Add(testPatience); n > 0; {
		events, err := l.Fetch(1000)
		if err != nil || time.Now().After(deadline) {
			f.t.Fatalf("%d deliveries are missing, %v", n, err)
		}
		n -= len(events)
	}
}

// settle applies the outcome of attempt 0.
func (f *fixture) settle(l *spool.Lane, seq uint64, verdict spool.Verdict) {
	f.t.Helper()
	st := outcome(l, seq, verdict)
	st.At = f.now
	if err := f.Apply(spool.Change{Settle: []spool.Settlement{st}}); err != nil {
		f.t.Fatal(err)
	}
}

func outcome(l *spool.Lane, seq uint64, verdict spool.Verdict) spool.Settlement {
	st := spool.Settlement{Lane: l.ID(), Seq: seq, AcceptedAt: acceptedAt(seq), Fresh: true,
		Verdict: verdict, Attempts: 1, Due: 1, Status: 503, Error: "answered 503"}
	if verdict == spool.Delivered {
		st.Status, st.Error = 200, ""
	}
	return st
}

// acceptedAt is when append spooled an event.
func acceptedAt(seq uint64) time.Time { return begin.Add(time.Duration(seq) * time.Second) }

func (f *fixture) purge(l *spool.Lane, state spool.State, seq uint64) {
	f.t.Helper()
	n, err := l.Purge(context.Background(), spool.Purge{State: state, Seq: seq})
	if n != 1 || err != nil {
		f.t.Fatalf("purged %d deliveries of event %d, %v", n, seq, err)
	}
}

// furnish spools n events for lanes a and b, and leaves those of a in all states by turns: by the
// sequence, waiting, failed, exhausted, delivered, purged while it waited, purged after it failed.
// Those of b stay fresh.
func (f *fixture) furnish(n int) (a, b *spool.Lane) {
	f.t.Helper()
	a, b = f.lane("a"), f.lane("b")
	for i := range n {
		f.append(fmt.Sprint("type.", i%2), a, b)
	}
	f.fetch(a, n)
	for seq := uint64(1); seq <= uint64(n); seq++ {
		switch seq % 6 {
		case 1, 5:
			f.settle(a, seq, spool.Retry)
		case 2:
			f.settle(a, seq, spool.Exhausted)
		case 3:
			f.settle(a, seq, spool.Delivered)
		}
		if seq%6 >= 4 {
			f.purge(a, spool.StatePending, seq)
		}
	}
	return a, b
}

// stateOfA is where furnish leaves a delivery to lane a.
func stateOfA(seq uint64) record.State {
	return [...]record.State{record.StatePending, record.StatePending, record.StateExhausted,
		record.StateDelivered, record.StatePurged, record.StatePurged}[seq%6]
}

// seqs are those of the events found.
func seqs(found []look.Found) (out []uint64) {
	for i := range found {
		out = append(out, found[i].Seq)
	}
	return out
}

// search reads a query to its end.
func (f *fixture) search(q look.Query) []look.Found {
	f.t.Helper()
	var all []look.Found
	for {
		found, next, err := look.Search(f, q)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(found) > q.Limit {
			f.t.Errorf("a page of %d events; %d were asked for", len(found), q.Limit)
		}
		all = append(all, found...)
		if next == 0 {
			return all
		}
		if q.Below > 0 && next >= q.Below {
			f.t.Fatalf("the page below %d goes on below %d", q.Below, next)
		}
		q.Below = next
	}
}

// list reads a listing to its end.
func (f *fixture) list(q look.Listing) []look.Found {
	f.t.Helper()
	var all []look.Found
	for {
		found, next, err := look.List(f, q)
		if err != nil {
			f.t.Fatal(err)
		}
		if len(found) > q.Limit {
			f.t.Errorf("a page of %d deliveries; %d were asked for", len(found), q.Limit)
		}
		all = append(all, found...)
		if next == 0 {
			return all
		}
		if next <= q.From {
			f.t.Fatalf("the page from %d goes on at %d", q.From, next)
		}
		q.From = next
	}
}

// count are the sequences up to n that a rule selects, ascending.
func count(n int, selects func(seq uint64) bool) (out []uint64) {
	for seq := uint64(1); seq <= uint64(n); seq++ {
		if selects(seq) {
			out = append(out, seq)
		}
	}
	return out
}

// A search finds what it is asked for, newest first, whatever the size of its pages.
func TestSearch(t *testing.T) {
	t.Parallel()
	const n = 60
	fx := open(t, nil)
	a, b := fx.furnish(n)
	fx.append("other", b)
	f := func(what string, q look.Query, selects func(seq uint64) bool) {
		t.Helper()
		want := count(n+1, selects)
		slices.Reverse(want)
		for _, limit := range []int{1, 7, 1000} {
			q.Limit = limit
			if got := seqs(fx.search(q)); !slices.Equal(got, want) {
				t.Errorf("%s, by %d: %v; want %v", what, limit, got, want)
			}
		}
	}
	at := func(seq int) time.Time { return acceptedAt(uint64(seq)) }
	f("all", look.Query{}, func(uint64) bool { return true })
	f("below", look.Query{Below: 11}, func(seq uint64) bool { return seq < 11 })
	f("since", look.Query{Since: at(20)}, func(seq uint64) bool { return seq >= 20 })
	f("until", look.Query{Until: at(20)}, func(seq uint64) bool { return seq <= 20 })
	f("between", look.Query{Since: at(20), Until: at(40)},
		func(seq uint64) bool { return seq >= 20 && seq <= 40 })
	f("before all", look.Query{Until: begin}, func(uint64) bool { return false })
	f("after all", look.Query{Since: at(n + 2)}, func(uint64) bool { return false })
	f("a type", look.Query{Match: func(typ string) bool { return typ == "type.1" }},
		func(seq uint64) bool { return seq%2 == 0 && seq <= n })
	f("lane a", look.Query{Lane: a.ID()}, func(seq uint64) bool { return seq <= n })
	f("an unknown lane", look.Query{Lane: 99}, func(uint64) bool { return false })
	for s := record.StatePending; s <= record.StatePurged; s++ {
		in := func(seq uint64) bool { return seq <= n && stateOfA(seq) == s }
		f("of a, "+s.String(), look.Query{Lane: a.ID(), State: s}, in)
		f("of a alone, "+s.String(), look.Query{Lane: a.ID(), LaneOnly: true, State: s}, in)
		f("of any, "+s.String(), look.Query{State: s},
			func(seq uint64) bool { return in(seq) || s == record.StatePending })
	}
}

// Every way to say where a delivery is says the same: one event, few by their keys, many by the
// stretch, a listing.
func TestPlaces(t *testing.T) {
	t.Parallel()
	const n = 60
	f := open(t, nil)
	a, b := f.furnish(n)
	check := func(how string, seq uint64, places []look.Place) {
		t.Helper()
		if len(places) != 2 || places[0].Target != "a" || places[1].Target != "b" ||
			places[0].Lane != a.ID() || places[1].Lane != b.ID() {
			t.Fatalf("%s, event %d has places %+v", how, seq, places)
		}
		p, want := places[0], stateOfA(seq)
		if p.State != want || places[1].State != record.StatePending {
			t.Errorf("%s, event %d is %s and %s; want %s and pending", how, seq, p.State,
				places[1].State, want)
		}
		failed := want == record.StateExhausted || want == record.StatePending && seq%6 == 1
		if failed != (p.Attempts == 1 && p.LastStatus == 503 && p.LastError == "answered 503" &&
			!p.LastAt.IsZero()) {
			t.Errorf("%s, event %d tells of attempts %+v", how, seq, p.Delivery)
		}
	}
	for _, limit := range []int{3, 1000} {
		for _, x := range f.search(look.Query{Limit: limit}) {
			check(fmt.Sprint("by ", limit), x.Seq, x.Places)
		}
	}
	for seq := uint64(1); seq <= n; seq++ {
		e, err := look.Event(f.Records(), seq)
		if err != nil {
			t.Fatal(err)
		}
		places, err := look.Places(f, e)
		if err != nil {
			t.Fatal(err)
		}
		check("alone", seq, places)
		x, err := look.Summary(f.Records(), seq)
		if err != nil || x.ID != e.ID() || x.Type != e.Type() || !x.At.Equal(acceptedAt(seq)) ||
			x.Bytes != len(e.Payload()) || x.ContentType != "text/plain" {
			t.Errorf("the summary of event %d is %+v, %v", seq, x, err)
		}
	}
	// a target that was forgotten has no place
	gone := f.lane("gone")
	d := f.append("t", a, gone)
	f.purge(gone, record.StatePending, d.Seq)
	gone.Open(false)
	if err := f.Forget(gone); err != nil {
		t.Fatal(err)
	}
	e, err := look.Event(f.Records(), d.Seq)
	if err != nil {
		t.Fatal(err)
	}
	if places, err := look.Places(f, e); err != nil || len(places) != 1 || places[0].Target != "a" {
		t.Errorf("an event that a forgotten target was owed has places %+v, %v", places, err)
	}
	if found, next, err := look.List(f, look.Listing{Lane: gone.ID(), State: record.StatePending,
		Limit: 9}); len(found) > 0 || next != 0 || err != nil {
		t.Errorf("of a forgotten target are listed %+v, %d, %v", found, next, err)
	}
}

// A listing has the deliveries in a state, oldest first, those in the log and those beside it in
// one order, whatever the size of its pages.
func TestList(t *testing.T) {
	t.Parallel()
	const n = 60
	fx := open(t, nil)
	a, _ := fx.furnish(n)
	f := func(what string, q look.Listing, selects func(seq uint64) bool) {
		t.Helper()
		q.Lane = a.ID()
		for _, q.State = range []record.State{record.StatePending, record.StateExhausted} {
			want := count(n, func(seq uint64) bool { return stateOfA(seq) == q.State && selects(seq) })
			for _, q.Limit = range []int{1, 7, 1000} {
				found := fx.list(q)
				if got := seqs(found); !slices.Equal(got, want) {
					t.Errorf("%s, %s, by %d: %v; want %v", what, q.State, q.Limit, got, want)
				}
				for i := range found {
					x := &found[i]
					if len(x.Places) != 1 || x.Places[0].State != q.State ||
						x.Places[0].Target != "a" || x.ID == "" {
						t.Errorf("%s: %+v is listed", what, x)
					}
				}
			}
		}
	}
	f("all", look.Listing{}, func(uint64) bool { return true })
	f("from", look.Listing{From: 30}, func(seq uint64) bool { return seq >= 30 })
	f("since", look.Listing{Since: acceptedAt(20)}, func(seq uint64) bool { return seq >= 20 })
	f("until", look.Listing{Until: acceptedAt(20)}, func(seq uint64) bool { return seq <= 20 })
	f("a type", look.Listing{Match: func(typ string) bool { return typ == "type.1" }},
		func(seq uint64) bool { return seq%2 == 0 })
}

// After a sweep of what was delivered the looks go on with what is left.
func TestLookAfterSweep(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	a := f.lane("a")
	const n = 300 // more than a search by time passes of deleted records in a step
	for range n {
		f.append("t", a)
	}
	f.fetch(a, n)
	kept := []uint64{2, n - 1}
	for seq := uint64(1); seq <= n; seq++ {
		if slices.Contains(kept, seq) {
			f.settle(a, seq, spool.Retry)
		} else {
			f.Settle(outcome(a, seq, spool.Delivered))
		}
	}
	f.pass(2 * time.Hour)
	f.swept(n)
	newest := f.append("t", a).Seq
	if got := seqs(f.search(look.Query{Limit: 9})); !slices.Equal(got, []uint64{newest, n - 1, 2}) {
		t.Errorf("found %v", got)
	}
	if got := seqs(f.search(look.Query{Until: acceptedAt(n), Limit: 9})); !slices.Equal(got,
		[]uint64{n - 1, 2}) {
		t.Errorf("until before the newest: %v", got)
	}
	got := seqs(f.list(look.Listing{Lane: a.ID(), State: record.StatePending,
		Since: acceptedAt(n - 50), Limit: 9}))
	if !slices.Equal(got, []uint64{n - 1, newest}) {
		t.Errorf("listed since %d: %v", n-50, got)
	}
	if _, err := look.Event(f.Records(), 1); err == nil {
		t.Error("event 1 is still there")
	}
}

// swept sweeps until the log is looked at up to a sequence.
func (f *fixture) swept(seq uint64) {
	f.t.Helper()
	ticker := time.NewTicker(20 * time.Millisecond) // a checkpoint comes within 50 ms
	defer ticker.Stop()
	for deadline := time.Now().Add(testPatience); f.Swept() < seq; <-ticker.C {
		if err := f.Sweep(f.now); err != nil || time.Now().After(deadline) {
			f.t.Fatalf("swept up to %d, %v; want %d", f.Swept(), err, seq)
		}
	}
}

// An event is found by its id, whoever made that, and by nothing like it.
func TestEventByID(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	a := f.lane("a")
	made := f.append("made", a)
	given := &spool.Draft{ID: "order-7", Given: true, Type: "given", At: f.now,
		Note: []record.LaneID{a.ID()}}
	if err := f.Append(given); err != nil {
		t.Fatal(err)
	}
	for _, d := range []*spool.Draft{made, given} {
		e, err := look.EventByID(f, d.ID)
		if err != nil || e.Seq != d.Seq || e.ID() != d.ID {
			t.Errorf("by id %q: %v, %v", d.ID, e, err)
		}
	}
	other := made.ID[:len(made.ID)-1] + string('0'+(made.ID[len(made.ID)-1]-'0'+1)%10)
	for _, id := range []string{"", "order", "order-77", other, strings.ToUpper(made.ID)} {
		if e, err := look.EventByID(f, id); err != spool.ErrNotFound {
			t.Errorf("by id %q: %v, %v; want %v", id, e, err, spool.ErrNotFound)
		}
	}
}

// A page looks at so much of the log and no more, and says where the next one goes on.
func TestSearchIsBounded(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	a := f.lane("a")
	const n = 2500
	drafts := make([]*spool.Draft, n)
	for i := range drafts {
		drafts[i] = &spool.Draft{Type: "t", At: f.now, Note: []record.LaneID{a.ID()}}
	}
	drafts[0].Type = "oldest"
	if err := f.Append(drafts...); err != nil {
		t.Fatal(err)
	}
	q := look.Query{Limit: 5, Match: func(typ string) bool { return typ == "oldest" }}
	found, next, err := look.Search(f, q)
	if len(found) != 0 || next == 0 || err != nil {
		t.Fatalf("the first page has %d events and goes on below %d, %v", len(found), next, err)
	}
	q.Below = next
	found, next, err = look.Search(f, q)
	if len(found) != 1 || found[0].Seq != 1 || next != 0 || err != nil {
		t.Errorf("the second page has %d events and goes on below %d, %v", len(found), next, err)
	}
}

// Small state is read as it was committed last.
func TestSmallState(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	f.append("known", f.lane("a"))
	if got := look.SmallState(f.Records(), []byte("known")); string(got) != "payload of known" {
		t.Errorf("it is %q", got)
	}
	if got := look.SmallState(f.Records(), []byte("unknown")); got != nil {
		t.Errorf("what nobody put is %q", got)
	}
}

// The first of an order is the oldest of it that is pending beside the log; what is gone before it
// is passed within bounds.
func TestFirstOf(t *testing.T) {
	t.Parallel()
	f := open(t, nil)
	l := f.lane("crm")
	const n = 20
	for range n {
		f.append("message", l)
	}
	f.fetch(l, n)
	for seq := uint64(1); seq <= n; seq++ {
		st := outcome(l, seq, spool.Retry)
		st.Order = 7 + seq%2
		f.Settle(st)
	}
	f.Barrier()
	check := func(order, want uint64) {
		t.Helper()
		got, found, err := look.FirstOf(f.Records(), l.ID(), order)
		if err != nil || found != (want > 0) || got.Seq != want || found && got.Attempts != 1 {
			t.Errorf("the first of order %d is %+v, %v, %v; want %d", order, got, found, err, want)
		}
	}
	check(7, 2)
	check(8, 1)
	check(9, 0)
	for seq := uint64(1); seq < 10; seq += 2 {
		st := outcome(l, seq, spool.Delivered)
		st.Fresh, st.Order = false, 8
		f.Settle(st)
	}
	f.Barrier()
	check(7, 2)
	check(8, 11)
}
