package accept

import (
	"sync"
	"time"
)

// The runtime looks after its sockets in the order in which they become ready, 128 at a time, and
// only between other work. A few thousand senders that ask again at once keep so many ready that
// the answer of a target waits for its turn longer than for the target: with 6,000 of them 28,000
// events a second were accepted and 400 delivered, whereas 64 senders are served 20,000, all of
// them delivered. So only as many requests as keep disk and CPUs busy are worked on at once; the
// others in hand wait without a socket that is ready, and so do those that are refused, for a
// moment. 6,000 senders then get 12,000 accepted and delivered.
const (
	// turnsPerCPU requests keep one CPU busy while their events are synced by a quick disk, and
	// turnsPerSync more for each millisecond that a sync takes.
	turnsPerCPU  = 24
	turnsPerSync = 4
	// refusalsPerCPU a second cost about a tenth of a CPU (estimated, at 25 µs each).
	refusalsPerCPU = 4000
	// refusalDelayMax is as long as a refusal is held back at most.
	refusalDelayMax = 250 * time.Millisecond
)

const (
	// A target lags when so many deliveries wait for their first attempt, until no more than lagLeft
	// do.
	lagAt   = 512
	lagLeft = 64
	// lagLook lies between two looks, and lagShare times what one takes, for 1,000 targets.
	lagLook  = 2 * time.Millisecond
	lagShare = 50
	// turnsLeastPerCPU go on however many deliveries wait, and batchesPerCPU.
	turnsLeastPerCPU = 4
	batchesPerCPU    = 1
	// backlogAt deliveries are a backlog, which takes its time whoever is held back: half of what
	// keeps disk and CPUs busy leaves a lane more of them than it needs to gain on its senders.
	backlogAt = 8192
	// syncGuess is what a sync of the disk takes as long as that is not known.
	syncGuess = time.Millisecond
)

// Waiting are the deliveries that wait for their first attempt, at the target where most do.
type Waiting struct {
	// Quick wait at a target that would take them at once: they wait for a CPU.
	Quick uint64
	// AnyQuick: there is such a target.
	AnyQuick bool
	// Slow wait at a target that answers, but at its own pace. What waits for one that does not
	// answer is in neither: it would be no quicker for being alone.
	Slow uint64
}

// KeepPace bounds the turns while a target lags; without one there is nobody to starve, and more
// senders at once make larger groups (256 of them: 32,400/s to a paused target instead of 28,000).
// While one lags that wants nothing but a CPU, a turn is given for each delivery that leaves, so
// that an event waits no longer for its delivery than for its answer. sync is what one of the disk
// takes. Only the committer calls it.
func (s *Server) KeepPace(now time.Time, sync time.Duration) {
	if now.Before(s.lookAt) {
		return
	}
	began := time.Now()
	w := s.o.Waiting()
	s.lookAt = now.Add(max(lagLook, lagShare*time.Since(began)))
	most := uint64(lagAt)
	if s.lagging {
		most = lagLeft
	}
	s.lagging = w.Slow > most
	if sync <= 0 {
		sync = syncGuess
	}
	turns, batches := s.turnsBeside(w, turnsFor(sync, s.cpus))
	s.turns.SetLimit(turns)
	s.batches.SetLimit(batches)
}

// turnsBeside is how many requests may be worked on, and how many batches at once, beside what
// waits. fair is how many keep disk and CPUs busy.
func (s *Server) turnsBeside(w Waiting, fair int) (turns, batches int) {
	turns, batches = inHandMax, inHandMax
	if s.lagging {
		turns = fair
	}
	if !w.AnyQuick {
		return turns, batches
	}
	least := turnsLeastPerCPU * s.cpus
	left := max(2*fair-int(min(w.Quick, backlogAt)), least)
	if left == least {
		batches = batchesPerCPU * s.cpus
	}
	if w.Quick >= backlogAt {
		left = max(fair/2, least)
	}
	return min(turns, left), batches
}

func turnsFor(sync time.Duration, cpus int) int {
	if sync <= 0 {
		return inHandMax
	}
	n := turnsPerCPU + turnsPerSync*float64(sync)/float64(time.Millisecond)
	return int(min(n*float64(cpus), inHandMax))
}

// pace spreads what may come at once over time, one every gap.
type pace struct {
	gap  time.Duration
	mu   sync.Mutex // guards next
	next time.Time
}

// delay is how long whoever comes at now has to wait. A lone one does not.
func (p *pace) delay(now time.Time) time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.next.Before(now) {
		p.next = now
	}
	wait := p.next.Sub(now)
	if wait >= refusalDelayMax {
		return refusalDelayMax
	}
	p.next = p.next.Add(p.gap)
	return wait
}
