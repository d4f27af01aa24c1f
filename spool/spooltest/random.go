package spooltest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"time"

	"github.com/hookspool/hookspool/spool"
)

// anything: whatever happens in whatever order, the ledger holds after every step. The seed is in
// the log; HOOKSPOOL_SEED repeats one.
func anything(j *journey) {
	seed := uint64(time.Now().UnixNano())
	if s, err := strconv.ParseUint(os.Getenv("HOOKSPOOL_SEED"), 10, 64); err == nil {
		seed = s
	}
	j.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1)) // #nosec G404 -- a test that can be repeated
	for range 120 {
		j.step(rng)
		j.pass(0) // what the keeper would do at some time
		j.check()
	}
}

// step is one of everything that may happen.
func (j *journey) step(rng *rand.Rand) {
	j.Helper()
	name := j.names[rng.IntN(len(j.names))]
	lane := j.ledger.lanes[name]
	pick := func(seqs []uint64) (uint64, bool) {
		if len(seqs) == 0 {
			return 0, false
		}
		return seqs[rng.IntN(len(seqs))], true
	}
	verdict := func() spool.Verdict { return spool.Verdict(rng.IntN(4)) }
	switch n := rng.IntN(32); {
	case n < 8:
		j.appendSome(rng)
	case n < 14:
		j.fetch(name, 1+rng.IntN(4))
	case n < 20:
		if seq, ok := pick(lane.in((*delivery).isFlying)); ok {
			j.settle(name, seq, verdict())
		}
	case n < 23:
		j.job(name, func(spool.Delivery) (spool.Verdict, bool) { return verdict(), rng.IntN(3) > 0 })
	case n < 25:
		if seq, ok := pick(lane.in(func(d *delivery) bool {
			return d.isExhausted() || d.isDelivered() && !j.ledger.mayGo(d.event)
		})); ok {
			j.replay(name, seq)
		}
	case n < 26:
		states := []spool.State{spool.StatePending, spool.StateExhausted}
		seq, _ := pick(lane.in((*delivery).isPending))
		j.purge(name, states[rng.IntN(2)], seq)
	case n < 27:
		if seqs := lane.in((*delivery).isFlying); len(seqs) > 0 {
			j.release(name, seqs[len(seqs)-1])
		}
	case n < 29:
		j.pass(time.Duration(rng.Int64N(int64(keepDelivered))))
	case n < 31:
		j.crash()
	default:
		j.reopen()
	}
}

// appendSome appends one event or a batch, each for some lanes and perhaps of a conversation.
func (j *journey) appendSome(rng *rand.Rand) {
	j.Helper()
	var drafts []*spool.Draft
	for range 1 + rng.IntN(4) {
		var names []string
		for _, name := range j.names {
			if rng.IntN(2) > 0 {
				names = append(names, name)
			}
		}
		d := j.draft(names...)
		if len(names) > 0 && rng.IntN(2) > 0 {
			d.Note.(*note).conv = fmt.Sprint("conv-", rng.IntN(3))
		}
		if rng.IntN(3) == 0 {
			given(d, fmt.Sprint("id-", j.total))
		}
		drafts = append(drafts, d)
	}
	j.append(drafts...)
}
