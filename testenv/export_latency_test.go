package testenv

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestExportLatency measures how long accepting takes with and without an export of 200,000 events
// under way. It is no check but of the answers, and takes minutes: HOOKSPOOL_LONG=1.
func TestExportLatency(t *testing.T) {
	if !effort.Long() {
		t.Skip("a measurement: HOOKSPOOL_LONG=1")
	}
	relay := NewRelay(t, NewConfig())
	relay.Config.Target("held", "http://127.0.0.1:9/", "status", "paused")
	relay.Start()
	const events, batch = 200_000, 5000
	line := fmt.Sprintf("{\"eventType\":\"message\",\"text\":%q}\n", strings.Repeat("x", 980))
	for range events / batch {
		a := relay.Post(Post{ContentType: "application/x-ndjson",
			Body: bytes.Repeat([]byte(line), batch)})
		if a.Status != 200 {
			t.Fatalf("answered %d %v", a.Status, a.Err)
		}
	}
	line = strings.TrimSpace(line)
	for round := range 4 {
		without := measureAccepts(t, relay, []byte(line), make(chan struct{}))
		before := memory(relay.Pid())
		stop, took := make(chan struct{}), time.Duration(0)
		var export sync.WaitGroup
		export.Go(func() { // ends when its export does
			defer close(stop)
			began := time.Now()
			exportTo(t, relay, round%2 == 0)
			took = time.Since(began)
		})
		with := measureAccepts(t, relay, []byte(line), stop)
		export.Wait()
		q := func(all []time.Duration, p int) time.Duration { return all[len(all)*p/1000] }
		t.Logf("without: %d events, p50 %s, p99 %s, max %s", len(without), q(without, 500),
			q(without, 990), without[len(without)-1])
		t.Logf("memory %s before, %s after", before, memory(relay.Pid()))
		t.Logf("with (a file on the spool's disk: %t): %d events while it took %s, p50 %s, p99 %s, max %s; p99 ratio %.2f", round%2 == 0, len(with),
			took, q(with, 500), q(with, 990), with[len(with)-1],
			float64(q(with, 990))/float64(q(without, 990)))
	}
}

// exportTo exports into a file beside the spool, or reads the answer and forgets it.
func exportTo(t *testing.T, relay *Relay, file bool) {
	if file {
		name := filepath.Join(relay.Dir, "out.ndjson")
		if out := relay.CLI("spool", "export", "--out", name); out.Code != 0 {
			t.Errorf("export left with %d: %s", out.Code, out.Stderr)
		}
		if err := os.Remove(name); err != nil {
			t.Error(err)
		}
		return
	}
	answer, err := http.Post("http://"+relay.AdminAddress()+"/v1/spool/export", "", nil)
	if err != nil {
		t.Error(err)
		return
	}
	defer answer.Body.Close()
	if n, err := io.Copy(io.Discard, answer.Body); err != nil || n < 200<<20 {
		t.Errorf("exported %d bytes, %v", n, err)
	}
}

// memory is what the system says, without mapped files; nothing where it says nothing.
func memory(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	_, after, _ := strings.Cut(string(text), "RssAnon:")
	line, _, _ := strings.Cut(after, "\n")
	return strings.TrimSpace(line)
}

// measureAccepts posts from 8 clients, 1000 events each or until stop is closed, and returns how
// long each took, ascending.
func measureAccepts(t *testing.T, relay *Relay, body []byte, stop chan struct{}) []time.Duration {
	t.Helper()
	var mu sync.Mutex
	var all []time.Duration
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() {
			for range 1000 {
				began := time.Now()
				a := relay.Post(Post{Body: body})
				took := time.Since(began)
				if a.Status != 200 {
					t.Errorf("answered %d %v", a.Status, a.Err)
				}
				mu.Lock()
				all = append(all, took)
				mu.Unlock()
				select {
				case <-stop:
					return
				default:
				}
			}
		})
	}
	clients.Wait()
	slices.Sort(all)
	return all
}
