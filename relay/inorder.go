package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"math"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/relay/line"
	"github.com/hookspool/hookspool/spool"
)

// seenMax bounds the orders that a job remembers; for those beyond it asks the spool.
const seenMax = 64 << 10

// orderOf says what the orders of a target's deliveries are; nil: they have none.
func orderOf(t *config.Target) (func(*spool.Event) uint64, error) {
	switch {
	case t.Order.All:
		return func(*spool.Event) uint64 { return line.OfAll }, nil
	case t.Order.By == "":
		return nil, nil
	}
	by, err := jq.Compile(t.Order.By)
	if err != nil {
		return nil, fmt.Errorf("cannot use the order of target %q: %w", t.Name, err)
	}
	return func(e *spool.Event) uint64 {
		return orderNumber(orderValue(by, e.Payload(), &jq.Vars{Type: e.Type(), ID: e.ID(),
			Session: e.Session.String()}))
	}, nil
}

// orderValue is what a program gives for an event, as JSON; nil: nothing, or null, and the event
// waits for none.
func orderValue(by *jq.Program, payload []byte, vars *jq.Vars) []byte {
	parsed, err := jq.Parse(payload)
	if err != nil {
		return nil
	}
	value, ok, err := by.First(context.Background(), parsed, vars)
	if err != nil || !ok || value == nil {
		return nil
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil
	}
	return text
}

// orderNumber is a number for a value, the same at each start. Two values may have one; then one
// waits for the other.
func orderNumber(value []byte) uint64 {
	if value == nil {
		return 0
	}
	hash := fnv.New64a()
	hash.Write(value)
	return max(hash.Sum64(), line.OfAll+1)
}

// valueShownMax is how much of a value an explanation shows.
const valueShownMax = 100

// orderNote is what an explanation says of the order of a target.
func orderNote(t *config.Target, d *spool.Draft) string {
	if t.Order.All {
		return "it would wait for all that is pending for the target"
	}
	if t.Order.By == "" {
		return ""
	}
	by, err := jq.Compile(t.Order.By)
	if err != nil {
		return "" // a config that was loaded has none
	}
	value := orderValue(by, d.Payload, &jq.Vars{Type: d.Type, ID: d.ID, Session: d.Session.String()})
	if value == nil {
		return "it has no value for its order (" + t.Order.By + "), so it would wait for none"
	}
	if len(value) > valueShownMax {
		value = append(value[:valueShownMax:valueShownMax], "…"...)
	}
	return "it would wait for what is pending with " + t.Order.By + " = " +
		strings.ToValidUTF8(string(value), "\uFFFD")
}

// lineLane is a lane as its lines know it.
type lineLane struct {
	*spool.Lane
	r *Relay
}

// Stands is part of line.Lane.
func (l lineLane) Stands(order uint64) bool {
	return spool.Line{Lane: l.Lane, Order: order}.Stands()
}

// First is part of line.Lane.
func (l lineLane) First(order, tick, except uint64) (*spool.Delivery, error) {
	return spool.Line{Lane: l.Lane, Order: order}.First(tick, except)
}

// Barrier is part of line.Lane.
func (l lineLane) Barrier() { l.r.spool.Barrier() }

// Settle is part of line.Lane.
func (l lineLane) Settle(st spool.Settlement) { l.r.spool.Settle(st) }

func newLines(r *Relay, s *spool.Lane) *line.Lines {
	return line.New(line.Options{Lane: lineLane{s, r}, ID: s.ID(),
		Now:  func() time.Time { return r.now() },
		Tick: func() uint64 { return r.spool.LastTick().Number },
		Log:  r.log.With("target", s.Name())})
}

// held reports whether nothing fresh may be sent, because all of a target's deliveries are one line
// and one of them is pending beside the log.
func (w *work) held(l *lane, tenure uint64) bool {
	return w.target.Order.All && l.lines.Held(tenure)
}

// linedUp reports whether what is pending beside the log stands in line by the target's order.
func (w *work) linedUp(l *lane) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.memo.Order == w.lineText()
}

// lineText is the order as a memo has it.
func (w *work) lineText() string {
	if w == nil || w.target.Order == (config.Order{}) {
		return ""
	}
	return w.target.Order.String()
}

// lineUp gives what is pending beside the log its places by the target's order, if it has another
// one than they were given by. What is in flight gets its own when it fails.
func (w *work) lineUp(l *lane) error {
	if w == nil || w.linedUp(l) {
		return nil
	}
	l.listing.Lock()
	defer l.listing.Unlock()
	tenure := l.tenure.Load()
	moved := 0
	l.r.spool.Barrier() // what has failed by now is there
	due := l.spool.Due(math.MaxUint64)
	for !w.linedUp(l) {
		if closed(l.r.stopping) || l.tenure.stale(tenure) {
			return nil // nothing is tried any more
		}
		page, err := due.Next(jobPage)
		if err != nil {
			return err
		}
		for i := range page {
			moved += w.move(l, &page[i])
		}
		if len(page) == 0 {
			break
		}
	}
	return w.noteOrder(l, tenure, moved)
}

