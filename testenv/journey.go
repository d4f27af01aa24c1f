package testenv

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"
)

// Journey is a relay, the receiver of its targets and the ledger over both. At the end of the test
// the whole ledger is verified once more.
type Journey struct {
	*Relay
	RX     *Receiver
	Ledger *Ledger
}

// NewJourney readies one; add targets to its Config and call Start.
func NewJourney(t testing.TB) *Journey {
	t.Helper()
	rx := NewReceiver(t)
	relay := NewRelay(t, NewConfig())
	j := &Journey{Relay: relay, RX: rx, Ledger: NewLedger(t, relay, rx)}
	t.Cleanup(func() {
		if relay.proc != nil && !relay.proc.Ended() && !t.Failed() {
			j.Ledger.Check()
		}
	})
	return j
}

// Aim adds targets of these names that point at the receiver and want every event.
func (j *Journey) Aim(names ...string) *Journey {
	for _, name := range names {
		j.Config.Target(name, j.RX.URL(name))
	}
	return j
}

// Post sends one request and enters it in the ledger.
func (j *Journey) Post(p Post) Answer {
	a := j.Relay.Post(p)
	j.Ledger.Note(p, a)
	return a
}

// Send posts an event that must be accepted.
func (j *Journey) Send(p Post) Answer {
	j.t.Helper()
	a := j.Post(p)
	if a.Err != nil || a.Status != 200 {
		j.t.Fatalf("the event was not accepted: %d %v %s\n%s", a.Status, a.Err, a.Body,
			tail(j.Log()))
	}
	return a
}

// SendIDs sends n small events with ids prefix-0, prefix-1 and so on.
func (j *Journey) SendIDs(prefix string, n int) []string {
	j.t.Helper()
	var ids []string
	for i := range n {
		id := fmt.Sprintf("%s-%d", prefix, i)
		j.Send(Post{ID: id, Body: fmt.Appendf(nil, `{"eventType":"message","n":%d}`, i)})
		ids = append(ids, id)
	}
	return ids
}

// SendBatch posts NDJSON.
func (j *Journey) SendBatch(lines ...[]byte) Answer {
	j.t.Helper()
	a := j.postBatch(lines)
	if a.Err != nil || a.Status != 200 {
		j.t.Fatalf("the batch was not accepted: %d %v %s", a.Status, a.Err, a.Body)
	}
	return a
}

// postBatch posts NDJSON and enters it in the ledger.
func (j *Journey) postBatch(lines [][]byte) Answer {
	body := bytes.Join(lines, []byte{'\n'})
	a := j.Relay.Post(Post{ContentType: "application/x-ndjson", Body: body})
	j.Ledger.NoteBatch(lines, a)
	return a
}

// loadRetry is how long a client of a Load waits after a failure.
const loadRetry = 5 * time.Millisecond

// Load is traffic in the background.
type Load struct {
	stop chan struct{}
	done sync.WaitGroup
}

// StartLoad posts events from some clients at once, each with an id, until Stop. An answer that is
// lost is entered as such.
func (j *Journey) StartLoad(rng *rand.Rand, clients int, prefix string) *Load {
	return startLoad(rng, clients, func(rng *rand.Rand, client, i int) Answer {
		size := 50 + rng.IntN(1500)
		if i%8 == 7 {
			size = 3000 + rng.IntN(12_000) // around what the engine keeps elsewhere
		}
		return j.Post(Post{ID: fmt.Sprintf("%s-%d-%d", prefix, client, i),
			Body: Payload(rng, "message", size)})
	})
}

// StartBatches posts batches of up to batchLines events from some clients at once, until Stop.
func (j *Journey) StartBatches(rng *rand.Rand, clients int) *Load {
	return startLoad(rng, clients, func(rng *rand.Rand, _, _ int) Answer {
		return j.postBatch(randomLines(rng))
	})
}

// batchLines bounds the events of one batch in the background.
const batchLines = 60

func randomLines(rng *rand.Rand) [][]byte {
	lines := make([][]byte, 1+rng.IntN(batchLines))
	for i := range lines {
		lines[i] = Payload(rng, "message", 50+rng.IntN(1500))
	}
	return lines
}

// startLoad calls post from some clients at once until Stop.
func startLoad(rng *rand.Rand, clients int, post func(rng *rand.Rand, client, i int) Answer) *Load {
	load := &Load{stop: make(chan struct{})}
	for c := range clients {
		seed := rng.Uint64()
		load.done.Go(func() { // ends with Stop
			rng := rand.New(rand.NewPCG(seed, 1))
			for i := 0; ; i++ {
				select {
				case <-load.stop:
					return
				default:
				}
				if a := post(rng, c, i); a.Err != nil || a.Status != 200 {
					select { // the relay is away; no need to spin
					case <-load.stop:
					case <-time.After(loadRetry):
					}
				}
			}
		})
	}
	return load
}

// Stop ends the traffic and waits for the last answers.
func (l *Load) Stop() {
	close(l.stop)
	l.done.Wait()
}

// AwaitPending waits until a target has exactly n deliveries pending.
func (j *Journey) AwaitPending(target string, n int) {
	j.t.Helper()
	got := -1
	if !Eventually(Patience, func() bool {
		got = j.Target(target).Pending
		return got == n
	}) {
		j.t.Fatalf("target %q has %d deliveries pending, want %d", target, got, n)
	}
}

// AwaitFailed waits until exactly n deliveries of a target are pending and each has failed: not
// only requested, but settled, so that the next job has something to do.
func (j *Journey) AwaitFailed(target string, n int) {
	j.t.Helper()
	what := fmt.Sprintf("%d failed deliveries of target %q", n, target)
	Until(j.t, Patience, what, func() bool {
		failed := 0
		list := j.Deliveries(target, "pending")
		for _, d := range list {
			if d.Attempts > 0 {
				failed++
			}
		}
		return failed == n && len(list) == n
	})
}

// AwaitStatus waits until a target has a status.
func (j *Journey) AwaitStatus(target, status string) Target {
	j.t.Helper()
	var last Target
	if !Eventually(2*Patience, func() bool {
		last = j.Target(target)
		return last.Status == status
	}) {
		j.t.Fatalf("target %q is %s after %d failed jobs, want %s", target, last.Status,
			last.FailedJobs, status)
	}
	return last
}
