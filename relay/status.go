package relay

import (
	"fmt"
	"slices"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
)

// desk is the relay as the admin API sees and steers it. Every answer comes from sums or from a
// bounded look into an index.
type desk struct{ *Relay }

var _ admin.Backend = desk{}

// Admin is the relay as the admin API sees and steers it.
func (r *Relay) Admin() admin.Backend { return desk{r} }

// The spans of the rates, in seconds (rateSeconds is above them).
const (
	acceptedSpan = 5
	rateSpan     = 10
)

// Status is part of admin.Backend.
func (r desk) Status() admin.Status {
	cfg := r.setup.Load().cfg
	disk := r.spool.Disk()
	unready := r.Unready()
	events, adminAt := r.Addresses()
	s := admin.Status{
		Version: r.version, Spool: r.spool.ID(), Config: cfg.Path, StartedAt: r.startedAt,
		Ready: len(unready) == 0, Unready: unready, Listen: events, Admin: adminAt,
		Interval: cfg.Retry.Interval.String(), LastTick: instantOrNil(r.spool.LastTick().At),
		Accepted: r.metrics.acceptedCount(), Quarantined: r.spool.Quarantined(),
		SpoolBytes: disk.Bytes, SpoolLimit: disk.Limit, FreeBytes: disk.FreeBytes,
		MemoryLimit: r.budget.Limit, BodiesLimit: r.budget.Bodies,
		ConnectionsLimit:  r.budget.Connections,
		AcceptedPerSecond: r.metrics.acceptedRate.mean(time.Now(), acceptedSpan),
		LastEvent:         r.lastEvent(),
		ReloadedAt:        time.Unix(0, r.reloadAt.Load()),
		ReloadFailed:      r.reloadBad.Load(),
	}
	if disk.FreeInodes >= 0 {
		s.FreeInodes = &disk.FreeInodes
	}
	if at := r.spool.LastTick().At; !at.IsZero() {
		s.NextTick = instantOrNil(r.now().Add(r.clock.nextWait(r.now())))
	}
	for _, l := range r.allLanes() {
		c := l.spool.Counts()
		s.Pending += c.Pending
		s.Exhausted += c.Exhausted
	}
	return s
}

func (r desk) lastEvent() *time.Time {
	at, ok := r.accept.LastEvent()
	if !ok {
		return nil
	}
	return instantOrNil(at)
}

func instantOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Targets is part of admin.Backend.
func (r desk) Targets() []admin.Target {
	lanes := r.shownLanes()
	out := make([]admin.Target, len(lanes))
	for i, l := range lanes {
		out[i] = describe(l)
	}
	return out
}

// Target is part of admin.Backend.
func (r desk) Target(name string) (admin.Target, bool) {
	l := r.laneNamed(name)
	if l == nil || !r.shown(l) {
		return admin.Target{}, false
	}
	return describe(l), true
}

func describe(l *lane) admin.Target {
	c := l.spool.Counts()
	l.mu.Lock()
	standing, status := l.standing, l.statusLocked()
	l.mu.Unlock()
	t := admin.Target{
		Name: l.name, Status: status.String(), Events: []string{}, Orphan: true,
		FailedJobs: standing.FailedJobs, FailedJobsMax: l.r.setup.Load().cfg.Defect.AfterFailedJobs,
		DefectiveSince: instantOrNil(standing.DefectiveSince),
		Pending:        c.Pending, Exhausted: c.Exhausted, Delivered: c.Delivered,
		Quarantined: c.Quarantined, LastSuccess: instantOrNil(c.LastSuccess),
		LastFailure: instantOrNil(c.LastFailure), InFlight: l.slots.InUse(),
		JobRunning: l.jobRunning.Load(),
	}
	if c.LastError != "" {
		t.LastError = &c.LastError
	}
	describeSending(l, &t)
	if p, ok := l.spool.OldestPending(); ok {
		t.OldestPending = instantOrNil(p.At)
	}
	if target := l.target(); target != nil {
		t.Orphan, t.URL, t.Session = false, config.MaskURL(target.URL), target.Session
		for _, p := range target.Events {
			t.Events = append(t.Events, string(p))
		}
	}
	return t
}

