package spool

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"

	"sync"
	"sync/atomic"
	"time"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/idpass"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/remains"
	"github.com/hookspool/hookspool/spool/volume"
	"github.com/hookspool/hookspool/spool/wallclock"
)

// Errors that callers tell apart with errors.Is.
var (
	// ErrClosed: the spool was closed.
	ErrClosed = errors.New("the spool is closed")
	// ErrFailed: a commit failed. What is on disk is unknown until the next start reads it, so
	// nothing is acknowledged any more in this process.
	ErrFailed = errors.New("the spool stopped after a disk error")
	// ErrFull: the disk budget is used up.
	ErrFull = engine.ErrFull
	// ErrInUse: another process has the spool open.
	ErrInUse = engine.ErrInUse
	// ErrWrongKey: the encryption key does not open this spool.
	ErrWrongKey = engine.ErrWrongKey
	// ErrMoved: the spool's files are not where they were opened.
	ErrMoved = engine.ErrMoved
	// ErrAway: the spool that was open here is away.
	ErrAway = engine.ErrAway
	// ErrRestoring: a restore into the directory was cut off.
	ErrRestoring = engine.ErrRestoring
	// ErrNoInodes: the file system can hold no more files.
	ErrNoInodes = engine.ErrNoInodes
	// ErrElsewhere: another relay serves the target.
	ErrElsewhere = engine.ErrElsewhere
	// ErrLoss: the spool holds less than it acknowledged.
	ErrLoss = engine.ErrLoss
	// ErrUnavailable: the spool's servers do not answer now.
	ErrUnavailable = engine.ErrUnavailable
	// ErrNotFound: no such event or delivery.
	ErrNotFound = engine.ErrNotFound
	// ErrNoSpool: there is no spool in this directory.
	ErrNoSpool = engine.ErrNoSpool
	// ErrDamaged: something in the spool cannot be read or does not add up.
	ErrDamaged = engine.ErrDamaged
)

// Options configure a Spool. Dir, Log and Decide are required.
type Options struct {
	// Dir is the spool's own directory; it is made with mode 0700.
	Dir string
	// EncryptionKey is 16, 24 or 32 bytes, or empty.
	EncryptionKey []byte
	Log           *slog.Logger
	// Decide settles a draft's session and lanes. It is called once per new event in commit order,
	// on the committer's goroutine, so that what it reads from the View is never stale.
	Decide func(*View, *Draft)
	Limits
	// AcceptLoss opens a spool that has lost acknowledged events instead of refusing.
	AcceptLoss bool
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// FreshBytesMax bounds the events that lanes keep in memory, from their commit until they are
	// handed out; what is beyond it is read from the log. An event counts once, however many lanes
	// keep it. 0: 32 MiB.
	FreshBytesMax int64
	// OnCommit, when set, is told of every synced group: the events in it and how long it took.
	OnCommit func(events int, took time.Duration)
	// OnCompaction, when set, is told when the engine begins to compact, and when it has ended, at
	// most a tenth of a second late.
	OnCompaction func(begins bool)

	// Busy, when set, reports whether attempts of a lane are made that did not come from Fetch: a lane
	// that another relay is to have waits for them a little.
	Busy func(*Lane) bool
	// Wants, when set, reports whether this relay can serve a lane: where several relays share the
	// spool, one that cannot takes it only if nobody else does.
	Wants func(*Lane) bool

	// EngineBytes is what the embedded engine may take of memory; 0: as much as is of use.
	EngineBytes int64

	// Engine, when set, is what the spool stands on instead of Badger in Dir. It is the spool's to
	// close. It has no files that the spool would care for, so Dir holds the high-water mark alone.
	Engine engine.Engine

	seam engine.Seam
	// stuckAfter and patience are instead of the constants of these names; 0 is those.
	stuckAfter, patience time.Duration
	// free and inodes ask the file system; nil is volume.FreeBytes and FreeInodes.
	free, inodes func(dir string) (int64, error)
}

// Limits are the settings that a reload may change.
type Limits struct {
	// MaxBytes bounds the bytes on disk, MinFreeBytes what must stay free on the file system;
	// beyond either Admit refuses. Zero: no bound of ours.
	MaxBytes, MinFreeBytes int64
	// KeepDelivered and KeepExhausted say how long events stay after nobody needs them.
	KeepDelivered, KeepExhausted time.Duration
	// DedupeWindow says how long an id given by the app is remembered.
	DedupeWindow time.Duration
}

