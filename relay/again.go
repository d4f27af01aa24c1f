package relay

import (
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/early"
	"github.com/hookspool/hookspool/spool"
)

// earlyRetries is how many early retries may follow the one with a number.
func earlyRetries(t *config.Target, after int) int { return len(t.EarlyRetries) - after }

// settlesEarly reports a live attempt or an early retry of a target that has early retries. Who
// settles it waits for the disk, so that whoever reads the delivery then finds what is true, and
// goes on (goOnEarly).
func (r *result) settlesEarly(t *task) bool {
	return !r.cut && (t.early > 0 || t.job == nil && earlyRetries(t.work.target, 0) > 0)
}

// goOnEarly lets the next early retry follow a failure that was settled, if there was no error.
func goOnEarly(l *lane, t *task, r *result, err error) {
	if t.early > 0 {
		l.early.Done(t.event.Seq)
	}
	target := t.work.target
	if err != nil || !r.made || t.job != nil || r.settlement.Verdict != spool.Retry ||
		earlyRetries(target, t.early) <= 0 {
		return
	}
	if l.early.Add(early.Entry{At: time.Now().Add(target.EarlyRetries[t.early]), Seq: t.event.Seq,
		Attempts: r.settlement.Attempts, Stage: t.early + 1, Tenure: t.tenure}) {
		l.r.spawn(func() { earlyLoop(l) })
	}
}

// earlyPause is how long early retries wait for the end of a job before they look again.
const earlyPause = 50 * time.Millisecond

// earlyLoop makes a lane's early retries as they come due, until there is none. They wait while the
// gate is shut or a job runs. What a target is not sent live any more is left to the ticks.
func earlyLoop(l *lane) {
	for {
		at, ok := l.early.First()
		if !ok {
			return
		}
		wait := time.Until(at)
		if until := shutUntil(l); !until.IsZero() {
			wait = max(wait, until.Sub(l.r.now()))
		}
		if l.jobRunning.Load() {
			wait = max(wait, earlyPause)
		}
		switch {
		case closed(l.r.stopping) || closed(l.forgotten):
			return
		case l.status() != Enabled || !l.tenure.ours():
			l.early.Clear()
		case wait > 0:
			awaitEarly(l, wait)
		case !tryEarly(l):
			awaitEarly(l, earlyPause)
		}
	}
}

// awaitEarly waits until it is time to look again.
func awaitEarly(l *lane, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-l.r.stopping:
	case <-l.forgotten:
	case <-l.early.Wake():
	case <-timer.C:
	}
}

// tryEarly makes the first early retry, unless the delivery is not any more what it was then: a job
// or a replay has it, or it was purged. A job that begins meanwhile passes it over (job.sendDue).
// It is false if nothing may be begun now.
func tryEarly(l *lane) bool {
	halt := l.haltC()
	goes := func() bool { return !closed(halt) }
	if !l.pace.Take(l.r.stopping, goes) || !l.slots.Acquire(halt) {
		return false
	}
	g := gathering{l: l}
	for more := true; more && !g.full; more = !g.empty() && l.early.Ready(time.Now()) {
		e := l.early.Take()
		t, ok := earlyTask(l, e)
		if ok && t.gatherEarly(&g) {
			continue
		}
		l.early.Done(e.Seq)
		if ok || l.jobRunning.Load() {
			l.early.Add(e)
		}
		if ok {
			l.lines.Hold(t.place())
			break
		}
	}
	if g.empty() {
		l.slots.Release()
	} else {
		l.hire(g.take())
	}
	return true
}

// gatherEarly adds an early retry to those that go in one request; false: it does not go with them.
func (t *task) gatherEarly(g *gathering) bool {
	if t.work.batches() != nil && t.order == 0 {
		return g.add(t, t.work)
	}
	fits := g.empty()
	if fits {
		g.batch.parts, g.alone, g.full = []part{{task: *t}}, true, true
	}
	return fits
}

// earlyTask is the task of an early retry, if it is to be made now.
func earlyTask(l *lane, e early.Entry) (task, bool) {
	work := l.work.Load()
	if work == nil || earlyRetries(work.target, e.Stage-1) <= 0 || l.tenure.stale(e.Tenure) ||
		l.jobRunning.Load() || closed(l.r.stopping) {
		return task{}, false
	}
	d, ok, err := l.spool.Due(0).One(e.Seq)
	if err != nil {
		l.r.log.Error("cannot read what is to be retried early; it waits for the tick", "target",
			l.name, "error", err)
	}
	t := task{work: work, event: d.Event, attempts: d.Attempts, firstFailed: d.FirstFailed,
		early: e.Stage, tenure: e.Tenure, order: d.Order}
	return t, ok && d.Attempts == e.Attempts && !d.Replay && t.isHead(l)
}
