package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/pb"
	"google.golang.org/protobuf/proto"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
)

// unsynced lets the engine's list be written and not synced, until the returned function is called:
// that puts the first part of what was written into the list, as the system would have.
func (f *fixture) unsynced() (over func(part int)) {
	f.t.Helper()
	path := filepath.Join(f.dir, ondisk.Dir, badger.ManifestFilename)
	fd := f.descriptorOf(path)
	real, err := syscall.Dup(fd)
	var pipe [2]int
	err = errors.Join(err, syscall.Pipe(pipe[:]), syscall.Dup3(pipe[1], fd, syscall.O_CLOEXEC),
		syscall.Close(pipe[1]), syscall.SetNonblock(pipe[0], true))
	if err != nil {
		f.t.Fatal(err)
	}
	return func(part int) {
		f.t.Helper()
		written := make([]byte, 64<<10)
		n, err := syscall.Read(pipe[0], written)
		if err == nil {
			_, err = syscall.Write(real, written[:n*part/100])
		}
		err = errors.Join(err, syscall.Dup3(real, fd, syscall.O_CLOEXEC), syscall.Close(real),
			syscall.Close(pipe[0]))
		if err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fixture) descriptorOf(path string) (fd int) {
	f.t.Helper()
	const dir = "/proc/self/fd"
	fds, err := os.ReadDir(dir)
	if err != nil {
		f.t.Fatal(err)
	}
	for _, e := range fds {
		if to, err := os.Readlink(filepath.Join(dir, e.Name())); err == nil && to == path {
			if _, err := fmt.Sscan(e.Name(), &fd); err != nil {
				f.t.Fatal(err)
			}
			return fd
		}
	}
	f.t.Fatalf("%q is not open", path)
	return 0
}

// A list of tables that could not be written for a moment, whatever the engine was doing and however
// much of it has come to the disk, stops the spool; the next start has everything that was answered
// and says nothing of a loss.
func TestListNotWritten(t *testing.T) {
	t.Parallel()
	fill := func(f *fixture) error {
		// Frames of events take no room in a memtable.
		for n := uint64(1); f.Err() == nil; n++ {
			var owe []Notice
			for i := range uint64(160) {
				owe = append(owe, Notice{Episode: n*160 + i, Body: make([]byte, 3<<10)})
			}
			_ = f.Apply(Change{Owe: owe})
		}
		return f.Err()
	}
	flush := func(f *fixture) error {
		o := newOp(nil)
		o.run = f.disk.Flush
		return f.submit(o)
	}
	check := func(part int, secret []byte, work func(*fixture) error) {
		t.Helper()
		f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0),
			secret: secret}
		f.reopen()
		f.lane("crm")
		for range 2 {
			f.more()
			f.flushNow()
		}
		f.more()
		over := f.unsynced()
		err := work(f)
		over(part)
		f.until("the spool to stop", func() bool { return f.Err() != nil })
		if err == nil {
			t.Error("nobody is told")
		}
		f.startsWhole()
	}
	for _, part := range []int{0, 50, 100} {
		if effort.Long() || part != 50 {
			check(part, nil, fill)
		}
		if effort.Long() || part == 50 {
			check(part, make([]byte, 32), flush)
		}
	}
}

// What a compaction leaves that could not be noted: the list has the change, the tables do not.
func TestCompactionNotNoted(t *testing.T) {
	t.Parallel()
	f := open(t)
	f.lane("crm")
	for range 2 {
		f.more()
		f.flushNow()
	}
	f.disk.DB.Opts().Logger.Errorf("%s", "[Compactor: 1] LOG Compact FAILED with error: write "+f.dir+"/db/000009.sst: "+
		syscall.EIO.Error())
	if f.Err() != nil {
		t.Errorf("a table that could not be written stops the spool: %v", f.Err())
	}
	f.disk.DB.Opts().Logger.Errorf("%s", "[Compactor: 1] LOG Compact FAILED with error: sync "+f.dir+"/db/MANIFEST: "+
		syscall.EIO.Error()+": {}")
	if !errors.Is(f.Err(), syscall.EIO) {
		t.Errorf("the spool goes on: %v", f.Err())
	}
	_ = f.Close()
	engine := filepath.Join(f.dir, ondisk.Dir)
	list, text, err := ondisk.ReadTableList(engine)
	if err != nil || len(list.Tables) == 0 {
		t.Fatalf("%d tables: %v", len(list.Tables), err)
	}
	set := &pb.ManifestChangeSet{Changes: []*pb.ManifestChange{{Id: 1000, Level: ondisk.Levels - 1}}}
	for id := range list.Tables {
		set.Changes = append(set.Changes, &pb.ManifestChange{Id: id, Op: pb.ManifestChange_DELETE})
	}
	change, err := proto.Marshal(set)
	if err == nil {
		text = binary.BigEndian.AppendUint32(text, uint32(len(change)))
		text = binary.BigEndian.AppendUint32(text, crc32.Checksum(change, record.Castagnoli()))
		err = os.WriteFile(filepath.Join(engine, badger.ManifestFilename), append(text, change...), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.startsWhole()
}

// more appends what can be appended, a fraction of a memtable, and counts what is answered.
func (f *fixture) more() {
	var drafts []*Draft
	for range 160 {
		drafts = append(drafts, &Draft{Type: "t", Payload: make([]byte, 3<<10), At: f.now,
			Note: []string{"crm"}})
	}
	if f.Append(drafts...) == nil {
		f.answered += len(drafts)
	}
}

// startsWhole closes what has failed, starts again twice and counts.
func (f *fixture) startsWhole() {
	f.t.Helper()
	_ = f.Close()
	for range 2 {
		f.Spool = nil
		f.reopen()
		f.counts(f.lane("crm"), uint64(f.answered), 0)
		if f.Quarantined() > 0 || f.Relisting() {
			f.t.Errorf("%d records are set aside; a list to make again: %v", f.Quarantined(), f.Relisting())
		}
		if err := f.Close(); err != nil {
			f.t.Fatal(err)
		}
	}
}
