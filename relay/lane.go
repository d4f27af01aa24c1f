package relay

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/pulse"
	"github.com/hookspool/hookspool/relay/seldom"
	"github.com/hookspool/hookspool/relay/slots"
	"github.com/hookspool/hookspool/spool"
)

// fetchMin to fetchMax deliveries are taken from the spool at once; they wait in memory for a slot,
// and all targets together keep about fetchAll of them. A lane that has fallen behind reads the
// log, and every read waits for the commit under way: with 32 at once it was left ever further
// behind under full load (256 senders: 20,000/s accepted, 14,000/s delivered; with 256 as many).
const (
	fetchMin = 32
	fetchMax = 256
	fetchAll = 4096
)

// readPause is how long a lane waits after the log could not be read, for want of a descriptor say.
const readPause = time.Second

func fetchSize(targets int) int {
	return min(max(fetchAll/max(targets, 1), fetchMin), fetchMax)
}

// lane is one target's sending side. It lives as long as the relay, across reloads; what may
// change is behind work and mu.
type lane struct {
	r     *Relay
	name  string
	spool *spool.Lane
	// fetch is the spool lane's, but for tests.
	fetch func(most int) ([]*spool.Event, error)
	// series are the lane's metrics; replaced when the name returns after its series were removed.
	series atomic.Pointer[laneMetrics]
	slots  slots.Slots
	pulse  pulse.Pulse // of its successes
	// work is the target and its client as of the last reload; nil: no target of this name (an
	// orphan).
	work atomic.Pointer[work]
	crew crew
	// portion is fetched by whoever holds fetching, and taken from by it and the workers.
	portion portion
	// running: live and jobLoop are started. Guarded by Relay.lanesMu.
	running bool
	// forgotten is closed when the target is forgotten, which ends them.
	forgotten chan struct{}
	// jobs asks for a job; capacity 1, because whoever sends has set jobRunning first.
	jobs       chan jobOrder
	jobRunning atomic.Bool
	another    atomic.Bool // somebody asked for a job while one ran
	// fetching is held by whoever takes fresh deliveries: the live side, or the job of a Defective
	// target. A delivery is handed out to one of them only.
	fetching sync.Mutex
	// troubled is set while a success has something to mend: failed jobs, or a ramp.
	troubled atomic.Bool
	ramping  atomic.Bool
	// lastStatus belongs to the last failure.
	lastStatus atomic.Int64
	// successes and failures are the attempts of the last seconds.
	successes, failures rate
	// unsent and unread let through what the log says of events that cannot be sent, or read.
	unsent, unread seldom.Gate
	// expires is when the target's certificate does, as last seen, in unix seconds; 0: none was.
	expires atomic.Int64

	mu sync.Mutex // guards below; never held across disk or network
	// standing is the newest; writes go to the spool in the order of its changes.
	standing spool.Standing
	// memo goes to the spool in the same order.
	memo memo
	// halt is closed while no live attempt may start, and replaced when they may again.
	halt   chan struct{}
	halted bool
}

// work is what an attempt needs of a target.
type work struct {
	target *config.Target
	client *attempt.Client
}

// task is one delivery for a worker.
type task struct {
	work        *work
	event       *spool.Event
	attempts    int // requests made so far
	firstFailed time.Time
	fresh       bool
	replay      bool
	job         *job // nil: a live attempt
}

func newLane(r *Relay, s *spool.Lane, warned memo) *lane {
	l := &lane{r: r, name: s.Name(), spool: s, fetch: s.Fetch, jobs: make(chan jobOrder, 1),
		halt: make(chan struct{}), forgotten: make(chan struct{}), standing: s.Standing(),
		memo: warned}
	close(l.halt)
	l.halted = true
	l.troubled.Store(l.standing.FailedJobs > 0)
	l.series.Store(r.metrics.lane(l.name))
	return l
}

func (l *lane) m() *laneMetrics { return l.series.Load() }

// target is the lane's target, nil for an orphan.
func (l *lane) target() *config.Target {
	if w := l.work.Load(); w != nil {
		return w.target
	}
	return nil
}

