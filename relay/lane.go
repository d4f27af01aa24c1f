package relay

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/early"
	"github.com/hookspool/hookspool/relay/frequency"
	"github.com/hookspool/hookspool/relay/gate"
	"github.com/hookspool/hookspool/relay/history"
	"github.com/hookspool/hookspool/relay/jq"
	"github.com/hookspool/hookspool/relay/line"
	"github.com/hookspool/hookspool/relay/pace"
	"github.com/hookspool/hookspool/relay/pulse"
	"github.com/hookspool/hookspool/relay/seldom"
	"github.com/hookspool/hookspool/relay/slots"
	"github.com/hookspool/hookspool/relay/tally"
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
	gate   gate.Gate
	pace   pace.Pace
	early  *early.Queue
	pulse  pulse.Pulse // of its successes
	// work is the target and its client as of the last reload; nil: no target of this name (an
	// orphan).
	work atomic.Pointer[work]
	crew crew
	// portion is fetched by whoever holds fetching, and taken from by it and the workers.
	portion portion
	lines   *line.Lines
	// listing is held while what is pending gets its places in line.
	listing sync.Mutex
	// running: live and jobLoop are started. Guarded by Relay.lanesMu.
	running bool
	// forgotten is closed when the target is forgotten, which ends them.
	forgotten chan struct{}
	// tenure is written by the follower alone, with mu held.
	tenure tenure
	// jobs asks for a job; capacity 1, because whoever sends has set jobRunning first.
	jobs       chan jobOrder
	jobRunning atomic.Bool
	// board tells what the last job came to. asking is held while a job is asked for, and while one
	// ends, so that whoever asks knows which it is.
	board     tally.Board
	asking    sync.Mutex
	another   atomic.Bool   // somebody asked for a job while one ran
	outlasted atomic.Int64  // ticks that came while the job runs, and were skipped
	jobTick   atomic.Uint64 // of the job that runs
	// fetching is held by whoever takes fresh deliveries: the live side, or the job of a Defective
	// target. A delivery is handed out to one of them only.
	fetching sync.Mutex
	// troubled is set while a success has something to mend: failed jobs, or a ramp.
	troubled atomic.Bool
	ramping  atomic.Bool
	// lastStatus belongs to the last failure.
	lastStatus atomic.Int64
	// successes and failures are the attempts of the last seconds.
	successes, failures frequency.Counter
	// minutes are what happened in those that are not kept yet.
	minutes history.Counter
	// unsent, unread, unfiltered and expiring let through what the log says of events that cannot be
	// sent, or read, on which a program failed, or which are too old.
	unsent, unread, unfiltered, expiring seldom.Gate
	// noToken is why there was none for the last attempt; nil: there was, or it needs none.
	noToken atomic.Pointer[noToken]
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

// noToken is a failure to get what a target wants as Authorization, or to make what it is to get.
// It is no failure of the target's, and not in the spool: whoever starts will hear it again.
type noToken struct {
	at  time.Time
	err string
}

// work is what an attempt needs of a target.
type work struct {
	target *config.Target
	client *attempt.Client
	// orderOf is the order of an event's delivery, 0 if it has none; nil: none has.
	orderOf func(*spool.Event) uint64
	// transform makes the payload; nil: it is sent as it came.
	transform *jq.Program
	proxy     string // masked; empty: none
}

// task is one delivery for a worker.
type task struct {
	work        *work
	event       *spool.Event
	attempts    int // requests made so far
	firstFailed time.Time
	fresh       bool
	replay      bool
	job         *job // nil: a live attempt, or an early retry
	early       int  // which early retry it is, from 1; 0: none
	tenure      uint64
	order       uint64 // see package line; 0: none
	with        *batch // what goes in one request, this the first of it; nil: it goes alone
	beside      bool   // its request is noted with another one
}

