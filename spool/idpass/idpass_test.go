package idpass_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/idpass"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/spooltest"
)

// A pass takes what was given an id and is old enough, once a day, and goes on where it was stored.
func TestPass(t *testing.T) {
	now := time.Unix(1_700_000_000, 0).Truncate(24 * time.Hour)
	m := spooltest.NewMemory(false)
	e := m.Engine()
	seq := uint64(0)
	accept := func(age time.Duration, given bool) {
		t.Helper()
		seq++
		rec := record.NewEvent(record.Parts{ID: fmt.Sprint("id-", seq), Given: given, At: now.Add(-age),
			Type: "t", Payload: []byte("x")},
			record.Seal{Seq: seq, BatchEnd: seq, Spool: 1, Lanes: []record.LaneID{1}})
		txn := e.Begin()
		if err := txn.Append(seq, rec, []record.LaneID{1}); err != nil {
			t.Fatal(err)
		}
		if err := txn.Commit(); err != nil {
			t.Fatal(err)
		}
	}
	var p idpass.Pass
	find := func(life time.Duration, most int, want string) {
		t.Helper()
		look := e.Look()
		defer look.Close()
		got := ""
		found, err := p.Find(look, now, life, seq, most)
		if err != nil {
			t.Fatal(err)
		}
		if found != nil {
			for _, id := range found.IDs {
				got += id.Name + " "
			}
			p.Took(found)
		}
		if got != want {
			t.Errorf("found %q; want %q", got, want)
		}
		now = now.Add(time.Minute)
	}
	restart := func() {
		stored := p.IDPass
		p = idpass.Pass{}
		p.Load(stored)
	}
	const life = 2 * time.Hour
	accept(5*time.Hour, true)
	accept(4*time.Hour, false)
	accept(-2*365*24*time.Hour, true) // the clock was ahead
	accept(3*time.Hour, true)
	accept(time.Hour, true)
	accept(9*time.Hour, true) // an import
	find(life, 2, "id-1 id-3 ")
	restart()
	find(life, 2, "id-4 ")
	find(life, 2, "")
	now = now.Add(90 * time.Minute)
	find(life, 9, "id-5 id-6 ")
	// What was accepted before a longer life is remembered for as long as it was.
	accept(0, true)
	find(5*life, 9, "")
	restart()
	find(5*life, 9, "")
	now = now.Add(3 * time.Hour)
	find(5*life, 9, "id-7 ")
	accept(3*time.Hour, true)
	find(5*life, 9, "")
	find(life, 9, "id-8 ")
	// The next day all of it is remembered again.
	now = now.Add(24 * time.Hour)
	find(life, 99, "id-1 id-3 id-4 id-5 id-6 id-7 id-8 ")
}
