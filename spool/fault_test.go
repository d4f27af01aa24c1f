package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
)

var errInjected = errors.New("injected fault")

// faultPlan fails calls of the seam from the failAt-th on.
type faultPlan struct {
	failAt  int
	forever bool // or only that one
	done    bool // the call does its work and reports a failure all the same

	mu      sync.Mutex // guards below: committer and journey both make calls
	calls   int
	tripped string // the call that failed first
}

func (p *faultPlan) seam(call string, do func() error) error {
	if !p.fails(call) {
		return do()
	}
	if p.done {
		return errors.Join(do(), errInjected)
	}
	return errInjected
}

func (p *faultPlan) fails(call string) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls++
	if p.failAt == 0 || p.calls < p.failAt || p.calls > p.failAt && !p.forever {
		return false
	}
	if p.tripped == "" {
		p.tripped = call
	}
	return true
}

// states is a set of State: what a delivery may be after a crash.
type states uint8

func only(s State) states { return 1 << s }

// oracle is what a spool may say after a fault: certain about everything that was acknowledged, and
// open about the one step that was not.
type oracle struct {
	events  map[string]*oracleEvent
	failed  map[string][]int // lane → numbers of failed jobs that its standing may have
	notices []int            // how many may be owed
}

type oracleEvent struct {
	body   []byte
	acked  bool
	batch  string
	states map[string]states
}

// faultJourney is one life of a spool up to the first error: a process that stops.
type faultJourney struct {
	t    *testing.T
	s    *Spool
	dir  string
	now  time.Time
	plan *faultPlan
	o    *oracle
}

func newFaultJourney(t *testing.T, plan *faultPlan) *faultJourney {
	return &faultJourney{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0),
		plan: plan, o: &oracle{events: map[string]*oracleEvent{},
			failed: map[string][]int{"a": {0}, "b": {0}}, notices: []int{0}}}
}

func (j *faultJourney) open() error {
	s, err := Open(Options{Dir: j.dir, Log: slog.New(slog.NewTextHandler(io.Discard, nil)),
		Decide: func(_ *View, d *Draft) {
			for _, name := range d.Note.([]string) {
				d.Owe(j.s.byName[name].id)
			}
		},
		Limits: Limits{KeepExhausted: time.Hour, DedupeWindow: time.Hour},
		Now:    func() time.Time { return j.now }, seam: j.plan.seam})
	if err != nil {
		return err
	}
	j.s = s
	// The keeper's loop would make calls at instants of its own; the journey calls it by hand.
	s.running.Go(s.commitLoop)
	for _, name := range []string{"a", "b"} {
		l, err := s.Lane(name)
		if err != nil {
			return err
		}
		l.Open(true)
	}
	return nil
}

// leave ends the process: whatever Close does, the engine's lock must be free for the next.
func (j *faultJourney) leave() error {
	if j.s == nil {
		return nil
	}
	err := j.s.Close()
	if cerr := j.s.disk.DB.Close(); cerr != nil && err == nil {
		err = cerr
	}
	j.s = nil
	return err
}

// accept appends events, each for some lanes; with more than one they are a batch.
func (j *faultJourney) accept(bytesEach int, lanes []string, ids ...string) error {
	var drafts []*Draft
	for _, id := range ids {
		body := bytes.Repeat([]byte(id+" "), bytesEach/(len(id)+1)+1)
		e := j.o.events[id]
		if e == nil {
			e = &oracleEvent{body: body, batch: ids[0], states: map[string]states{}}
			j.o.events[id] = e
			for _, name := range lanes {
				e.states[name] = only(StatePending)
			}
		}
		drafts = append(drafts, &Draft{ID: id, Given: true, Hash: sha256.Sum256(e.body),
			Payload: e.body, At: j.now.Add(-time.Minute), Note: lanes})
	}
	if err := j.s.Append(drafts...); err != nil {
		return err
	}
	for i, id := range ids {
		e := j.o.events[id]
		if e.acked && !drafts[i].Duplicate {
			j.t.Errorf("event %s was acknowledged, but its id is not remembered", id)
		}
		e.acked = true
	}
	return nil
}

