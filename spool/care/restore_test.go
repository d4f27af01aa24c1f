package care_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hookspool/hookspool/spool"
	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/volume"
)

// A restore that was cut off leaves a directory in which no relay begins again, and in which the
// restore can be done again.
func TestRestoreCutOff(t *testing.T) {
	f := open(t)
	f.furnish()
	var out bytes.Buffer
	if _, err := care.Backup(context.Background(), f.Spool, &out); err != nil {
		t.Fatal(err)
	}
	f.close()
	f.dir = t.TempDir()
	work := filepath.Join(f.dir, care.RestoringDir)
	o := care.RestoreOptions{Dir: f.dir, Log: f.options().Log}
	if _, err := care.RestoreInto(context.Background(), bytes.NewReader(out.Bytes()), work,
		o); err != nil {
		t.Fatal(err)
	}
	f.refused(spool.ErrRestoring) // a service manager starts the relay again and again
	lock, err := care.Lock(f.dir)
	if err != nil {
		t.Fatal(err)
	}
	f.refused(spool.ErrInUse) // and while the restore is under way
	if _, _, err := care.Restore(context.Background(), nil, o); !errors.Is(err, spool.ErrInUse) {
		t.Errorf("two restores at once: %v", err)
	}
	if err := lock.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := care.Restore(context.Background(), bytes.NewReader(out.Bytes()), o); err != nil {
		t.Fatalf("cannot restore again: %v", err)
	}
	if err := os.Mkdir(work, 0o700); err != nil { // killed after its rename
		t.Fatal(err)
	}
	f.reopen()
	f.counts(f.lane("b"), 8, 0)
	f.close()
	if _, err := os.Stat(work); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the rest of a restore that came to its end stays: %v", err)
	}
}

// A start that is refused leaves the directory as it was.
func TestRefusalsLeaveNothing(t *testing.T) {
	f := open(t)
	f.furnish()
	f.close()
	whole := f.dir
	mark := func(b []byte) {
		f.dir = t.TempDir()
		if err := os.WriteFile(filepath.Join(f.dir, highwater.Name), b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(filepath.Join(whole, highwater.Name))
	if err != nil {
		t.Fatal(err)
	}
	mark(b)
	f.refused(spool.ErrLoss)
	if err := os.Mkdir(filepath.Join(f.dir, ondisk.Dir), 0o700); err != nil {
		t.Fatal(err)
	}
	f.refused(spool.ErrLoss)
	mark(b[1:]) // something was here, and nobody knows how much
	f.refused(spool.ErrLoss)
	mark(nil) // made by a start that was killed
	f.reopen()
	f.close()

	f.dir, f.secret = whole, []byte("0123456789abcdef")
	f.refused(spool.ErrWrongKey)
	f.secret = nil
	if err := volume.LeaveWord(f.dir, "17", spool.ErrMoved); err != nil {
		t.Fatal(err)
	}
	aside := whole + "-moved"
	if err := os.Rename(whole, aside); err != nil {
		t.Fatal(err)
	}
	if _, err := spool.Open(f.options()); !errors.Is(err, spool.ErrAway) {
		t.Errorf("a spool that is away: %v", err)
	}
	if _, err := os.Stat(whole); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("where a spool is away a directory was made: %v", err)
	}
}

// refused wants a start, and what would say so without one, to end with an error, and the directory
// to be as it was.
func (f *fixture) refused(want error) {
	f.t.Helper()
	before := f.files()
	if err := care.Probe(f.dir, f.secret); !errors.Is(err, want) && want != spool.ErrInUse {
		f.t.Errorf("probed: got %v; want %v", err, want)
	}
	if s, err := spool.Open(f.options()); !errors.Is(err, want) {
		f.t.Errorf("got %v; want %v", err, want)
		if err == nil {
			_ = s.Close()
		}
	}
	if after := f.files(); !maps.Equal(before, after) {
		f.t.Errorf("a start that was refused (%v) left %v; before there was %v", want, after, before)
	}
}

// files are the names of all files and their contents.
func (f *fixture) files() map[string]string {
	f.t.Helper()
	all := make(map[string]string)
	err := filepath.WalkDir(f.dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			b, rerr := os.ReadFile(path)
			all[path], err = fmt.Sprintf("%x", sha256.Sum256(b)), rerr
		} else if err == nil {
			all[path] = "directory"
		}
		return err
	})
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// A restore onto a disk that is too small ends with an error before it could be killed for want of
// a block, whenever that is, and leaves the directory as empty as it was.
func TestRestoreFull(t *testing.T) {
	f := open(t)
	f.lane("a")
	for range 40 {
		f.append(strings.Repeat("x", 1<<20-1<<10), "a")
	}
	var out bytes.Buffer
	if _, err := care.Backup(context.Background(), f.Spool, &out); err != nil {
		t.Fatal(err)
	}
	f.close()
	for _, free := range []int64{ondisk.PreflightBytes - 1, ondisk.PreflightBytes} {
		f.dir = t.TempDir()
		o := care.RestoreOptions{Dir: f.dir, Log: f.options().Log}
		o.OnDisk(free)
		_, _, err := care.Restore(context.Background(), bytes.NewReader(out.Bytes()), o)
		if !errors.Is(err, spool.ErrFull) {
			t.Errorf("onto %d bytes: got %v; want ErrFull", free, err)
		}
		if left, err := os.ReadDir(f.dir); err != nil || len(left) > 0 {
			t.Errorf("onto %d bytes: it left %v, %v", free, left, err)
		}
	}
	o := care.RestoreOptions{Dir: f.dir, Log: f.options().Log}
	o.OnDisk(200 << 20)
	if _, _, err := care.Restore(context.Background(), bytes.NewReader(out.Bytes()), o); err != nil {
		t.Error(err)
	}
}

// Whoever goes through a whole spool ends when it is stopped, and says so.
func TestStopped(t *testing.T) {
	f := open(t)
	f.furnish()
	var out bytes.Buffer
	if _, err := care.Backup(t.Context(), f.Spool, &out); err != nil {
		t.Fatal(err)
	}
	reason := errors.New("a signal came")
	ctx, stop := context.WithCancelCause(t.Context())
	stop(reason)
	wants := func(what string, err error) {
		t.Helper()
		if !errors.Is(err, reason) && !errors.Is(err, context.Canceled) {
			t.Errorf("%s that was stopped: %v", what, err)
		}
	}
	_, err := care.VerifyLive(ctx, f.Spool, nil)
	wants("a verify of a running spool", err)
	_, err = care.Export(ctx, f.Spool, io.Discard, care.Selection{All: true})
	wants("an export", err)
	_, err = care.Backup(ctx, f.Spool, io.Discard)
	wants("a backup", err)
	f.append(strings.Repeat("x", 8<<10), "a")
	f.reopen()
	f.append(strings.Repeat("x", 8<<10), "a")
	f.close()
	_, err = care.Verify(ctx, f.readerOptions(), nil)
	wants("a verify", err)
	o := care.RestoreOptions{Dir: t.TempDir(), Log: f.options().Log}
	_, _, err = care.Restore(ctx, bytes.NewReader(out.Bytes()), o)
	wants("a restore", err)
	_, err = ondisk.CheckOlderValueLogs(ctx, f.dir)
	wants("a look at value logs", err)
}
