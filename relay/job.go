package relay

import (
	"sync"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/tally"
	"github.com/hookspool/hookspool/spool"
)

// jobPage is how many deliveries a job reads from the spool at once.
const jobPage = 64

// jobOrder asks a lane for a job.
type jobOrder struct {
	tick uint64
	// head is the newest event when the tick began: what came later is not this job's.
	head uint64
}

// job is one target's pass at one tick over everything that is due: each delivery gets at most one
// attempt. Its verdict is written together with its last outcome, so that no crash can leave a job
// that was made but not counted.
type job struct {
	l        *lane
	tenure   uint64
	gathered gathering
	stopRun  int // connection failures or timeouts in a row that end it; 0: none do

	flying sync.WaitGroup
	mu     sync.Mutex // guards below
	tried  int
	good   int
	inARow int
	last   *spool.Settlement // held back for the verdict

	// seen are the orders that it has come to, unread: what is due could not be read. The job's
	// goroutine alone has them.
	seen   map[uint64]bool
	unread bool
}

// order asks for a job; false if one is running, or the lane has nothing due.
func (l *lane) order(o jobOrder) bool {
	status := l.status()
	if status != Enabled && status != Defective || !l.tenure.ours() || shut(l) {
		return false
	}
	c := l.spool.Counts()
	if c.Pending == c.Fresh && (status == Enabled || c.Fresh == 0) {
		return false
	}
	if !l.jobRunning.CompareAndSwap(false, true) {
		return false
	}
	l.outlasted.Store(0)
	l.jobTick.Store(o.tick)
	l.jobs <- o
	return true
}

// jobLoop runs the lane's jobs until the relay stops.
func (l *lane) jobLoop() {
	for {
		select {
		case <-l.r.stopping:
			return
		case <-l.forgotten:
			return
		case o := <-l.jobs:
			l.runJob(o)
			if w := l.work.Load(); w != nil && w.orderOf != nil {
				l.spool.Wake() // for what waited for what the job has done
			}
			l.outlasted.Store(0)
			l.board.Tell(0)
			l.asking.Lock()
			asked := l.board.Asked()
			l.jobRunning.Store(false)
			l.asking.Unlock()
			if err := l.runAnother(); err != nil {
				l.r.log.Error("cannot run the job that was asked for; it waits for the next tick",
					"target", l.name, "error", err)
			}
			if !l.jobRunning.Load() {
				l.board.Tell(asked) // nothing is left for another
			}
		}
	}
}

// runAnother runs the job that somebody asked for while the last one ran, if nobody else does.
func (l *lane) runAnother() error {
	if closed(l.r.stopping) || l.jobRunning.Load() || !l.another.Swap(false) {
		return nil
	}
	_, err := l.r.jobNow(l, nil)
	return err
}

func (l *lane) runJob(o jobOrder) {
	began := time.Now()
	j := &job{l: l, tenure: l.tenure.Load(), stopRun: l.r.setup.Load().cfg.Retry.StopJobAfter,
		gathered: gathering{l: l}, seen: make(map[uint64]bool)}
	l.board.Begin(o.tick, l.r.now(), dueNow(l))
	defer j.tell()
	if err := l.work.Load().lineUp(l); err != nil {
		l.r.log.Error("cannot put what is due in order; the job waits for the next tick", "target",
			l.name, "error", err)
		j.unread = true
		return
	}
	j.sendDue(o.tick)
	j.gathered = gathering{l: l} // the job was over first: it is due at the next tick
	if l.status() == Defective {
		j.sendFresh(o.head)
	}
	j.flying.Wait()
	if j.tried == 0 {
		return
	}
	l.m().jobDuration.Observe(time.Since(began).Seconds())
	l.verdict(j)
}

// dueNow is how many deliveries a job of a lane would have to try.
func dueNow(l *lane) int {
	c := l.spool.Counts()
	if l.status() == Defective {
		return int(c.Pending)
	}
	return int(c.Pending - min(c.Pending, c.Fresh))
}

// tell says what the job came to, once its verdict is written.
func (j *job) tell() {
	l := j.l
	status := l.status()
	j.mu.Lock()
	end := tally.End{At: l.r.now(), Why: tally.Done, InARow: j.inARow, Status: status.String()}
	switch {
	case closed(l.r.stopping):
		end.Why = tally.Stopping
	case l.tenure.stale(j.tenure):
		end.Why = tally.Moved
	case status != Enabled && status != Defective || shut(l):
		end.Why = tally.Held
	case j.unread:
		end.Why = tally.Unread
	case j.stopRun > 0 && j.inARow >= j.stopRun:
		end.Why = tally.Unreachable
	}
	j.mu.Unlock()
	l.board.End(end)
}

