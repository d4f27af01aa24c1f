package badger

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/volume"
)

// Store is the embedded engine in a spool's directory: the tree, its files, and the room that they
// have and need.
type Store struct {
	*Tree
	*Files
	limits       atomic.Pointer[engine.Limits]
	fail         func(error) error
	onCompaction func(bool)

	Figures    Figures
	Ballast    *volume.Ballast
	looking    sync.Mutex // held across a look around; guards what the premises have seen
	Premises   premises
	id         string // of the spool, once it is open
	shape      Shape
	noSync     bool
	Reclaimer  reclaimer
	collector  collector
	packer     packer
	reclaiming atomic.Bool
	rest       rest          // the memory loop's own
	stirred    chan struct{} // capacity 1; see stir

	errs  atomic.Int64
	errAt atomic.Int64 // of the last of them, in unix nanoseconds
}

var _ engine.Engine = (*Store)(nil)

// StoreOptions are what a store is made of. Files.Dir, Files.Log and Fail are required.
type StoreOptions struct {
	Files
	Limits engine.Limits
	// Fail stops the spool: what is on disk from now on is not known.
	Fail func(error) error
	// OnCompaction, when set, is told when the engine begins to compact, and when it has ended, at
	// most a memoryPause late.
	OnCompaction func(begins bool)
	// Inodes asks the file system; nil is volume.FreeInodes.
	Inodes func(dir string) (int64, error)
	// Memory is what the engine may take of it, in bytes; 0: as much as is of use.
	Memory int64
	// Unsynced: what is lost with the machine is to be had elsewhere.
	Unsynced bool
}

// NewStore is a store that is not open yet.
func NewStore(o StoreOptions) *Store {
	s := &Store{Files: &o.Files, fail: o.Fail, onCompaction: o.OnCompaction,
		Ballast: volume.OpenBallast(o.Files.Dir),
		stirred: make(chan struct{}, 1), shape: ShapeFor(o.Memory), noSync: o.Unsynced}
	s.collector = collector{Store: s, sound: make(map[uint32]bool)}
	s.packer = packer{Store: s, at: packAt, to: packTo}
	if s.shape.Small { // half as large are the tables that they are in
		s.packer.at, s.packer.to = packAt/2, packTo/2
	}
	if s.onCompaction == nil {
		s.onCompaction = func(bool) {}
	}
	s.Tree = NewTree(TreeOptions{Dir: o.Files.Dir, Log: o.Files.Log, Through: o.Through, Said: s.said,
		Free: o.Free, Inodes: o.Inodes})
	s.Files.Free = s.Room.Free
	s.SetLimits(o.Limits)
	return s
}

// Preflight refuses to open the engine on a disk so full that doing so could kill the process, even
// without the ballast.
func (s *Store) Preflight() error {
	free, err := s.Room.Free(s.Dir)
	if err != nil {
		return err
	}
	if ballast := s.Ballast.Size(); free < PreflightBytes && free+ballast >= PreflightBytes {
		if _, err := s.Ballast.ThrowOff(); err != nil {
			return err
		}
		s.Log.Warn("the disk is nearly full; the ballast was thrown off to start", "bytes", ballast)
		if free, err = s.Room.Free(s.Dir); err != nil {
			return err
		}
	}
	if free < PreflightBytes {
		if free, err = s.RemoveUnfinished(free); err != nil {
			return err
		}
	}
	if free < PreflightBytes {
		return fmt.Errorf("cannot open spool %q: %d bytes are free; %d are needed to start: %w",
			s.Dir, free, int64(PreflightBytes), engine.ErrFull)
	}
	inodes, err := s.Room.Inodes(s.Dir)
	if err == nil {
		err = InodesToStart(s.Dir, inodes)
	}
	return err
}

// Open opens the engine, once the disk has room for that and the files are found fit, or mended.
func (s *Store) Open() error {
	opts := Options(s.Dir, s.Key, Logger{Log: s.Log, Failed: s.failed, Said: s.said})
	if s.noSync {
		opts.SyncWrites = false
	}
	opts.ValueLogFileSize = valueFileFor(s.limits.Load().MaxBytes)
	if err := s.open(opts); err != nil {
		return err
	}
	if kind := volume.Copies(opts.Dir); kind != "" {
		s.Log.Warn("the file system of the spool copies what is written: when its disk is full a store "+
			"may end the process; move the spool by spool backup and spool restore, or elsewhere",
			"file_system", kind)
	}
	return nil
}