// Spool is the durable store of a relay. Its methods are safe for concurrent use.
type Spool struct {
	dir      string
	log      *slog.Logger
	engine   engine.Engine
	disk     *ondisk.Store // the engine, if it is the embedded one
	shared   engine.Shared // the engine, if several relays use it
	crew     crew          // nothing of it is used otherwise
	decide   func(*View, *Draft)
	now      func() time.Time
	onCommit func(int, time.Duration)
	busy     func(*Lane) bool
	wants    func(*Lane) bool
	seam     engine.Seam
	// stuckAfter is how long a spool that has failed waits for its committer, and patience how long an
	// outcome waits for a group to ride with.
	stuckAfter, patience time.Duration
	format               record.Format
	key                  []byte // of encryption; empty: none
	*ondisk.Files
	limits atomic.Pointer[Limits]

	// ops carries work to the committer. Its senders are Append and Apply; nobody closes it.
	// Capacity: enough that a thousand waiting callers fill a group while the last one syncs.
	ops     chan *op
	free    sync.Pool     // of ops
	closing chan struct{} // closed by Close
	// changed has capacity 1: a token means that another relay has changed something.
	changed chan struct{}
	done    chan struct{} // closed by the committer when it has written its last
	ctx     context.Context
	cancel  context.CancelFunc
	running sync.WaitGroup

	// head is the newest committed event. The committer alone writes it, before it feeds the lanes.
	head atomic.Uint64
	// fed is the newest event that every lane was fed, checkpointed what the last checkpoint says,
	// nextSeq the sequence of the next event: the committer's own.
	fed, checkpointed, nextSeq uint64
	// carry waits for the next group: what did not fit into the last one, and at a closed gate more.
	carry          []*op
	group          group
	lastCheckpoint time.Time
	// swept is the sequence up to which delivered events were looked at and removed.
	swept atomic.Uint64
	// storedHead is the head that the checkpoint on disk says.
	storedHead atomic.Uint64
	// replays counts replays; the sweep starts over when one came in between.
	replays atomic.Uint64
	// unspooled numbers the ids of events that nobody wanted, since the start.
	unspooled atomic.Uint64

	lanesMu   sync.RWMutex // guards byName, byID, lanes, lastLane, forgotten
	byName    map[string]*Lane
	byID      map[record.LaneID]*Lane
	lanes     []*Lane
	lastLane  record.LaneID          // the highest number that was ever given
	forgotten map[record.LaneID]bool // false: something of it is still to be deleted
	dirtyMu   sync.Mutex             // guards dirty
	dirty     []*Lane
	dirtyC    chan struct{} // capacity 1: a token means that dirty is not empty
	fresh     feed

	failure     atomic.Pointer[error] // set once: the spool acknowledges nothing any more
	failed      chan struct{}         // closed when failure is set
	failOnce    sync.Once
	quarantined atomic.Int64
	tick        atomic.Pointer[record.Tick]
	gate        gate
	hw          *highwater.Mark
	sweepMu     sync.Mutex // held across a portion; guards what follows
	passes      map[record.LaneID]*exhaustedPass
	remains     remains.Pass
	idPass      idpass.Pass // the keeper's
	clock       wallclock.Clock
	groups      atomic.Uint64 // written
	unheld      unheld
	// readers are held by looks at a snapshot, which Close waits for.
	readers   sync.RWMutex
	cursors   atomic.Int64 // kept by lanes
	closeOnce sync.Once
	closeErr  error
}

// Open opens or makes the spool in o.Dir and reads its state: O(targets), not O(backlog). Nothing
// runs until Start.
func Open(o Options) (_ *Spool, err error) {
	if o.Engine != nil {
		if err := volume.PrepareDir(o.Dir); err != nil {
			return nil, errors.Join(err, o.Engine.Close())
		}
	} else {
		lock, err := care.Enter(o.Dir, o.AcceptLoss)
		if err != nil {
			return nil, err
		}
		defer lock.Close()
	}
	s := newSpool(o)
	if s.disk != nil {
		if err := s.disk.Preflight(); err != nil {
			return nil, err
		}
		err = s.through("open engine", s.disk.Open)
	}
	defer func() {
		if err != nil {
			named, _ := volume.NameSystem(err)
			err = errors.Join(volume.NameSpace(named, o.Dir), s.abandon())
		}
	}()
	if err != nil {
		return nil, fmt.Errorf("cannot open spool %q: %w", o.Dir, err)
	}
	if err := s.load(); err != nil {
		return nil, fmt.Errorf("cannot open spool %q: %w", o.Dir, err)
	}
	if s.disk != nil {
		err = s.settleIn()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open spool %q: %w", o.Dir, err)
	}
	return s, nil
}

