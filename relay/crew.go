package relay

import (
	"sync"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/filter"
	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/relay/outlook"
	"github.com/hookspool/hookspool/relay/tally"
	"github.com/hookspool/hookspool/spool"
)

// An attempt that is withheld was none: this machine had no descriptor, memory or port for it,
// there was no credential to be had, or the request cannot be sent at all. It is the target's
// failure in no sum, spends nothing and moves no standing. A want of this machine's is waited out
// by the worker that met it, which keeps its slot, so that a lane without descriptors takes no more
// from the spool than it has workers. The rest waits for a tick.
const (
	// withheldPauseMin to withheldPauseMax is how long a worker waits before it makes the attempt
	// again; each wait is twice the one before.
	withheldPauseMin = 5 * time.Millisecond
	withheldPauseMax = time.Second
	// withheldPatience is how long a worker stays with one delivery. Then it waits for a tick, like
	// one that failed, so that a restart or a pause finds no worker busy with it.
	withheldPatience = time.Minute
	// saySeldom is how often the log says it.
	saySeldom = time.Minute
	// roomSeldom is how often idle connections make room, and roomFor how long none are kept then.
	roomSeldom = 100 * time.Millisecond
	roomFor    = time.Second
)

// workerIdle ends a worker that had nothing to do; a lane at rest has none.
const workerIdle = 5 * time.Second

// crew is a lane's workers: hired when a delivery has a slot but nobody is idle. A worker lines up
// before it gives its slot back, so there are never more of them than slots.
type crew struct {
	mu   sync.Mutex // guards idle
	idle []*worker
}

// worker makes attempts, one after the other.
type worker struct {
	l *lane
	// next has capacity 1; whoever took the worker out of idle sends exactly one task.
	next chan task
}

// hire hands a task to the worker that was idle last, or to a new one.
func (l *lane) hire(t task) {
	l.crew.mu.Lock()
	if n := len(l.crew.idle); n > 0 {
		w := l.crew.idle[n-1]
		l.crew.idle = l.crew.idle[:n-1]
		l.crew.mu.Unlock()
		w.next <- t
		return
	}
	l.crew.mu.Unlock()
	w := &worker{l: l, next: make(chan task, 1)}
	l.r.spawn(func() { w.work(t) })
}

// work is one worker's life.
func (w *worker) work(t task) {
	l := w.l
	idle := time.NewTimer(workerIdle)
	defer idle.Stop()
	for {
		r := w.attempt(&t)
		if t.order != 0 {
			if next, ok := w.inOrder(&t, &r); ok {
				t = next
				continue
			}
		}
		if r.settled && t.with == nil {
			if next, ok := l.next(); ok {
				t = next
				continue
			}
		}
		l.crew.mu.Lock()
		l.crew.idle = append(l.crew.idle, w)
		l.crew.mu.Unlock()
		l.slots.Release()
		if t.with != nil {
			t.with.settle(w)
		} else if !r.settled {
			w.settle(&t, &r)
		}
		idle.Reset(workerIdle)
		select {
		case t = <-w.next:
			continue
		case <-idle.C:
		case <-l.r.stopping:
		}
		if l.crew.leave(w) {
			return
		}
		t = <-w.next
	}
}

// result is what is left to do after an attempt. It is a value, because a closure per delivery is
// an allocation per delivery, and its settlement another.
type result struct {
	settlement spool.Settlement
	// made: the attempt counts. cut: our own stopping cut it off, or another relay has the lane by
	// now, and there is no settlement. settled: it is already, because that cost no write.
	made, cut, settled bool
}

// attempt makes one request and returns what settle needs; of a batch, each part has it. The caller
// gives the slot back in between, so that the next attempt does not wait for the committer.
func (w *worker) attempt(t *task) result {
	if t.with != nil {
		w.together(t)
		return result{}
	}
	if st, old := expired(w.l, t); old {
		if t.job != nil {
			w.l.board.Note(tally.Expired, 0, false, false)
		}
		return result{settlement: st}
	}
	return w.judge(t, w.insist(t))
}

