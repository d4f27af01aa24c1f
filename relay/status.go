package relay

import (
	"fmt"
	"slices"
	"strings"
	"time"

	dto "github.com/prometheus/client_model/go"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/tally"
	"github.com/hookspool/hookspool/relay/trouble"
	"github.com/hookspool/hookspool/spool"
)

// desk is the relay as the admin API sees and steers it. Every answer comes from sums or from a
// bounded look into an index.
type desk struct{ *Relay }

// Admin is the relay as the admin API sees and steers it.
func (r *Relay) Admin() admin.Backend { return front{desk{r}} }

// The spans of the rates, in seconds (frequency.Counter has room for them).
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
		AcceptedPerSecond: r.metrics.acceptedRate.Mean(time.Now(), acceptedSpan),
		LastEvent:         r.lastEvent(),
		ReloadedAt:        time.Unix(0, r.reloadAt.Load()),
		ReloadFailed:      r.reloadBad.Load(),
		Relays:            r.peers(),
	}
	copies := r.company.Copies()
	s.CopiesComparedAt = instantOrNil(copies.Compared)
	for _, c := range copies.Short {
		s.CopiesShort = append(s.CopiesShort, admin.ShortCopy{Server: c.Node, Missing: c.Missing,
			Since: c.Since.UTC(), Leads: c.Leads, Doubtful: c.Doubtful})
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

// peers are the relays that share the spool; none for one that is alone.
func (r desk) peers() []admin.Peer {
	c := r.company
	if c == nil {
		return nil
	}
	lanes := make(map[string]int)
	for _, l := range r.allLanes() {
		lanes[c.Owner(l.spool.ID())]++
	}
	_, address := r.Addresses()
	list := []admin.Peer{{Name: c.Name(), Version: r.version, Admin: address}}
	for _, p := range c.Others() {
		list = append(list, admin.Peer{Name: p.Name, Version: p.Note.Version, Admin: p.Note.Admin,
			SeenAgo: max(0, time.Since(p.SeenAt).Seconds()), ConfigDiffers: p.Differs,
			ClockAhead: p.Ahead.Seconds()})
	}
	leader := c.Owner(spool.SpoolItself)
	for i := range list {
		list[i].Lanes, list[i].Leads = lanes[list[i].Name], list[i].Name == leader
	}
	slices.SortFunc(list, func(a, b admin.Peer) int { return strings.Compare(a.Name, b.Name) })
	return list
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
	standing, status := standingLocked(l), l.statusLocked()
	l.mu.Unlock()
	t := admin.Target{
		Name: l.name, Status: status.String(), Events: []string{}, Orphan: true,
		GoneSince:  instantOrNil(standing.GoneSince),
		HeldUntil:  instantOrNil(shutBy(l.target(), standing, l.r.now())),
		FailedJobs: standing.FailedJobs, FailedJobsMax: l.r.setup.Load().cfg.Defect.AfterFailedJobs,
		DefectiveSince: instantOrNil(standing.DefectiveSince),
		Pending:        c.Pending, Exhausted: c.Exhausted, Expired: c.Expired, Delivered: c.Delivered,
		Quarantined: c.Quarantined, LastSuccess: instantOrNil(c.LastSuccess),
		LastFailure: instantOrNil(c.LastFailure),
		JobRunning:  l.jobRunning.Load(), TicksOutlasted: l.outlasted.Load(),
		Relay: l.r.company.Owner(l.spool.ID()),
	}
	if l.tenure.ours() {
		n := l.slots.InUse()
		t.InFlight = &n
	}
	if t.LastJob = l.board.Last(); standing.Held {
		t.PausedSince, t.PausedBy = instantOrNil(standing.HeldSince), standing.HeldBy
	}
	if c.LastError != "" {
		t.LastError = &c.LastError
	}
	if lack := l.noToken.Load(); lack != nil && lack.at.After(c.LastFailure) {
		t.LastError, t.LastFailure = &lack.err, instantOrNil(lack.at)
	}
	describeSending(l, &t)
	if p, ok := l.spool.OldestPending(); ok {
		t.OldestPending = instantOrNil(p.At)
	}
	if target := l.target(); target != nil {
		t.Orphan, t.URL, t.Session = false, config.MaskURL(target.URL), target.Session
		t.Method, t.Order = target.Method, target.Order.String()
		t.TokenURL = config.MaskURL(target.OAuth2.TokenURL)
		t.Where, t.Transform = target.Where, target.Transform
		if w := l.work.Load(); w != nil {
			t.Proxy = w.proxy
		}
		for _, p := range target.Events {
			t.Events = append(t.Events, string(p))
		}
		t.Rate = target.Rate.String()
		if target.Expire > 0 {
			t.Expire = target.Expire.String()
		}
		for _, wait := range target.EarlyRetries {
			t.EarlyRetries = append(t.EarlyRetries, wait.String())
		}
		if t.MaxAttempts = target.MaxAttempts; target.EveryTicks > 1 {
			t.EveryTicks = target.EveryTicks
		}
		describeWay(target, &t)
	}
	t.Trouble = trouble.Of(&t, l.r.now())
	return t
}

// describeWay adds how a target is spoken to, and what its answers mean.
func describeWay(target *config.Target, t *admin.Target) {
	if target.HTTP != "1.1" {
		t.HTTP = target.HTTP
	}
	if target.Gone != "retry" {
		t.Gone = target.Gone
	}
	t.RetryAfterMax = target.RetryAfterMax.String()
}

// describeSending adds how it went lately.
func describeSending(l *lane, t *admin.Target) {
	now := l.r.now()
	t.RateSuccess = l.successes.Mean(now, rateSpan)
	t.RateFailed = l.failures.Mean(now, rateSpan)
	if !l.tenure.ours() {
		t.RateSuccess, t.RateFailed = ratesOf(l.spool, now)
	}
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

// ratesOf are the rates of a target that another relay serves, from the attempts that it has kept.
func ratesOf(l *spool.Lane, now time.Time) (success, failed float64) {
	recent, _ := l.Recent(0)
	for i := range recent {
		switch {
		case now.Sub(recent[i].At) > rateSpan*time.Second:
		case attempt.Kind(recent[i].Outcome) == attempt.Success:
			success++
		default:
			failed++
		}
	}
	return success / rateSpan, failed / rateSpan
}

// Enable is part of admin.Backend. The first success of the job lifts the defect, as any does.
func (r desk) Enable(o admin.Order) (uint64, error) {
	l, err := r.sendable(o.Target)
	if err == nil && o.Force {
		err = l.enable()
	}
	if err != nil {
		return 0, err
	}
	return r.jobNow(l, ended(r.Relay, &o))
}

// Retry is part of admin.Backend.
func (r desk) Retry(o admin.Order) (uint64, error) {
	l, err := r.sendable(o.Target)
	if err != nil {
		return 0, err
	}
	return r.jobNow(l, ended(r.Relay, &o))
}

// ended notes what the job of an order came to.
func ended(r *Relay, o *admin.Order) func(*tally.Job) {
	if o.Action.Run == "" {
		return nil // nobody noted the order
	}
	a := o.Action
	return func(j *tally.Job) {
		a.Count = uint64(j.Tried)
		r.book.End(&a, j.Summary)
	}
}

// sendable is a target that a job can run at.
func (r desk) sendable(name string) (*lane, error) {
	l, err := r.steerable(name)
	if err == nil && l.status() == Paused {
		e := admin.Refuse(409, "paused", "target %q is paused", name)
		e.Hint = "hookspool resume " + name
		return nil, e
	}
	if err == nil {
		if until := shutUntil(l); !until.IsZero() {
			return nil, held(name, until)
		}
	}
	return l, err
}

// Pause is part of admin.Backend.
func (r desk) Pause(o admin.Order) error {
	l, err := r.steerable(o.Target)
	if err != nil {
		return err
	}
	return l.hold(true, o.Action.Who.String())
}

// Resume is part of admin.Backend.
func (r desk) Resume(o admin.Order) error {
	l, err := r.steerable(o.Target)
	if err != nil {
		return err
	}
	if l.target().Status == config.StatusPaused {
		e := admin.Refuse(409, "paused_by_config", "target %q is paused by the config", o.Target)
		e.Hint = `set status = "enabled" in its table and reload`
		return e
	}
	if err := l.hold(false, ""); err != nil {
		return err
	}
	sendReplays(l)
	return nil
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
	if !l.tenure.ours() {
		return nil, spool.ErrElsewhere
	}
	return l, nil
}

// held refuses an order that would send something to a target that asked to be left alone.
func held(name string, until time.Time) error {
	e := admin.Refuse(409, "held", "target %q asked to be left alone until %s (Retry-After)", name,
		until.UTC().Format(time.RFC3339))
	e.Hint = "it goes on by itself then; hookspool resume " + name + " goes on now"
	return e
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
	if err := r.company.Away(); err != nil {
		reasons = append(reasons, "nothing can be spooled at the moment: "+err.Error())
	} else if err := r.spool.Admit(0); err != nil {
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
