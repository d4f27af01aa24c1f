package history

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// A step is found again from its middle, steps ascend, and no duration is told 12.5 % off.
func TestStep(t *testing.T) {
	last := -1
	for us := time.Duration(1); us < 40*60*1e6; us = us*101/100 + 1 {
		took := us * time.Microsecond
		s := step(took)
		if s < last || s >= stepsMax {
			t.Fatalf("%s is step %d after %d", took, s, last)
		}
		last = s
		if s == stepsMax-1 {
			break
		}
		off := math.Abs(float64(middle(s)-took)) / float64(took)
		if off > .125 {
			t.Fatalf("%s is told as %s", took, middle(s))
		}
		if step(middle(s)) != s {
			t.Fatalf("step %d has middle %s, of step %d", s, middle(s), step(middle(s)))
		}
	}
	if s := step(100 * time.Hour); s != stepsMax-1 {
		t.Errorf("100 hours are step %d", s)
	}
}

// A quantile of many durations is within 12.5 % of the one that sorting finds.
func TestQuantile(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		var tally Tally
		var all []time.Duration
		for range 1 + rng.IntN(3000) {
			took := time.Duration(math.Exp(rng.NormFloat64()*2+10)) * time.Microsecond
			took = min(took, time.Minute)
			all = append(all, took)
			tally.Attempt(1, true, took)
		}
		slices.Sort(all)
		for _, share := range []float64{.5, .99, 1} {
			want := all[int(math.Ceil(share*float64(len(all))))-1]
			got, ok := tally.Quantile(share)
			if off := math.Abs(float64(got-want)) / float64(want); !ok || off > .13 {
				t.Fatalf("quantile %v of %d is %s, want %s", share, len(all), got, want)
			}
		}
	}
	if _, ok := new(Tally).Quantile(.5); ok {
		t.Error("there is a median of nothing")
	}
}

// A counter that is full stays full; an outcome that there cannot be is left out.
func TestTallyBounds(t *testing.T) {
	var a, b Tally
	a.Add(Accepted, math.MaxUint32-1)
	b.Add(Accepted, 5)
	a.Merge(&b)
	if a[Accepted] != math.MaxUint32 {
		t.Errorf("it counted to %d", a[Accepted])
	}
	a.Attempt(200, false, 0)
	if a.Failed(200) != 0 {
		t.Error("outcome 200 was counted")
	}
	b.MergeAttempts(&a)
	if b[Accepted] != 5 {
		t.Errorf("%d were accepted after the attempts of others", b[Accepted])
	}
}

// What is encoded is decoded again, and what is cut short or made up is refused or left out.
func TestPage(t *testing.T) {
	var p page
	for _, place := range []int{59, 0, 7, 7} {
		var tally Tally
		tally.Add(Accepted, uint64(place)+1)
		tally.Attempt(2, false, time.Duration(place)*time.Second)
		p.add(place, &tally)
	}
	if len(p) != 3 || p[1].tally[Accepted] != 16 || p[2].place != 59 {
		t.Fatalf("the page is %v", p)
	}
	b := p.encode()
	back, err := decode(b)
	if err != nil || !slices.Equal(back, p) {
		t.Fatalf("it came back as %v, %v", back, err)
	}
	f := func(b []byte, fails bool) {
		t.Helper()
		if _, err := decode(b); (err != nil) != fails {
			t.Errorf("%v: %v", b, err)
		}
	}
	// Nothing.
	f(nil, false)
	// The end is missing.
	f(b[:len(b)-1], true)
	// A counter of a newer relay.
	f([]byte{0, 1, 200, 1, 9}, false)
	// Minute 60.
	f([]byte{60, 0}, true)
	// The stretch after minute 59.
	f([]byte{59, 0, 0, 0}, true)
	// More counters than there are bytes.
	f([]byte{0, 100, 1, 1}, true)
	// A gap without end.
	f([]byte{0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1, 1}, true)
}

// FuzzPage asserts that decoding ends, that what is accepted is in order and within bounds, and
// that it is encoded and decoded again as it is.
func FuzzPage(f *testing.F) {
	var tally Tally
	tally.Attempt(3, false, time.Second)
	f.Add(page{{3, tally}, {59, tally}}.encode())
	f.Add([]byte{0, 1, 200, 1, 9})
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := decode(b)
		if err != nil {
			return
		}
		last := -1
		for _, s := range p {
			if s.place <= last || s.place >= stretchesMax {
				t.Fatalf("place %d comes after %d", s.place, last)
			}
			last = s.place
		}
		again, err := decode(p.encode())
		if err != nil || !slices.Equal(again, p) {
			t.Fatalf("%v came back as %v, %v", p, again, err)
		}
	})
}

