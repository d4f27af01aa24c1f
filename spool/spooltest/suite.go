package spooltest

import (
	"testing"
)

// Run holds an engine to what a spool wants of it. newBed makes an empty bed for one journey; what
// it opens it closes with the test's Cleanup.
func Run(t *testing.T, newBed func(testing.TB) Bed) {
	for _, c := range suite() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(t, newBed)
		})
	}
}

// testCase is one part of the suite.
type testCase struct {
	name string
	run  func(tb testing.TB, newBed func(testing.TB) Bed)
}

// suite is all of it.
func suite() []testCase {
	return []testCase{
		{"what is acknowledged stays", on(acknowledged)},
		{"an id is accepted once", on(dedupe)},
		{"ids within a batch", on(dedupeInBatch)},
		{"an id that was made here", on(madeID)},
		{"an id is known while its event is kept", on(idsOfKept)},
		{"a batch is whole", batches},
		{"one append is whole", singles},
		{"a tick has its own deliveries", on(tickSnapshot)},
		{"attempts are counted over restarts", on(attempts)},
		{"failures come oldest first", on(failureOrder)},
		{"a job's end is one commit", jobEnds},
		{"changes of one group are whole", groups},
		{"what is owed is owed until it is paid", on(notices)},
		{"conversations in commit order", on(conversations)},
		{"replay", on(replays)},
		{"purge", on(purges)},
		{"deliveries in line", on(inLine)},
		{"a lane is handed over", on(handOver)},
		{"a lane is taken", taken},
		{"a lane is taken unheard", fenced},
		{"nothing goes that is owed", on(retention)},
		{"the history of attempts", on(history)},
		{"receipts", on(receipts)},
		{"receipts are cut off", receiptsCutOff},
		{"a target is forgotten", on(forgets)},
		{"a look is of one instant", on(oneInstant)},
		{"an export is of one instant", on(exportInstant)},
		{"what may be forgotten is", on(expiry)},
		{"anything in any order", on(anything)},
	}
}

// on runs a case on one journey with the lanes a, b and c, and drains it.
func on(run func(*journey)) func(testing.TB, func(testing.TB) Bed) {
	return func(tb testing.TB, newBed func(testing.TB) Bed) {
		tb.Helper()
		j := begin(tb, newBed(tb), "a", "b", "c")
		run(j)
		j.check()
		j.drain()
		j.reopen()
		j.check()
	}
}
