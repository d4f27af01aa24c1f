package spool

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/spool/volume"
)

// fakeDisk says how much is free.
type fakeDisk struct{ free atomic.Int64 }

func (d *fakeDisk) ask(string) (int64, error) { return d.free.Load(), nil }

// openOn opens a spool on a fake disk with ample room. It skips where the log cannot be allocated.
func openOn(t *testing.T) (*fixture, *fakeDisk) {
	t.Helper()
	d := &fakeDisk{}
	d.free.Store(10 << 30)
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0), free: d.ask}
	f.openOn()
	return f, d
}

// openOn opens the fixture's spool, whose disk says what the fixture wants.
func (f *fixture) openOn() {
	f.t.Helper()
	f.reopen()
	f.t.Cleanup(func() {
		f.Close()
		f.disk.DB.Close() // a full disk leaves it open
	})
	if f.disk.Room.Unused.Load() == 0 {
		f.t.Skip("NOT PROVEN HERE: the file system cannot allocate blocks ahead")
	}
}

// fillLog writes notices until the next group may find the memtable full: frames of events take no
// room in it.
func (f *fixture) fillLog() {
	f.t.Helper()
	const step, small = 100 << 10, ondisk.ValueBytesMin - 500
	for f.disk.Room.Unused.Load() > ondisk.LogBytesMax-ondisk.MemTableBytes+ondisk.RideBytes {
		n := min(step, f.disk.Room.Unused.Load()-(ondisk.LogBytesMax-ondisk.MemTableBytes))
		var c Change
		for ; n > 0; n -= small {
			f.filled++
			c.Owe = append(c.Owe, Notice{Episode: f.filled, Body: make([]byte, min(n, small))})
		}
		if err := f.Apply(c); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) until(what string, ok func() bool) {
	f.t.Helper()
	for end := time.Now().Add(testPatience); !ok(); {
		if time.Now().After(end) {
			f.t.Fatalf("waited too long for %s", what)
		}
		<-time.After(time.Millisecond)
	}
}

func (f *fixture) tickLater() chan error {
	done := make(chan error, 1)
	go func() { done <- f.Apply(Change{Tick: &record.Tick{At: f.now}}) }()
	return done
}

func (f *fixture) refused(what string, err error) {
	f.t.Helper()
	if !errors.Is(err, ErrFull) {
		f.t.Errorf("%s: %v; want ErrFull", what, err)
	}
}

// TestGateKeepsTheLogForOutcomes wants appends refused when there is no room for a rotation, while
// outcomes still go into the blocks that the log has, on a disk without a byte.
func TestGateKeepsTheLogForOutcomes(t *testing.T) {
	t.Parallel()
	f, d := openOn(t)
	l := f.lane("a")
	l.Open(true)
	f.append("before", "a")
	d.free.Store(ondisk.AppendBytes - 1)
	f.refused("an append", f.Append(&Draft{Payload: []byte("x"), At: f.now, Note: []string{"a"}}))
	d.free.Store(0)
	e := f.fetch(l, 1)[0]
	f.settle(Settlement{Lane: l.id, Seq: e.Seq, Fresh: true, Verdict: Retry, Attempts: 1, Due: 1})
	if c := l.Counts(); c.Pending != 1 || c.Fresh != 0 {
		t.Errorf("counts %+v; want one exception", c)
	}
	if f.gate.closed() {
		t.Error("the gate is closed, though the log has blocks")
	}
	d.free.Store(10 << 30)
	f.append("after", "a")
}

// TestGateHoldsARotation wants a change that may find the memtable full to wait for the room of a
// table, appends and sweeps to be refused meanwhile, and everything to go on when there is room.
func TestGateHoldsARotation(t *testing.T) {
	t.Parallel()
	f, d := openOn(t)
	const events = 3
	f.lane("a")
	f.appendRandom(events, 10, "a")
	f.fillLog()
	d.free.Store(ondisk.RotateBytes - 1)
	tick := f.tickLater()
	f.until("the gate to close", f.gate.closed)
	f.refused("Admit", f.Admit(0))
	f.refused("an append", f.Append(&Draft{Payload: []byte("x"), At: f.now, Note: []string{"a"}}))
	f.refused("a removal", f.order(&removal{}))
	f.refused("a new lane", f.order(naming{"b"}))
	f.refused("an id that is remembered again", f.order(&remembering{}))
	if err := f.order(barrier{}); err != nil {
		t.Errorf("a question waits for nothing, but: %v", err)
	}
	select {
	case err := <-tick:
		t.Fatalf("the tick did not wait: %v", err)
	default:
	}
	d.free.Store(10 << 30)
	if err := <-tick; err != nil {
		t.Fatal(err)
	}
	f.until("readiness", func() bool { f.look(); return f.Admit(0) == nil })
	f.append("after", "a")
	f.reopen()
	if n := f.lane("a").Counts().Pending; n != uint64(events+1) || f.LastTick().Number != 1 {
		t.Errorf("%d are pending, last tick %d; want %d and 1", n, f.LastTick().Number, events+1)
	}
}

// TestGateLetsARotationThrough wants exactly the floor to suffice, and the next log to be begun and
// to get its blocks.
func TestGateLetsARotationThrough(t *testing.T) {
	t.Parallel()
	f, d := openOn(t)
	f.lane("a")
	f.fillLog()
	d.free.Store(ondisk.RotateBytes)
	for n := uint64(1); f.disk.Room.Unused.Load() <= ondisk.LogBytesMax-ondisk.MemTableBytes; n++ {
		if err := f.Apply(Change{Tick: &record.Tick{At: f.now}}); err != nil {
			t.Fatal(err)
		}
	}
	for n := uint64(1); f.disk.Room.Unused.Load() < ondisk.MemTableBytes; n++ {
		c := Change{Tick: &record.Tick{At: f.now}}
		for way := range uint8(16) {
			c.Owe = append(c.Owe, Notice{Lane: f.lane("a").id, Episode: n, Way: way,
				Body: make([]byte, 3<<10)})
		}
		if err := f.Apply(c); err != nil {
			t.Fatal(err)
		}
	}
	if f.gate.closed() {
		t.Error("the gate is closed")
	}
}

// TestRoomFollowsAFlush wants the log in use to be known after the engine began two at once, and
// after it began one unseen.
func TestRoomFollowsAFlush(t *testing.T) {
	t.Parallel()
	f, _ := openOn(t)
	f.lane("a")
	f.fillLog()
	for range 3 {
		o := newOp(nil)
		o.run = f.disk.Flush
		if err := f.submit(o); err != nil {
			t.Fatal(err)
		}
	}
	f.append("x", "a")
	if unused := f.disk.Room.Unused.Load(); unused < ondisk.MemTableBytes {
		t.Errorf("the log has %d unused bytes; want a new one's", unused)
	}
}

// TestCloseAtAClosedGate wants Close to end soon on a full disk, what waited to be refused, and the
// spool to be what was acknowledged, from a copy of its files as a kill would leave them.
func TestCloseAtAClosedGate(t *testing.T) {
	t.Parallel()
	f, d := openOn(t)
	const events = 3
	f.lane("a")
	f.appendRandom(events, 10, "a")
	f.fillLog()
	d.free.Store(0)
	tick := f.tickLater()
	f.until("the gate to close", f.gate.closed)
	f.StopWaiting()
	f.refused("the tick", <-tick)
	f.refused("a later tick", f.Apply(Change{Tick: &record.Tick{At: f.now}}))
	began := time.Now()
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > testPatience {
		t.Errorf("Close took %v", took)
	}
	copied := &fixture{t: t, dir: t.TempDir() + "/spool", now: f.now}
	if err := atrest.CopyFiles(f.dir, copied.dir); err != nil {
		t.Fatal(err)
	}
	copied.reopen()
	defer copied.Close()
	if n := copied.lane("a").Counts().Pending; n != uint64(events) || copied.LastTick().Number != 0 {
		t.Errorf("%d are pending, last tick %d; want %d and 0", n, copied.LastTick().Number, events)
	}
}

// TestGateBoundsWhatWaits hands in more outcomes than a closed gate holds, and wants them all
// written, in order, once there is room.
func TestGateBoundsWhatWaits(t *testing.T) {
	t.Parallel()
	f, d := openOn(t)
	l := f.lane("a")
	f.fillLog()
	d.free.Store(0)
	tick := f.tickLater()
	f.until("the gate to close", f.gate.closed)
	const more = gateHeldMax + 3000
	handed := make(chan struct{})
	go func() {
		defer close(handed)
		for n := range more {
			f.Begin(Change{Standing: &record.Standing{FailedJobs: n + 1}, StandingOf: l.id})
		}
	}()
	f.until("the line to be full", func() bool { return len(f.ops) == cap(f.ops) })
	select {
	case <-handed:
		t.Error("nobody waited with their caller")
	default:
	}
	d.free.Store(10 << 30)
	<-handed
	if err := errors.Join(<-tick, f.Apply(Change{})); err != nil {
		t.Fatal(err)
	}
	if n := l.Standing().FailedJobs; n != more {
		t.Errorf("%d failed jobs are stored; want %d, the last", n, more)
	}
}

// TestBallast wants it made when there is ample room, thrown off before the gate closes, and at a
// start that lacks no more than it.
func TestBallast(t *testing.T) {
	t.Parallel()
	f, d := openOn(t)
	if err := f.measure(true); err != nil {
		t.Fatal(err)
	}
	before := f.Disk().Bytes
	f.look()
	f.wantBallast(true)
	f.look()
	if after := f.Disk().Bytes; after-before > volume.BallastBytes/2 {
		t.Errorf("%d bytes are counted, %d before; the ballast is not to count", after, before)
	}
	f.reopen()
	f.wantBallast(true)
	f.lane("a")
	f.fillLog()
	d.free.Store(0)
	tick := f.tickLater()
	f.until("the gate to close", f.gate.closed)
	f.wantBallast(false)
	f.look()
	f.wantBallast(false)
	d.free.Store(10 << 30)
	if err := <-tick; err != nil {
		t.Fatal(err)
	}
	f.look()
	f.wantBallast(true)

	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	d.free.Store(ondisk.PreflightBytes - volume.BallastBytes - 1)
	_, err := Open(f.options())
	f.refused("a start", err)
	f.wantBallast(true)
	f.free = func(dir string) (int64, error) { // as if its blocks counted
		if _, err := os.Stat(filepath.Join(f.dir, volume.BallastName)); err == nil {
			return ondisk.PreflightBytes - volume.BallastBytes, nil
		}
		return ondisk.PreflightBytes, nil
	}
	f.reopen()
	f.wantBallast(false)
	f.SetLimits(Limits{MaxBytes: volume.BallastShare*volume.BallastBytes - 1})
	f.look()
	f.wantBallast(false)
}

// look is one of the keeper's at the disk.
func (f *fixture) look() {
	f.t.Helper()
	if err := f.measure(f.gate.closed()); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) wantBallast(want bool) {
	f.t.Helper()
	info, err := os.Stat(filepath.Join(f.dir, volume.BallastName))
	switch {
	case want && err != nil:
		f.t.Error(err)
	case !want && !errors.Is(err, fs.ErrNotExist):
		f.t.Errorf("there is a ballast: %v %v", info, err)
	}
}

// A full disk that ended a compaction keeps no start out: what was being written is removed first,
// but not a table that holds more than the others do.
func TestStartWithoutRoom(t *testing.T) {
	t.Run("plain", func(t *testing.T) { testStartWithoutRoom(t, nil) })
	t.Run("encrypted", func(t *testing.T) { testStartWithoutRoom(t, bytes.Repeat([]byte{7}, 32)) })
}

func testStartWithoutRoom(t *testing.T, secret []byte) {
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0), secret: secret,
		unkept: true}
	f.reopen()
	t.Cleanup(func() { f.Close() })
	f.lane("a")
	for range 20 {
		f.append("x", "a")
	}
	f.flushNow()
	engine := filepath.Join(f.dir, ondisk.Dir)
	old, _ := filepath.Glob(filepath.Join(engine, "*.sst"))
	b, err := os.ReadFile(old[0])
	if err != nil {
		t.Fatal(err)
	}
	before := filepath.Join(t.TempDir(), "spool")
	atrest.Killed(t, f.dir, before)
	f.append("y", "a")
	f.flushNow()
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	unfinished := []string{filepath.Join(engine, "000077.sst"), filepath.Join(engine, "000078.sst")}
	err = errors.Join(ondisk.WriteFile(unfinished[0], b), ondisk.WriteFile(unfinished[1], make([]byte, len(b))))
	if err != nil {
		t.Fatal(err)
	}
	f.free = func(string) (int64, error) {
		if _, err := os.Stat(unfinished[1]); err == nil {
			return 1 << 20, nil
		}
		return 10 << 30, nil
	}
	f.Spool = nil
	f.reopen()
	l := f.lane("a")
	l.Open(true)
	f.fetch(l, 21)
	// The list that names the first table alone, and the second one beside it.
	tables, _ := filepath.Glob(filepath.Join(engine, "*.sst"))
	newest := tables[len(tables)-1]
	b, err = os.ReadFile(newest)
	path := filepath.Join(before, ondisk.Dir, filepath.Base(newest))
	if err = errors.Join(err, ondisk.WriteFile(path, b)); err != nil {
		t.Fatal(err)
	}
	g := &fixture{t: t, dir: before, secret: secret, free: func(string) (int64, error) { return 1 << 20, nil }}
	if _, err := Open(g.options()); !errors.Is(err, ErrFull) {
		t.Errorf("without room: %v; want ErrFull", err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Error("a table was removed that may be needed:", err)
	}
}

// TestGateWithoutFiles wants a commit that may begin another log to wait where no file can be made
// for now, and the spool to stop, before it commits, where none can be made for good.
func TestGateWithoutFiles(t *testing.T) {
	t.Parallel()
	f, _ := openOn(t)
	f.lane("a")
	f.fillLog()
	turn := filepath.Join(f.disk.Room.Dir, ondisk.RotateName)
	// Making the file is EISDIR then. The spool itself makes and removes one now and then.
	f.until("no file in the directory's place", func() bool { return os.Mkdir(turn, 0o700) == nil })
	err := f.Apply(Change{Tick: &record.Tick{}})
	if !errors.Is(err, ErrFailed) || !errors.Is(err, syscall.EISDIR) || errors.Is(err, ErrFull) {
		t.Errorf("got %v; want ErrFailed and EISDIR", err)
	}
	f.Close()
	if err := os.Remove(turn); err != nil {
		t.Fatal(err)
	}
	f.Spool = nil
	f.reopen()
	f.append("after", "a")
}
