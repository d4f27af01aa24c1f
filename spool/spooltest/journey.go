package spooltest

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

const (
	keepDelivered = time.Hour
	keepExhausted = 2 * time.Hour
	dedupeWindow  = 3 * time.Hour
	turnTTL       = 1000 * time.Hour
	awayMax       = 30 * time.Second // how long an engine's servers may be away
)

// journey is the life of one spool over crashes and restarts. Each step is made in the spool and in
// the ledger; check compares them.
type journey struct {
	testing.TB
	*spool.Spool
	bed    Bed
	ledger *ledger
	nanos  atomic.Int64 // now: read by the spool's goroutines
	names  []string
	total  int // events made
	closed bool
}

// note is what a draft tells Decide, and what Decide has seen.
type note struct {
	owe  []spool.LaneID
	conv string
	seen int // turns of the conversation before this one
	// visit, when set, looks at the small state by itself.
	visit func(*spool.View)
}

// begin opens a new spool with some lanes.
func begin(tb testing.TB, bed Bed, names ...string) *journey {
	tb.Helper()
	j := &journey{TB: tb, bed: bed, ledger: newLedger()}
	j.nanos.Store(time.Unix(1_700_000_000, 0).UnixNano())
	j.ledger.swept = j.now().Add(-keepDelivered)
	j.open()
	tb.Cleanup(func() {
		if !j.closed {
			_ = j.Spool.Close()
		}
	})
	for _, name := range names {
		j.addLane(name)
	}
	return j
}

func (j *journey) now() time.Time { return time.Unix(0, j.nanos.Load()) }

// tryOpen opens the spool on what the bed holds.
func (j *journey) tryOpen() error {
	o := spool.Options{Log: slog.New(slog.NewTextHandler(logWriter{j.TB}, nil)), Now: j.now,
		Decide: decide, Limits: spool.Limits{KeepDelivered: keepDelivered,
			KeepExhausted: keepExhausted, DedupeWindow: dedupeWindow}}
	j.bed.Prepare(&o)
	s, err := spool.Open(o)
	if err != nil {
		return err
	}
	s.Start()
	j.Spool, j.closed = s, false
	return nil
}

func (j *journey) open() {
	j.Helper()
	j.closed = true
	if err := j.tryOpen(); err != nil {
		j.Fatalf("cannot open: %v", err)
	}
}

// decide owes an event to the lanes of its note, and counts the turns of its conversation.
func decide(v *spool.View, d *spool.Draft) {
	n := d.Note.(*note)
	for _, id := range n.owe {
		d.Owe(id)
	}
	if n.visit != nil {
		n.visit(v)
	}
	if n.conv == "" {
		return
	}
	n.seen = len(v.Get([]byte(n.conv)))
	v.Put([]byte(n.conv), make([]byte, n.seen+1), turnTTL)
	d.Session = spool.SessionInactive
	if n.seen > 0 {
		d.Session = spool.SessionActive
	}
}

type logWriter struct{ testing.TB }

func (w logWriter) Write(p []byte) (int, error) {
	w.Logf("%s", strings.TrimSpace(string(p)))
	return len(p), nil
}

func (j *journey) addLane(name string) {
	j.Helper()
	l, err := j.Lane(name)
	if err != nil {
		j.Fatal(err)
	}
	l.Open(true)
	j.names = append(j.names, name)
	j.ledger.lanes[name] = newLaneLedger()
}

func (j *journey) lane(name string) *spool.Lane {
	j.Helper()
	for _, l := range j.Lanes() {
		if l.Name() == name {
			return l
		}
	}
	j.Fatalf("there is no lane %s any more", name)
	return nil
}

// draft is a new event for some lanes.
func (j *journey) draft(names ...string) *spool.Draft {
	j.Helper()
	j.total++
	n := new(note)
	for _, name := range names {
		n.owe = append(n.owe, j.lane(name).ID())
	}
	payload := []byte(fmt.Sprintf("event %d", j.total))
	return &spool.Draft{Type: fmt.Sprint("type-", j.total%3), ContentType: "text/plain",
		Payload: payload, Hash: sha256.Sum256(payload), At: j.now(), Note: n}
}