// move gives a delivery its place, and counts it if that is another one.
func (w *work) move(l *lane, d *spool.Delivery) int {
	order := uint64(0)
	if w.orderOf != nil {
		order = w.orderOf(d.Event)
	}
	if order == d.Order {
		return 0
	}
	l.r.spool.Settle(spool.Settlement{Lane: l.spool.ID(), Seq: d.Event.Seq, Verdict: spool.Held,
		AcceptedAt: d.Event.At, Attempts: d.Attempts, Order: order})
	return 1
}

// noteOrder remembers by which order what is pending stands in line.
func (w *work) noteOrder(l *lane, tenure uint64, moved int) error {
	l.r.spool.Barrier()
	l.mu.Lock()
	if l.tenure.stale(tenure) || l.memo.Order == w.lineText() {
		l.mu.Unlock()
		return nil
	}
	l.memo.Order = w.lineText()
	wait := l.r.spool.Begin(spool.Change{Memos: []spool.Memo{l.memo.of(l.spool)}})
	l.mu.Unlock()
	if moved > 0 {
		l.r.log.Info("what is pending for a target stands in line by another order from now on",
			"target", l.name, "order", w.target.Order.String(), "deliveries", moved)
	}
	return wait()
}

// orderOfDue is the order of what has failed before.
func (w *work) orderOfDue(d *spool.Delivery) uint64 {
	if d.Order == 0 && w != nil && w.orderOf != nil {
		return w.orderOf(d.Event)
	}
	return d.Order
}

// heads reports whether what is due may be tried as the first of its line, and begins that. The
// page that it comes from may be older than what became of it; t is as it is now.
func (j *job) heads(t *task, tick uint64, listed bool) bool {
	if t.order == 0 {
		return true
	}
	if j.seen[t.order] {
		return false
	}
	if len(j.seen) < seenMax {
		j.seen[t.order] = true
	}
	if !listed {
		return j.l.lines.Begin(t.place()) // it has failed before its target had an order
	}
	d := j.l.lines.Head(t.place(), tick)
	if d != nil {
		t.take(d)
	}
	return d != nil
}

// orderNow is the order that a delivery has by the config of now. Beside the log it is what the
// spool says.
func (t *task) orderNow(l *lane) uint64 {
	w := l.work.Load()
	if !t.fresh || w == nil || w == t.work {
		return t.order
	}
	if w.orderOf == nil {
		return 0
	}
	return w.orderOf(t.event)
}

func (t *task) place() line.Place { return line.Place{Order: t.order, Tenure: t.tenure} }

// take makes a task that of a delivery.
func (t *task) take(d *spool.Delivery) {
	t.event, t.attempts, t.firstFailed, t.replay = d.Event, d.Attempts, d.FirstFailed, d.Replay
}

// dispatchFresh is dispatch of a delivery that was never tried. One that stands in a line waits
// there.
func (j *job) dispatchFresh(e *spool.Event) bool {
	t := task{event: e, fresh: true, tenure: j.tenure}
	if w := j.l.work.Load(); w != nil && w.orderOf != nil {
		if t.order = w.orderOf(e); w.target.Order.All {
			j.flying.Wait() // one at a time
			if j.over() || w.held(j.l, t.tenure) {
				return false
			}
		}
		if !j.l.lines.Admit(e, t.place()) {
			return true
		}
	}
	if j.send(t) {
		return true
	}
	j.l.lines.Hold(t.place())
	return false
}

// isHead reports whether a delivery that is to be retried early is the first of its line, and
// begins that.
func (t *task) isHead(l *lane) bool {
	if t.order == 0 {
		return true
	}
	d := l.lines.Head(t.place(), math.MaxUint64)
	if d != nil && d.Event.Seq != t.event.Seq {
		l.lines.Hold(t.place())
	}
	return d != nil && d.Event.Seq == t.event.Seq
}

// inOrder settles an attempt of a task that has an order, and is what the worker goes on with.
func (w *worker) inOrder(t *task, r *result) (next task, ok bool) {
	if t.job != nil {
		t.job.flying.Add(1) // the job is not over before the next one is known
	}
	if !r.settled {
		w.settle(t, r)
		r.settled = true
	}
	if !r.cut {
		next, ok = w.nextInLine(t, r.settlement.Verdict.Pending())
	}
	if t.job != nil && (!ok || next.job == nil) {
		t.job.flying.Done()
	}
	return next, ok
}

// nextInLine is what comes after a task in its line. pending: the task's delivery is its first
// still.
func (w *worker) nextInLine(t *task, pending bool) (next task, ok bool) {
	l := w.l
	next = task{order: t.order, tenure: t.tenure, work: l.work.Load()}
	if pending || next.work == nil || closed(l.r.stopping) {
		l.lines.Hold(t.place())
		return next, false
	}
	live := func() bool { return l.status() == Enabled && !l.tenure.stale(t.tenure) && !shut(l) }
	besides, except := live, uint64(0)
	if t.job != nil {
		besides = func() bool { return !t.job.over() }
		except = t.event.Seq // the job holds back its last outcome
	}
	if l.pace.On() && l.lines.Waits(t.place()) && !l.pace.Take(l.r.stopping, besides) {
		l.lines.Hold(t.place())
		return next, false
	}
	d := l.lines.GoOn(t.place(), except, live, besides)
	if d == nil {
		if next.work.target.Order.All {
			l.spool.Wake()
		}
		return next, false
	}
	next.take(&d.Delivery)
	if next.fresh = d.Fresh; !d.Fresh {
		next.job = t.job
	}
	return next, true
}