// judge takes the outcome of a request for one of its deliveries.
func (w *worker) judge(t *task, out attempt.Outcome) result {
	l := w.l
	stale := l.tenure.stale(t.tenure)
	switch {
	case out.Kind == attempt.Aborted:
		return result{cut: true}
	case !out.Kind.Made():
		if t.job != nil {
			l.board.Note(out.Kind.String(), 0, false, false)
		}
		if t.job != nil && out.Kind == attempt.Auth && !t.beside {
			t.job.noteAuth()
		}
		return result{cut: stale, settlement: l.settlement(t, &out)}
	}
	if l.noToken.Load() != nil {
		l.noToken.Store(nil)
	}
	ended := l.r.now()
	l.m().observe(&out, t.event.At, ended)
	if l.r.setup.Load().cfg.Log.Deliveries {
		l.logAttempt(t, &out)
	}
	if stale {
		return result{cut: true}
	}
	l.minutes.Attempt(ended, uint8(out.Kind), out.Kind == attempt.Success, out.Duration)
	if out.Kind == attempt.Success {
		l.successes.Add(ended, 1)
		l.pulse.Note(out.Duration, ended)
		l.succeeded(t.event.Seq)
	} else {
		l.failures.Add(ended, 1)
		if !t.beside {
			l.failed(&out)
			heed(l, &out, ended)
			pauseGone(l, &out, ended)
		}
	}
	if t.job != nil {
		t.job.note(&out, t.beside) // before the slot is given back, so that whoever takes it knows
	}
	st := l.settlement(t, &out)
	if t.job == nil && t.fresh && st.Verdict == spool.Delivered {
		l.r.spool.Settle(st)
		return result{settled: true}
	}
	return result{settlement: st, made: true}
}

// settle settles the outcome of an attempt. One that was cut off counts as never made: the next
// start makes it, or the relay that has the lane.
func (w *worker) settle(t *task, r *result) {
	switch {
	case r.made && t.job != nil:
		t.job.finish(r.settlement)
		return
	case r.settlesEarly(t):
		err := w.l.r.spool.Apply(spool.Change{Settle: []spool.Settlement{r.settlement}})
		goOnEarly(w.l, t, r, err)
	case !r.cut:
		w.l.r.spool.Settle(r.settlement)
	case t.early > 0:
		w.l.early.Done(t.event.Seq)
	}
	if !r.made {
		t.landed()
	}
}

// insist makes the attempt of a task, again and again while a want of ours withholds it, as long as
// the lane may send. It is Aborted when the relay stops meanwhile.
func (w *worker) insist(t *task) attempt.Outcome {
	l := w.l
	end := time.Now().Add(l.r.patience)
	for pause := withheldPauseMin; ; pause = min(2*pause, withheldPauseMax) {
		out := w.once(t)
		if out.Kind.Made() || out.Kind == attempt.Aborted {
			return out
		}
		w.withheld(t, &out)
		if out.Want == attempt.WantRoom {
			l.r.makeRoom()
		}
		if out.Want == attempt.WantNone || time.Now().Add(pause).After(end) {
			return out
		}
		if !l.r.waits(pause) {
			return attempt.Outcome{Kind: attempt.Aborted}
		}
		if now := l.work.Load(); now != nil && w.sends(t) && !t.outdated(l) {
			t.work = now // a reload may have mended it
			continue
		}
		return out
	}
}

// sends reports whether the lane may go on with a task.
func (w *worker) sends(t *task) bool {
	if t.job != nil {
		return !t.job.over()
	}
	return !w.l.tenure.stale(t.tenure) && w.l.status() == Enabled && !shut(w.l)
}

// once makes the request of a task.
func (w *worker) once(t *task) attempt.Outcome {
	l := w.l
	req := t.request(l.r.now())
	if t.work.transform != nil && t.with == nil {
		if out := t.work.transformed(l, t, &req); out.Kind != 0 {
			return out
		}
	}
	span := l.r.tracer.Attempt(l.name, &req)
	out := t.work.client.Do(l.r.attempts, &req)
	span.End(&out)
	return out
}

// request is the request of a task, made at an instant.
func (t *task) request(at time.Time) attempt.Request {
	e := t.event
	if t.with != nil {
		return t.with.request(at)
	}
	req := attempt.Request{
		ID: e.ID(), Type: e.Type(), Session: e.Session.String(), ContentType: e.ContentType(),
		Payload: e.Payload(), Attempt: t.attempts, Replay: t.replay, At: at,
	}
	if headers := e.Headers(); len(headers) > 0 {
		req.Header = make([]attempt.Header, len(headers))
		for i, h := range headers {
			req.Header[i] = attempt.Header(h)
		}
	}
	return req
}

// transformed gives a request the payload that the target's program makes; the zero Outcome: it
// did.
func (w *work) transformed(l *lane, t *task, req *attempt.Request) attempt.Outcome {
	e := filter.Sent{Type: req.Type, ID: req.ID, Session: req.Session, ContentType: req.ContentType,
		Headers: t.event.Headers(), Payload: req.Payload}
	most := int(l.r.setup.Load().cfg.Server.MaxBodySize)
	if err := filter.Transform(w.transform, &e, most); err != nil {
		return attempt.Untransformed(jq.Blind(err)) // the log and the spool are no place for payloads
	}
	req.Payload, req.ContentType = e.Payload, e.ContentType
	return attempt.Outcome{}
}