func newLane(r *Relay, s *spool.Lane, tenure uint64, warned memo) *lane {
	l := &lane{r: r, name: s.Name(), spool: s, lines: newLines(r, s), fetch: s.Fetch,
		jobs: make(chan jobOrder, 1), halt: make(chan struct{}), forgotten: make(chan struct{}),
		standing: s.Standing(), memo: warned, gate: gate.New(), early: early.New(&r.early)}
	close(l.halt)
	l.halted = true
	l.troubled.Store(l.standing.FailedJobs > 0)
	l.tenure.Store(tenure)
	l.series.Store(r.metrics.lane(l.name, l.tenure.ours()))
	return l
}

// tenure is this relay's of a lane, another number each time; 0: another relay may have it. What
// was begun in an earlier one settles nothing.
type tenure struct{ atomic.Uint64 }

// ours reports whether this relay serves the lane.
func (t *tenure) ours() bool { return t.Load() != 0 }

// stale reports whether the lane is not any more what it was in a tenure: another relay has it, or
// had it meanwhile. Whoever has it now makes the attempt again.
func (t *tenure) stale(of uint64) bool {
	now := t.Load()
	return now == 0 || now != of
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
func (l *lane) statusLocked() Status { return statusOf(l.target(), standingLocked(l)) }

// standingLocked is the newest standing, or what is known of it of a lane of another relay's; mu is
// held.
func standingLocked(l *lane) spool.Standing {
	if l.tenure.ours() {
		return l.standing
	}
	return l.spool.Standing()
}

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

// shutBy is until when a target is left alone, because it asked for that; zero: it is not.
func shutBy(t *config.Target, st spool.Standing, now time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return gate.Until(st.ShutUntil, now, t.RetryAfterMax)
}

// shutUntil is shutBy for a lane.
func shutUntil(l *lane) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	return shutBy(l.target(), standingLocked(l), l.r.now())
}

// shut reports whether no attempt may be begun although the target is Enabled or Defective.
func shut(l *lane) bool { return !shutUntil(l).IsZero() }

// shutLocked is shut for a change, which comes again when the gate opens; mu is held.
func shutLocked(l *lane) bool {
	now := l.r.now()
	until := shutBy(l.target(), standingLocked(l), now)
	if until.IsZero() {
		return false
	}
	if l.tenure.ours() {
		l.standing.ShutUntil = until
	}
	l.gate.Shut(until.Sub(now))
	return true
}

func (l *lane) status() Status {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.statusLocked()
}

