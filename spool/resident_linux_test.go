package spool

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"testing"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/record"
)

// readAll fetches n events of a lane and checks each against its digest.
func (f *fixture) readAll(l *Lane, n int) {
	f.t.Helper()
	for _, e := range f.fetch(l, n) {
		if sum := sha256.Sum256(e.Payload()); hex.EncodeToString(sum[:]) != e.Type() {
			f.t.Fatalf("event %d is not what was appended", e.Seq)
		}
	}
}

// Mapped tables that were read do not stay resident, and what they hold is still there.
func TestTrimMapped(t *testing.T) {
	const events, size = 4096, 3 << 10
	f := open(t)
	f.lane("a")
	for range events / 256 {
		f.appendRandom(256, size, "a")
	}
	f.flushNow()
	f.reopen()
	read := func() {
		t.Helper()
		var all bytes.Buffer
		err := f.scan([]byte{record.PrefixLog}, nil, func(_, value []byte) (bool, error) {
			all.Write(value)
			return true, nil
		})
		if err != nil || all.Len() < events*size {
			t.Fatalf("read %d bytes, %v", all.Len(), err)
		}
	}
	read()
	before, err := ondisk.MappedBytes()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.disk.TrimMapped(before + 32<<20); err != nil {
		t.Fatal(err)
	}
	if still, _ := ondisk.MappedBytes(); still < before-events*size/2 {
		t.Errorf("%d bytes are resident of %d that may be", still, before)
	}
	if err := f.disk.TrimMapped(0); err != nil {
		t.Fatal(err)
	}
	if after, _ := ondisk.MappedBytes(); after > before-events*size/2 {
		t.Errorf("%d bytes are still resident of %d", after, before)
	}
}

// Tables come and go while their pages are taken; nothing that anybody reads or writes changes.
func TestTrimMappedMeanwhile(t *testing.T) {
	const rounds, events, size = 12, 16, 3 << 10
	f := open(t)
	l := f.lane("a")
	stop := make(chan struct{})
	var trimmer sync.WaitGroup
	trims := 0
	trimmer.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := f.disk.TrimMapped(0); err != nil {
				t.Error(err)
				return
			}
			trims++
		}
	})
	for range rounds {
		f.appendRandom(events, size, "a")
		f.flushNow()
		if err := f.disk.DB.Flatten(1); err != nil {
			t.Fatal(err)
		}
	}
	f.readAll(l, rounds*events)
	close(stop)
	trimmer.Wait()
	if trims < rounds {
		t.Errorf("pages were taken %d times", trims)
	}
	f.reopen()
	f.readAll(f.lane("a"), rounds*events)
}
