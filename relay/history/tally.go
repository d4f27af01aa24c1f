package history

import (
	"math"
	"math/bits"
	"time"
)

// The counters of a Tally. Their numbers are on disk.
const (
	Accepted  = 0 // deliveries, or events of the relay
	Delivered = 1
	Refused   = 2 // requests, of the relay
	Unmatched = 3 // events, of the relay
	// outcomes begin here; an outcome has the caller's own number.
	firstOutcome = 8
	outcomesMax  = 16
	// steps of durations begin here.
	firstStep = 32
	stepsMax  = 120
	counters  = firstStep + stepsMax
)

// Tally is one stretch of time. The zero value is one in which nothing happened. A counter that is
// full stays so.
type Tally [counters]uint32

// Add adds to a counter.
func (t *Tally) Add(counter int, n uint64) {
	t[counter] = uint32(min(uint64(t[counter])+n, math.MaxUint32))
}

// Attempt counts one request, or, with a duration of 0, one that could not be made for a reason
// that is told as an outcome.
func (t *Tally) Attempt(outcome uint8, success bool, took time.Duration) {
	if success {
		t.Add(Delivered, 1)
	} else if outcome < outcomesMax {
		t.Add(firstOutcome+int(outcome), 1)
	}
	if took > 0 {
		t.Add(firstStep+step(took), 1)
	}
}

// Merge adds all of another one.
func (t *Tally) Merge(other *Tally) {
	for i, n := range other {
		if n > 0 {
			t.Add(i, uint64(n))
		}
	}
}

// MergeAttempts adds what another one has of attempts.
func (t *Tally) MergeAttempts(other *Tally) {
	accepted := t[Accepted]
	t.Merge(other)
	t[Accepted] = accepted
}

// Failed is how many attempts had an outcome.
func (t *Tally) Failed(outcome uint8) uint32 {
	if outcome >= outcomesMax {
		return 0
	}
	return t[firstOutcome+int(outcome)]
}

// Empty reports that nothing happened.
func (t *Tally) Empty() bool { return *t == Tally{} }

// step is the step of a duration: of microseconds there are four steps to each doubling.
func step(took time.Duration) int {
	us := uint64(max(took.Microseconds(), 0))
	if us < 4 {
		return int(us)
	}
	e := bits.Len64(us) - 3
	return min(4*(e+1)+int(us>>e)-4, stepsMax-1)
}

// middle is the middle of a step.
func middle(s int) time.Duration {
	if s < 8 {
		return time.Duration(s) * time.Microsecond
	}
	e := s/4 - 1
	low := uint64(s%4+4) << e
	return time.Duration(low+(uint64(1)<<e)/2) * time.Microsecond
}

// Quantile is how long a share of the attempts took at most, such as 0.99; false: none was made.
func (t *Tally) Quantile(share float64) (time.Duration, bool) {
	all := uint64(0)
	for _, n := range t[firstStep:] {
		all += uint64(n)
	}
	if all == 0 {
		return 0, false
	}
	left := uint64(math.Ceil(share * float64(all)))
	for s, n := range t[firstStep:] {
		if uint64(n) >= left {
			return middle(s), true
		}
		left -= uint64(n)
	}
	return middle(stepsMax - 1), true
}
