package badger

import (
	"bytes"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
	"github.com/hookspool/hookspool/testenv/effort"
)

// framed is a tree with frames in some value logs, and what must be in it.
type framed struct {
	*Tree
	dir, secret string
	seqs        []uint64
	records     map[uint64][]byte
}

// openFramed opens the tree in a directory; logs of 1 MiB.
func openFramed(t *testing.T, dir, secret string) *Tree {
	t.Helper()
	return openFramedTelling(t, dir, secret, func(string) {})
}

func openFramedTelling(t *testing.T, dir, secret string, failed func(string)) *Tree {
	t.Helper()
	o := valueOptions(dir, secret, Logger{Log: slog.New(slog.DiscardHandler), Failed: failed})
	o.ValueThreshold = ValueBytesMin
	o.MemTableSize = 16 << 20
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		t.Fatal(err)
	}
	tree := NewTree(TreeOptions{Dir: dir, Log: slog.New(slog.DiscardHandler), Said: func(string) {}})
	if err := tree.Open(o); err != nil {
		t.Fatal(err)
	}
	return tree
}

// newFramed fills one: frames of all lengths, from some of which a part was deleted.
func newFramed(t *testing.T, secret string) *framed {
	t.Helper()
	f := &framed{dir: filepath.Join(t.TempDir(), "spool"), secret: secret,
		records: make(map[uint64][]byte)}
	f.Tree = openFramed(t, f.dir, secret)
	r := rand.New(rand.NewPCG(7, 11))
	for seq, size := uint64(1), 0; size < 3<<20; {
		txn := f.Begin()
		from := seq
		for range 1 + r.IntN(40) {
			rec := record.NewEvent(record.Parts{ID: fmt.Sprint("id", seq), Given: true,
				At: time.Unix(int64(seq), 0), Payload: bytes.Repeat([]byte{1, byte(seq)}, 1+r.IntN(2000))},
				record.Seal{Seq: seq, Lanes: []record.LaneID{1}})
			f.append(t, txn, seq, rec)
			size += len(rec)
			seq++
		}
		f.commit(t, txn)
		if r.IntN(3) > 0 {
			continue
		}
		txn = f.Begin()
		for ; from < seq; from += 1 + r.Uint64N(4) {
			if err := txn.Delete(record.LogKey(from)); err != nil {
				t.Fatal(err)
			}
			delete(f.records, from)
		}
		f.commit(t, txn)
	}
	f.seqs = f.seqs[:0]
	for seq := range f.records {
		f.seqs = append(f.seqs, seq)
	}
	slices.Sort(f.seqs)
	return f
}

func (f *framed) append(t *testing.T, txn engine.Txn, seq uint64, rec []byte) {
	t.Helper()
	if err := txn.Append(seq, rec, nil); err != nil {
		t.Fatal(err)
	}
	f.seqs, f.records[seq] = append(f.seqs, seq), rec
}

func (f *framed) commit(t *testing.T, txn engine.Txn) {
	t.Helper()
	if err := txn.Commit(); err != nil {
		t.Fatal(err)
	}
}

// check wants all events, as they were but for one; how many are not.
func (f *framed) check(t *testing.T, what string, at uint64) (damaged int) {
	t.Helper()
	look := f.Look()
	defer look.Close()
	for _, reverse := range []bool{false, true} {
		damaged = 0
		want := slices.Clone(f.seqs)
		from := record.LogKey(0)
		if reverse {
			slices.Reverse(want)
			from = record.LogKey(f.seqs[len(f.seqs)-1] + 5)
		}
		w := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}, Reverse: reverse})
		for w.Seek(from); w.Valid(); w.Next() {
			value, err := engine.Copy(w)
			seq := record.KeySeq(w.Key())
			if err != nil || len(want) == 0 || seq != want[0] {
				t.Errorf("%s: reverse %v, event %d, %v; want %d", what, reverse, seq, err, want[:1])
				break
			}
			want = want[1:]
			if !bytes.Equal(value, f.records[seq]) {
				damaged++
				if record.Check(record.LogKey(seq), value) == nil {
					t.Errorf("%s: another event passes for %d", what, seq)
				}
			}
		}
		w.Close()
		if damaged > 1 || len(want) > 0 && !t.Failed() {
			t.Errorf("%s: reverse %v, %d cannot be read, %d are missing", what, reverse, damaged, len(want))
		}
	}
	n, _ := slices.BinarySearch(f.seqs, at)
	wrong := 0
	for _, seq := range f.seqs[max(0, n-3):min(len(f.seqs), n+3)] {
		if got, err := look.Get(record.LogKey(seq)); err != nil || !bytes.Equal(got, f.records[seq]) {
			wrong++
		}
	}
	if wrong > damaged {
		t.Errorf("%s: %d are not got; walks could not read %d", what, wrong, damaged)
	}
	return damaged
}

