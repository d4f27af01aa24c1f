package relay

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/hookspool/hookspool/relay/alert"
	"github.com/hookspool/hookspool/relay/config"
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
	if j.good > 0 {
		l.m().jobs[true].Inc()
		// Waited for, and with it everything settled before: the next job reads what is due from the
		// spool, and would repeat an attempt whose outcome is not there yet.
		_ = l.r.spool.Apply(spool.Change{Settle: []spool.Settlement{*j.last}}) // it says why itself
		return
	}
	l.m().jobs[false].Inc()
	cfg := l.r.setup.Load().cfg
	now := l.r.now()
	// Read before the lock, because it asks the disk; only the job that may enter needs it.
	var notice *spool.Notice
	if l.mayEnter(cfg) && cfg.Alert.Email.SMTP != "" {
		notice = l.defectNotice(cfg, now)
	}
	change := spool.Change{Settle: []spool.Settlement{*j.last}, StandingOf: l.spool}
	l.mu.Lock()
	st := l.standing
	st.FailedJobs++
	entered := st.FailedJobs > cfg.Defect.AfterFailedJobs && st.DefectiveSince.IsZero()
	if entered {
		st.DefectiveSince = now
		if notice != nil {
			change.Owe = []spool.Notice{*notice}
		}
	}
	l.standing = st
	change.Standing = &st
	wait := l.r.spool.Begin(change)
	l.troubled.Store(true)
	l.mu.Unlock()
	l.m().failedJobs.Set(float64(st.FailedJobs))
	if err := wait(); err != nil {
		return // the spool has said why, and stops the relay
	}
	if entered {
		l.r.log.Error("target is Defective: its jobs go on, live attempts wait for them, nothing "+
			"is dropped", "target", l.name, "failed_jobs", st.FailedJobs)
		l.changed()
		l.r.mail.wake()
	}
}

// mayEnter reports whether one more failed job would make the target Defective.
func (l *lane) mayEnter(cfg *config.Config) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing.FailedJobs >= cfg.Defect.AfterFailedJobs && l.standing.DefectiveSince.IsZero()
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
	full := l.slots.ramp(true, t.Concurrency)
	if full || l.spool.Counts().Pending <= uint64(l.slots.inUse()) {
		l.ramping.Store(false)
		l.slots.setLimit(t.Concurrency)
	}
}

// recover resets the run of failed jobs. A Defective target is Enabled again, its recovery is
// mailed, and its backlog drains with growing concurrency. done is the delivery that succeeded.
func (l *lane) recover(done uint64) {
	l.mu.Lock()
	since := l.standing.DefectiveSince
	l.mu.Unlock()
	var notice *spool.Notice
	if !since.IsZero() && l.r.setup.Load().cfg.Alert.Email.SMTP != "" {
		notice = l.recoveryNotice(since, done)
	}
	l.mu.Lock()
	st := l.standing
	l.troubled.Store(false)
	if st.FailedJobs == 0 {
		l.mu.Unlock()
		return // another success was first
	}
	change := spool.Change{StandingOf: l.spool}
	if notice != nil && st.DefectiveSince.Equal(since) {
		change.Owe = []spool.Notice{*notice}
	}
	st.FailedJobs, st.DefectiveSince = 0, time.Time{}
	l.standing = st
	change.Standing = &st
	wait := l.r.spool.Begin(change)
	if !since.IsZero() && l.target() != nil {
		l.ramping.Store(true)
		l.slots.setLimit(1)
	}
	l.mu.Unlock()
	l.m().failedJobs.Set(0)
	if since.IsZero() {
		return
	}
	l.r.log.Info("target is Enabled again; its backlog drains", "target", l.name,
		"defective_since", since, "pending", l.pendingBeside())
	l.changed()
	if err := wait(); err == nil {
		l.r.mail.wake()
	}
}

// pendingBeside counts what is pending beside a delivery that has succeeded and is not settled yet.
func (l *lane) pendingBeside() uint64 {
	n := l.spool.Counts().Pending
	return n - min(n, 1) // a purge may have been first
}

// defectNotice describes the target for the mail about its defect, as of now.
func (l *lane) defectNotice(cfg *config.Config, now time.Time) *spool.Notice {
	n := l.notice(alert.Defect, now)
	c := l.spool.Counts()
	n.FailedJobs++ // the job whose verdict this is
	n.LastStatus, n.LastError = int(l.lastStatus.Load()), c.LastError
	n.Pending = int64(c.Pending)
	if p, ok := l.spool.OldestPending(); ok {
		n.OldestPending = p.At
		left := max(cfg.Retry.MaxAttempts+1-p.Attempts, 0)
		n.FirstExhaustion = now.Add(time.Duration(left) * cfg.Retry.Interval)
	}
	return l.owed(n)
}

// recoveryNotice describes the target for the mail about its recovery: done is not pending any
// more, although it is not settled.
func (l *lane) recoveryNotice(since time.Time, done uint64) *spool.Notice {
	n := l.notice(alert.Recovery, since)
	n.Pending = int64(l.pendingBeside())
	if n.Pending > 0 {
		// Without a look at the disk that works the mail lacks a line.
		list, _, _ := l.spool.List(spool.Listing{State: spool.StatePending, Limit: 2})
		for i := range list {
			if list[i].Seq != done {
				n.OldestPending = list[i].At
				break
			}
		}
	}
	return l.owed(n)
}

// notice is what both mails of an episode say.
func (l *lane) notice(kind alert.Kind, since time.Time) alert.Notice {
	n := alert.Notice{
		Kind: kind, Target: l.name, Since: since, At: l.r.now(), FailedJobs: l.failedJobs(),
		Admin: l.r.setup.Load().cfg.Server.AdminListen,
		ID:    fmt.Sprintf("%s-%s-%s-%d", kind, l.name, l.r.spool.ID(), since.UnixNano()),
	}
	if t := l.target(); t != nil {
		n.URL = config.MaskURL(t.URL)
	}
	return n
}

// owed is a notice as the spool keeps it. The recovery is behind the defect, and mails are paid in
// this order.
func (l *lane) owed(n alert.Notice) *spool.Notice {
	episode := uint64(n.Since.UnixNano()) * 2
	if n.Kind == alert.Recovery {
		episode++
	}
	body, err := json.Marshal(n)
	if err != nil {
		panic("BUG: a notice cannot be encoded: " + err.Error())
	}
	return &spool.Notice{Lane: l.spool, Episode: episode, Body: body}
}

func (l *lane) failedJobs() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.standing.FailedJobs
}

// enable lifts a defect by hand.
func (l *lane) enable() error {
	l.mu.Lock()
	st := l.standing
	st.FailedJobs, st.DefectiveSince = 0, time.Time{}
	l.standing = st
	wait := l.r.spool.Begin(spool.Change{Standing: &st, StandingOf: l.spool})
	l.troubled.Store(false)
	l.mu.Unlock()
	l.m().failedJobs.Set(0)
	if err := wait(); err != nil {
		return err
	}
	l.changed()
	return nil
}

// hold pauses the target, or releases it.
func (l *lane) hold(held bool) error {
	l.mu.Lock()
	st := l.standing
	st.Held = held
	l.standing = st
	wait := l.r.spool.Begin(spool.Change{Standing: &st, StandingOf: l.spool})
	l.mu.Unlock()
	if err := wait(); err != nil {
		return err
	}
	l.changed()
	return nil
}
