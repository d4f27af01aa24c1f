package testenv

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"
)

const (
	// pollEvery is how often a condition is looked at, if a look costs next to nothing.
	pollEvery = 4 * time.Millisecond
	// pollShare is for a look that costs something, such as a scrape of a relay with thousands of
	// connections: the pause after it is that much longer than the look was, but pollMost at most.
	// Machines are small, and who is looked at needs the time.
	pollShare = 3
	pollMost  = 200 * time.Millisecond
	// Patience is how long a scenario waits for something that takes milliseconds on an idle
	// machine. Only who fails waits that long, and a machine may stand still for a while.
	Patience = 2 * time.Minute
)

// Until waits until the condition holds, and fails the test if it does not within d. what says
// what was waited for.
func Until(t testing.TB, d time.Duration, what string, condition func() bool) {
	t.Helper()
	if !Eventually(d, condition) {
		t.Fatalf("waited %s in vain: %s", d, what)
	}
}

// UntilOrStill is Until for work that a machine does in as much time as it needs: it fails the test
// only after moved, which counts what is done, has stood still for d.
func UntilOrStill(t testing.TB, d time.Duration, what string, moved func() int,
	condition func() bool) {
	t.Helper()
	for {
		before := moved()
		if Eventually(d, condition) {
			return
		}
		if moved() == before {
			t.Fatalf("waited in vain: %s; nothing has moved for %s", what, d)
		}
	}
}

// Eventually waits until the condition holds, for d at most, and reports whether it does.
func Eventually(d time.Duration, condition func() bool) bool {
	deadline := time.NewTimer(d)
	defer deadline.Stop()
	for {
		began := time.Now()
		if condition() {
			return true
		}
		pause := time.NewTimer(pauseAfter(time.Since(began)))
		select {
		case <-pause.C:
		case <-deadline.C:
			pause.Stop()
			return condition()
		}
	}
}

// pauseAfter is how long to wait after a look that took so long.
func pauseAfter(look time.Duration) time.Duration {
	return max(pollEvery, min(pollMost, pollShare*look))
}

// Seed returns a random source and logs its seed. HOOKSPOOL_SEED repeats one.
func Seed(t testing.TB) *rand.Rand {
	t.Helper()
	seed := rand.Uint64()
	if s := os.Getenv("HOOKSPOOL_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("HOOKSPOOL_SEED: %v", err)
		}
		seed = n
	}
	t.Logf("seed: HOOKSPOOL_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// Payload makes a JSON body of about n bytes that differs from call to call.
func Payload(rng *rand.Rand, typ string, n int) []byte {
	b := fmt.Appendf(nil, `{"eventType":%q,"id":"%016x","text":"`, typ, rng.Uint64())
	for len(b) < n-2 {
		b = append(b, "abcdefghijklmnopqrstuvwxyz0123456789 "[rng.IntN(37)])
	}
	return append(b, `"}`...)
}