// append spools drafts and enters them into the ledger.
// Append appends again while nobody can, as a sender does: an engine that others share takes a
// machine that stands still for servers that do.
func (j *journey) Append(drafts ...*spool.Draft) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for end := time.Now().Add(awayMax); ; <-ticker.C {
		err := j.Spool.Append(drafts...)
		if !errors.Is(err, spool.ErrUnavailable) || time.Now().After(end) {
			return err
		}
	}
}

func (j *journey) append(drafts ...*spool.Draft) {
	j.Helper()
	if err := j.Append(drafts...); err != nil {
		j.Fatalf("cannot append %d events: %v", len(drafts), err)
	}
	for _, d := range drafts {
		if d.Seq != 0 && !d.Duplicate {
			j.enter(d)
		}
	}
}

// enter notes an event that was acknowledged.
func (j *journey) enter(d *spool.Draft) {
	j.Helper()
	if j.ledger.events[d.Seq] != nil {
		j.Fatalf("sequence %d was given twice", d.Seq)
	}
	n := d.Note.(*note)
	if n.conv != "" {
		if n.seen != j.ledger.turns[n.conv] {
			j.Errorf("event %d has seen %d turns of conversation %s; %d came before", d.Seq, n.seen,
				n.conv, j.ledger.turns[n.conv])
		}
		j.ledger.turns[n.conv] = n.seen + 1
	}
	e := &event{seq: d.Seq, id: d.ID, given: d.Given, typ: d.Type, payload: string(d.Payload),
		at: d.At, session: d.Session, lanes: len(n.owe), owed: make(map[string]*delivery)}
	j.ledger.events[d.Seq] = e
	for _, id := range n.owe {
		name := j.NameOf(id)
		x := &delivery{event: e, state: spool.StatePending}
		e.owed[name] = x
		j.ledger.lanes[name].deliveries[d.Seq] = x
		j.ledger.lanes[name].accepted++
	}
}

// fetch takes up to most deliveries: each is owed, fresh, and the oldest.
func (j *journey) fetch(name string, most int) []*spool.Event {
	j.Helper()
	events, err := j.lane(name).Fetch(most)
	if err != nil {
		j.Fatal(err)
	}
	waiting := j.ledger.lanes[name].in((*delivery).isFresh)
	if len(events) == 0 && len(waiting) > 0 {
		j.Fatalf("lane %s hands out nothing; %d deliveries wait", name, len(waiting))
	}
	for i, e := range events {
		if i >= len(waiting) || e.Seq != waiting[i] {
			j.Fatalf("lane %s handed out event %d as its number %d; what waits is %v", name, e.Seq, i,
				waiting)
		}
		if string(e.Payload()) != j.ledger.events[e.Seq].payload {
			j.Errorf("event %d was handed out with other bytes", e.Seq)
		}
		j.ledger.lanes[name].deliveries[e.Seq].place = flying
	}
	return events
}

// fetchAll takes everything that waits.
func (j *journey) fetchAll(name string) (seqs []uint64) {
	j.Helper()
	for {
		events := j.fetch(name, 7)
		if len(events) == 0 {
			return seqs
		}
		for _, e := range events {
			seqs = append(seqs, e.Seq)
		}
	}
}

// outcome is a settlement of what the ledger knows of a delivery.
func (j *journey) outcome(name string, seq uint64, v spool.Verdict) spool.Settlement {
	j.Helper()
	d := j.ledger.lanes[name].deliveries[seq]
	st := spool.Settlement{Lane: j.lane(name).ID(), Seq: seq, AcceptedAt: d.event.at,
		Fresh: d.isFlying(), Verdict: v, Attempts: d.attempts + 1, Due: j.ledger.tick + 1, At: j.now(),
		FirstFailed: d.firstFailed, Replay: d.replay, Order: d.order}
	switch v {
	case spool.Delivered:
		st.Status = 200 + int(seq%3)
		st.Made.Duration = time.Duration(seq%100+1) * 5 * time.Millisecond
	case spool.Withheld:
		st.Attempts = d.attempts
		st.Error = "withheld"
	case spool.Held:
		st.Attempts = d.attempts
	case spool.Retry, spool.Exhausted:
		st.Status, st.Error = 500, "500 Internal Server Error"
	}
	return st
}