// over reports whether the job should try no more: it was stopped early, the target may not be
// sent to any more or asked to be left alone, another relay has it, or the relay stops.
func (j *job) over() bool {
	if closed(j.l.r.stopping) || j.l.tenure.stale(j.tenure) {
		return true
	}
	if s := j.l.status(); s != Enabled && s != Defective || shut(j.l) {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stopRun > 0 && j.inARow >= j.stopRun
}

// sendDue tries what failed before the tick, oldest first.
func (j *job) sendDue(tick uint64) {
	due := j.l.spool.Due(tick)
	due.Skip = func(order uint64) bool { return j.seen[order] }
	for !j.over() {
		early := j.l.early.Busy() // before what is read: who is settled by then is read as settled
		page, err := due.Next(jobPage)
		if err != nil {
			j.unread = true
			j.l.r.log.Error("cannot read what is due; the rest waits for the next tick",
				"target", j.l.name, "error", err)
			return
		}
		if len(page) == 0 {
			j.flush()
			return
		}
		for i := range page {
			d := &page[i]
			if _, busy := early[d.Event.Seq]; busy {
				continue
			}
			t := task{event: d.Event, attempts: d.Attempts, firstFailed: d.FirstFailed,
				replay: d.Replay, order: j.l.work.Load().orderOfDue(d), tenure: j.tenure}
			if !j.heads(&t, tick, d.Order != 0) {
				continue
			}
			if !j.send(t) {
				j.l.lines.Hold(t.place())
				return
			}
		}
	}
}

// sendFresh tries what a Defective target was never sent, up to the tick. Those deliveries are
// still in the log: what the job does not reach costs nothing and is not charged.
func (j *job) sendFresh(head uint64) {
	l := j.l
	l.fetching.Lock()
	defer func() {
		// The job was over first.
		if !j.gathered.empty() && !l.tenure.stale(j.tenure) {
			l.spool.Release(j.gathered.batch.parts[0].event.Seq)
		}
		l.fetching.Unlock()
		l.spool.Wake()
	}()
	for !j.over() && l.status() == Defective {
		events, err := l.spool.Fetch(jobPage)
		if err != nil {
			j.unread = true
			l.r.log.Error("cannot read the log for a job; the rest waits for the next tick",
				"target", l.name, "error", err)
			return
		}
		if len(events) == 0 {
			j.flush()
			return
		}
		for _, e := range events {
			if e.Seq > head {
				j.flush()
			}
			if e.Seq > head || l.status() != Defective || !j.dispatchFresh(e) {
				if !l.tenure.stale(j.tenure) {
					l.spool.Release(e.Seq)
				}
				return
			}
		}
	}
}

func (j *job) dispatch(t task) bool {
	t.job, t.tenure = j, j.tenure
	n := 1
	if t.with != nil {
		n = len(t.with.parts)
		for i := range t.with.parts {
			t.with.parts[i].job, t.with.parts[i].tenure = j, j.tenure
		}
	}
	j.flying.Add(n)
	if !j.l.dispatch(t, j.l.r.stopping) {
		j.flying.Add(-n)
		return false
	}
	return true
}

// note takes an outcome into the job's sums. beside: it is that of a request noted before.
func (j *job) note(out *attempt.Outcome, beside bool) {
	j.l.board.Note(out.Kind.String(), out.Status, true, out.Kind == attempt.Success)
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tried++
	if out.Kind == attempt.Success {
		j.good++
	}
	if beside {
		return
	}
	switch out.Kind {
	case attempt.Connect, attempt.DNS, attempt.TLS, attempt.Timeout:
		j.inARow++
	default:
		j.inARow = 0
	}
}

// noteAuth is note for an attempt for which there was no token. The job was not tried by it, but
// ends early like one whose target cannot be reached: the rest would fare no better.
func (j *job) noteAuth() {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.inARow++
}

// finish takes a settlement. The one before it is settled now; the last one waits for the verdict.
func (j *job) finish(st spool.Settlement) {
	j.mu.Lock()
	before := j.last
	j.last = &st
	j.mu.Unlock()
	if before != nil {
		j.l.r.spool.Settle(*before)
	}
	j.flying.Done()
}