// flipEach visits some bytes of a value log, one after the other: each n-th, and some of those that
// the first entries begin and end with.
func (f *framed) flipEach(t *testing.T, path string, each int64, visit func(what string, e valueEntry,
	at int64)) {
	t.Helper()
	entries := valueEntries(t, f.dir, path, f.secret)
	last := entries[len(entries)-1]
	for at := entries[0].At; at < last.At+last.Bytes; at += each {
		n, is := slices.BinarySearchFunc(entries, at, func(e valueEntry, at int64) int {
			return int(e.At - at)
		})
		if !is {
			n--
		}
		visit(fmt.Sprintf("byte %d of the entry of %d at %d", at-entries[n].At, entries[n].seq,
			entries[n].At), entries[n], at)
	}
	for i, e := range entries[:min(4, len(entries))] {
		for at := int64(i); at < 140; at += 4 + each/4000 {
			visit(fmt.Sprintf("byte %d of the entry of %d", at, e.seq), e, e.At+at)
		}
		visit(fmt.Sprintf("the checksum of the entry of %d", e.seq), e, e.At+e.Bytes-1-int64(i))
	}
}

// Whichever byte of an older value log is changed while the engine runs costs at most the event that
// it is in: all others are read, by all who read, and the engine goes on.
func TestFrameSalvagedInUse(t *testing.T) {
	for _, secret := range []string{"", valueSecret} {
		t.Run(fmt.Sprintf("encrypted %v", secret != ""), func(t *testing.T) {
			f := newFramed(t, secret)
			path := valuePaths(t, f.dir)[0]
			all, visits := 0, 0
			f.flipEach(t, path, int64(effort.Most(5003, 20_011)), func(what string, e valueEntry, at int64) {
				changeByte(t, path, at, 0x10)
				visits++
				all += f.check(t, what, e.seq)
				changeByte(t, path, at, 0x10)
				if t.Failed() {
					t.FailNow()
				}
			})
			if 2*all <= visits {
				t.Errorf("%d of %d bytes damaged an event; want most bytes to be of one", all, visits)
			}
			ended := make(chan error, 1)
			go func() {
				seq := f.seqs[len(f.seqs)-1] + 1
				txn := f.Begin()
				f.append(t, txn, seq, valueOf(seq))
				f.commit(t, txn)
				err := f.Flush()
				f.check(t, "at the end", seq)
				if err == nil {
					err = f.Close()
				}
				ended <- err
			}()
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				t.Fatal("it does not flush and close: is a file locked?")
			}
		})
	}
}

// Whichever byte of the newest value log is changed before a start costs at most the event that it
// is in.
func TestFrameFlippedBeforeStart(t *testing.T) {
	effort.OnlyLong(t, "every byte of a file")
	for _, secret := range []string{"", valueSecret} {
		t.Run(fmt.Sprintf("encrypted %v", secret != ""), func(t *testing.T) {
			f := newFramed(t, secret)
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
			paths := valuePaths(t, f.dir)
			path := paths[len(paths)-1]
			kept := f.dir
			f.flipEach(t, path, 50_021, func(what string, e valueEntry, at int64) {
				f.dir = filepath.Join(t.TempDir(), "flipped")
				atrest.Copy(t, kept, f.dir)
				changeByte(t, filepath.Join(f.dir, Dir, filepath.Base(path)), at, 0x10)
				o := valueOptions(f.dir, secret, Logger{Log: slog.New(slog.DiscardHandler),
					Failed: func(string) {}})
				if err := atRestFiles(f.dir, secret).Precheck(o); err != nil {
					t.Fatal(what, err)
				}
				f.Tree = openFramed(t, f.dir, secret)
				f.check(t, what, e.seq)
				if err := f.Close(); err != nil {
					t.Fatal(what, err)
				}
				os.RemoveAll(f.dir)
				f.dir = kept
				if t.Failed() {
					t.FailNow()
				}
			})
		})
	}
}

