package spool

import (
	"bytes"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/testenv/effort"
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
	effort.WithoutRace(t)
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
			first, step := e.At, effort.Rounds(13, 29)
			if !effort.Long() { // the first byte of one entry, the middle of another, the last of the third
				first, step = e.At+(frames-1)*(e.Bytes-1)/2, e.Bytes
			}
			for at := first; at < e.At+e.Bytes; at += step {
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

// staleFrame leaves a spool as a kill would. A process has ended when it had written a large event,
// and not the entry that leads to it. The next one has given its sequence, and the number of its
// transaction, to another event, and two more to others; all have failed.
func staleFrame(t *testing.T) (f *fixture, seq uint64) {
	t.Helper()
	const large, other = 8 << 10, "another event"
	f = open(t)
	f.lane("a").Open(true)
	f.lane("b")
	f.groupOf(framesEach, 900, "a")
	dir := f.crash()
	f.append(strings.Repeat("x", large), "a")
	values, err := filepath.Glob(filepath.Join(f.dir, "db", "*.vlog"))
	if err != nil || len(values) != 1 {
		t.Fatalf("there are value logs %q: %v", values, err)
	}
	text, err := os.ReadFile(values[0])
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "db", filepath.Base(values[0])), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	f.close()
	f.dir, f.Spool = dir, nil
	f.reopen()
	f.lane("c") // a transaction that is left when the log is cut off after it
	b := f.lane("b")
	b.Open(true)
	for range 3 {
		f.append(other, "b")
	}
	for _, e := range f.fetch(b, 3) {
		f.settle(Settlement{Lane: b.id, Seq: e.Seq, Fresh: true, Verdict: Retry, Attempts: 1, Due: 1})
	}
	if err := f.hw.Write(f.Head()); err != nil {
		t.Fatal(err)
	}
	f.until("the former process's log to be in a table", func() bool {
		logs, _ := filepath.Glob(filepath.Join(f.dir, "db", "*.mem"))
		return len(logs) == 1
	})
	dir = f.crash()
	f.close()
	f.dir, f.Spool = dir, nil
	return f, framesEach + 1
}

// A flipped byte costs an event whose sequence a frame has that was never answered: that does not
// take its place, nor its delivery, which somebody else owes.
func TestRepairStaleFrame(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	f, lost := staleFrame(t)
	dir := f.dir
	path, text := onlyLog(t, dir)
	for _, e := range f.entries(dir, text) {
		if bytes.Equal(e.Key, record.LogKey(lost)) {
			text[e.At+e.Bytes/2] ^= 0x10
		}
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	f.reopen()
	if e, err := f.Event(lost); err == nil {
		t.Errorf("event %d has a payload of %d bytes that was never answered", lost, len(e.Payload()))
	}
	if n := f.Quarantined(); n != 1 {
		t.Errorf("%d records are set aside; want the one that was lost", n)
	}
	f.close()
}

// cutAt ends the log of a spool at rest where the entry of an event begins.
func (f *fixture) cutAt(dir string, seq uint64) {
	f.t.Helper()
	path, text := onlyLog(f.t, dir)
	for _, e := range f.entries(dir, text) {
		if bytes.Equal(e.Key, record.LogKey(seq)) {
			if err := os.Truncate(path, int64(e.At)); err != nil {
				f.t.Fatal(err)
			}
			return
		}
	}
	f.t.Fatalf("the log has no entry of event %d", seq)
}

// A log is cut off before the entries of two frames that were answered: no event of them is lost,
// although nothing is left of their ids either.
func TestRepairCutPointers(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	for _, key := range []string{"", testKey} {
		f := open(t)
		f.close()
		f.dir, f.secret, f.now = t.TempDir()+"/frames", []byte(key), time.Now()
		f.reopen()
		f.lane("a")
		for i := range 3 {
			f.groupOf(framesEach, 901+i, "a")
		}
		if err := f.hw.Write(f.Head()); err != nil {
			t.Fatal(err)
		}
		dir := f.crash()
		f.close()
		f.cutAt(dir, 2*framesEach)
		f.dir, f.Spool = dir, nil
		f.reopen()
		a := f.lane("a")
		a.Open(true)
		for _, e := range f.fetch(a, 3*framesEach) {
			f.checkSum(e)
		}
		if n := f.Quarantined(); n != 0 {
			t.Errorf("%d records are set aside", n)
		}
		f.close()
	}
}

// The same with a frame that was never answered, and whose sequence was given again to an event that
// is lost with the log: it does not take its place.
func TestRepairCutStaleFrame(t *testing.T) {
	effort.WithoutRace(t)
	t.Parallel()
	f, lost := staleFrame(t)
	f.cutAt(f.dir, lost)
	f.reopen()
	if e, err := f.Event(lost); err == nil {
		t.Errorf("event %d has a payload of %d bytes that was never answered", lost, len(e.Payload()))
	}
	if n := f.Quarantined(); n != 3 {
		t.Errorf("%d records are set aside; want the three that were lost", n)
	}
	f.close()
}