// settleIn takes the embedded engine's files as they are now.
func (s *Spool) settleIn() error {
	t := ondisk.Tenant{ID: s.ID(), Empty: s.head.Load() == 0 && s.hw.Last() == 0}
	for _, former := range s.format.Former {
		t.Former = append(t.Former, fmt.Sprintf("%x", former))
	}
	return s.disk.Settle(t)
}

// abandon closes what a failed Open had opened.
func (s *Spool) abandon() (errs error) {
	if s.hw != nil {
		errs = s.hw.Close()
	}
	if s.engine != nil {
		errs = errors.Join(errs, s.engine.Close())
	}
	return errs
}

func newSpool(o Options) *Spool {
	s := &Spool{
		dir: o.Dir, key: o.EncryptionKey, log: o.Log, decide: o.Decide, now: o.Now, engine: o.Engine,
		onCommit: o.OnCommit, busy: o.Busy,
		wants: o.Wants,
		seam:  o.seam, stuckAfter: cmp.Or(o.stuckAfter, stuckAfter),
		patience: cmp.Or(o.patience, patience),
		ops:      make(chan *op, 1024), closing: make(chan struct{}), done: make(chan struct{}),
		byName: make(map[string]*Lane), byID: make(map[record.LaneID]*Lane),
		forgotten: make(map[record.LaneID]bool), passes: make(map[record.LaneID]*exhaustedPass),
		dirtyC: make(chan struct{}, 1), changed: make(chan struct{}, 1),
		fresh:  feed{max: cmp.Or(o.FreshBytesMax, freshBytesMax)},
		failed: make(chan struct{}), clock: wallclock.Clock{Log: o.Log},
	}
	s.free.New = func() any { return newOp(nil) }
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.now == nil {
		s.now = time.Now
	}
	s.gate.leave = make(chan struct{})
	files := ondisk.Files{Dir: o.Dir, Key: o.EncryptionKey, Log: o.Log, Through: o.seam,
		Repairs: true, AcceptLoss: o.AcceptLoss, Free: o.free,
		Answered: func() (uint64, error) { return highwater.Read(o.Dir) },
		Raise:    func(to uint64) error { return highwater.Raise(o.Dir, to) }}
	s.Files = &files
	if o.Engine == nil {
		s.disk = ondisk.NewStore(ondisk.StoreOptions{Files: files, Fail: s.fail, Inodes: o.inodes,
			OnCompaction: o.OnCompaction, Memory: o.EngineBytes})
		s.engine, s.Files = s.disk, s.disk.Files
	}
	if s.shared, _ = s.engine.(engine.Shared); s.shared != nil {
		s.crew.init(s)
		s.clock.Several = true
	}
	if s.busy == nil {
		s.busy = func(*Lane) bool { return false }
	}
	if s.wants == nil {
		s.wants = func(*Lane) bool { return true }
	}
	if s.onCommit == nil {
		s.onCommit = func(int, time.Duration) {}
	}
	s.SetLimits(o.Limits)
	return s
}

// Start lets the committer, the keeper and the memory loop run.
func (s *Spool) Start() {
	s.running.Go(s.commitLoop)
	began := s.now()
	s.running.Go(func() { s.keepLoop(began) })
	if s.shared != nil {
		s.crew.started.Store(true)
		s.running.Go(s.crew.loop)
	}
	s.running.Go(func() { s.engine.Run(s.ctx) })
}

// Close writes what is settled, stops and closes the engine. Appends that are waiting are answered
// first. It is idempotent, and safe before Start. A spool that has failed in a commit from which
// the engine does not return is left as after a kill, with an error.
func (s *Spool) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.cancel()
		s.StopWaiting()
		if !ended(s) {
			s.closeErr = errors.Join(errStuck, s.hw.Close())
			return
		}
		s.readers.Lock()
		defer s.readers.Unlock()
		s.dropCursors(time.Now())
		var err error
		if s.Err() == nil {
			err = s.hw.Write(s.head.Load())
		}
		s.closeErr = errors.Join(err, s.hw.Close(), s.through("close engine", s.engine.Close))
	})
	return s.closeErr
}

