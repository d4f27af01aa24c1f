package relay

import (
	"sync"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
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
	l       *lane
	stopRun int // connection failures or timeouts in a row that end it; 0: none do

	flying sync.WaitGroup
	mu     sync.Mutex // guards below
	tried  int
	good   int
	inARow int
	last   *spool.Settlement // held back for the verdict
}

// order asks for a job; false if one is running, or the lane has nothing due.
func (l *lane) order(o jobOrder) bool {
	status := l.status()
	if status != Enabled && status != Defective {
		return false
	}
	c := l.spool.Counts()
	if c.Pending == c.Fresh && (status == Enabled || c.Fresh == 0) {
		return false
	}
	if !l.jobRunning.CompareAndSwap(false, true) {
		return false
	}
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
			l.jobRunning.Store(false)
			if err := l.runAnother(); err != nil {
				l.r.log.Error("cannot run the job that was asked for; it waits for the next tick",
					"target", l.name, "error", err)
			}
		}
	}
}

// runAnother runs the job that somebody asked for while the last one ran, if nobody else does.
func (l *lane) runAnother() error {
	if closed(l.r.stopping) || l.jobRunning.Load() || !l.another.Swap(false) {
		return nil
	}
	_, err := l.r.jobNow(l)
	return err
}

func (l *lane) runJob(o jobOrder) {
	began := time.Now()
	j := &job{l: l, stopRun: l.r.setup.Load().cfg.Retry.StopJobAfter}
	j.sendDue(o.tick)
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

// over reports whether the job should try no more: it was stopped early, the target may not be
// sent to any more, or the relay stops.
func (j *job) over() bool {
	if closed(j.l.r.stopping) {
		return true
	}
	if s := j.l.status(); s != Enabled && s != Defective {
		return true
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.stopRun > 0 && j.inARow >= j.stopRun
}

// sendDue tries what failed before the tick, oldest first.
func (j *job) sendDue(tick uint64) {
	due := j.l.spool.Due(tick)
	for !j.over() {
		page, err := due.Next(jobPage)
		if err != nil {
			j.l.r.log.Error("cannot read what is due; the rest waits for the next tick",
				"target", j.l.name, "error", err)
			return
		}
		if len(page) == 0 {
			return
		}
		for i := range page {
			d := &page[i]
			if !j.dispatch(task{event: d.Event, attempts: d.Attempts,
				firstFailed: d.FirstFailed, replay: d.Replay}) {
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
		l.fetching.Unlock()
		l.spool.Wake()
	}()
	for !j.over() && l.status() == Defective {
		events, err := l.spool.Fetch(jobPage)
		if err != nil {
			l.r.log.Error("cannot read the log for a job; the rest waits for the next tick",
				"target", l.name, "error", err)
			return
		}
		if len(events) == 0 {
			return
		}
		for _, e := range events {
			if e.Seq > head || l.status() != Defective || !j.dispatch(task{event: e, fresh: true}) {
				l.spool.Release(e.Seq)
				return
			}
		}
	}
}

func (j *job) dispatch(t task) bool {
	t.job = j
	j.flying.Add(1)
	if !j.l.dispatch(t, j.l.r.stopping) {
		j.flying.Done()
		return false
	}
	return true
}

// note takes an outcome into the job's sums.
func (j *job) note(out *attempt.Outcome) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.tried++
	switch out.Kind {
	case attempt.Success:
		j.good++
		j.inARow = 0
	case attempt.Connect, attempt.DNS, attempt.TLS, attempt.Timeout:
		j.inARow++
	default:
		j.inARow = 0
	}
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
