package spool

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"sync"
	"sync/atomic"
	"time"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
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
	// ErrLoss: the spool holds less than it acknowledged.
	ErrLoss = engine.ErrLoss
	// ErrNotFound: no such event or delivery.
	ErrNotFound = engine.ErrNotFound
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
	// OnCommit, when set, is told of every synced group: the events in it and how long it took.
	OnCommit func(events int, took time.Duration)
	// OnCompaction, when set, is told when the engine begins to compact, and when it has ended, at
	// most a memoryPause late.
	OnCompaction func(begins bool)

	// Engine, when set, is what the spool stands on instead of Badger in Dir. It is the spool's to
	// close. It has no files that the spool would care for, so Dir holds the high-water mark alone.
	Engine engine.Engine

	seam engine.Seam
	// free and inodes ask the file system; nil is freeBytes and freeInodes.
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
	dir          string
	log          *slog.Logger
	engine       engine.Engine
	tree         *ondisk.Tree // the engine, if it is the embedded one
	decide       func(*View, *Draft)
	now          func() time.Time
	onCommit     func(int, time.Duration)
	onCompaction func(bool)
	seam         engine.Seam
	format       record.Format
	key          []byte // of encryption; empty: none
	*ondisk.Files
	limits atomic.Pointer[Limits]

	// ops carries work to the committer. Its senders are Append and Apply; nobody closes it.
	// Capacity: enough that a thousand waiting callers fill a group while the last one syncs.
	ops     chan *op
	free    sync.Pool     // of ops
	closing chan struct{} // closed by Close
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

	lanesMu    sync.RWMutex // guards byName, byID, lanes, lastLane, forgotten
	byName     map[string]*Lane
	byID       map[record.LaneID]*Lane
	lanes      []*Lane
	lastLane   record.LaneID          // the highest number that was ever given
	forgotten  map[record.LaneID]bool // false: something of it is still to be deleted
	dirtyMu    sync.Mutex             // guards dirty
	dirty      []*Lane
	dirtyC     chan struct{} // capacity 1: a token means that dirty is not empty
	freshBytes atomic.Int64
	// freshBytesMax bounds what all lanes together keep in memory.
	freshBytesMax int64

	failure     atomic.Pointer[error] // set once: the spool acknowledges nothing any more
	failed      chan struct{}         // closed when failure is set
	failOnce    sync.Once
	engineErrs  atomic.Int64
	engineErrAt atomic.Int64 // of the last of them, in unix nanoseconds
	quarantined atomic.Int64
	tick        atomic.Pointer[record.Tick]
	disk        diskState
	looking     sync.Mutex // held across a look around; guards what premises have seen
	gate        gate
	ballast     *volume.Ballast
	hw          *highwater.Mark
	premises    premises
	reclaimer   reclaimer  // the keeper's own
	sweepMu     sync.Mutex // held across a portion; guards sweeping, sweepTo
	sweeping    bool
	sweepTo     uint64
	sweepWhole  int64         // sweepWholeBytes
	rest        rest          // the memory loop's own
	groups      atomic.Uint64 // written
	reclaiming  atomic.Bool
	stirred     chan struct{} // capacity 1; see stir
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
	if !o.AcceptLoss {
		err = checkAway(o.Dir)
	}
	if err == nil {
		err = prepareDir(o.Dir)
	}
	if err != nil {
		return nil, err
	}
	s := newSpool(o)
	if o.Engine == nil {
		if err := s.tree.Preflight(s.Files, s.ballast); err != nil {
			return nil, err
		}
		err = s.through("open engine", s.openOnDisk)
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
	if s.onDisk() {
		err = s.settleIn()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot open spool %q: %w", o.Dir, err)
	}
	return s, nil
}

// onDisk reports that the engine is the embedded one, whose files the spool cares for.
func (s *Spool) onDisk() bool { return s.tree != nil }

// openOnDisk opens the embedded engine.
func (s *Spool) openOnDisk() error {
	opts := ondisk.Options(s.dir, s.key,
		ondisk.Logger{Log: s.log, Failed: s.engineFailed, Said: s.engineSaid})
	ondisk.SetLevelZero(&opts, ondisk.LevelZeroFor(s.attainable()))
	return s.tree.Start(s.Files, opts, s.emptyFileFound)
}

// emptyFileFound tells of a file that a kill has left empty: the engine was opened again.
func (s *Spool) emptyFileFound(reason error) {
	s.log.Warn("a kill had left a file of the engine empty; opening again", "reason", reason)
	s.engineErrs.Store(0)
}

// engineSaid hears what the engine tells of its work in its log only. A list that could not be
// written stops the spool, as a commit would that has failed: what the list says from now on is not
// what there is.
func (s *Spool) engineSaid(msg string) {
	if !s.AboutList(msg) {
		return
	}
	if err := s.WantRelist(); err != nil {
		s.log.Error("cannot note that the engine's list of tables is not to be trusted", "error", err)
	}
	_ = s.fail(errors.New(msg))
}

// settleIn takes the engine's files as they are now.
func (s *Spool) settleIn() error {
	err := s.welcome()
	if err == nil {
		err = s.tree.Room.Begin()
	}
	if err == nil {
		err = s.premises.begin(s.dir)
	}
	if err == nil {
		s.measureDisk()
	}
	return err
}

