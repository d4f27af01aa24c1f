package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/book"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/early"
	"github.com/hookspool/hookspool/relay/memory"
	"github.com/hookspool/hookspool/relay/peers"
	"github.com/hookspool/hookspool/relay/seldom"
	"github.com/hookspool/hookspool/relay/sharing"
	"github.com/hookspool/hookspool/relay/trace"
	"github.com/hookspool/hookspool/relay/unwanted"
	"github.com/hookspool/hookspool/relay/walk"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
)

// Options make a Relay. Config, Version and Log are required.
type Options struct {
	Config  *config.Config
	Version string
	Log     *slog.Logger
	// Level, when set, follows log.level at a reload.
	Level *slog.LevelVar
	// AcceptLoss starts on a spool that has lost acknowledged events.
	AcceptLoss bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// Budget divides the memory; the zero value: there is no limit.
	Budget memory.Budget
	// OnCompaction, when set, is told when the spool's engine begins to compact and when it has ended.
	OnCompaction func(begins bool)
	// Starting, when set, ends a start that waits for the servers of a spool that relays share.
	Starting context.Context
	// Manual is what the console serves below /help/; nil: nothing is.
	Manual admin.Manual
	// LogDropped, when set, counts the lines of Log that were never written. It is asked at every
	// scrape, from any goroutine.
	LogDropped func() uint64
}

// Relay accepts events, spools them and delivers them to its targets. It is safe for concurrent
// use.
type Relay struct {
	version string
	log     *slog.Logger
	level   *slog.LevelVar
	now     func() time.Time
	budget  memory.Budget
	spool   *spool.Spool
	metrics *metrics
	book    *book.Book // of what operators do
	tracer  trace.Tracer
	payers  [ways]*payer
	buffers attempt.Buffers // of all targets
	whole   spoolWatch
	accept  *accept.Server
	servers *servers
	// patience is withheldPatience, but for tests.
	patience time.Duration
	// wanting lets through what the log says of wants, roomMade the closing of idle connections.
	wanting, roomMade seldom.Gate
	// company are the relays that share the spool; nil: it is this one's alone.
	company *peers.Company
	// setup is the configuration at work, swapped whole by a reload.
	setup atomic.Pointer[setup]
	early early.Room
	clock clock
	// walks lets few searches at a time look into payloads.
	walks *walk.Gate
	// unwanted are the newest events that no target wanted.
	unwanted unwanted.Memory

	// deaf is why a listener ended by itself, deafC is closed when it has.
	deaf     atomic.Pointer[error]
	deafC    chan struct{}
	deafOnce sync.Once

	reloads  reloader
	retired  []*setup // guarded by reloads.mu; those with events in hand
	lanesMu  sync.RWMutex
	byName   map[string]*lane // guarded by lanesMu
	started  bool             // guarded by lanesMu: lanes run
	seriesMu sync.Mutex       // held while a lane is given series, or loses them

	startedAt  time.Time
	reloadAt   atomic.Int64
	reloadBad  atomic.Bool
	onReady    func()
	ready      atomic.Bool
	draining   atomic.Bool
	stopOnce   sync.Once
	stopping   chan struct{}   // closed when no new attempt, tick or mail may start
	attempts   context.Context // of all attempts; cancelled when the drain's time is up
	cutOff     context.CancelFunc
	mailing    context.Context // of all alerts; cancelled when the relay stops
	stopMail   context.CancelFunc
	goroutines sync.WaitGroup
	leaving    sync.WaitGroup // may wait for the spool to be closed
}

