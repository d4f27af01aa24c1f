package relay

import (
	"time"

	"github.com/hookspool/hookspool/relay/alert"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/gate"
	"github.com/hookspool/hookspool/spool"
)

// Status is what a target is to the operator, with the numbers of the target_status metric.
type Status int

// The statuses, in Wati's words.
const (
	Disabled Status = iota
	Enabled
	Defective
	Paused
)

// String is the word as shown.
func (s Status) String() string {
	return [...]string{"Disabled", "Enabled", "Defective", "Paused"}[s]
}

// verdict counts a job that tried something. The last outcome, the standing and the mail that is
// owed are written in one commit.
func (l *lane) verdict(j *job) {
	if l.tenure.stale(j.tenure) {
		return // whoever has the lane makes the job again
	}
	if j.good > 0 {
		l.m().jobs[true].Inc()
		// Waited for, and with it everything settled before: the next job reads what is due from the
		// spool, and would repeat an attempt whose outcome is not there yet.
		_ = l.r.spool.Apply(spool.Change{Settle: []spool.Settlement{*j.last}}) // it says why itself
		return
	}
	cfg := l.r.setup.Load().cfg
	now := l.r.now()
	// Written before the lock, because it asks the disk, and only if there is something to tell.
	expected := l.nextStep(cfg)
	owed := l.tellStep(cfg, expected, now)
	change := spool.Change{Settle: []spool.Settlement{*j.last}, StandingOf: l.spool.ID()}
	l.mu.Lock()
	if l.tenure.stale(j.tenure) {
		l.mu.Unlock()
		return
	}
	step := l.stepLocked(cfg)
	st := l.standing
	st.FailedJobs++
	if step.kind == alert.Defect {
		st.DefectiveSince = now
	}
	if step == expected {
		change.Owe = owed // otherwise a success was first, and there is nothing to tell
	}
	if step.level > 0 {
		l.memo.Level = step.level
		change.Memos = []spool.Memo{l.memo.of(l.spool)}
	}
	l.standing = st
	change.Standing = &st
	wait := l.r.spool.Begin(change)
	l.troubled.Store(true)
	l.mu.Unlock()
	l.m().jobs[false].Inc()
	l.m().failedJobs.Set(float64(st.FailedJobs))
	if err := wait(); err != nil {
		return // the spool has said why, and stops the relay
	}
	switch step.kind {
	case alert.Defect:
		l.r.log.Error("target is Defective: its jobs go on, live attempts wait for them, nothing "+
			"is dropped", "target", l.name, "failed_jobs", st.FailedJobs)
		l.changed()
		l.r.wakePayers()
	case alert.Failing:
		l.r.log.Warn("target is close to being Defective", "target", l.name, "failed_jobs",
			st.FailedJobs, "percent", step.level, "defective_above", cfg.Defect.AfterFailedJobs)
		l.r.wakePayers()
	}
}

// succeeded lets a success mend what there is to mend. It is called for every success, before it is
// settled; the healthy path is one atomic load.
func (l *lane) succeeded(seq uint64) {
	if l.troubled.Load() {
		l.recover(seq)
	}
	if !l.ramping.Load() {
		return
	}
	t := l.target()
	if t == nil {
		return
	}
	full := l.slots.Ramp(true, t.Concurrency)
	if full || l.spool.Counts().Pending <= uint64(l.slots.InUse()) {
		l.ramping.Store(false)
		l.slots.SetLimit(t.Concurrency)
	}
}

// recover resets the run of failed jobs. A Defective target is Enabled again, its recovery is
// mailed, and its backlog drains with growing concurrency. done is the delivery that succeeded.
func (l *lane) recover(done uint64) {
	l.mu.Lock()
	since := l.standing.DefectiveSince
	l.mu.Unlock()
	var owed []spool.Notice
	if cfg := l.r.setup.Load().cfg; !since.IsZero() && alerts(cfg) {
		owed = l.r.owe(cfg, l, l.recoveryNotice(since, done))
	}
	l.mu.Lock()
	st := l.standing
	l.troubled.Store(false)
	if st.FailedJobs == 0 || !l.tenure.ours() {
		l.mu.Unlock()
		return // another success was first, or another relay
	}
	change := spool.Change{StandingOf: l.spool.ID()}
	if st.DefectiveSince.Equal(since) {
		change.Owe = owed
	}
	failed := st.FailedJobs
	warned := l.forgetLevelLocked(&change)
	st.FailedJobs, st.DefectiveSince = 0, time.Time{}
	l.standing = st
	change.Standing = &st
	wait := l.r.spool.Begin(change)
	if !since.IsZero() && l.target() != nil {
		l.ramping.Store(true)
		l.slots.SetLimit(1)
	}
	l.mu.Unlock()
	l.m().failedJobs.Set(0)
	if since.IsZero() {
		if warned > 0 {
			l.r.log.Info("target answers again; its run of failed jobs is over", "target", l.name,
				"failed_jobs", failed)
		}
		return
	}
	l.r.log.Info("target is Enabled again; its backlog drains", "target", l.name,
		"defective_since", since, "pending", l.pendingBeside())
	l.changed()
	if err := wait(); err == nil {
		l.r.wakePayers()
	}
}

