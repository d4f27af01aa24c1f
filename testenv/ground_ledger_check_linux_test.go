package testenv

import (
	"errors"
	"slices"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestGroundLedger asserts that the oracle of TestFaultGround finds each thing that can be wrong
// with a stream, and nothing in one that is right.
func TestGroundLedger(t *testing.T) {
	effort.OnlyLong(t, "it cuts the power of a cluster")
	t.Parallel()
	f := func(what string, lost, other int, change func([]groundMsg) []groundMsg) {
		t.Helper()
		l, msgs := groundExample()
		if got := l.check(change(msgs)); got.lost != lost || got.other != other {
			t.Errorf("%s: want %d lost and %d others, got %v", what, lost, other, got)
		}
	}
	without := func(seqs ...uint64) func([]groundMsg) []groundMsg {
		return func(msgs []groundMsg) []groundMsg {
			return slices.DeleteFunc(msgs, func(m groundMsg) bool {
				return slices.Contains(seqs, m.seq)
			})
		}
	}
	with := func(add ...groundMsg) func([]groundMsg) []groundMsg {
		return func(msgs []groundMsg) []groundMsg { return append(msgs, add...) }
	}
	at := func(i int, change func(*groundMsg)) func([]groundMsg) []groundMsg {
		return func(msgs []groundMsg) []groundMsg { change(&msgs[i]); return msgs }
	}
	event := func(seq uint64, publisher, batch, index, total int) groundMsg {
		return groundMsg{seq: seq, subject: groundEvents + "0",
			head: groundHead{publisher, batch, index, total, 0}}
	}
	f("right", 0, 0, with())
	f("unanswered, and there", 0, 0, with(event(7, 0, 1, 0, 2), event(8, 0, 1, 1, 2)))
	f("nothing left", 2, 0, func([]groundMsg) []groundMsg { return nil })
	// The state before the lost one is then missing as well: only a later one may replace it.
	f("its end lost", 2, 0, without(5, 6))
	// A message lost from the middle leaves a hole as well.
	f("one of a batch lost", 1, 1, without(2))
	f("the last state lost", 2, 0, without(6))
	f("torn", 0, 1, with(event(7, 0, 1, 0, 2)))
	f("refused, and there", 0, 1, with(event(7, 0, 2, 0, 1)))
	f("never sent", 0, 1, with(event(7, 0, 3, 0, 1)))
	f("of another length", 0, 1, with(event(7, 0, 1, 0, 3)))
	f("changed", 1, 1, at(0, func(m *groundMsg) { m.err = errors.New("another sum") }))
	f("another message before it in the chain", 0, 1, at(2, func(m *groundMsg) {
		m.head.before = 1
	}))
	// Twice, and then not where its batch is.
	f("twice", 0, 2, with(event(7, 0, 0, 1, 4)))
	f("elsewhere than answered", 0, 2, func(msgs []groundMsg) []groundMsg {
		msgs[3].seq, msgs[4].seq = 6, 7
		return msgs
	})
	f("in another order", 0, 4, func(msgs []groundMsg) []groundMsg {
		msgs[0].seq, msgs[1].seq = 2, 1
		slices.SortFunc(msgs, func(a, b groundMsg) int { return int(a.seq) - int(b.seq) })
		return msgs
	})
	l, msgs := groundExample()
	l.batches[0][1].after = 8
	if got := l.check(append(msgs, event(7, 0, 1, 0, 2), event(8, 0, 1, 1, 2))); got.other != 1 {
		t.Errorf("before what was answered earlier: %v", got)
	}
}

// groundExample is a ledger and a stream that is right: 1 to 4 are a batch with a link and a state,
// 5 and 6 one with a state that replaces the first; one is not answered, one refused.
func groundExample() (*groundLedger, []groundMsg) {
	l := newGroundLedger(2)
	first, second := &groundBatch{events: 2, chain: true, state: true}, &groundBatch{events: 1,
		state: true}
	l.begin(0, first)
	l.begin(1, second)
	l.ack(first, 4)
	l.ack(second, 6)
	l.begin(0, &groundBatch{events: 2, after: 4})
	l.begin(0, &groundBatch{events: 1, after: 4, verdict: groundRefused})
	return l, []groundMsg{
		{seq: 1, subject: groundEvents + "0", head: groundHead{0, 0, 0, 4, 0}},
		{seq: 2, subject: groundEvents + "0", head: groundHead{0, 0, 1, 4, 0}},
		{seq: 3, subject: groundChain + "0", head: groundHead{0, 0, 2, 4, 0}},
		{seq: 5, subject: groundEvents + "1", head: groundHead{1, 0, 0, 2, 0}},
		{seq: 6, subject: groundState + "0", head: groundHead{1, 0, 1, 2, 4}},
	}
}
