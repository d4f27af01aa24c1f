package spool

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
)

// framesEach is how many events each frame of framesAtRest has.
const framesEach = 20

// framesAtRest leaves a spool as a kill would, with a log that leads to three frames of which
// nothing was delivered, after one that was swept.
func framesAtRest(t *testing.T, key string) (f *fixture, dir string) {
	t.Helper()
	f = open(t)
	f.close()
	f.dir, f.secret = t.TempDir()+"/frames", []byte(key)
	f.reopen()
	a := f.lane("a")
	a.Open(true)
	f.groupOf(framesEach, 900, "a")
	for _, e := range f.fetch(a, framesEach) {
		f.settle(Settlement{Lane: a.id, Seq: e.Seq, AcceptedAt: e.At, Fresh: true, Verdict: Delivered})
	}
	f.commitCheckpoint()
	f.sweepAt(f.now.Add(2 * time.Hour))
	for i := range 3 {
		f.groupOf(framesEach, 901+i, "a")
	}
	if err := f.hw.Write(f.Head()); err != nil {
		t.Fatal(err)
	}
	dir = f.crash()
	f.close()
	return f, dir
}

// Whichever byte is changed of the entry by which a log leads to a frame: no event of the frame is
// lost, and none comes back that was swept.
func TestRepairLostPointer(t *testing.T) {
	t.Parallel()
	for _, key := range []string{"", testKey} {
		f, dir := framesAtRest(t, key)
		path, text := onlyLog(t, dir)
		frames := 0
		for _, e := range f.entries(dir, text) {
			if e.Key[0] != record.PrefixLog || e.Deleted || record.KeySeq(e.Key) == framesEach {
				continue
			}
			frames++
			for at := e.At; at < e.At+e.Bytes; at += rounds(13, 29) {
				g := &fixture{t: t, dir: filepath.Join(t.TempDir(), "damaged"), now: f.now, secret: f.secret}
				atrest.Copy(t, dir, g.dir)
				b := bytes.Clone(text)
				b[at] ^= 0x10
				if err := os.WriteFile(filepath.Join(g.dir, "db", filepath.Base(path)), b, 0o600); err != nil {
					t.Fatal(err)
				}
				g.wantFrames(at - e.At)
			}
		}
		if frames != 3 {
			t.Errorf("the log leads to %d frames; want 3", frames)
		}
	}
}

// wantFrames opens a spool that framesAtRest has left, and wants all of it.
func (f *fixture) wantFrames(at int) {
	f.t.Helper()
	o := f.options()
	o.Log = slog.New(slog.NewTextHandler(io.Discard, nil))
	s, err := Open(o)
	if err != nil {
		f.t.Fatalf("byte %d: %v", at, err)
	}
	f.Spool = s
	s.Start()
	a := f.lane("a")
	a.Open(true)
	for _, e := range f.fetch(a, 3*framesEach) {
		f.checkSum(e)
		f.settle(Settlement{Lane: a.id, Seq: e.Seq, Fresh: true, Verdict: Delivered})
	}
	f.counts(a, 0, 0)
	if _, err := f.Event(framesEach); err == nil {
		f.t.Errorf("byte %d: an event that was swept is back", at)
	}
	if n := f.Quarantined(); n != 0 {
		f.t.Errorf("byte %d: %d records are set aside", at, n)
	}
	f.close()
}