// abandon closes what a failed Open had opened.
func (s *Spool) abandon() error {
	errs := s.premises.close()
	if s.hw != nil {
		errs = errors.Join(errs, s.hw.Close())
	}
	if s.engine != nil {
		errs = errors.Join(errs, s.engine.Close())
	}
	return errs
}

func newSpool(o Options) *Spool {
	s := &Spool{
		dir: o.Dir, key: o.EncryptionKey, log: o.Log, decide: o.Decide, now: o.Now, engine: o.Engine,
		onCommit: o.OnCommit, onCompaction: o.OnCompaction,
		seam: o.seam,
		ops:  make(chan *op, 1024), closing: make(chan struct{}), done: make(chan struct{}),
		byName: make(map[string]*Lane), byID: make(map[record.LaneID]*Lane),
		forgotten: make(map[record.LaneID]bool),
		dirtyC:    make(chan struct{}, 1), stirred: make(chan struct{}, 1), freshBytesMax: 32 << 20,
		sweepWhole: sweepWholeBytes,
		failed:     make(chan struct{}),
	}
	s.free.New = func() any { return newOp() }
	s.ctx, s.cancel = context.WithCancel(context.Background())
	if s.now == nil {
		s.now = time.Now
	}
	s.gate.leave = make(chan struct{})
	s.ballast = volume.OpenBallast(o.Dir)
	s.Files = &ondisk.Files{Dir: o.Dir, Key: o.EncryptionKey, Log: o.Log, Through: o.seam,
		Repairs:    true,
		AcceptLoss: o.AcceptLoss, Free: o.free,
		Answered: func() (uint64, error) { return highwater.Read(o.Dir) },
		Raise:    func(to uint64) error { return highwater.Raise(o.Dir, to) }}
	if s.Files.Free == nil {
		s.Files.Free = volume.FreeBytes
	}
	if o.Engine == nil {
		s.tree = ondisk.NewTree(ondisk.TreeOptions{Dir: o.Dir, Log: o.Log, Through: o.seam,
			Said: s.engineSaid,
			Free: o.free, Inodes: o.inodes})
		s.engine = s.tree
	}
	if s.onCompaction == nil {
		s.onCompaction = func(bool) {}
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
	s.running.Go(s.keepLoop)
	s.running.Go(s.memoryLoop)
}

// Close writes what is settled, stops and closes the engine. Appends that are waiting are answered
// first. It is idempotent, and safe before Start.
func (s *Spool) Close() error {
	s.closeOnce.Do(func() {
		close(s.closing)
		s.cancel()
		s.running.Wait()
		s.readers.Lock()
		defer s.readers.Unlock()
		s.dropCursors(time.Now())
		var err error
		if s.Err() == nil {
			err = s.hw.Write(s.head.Load())
		}
		s.closeErr = errors.Join(err, s.hw.Close(), s.through("close engine", s.closeEngine),
			s.premises.close())
	})
	return s.closeErr
}

// closeTries is how long a closing engine may report errors. Badger writes its memtable when it is
// closed and tries that for ever: on a disk that stays broken a relay would neither serve nor end.
// What is not written then is in Badger's log, for the next start to read.
const closeTries = 3 * time.Second

func (s *Spool) closeEngine() error {
	if !s.onDisk() {
		return s.engine.Close()
	}
	if err := s.premises.left(); err != nil {
		// It would write its memtable, and remove its logs, in a directory that is somebody else's.
		s.log.Warn("the engine is left as after a kill; the next start reads its log, where that is now",
			"reason", err)
		return nil
	}
	if err := s.roomToClose(); err != nil {
		s.log.Warn("the disk has no room to close the engine; the next start reads its log, as after a "+
			"kill", "reason", err)
		return nil
	}
	closed := make(chan error, 1) // one result, which nobody may want any more
	go func() { closed <- s.engine.Close() }()
	errs := s.engineErrs.Load()
	ticker := time.NewTicker(closeTries)
	defer ticker.Stop()
	for {
		select {
		case err := <-closed:
			return err
		case <-ticker.C:
			if s.engineErrs.Load() > errs {
				return errors.New("cannot close the engine: its disk fails; the next start reads its log")
			}
		}
	}
}

// SetLimits replaces the limits, at a reload.
func (s *Spool) SetLimits(l Limits) { s.limits.Store(&l) }

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
			s.leaveWord()
		} else {
			s.log.Error("cannot write the spool; nothing is acknowledged any more and the relay stops; "+
				"the next start reads what is on disk", "error", err)
		}
		close(s.failed)
	})
	return s.Err()
}

// Head is the newest committed event's sequence; 0: none yet.
func (s *Spool) Head() uint64 { return s.head.Load() }

// ID names this spool, in hexadecimal.
func (s *Spool) ID() string { return fmt.Sprintf("%x", s.format.ID) }

// LastTick is the last tick that was stored.
func (s *Spool) LastTick() record.Tick { return *s.tick.Load() }

// Quarantined counts the records that could not be read and were set aside.
func (s *Spool) Quarantined() int64 { return s.quarantined.Load() }

func (s *Spool) engineFailed(string) {
	s.engineErrAt.Store(time.Now().UnixNano())
	s.engineErrs.Add(1)
}

// EngineErrors counts what the engine reported only in its log, and says when it last did.
func (s *Spool) EngineErrors() (n int64, last time.Time) {
	return s.engineErrs.Load(), time.Unix(0, s.engineErrAt.Load())
}

// spoolNumber is the part of the spool's id that goes into the ids of events.
func (s *Spool) spoolNumber() uint32 { return s.format.Number() }