// become settles the delivery of an event; until that is acknowledged it may be in either state.
func (j *faultJourney) become(id, lane string, fresh bool, to Verdict, more func(*Change)) error {
	l := j.s.byName[lane]
	e, err := look.EventByID(j.s, id)
	if err != nil {
		return err
	}
	state := map[Verdict]State{Delivered: StateDelivered, Retry: StatePending,
		Exhausted: StateExhausted}[to]
	j.o.events[id].states[lane] |= only(state)
	st := Settlement{Lane: l.id, Seq: e.Seq, AcceptedAt: e.At, Fresh: fresh, Verdict: to, Attempts: 3,
		Due: 2, At: j.now, Status: 500, Error: "500"}
	if fresh && to == Delivered {
		j.s.Settle(st) // costs no write; a crash may repeat it
		return nil
	}
	c := Change{Settle: []Settlement{st}}
	if more != nil {
		more(&c)
	}
	if err := j.s.Apply(c); err != nil {
		return err
	}
	j.o.events[id].states[lane] = only(state)
	return nil
}

func (j *faultJourney) fetch(lane string, n int) error {
	for n > 0 {
		events, err := j.s.byName[lane].Fetch(n)
		if err != nil {
			return err
		}
		n -= len(events)
	}
	return nil
}

// steps is the whole life: accept, batch, deliver, fail, retry, exhaust, defect, replay, sweep,
// flush, restart.
func (j *faultJourney) steps() []func() error {
	a, b, ab := []string{"a"}, []string{"b"}, []string{"a", "b"}
	return []func() error{
		j.open,
		func() error { return j.accept(100, ab, "one") },
		func() error { return j.accept(100, a, "two") },
		func() error { return j.accept(100, b, "three") },
		// More than one transaction holds.
		func() error { return j.accept(900_000, a, "big1", "big2", "big3", "big4") },
		func() error { return j.fetch("a", 6) },
		func() error { return j.fetch("b", 2) },
		func() error { return j.become("one", "a", true, Delivered, nil) },
		func() error { return j.become("two", "a", true, Retry, nil) },
		func() error { return j.become("one", "b", true, Retry, nil) },
		func() error { return j.s.Apply(Change{Tick: &record.Tick{At: j.now}}) },
		j.defect,
		func() error { return j.become("three", "b", true, Exhausted, nil) },
		func() error { return j.replay("three", "b") },
		func() error { return j.become("three", "b", false, Delivered, nil) },
		func() error { return j.become("big1", "a", true, Delivered, nil) },
		func() error { return j.become("big2", "a", true, Delivered, nil) },
		func() error { j.s.keep(time.Now()); return j.s.Err() },
		func() error {
			j.s.disk.Swept(1<<40, 0)
			at := time.Now()
			err := j.s.engine.Reclaim(at, j.s.Head(), j.s.between) // sees it
			return errors.Join(err, j.s.engine.Reclaim(at.Add(time.Hour), j.s.Head(), j.s.between))
		},
		func() error { return j.accept(100, ab, "four") },
		j.leave,
		j.open,
		func() error { return j.accept(100, ab, "five", "six") },
		func() error { return j.become("two", "a", false, Delivered, nil) },
		func() error { j.s.keep(time.Now()); return j.s.Err() },
		j.leave,
	}
}

// defect is a job's last outcome with its verdict: exhausted, standing and notice at once.
func (j *faultJourney) defect() error {
	j.o.failed["b"], j.o.notices = []int{0, 101}, []int{0, 1}
	l := j.s.byName["b"]
	err := j.become("one", "b", false, Exhausted, func(c *Change) {
		c.Standing, c.StandingOf = &record.Standing{FailedJobs: 101, DefectiveSince: j.now}, l.id
		c.Owe = []Notice{{Lane: l.id, Episode: 1, Body: []byte("mail")}}
	})
	if err == nil {
		j.o.failed["b"], j.o.notices = []int{101}, []int{1}
	}
	return err
}