// New opens the spool, binds the listeners and wires everything; nothing runs until Run. On an
// error everything is undone.
func New(o Options) (_ *Relay, err error) {
	if o.Budget == (memory.Budget{}) {
		o.Budget = memory.For(0, 0)
	}
	r := &Relay{
		version: o.Version, log: o.Log, level: o.Level, now: o.Now, metrics: newMetrics(&o),
		budget:   o.Budget,
		byName:   make(map[string]*lane),
		stopping: make(chan struct{}), deafC: make(chan struct{}), startedAt: time.Now(),
		patience: withheldPatience,
	}
	if r.now == nil {
		r.now = time.Now
	}
	r.walks = walk.New(r.metrics.acceptedCount)
	r.attempts, r.cutOff = context.WithCancel(context.Background())
	r.mailing, r.stopMail = context.WithCancel(context.Background())
	r.payers, r.clock = newPayers(r), newClock(r)
	r.reloads.r, r.reloads.files.Ended, r.reloads.sources = r, r.stopping, o.Config.Sources
	first := &setup{cfg: &config.Config{}}
	*first.cfg = *o.Config
	first.cfg.Targets = nil // they have no lanes yet
	first.judges(nil)
	r.setup.Store(first)
	if r.servers, err = listen(r, &o); err != nil {
		return nil, err
	}
	if r.spool, err = r.openSpool(&o); err != nil {
		return nil, errors.Join(err, r.servers.close())
	}
	r.book = &book.Book{Spool: r.spool, Log: r.log, Now: r.now}
	if shared := r.spool.Shared(); shared != nil {
		r.company = peers.New(shared, peers.Seats{Spool: r.spool}, r.spool.LastTick().At)
	}
	r.metrics.history.Store = r.spool
	if r.company != nil {
		r.metrics.history.Relay = r.company.Name()
	}
	r.tracer = trace.New(r.version, r.log)
	r.accept = r.newAccept(o.Config, &o.Budget)
	r.spool.Start()
	r.whole.memo, r.whole.led = r.memoOf(nil), r.company.Leads()
	for _, l := range r.spool.Lanes() {
		r.addLane(l)
	}
	if err := r.apply(o.Config); err != nil {
		r.tracer.Close(time.Now())
		return nil, errors.Join(err, r.spool.Close(), r.servers.close())
	}
	r.metrics.registry.MustRegister(newCollector(r))
	return r, nil
}

// openSpool opens the spool on the engine of the config.
func (r *Relay) openSpool(o *Options) (*spool.Spool, error) {
	options := r.spoolOptions(o)
	if !o.Config.Spool.Shared() {
		if err := care.CheckHome(options.Dir, false); err != nil {
			return nil, err
		}
		return spool.Open(options)
	}
	var err error
	options.Engine, err = sharing.Open(sharing.Options{Config: o.Config, Log: o.Log,
		Context: o.Starting, AcceptLoss: o.AcceptLoss, Memory: o.Budget.Engine,
		OnCompaction: o.OnCompaction})
	if err != nil {
		return nil, err
	}
	return spool.Open(options)
}

func (r *Relay) spoolOptions(o *Options) spool.Options {
	return spool.Options{
		Dir: o.Config.Spool.Dir, EncryptionKey: o.Config.Spool.Key, Log: o.Log,
		Decide: decide, Limits: limitsOf(o.Config), AcceptLoss: o.AcceptLoss, Now: r.now,
		Busy: busy(r), Wants: wants(r), OnCompaction: o.OnCompaction, FreshBytesMax: o.Budget.Fresh,
		EngineBytes: o.Budget.Engine,
		OnCommit: func(events int, took time.Duration) {
			r.metrics.syncDuration.Observe(took.Seconds())
			r.metrics.commitEvents.Observe(float64(events))
			r.accept.KeepPace(time.Now(), r.spool.SyncLatency())
		},
	}
}

// busy says whether a job runs at a lane.
func busy(r *Relay) func(*spool.Lane) bool {
	return func(s *spool.Lane) bool {
		l := r.laneNamed(s.Name())
		return l != nil && l.jobRunning.Load()
	}
}

// wants says whether a lane's target is in the config.
func wants(r *Relay) func(*spool.Lane) bool {
	return func(s *spool.Lane) bool {
		l := r.laneNamed(s.Name())
		return l != nil && l.target() != nil
	}
}

// newAccept makes what takes events; the spool is open.
func (r *Relay) newAccept(cfg *config.Config, b *memory.Budget) *accept.Server {
	entrance := accept.Spool(r.spool)
	if r.company != nil {
		entrance = peers.Entrance{Spool: r.spool, Company: r.company}
	}
	return accept.New(accept.Options{
		Config: cfg, Rules: func() *accept.Rules { return &r.setup.Load().rules },
		Spool: entrance, Counter: r.metrics, Waiting: r.waiting, Log: r.log, Now: r.now,
		Tracer: r.tracer.Accepting(), BodyBytes: b.Bodies, ConnectionsMost: b.Connections,
		MemoryMost: b.Brink,
	})
}