// describeSending adds how it went lately.
func describeSending(l *lane, t *admin.Target) {
	now := l.r.now()
	t.RateSuccess = l.successes.mean(now, rateSpan)
	t.RateFailed = l.failures.mean(now, rateSpan)
	t.TLSExpiry = l.m().tlsExpires()
	took, lastStatus := l.spool.Durations(nil)
	t.LastStatus = lastStatus
	if len(took) == 0 {
		return
	}
	slices.Sort(took)
	p50, p99 := took[len(took)/2].Seconds(), took[len(took)*99/100].Seconds()
	t.LatencyP50, t.LatencyP99 = &p50, &p99
}

// Enable is part of admin.Backend.
func (r desk) Enable(name string) error {
	l, err := r.sendable(name)
	if err != nil {
		return err
	}
	if err := l.enable(); err != nil {
		return err
	}
	_, err = r.jobNow(l)
	return err
}

// Retry is part of admin.Backend.
func (r desk) Retry(name string) error {
	l, err := r.sendable(name)
	if err == nil {
		_, err = r.jobNow(l)
	}
	return err
}

// sendable is a target that a job can run at.
func (r desk) sendable(name string) (*lane, error) {
	l, err := r.steerable(name)
	if err == nil && l.status() == Paused {
		e := admin.Refuse(409, "paused", "target %q is paused", name)
		e.Hint = "hookspool resume " + name
		return nil, e
	}
	return l, err
}

// Pause is part of admin.Backend.
func (r desk) Pause(name string) error {
	l, err := r.steerable(name)
	if err != nil {
		return err
	}
	return l.hold(true)
}

// Resume is part of admin.Backend.
func (r desk) Resume(name string) error {
	l, err := r.steerable(name)
	if err != nil {
		return err
	}
	if l.target().Status == config.StatusPaused {
		e := admin.Refuse(409, "paused_by_config", "target %q is paused by the config", name)
		e.Hint = `set status = "enabled" in its table and reload`
		return e
	}
	return l.hold(false)
}

// steerable is a target that an operator may enable, pause or resume.
func (r desk) steerable(name string) (*lane, error) {
	l := r.laneNamed(name)
	if l == nil || !r.shown(l) {
		return nil, noTarget(name)
	}
	t := l.target()
	if t == nil {
		return nil, orphaned(name)
	}
	if t.Status == config.StatusDisabled {
		e := admin.Refuse(409, "disabled_by_config", "target %q is disabled by the config", name)
		e.Hint = `set status = "enabled" in its table and reload`
		return nil, e
	}
	return l, nil
}

func orphaned(name string) *admin.Error {
	e := admin.Refuse(409, "orphan", "target %q is not in the config any more", name)
	e.Hint = "put its table back and reload; its deliveries are kept"
	return e
}

// Unready is part of admin.Backend.
func (r *Relay) Unready() []string {
	reasons := []string{}
	if !r.ready.Load() {
		reasons = append(reasons, "starting")
	}
	if r.draining.Load() {
		reasons = append(reasons, "stopping")
	}
	if err := r.deaf.Load(); err != nil {
		reasons = append(reasons, (*err).Error())
	}
	for _, ln := range r.servers.patients() {
		if err := ln.Deaf(time.Now()); err != nil {
			reasons = append(reasons, err.Error())
		}
	}
	if err := r.spool.Admit(0); err != nil {
		reasons = append(reasons, err.Error())
	}
	if text := engineTrouble(r.spool.EngineErrors()); text != "" {
		reasons = append(reasons, text)
	}
	return reasons
}

// engineTroubled is how long an error of the engine's makes a relay unready. One that lasts is
// reported again within that; one of a moment is no reason to send nobody here for ever.
const engineTroubled = time.Minute

// engineTrouble is a reason to be unready, or empty.
func engineTrouble(n int64, last time.Time) string {
	if n == 0 || time.Since(last) >= engineTroubled {
		return ""
	}
	return fmt.Sprintf("the spool's engine reported %d errors, the last within a minute; see the log",
		n)
}

// Dead is part of admin.Backend.
func (r *Relay) Dead() error {
	if err := r.deaf.Load(); err != nil {
		return *err
	}
	return r.spool.Err()
}

// Gather is part of admin.Backend.
func (r desk) Gather() ([]*dto.MetricFamily, error) {
	for _, l := range r.allLanes() {
		if r.shown(l) != r.metrics.has(l.name) {
			l.matchSeries()
		}
	}
	return r.metrics.registry.Gather()
}
