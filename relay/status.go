package relay

import (
	"errors"
	"fmt"
	"strconv"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool"
)

// This file is the relay as the admin API sees it. Every answer comes from sums or from a bounded
// look into an index.

// Status is part of admin.Backend.
func (r *Relay) Status() admin.Status {
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
		LastEvent:    instantOrNil(instant(uint64(r.lastEvent.Load()))),
		ReloadedAt:   time.Unix(0, r.reloadAt.Load()),
		ReloadFailed: r.reloadBad.Load(),
	}
	if at := r.spool.LastTick().At; !at.IsZero() {
		s.NextTick = instantOrNil(r.now().Add(r.nextWait(r.now())))
	}
	for _, l := range r.allLanes() {
		c := l.spool.Counts()
		s.Pending += c.Pending
		s.Exhausted += c.Exhausted
	}
	return s
}

func instantOrNil(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// Targets is part of admin.Backend.
func (r *Relay) Targets() []admin.Target {
	lanes := r.shownLanes()
	out := make([]admin.Target, len(lanes))
	for i, l := range lanes {
		out[i] = l.describe()
	}
	return out
}

// Target is part of admin.Backend.
func (r *Relay) Target(name string) (admin.Target, bool) {
	l := r.laneNamed(name)
	if l == nil || !r.shown(l) {
		return admin.Target{}, false
	}
	return l.describe(), true
}

func (l *lane) describe() admin.Target {
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
		LastFailure: instantOrNil(c.LastFailure), InFlight: l.slots.inUse(),
		JobRunning: l.jobRunning.Load(),
	}
	if c.LastError != "" {
		t.LastError = &c.LastError
	}
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

// Enable is part of admin.Backend.
func (r *Relay) Enable(name string) error {
	l, err := r.steerable(name)
	if err != nil {
		return err
	}
	if l.status() == Paused {
		e := admin.Refuse(409, "paused", "target %q is paused", name)
		e.Hint = "hookspool resume " + name
		return e
	}
	if err := l.enable(); err != nil {
		return err
	}
	_, err = r.jobNow(l)
	return err
}

// Pause is part of admin.Backend.
func (r *Relay) Pause(name string) error {
	l, err := r.steerable(name)
	if err != nil {
		return err
	}
	return l.hold(true)
}

// Resume is part of admin.Backend.
func (r *Relay) Resume(name string) error {
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
func (r *Relay) steerable(name string) (*lane, error) {
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

// Event is part of admin.Backend.
func (r *Relay) Event(id string) (admin.Event, error) {
	e, err := r.spool.EventByID(id)
	if errors.Is(err, spool.ErrNotFound) {
		no := admin.Refuse(404, codeNotFound, "there is no event %q", cut(id, 256))
		no.Hint = "delivered events are kept for spool.keep_delivered; one that no target wanted " +
			"was never spooled"
		return admin.Event{}, no
	}
	if err != nil {
		return admin.Event{}, fmt.Errorf("cannot look up an event: %w", err)
	}
	out := admin.Event{ID: e.ID(), Type: e.Type(), ContentType: e.ContentType(),
		AcceptedAt: e.At.UTC(), Session: e.Session.String(), Bytes: len(e.Payload()),
		Deliveries: []admin.DeliveryState{}}
	for _, l := range r.spool.OwedBy(e) {
		state, d := l.Find(e)
		out.Deliveries = append(out.Deliveries, deliveryState(l.Name(), state, d))
	}
	return out, nil
}

func deliveryState(target string, state spool.State, d spool.Delivery) admin.DeliveryState {
	return admin.DeliveryState{Target: target, State: state.String(), Attempts: d.Attempts,
		FirstFailure: instantOrNil(d.FirstFailed), LastAttempt: instantOrNil(d.LastAt),
		LastStatus: d.LastStatus, LastError: d.LastError, Replay: d.Replay}
}

// Deliveries is part of admin.Backend. They are listed oldest event first.
func (r *Relay) Deliveries(q admin.Query) (admin.Deliveries, error) {
	l := r.laneNamed(q.Target)
	if l == nil {
		return admin.Deliveries{}, noTarget(q.Target)
	}
	from := uint64(0)
	if q.After != "" {
		seq, err := strconv.ParseUint(q.After, 10, 64)
		if err != nil {
			return admin.Deliveries{}, admin.Refuse(400, codeMalformed,
				"after is not the next of an answer")
		}
		from = seq
	}
	if q.State == "exhausted" {
		list, err := l.spool.ExhaustedDeliveries(from, q.Limit+1)
		next := uint64(0)
		if len(list) > q.Limit {
			next, list = list[q.Limit].Seq, list[:q.Limit]
		}
		return deliveriesPage(list, spool.StateExhausted, next), err
	}
	list, next, err := l.spool.PendingDeliveries(from, q.Limit)
	return deliveriesPage(list, spool.StatePending, next), err
}

func deliveriesPage(list []spool.Listed, state spool.State, next uint64) admin.Deliveries {
	page := admin.Deliveries{Deliveries: []admin.Delivery{}}
	if next > 0 {
		page.Next = strconv.FormatUint(next, 10)
	}
	for _, d := range list {
		out := admin.Delivery{DeliveryState: deliveryState(d.Lane.Name(), state, d.Delivery)}
		if d.Event != nil {
			out.ID, out.Type, out.AcceptedAt = d.Event.ID(), d.Event.Type(), d.Event.At.UTC()
			out.Bytes = len(d.Event.Payload())
		}
		page.Deliveries = append(page.Deliveries, out)
	}
	return page
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
	if err := r.spool.Admit(0); err != nil {
		reasons = append(reasons, err.Error())
	}
	if n := r.spool.EngineErrors(); n > 0 {
		reasons = append(reasons, fmt.Sprintf("the spool's engine reported %d errors; see the log", n))
	}
	return reasons
}

// Dead is part of admin.Backend.
func (r *Relay) Dead() error { return r.spool.Err() }

// Gather is part of admin.Backend.
func (r *Relay) Gather() ([]*dto.MetricFamily, error) { return r.metrics.registry.Gather() }