// waiting is what waits for its first attempt at Enabled targets.
func (r *Relay) waiting() (w accept.Waiting) {
	now, cpus := r.now(), runtime.GOMAXPROCS(0)
	for _, l := range r.allLanes() {
		quick, moves := l.pulse.Look(now, l.slots.Limit(), cpus)
		if !moves || !l.tenure.ours() || l.status() != Enabled || shut(l) || l.pace.On() {
			continue
		}
		n := l.spool.Counts().Fresh
		if quick {
			w.Quick, w.AnyQuick = max(w.Quick, n), true
		} else {
			w.Slow = max(w.Slow, n)
		}
	}
	return w
}

func limitsOf(cfg *config.Config) spool.Limits {
	return spool.Limits{MaxBytes: cfg.Spool.MaxSize, MinFreeBytes: cfg.Spool.MinFreeDisk,
		KeepDelivered: cfg.Spool.KeepDelivered, KeepExhausted: cfg.Spool.KeepExhausted,
		DedupeWindow: cfg.Event.DedupeWindow}
}

// OnReady sets what is called once when the relay is ready. Call it before Run.
func (r *Relay) OnReady(f func()) { r.onReady = f }

// Run serves until ctx is done, then drains as CONTRACT §3 says, or until the spool fails or a
// listener ends by itself, which is the error. The spool is closed when it returns.
func (r *Relay) Run(ctx context.Context) error {
	r.start()
	var err error
	select {
	case <-ctx.Done():
		err = r.drain()
	case <-r.spool.Failed():
		err = r.abandon()
	case <-r.deafC:
		err = errors.Join(*r.deaf.Load(), r.drain())
	}
	return err
}

// spawn is the package's only way to start a goroutine; Run waits for all of them.
func (r *Relay) spawn(f func()) { r.goroutines.Go(f) }

// start lets everything run: lanes before listeners, so that the first event finds them.
func (r *Relay) start() {
	r.lanesMu.Lock()
	r.started = true
	for _, l := range r.byName {
		r.startLaneLocked(l)
	}
	r.lanesMu.Unlock()
	r.spawn(r.clock.loop)
	if r.company != nil {
		r.company.Answer(front{desk{r}}.answer)
		r.spawn((&follower{r: r}).loop)
	}
	for _, p := range r.payers {
		r.spawn(p.loop)
	}
	r.spawn(r.warnLoop)
	r.spawn(r.reloads.watchLoop)
	r.wakePayers()
	for _, serve := range r.servers.all() {
		r.spawn(serve)
	}
	r.ready.Store(true)
	if r.onReady != nil {
		r.onReady()
	}
}

// addLane makes a lane for a name that the spool knows.
func (r *Relay) addLane(s *spool.Lane) *lane {
	// The tenure first: a lane that is gained while this goes on is taken over like any other.
	tenure := r.company.Tenure(s)
	warned := r.memoOf(s) // from the disk, so before the lock
	r.lanesMu.Lock()
	defer r.lanesMu.Unlock()
	if l := r.byName[s.Name()]; l != nil {
		return l
	}
	l := newLane(r, s, tenure, warned)
	r.byName[l.name] = l
	return l
}

// dropLane forgets a lane that the spool has forgotten.
func dropLane(r *Relay, l *lane) {
	r.lanesMu.Lock()
	if r.byName[l.name] == l {
		delete(r.byName, l.name)
	}
	r.lanesMu.Unlock()
	close(l.forgotten)
	l.pace.Set(0) // who waits for a turn is to look
	if w := l.work.Swap(nil); w != nil {
		w.client.Close()
	}
	r.seriesMu.Lock()
	r.metrics.forget(l.name)
	r.seriesMu.Unlock()
}

// startLaneLocked lets a lane run once there is a target for it: an orphan has nothing to do. One
// whose target goes away keeps its goroutines, which wait: it may come back with any reload.
func (r *Relay) startLaneLocked(l *lane) {
	if l.running || l.target() == nil || !r.started || closed(r.stopping) {
		return
	}
	l.running = true
	r.spawn(l.live)
	r.spawn(l.jobLoop)
}

// waits lets some time pass; false if the relay stops.
func (r *Relay) waits(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.stopping:
		return false
	case <-timer.C:
		return true
	}
}