// ended waits until nothing runs; false: the spool has failed and its committer is stuck.
func ended(s *Spool) bool {
	all := make(chan struct{})
	go func() {
		s.running.Wait()
		close(all)
	}()
	select {
	case <-all:
		return true
	case <-s.failed:
	}
	stuck := time.NewTimer(s.stuckAfter)
	defer stuck.Stop()
	select {
	case <-all:
		return true
	case <-stuck.C:
		return false
	}
}

// SetLimits replaces the limits, at a reload.
func (s *Spool) SetLimits(l Limits) {
	s.limits.Store(&l)
	s.engine.SetLimits(engine.Limits{MaxBytes: l.MaxBytes, MinFreeBytes: l.MinFreeBytes})
}

func (s *Spool) through(call string, do func() error) error { return s.seam.Do(call, do) }

// closed reports whether Close was called.
func (s *Spool) closed() bool {
	select {
	case <-s.closing:
		return true
	default:
		return false
	}
}

// Err is the failure that stopped the spool, or nil.
func (s *Spool) Err() error {
	if p := s.failure.Load(); p != nil {
		return *p
	}
	return nil
}

// Failed is closed when the spool has stopped after a disk error.
func (s *Spool) Failed() <-chan struct{} { return s.failed }

// fail stops the spool for good: after a failed commit or sync nobody knows what is on disk, and
// a later success proves nothing (measured: relays that carried on lost about 900 acknowledged
// events at the next power cut).
func (s *Spool) fail(err error) error {
	s.failOnce.Do(func() {
		moved := errors.Is(err, ErrMoved)
		named, _ := volume.NameSystem(err)
		err := fmt.Errorf("%w: %w", ErrFailed, volume.NameSpace(named, s.dir))
		s.failure.Store(&err)
		if moved {
			s.log.Error("the spool's files were moved or removed while they were open; nothing is "+
				"acknowledged any more and the relay stops; what was acknowledged is in what was moved, "+
				"and lost with what was removed", "error", err)
		} else {
			s.log.Error("cannot write the spool; nothing is acknowledged any more and the relay stops; "+
				"the next start reads what is on disk", "error", err)
		}
		close(s.failed)
	})
	return s.Err()
}

// Now is the spool's clock.
func (s *Spool) Now() time.Time { return s.now() }

// Head is the newest committed event's sequence; 0: none yet.
func (s *Spool) Head() uint64 { return s.head.Load() }

// ID names this spool, in hexadecimal.
func (s *Spool) ID() string { return fmt.Sprintf("%x", s.format.ID) }

// LastTick is the last tick that was stored.
func (s *Spool) LastTick() record.Tick { return *s.tick.Load() }

// Quarantined counts the records that could not be read and were set aside.
func (s *Spool) Quarantined() int64 { return s.quarantined.Load() }

// EngineErrors counts what the engine reported only in its log, and says when it last did.
func (s *Spool) EngineErrors() (n int64, last time.Time) { return s.engine.Errors() }

// Disk is what the keeper measured last.
func (s *Spool) Disk() engine.Usage { return s.engine.Usage() }

// Admit says whether n more bytes may be accepted: ErrFull beyond the budget, ErrFailed after a
// disk error. Until the next measurement they count as written; what is not spooled after all is to
// be given back by Forgo. Room for settling what was accepted is never part of what Admit gives
// away.
func (s *Spool) Admit(n int) error {
	if err := s.Err(); err != nil {
		return err
	}
	if err := s.gate.err(); err != nil {
		return err
	}
	if s.shared != nil {
		if err := s.shared.Away(); err != nil {
			return err
		}
	}
	return s.engine.Admit(n)
}

// Forgo gives back n bytes that were admitted and not spooled.
func (s *Spool) Forgo(n int) { s.engine.Forgo(n) }

// SyncLatency is the least that one of the last syncs of a small file beside the log took: what the
// disk takes, without what other work adds to it. 0: there was none yet.
func (s *Spool) SyncLatency() time.Duration { return s.hw.Latency() }

// spoolNumber is the part of the spool's id that goes into the ids of events.
func (s *Spool) spoolNumber() uint32 { return s.format.Number() }
