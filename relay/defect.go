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
		notice = l.notice(alert.Defect, now, now)
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

// succeeded lets a success mend what there is to mend. It is called for every success, so the
// healthy path is one atomic load.
func (l *lane) succeeded() {
	if l.troubled.Load() {
		l.recover()
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
// mailed, and its backlog drains with growing concurrency.
func (l *lane) recover() {
	now := l.r.now()
	l.mu.Lock()
	since := l.standing.DefectiveSince
	l.mu.Unlock()
	var notice *spool.Notice
	if !since.IsZero() && l.r.setup.Load().cfg.Alert.Email.SMTP != "" {
		notice = l.notice(alert.Recovery, since, now)
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
		"defective_since", since, "pending", l.spool.Counts().Pending)
	l.changed()
	if err := wait(); err == nil {
		l.r.mail.wake()
	}
}

// notice describes the target for a mail, as of now.
func (l *lane) notice(kind alert.Kind, since, now time.Time) *spool.Notice {
	cfg := l.r.setup.Load().cfg
	c := l.spool.Counts()
	n := alert.Notice{
		Kind: kind, Target: l.name, Since: since, At: now,
		FailedJobs: l.failedJobs() + 1, LastStatus: int(l.lastStatus.Load()),
		LastError: c.LastError, Pending: int64(c.Pending), Admin: cfg.Server.AdminListen,
		ID: fmt.Sprintf("%s-%s-%s-%d", kind, l.name, l.r.spool.ID(), since.UnixNano()),
	}
	episode := uint64(since.UnixNano()) * 2
	if kind == alert.Recovery {
		n.FailedJobs--
		episode++ // behind the mail about the defect
	}
	if t := l.target(); t != nil {
		n.URL = config.MaskURL(t.URL)
	}
	if p, ok := l.spool.OldestPending(); ok {
		n.OldestPending = p.At
		if kind == alert.Defect {
			left := max(cfg.Retry.MaxAttempts+1-p.Attempts, 0)
			n.FirstExhaustion = now.Add(time.Duration(left) * cfg.Retry.Interval)
		}
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