// An event in a damaged frame can be deleted, which costs no other one, and a damaged one stays the
// one that it was among its neighbors when those are gone.
func TestFrameDamagedAndShrunk(t *testing.T) {
	f := newFramed(t, "")
	defer f.Close()
	path := valuePaths(t, f.dir)[0]
	look := f.Look().(frame.Look)
	frames := look.Frames()
	var parts []record.InFrame
	last := uint64(0)
	whole := func() bool { // nothing was deleted
		n := len(parts)
		return n > 12 && parts[n-1].Seq-parts[0].Seq == uint64(n-1)
	}
	for ok := true; ok && !whole(); {
		if last, ok = frames.Seek(last + 1); ok {
			parts, _ = frames.Events()
			parts = slices.Clone(parts)
		}
	}
	frames.Close()
	look.Close()
	entries := valueEntries(t, f.dir, path, "")
	i := slices.IndexFunc(entries, func(e valueEntry) bool { return e.seq == last })
	bad := parts[5]
	at := entries[i].At + entries[i].Bytes - 4 - int64(parts[len(parts)-1].To) + int64(bad.From)
	for n := range int64(record.HeadBytes) { // it says of itself neither which it is nor its length
		changeByte(t, path, at+n, 0xa5)
	}
	for _, goes := range []int{2, 4, 6, 9, len(parts) - 1, 0} {
		txn := f.Begin()
		if err := txn.Delete(record.LogKey(parts[goes].Seq)); err != nil {
			t.Fatal(err)
		}
		f.commit(t, txn)
		f.seqs = slices.DeleteFunc(f.seqs, func(seq uint64) bool { return seq == parts[goes].Seq })
		if n := f.check(t, fmt.Sprintf("event %d of the frame is deleted", goes), bad.Seq); n != 1 {
			t.Fatalf("%d events cannot be read; want one", n)
		}
		rec, err := f.Get(record.LogKey(bad.Seq))
		if err != nil || record.IsWhole(rec, bad.Seq) || len(rec) != bad.To-bad.From {
			t.Fatalf("the damaged event has %d bytes, %v; want %d", len(rec), err, bad.To-bad.From)
		}
	}
}

// A tree that is filled with the records of another has all of them, in whatever order they come, in
// frames; a damaged one as it is.
func TestLoaderMakesFrames(t *testing.T) {
	f := newFramed(t, "")
	defer f.Close()
	damaged := f.seqs[len(f.seqs)/2]
	f.records[damaged] = bytes.Clone(f.records[damaged])
	f.records[damaged][60] ^= 1
	r := rand.New(rand.NewPCG(5, 6))
	orders := map[string][]uint64{"in order": f.seqs}
	late := slices.Clone(f.seqs)
	for range 25 {
		i, j := r.IntN(len(late)), r.IntN(len(late))
		late[i], late[j] = late[j], late[i]
	}
	orders["some late"] = late
	few := slices.Clone(f.seqs[:70])
	r.Shuffle(len(few), func(i, j int) { few[i], few[j] = few[j], few[i] })
	orders["shuffled, some twice"] = append(few, few[:9]...)
	orders["first and last"] = []uint64{f.seqs[20], f.seqs[0]}
	for name, order := range orders {
		dir := filepath.Join(t.TempDir(), "loaded")
		to := &framed{Tree: openFramed(t, dir, ""), dir: dir, records: f.records}
		l, err := to.Load()
		if err != nil {
			t.Fatal(name, err)
		}
		for i, seq := range order {
			if err := l.Put(record.LogKey(seq), f.records[seq], 0); err != nil {
				t.Fatal(name, err)
			}
			if err := l.Put(fmt.Appendf(nil, "a%d", i), []byte("small"), 0); err != nil {
				t.Fatal(name, err)
			}
		}
		if err := l.Flush(); err != nil {
			t.Fatal(name, err)
		}
		to.seqs = slices.Compact(slices.Sorted(slices.Values(order)))
		to.check(t, name, damaged)
		for i := range order {
			if v, err := to.Get(fmt.Appendf(nil, "a%d", i)); err != nil || string(v) != "small" {
				t.Fatalf("%s: small record %d: %q, %v", name, i, v, err)
			}
		}
		look := to.Look().(frame.Look)
		frames := look.Frames()
		n := 0
		for last, ok := frames.Seek(0); ok; last, ok = frames.Seek(last + 1) {
			n++
		}
		frames.Close()
		look.Close()
		if n > len(to.seqs)/3 && name == "in order" {
			t.Errorf("%s: %d events lie in %d values; want frames", name, len(to.seqs), n)
		}
		if err := to.Close(); err != nil {
			t.Error(name, err)
		}
	}
}

// A search that goes down the log reads no older version of a frame: the value log may have it no
// longer.
func TestFrameOlderVersionIsNotRead(t *testing.T) {
	f := newFramed(t, "")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	f.Tree = openFramedTelling(t, f.dir, "", func(what string) { t.Error(what) })
	defer f.Close()
	path := valuePaths(t, f.dir)[0]
	e := valueEntries(t, f.dir, path, "")[0] // sequence e.seq is the last of it
	txn := f.Begin()
	for _, seq := range f.seqs {
		if seq%2 == 1 && seq < e.seq {
			if err := txn.Delete(record.LogKey(seq)); err != nil {
				t.Fatal(err)
			}
		}
	}
	f.commit(t, txn)
	changeByte(t, path, e.At+e.Bytes/2, 1)
	look := f.Look()
	defer look.Close()
	w := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}, Reverse: true, Gone: true})
	defer w.Close()
	n := 0
	for w.Seek(record.LogKey(e.seq)); w.Valid(); w.Next() {
		seq := record.KeySeq(w.Key())
		if value, err := engine.Copy(w); err != nil || !bytes.Equal(value, f.records[seq]) {
			t.Errorf("event %d: %v", seq, err)
		}
		n++
	}
	if n < 3 {
		t.Errorf("%d events were read", n)
	}
}