// makeRoom closes what connections are idle, at all targets, and lets none become idle for a
// moment: where every descriptor is taken by targets that are asked often, the others would never
// get one.
func (r *Relay) makeRoom() {
	if _, ok := r.roomMade.Pass(time.Now(), roomSeldom); !ok {
		return
	}
	for _, l := range r.allLanes() {
		if w := l.work.Load(); w != nil {
			w.client.CloseIdle(roomFor)
		}
	}
}

func (r *Relay) laneNamed(name string) *lane {
	r.lanesMu.RLock()
	defer r.lanesMu.RUnlock()
	return r.byName[name]
}

// drain leaves in order (HOUSE §5.2): unready at once, accepting until it is quiet, answering what
// is in hand, letting attempts finish, settling, closing the spool.
func (r *Relay) drain() error {
	limit := r.setup.Load().cfg.Server.DrainTimeout
	deadline := time.Now().Add(limit)
	r.draining.Store(true)
	r.log.Info("stopping: unready, still accepting until no request came for a second",
		"drain_timeout", limit)
	keepHistory(r, r.now(), true) // as long as the targets are this relay's
	leave(r, limit/4)
	r.acceptUntilQuiet(limit / 2)
	r.accept.Close()
	err := r.accept.Shutdown(time.Until(deadline))
	// Here, before attempts end, is where the lanes of a shared spool are given away: what is accepted
	// is spooled, and nobody waits for a lane then until the last attempt has timed out.
	err = errors.Join(err, r.stop(deadline))
	if err == nil {
		r.log.Info("stopped; what is pending is in the spool")
	}
	return err
}

// leave gives the targets to other relays, which serve them while this one still accepts. It waits
// for that no longer than there is time.
func leave(r *Relay, most time.Duration) {
	given := make(chan struct{})
	r.leaving.Go(func() {
		defer close(given)
		r.spool.Leave()
	})
	timer := time.NewTimer(most)
	defer timer.Stop()
	select {
	case <-given:
	case <-timer.C:
	}
}

// movedPatience is how long a relay whose spool was moved away stays for what is in hand.
const movedPatience = time.Second

// abandon stops after the spool failed: nothing can be acknowledged or settled any more.
func (r *Relay) abandon() error {
	r.accept.Close()
	patience, drain := 5*time.Second, r.setup.Load().cfg.Server.DrainTimeout
	if errors.Is(r.spool.Err(), spool.ErrMoved) {
		// As long as it lives the engine may write where somebody else's files are by now.
		patience, drain = movedPatience, min(drain, movedPatience)
	}
	deadline := time.Now().Add(drain)
	// Callers that are waiting hear 507 before the listeners go.
	err := r.accept.Shutdown(patience)
	return errors.Join(r.spool.Err(), err, r.stop(deadline))
}

// quiet is how long no request must have come before a drain stops accepting.
const quiet = time.Second

func (r *Relay) acceptUntilQuiet(most time.Duration) {
	end := time.Now().Add(most)
	began := time.Now()
	check := time.NewTicker(20 * time.Millisecond)
	defer check.Stop()
	for now := range check.C {
		last := r.accept.LastAt()
		if last.Before(began) {
			last = began
		}
		if now.Sub(last) >= quiet || now.After(end) {
			return
		}
		if r.spool.Err() != nil {
			return
		}
	}
}

// stop ends attempts, mail and ticks, waits for every goroutine and closes the spool.
func (r *Relay) stop(deadline time.Time) error {
	var err error
	r.stopOnce.Do(func() {
		close(r.stopping)
		r.spool.StopWaiting() // or a full disk would hold up the goroutines below
		r.stopMail()
		r.reloads.await()
		cut := time.AfterFunc(time.Until(deadline), r.cutOff)
		defer cut.Stop()
		err = r.servers.shutdownAdmin(time.Until(deadline))
		r.goroutines.Wait()
		keepHistory(r, r.now(), true)
		r.cutOff()
		err = errors.Join(err, r.spool.Close(), r.servers.close())
		r.leaving.Wait()
		r.tracer.Close(deadline)
		for _, l := range r.allLanes() {
			if w := l.work.Load(); w != nil {
				w.client.Close()
			}
		}
		r.setup.Load().close()
	})
	if err != nil {
		return fmt.Errorf("cannot stop cleanly: %w", err)
	}
	return nil
}