// withheld counts and says that an attempt was not made. A want is the whole relay's, so it is said
// once for all targets.
func (w *worker) withheld(t *task, out *attempt.Outcome) {
	l, deliveries := w.l, 1
	if t.with != nil {
		deliveries = len(t.with.parts)
	}
	if (out.Kind == attempt.Auth || out.Kind == attempt.Transform) && !l.tenure.stale(t.tenure) {
		for range deliveries {
			l.minutes.Attempt(l.r.now(), uint8(out.Kind), false, 0)
		}
	}
	if out.Kind == attempt.Auth {
		l.m().attempts[out.Kind].Add(float64(deliveries))
		l.noToken.Store(&noToken{l.r.now(), out.Error})
		if n, ok := l.unsent.Pass(time.Now(), saySeldom); ok {
			l.r.log.Warn("there is no token to send to a target; what it gets waits for the next tick, and "+
				"spends nothing", "target", l.name, "error", out.Error, "attempts", n)
		}
		return
	}
	l.m().withheld.Add(float64(deliveries))
	if out.Kind == attempt.Transform {
		l.m().attempts[out.Kind].Add(float64(deliveries))
		l.noToken.Store(&noToken{l.r.now(), out.Error})
	}
	if out.Want == attempt.WantNone {
		if n, ok := l.unsent.Pass(time.Now(), saySeldom); ok {
			l.r.log.Error("cannot send an event to a target; it is tried again at every tick and spends "+
				"nothing", "target", l.name, "id", t.event.ID(), "error", out.Error, "withheld", n)
		}
		return
	}
	if n, ok := l.r.wanting.Pass(time.Now(), saySeldom); ok {
		l.r.log.Error("attempts are withheld for a want of this machine's; they are made again until "+
			"it passes and spend nothing", "target", l.name, "error", out.Error, "withheld", n)
	}
}

// expiresAt is when an event becomes too old for a target; zero: never.
func expiresAt(t *config.Target, e *spool.Event) time.Time {
	own, _ := e.Header(spool.ExpiryHeader)
	return expiry(t, e.At, own)
}

// expiry is expiresAt for an event that was accepted at an instant, and says itself when it
// expires; empty: it does not.
func expiry(t *config.Target, accepted time.Time, own string) time.Time {
	after := time.Duration(0)
	if t != nil {
		after = t.Expire
	}
	return outlook.Expiry(after, accepted, own)
}

// tooOld reports whether a delivery is too old to be attempted, since when. A replay never is:
// somebody has asked for it.
func tooOld(target *config.Target, t *task, now time.Time) (at time.Time, old bool) {
	if !t.replay {
		at = expiresAt(target, t.event)
	}
	return at, !at.IsZero() && !now.Before(at)
}

// expired is what becomes of a delivery that is too old to be attempted.
func expired(l *lane, t *task) (spool.Settlement, bool) {
	now := l.r.now()
	at, old := tooOld(l.target(), t, now)
	if !old || l.tenure.stale(t.tenure) {
		return spool.Settlement{}, false
	}
	if n, ok := l.expiring.Pass(now, saySeldom); ok {
		l.r.log.Warn("deliveries expire; they are kept and can be replayed", "target", l.name, "id",
			t.event.ID(), "expired_at", at, "deliveries", n)
	}
	return spool.Settlement{Lane: l.spool.ID(), Seq: t.event.Seq, AcceptedAt: t.event.At,
		Fresh: t.fresh, Verdict: spool.Expired, Attempts: t.attempts, At: now,
		Error: "expired at " + at.UTC().Format(time.RFC3339), FirstFailed: t.firstFailed,
		Order: t.order}, true
}

// sendInTurn hands out one delivery of a target that has a rate. It waits for its turn before the
// slot, so that a job has the next one, and nobody else takes from the portion meanwhile (next).
func sendInTurn(l *lane, halt <-chan struct{}) (more bool, err error) {
	t, ok, err := l.takeOrFetch(halt)
	if !ok {
		return false, err
	}
	if st, old := expired(l, &t); old && t.order == 0 {
		l.r.spool.Settle(st)
		return true, nil
	}
	ok = l.pace.Take(l.r.stopping, func() bool { return !closed(halt) }) && l.slots.Acquire(halt)
	if t.work = l.work.Load(); ok && t.work != nil && !closed(l.r.stopping) {
		l.hire(t)
		return true, nil
	}
	if ok {
		l.slots.Release()
	}
	l.lines.Hold(t.place())
	l.portion.back(t.event)
	return false, nil
}

// leave takes a worker out of the line; false if a task is on its way to it.
func (c *crew) leave(w *worker) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, other := range c.idle {
		if other == w {
			c.idle = append(c.idle[:i], c.idle[i+1:]...)
			return true
		}
	}
	return false
}