// settle notes an outcome, and waits for it unless it costs no write.
func (j *journey) settle(name string, seq uint64, v spool.Verdict) {
	j.Helper()
	st := j.outcome(name, seq, v)
	var err error
	switch {
	case st.Fresh && v == spool.Delivered:
		j.Settle(st)
	case seq%3 == 0: // what a relay does: it does not wait by itself
		j.Settle(st)
		err = j.Apply(spool.Change{})
	default:
		err = j.Apply(spool.Change{Settle: j.twice(st)})
	}
	if err != nil {
		j.Fatal(err)
	}
	j.ledger.lanes[name].deliveries[seq].settle(&st)
}

// twice is an outcome that comes twice in one commit where that is harmless: once the delivery is
// settled.
func (j *journey) twice(st spool.Settlement) []spool.Settlement {
	if st.Verdict == spool.Delivered || st.Verdict == spool.Exhausted {
		return []spool.Settlement{st, st}
	}
	return []spool.Settlement{st}
}

// beat begins a tick.
func (j *journey) beat() uint64 {
	j.Helper()
	j.ledger.tick++
	number, err := j.Beat(j.now())
	if err != nil {
		j.Fatal(err)
	}
	if number != j.ledger.tick {
		j.Errorf("a tick is number %d; want %d", number, j.ledger.tick)
	}
	return number
}

