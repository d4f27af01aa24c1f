package walk

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// Pages are made one at a time; whoever waits too long is told so, and the next one gets in.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := New(func() uint64 { return 0 })
		p, err := g.Enter(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		begin := time.Now()
		if _, err := g.Enter(context.Background()); !errors.Is(err, ErrBusy) ||
			time.Since(begin) != patience {
			t.Errorf("after %s: %v", time.Since(begin), err)
		}
		over, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := g.Enter(over); !errors.Is(err, context.Canceled) {
			t.Errorf("over: %v", err)
		}
		p.Leave(context.Background())
		if p, err = g.Enter(context.Background()); err != nil {
			t.Fatal(err)
		}
		p.Leave(context.Background())
	})
}

// A page has its time, a short one while events come in, and is paid for then.
func TestPage(t *testing.T) {
	f := func(accepted uint64, looks, pause time.Duration) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			var n atomic.Uint64
			g := New(n.Load)
			p, err := g.Enter(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			begin := time.Now()
			n.Add(accepted)
			for !p.Enough() {
				time.Sleep(time.Millisecond)
			}
			looked := time.Since(begin)
			p.Leave(context.Background())
			if looked != looks || time.Since(begin)-looked != pause {
				t.Errorf("%d accepted: it looked for %s and paused for %s; want %s and %s", accepted,
					looked, time.Since(begin)-looked, looks, pause)
			}
		})
	}
	f(0, pageTime+time.Millisecond, 0)
	f(quietMax, pageTime+time.Millisecond, 0)
	f(1000, busyTime+time.Millisecond, pauses*(busyTime+time.Millisecond))
}

// However short pages are, all of them together have their part of a processor and no more while
// events come in, and all of it while hardly any do.
func TestShare(t *testing.T) {
	f := func(page time.Duration, rate int, least, most float64) {
		t.Helper()
		synctest.Test(t, func(t *testing.T) {
			began := time.Now()
			g := New(func() uint64 { return uint64(time.Since(began).Seconds() * float64(rate)) })
			looked := time.Duration(0)
			for time.Since(began) < time.Minute {
				p, err := g.Enter(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				begin := time.Now()
				for !p.Enough() && time.Since(begin) < page {
					time.Sleep(100 * time.Microsecond)
				}
				looked += time.Since(begin)
				p.Leave(context.Background())
				time.Sleep(time.Millisecond) // until whoever asks has got it
			}
			share := looked.Seconds() / time.Since(began).Seconds()
			if share < least || share > most {
				t.Errorf("pages of %s beside %d/s looked for %.3f of the time; want %.3f to %.3f", page,
					rate, share, least, most)
			}
		})
	}
	const part = 1. / (1 + pauses)
	for _, page := range []time.Duration{200 * time.Microsecond, time.Millisecond,
		4 * time.Millisecond, 50 * time.Millisecond} {
		for _, rate := range []int{300, 1000, 5000, 20000} {
			f(page, rate, 0, 1.02*part)
		}
	}
	f(4*time.Millisecond, 100, 0.7, 1)
}
