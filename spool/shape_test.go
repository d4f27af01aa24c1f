package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"testing"
	"time"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/testenv/effort"
)

// smallMemory makes the engine a small one.
const smallMemory = 48 << 20

// killed is a spool as a kill leaves it, opened again with so much memory.
func (f *fixture) killed(memory int64) *fixture {
	f.t.Helper()
	g := &fixture{t: f.t, dir: f.crash(), now: f.now, secret: f.secret, memory: memory}
	g.reopen()
	f.t.Cleanup(func() { _ = g.Close() })
	return g
}

// holds wants the log to have n events, each with the digest of its payload as its type.
func (f *fixture) holds(n int) {
	f.t.Helper()
	got := 0
	err := f.scan([]byte{record.PrefixLog}, nil, func(key, value []byte) (bool, error) {
		e, err := record.DecodeEvent(bytes.Clone(value), record.KeySeq(key))
		if err != nil {
			return false, err
		}
		if sum := sha256.Sum256(e.Payload()); hex.EncodeToString(sum[:]) != e.Type() {
			f.t.Errorf("event %d is not what was appended", e.Seq)
		}
		got++
		return true, nil
	})
	if err != nil || got != n {
		f.t.Fatalf("the log has %d events, %v; want %d", got, err, n)
	}
}

// A spool with little memory takes the largest event, a batch of several transactions, and more than
// its memtables hold; what it has is there with any memory.
func TestSmallMemory(t *testing.T) {
	effort.OnlyLong(t, "it fills what a relay with little memory has")
	for _, secret := range []string{"", testKey} {
		f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0), memory: smallMemory,
			secret: []byte(secret)}
		f.reopen()
		t.Cleanup(func() { _ = f.Close() })
		f.lane("a")
		f.appendRandom(1, record.BytesMax-1000, "a")
		f.appendRandom(3, 1_000_000, "a")
		f.appendRandom(10_000, 100, "a")
		const rounds, events, size = 20, 4, 512 << 10
		for range rounds {
			f.appendRandom(events, size, "a")
		}
		all := 1 + 3 + 10_000 + rounds*events
		for _, memory := range []int64{0, smallMemory} {
			g := f.killed(memory)
			g.holds(all)
			g.appendRandom(events, size, "a")
			g.reopen()
			g.holds(all + events)
		}
	}
}

// The log of a larger memtable, left by a kill, is read by a spool with little memory, whatever is
// in it: the engine's own words for one that does not fit are the end of the process.
func TestSmallMemoryAfterLarge(t *testing.T) {
	effort.OnlyLong(t, "it fills what a relay with little memory has")
	for _, size := range []int{1, 300} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			const events, roundsMax = 2_000, 100
			f := open(t)
			f.lane("a")
			n, written := 0, int64(0)
			for n < roundsMax*events && written < 15<<20 {
				for range 4 { // the log has what is remembered of their ids
					f.appendGiven(events/4, size, "a")
				}
				n += events
				if err := f.between(func() error { written = f.disk.Room.Written; return nil }); err != nil {
					t.Fatal(err)
				}
			}
			if written < ondisk.MemTableBytes/2 {
				t.Fatalf("the log has %d bytes after %d events", written, n)
			}
			g := f.killed(smallMemory)
			g.holds(n)
			g.appendRandom(1, 1_000_000, "a")
			g.reopen()
			g.holds(n + 1)
		})
	}
}