func (j *faultJourney) replay(id, lane string) error {
	e, err := look.EventByID(j.s, id)
	if err != nil {
		return err
	}
	j.o.events[id].states[lane] |= only(StatePending)
	if _, err := j.s.Replay(record.Ref{Lane: j.s.byName[lane].id, Seq: e.Seq}); err != nil {
		return err
	}
	j.o.events[id].states[lane] = only(StatePending)
	return nil
}

// live takes the steps up to the first error, and then asserts that the spool stays stopped.
func (j *faultJourney) live() error {
	for _, step := range j.steps() {
		err := step()
		if err == nil {
			continue
		}
		if j.s != nil && j.s.Err() != nil {
			if again := j.accept(10, []string{"a"}, "after"); !errors.Is(again, ErrFailed) {
				j.t.Errorf("after a fault in %q the spool answered %v", j.plan.tripped, again)
			}
		}
		return errors.Join(err, j.leave())
	}
	return nil
}

// recover starts again, with a fault at one of the calls of the start, then without.
func (j *faultJourney) recover(failAt int) {
	j.t.Helper()
	j.plan = &faultPlan{failAt: failAt, done: failAt%2 == 0}
	if failAt > 0 && j.open() != nil {
		_ = j.leave()
	}
	if j.s == nil {
		j.plan = &faultPlan{}
		if err := j.open(); err != nil {
			j.t.Fatalf("cannot start after the fault: %v", err)
		}
	}
	// The rest of the life is without faults.
	j.plan.mu.Lock()
	j.plan.failAt = 0
	j.plan.mu.Unlock()
}

// check holds the spool against the oracle.
func (j *faultJourney) check() {
	j.t.Helper()
	found := map[string]int{} // batch → events of it that were not acknowledged and are there
	for id, o := range j.o.events {
		e, err := look.EventByID(j.s, id)
		switch {
		case err == nil && !bytes.Equal(e.Payload(), o.body):
			j.t.Errorf("event %s has other bytes", id)
		case err == nil && !o.acked:
			found[o.batch]++
		case err != nil && o.acked && !o.mayBeSwept():
			j.t.Errorf("event %s was acknowledged and is lost: %v", id, err)
		}
		for lane, allowed := range o.states {
			if err != nil || !o.acked {
				continue
			}
			if state := stateOf(j.t, j.s.byName[lane], e); only(state)&allowed == 0 {
				j.t.Errorf("delivery of %s to %s is %s; allowed is %b", id, lane, state, allowed)
			}
		}
	}
	for batch, n := range found {
		if n != j.o.sizeOf(batch) {
			j.t.Errorf("%d events of the unanswered batch %s are spooled, of %d", n, batch,
				j.o.sizeOf(batch))
		}
	}
	for lane, allowed := range j.o.failed {
		if n := j.s.byName[lane].Standing().FailedJobs; !slices.Contains(allowed, n) {
			j.t.Errorf("target %s has %d failed jobs; allowed are %v", lane, n, allowed)
		}
	}
	notices, err := j.s.Notices()
	if err != nil || !slices.Contains(j.o.notices, len(notices)) {
		j.t.Errorf("%d notices are owed, %v; allowed are %v", len(notices), err, j.o.notices)
	}
	j.checkSums()
}

func (e *oracleEvent) mayBeSwept() bool {
	for _, s := range e.states {
		if s&only(StateDelivered) == 0 {
			return false
		}
	}
	return true
}

func (o *oracle) sizeOf(batch string) (n int) {
	for _, e := range o.events {
		if e.batch == batch {
			n++
		}
	}
	return n
}

