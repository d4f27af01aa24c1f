package spool

import (
	"crypto/sha256"
	"errors"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/record"
)

// What was accepted, remembered, released and exhausted while the clock was two years ahead goes
// when its time is over once the clock is right, also where a restart comes in between.
func TestClockWasAhead(t *testing.T) {
	for name, restarts := range map[string]bool{"runs on": false, "starts again": true} {
		t.Run(name, func(t *testing.T) {
			f := &fixture{t: t, dir: t.TempDir() + "/spool", now: time.Unix(1_700_000_000, 0), unkept: true}
			f.reopen()
			t.Cleanup(func() { f.Close() })
			l := f.lane("crm")
			l.Open(true)
			given := func(id string) *Draft {
				d := &Draft{ID: id, Given: true, Hash: sha256.Sum256([]byte(id)), Payload: []byte(id),
					At: f.now, Note: []string{"crm"}}
				if err := f.Append(d); err != nil {
					t.Fatal(err)
				}
				return d
			}
			settle := func(seq uint64, v Verdict) {
				f.settle(Settlement{Lane: l.id, Seq: seq, Fresh: true, Verdict: v, Attempts: 1, Due: 1,
					At: f.now, AcceptedAt: f.now})
			}
			look := func() { f.Clock().See(f.now) } // of the keeper
			const years = 2 * 365 * 24 * time.Hour
			f.pass(years)
			ahead, exhausted, released := given("ahead"), given("exhausted"), given("released")
			f.fetch(l, 3)
			settle(ahead.Seq, Delivered)
			settle(exhausted.Seq, Exhausted)
			settle(released.Seq, Retry)
			f.pass(-years)
			if again := given("ahead"); !again.Duplicate {
				t.Error("an id that was given in the glitch is not known just after it")
			}
			after := f.append("after", "crm")
			f.fetch(l, 1)
			settle(after.Seq, Delivered)
			look()
			if restarts {
				f.reopen()
				l = f.lane("crm")
				l.Open(true)
			}
			sweep := func() {
				t.Helper()
				f.commitCheckpoint()
				if err := f.Sweep(f.now); err != nil {
					t.Fatal(err)
				}
			}
			there := func(seq uint64) bool {
				_, err := f.get(record.LogKey(seq))
				if err != nil && !errors.Is(err, ErrNotFound) {
					t.Fatal(err)
				}
				return err == nil
			}
			sweep()
			if !there(ahead.Seq) || !there(after.Seq) {
				t.Error("what was delivered is gone before its time")
			}
			f.counts(l, 1, 1)
			f.pass(2 * time.Hour) // all is kept for one
			sweep()
			if there(ahead.Seq) || there(after.Seq) {
				t.Error("what was accepted in the glitch, and what came after it, stays")
			}
			f.counts(l, 1, 0)
			f.pass(years)
			look()
			f.due(l, 9)
			f.settle(Settlement{Lane: l.id, Seq: released.Seq, Verdict: Delivered, At: f.now,
				AcceptedAt: f.now})
			f.pass(-years)
			look()
			sweep()
			if !there(released.Seq) {
				t.Error("what was released in the glitch is gone before its time")
			}
			f.pass(2 * time.Hour)
			sweep()
			if there(released.Seq) {
				t.Error("what was released in the glitch stays")
			}
			if again := given("ahead"); again.Duplicate {
				t.Error("an id that was given in the glitch is known for longer than the dedupe window")
			}
		})
	}
}