// A counter keeps minutes apart, takes late ones, and gives what has ended only.
func TestCounter(t *testing.T) {
	at := func(minute, second int) time.Time { return time.Unix(int64(minute*60+second), 0) }
	var c Counter
	c.Attempt(at(100, 59), 1, true, time.Millisecond)
	c.Attempt(at(101, 0), 2, false, time.Millisecond)
	c.Attempt(at(100, 30), 1, true, time.Millisecond) // it was late
	c.Add(98, Accepted, 3)
	if got := c.Look(); len(got) != 3 || got[0].At != 98 || got[1].Tally[Delivered] != 2 {
		t.Fatalf("it holds %v", minutes(got))
	}
	if got := c.Take(101); len(got) != 2 {
		t.Fatalf("before 101 it has %v", minutes(got))
	}
	if got := c.Take(101); len(got) != 0 {
		t.Fatalf("it has %v twice", minutes(got))
	}
	c.Attempt(at(101, 10), 2, false, time.Millisecond)
	got := c.Take(math.MaxInt64)
	if len(got) != 1 || got[0].At != 101 || got[0].Failed(2) != 2 {
		t.Fatalf("the last minute is %v", minutes(got))
	}
	for i := range 1000 {
		c.Attempt(at(200+i, 0), 1, true, 0)
	}
	if got := c.Take(math.MaxInt64); len(got) != pastMax+1 || got[pastMax].At != 1199 {
		t.Fatalf("it holds %d minutes", len(got))
	}
}

func minutes(list []Minute) (at []int64) {
	for _, m := range list {
		at = append(at, m.At)
	}
	return at
}

// A ring loses nothing across minutes, as long as somebody empties it.
func TestRing(t *testing.T) {
	var r Ring
	var c Counter
	for second := range 3600 {
		r.Add(time.Unix(int64(6000+second), 0), 2)
		if second%110 == 0 {
			r.EmptyInto(&c, Refused)
		}
	}
	r.EmptyInto(&c, Refused)
	sum := uint32(0)
	for _, m := range c.Look() {
		sum += m.Tally[Refused]
		if m.Tally[Refused] != 120 {
			t.Errorf("minute %d has %d, want 120", m.At, m.Tally[Refused])
		}
	}
	if sum != 7200 {
		t.Errorf("it counted %d, want 7200", sum)
	}
}

// Counting allocates nothing.
func TestCountingAllocates(t *testing.T) {
	var c Counter
	var r Ring
	at := time.Unix(1e9, 0)
	if n := testing.AllocsPerRun(1000, func() {
		c.Attempt(at, 2, false, time.Millisecond)
		r.Add(at, 1)
	}); n != 0 {
		t.Errorf("an attempt costs %v allocations", n)
	}
}

// A busy target takes what the package says of it at most.
func TestPageBytes(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	var hour, day page
	for place := range 60 {
		var tally Tally
		tally.Add(Accepted, 6000)
		for range 6000 {
			outcome := uint8(1 + rng.IntN(3))
			took := time.Duration(math.Exp(rng.NormFloat64()*.7+10)) * time.Microsecond
			tally.Attempt(outcome, outcome == 1, took)
		}
		hour.add(place, &tally)
		day.add(place%24, &tally)
	}
	a, b := len(hour.encode())/60, len(day.encode())/24
	t.Logf("a minute takes %d bytes, an hour %d; a day of minutes %d KiB, a month of hours %d KiB", a, b,
		a*1440>>10, b*720>>10)
	if a > 100 || b > 120 {
		t.Errorf("a minute takes %d bytes, an hour %d", a, b)
	}
}

func BenchmarkAttempt(b *testing.B) {
	var c Counter
	at := time.Now()
	for b.Loop() {
		c.Attempt(at, 1, true, time.Millisecond)
	}
}

func BenchmarkRing(b *testing.B) {
	var r Ring
	at := time.Now()
	for b.Loop() {
		r.Add(at, 1)
	}
}