// statusLocked is what the lane is to the operator; mu is held.
func (l *lane) statusLocked() Status { return statusOf(l.target(), l.standing) }

// statusOf is what a target is to the operator; nil: there is none.
func statusOf(t *config.Target, st spool.Standing) Status {
	switch {
	case t == nil || t.Status == config.StatusDisabled:
		return Disabled
	case t.Status == config.StatusPaused || st.Held:
		return Paused
	case !st.DefectiveSince.IsZero():
		return Defective
	}
	return Enabled
}

func (l *lane) status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statusLocked()
}

// changed brings the lane in line with its target and standing.
func (l *lane) changed() {
	l.mu.Lock()
	status := l.statusLocked()
	live := status == Enabled
	switch {
	case live && l.halted:
		l.halt, l.halted = make(chan struct{}), false
	case !live && !l.halted:
		close(l.halt)
		l.halted = true
	}
	l.mu.Unlock()
	if t := l.target(); t != nil && !l.ramping.Load() {
		l.slots.SetLimit(t.Concurrency)
	}
	l.spool.Open(live || status == Defective)
	l.m().status.Set(float64(status))
}

func (l *lane) haltC() <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.halt
}

// live sends fresh deliveries as they come, in order, until the relay stops or the target is
// forgotten.
func (l *lane) live() {
	for {
		select {
		case <-l.r.stopping:
			return
		case <-l.forgotten:
			return
		case <-l.spool.Ready():
		}
		for l.sendFresh() {
		}
	}
}

// sendFresh hands out fresh deliveries until there is none; false when there is nothing to do now.
func (l *lane) sendFresh() bool {
	halt := l.haltC()
	if closed(halt) || closed(l.r.stopping) {
		return false
	}
	err := l.sendPortions(halt)
	if err == nil {
		return false
	}
	if n, ok := l.unread.Pass(time.Now(), saySeldom); ok {
		l.r.log.Error("cannot read the log for a target; it is tried again every second", "target",
			l.name, "error", err, "failures", n)
	}
	// Nobody else would wake the lane before the next event, and there may be none.
	return l.r.waits(readPause)
}

// sendPortions takes a slot for each delivery and hires a worker for it. While it waits for a slot,
// the workers help themselves to the rest of the portion (next).
func (l *lane) sendPortions(halt <-chan struct{}) error {
	l.fetching.Lock()
	defer l.fetching.Unlock()
	var err error
	for l.acquireForPortion(halt) {
		var t task
		var ok bool
		if t, ok, err = l.takeOrFetch(halt); !ok {
			l.slots.Release()
			break
		}
		l.hire(t)
	}
	if seq, left := l.portion.drop(); left {
		l.spool.Release(seq)
	}
	return err
}

// takeOrFetch is the next delivery, of the next portion if this one is at its end. Nobody else
// fetches, so a portion that has none to give is at its end, or may not be sent any more.
func (l *lane) takeOrFetch(halt <-chan struct{}) (t task, ok bool, err error) {
	for {
		if t, ok = l.take(); ok {
			return t, true, nil
		}
		if l.work.Load() == nil || closed(l.r.stopping) || closed(halt) {
			return t, false, nil
		}
		events, err := l.fetch(fetchSize(len(l.r.setup.Load().cfg.Targets)))
		if err != nil || len(events) == 0 {
			return t, false, err
		}
		l.portion.give(events, halt)
	}
}

func (l *lane) acquireForPortion(halt <-chan struct{}) bool {
	l.portion.inLine.Store(1)
	defer l.portion.inLine.Store(0)
	return l.slots.Acquire(halt)
}

// next is what a worker goes on with, in the slot that it has, without being hired for it; false:
// it is to give the slot back.
func (l *lane) next() (task, bool) {
	if !l.slots.Keeps(int(l.portion.inLine.Load())) {
		return task{}, false
	}
	return l.take()
}

// take is the next delivery of the portion, if it may be sent.
func (l *lane) take() (t task, ok bool) {
	work := l.work.Load()
	if work == nil || closed(l.r.stopping) {
		return t, false
	}
	e := l.portion.take()
	return task{work: work, event: e, fresh: true}, e != nil
}