// open opens the engine in its shape.
func (s *Store) open(opts badger.Options) error {
	if !s.shape.Small {
		return s.Start(s.Files, opts, s.EmptyFileFound)
	}
	large, err := largeLogs(opts.Dir, smallMemTableBytes)
	if err != nil {
		return err
	}
	if large {
		// Written out as tables, they need no memtable any more.
		if err := s.Start(s.Files, opts, s.EmptyFileFound); err != nil {
			return err
		}
		if err := s.Tree.Close(); err != nil {
			return fmt.Errorf("cannot write out the memtable of an engine with more memory: %w", err)
		}
		s.DB = nil
	}
	s.shape.apply(&opts)
	return s.Start(s.Files, opts, s.EmptyFileFound)
}

// OpenReplica makes an engine for what is kept elsewhere, in a directory of which nothing stays.
func OpenReplica(o StoreOptions) (*Store, error) {
	if err := os.RemoveAll(o.Files.Dir); err != nil {
		return nil, fmt.Errorf("cannot remove the replica before: %w", err)
	}
	o.Unsynced = true
	s := NewStore(o)
	err := volume.PrepareDir(o.Files.Dir)
	if err == nil {
		err = s.Preflight()
	}
	if err == nil {
		err = s.Open()
	}
	if err == nil {
		err = s.Settle(Tenant{ID: "replica"})
	}
	if err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// EmptyFileFound tells of a file that a kill has left empty: the engine was opened again.
func (s *Store) EmptyFileFound(reason error) {
	s.Log.Warn("a kill had left a file of the engine empty; opening again", "reason", reason)
	s.errs.Store(0)
}

// said hears what the engine tells of its work in its log only. A list that could not be written
// stops the spool, as a commit would that has failed: what the list says from now on is not what
// there is.
func (s *Store) said(msg string) {
	if !s.AboutList(msg) {
		return
	}
	if err := s.WantRelist(); err != nil {
		s.Log.Error("cannot note that the engine's list of tables is not to be trusted", "error", err)
	}
	_ = s.fail(errors.New(msg))
}

func (s *Store) failed(string) {
	s.errAt.Store(time.Now().UnixNano())
	s.errs.Add(1)
}

// Errors is part of engine.Worker.
func (s *Store) Errors() (n int64, last time.Time) {
	return s.errs.Load(), time.Unix(0, s.errAt.Load())
}

// Tenant is the spool in a directory.
type Tenant struct {
	ID string
	// Former are the ids of those that it was restored from.
	Former []string
	// Empty: nothing was ever accepted.
	Empty bool
}

// Settle takes the files as they are now, of a spool that was read.
func (s *Store) Settle(t Tenant) error {
	s.id = t.ID
	err := s.welcome(t)
	if err == nil {
		err = s.Room.Begin()
	}
	if err == nil {
		err = s.Premises.begin(s.Dir)
	}
	if err == nil {
		err = s.Measure(true) // the keeper makes the ballast
	}
	return err
}

// welcome removes the file about an absence when the spool is back, or is given up. Another one
// that has accepted events goes on, but says so: whatever is in the first is not delivered.
func (s *Store) welcome(t Tenant) error {
	a, err := volume.Away(s.Dir)
	if err != nil || a == nil {
		return err
	}
	switch {
	case a.Spool == t.ID || slices.Contains(t.Former, a.Spool) || s.AcceptLoss:
		return volume.Remove(a.Path)
	case t.Empty:
		return a.Refusal(s.Dir)
	}
	s.Log.Error("another spool was open here before, and was moved or removed: what was accepted "+
		"into it is not delivered. Move it to a place of its own and serve it, or remove the file",
		"spool", a.Spool, "file", a.Path)
	return nil
}

// closeTries is how long a closing engine may report errors. Badger writes its memtable when it is
// closed and tries that for ever: on a disk that stays broken a relay would neither serve nor end.
// What is not written then is in Badger's log, for the next start to read.
const closeTries = 3 * time.Second

// Close is part of engine.Engine. Run must have ended.
func (s *Store) Close() error {
	err := s.closeTree()
	return errors.Join(err, s.Premises.close())
}

func (s *Store) closeTree() error {
	if s.DB == nil || s.Premises.dir == "" {
		return s.Tree.Close() // it was not settled: a start has failed
	}
	if err := s.Premises.left(); err != nil {
		// It would write its memtable, and remove its logs, in a directory that is somebody else's.
		s.Log.Warn("the engine is left as after a kill; the next start reads its log, where that is now",
			"reason", err)
		return nil
	}
	if err := s.roomToClose(); err != nil {
		s.Log.Warn("the disk has no room to close the engine; the next start reads its log, as after a "+
			"kill", "reason", err)
		return nil
	}
	closed := make(chan error, 1) // one result, which nobody may want any more
	go func() { closed <- s.Tree.Close() }()
	errs := s.errs.Load()
	ticker := time.NewTicker(closeTries)
	defer ticker.Stop()
	for {
		select {
		case err := <-closed:
			return err
		case <-ticker.C:
			if s.errs.Load() > errs {
				return errors.New("cannot close the engine: its disk fails; the next start reads its log")
			}
		}
	}
}
