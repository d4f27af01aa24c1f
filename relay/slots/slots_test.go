package slots

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// testPatience is how long tests wait for what takes milliseconds on a quiet machine: only a failure
// waits that long.
const testPatience = 2 * time.Minute

// holder is somebody who waits for a slot in the background.
type holder struct {
	halt chan struct{}
	got  chan bool
}

// wait lets somebody wait, and returns when they stand in line.
func wait(t *testing.T, s *Slots) *holder {
	t.Helper()
	before := s.inLine()
	h := &holder{halt: make(chan struct{}), got: make(chan bool, 1)}
	go func() { h.got <- s.Acquire(h.halt) }()
	until(t, "somebody to stand in line", func() bool { return s.inLine() == before+1 })
	return h
}

func (s *Slots) inLine() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(testPatience); !done(); {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
		time.Sleep(100 * time.Microsecond)
	}
}

// answer is what they got, which must be there at once.
func (h *holder) answer(t *testing.T) bool {
	t.Helper()
	select {
	case got := <-h.got:
		return got
	case <-time.After(testPatience):
		t.Fatal("neither a slot nor an end came")
		return false
	}
}

func check(t *testing.T, s *Slots, used, limit, line int) {
	t.Helper()
	if s.InUse() != used || s.Limit() != limit || s.inLine() != line {
		t.Errorf("%d of %d are in use and %d wait; want %d of %d, %d", s.InUse(), s.Limit(),
			s.inLine(), used, limit, line)
	}
}

// Slots are given up to the limit, then in the order in which they were asked for; nobody who comes
// while others wait gets past them.
func TestInLine(t *testing.T) {
	t.Parallel()
	s := new(Slots)
	s.SetLimit(1)
	if !s.Acquire(nil) {
		t.Fatal("a free slot was not given")
	}
	var line []*holder
	for range 4 {
		line = append(line, wait(t, s))
	}
	check(t, s, 1, 1, 4)
	for i, h := range line {
		s.Release()
		if !h.answer(t) {
			t.Errorf("number %d got none", i)
		}
		check(t, s, 1, 1, 3-i)
	}
	s.Release()
	check(t, s, 0, 1, 0)
}

// Whoever has a slot keeps it while nobody waits but those of their own, and the limit allows it.
func TestKeeps(t *testing.T) {
	t.Parallel()
	s := new(Slots)
	s.SetLimit(2)
	f := func(own int, want bool) {
		t.Helper()
		if got := s.Keeps(own); got != want {
			t.Errorf("%d of their own wait, %d in line: %v; want %v", own, s.inLine(), got, want)
		}
	}
	s.Acquire(nil)
	s.Acquire(nil)
	f(0, true)
	first := wait(t, s)
	f(0, false)
	f(1, true)
	wait(t, s)
	f(1, false)
	close(first.halt)
	first.answer(t)
	f(1, true)
	s.SetLimit(1)
	f(1, false)
	s.Release()
	f(1, true)
}

// The zero Slots have none. A limit that rises serves those who wait, one that falls takes nothing
// away: what is beyond it stays in use until it is given back, and goes to nobody then.
func TestLimitMoves(t *testing.T) {
	t.Parallel()
	s := new(Slots)
	first, second, third := wait(t, s), wait(t, s), wait(t, s)
	s.SetLimit(2)
	if !first.answer(t) || !second.answer(t) {
		t.Error("the limit rose, and those who waited got no slot")
	}
	check(t, s, 2, 2, 1)
	s.SetLimit(1)
	check(t, s, 2, 1, 1)
	s.Release()
	check(t, s, 1, 1, 1)
	s.Release()
	if !third.answer(t) {
		t.Error("below the limit again, and who waited got no slot")
	}
	check(t, s, 1, 1, 0)
}

// Whoever gives up leaves the line, wherever they stand; those before and after are served in order.
func TestGiveUp(t *testing.T) {
	t.Parallel()
	s := new(Slots)
	var line []*holder
	for range 4 {
		line = append(line, wait(t, s))
	}
	for _, i := range []int{2, 0} {
		close(line[i].halt)
		if line[i].answer(t) {
			t.Errorf("number %d gave up and has a slot", i)
		}
	}
	check(t, s, 0, 0, 2)
	for limit, i := range []int{1, 3} {
		s.SetLimit(limit + 1)
		if !line[i].answer(t) {
			t.Errorf("number %d stayed in line and got none", i)
		}
		check(t, s, limit+1, limit+1, 1-limit)
	}
}

// A slot that comes in the instant in which its taker gives up is not lost.
func TestGiveUpAsItComes(t *testing.T) {
	t.Parallel()
	s := new(Slots)
	place := make(chan struct{})
	s.limit, s.waiting = 1, []chan struct{}{place}
	s.SetLimit(1) // passes it on
	check(t, s, 1, 1, 0)
	if s.giveUp(place) {
		t.Error("they gave up and have a slot")
	}
	check(t, s, 0, 1, 0) // the slot is not lost
}

// However many want one and give up, never more than the limit are at work, and at the end all are
// free.
func TestBound(t *testing.T) {
	t.Parallel()
	const limit, workers, each = 3, 16, 300
	s := new(Slots)
	s.SetLimit(limit)
	var atWork, most, turns atomic.Int64
	var running sync.WaitGroup
	for w := range workers {
		running.Go(func() {
			for i := range each {
				halt := make(chan struct{})
				if (w+i)%3 == 0 {
					go close(halt)
				}
				if !s.Acquire(halt) {
					continue
				}
				if n := atWork.Add(1); n > limit {
					most.Store(n)
				}
				turns.Add(1)
				atWork.Add(-1)
				s.Release()
			}
		})
	}
	running.Wait()
	if n := most.Load(); n > 0 {
		t.Errorf("%d were at work at once, %d may", n, limit)
	}
	if n := turns.Load(); n < workers*each*2/3 {
		t.Errorf("%d had a slot; those who do not give up alone are %d", n, workers*each*2/3)
	}
	check(t, s, 0, limit, 0)
}

// A ramp goes up by one for each success, down by half for each failure, to 1 at the least, and says
// when it is full; those who wait get what it opens.
func TestRamp(t *testing.T) {
	t.Parallel()
	s := new(Slots)
	s.SetLimit(1)
	f := func(success bool, limit int, full bool) {
		t.Helper()
		if got := s.Ramp(success, 4); got != full || s.Limit() != limit {
			t.Errorf("success %v: limit %d, full %v; want %d, %v", success, s.Limit(), got, limit, full)
		}
	}
	f(false, 1, false)
	f(true, 2, false)
	f(true, 3, false)
	f(true, 4, true)
	f(true, 4, true)
	f(false, 2, false)
	f(false, 1, false)
	s.Acquire(nil)
	h := wait(t, s)
	f(true, 2, false)
	if !h.answer(t) {
		t.Error("the ramp opened a slot, and who waited got none")
	}
}