// pendingBeside counts what is pending beside a delivery that has succeeded and is not settled yet.
func (l *lane) pendingBeside() uint64 {
	n := l.spool.Counts().Pending
	return n - min(n, 1) // a purge may have been first
}

func (l *lane) failedJobs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return standingLocked(l).FailedJobs
}

// enable lifts a defect by hand. Like hold it is refused, with spool.ErrElsewhere, where another
// relay has the lane, or had it by the end.
func (l *lane) enable() error {
	l.mu.Lock()
	tenure := l.tenure.Load()
	if tenure == 0 {
		l.mu.Unlock()
		return spool.ErrElsewhere
	}
	st := l.standing
	st.FailedJobs, st.DefectiveSince = 0, time.Time{}
	l.standing = st
	change := spool.Change{Standing: &st, StandingOf: l.spool.ID()}
	l.forgetLevelLocked(&change)
	wait := l.r.spool.Begin(change)
	l.troubled.Store(false)
	l.mu.Unlock()
	l.m().failedJobs.Set(0)
	return steered(l, tenure, wait())
}

// steered ends an order that has changed the standing, if it did: what a lane's former relay writes
// is dropped.
func steered(l *lane, tenure uint64, err error) error {
	if err == nil && (l.tenure.stale(tenure) || l.r.company.Tenure(l.spool) == 0) {
		err = spool.ErrElsewhere
	}
	if err == nil {
		l.changed()
	}
	return err
}

// hold pauses the target, or releases it, also from what it asked for itself. by is who asked.
func (l *lane) hold(held bool, by string) error {
	l.mu.Lock()
	tenure := l.tenure.Load()
	if tenure == 0 {
		l.mu.Unlock()
		return spool.ErrElsewhere
	}
	st := l.standing
	switch {
	case !held:
		st.ShutUntil, st.GoneSince = time.Time{}, time.Time{}
		st.HeldSince, st.HeldBy = time.Time{}, ""
	case !st.Held:
		st.HeldSince, st.HeldBy = l.r.now(), by
	}
	st.Held = held
	l.standing = st
	wait := l.r.spool.Begin(spool.Change{Standing: &st, StandingOf: l.spool.ID()})
	l.mu.Unlock()
	return steered(l, tenure, wait())
}

// heed leaves the target alone if an answer that came at now asks for it. It does not wait for the
// disk: what a crash forgets the next attempt hears again.
func heed(l *lane, out *attempt.Outcome, now time.Time) {
	t := l.target()
	if t == nil || out.RetryAfter <= 0 || t.RetryAfterMax == 0 {
		return
	}
	until := gate.For(out.RetryAfter, t.RetryAfterMax, now)
	l.mu.Lock()
	if !l.tenure.ours() || !until.After(l.standing.ShutUntil) {
		l.mu.Unlock()
		return
	}
	st := l.standing
	st.ShutUntil = until
	l.standing = st
	_ = l.r.spool.Begin(spool.Change{Standing: &st, StandingOf: l.spool.ID()})
	l.mu.Unlock()
	l.changed()
	l.r.log.Warn("a target asked to be left alone (Retry-After); it is held, which costs its "+
		"deliveries nothing", "target", l.name, "status", out.Status, "until", until)
}

// pauseGone pauses a target that answered so at now, as an operator would, and owes an alert about
// it in the same commit.
func pauseGone(l *lane, out *attempt.Outcome, now time.Time) {
	if out.Kind != attempt.Status || !l.target().PausedBy(out.Status) {
		return
	}
	n := l.notice(alert.Gone, time.Time{}, now)
	n.Pending, n.LastStatus = int64(l.spool.Counts().Pending), out.Status
	if p, ok := l.spool.OldestPending(); ok {
		n.OldestPending = p.At
	}
	owed := l.r.owe(l.r.setup.Load().cfg, l, n)
	l.mu.Lock()
	if !l.tenure.ours() || l.standing.Held {
		l.mu.Unlock()
		return // another answer was first
	}
	st := l.standing
	st.Held, st.GoneSince, st.HeldSince = true, now, now
	l.standing = st
	wait := l.r.spool.Begin(spool.Change{Standing: &st, StandingOf: l.spool.ID(), Owe: owed})
	l.mu.Unlock()
	l.changed()
	l.r.log.Error("target is paused: it answered 410 Gone; its deliveries are held until it is "+
		"resumed", "target", l.name)
	if err := wait(); err == nil { // otherwise the spool has said why
		l.r.wakePayers()
	}
}
