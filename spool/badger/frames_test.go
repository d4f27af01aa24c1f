package badger

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"

	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// frameModel is a tree beside a plain map of what must be in it.
type frameModel struct {
	t    *testing.T
	s    *opened
	r    *rand.Rand
	all  map[string][]byte
	next uint64   // event
	ends []uint64 // of what was appended together
}

const frameModelSteps = 120

// Whatever is appended and deleted, and however often what stays of a frame was written again, each
// event is where a plain sorted map has it, for every way to read.
func TestFramesAreAPlainMap(t *testing.T) {
	for _, secret := range []string{"", valueSecret} {
		t.Run(fmt.Sprintf("encrypted %v", secret != ""), func(t *testing.T) {
			seed := uint64(time.Now().UnixNano())
			if n, err := strconv.ParseUint(os.Getenv("HOOKSPOOL_SEED"), 10, 64); err == nil {
				seed = n
			}
			t.Logf("seed %d", seed)
			m := &frameModel{t: t, r: rand.New(rand.NewPCG(seed, 1)), all: make(map[string][]byte), next: 1}
			o := StoreOptions{}
			o.Key = []byte(secret)
			m.s = openStore(t, o)
			var old engine.Look // of some steps before
			var oldAll map[string][]byte
			for step := range frameModelSteps {
				m.step()
				if step%30 == 20 {
					m.settleDown(step)
				}
				look := m.s.Look()
				m.check(look, m.all, step%15 == 14)
				if step%7 > 0 {
					look.Close()
				} else {
					if old != nil {
						m.check(old, oldAll, false)
						old.Close()
					}
					old, oldAll = look, maps.Clone(m.all)
				}
				if t.Failed() {
					t.Fatalf("after step %d", step)
				}
			}
			old.Close()
		})
	}
}