// changed brings the lane in line with its target and standing.
func (l *lane) changed() {
	l.mu.Lock()
	status, ours := l.statusLocked(), l.tenure.ours()
	live := ours && status == Enabled && !shutLocked(l)
	switch {
	case live && l.halted:
		l.halt, l.halted = make(chan struct{}), false
	case !live && !l.halted:
		close(l.halt)
		l.halted = true
	}
	l.mu.Unlock()
	if t := l.target(); t != nil {
		if !l.ramping.Load() {
			l.slots.SetLimit(t.Concurrency)
		}
		l.pace.Set(t.Rate.PerSecond()) // whoever waits for a turn looks whether to go on
	} else {
		l.pace.Set(0)
	}
	l.spool.Open(live || ours && status == Defective)
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
		case <-l.gate.Wake():
			l.changed()
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
	var err error
	if l.work.Load().batches() != nil {
		err = sendBatches(l, halt)
	} else {
		err = l.sendPortions(halt)
	}
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
	tenure := l.tenure.Load()
	more, err := true, error(nil)
	for more && err == nil && l.work.Load().batches() == nil {
		if l.pace.On() {
			more, err = sendInTurn(l, halt)
		} else if more = l.acquireForPortion(halt); more {
			var t task
			if t, more, err = l.takeOrFetch(halt); more {
				l.hire(t)
			} else {
				l.slots.Release()
			}
		}
	}
	// After the end of a tenure the spool has forgotten what it handed out.
	if seq, left := l.portion.drop(); left && !l.tenure.stale(tenure) {
		l.spool.Release(seq)
	}
	if l.work.Load().batches() != nil {
		l.spool.Wake() // a reload just now
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
		w := l.work.Load()
		if w == nil || closed(l.r.stopping) || closed(halt) {
			return t, false, nil
		}
		if err := w.lineUp(l); err != nil || w.held(l, l.tenure.Load()) {
			return t, false, err
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
	if l.pace.On() || l.work.Load().batches() != nil || !l.slots.Keeps(int(l.portion.inLine.Load())) {
		return task{}, false
	}
	return l.take()
}

// take is the next delivery of the portion, if it may be sent.
func (l *lane) take() (t task, ok bool) {
	// Before the portion: one that may still be sent then is of this tenure.
	work, tenure := l.work.Load(), l.tenure.Load()
	if work == nil || closed(l.r.stopping) {
		return t, false
	}
	if work.orderOf != nil {
		if !work.linedUp(l) || work.held(l, tenure) {
			return t, false
		}
		t = task{work: work, fresh: true, tenure: tenure}
		t.event, t.order = l.lines.Take(tenure, l.portion.take, work.orderOf)
		return t, t.event != nil
	}
	e := l.portion.take()
	return task{work: work, event: e, fresh: true, tenure: tenure}, e != nil
}

// dispatch waits for a turn and a slot, and hands the delivery to a worker; false if halt was
// closed or the job was over first.
func (l *lane) dispatch(t task, halt <-chan struct{}) bool {
	inTurn := l.pace.On()
	if t.with != nil {
		inTurn = inTurn && !t.with.idle(l.r.now())
	} else if st, old := expired(l, &t); old && t.order == 0 {
		l.r.spool.Settle(st)
		t.landed()
		return true
	}
	goes := func() bool { return (t.job == nil || !t.job.over()) && !t.outdated(l) }
	if inTurn && !l.pace.Take(halt, goes) {
		return false
	}
	if !l.slots.Acquire(halt) {
		return false
	}
	t.work = l.work.Load()
	if t.work == nil || closed(l.r.stopping) || !goes() {
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
func (l *lane) logAttempt(t *task, out *attempt.Outcome) {
	l.r.log.LogAttrs(context.Background(), slog.LevelInfo, "attempt",
		slog.String("target", l.name), slog.String("id", t.event.ID()),
		slog.String("type", t.event.Type()), slog.Int("attempt", t.attempts),
		slog.String("outcome", out.Kind.String()),
		slog.Int("status", out.Status), slog.Duration("duration", out.Duration),
		slog.String("error", out.Error))
}

// settlement is the verdict over one attempt.
func (l *lane) settlement(t *task, out *attempt.Outcome) spool.Settlement {
	st := spool.Settlement{
		Lane: l.spool.ID(), Seq: t.event.Seq, AcceptedAt: t.event.At, Fresh: t.fresh,
		Attempts: t.attempts + 1, At: l.r.now(), Status: out.Status, Error: out.Error,
		FirstFailed: t.firstFailed, Replay: t.replay, Order: t.orderNow(l),
		Made: spool.Made{Outcome: uint8(out.Kind), Duration: out.Duration, Remote: out.Remote,
			Snippet: out.Snippet, Request: out.Request, Response: out.Response},
	}
	switch {
	case !out.Kind.Made():
		st.Verdict, st.Attempts, st.Made.Duration = spool.Withheld, t.attempts, 0
		st.Due = l.r.spool.LastTick().Number + 1
	case out.Kind == attempt.Success:
		st.Verdict = spool.Delivered
	case t.attempts < l.target().Retries(&l.r.setup.Load().cfg.Retry):
		st.Verdict = spool.Retry
		st.Due = l.r.spool.LastTick().Number + 1
	case l.target().PausedBy(out.Status):
		// It stays pending: its last attempt is made again once somebody has looked.
		st.Verdict, st.Attempts = spool.Retry, t.attempts
		st.Due = l.r.spool.LastTick().Number + 1
	default:
		st.Verdict = spool.Exhausted
		l.r.log.Warn("a delivery is exhausted; it is kept and can be replayed",
			"target", l.name, "id", t.event.ID(), "requests", st.Attempts, "error", out.Error)
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