// job is one pass over what is due, a few at a time; verdict tells what becomes of each, ok whether
// it is attempted at all. What is settled meanwhile is never handed out in the same pass.
func (j *journey) job(name string, verdict func(spool.Delivery) (v spool.Verdict, ok bool)) {
	j.Helper()
	tick := j.beat()
	lane := j.ledger.lanes[name]
	want := lane.in(func(d *delivery) bool { return d.isFailed() && d.due <= tick })
	due := j.lane(name).Due(tick)
	for {
		page, err := due.Next(2)
		if err != nil {
			j.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, x := range page {
			seq := x.Event.Seq
			if len(want) == 0 || seq != want[0] {
				j.Fatalf("lane %s: event %d is due at tick %d; the ledger has %v", name, seq, tick, want)
			}
			want = want[1:]
			if d := lane.deliveries[seq]; x.Attempts != d.attempts ||
				!x.FirstFailed.Equal(d.firstFailed) || x.Replay != d.replay {
				j.Errorf("lane %s: event %d is due after %d attempts since %s, replay %v; the ledger has "+
					"%d since %s, %v", name, seq, x.Attempts, x.FirstFailed, x.Replay, d.attempts,
					d.firstFailed, d.replay)
			}
			if v, ok := verdict(x); ok {
				j.settle(name, seq, v)
			}
		}
	}
	if len(want) > 0 {
		j.Fatalf("lane %s: %v are due at tick %d and were not handed out", name, want, tick)
	}
}

// always settles every due delivery alike.
func always(v spool.Verdict) func(spool.Delivery) (spool.Verdict, bool) {
	return func(spool.Delivery) (spool.Verdict, bool) { return v, true }
}

// replay asks for a delivery again.
func (j *journey) replay(name string, seq uint64) {
	j.Helper()
	lane := j.ledger.lanes[name]
	d := lane.deliveries[seq]
	ref := spool.Ref{Lane: j.lane(name).ID(), Seq: seq}
	n, err := j.Replay(ref, ref)
	switch {
	case d.isPurged():
		if !errors.Is(err, spool.ErrNotFound) {
			j.Errorf("a purged delivery was replayed: %v", err)
		}
		return
	case err != nil:
		j.Fatal(err)
	case d.isPending():
		if n != 0 {
			j.Errorf("a pending delivery was replayed")
		}
		return
	case n != 1:
		j.Fatalf("replayed %d deliveries of event %d; want 1", n, seq)
	}
	if d.isDelivered() {
		lane.replayed++
	}
	// It is beside the log from now on, whatever a crash forgets of the delivery before.
	*d = delivery{event: d.event, state: spool.StatePending, place: failed, replay: true}
}

// purge deletes the deliveries in a state: one, or all.
func (j *journey) purge(name string, state spool.State, seq uint64) {
	j.Helper()
	gone := j.ledger.lanes[name].in(func(d *delivery) bool {
		return d.state == state && !d.expired && (seq == 0 || d.event.seq == seq)
	})
	n, err := j.lane(name).Purge(context.Background(), spool.Purge{State: state, Seq: seq})
	if err != nil || n != uint64(len(gone)) {
		j.Fatalf("purged %d deliveries of lane %s, %v; want %v", n, name, err, gone)
	}
	for _, seq := range gone {
		j.ledger.lanes[name].deliveries[seq].state = spool.StatePurged
	}
}

// release gives back what was handed out, from a sequence on.
func (j *journey) release(name string, seq uint64) {
	j.Helper()
	j.lane(name).Release(seq)
	for _, seq := range j.ledger.lanes[name].in(func(d *delivery) bool {
		return d.isFlying() && d.event.seq >= seq
	}) {
		j.ledger.lanes[name].deliveries[seq].place = fresh
	}
}

// pass lets time pass, and sweeps.
func (j *journey) pass(d time.Duration) {
	j.Helper()
	j.nanos.Add(int64(d))
	j.bed.Pass(d)
	j.ledger.swept = j.now() // the keeper sweeps as well
	if err := j.Sweep(j.now()); err != nil {
		j.Fatal(err)
	}
	j.ledger.expire(j.now())
}

// reopen closes the spool cleanly and opens it again: nothing settled comes back.
func (j *journey) reopen() {
	j.Helper()
	j.closed = true
	if err := j.Spool.Close(); err != nil {
		j.Fatalf("cannot close: %v", err)
	}
	j.restart()
	for _, lane := range j.ledger.lanes {
		for _, d := range lane.deliveries {
			d.unsure = false
		}
	}
}

func (j *journey) restart() {
	j.Helper()
	j.open()
	j.ledger.restarted()
	for i, name := range j.names {
		j.lane(name).Open(i%2 == 0) // one that nobody has opened yet can be fetched from as well
	}
}

// crash leaves what is committed, and opens the spool again.
func (j *journey) crash() {
	j.Helper()
	j.kill()
	j.restart()
	j.recall()
}

func (j *journey) kill() {
	j.closed = true
	j.bed.Crash(j.Spool)
	j.bed.FailCommit(0, false)
}

// recall learns what a crash has forgotten: deliveries that succeeded at once come again.
func (j *journey) recall() {
	j.Helper()
	for name, lane := range j.ledger.lanes {
		for seq, d := range lane.deliveries {
			if !d.unsure {
				continue
			}
			e, err := look.Event(j.Records(), seq)
			d.unsure = false
			if errors.Is(err, spool.ErrNotFound) && j.ledger.mayGo(d.event) {
				continue
			}
			if err != nil {
				j.Fatalf("event %d is owed to lane %s or was delivered just now: %v", seq, name, err)
			}
			if j.places(e)[name].State == spool.StatePending {
				d.state, d.place, d.attempts = spool.StatePending, fresh, 0
			}
		}
	}
}

// drain delivers everything.
func (j *journey) drain() {
	j.Helper()
	for _, name := range j.names {
		j.fetchAll(name)
		for _, seq := range j.ledger.lanes[name].in((*delivery).isFlying) {
			j.settle(name, seq, spool.Delivered)
		}
		j.job(name, always(spool.Delivered))
	}
	j.check()
	for _, name := range j.names {
		if n := j.lane(name).Counts().Pending; n != 0 {
			j.Errorf("lane %s has %d pending after everything was delivered", name, n)
		}
	}
}
