package testenv

import (
	"fmt"
	"testing"

	"github.com/hookspool/hookspool/testenv/effort"
)

// usage is what a relay takes of its machine.
type usage struct{ rss, goroutines, descriptors int }

func (u usage) String() string {
	return fmt.Sprintf("%d MiB, %d goroutines, %d descriptors", u.rss>>20, u.goroutines,
		u.descriptors)
}

// usageOf scrapes it.
func usageOf(r *Relay) usage {
	r.t.Helper()
	m := r.Metrics()
	return usage{int(m["process_resident_memory_bytes"]), int(m["go_goroutines"]),
		int(m["process_open_fds"])}
}

// leakSlack is what may differ between two moments of rest: connections of the test itself, workers
// of the HTTP library and of the lanes that are about to leave.
const leakSlack = 12

// awaitRest waits until goroutines and descriptors are back where they were: what does not come
// back is a leak.
func awaitRest(t *testing.T, r *Relay, base usage) {
	t.Helper()
	r.client.http.CloseIdleConnections()
	var now usage
	if !Eventually(2*Patience, func() bool {
		now = usageOf(r)
		return now.goroutines <= base.goroutines+leakSlack &&
			now.descriptors <= base.descriptors+leakSlack
	}) {
		t.Errorf("the relay does not come to rest: it had %s, and has %s", base, now)
	}
}

// memoryMiB is how many MiB a scenario may add: the race detector keeps shadows of all memory.
func memoryMiB(n int) int {
	if effort.Race {
		n *= 4
	}
	return n << 20
}

func checkMemory(t *testing.T, when string, base, now usage, allowed int) {
	t.Helper()
	t.Logf("%s: %s; before: %s", when, now, base)
	if now.rss > base.rss+allowed {
		t.Errorf("%s: resident memory grew from %d to %d MiB, %d are allowed", when, base.rss>>20,
			now.rss>>20, allowed>>20)
	}
}
