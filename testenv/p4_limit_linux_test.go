package testenv

import (
	"encoding/base64"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestP4MemoryLimit asserts that a relay in a container lives through senders that never pause, with
// small events, large ones and batches, healthy targets and such as hang: what does not fit into its
// memory is refused with 503, nothing is lost, and the kernel kills nobody. Where no cgroup can be
// made GOMEMLIMIT is the limit, and the relay's own memory is watched.
func TestP4MemoryLimit(t *testing.T) {
	effort.OnlyLong(t, "it fills the memory of a control group")
	if effort.Race {
		t.Skip("the race detector multiplies memory")
	}
	t.Parallel()
	key := []string{"spool.encryption_key", base64.StdEncoding.EncodeToString(make([]byte, 32))}
	for _, c := range []struct {
		name  string
		limit int64
		heap  bool // GOMEMLIMIT is the limit
		deluge
		set []string // a key of the config and its value
	}{
		{"1KiB", 128 << 20, false, deluge{senders: 64, bytes: 1 << 10}, nil},
		{"16KiB", 128 << 20, false, deluge{senders: 64, bytes: 16 << 10}, nil},
		{"512KiB", 256 << 20, false, deluge{senders: 64, bytes: 512 << 10}, nil},
		{"batches", 128 << 20, false, deluge{senders: 8, bytes: 1 << 10, batch: 1000}, nil},
		{"10 targets", 128 << 20, false, deluge{senders: 64, bytes: 4 << 10, targets: 10}, nil},
		{"10 hang", 128 << 20, false, deluge{senders: 64, bytes: 16 << 10, targets: 10, hangs: true}, nil},
		{"encrypted", 128 << 20, false, deluge{senders: 64, bytes: 16 << 10}, key},
		{"GOMEMLIMIT", 128 << 20, true, deluge{senders: 64, bytes: 16 << 10}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := newDeluge(t, c.deluge)
			h := newHold(t, c.limit, c.heap)
			if c.set != nil {
				h.Config.Set(c.set[0], c.set[1])
			}
			h.survive(f)
		})
	}
}

// hold is a relay with little memory.
type hold struct {
	*Journey
	limit int64
	cage  *cage // nil: GOMEMLIMIT is the limit
}

func newHold(t *testing.T, limit int64, heap bool) *hold {
	t.Helper()
	h := &hold{limit: limit}
	if !heap {
		h.cage = newCage(t, limit)
	}
	h.Journey = NewJourney(t)
	switch {
	case h.cage != nil:
		h.Through = h.cage.through()
	case !heap:
		noteSkip(t, "no cgroup can be made here; GOMEMLIMIT is the limit")
		fallthrough
	default:
		h.Env = []string{fmt.Sprint("GOMEMLIMIT=", limit)}
	}
	h.Config.Set("log.level", "info").Set("spool.max_size", "2GiB")
	return h
}

// survive lets a deluge run into the relay.
func (h *hold) survive(f *deluge) {
	t := h.t
	t.Helper()
	for _, target := range f.names {
		h.Config.Target(target, "http://"+f.address+"/"+target, "timeout", "5m")
	}
	h.Start()
	if h.LogCount("memory is limited", "bodies=") != 1 || h.Metrics().Get("memory_limit_bytes") !=
		int(h.limit) {
		t.Errorf("the limit is not told:\n%s", h.Log())
	}
	w := watchMemory(h.Pid())
	f.begin(h.EventsAddress())
	least, most := delugeTime()
	began := time.Now()
	Until(t, most+Patience, "the deluge to be over", func() bool {
		accepted, _ := f.progress()
		lasts := time.Since(began)
		enough := lasts >= least && int64(accepted*f.bytes) >= delugeShare*h.limit
		return enough || lasts >= most || h.proc.Ended()
	})
	f.end()
	accepted, arrived := f.progress()
	f.awaitArrivals(h.proc.Ended)
	anon, file := w.end()
	t.Logf("at most %d MiB of its own and %d MiB of files in memory; %d events accepted and %d "+
		"deliveries made when the deluge was over", anon>>20, file>>20, accepted, arrived)
	if h.cage != nil && h.cage.kills(t) > 0 {
		t.Fatalf("the kernel has killed the relay after %d events", accepted)
	}
	if h.proc.Ended() {
		t.Fatalf("the relay has ended:\n%s", tail(h.Log()))
	}
	if most := h.limit + h.limit/8; h.cage == nil && anon > most {
		t.Errorf("the relay took %d MiB of %d", anon>>20, h.limit>>20)
	}
	f.check()
}

// delugeShare of the limit is to be accepted: then the spool's engine has begun to compact, which
// takes most.
const delugeShare = 2

// delugeTime is how long a deluge lasts: so long at least, and at most if less is accepted.
func delugeTime() (least, most time.Duration) {
	if effort.Long() {
		return time.Minute, time.Minute
	}
	return 3 * time.Second, 8 * time.Second
}

// memoryWatch looks at the memory of a process.
type memoryWatch struct {
	stop       chan struct{}
	done       sync.WaitGroup
	anon, file int64 // the most that was seen
}

func watchMemory(pid int) *memoryWatch {
	w := &memoryWatch{stop: make(chan struct{})}
	w.done.Go(func() { // ends with end
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			w.look(pid)
			select {
			case <-w.stop:
				return
			case <-tick.C:
			}
		}
	})
	return w
}

func (w *memoryWatch) look(pid int) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return // it has ended
	}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		n, _ := strconv.ParseInt(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 10, 64)
		switch name {
		case "RssAnon":
			w.anon = max(w.anon, n<<10)
		case "RssFile":
			w.file = max(w.file, n<<10)
		}
	}
}

// end returns the most that was seen.
func (w *memoryWatch) end() (anon, file int64) {
	close(w.stop)
	w.done.Wait()
	return w.anon, w.file
}
