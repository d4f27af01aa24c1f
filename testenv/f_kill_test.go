package testenv

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

var kills = flag.Int("kills", 8, "how many times TestFaultKills kills the relay")

const (
	// killsOfJourney is how many kills one spool lives through; then the next one begins, so that
	// the oracle of a long run stays small.
	killsOfJourney = 25
	// killWithin is the time in which a kill falls, from the start of the load or of the process.
	// Most starts are done within half of it.
	killWithin = 120 * time.Millisecond
)

// TestFaultKills kills the relay by SIGKILL at random instants, under load and during its start,
// and asserts after every kill that whatever was answered 200 is still owed or was delivered.
//
// The long run, with the sums in the log; HOOKSPOOL_SEED repeats one:
//
//	go test ./testenv -run TestFaultKills -v -kills 1000 -timeout 2h
func TestFaultKills(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	var sum tally
	for done := 0; done < *kills && !t.Failed(); {
		n := min(killsOfJourney, *kills-done)
		done += n
		seed := rng.Uint64()
		t.Run(strconv.Itoa(done), func(t *testing.T) { sum.add(killJourney(t, n, seed)) })
	}
	t.Logf("%s", sum)
}

// TestFaultKillsCollecting kills the relay while large events fill one file of the engine's value log
// after the other and are given back at once, and asserts the same. Beside them come batches, some
// of whose events are held by a flaky target, so that the rest of what they lie in goes without them.
func TestFaultKillsCollecting(t *testing.T) {
	effort.OnlyLong(t, "it breaks disks, calls of the system or files")
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("good", "flaky")
	j.Config.Set("spool.keep_delivered", "1s").Set("retry.interval", "1s").Set("log.level", "info")
	j.Config.Set("target.flaky.events", []string{"message"})
	j.RX.On("flaky", flaky(rng))
	j.Start()
	pad := Payload(rng, "message", 200<<10)
	for round := range effort.Rounds(3, 2) * max(1, *kills/8) {
		for i := range 500 + rng.IntN(500) {
			if i%16 == 0 {
				j.postBatch(randomLines(rng))
			}
			j.Post(Post{ID: fmt.Sprintf("large-%d-%d", round, i), Body: fmt.Appendf(nil, "[%d,%s]", i, pad)})
		}
		if round%2 == 0 {
			Until(t, 2*Patience, "the space of what was delivered", func() bool {
				return strings.Contains(j.Log(), "space of swept events was given back")
			})
			<-time.After(time.Duration(rng.Int64N(int64(killWithin))))
		}
		j.Kill()
		j.keepLog()
		j.Start()
		j.Ledger.Check()
		if t.Failed() {
			t.Fatalf("after kill %d", j.Crashes())
		}
	}
	t.Logf("%s", j.tally())
	j.Ledger.AwaitDelivered()
	j.Ledger.CheckArrivals()
	if s := j.Status(); s.Quarantined != 0 {
		t.Errorf("%d records were set aside", s.Quarantined)
	}
	if _, err := os.Stat(filepath.Join(j.SpoolPath(), "db", "000001.vlog")); err == nil {
		t.Error("the first file of the value log was never given back")
	}
}

func killJourney(t *testing.T, n int, seed uint64) tally {
	rng := rand.New(rand.NewPCG(seed, 3))
	j := faultJourney(t, rng, "")
	j.Start()
	// An instant is a matter of time, not of a condition.
	someTime := func() { <-time.After(time.Duration(rng.Int64N(int64(killWithin)))) }
	for j.Crashes() < n {
		load := j.StartLoad(rng, 6, fmt.Sprintf("kill-%d", j.Crashes()))
		batches := j.StartBatches(rng, 2)
		someTime()
		j.Kill()
		load.Stop()
		batches.Stop()
		if rng.IntN(3) == 0 && j.Crashes() < n {
			if err := j.Launch(); err != nil {
				t.Fatal(err)
			}
			someTime()
			j.Kill()
		}
		j.Start()
		j.Ledger.Check()
		if t.Failed() {
			t.Fatalf("after kill %d", j.Crashes())
		}
	}
	j.finishFaults()
	return j.tally()
}