// settleDown has the engine move what it holds from one place to another.
func (m *frameModel) settleDown(step int) {
	m.t.Helper()
	err := m.s.Flush()
	if step%60 == 50 {
		err = errors.Join(err, m.s.Flatten())
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m *frameModel) events(all map[string][]byte) (seqs []uint64) {
	for key := range all {
		if frame.IsKey([]byte(key)) {
			seqs = append(seqs, record.KeySeq([]byte(key)))
		}
	}
	slices.Sort(seqs)
	return seqs
}

// step is one transaction.
func (m *frameModel) step() {
	m.t.Helper()
	txn := m.s.Begin()
	defer txn.Discard()
	all := maps.Clone(m.all)
	seqs := m.events(all)
	if m.r.IntN(3) > 0 || len(seqs) > 400 {
		for range 1 + m.r.IntN(4) {
			m.deleteSome(txn, all, seqs)
		}
	}
	m.smallKeys(txn, all)
	var appended []uint64
	if m.r.IntN(4) > 0 && len(seqs) < 500 {
		if len(seqs) > 0 {
			m.next = max(m.next, seqs[len(seqs)-1]+1)
		}
		if m.r.IntN(3) == 0 { // as after a start, which goes on after the newest that is there
			left := m.events(all)
			if m.next = 1; len(left) > 0 {
				m.next = left[len(left)-1] + 1
			}
		}
		most := []int{3, 80, 8192}[m.r.IntN(3)]
		for range 1 + m.r.IntN(80) {
			rec := record.NewEvent(record.Parts{ID: fmt.Sprint(m.next), At: time.Unix(int64(m.next), 0),
				Payload: bytes.Repeat([]byte{byte(m.r.Uint32())}, 1+m.r.IntN(most))},
				record.Seal{Seq: m.next})
			if err := txn.Append(m.next, rec, nil); err != nil {
				m.t.Fatal(err)
			}
			all[string(record.LogKey(m.next))] = rec
			appended = append(appended, m.next)
			m.next++
		}
	}
	if len(appended) > 0 {
		m.ends = append(m.ends, m.next-1)
	}
	if len(appended) > 0 && m.r.IntN(4) == 0 {
		m.deleteSome(txn, all, appended)
	}
	for range 10 { // what it reads in it
		key := record.LogKey(m.r.Uint64N(m.next + 2))
		got, err := txn.Get(key)
		if want, is := all[string(key)]; is != (err == nil) || is != txn.Has(key) || !bytes.Equal(got, want) {
			m.t.Errorf("in the transaction, %q: %d bytes, %v; want %v", key, len(got), err, is)
		}
	}
	if err := txn.Commit(); err != nil {
		m.t.Fatal(err)
	}
	m.all = all
}

// deleteSome deletes events: some, a run, the last of them, the first, or nearly all of two frames.
func (m *frameModel) deleteSome(txn engine.Txn, all map[string][]byte, seqs []uint64) {
	if len(seqs) == 0 {
		return
	}
	from, n := m.r.IntN(len(seqs)), 1
	switch m.r.IntN(6) {
	case 4:
		m.deleteNearly(txn, all, seqs)
		return
	case 0:
		n = 1 + m.r.IntN(160)
	case 1:
		n = 1 + m.r.IntN(len(seqs))
		from = len(seqs) - n
	case 2:
		from, n = 0, 1+m.r.IntN(120)
	case 3:
		for range m.r.IntN(8) {
			m.delete(txn, all, seqs[m.r.IntN(len(seqs))])
		}
	}
	for _, seq := range seqs[from:min(len(seqs), from+n)] {
		m.delete(txn, all, seq)
	}
}

// deleteNearly deletes all up to the end of a frame but one that is there, mostly the last; others
// may be gone already.
func (m *frameModel) deleteNearly(txn engine.Txn, all map[string][]byte, seqs []uint64) {
	if len(m.ends) < 2 {
		return
	}
	i := 1 + m.r.IntN(len(m.ends)-1)
	from, to := m.ends[i-1]-m.r.Uint64N(3), m.ends[i]
	stays, _ := slices.BinarySearch(seqs, to)
	stays -= m.r.IntN(3) / 2 * m.r.IntN(20)
	for seq := from; seq <= to; seq++ {
		if stays < 0 || stays >= len(seqs) || seq != seqs[stays] {
			m.delete(txn, all, seq)
		}
	}
}

func (m *frameModel) delete(txn engine.Txn, all map[string][]byte, seq uint64) {
	if err := txn.Delete(record.LogKey(seq)); err != nil {
		m.t.Fatal(err)
	}
	delete(all, string(record.LogKey(seq)))
}

// smallKeys writes some records before and after the log.
func (m *frameModel) smallKeys(txn engine.Txn, all map[string][]byte) {
	for range m.r.IntN(4) {
		key := []byte{"adfz"[m.r.IntN(4)], byte(m.r.IntN(6))}
		var err error
		if m.r.IntN(3) == 0 {
			delete(all, string(key))
			err = txn.Delete(key)
		} else {
			value := bytes.Repeat([]byte{'v'}, 1+m.r.IntN(6000))
			all[string(key)] = value
			err = txn.Put(bytes.Clone(key), value, 0)
		}
		if err != nil {
			m.t.Fatal(err)
		}
	}
}

// check compares all ways to read with a map; whole: from every key.
func (m *frameModel) check(l engine.Look, all map[string][]byte, whole bool) {
	m.t.Helper()
	keys := slices.Sorted(maps.Keys(all))
	seqs := m.events(all)
	some := 25
	if whole {
		some = 150
	}
	m.checkGets(l, all, some)
	for _, o := range []engine.Walk{{}, {Prefix: []byte{record.PrefixLog}}, {Reverse: true},
		{Prefix: []byte{record.PrefixLog}, Reverse: true}, {Prefix: []byte{record.PrefixLog}, Gone: true},
		{Prefix: []byte{record.PrefixLog}, Gone: true, Reverse: true}} {
		of := keys
		if o.Prefix != nil {
			of = nil
			for _, seq := range seqs {
				of = append(of, string(record.LogKey(seq)))
			}
		}
		m.checkWalk(l, o, of, all, some)
	}
	m.checkFrames(l, seqs, all)
	for range 5 {
		from := record.LogKey(m.r.Uint64N(m.next + 2))
		key, value, err := engine.Last(l, []byte{record.PrefixLog}, from)
		n, is := slices.BinarySearch(seqs, record.KeySeq(from))
		if !is {
			n--
		}
		if n < 0 != errors.Is(err, engine.ErrNotFound) ||
			n >= 0 && (record.KeySeq(key) != seqs[n] || !bytes.Equal(value, all[string(key)])) {
			m.t.Errorf("the last event up to %d is %q, %v", record.KeySeq(from), key, err)
		}
	}
}

func (m *frameModel) checkGets(l engine.Look, all map[string][]byte, some int) {
	m.t.Helper()
	for range some {
		key := record.LogKey(m.r.Uint64N(m.next + 2))
		got, err := l.Get(key)
		want, is := all[string(key)]
		if is && (err != nil || !bytes.Equal(got, want)) || !is && !errors.Is(err, engine.ErrNotFound) {
			m.t.Errorf("Get of event %d: %d bytes, %v; want it %v", record.KeySeq(key), len(got), err, is)
		}
	}
}

// checkWalk walks from some places, all with one walker.
func (m *frameModel) checkWalk(l engine.Look, o engine.Walk, of []string, all map[string][]byte,
	some int) {
	m.t.Helper()
	if o.Reverse {
		of = slices.Clone(of)
		slices.Reverse(of)
	}
	w := l.Walk(o)
	defer w.Close()
	for i := range some / 5 {
		from := record.LogKey(m.r.Uint64N(m.next + 2))
		if i == 0 && !o.Reverse {
			from = record.LogKey(0)
		}
		want := of[slices.IndexFunc(append(slices.Clone(of), string(from)), func(key string) bool {
			return key == string(from) || key > string(from) != o.Reverse
		}):]
		steps := 1 + m.r.IntN(100)
		if i == 0 {
			steps = 1 << 20
		}
		n := 0
		together, held := uint64(0), 0
		for w.Seek(from); w.Valid() && n < steps; w.Next() {
			if o.Gone && w.Gone() {
				continue
			}
			value, err := engine.Copy(w)
			if n >= len(want) || string(w.Key()) != want[n] || err != nil ||
				!bytes.Equal(value, all[want[n]]) || w.Gone() {
				m.t.Errorf("%+v from %q: key %d is %q, %d bytes, %v; want %.80q", o, from, n, w.Key(),
					len(value), err, want[min(n, len(want)):])
				return
			}
			n++
			if last, size := w.Together(); !o.Reverse && frame.IsKey(w.Key()) {
				seq := record.KeySeq(w.Key())
				if held += len(value); seq > together {
					together, held = last, len(value)
				}
				if last != together || seq == last != (seq == together) || held > size {
					m.t.Errorf("event %d lies with %d, %d bytes; want %d", seq, last, size, together)
				}
			}
		}
		if n < len(want) && n < steps {
			m.t.Errorf("%+v from %q: it ends after %d keys; want %d", o, from, n, len(want))
		}
	}
}

// checkFrames wants the frames to be all events, each named after the last in it.
func (m *frameModel) checkFrames(l engine.Look, seqs []uint64, all map[string][]byte) {
	m.t.Helper()
	f := l.(frame.Look).Frames()
	defer f.Close()
	var got []uint64
	for last, ok := f.Seek(0); ok; last, ok = f.Seek(last + 1) {
		parts, err := f.Events()
		if err != nil || parts[len(parts)-1].Seq != last {
			m.t.Errorf("the frame of %d: %+v, %v", last, parts, err)
			return
		}
		for _, p := range parts {
			got = append(got, p.Seq)
			if !bytes.Equal(f.Record(p), all[string(record.LogKey(p.Seq))]) {
				m.t.Errorf("event %d is another", p.Seq)
			}
		}
	}
	if !slices.Equal(got, seqs) {
		m.t.Errorf("the frames have %v; want %v", got, seqs)
	}
}

// How events lie together is a part of the format as records are; see record.Version.
func TestFramesHaveANumber(t *testing.T) {
	shapes := map[uint64]string{
		3: "641477dc41ca08b272efca057287a4dcd19525f5481dacefe8c50a35b51dec26",
	}
	s := openStore(t, StoreOptions{})
	txn := s.Begin()
	for seq := uint64(1); seq <= 3; seq++ {
		rec := record.NewEvent(record.Parts{ID: fmt.Sprint("id", seq), Given: true, At: time.Unix(1, 0),
			Payload: bytes.Repeat([]byte{byte(seq)}, ValueBytesMin/2)},
			record.Seal{Seq: seq, BatchEnd: 3, Lanes: []record.LaneID{1}})
		if err := txn.Append(seq, rec, nil); err != nil {
			t.Fatal(err)
		}
	}
	if err := txn.Commit(); err != nil {
		t.Fatal(err)
	}
	sum := sha256.New()
	err := s.DB.View(func(txn *badger.Txn) error {
		it := txn.NewIterator(badger.DefaultIteratorOptions)
		defer it.Close()
		for it.Rewind(); it.Valid(); it.Next() {
			value, err := it.Item().ValueCopy(nil)
			if err != nil {
				return err
			}
			fmt.Fprintf(sum, "%x: %x\n", it.Item().Key(), value)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%x", sum.Sum(nil)), shapes[record.Version]; got != want {
		t.Errorf("events do not lie as in format %d: %s; want %s", record.Version, got, want)
	}
}
