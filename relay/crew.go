package relay

import (
	"sync"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
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
		if r.settled {
			if next, ok := l.next(); ok {
				t = next
				continue
			}
		}
		l.crew.mu.Lock()
		l.crew.idle = append(l.crew.idle, w)
		l.crew.mu.Unlock()
		l.slots.Release()
		if !r.settled {
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
	// made: the attempt counts. cut: our own stopping cut it off, and there is no settlement. settled:
	// it is already, because that cost no write.
	made, cut, settled bool
}

// attempt makes one request and returns what settle needs. The caller gives the slot back
// in between, so that the next attempt does not wait for the committer.
func (w *worker) attempt(t *task) result {
	l := w.l
	req, out := w.insist(t)
	switch {
	case out.Kind == attempt.Aborted:
		return result{cut: true}
	case !out.Kind.Made():
		return result{settlement: l.settlement(t, &out)}
	}
	ended := l.r.now()
	l.m().observe(&out, t.event.At, ended)
	if l.r.setup.Load().cfg.Log.Deliveries {
		l.logAttempt(&req, &out)
	}
	if out.Kind == attempt.Success {
		l.successes.add(ended, 1)
		l.pulse.Note(out.Duration, ended)
		l.succeeded(t.event.Seq)
	} else {
		l.failures.add(ended, 1)
		l.failed(&out)
	}
	if t.job != nil {
		t.job.note(&out) // before the slot is given back, so that whoever takes it knows
	}
	st := l.settlement(t, &out)
	if t.job == nil && t.fresh && st.Verdict == spool.Delivered {
		l.r.spool.Settle(st)
		return result{settled: true}
	}
	return result{settlement: st, made: true}
}

// settle settles the outcome of an attempt. One that was cut off counts as never made, and the next
// start makes it.
func (w *worker) settle(t *task, r *result) {
	switch {
	case r.made && t.job != nil:
		t.job.finish(r.settlement)
		return
	case !r.cut:
		w.l.r.spool.Settle(r.settlement)
	}
	if !r.made {
		t.landed()
	}
}

// insist makes the attempt of a task, again and again while a want of ours withholds it, as long as
// the lane may send. It is Aborted when the relay stops meanwhile.
func (w *worker) insist(t *task) (attempt.Request, attempt.Outcome) {
	l := w.l
	end := time.Now().Add(l.r.patience)
	for pause := withheldPauseMin; ; pause = min(2*pause, withheldPauseMax) {
		req, out := w.once(t)
		if out.Kind.Made() || out.Kind == attempt.Aborted {
			return req, out
		}
		w.withheld(&req, &out)
		if out.Want == attempt.WantRoom {
			l.r.makeRoom()
		}
		if out.Want == attempt.WantNone || time.Now().Add(pause).After(end) {
			return req, out
		}
		if !l.r.waits(pause) {
			return req, attempt.Outcome{Kind: attempt.Aborted}
		}
		if now := l.work.Load(); now != nil && w.sends(t) {
			t.work = now // a reload may have mended it
			continue
		}
		return req, out
	}
}

// sends reports whether the lane may go on with a task.
func (w *worker) sends(t *task) bool {
	if t.job != nil {
		return !t.job.over()
	}
	return w.l.status() == Enabled
}

// once makes the request of a task.
func (w *worker) once(t *task) (attempt.Request, attempt.Outcome) {
	l := w.l
	e := t.event
	req := attempt.Request{
		ID: e.ID(), Type: e.Type(), Session: e.Session.String(), ContentType: e.ContentType(),
		Payload: e.Payload(), Attempt: t.attempts, Replay: t.replay, At: l.r.now(),
	}
	if headers := e.Headers(); len(headers) > 0 {
		req.Header = make([]attempt.Header, len(headers))
		for i, h := range headers {
			req.Header[i] = attempt.Header(h)
		}
	}
	span := l.r.tracer.Attempt(l.name, &req)
	out := t.work.client.Do(l.r.attempts, &req)
	span.End(&out)
	return req, out
}

// withheld counts and says that an attempt was not made. A want is the whole relay's, so it is said
// once for all targets.
func (w *worker) withheld(req *attempt.Request, out *attempt.Outcome) {
	l := w.l
	l.m().withheld.Inc()
	if out.Want == attempt.WantNone {
		if n, ok := l.unsent.Pass(time.Now(), saySeldom); ok {
			l.r.log.Error("cannot send an event to a target; it is tried again at every tick and spends "+
				"nothing", "target", l.name, "id", req.ID, "error", out.Error, "withheld", n)
		}
		return
	}
	if n, ok := l.r.wanting.Pass(time.Now(), saySeldom); ok {
		l.r.log.Error("attempts are withheld for a want of this machine's; they are made again until "+
			"it passes and spend nothing", "target", l.name, "error", out.Error, "withheld", n)
	}
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