// checkSums compares what each lane counts with what it lists.
func (j *faultJourney) checkSums() {
	j.t.Helper()
	for name, l := range j.s.byName {
		var pending []look.Found
		for next := uint64(1); next > 0; {
			page, after, err := look.List(j.s, look.Listing{Lane: l.id, State: StatePending, From: next,
				Limit: 1000})
			if err != nil {
				j.t.Fatal(err)
			}
			pending, next = append(pending, page...), after
		}
		exhausted, _, err := look.List(j.s, look.Listing{Lane: l.id, State: StateExhausted,
			Limit: 1000})
		if err != nil {
			j.t.Fatal(err)
		}
		c := l.Counts()
		if c.Pending != uint64(len(pending)) || c.Exhausted != uint64(len(exhausted)) ||
			c.Quarantined != 0 {
			j.t.Errorf("target %s counts %d pending, %d exhausted, %d quarantined; %d and %d are "+
				"listed", name, c.Pending, c.Exhausted, c.Quarantined, len(pending), len(exhausted))
		}
	}
}

// drain sends every event again, as a sender does that had no answer, and delivers everything.
func (j *faultJourney) drain() {
	j.t.Helper()
	for id, o := range j.o.events {
		var lanes []string
		for name := range o.states {
			lanes = append(lanes, name)
		}
		if id == "after" || o.sent() {
			continue
		}
		if err := j.accept(0, lanes, id); err != nil {
			j.t.Fatalf("cannot send %s again: %v", id, err)
		}
	}
	for name, l := range j.s.byName {
		for l.Counts().Fresh > 0 {
			events, err := l.Fetch(100)
			if err != nil || len(events) == 0 {
				j.t.Fatalf("target %s owes %d and hands out none: %v", name, l.Counts().Fresh, err)
			}
			for _, e := range events {
				j.s.Settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, At: j.now})
			}
		}
		due, err := l.Due(99).Next(1000)
		if err != nil {
			j.t.Fatal(err)
		}
		for _, d := range due {
			st := Settlement{Lane: l.id, Seq: d.Event.Seq, At: j.now}
			if err := j.s.Apply(Change{Settle: []Settlement{st}}); err != nil {
				j.t.Fatal(err)
			}
		}
		if n := l.Counts().Pending; n != 0 {
			j.t.Errorf("target %s has %d pending after the drain", name, n)
		}
	}
	j.checkSums()
}

// sent reports whether there is no sender left who would send the event again.
func (e *oracleEvent) sent() bool { return e.acked && len(e.body) > 100_000 }

// faultStep is how many calls lie between two that fail under the race detector; the first one is
// another in each run.
const faultStep = 6

// TestFaultAtEveryCall makes the first, second, third … call to the disk fail, once or from then
// on, before its work or after it, through a whole life of a spool; then starts again, with a fault
// in that start as well, and holds the whole ledger against the oracle.
func TestFaultAtEveryCall(t *testing.T) {
	for mode := range 4 {
		forever, done := mode&1 > 0, mode&2 > 0
		t.Run(fmt.Sprintf("forever=%v,done=%v", forever, done), func(t *testing.T) {
			t.Parallel()
			step := effort.Rounds(1, faultStep)
			for n := 1 + rand.IntN(step); ; n += step {
				plan := &faultPlan{failAt: n, forever: forever, done: done}
				j := newFaultJourney(t, plan)
				err := j.live()
				if plan.tripped == "" {
					if err != nil {
						t.Fatalf("a life without a fault failed: %v", err)
					}
					t.Logf("up to %d calls to the disk, every %d. made to fail", n-1, step)
					break
				}
				j.recover(n % 5)
				j.check()
				j.drain()
				if err := j.leave(); err != nil {
					t.Errorf("cannot close: %v", err)
				}
				if t.Failed() {
					t.Fatalf("call %d (%s) failed; the life ended with: %v", n, plan.tripped, err)
				}
			}
		})
	}
}

// What the engine reports in its log only is counted, with the instant of the last.
func TestEngineErrors(t *testing.T) {
	f := open(t)
	if n, _ := f.EngineErrors(); n != 0 {
		t.Fatalf("%d errors at the start", n)
	}
	before := time.Now()
	f.disk.DB.Opts().Logger.Errorf("something failed: %d", 1)
	if n, last := f.EngineErrors(); n != 1 || last.Before(before) || last.After(time.Now()) {
		t.Errorf("%d errors, the last at %s", n, last)
	}
}
