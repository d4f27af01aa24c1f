package testenv

import (
	"math/rand/v2"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

const (
	backlogBatch = 2_500
	// backlogSlack is what a process may grow by for reasons that are no backlog: the garbage
	// collector's mood, and tables that Badger maps and the kernel counts as resident.
	backlogSlack = 96 << 20
)

// TestP4BacklogIsNotInMemory asserts that a backlog of 40,000 deliveries costs neither memory nor
// start-up work: after a kill -9 the relay counts no more events than came since its last
// checkpoint, and its resident memory is that of an empty relay within a slack that is smaller
// than the backlog; then the backlog arrives, within the same memory.
func TestP4BacklogIsNotInMemory(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t).Aim("away")
	j.Config.Set("target.away.status", "paused").Set("server.drain_timeout", "2s")
	j.Start()
	fill(j, rng, 1, 100)
	j.Kill()
	j.Start()
	empty := residentBytes(j)
	const payload = 4_000
	rounds := 16
	if effort.Race {
		rounds = 4
	}
	fill(j, rng, rounds, payload)
	if n := j.Target("away").Pending; n != (rounds+1)*backlogBatch {
		t.Fatalf("%d deliveries are pending, want %d", n, (rounds+1)*backlogBatch)
	}
	j.awaitCheckpoint()
	j.Kill()
	j.Start()
	if onCluster() {
		noteSkip(t, "not on JetStream: a start counts nothing, because it reads all there is")
	} else if n := lastCounted(t, j); n > backlogBatch {
		t.Errorf("the start counted %d events; the last checkpoint is younger than that", n)
	}
	full := settledBytes(j, empty+backlogSlack)
	if effort.Race {
		t.Log("memory is not judged under the race detector, which multiplies it")
	} else if full > empty+backlogSlack {
		t.Errorf("%d MiB resident with the backlog, %d MiB without", full>>20, empty>>20)
	}
	j.Config.Set("target.away.status", "enabled")
	j.Reload()
	j.Ledger.AwaitDelivered()
	if after := settledBytes(j, 256<<20); !effort.Race && after > 256<<20 {
		t.Errorf("%d MiB resident after the backlog was sent", after>>20)
	}
	t.Logf("resident: %d MiB empty, %d MiB with the backlog", empty>>20, full>>20)
}

// awaitCheckpoint waits until the spool has written where it stands. Every commit does that which
// comes checkpointEvery or more after the last that did. So the second of two events that are
// further apart does, or something between them did, after the backlog.
func (j *Journey) awaitCheckpoint() {
	j.t.Helper()
	const checkpointEvery = 50 * time.Millisecond // as in the spool
	j.SendIDs("before-checkpoint", 1)
	answered := time.Now()
	Until(j.t, Patience, "the time of a checkpoint", func() bool {
		return time.Since(answered) > 2*checkpointEvery
	})
	j.SendIDs("with-checkpoint", 1)
}

// fill sends batches of events that do not compress.
func fill(j *Journey, rng *rand.Rand, batches, payload int) {
	j.t.Helper()
	for range batches {
		lines := make([][]byte, backlogBatch)
		for i := range lines {
			lines[i] = Payload(rng, "message", payload/2)
		}
		j.SendBatch(lines...)
	}
}

func residentBytes(j *Journey) int { return int(j.Metrics()["process_resident_memory_bytes"]) }

// settledBytes is what is resident once that is at most limit, or after all patience: a start and a
// compaction take more for a moment, what is kept in memory stays.
func settledBytes(j *Journey, limit int) int {
	j.t.Helper()
	now := 0
	Eventually(Patience, func() bool {
		now = residentBytes(j)
		return effort.Race || now <= limit
	})
	return now
}

// lastCounted is how many events the newest start counted.
func lastCounted(t *testing.T, j *Journey) int {
	t.Helper()
	all := regexp.MustCompile(`events_counted=(\d+)`).FindAllStringSubmatch(j.Log(), -1)
	if len(all) == 0 {
		t.Fatal("the log does not say how many events the start counted")
	}
	n, err := strconv.Atoi(all[len(all)-1][1])
	if err != nil {
		t.Fatal(err)
	}
	return n
}
