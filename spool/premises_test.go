package spool

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/volume"
	"github.com/hookspool/hookspool/testenv/effort"
)

// What the engine does to its files by itself is no reason to stop: logs that are begun and removed,
// tables that are written, merged and removed, a flush, which leaves it without a log for a moment,
// sweeps and backups. Here somebody looks all the time, not once a second.
func TestPremisesOrdinaryLife(t *testing.T) {
	effort.WithoutRace(t)
	t.Run("in the clear", func(t *testing.T) { liveOnPremises(t, nil) })
	t.Run("encrypted", func(t *testing.T) { liveOnPremises(t, make([]byte, 32)) })
}

func liveOnPremises(t *testing.T, secret []byte) {
	t.Helper()
	f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0),
		secret: secret}
	o := f.options()
	o.Log = slog.New(slog.DiscardHandler)
	o.KeepDelivered = 0
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	f.Spool = s
	t.Cleanup(func() { s.Close() })
	s.running.Go(s.commitLoop) // the keeper's place is taken by the loop below
	stop, stopped := make(chan struct{}), make(chan int)
	go func() {
		looks := 0
		for s.Err() == nil {
			select {
			case <-stop:
				stopped <- looks
				return
			default:
			}
			if _, err := s.disk.LookAround(); err != nil {
				_ = s.fail(err)
			}
			looks++
		}
		stopped <- looks
	}()
	crm := f.lane("crm")
	for round := range effort.Rounds(6, 2) {
		f.appendRandom(40, 500<<10, "crm") // more than a memtable
		for _, e := range f.fetch(crm, 40) {
			s.Settle(Settlement{Lane: crm.id, Seq: e.Seq, Fresh: true, At: f.now})
		}
		if round%2 == 1 {
			f.flushNow()
		}
		f.pass(time.Minute)
		err := errors.Join(s.order(barrier{}), s.Sweep(f.now), s.disk.Flatten())
		if _, berr := care.Backup(context.Background(), s, io.Discard); err == nil {
			err = berr
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	close(stop)
	if looks := <-stopped; looks < 2 || s.Err() != nil {
		t.Errorf("after %d looks: %v", looks, s.Err())
	}
}

// Where a spool is away no new one is begun, except by order. It is welcome back, also out of a
// backup; another one that holds something goes on, and the file stays.
func TestAway(t *testing.T) {
	f := open(t)
	f.lane("crm")
	id, dir := f.ID(), f.dir
	note := func(at, spool string) {
		t.Helper()
		text := "moved.\ndir " + volume.Absolute(dir) + "\nspool " + spool + "\n"
		if err := os.WriteFile(at, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	there := func(at string) bool {
		_, err := os.Stat(at)
		return err == nil
	}
	beside, above := dir+volume.AwaySuffix, filepath.Dir(dir)+volume.AwaySuffix
	t.Cleanup(func() { _ = os.Remove(above) })
	for _, at := range []string{beside, above} {
		note(at, id)
		f.reopen()
		if there(at) {
			t.Errorf("%s stays although the spool is back", at)
		}
	}
	if err := syscall.Mkfifo(beside, 0o600); err != nil {
		t.Fatal(err)
	}
	f.reopen() // a pipe says nothing, and holds nothing up
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	note(beside, "abcd")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(f.options()); !errors.Is(err, ErrAway) || !strings.Contains(err.Error(), "abcd") {
		t.Errorf("with an empty spool in its place: %v; want ErrAway", err)
	}
	if err := os.Remove(beside); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	f.append("x", "crm")
	note(beside, "abcd")
	f.reopen()
	if !there(beside) {
		t.Error("with another spool in its place the file is gone")
	}
	note(beside, id)
	if err := errors.Join(f.Close(), os.RemoveAll(dir)); err != nil {
		t.Fatal(err)
	}
	if err := care.Probe(dir, nil); !errors.Is(err, ErrAway) {
		t.Errorf("probed: %v; want ErrAway", err)
	}
	if _, err := Open(f.options()); !errors.Is(err, ErrAway) || there(dir) {
		t.Errorf("without a spool: %v, made %v; want ErrAway and nothing made", err, there(dir))
	}
	o := f.options()
	o.AcceptLoss = true
	s, err := Open(o)
	if err != nil || there(beside) {
		t.Fatalf("by order: %v, the file is there: %v", err, there(beside))
	}
	f.Spool = s
	s.Start()
}

// The engine begins no log in a directory that is not its own any more: the committer looks before.
func TestNoLogElsewhere(t *testing.T) {
	f := open(t)
	f.lane("crm")
	aside := f.dir + ".moved"
	if err := errors.Join(os.Rename(f.dir, aside), os.MkdirAll(f.dir+"/db", 0o700)); err != nil {
		t.Fatal(err)
	}
	var err error
	for i := 0; err == nil && i < 1000; i++ {
		err = f.Append(&Draft{Payload: make([]byte, 500<<10), At: f.now, Note: []string{"crm"}})
	}
	if !errors.Is(err, ErrMoved) || !errors.Is(err, ErrFailed) {
		t.Errorf("got %v; want ErrMoved", err)
	}
	if files, _ := os.ReadDir(f.dir + "/db"); len(files) > 0 {
		t.Errorf("there is %v in the other directory", files)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(os.RemoveAll(f.dir), os.Rename(aside, f.dir), f.disk.DB.Close()); err != nil {
		t.Error(err)
	}
	if err := os.Remove(f.dir + volume.AwaySuffix); err != nil {
		t.Error(err)
	}
}