// portion are the deliveries that were fetched last and wait for a slot.
type portion struct {
	// inLine is 1 while whoever hands them out waits for a slot.
	inLine atomic.Int32
	mu     sync.Mutex // guards below
	events []*spool.Event
	halt   <-chan struct{} // closed: they may not be sent any more
}

func (p *portion) give(events []*spool.Event, halt <-chan struct{}) {
	p.mu.Lock()
	p.events, p.halt = append(p.events, events...), halt
	p.mu.Unlock()
}

// take is the first of them; nil: there is none that may be sent.
func (p *portion) take() *spool.Event {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.events) == 0 || closed(p.halt) {
		return nil
	}
	e := p.events[0]
	p.events[0] = nil // its payload must not outlive its delivery
	p.events = p.events[1:]
	return e
}

// drop forgets what is left, and returns the first of it.
func (p *portion) drop() (seq uint64, left bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.events) > 0 {
		seq, left = p.events[0].Seq, true
	}
	p.events = nil
	return seq, left
}

// dispatch waits for a slot and hands the delivery to a worker; false if halt was closed or the job
// was over first.
func (l *lane) dispatch(t task, halt <-chan struct{}) bool {
	if !l.slots.Acquire(halt) {
		return false
	}
	t.work = l.work.Load()
	if t.work == nil || closed(l.r.stopping) || t.job != nil && t.job.over() {
		l.slots.Release()
		return false
	}
	l.hire(t)
	return true
}

// landed tells the task's job, if it has one, that it need not wait for it.
func (t *task) landed() {
	if t.job != nil {
		t.job.flying.Done()
	}
}

// logAttempt writes the line of log.deliveries. What is in it is neither payload nor secret: an
// outcome's error is free of both.
func (l *lane) logAttempt(req *attempt.Request, out *attempt.Outcome) {
	l.r.log.LogAttrs(context.Background(), slog.LevelInfo, "attempt",
		slog.String("target", l.name), slog.String("id", req.ID), slog.String("type", req.Type),
		slog.Int("attempt", req.Attempt), slog.String("outcome", out.Kind.String()),
		slog.Int("status", out.Status), slog.Duration("duration", out.Duration),
		slog.String("error", out.Error))
}

// settlement is the verdict over one attempt.
func (l *lane) settlement(t *task, out *attempt.Outcome) spool.Settlement {
	st := spool.Settlement{
		Lane: l.spool.ID(), Seq: t.event.Seq, AcceptedAt: t.event.At, Fresh: t.fresh,
		Attempts: t.attempts + 1, At: l.r.now(), Status: out.Status, Error: out.Error,
		FirstFailed: t.firstFailed, Replay: t.replay,
		Made: spool.Made{Outcome: uint8(out.Kind), Duration: out.Duration, Remote: out.Remote,
			Snippet: out.Snippet},
	}
	switch {
	case !out.Kind.Made():
		st.Verdict, st.Attempts, st.Made.Duration = spool.Withheld, t.attempts, 0
		st.Due = l.r.spool.LastTick().Number + 1
	case out.Kind == attempt.Success:
		st.Verdict = spool.Delivered
	case t.attempts >= l.r.setup.Load().cfg.Retry.MaxAttempts:
		st.Verdict = spool.Exhausted
		l.r.log.Warn("a delivery is exhausted; it is kept and can be replayed",
			"target", l.name, "id", t.event.ID(), "requests", st.Attempts, "error", out.Error)
	default:
		st.Verdict = spool.Retry
		st.Due = l.r.spool.LastTick().Number + 1
	}
	return st
}

// failed notes a failure for the operator and slows a ramp down.
func (l *lane) failed(out *attempt.Outcome) {
	l.lastStatus.Store(int64(out.Status))
	if l.ramping.Load() {
		if t := l.target(); t != nil {
			l.slots.Ramp(false, t.Concurrency)
		}
	}
	l.r.log.Debug("an attempt failed", "target", l.name, "outcome", out.Kind.String(),
		"status", out.Status, "error", out.Error)
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
