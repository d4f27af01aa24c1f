package spool

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/y"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/badger/mend"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// Whichever error of the system meets whichever call of a start or a commit, it is called what it
// is, never damage, and the next start without it goes on as if nothing had been.
func TestSystemErrorsAreNamed(t *testing.T) {
	calls := []string{"open engine", "open highwater", "write highwater", "sync highwater", "commit",
		"repair"}
	for _, call := range calls {
		t.Run(call, func(t *testing.T) {
			t.Parallel()
			f := open(t)
			f.lane("a")
			f.append("one", "a")
			f.close()
			if call == "repair" {
				f.damage(func(txn *badger.Txn) error { return txn.Set(record.LaneKey(record.PrefixLane, 1), []byte("x")) })
			}
			for _, errno := range volume.ErrnosOfSystem() {
				err := f.meets(call, y.Wrapf(&fs.PathError{Op: "open", Path: "/x", Err: errno}, "While"))
				if !errors.Is(err, errno) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrLoss) ||
					errors.Is(err, ErrInUse) {
					t.Errorf("%v: %v", errno, err)
				}
			}
			f.Spool = nil
			f.reopen()
			f.counts(f.lane("a"), 1, 0)
		})
	}
}

// meets opens the spool, writes a tick and a mark, with an error in the calls of a
// name, and returns what is said of that.
func (f *fixture) meets(call string, fault error) error {
	f.t.Helper()
	o := f.options()
	o.seam = func(c string, do func() error) error {
		if c == call {
			return fault
		}
		return do()
	}
	s, err := Open(o)
	if err != nil {
		return err
	}
	s.Start()
	err = errors.Join(s.Apply(Change{Tick: &record.Tick{}}), s.hw.Write(1-min(s.hw.Last(), 1)))
	if failed := s.Err(); failed != nil {
		err = failed
	} else if err != nil {
		err = s.fail(err)
	}
	_ = s.Close()
	return err
}

// A lock that cannot be had is not one that somebody holds.
func TestLockErrorIsNoUse(t *testing.T) {
	for errno, inUse := range map[syscall.Errno]bool{syscall.EWOULDBLOCK: true, syscall.ENOLCK: false,
		syscall.EIO: false, syscall.EOPNOTSUPP: false} {
		err := y.Wrapf(errno, "Cannot acquire directory lock on %q.  Another process is using this "+
			"Badger database.", "/x")
		if got := ondisk.IsLocked(err); got != inUse {
			t.Errorf("%v: in use %v", errno, got)
		}
	}
}

// A mark that cannot be read for a moment is not taken for a missing one: what it says decides what
// a start may drop, so nothing is repaired without it.
func TestHighWaterSystemError(t *testing.T) {
	_, dir := furnishLog(t, "")
	log, _ := onlyLog(t, dir)
	flipAt(t, log, mend.LogHeadBytes+100)
	path := filepath.Join(dir, highwater.Name)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil { // reading it is EISDIR
		t.Fatal(err)
	}
	f := &fixture{t: t, dir: dir}
	_, err := Open(f.options())
	if !errors.Is(err, syscall.EISDIR) || errors.Is(err, ErrDamaged) {
		t.Errorf("got %v; want EISDIR", err)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, ondisk.AsideDir, "*")); len(kept) > 0 {
		t.Errorf("something was repaired: %q", kept)
	}
	if err := highwater.Raise(dir, 1); !errors.Is(err, syscall.EISDIR) {
		t.Errorf("the mark was written again: %v", err)
	}
}

// A table that the system does not let anybody look at may be needed: the engine would delete it. A
// directory that is called like one is none.
func TestTableSystemError(t *testing.T) {
	f, dir := inTables(t, "")
	f.dir = dir
	if err := os.Mkdir(filepath.Join(dir, ondisk.Dir, "000098.sst"), 0o700); err != nil {
		t.Fatal(err)
	}
	f.Spool = nil
	f.reopen()
	f.close()
	name := filepath.Join(dir, ondisk.Dir, "000099.sst")
	if err := os.Symlink(name, name); err != nil { // opening it is ELOOP
		t.Fatal(err)
	}
	_, err := Open(f.options())
	if !errors.Is(err, syscall.ELOOP) || errors.Is(err, ErrDamaged) || errors.Is(err, ErrLoss) {
		t.Errorf("got %v; want ELOOP", err)
	}
	if _, err := os.Lstat(name); err != nil {
		t.Errorf("it was removed: %v", err)
	}
	if rep, err := care.Verify(t.Context(), f.readerOptions(), nil); err == nil {
		t.Errorf("verify tells of faults in what it could not look at: %q", rep.Faults)
	}
	if kept, _ := filepath.Glob(filepath.Join(dir, ondisk.AsideDir, "*")); len(kept) > 0 {
		t.Errorf("%q are set aside", kept)
	}
}

// Few free inodes refuse events like few free bytes, and events alone; fewer close the gate for a
// commit that may begin a table; none refuse a start. More let everything go on, without a restart.
func TestInodesAreWatched(t *testing.T) {
	f, d := openOn(t)
	var inodes fakeDisk
	inodes.free.Store(1 << 20)
	f.inodes = inodes.ask
	f.reopen()
	f.lane("a")
	f.append("one", "a")

	inodes.free.Store(ondisk.AppendInodes - 1)
	f.look()
	err := f.Admit(10)
	if !errors.Is(err, ErrNoInodes) || !errors.Is(err, ErrFull) || !strings.Contains(err.Error(), "inodes") {
		t.Errorf("with few inodes Admit says %v", err)
	}
	if u := f.Disk(); u.FreeInodes != ondisk.AppendInodes-1 || u.MinFreeInodes < ondisk.AppendInodes {
		t.Errorf("the disk is told as %+v", u)
	}
	if err := f.Apply(Change{Tick: &record.Tick{}}); err != nil {
		t.Errorf("a tick is not written with %d inodes: %v", ondisk.AppendInodes-1, err)
	}

	inodes.free.Store(1 << 20)
	f.look()
	f.fillLog()
	inodes.free.Store(ondisk.RotateInodes - 1)
	ballast := f.disk.Ballast.Size()
	tick := f.tickLater()
	f.until("the gate to close", f.gate.closed)
	if err := f.gate.err(); !errors.Is(err, ErrNoInodes) {
		t.Errorf("the gate is closed because %v", err)
	}
	if f.disk.Ballast.Size() < ballast { // the keeper may take one meanwhile
		t.Error("the ballast was thrown off, which makes no inodes")
	}
	inodes.free.Store(1 << 20)
	if err := <-tick; err != nil {
		t.Fatal(err)
	}
	f.until("readiness", func() bool { f.look(); return f.Admit(0) == nil })
	f.append("after", "a")
	f.close()

	inodes.free.Store(ondisk.StartInodes - 1)
	if _, err := Open(f.options()); !errors.Is(err, ErrNoInodes) || errors.Is(err, ErrDamaged) {
		t.Errorf("a start with %d inodes: %v", ondisk.StartInodes-1, err)
	}
	inodes.free.Store(volume.InodesUncounted)
	f.Spool = nil
	f.reopen()
	f.look()
	if n := f.Disk().FreeInodes; n != -1 {
		t.Errorf("a file system that does not count has %d free inodes", n)
	}
	_ = d
}
