package pace

import (
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func always() bool { return true }

// take takes turns until stopping, and counts them.
func take(all *sync.WaitGroup, p *Pace, stopping <-chan struct{}, n *atomic.Int64) {
	all.Go(func() {
		for p.Take(stopping, always) {
			n.Add(1)
		}
	})
}

// As many as a second's worth at once, then so many a second, shared evenly, however many want one.
func TestPace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		p.Set(50)
		var all sync.WaitGroup
		var live, job atomic.Int64
		stopping := make(chan struct{})
		take(&all, &p, stopping, &live)
		take(&all, &p, stopping, &job)
		time.Sleep(10*time.Second - time.Millisecond)
		a, b := live.Load(), job.Load()
		if n := a + b; n < 547 || n > 550 {
			t.Errorf("%d turns in ten seconds; want 50 at once and 50 a second", n)
		}
		time.Sleep(10 * time.Second)
		a, b = live.Load()-a, job.Load()-b
		if a+b != 500 || a-b < -2 || a-b > 2 {
			t.Errorf("%d and %d turns; want 250 each", a, b)
		}
		// Another rate holds for those who wait, too.
		p.Set(1.0 / 3600)
		synctest.Wait()
		a, b = live.Load(), job.Load()
		time.Sleep(time.Minute)
		if n := live.Load() + job.Load() - a - b; n > 1 {
			t.Errorf("%d turns in a minute at one an hour", n)
		}
		p.Set(1000)
		time.Sleep(time.Second)
		if n := live.Load() + job.Load() - a - b; n < 1000 {
			t.Errorf("%d turns in a second at 1000 a second", n)
		}
		close(stopping)
		all.Wait()
	})
}

// Who does not want a turn any more takes none, and what was not taken is there for others.
func TestTakeGivesUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var p Pace
		p.Set(1.0 / 60)
		if !p.Take(nil, always) {
			t.Fatal("there is no first turn")
		}
		began := time.Now()
		var wanted atomic.Bool
		wanted.Store(true)
		done := make(chan bool)
		go func() { done <- p.Take(nil, wanted.Load) }()
		synctest.Wait()
		wanted.Store(false)
		p.Set(1.0 / 60)
		if <-done {
			t.Error("it took a turn that it did not want")
		}
		stopping := make(chan struct{})
		go func() { done <- p.Take(stopping, always) }()
		synctest.Wait()
		close(stopping)
		if <-done {
			t.Error("it took a turn although it was stopped")
		}
		if !p.Take(nil, always) || time.Since(began) > 61*time.Second {
			t.Errorf("the next turn came after %s; want a minute", time.Since(began))
		}
		// One that is used at once is missing afterwards.
		p.Use()
		began = time.Now()
		if !p.Take(nil, always) || time.Since(began) < 119*time.Second {
			t.Errorf("the turn after one that was used came after %s", time.Since(began))
		}
	})
}

func TestNoPace(t *testing.T) {
	var p Pace
	p.Use()
	if p.On() || testing.AllocsPerRun(100, func() { p.On() }) != 0 {
		t.Error("the zero Pace costs something")
	}
	for range 1000 {
		if !p.Take(nil, always) {
			t.Fatal("the zero Pace refuses a turn")
		}
	}
}
