package badger

import (
	"bytes"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/dgraph-io/badger/v4"
	"github.com/hookspool/hookspool/spool/badger/frame"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest/atrest"
)

// eventOf is an event with a payload of so many bytes.
func eventOf(seq uint64, size int) []byte {
	return record.NewEvent(record.Parts{ID: fmt.Sprint(seq), Given: true, At: time.Unix(1, 0),
		Payload: bytes.Repeat([]byte{byte(seq)}, size)}, record.Seal{Seq: seq})
}

// packed is a store with events in groups of all sizes.
type packed struct {
	*opened
	t    *testing.T
	next uint64
	want map[uint64][]byte
}

// group appends so many events in one transaction.
func (p *packed) group(n, size int) {
	p.t.Helper()
	txn := p.Begin()
	for range n {
		p.want[p.next] = eventOf(p.next, size)
		if err := txn.Append(p.next, p.want[p.next], nil); err != nil {
			p.t.Fatal(err)
		}
		p.next++
	}
	if err := txn.Commit(); err != nil {
		p.t.Fatal(err)
	}
}

func (p *packed) drop(seqs ...uint64) {
	p.t.Helper()
	txn := p.Begin()
	for _, seq := range seqs {
		delete(p.want, seq)
		if err := txn.Delete(record.LogKey(seq)); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := txn.Commit(); err != nil {
		p.t.Fatal(err)
	}
}

// holds asserts that what is there is what is wanted, read by key and in order.
func (p *packed) holds(e engine.Records) {
	p.t.Helper()
	look := e.Look()
	defer look.Close()
	n := 0
	err := engine.Scan(look, []byte{record.PrefixLog}, nil, func(key, value []byte) (bool, error) {
		if !bytes.Equal(value, p.want[record.KeySeq(key)]) {
			p.t.Errorf("event %d is not what was appended", record.KeySeq(key))
		}
		n++
		return true, nil
	})
	if err != nil || n != len(p.want) {
		p.t.Errorf("%d events are there, %v; want %d", n, err, len(p.want))
	}
	for _, o := range []engine.Walk{{Gone: true}, {Gone: true, Reverse: true}} {
		w := look.Walk(o)
		for seq := range p.want {
			steps := 0
			for w.Seek(record.LogKey(seq)); w.Valid() && w.Gone() && steps < 2*packEvents; w.Next() {
				steps++
			}
			if !w.Valid() || w.Gone() || record.KeySeq(w.Key()) != seq {
				p.t.Fatalf("event %d is not found in %d steps, in reverse: %v", seq, steps, o.Reverse)
			}
		}
		w.Close()
	}
	for seq, want := range p.want {
		if got, err := look.Get(record.LogKey(seq)); err != nil || !bytes.Equal(got, want) {
			p.t.Errorf("event %d: %v", seq, err)
		}
	}
}

// looseKeys are the keys of the log whose values lie in the tree, and all of them.
func (p *packed) looseKeys() (n, all int) {
	look := p.Look().(frame.Look)
	defer look.Close()
	f := look.Frames()
	defer f.Close()
	for _, ok := f.Seek(0); ok; _, ok = f.Next() {
		if all++; f.Length() < ValueBytesMin {
			n++
		}
	}
	return n, all
}

// TestPack asserts that loose events are packed once there are many, and read as before, now and
// after a kill; that what is large or damaged stays as it is; and that the newest are left.
func TestPack(t *testing.T) {
	for _, key := range [][]byte{nil, bytes.Repeat([]byte{7}, 32)} {
		s := &packed{opened: openStore(t, StoreOptions{Files: Files{Key: key}}), t: t, next: 1,
			want: make(map[uint64][]byte)}
		for i := range 200 {
			s.group(1, 1000)
			switch i % 20 {
			case 5:
				s.group(5, 1000) // a small frame between them
			case 15:
				s.group(30, 1000) // a large one
			}
		}
		s.drop(3, 4, 9, 100)
		damaged := s.next
		s.group(1, 1000)
		err := s.DB.Update(func(txn *badger.Txn) error {
			s.want[damaged] = bytes.Clone(s.want[damaged])
			s.want[damaged][500] ^= 1
			return txn.Set(record.LogKey(damaged), s.want[damaged])
		})
		if err != nil {
			t.Fatal(err)
		}
		s.group(1, 1000)
		s.group(1, 1000)
		s.holds(s)
		if err := s.packer.pack(atOnce); err != nil {
			t.Fatal(err)
		}
		if n, _ := s.looseKeys(); n < 150 {
			t.Errorf("%d loose events are there before there is a reason to pack", n)
		}
		s.packer.at, s.packer.to = 64<<10, 16<<10
		if err := s.packer.pack(atOnce); err != nil {
			t.Fatal(err)
		}
		n, all := s.looseKeys()
		if n < 3 || n > 25 || all > 60 {
			t.Errorf("%d loose events of %d keys are left", n, all)
		}
		s.holds(s)
		s.drop(1, 2, 5, 6, 7, 8, 50, 51)
		s.holds(s)
		if err := s.Flush(); err != nil {
			t.Fatal(err)
		}
		s.group(1, 1000)
		killed := filepath.Join(t.TempDir(), "spool")
		atrest.Killed(t, s.Dir, killed)
		s.holds(openStore(t, StoreOptions{Files: Files{Dir: killed, Key: key,
			Answered: func() (uint64, error) { return s.next - 1, nil },
			Raise:    func(uint64) error { return nil }}}))
	}
}

// TestPackBesideDeletions asserts that nothing comes back that is deleted while a frame is made of it.
func TestPackBesideDeletions(t *testing.T) {
	s := &packed{opened: openStore(t, StoreOptions{}), t: t, next: 1, want: make(map[uint64][]byte)}
	s.packer.at, s.packer.to = 8<<10, 0
	for range 2 {
		for range packBytes / 1000 * 3 / 2 {
			s.group(1, 1000)
		}
		seq := s.packer.next + 10
		err := s.packer.pack(func(run func() error) error {
			if _, there := s.want[seq]; there {
				s.drop(seq)
			}
			return run()
		})
		if err != nil {
			t.Fatal(err)
		}
		s.holds(s)
	}
	for range 500 { // several frames
		s.group(1, 1000)
	}
	if err := s.packer.pack(atOnce); err != nil {
		t.Fatal(err)
	}
	if n, all := s.looseKeys(); all > 300 {
		t.Errorf("%d loose events of %d keys are left", n, all)
	}
	s.holds(s)
}
