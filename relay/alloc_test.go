package relay

import (
	"bufio"
	"bytes"
	"fmt"
	"math"
	"net"
	sched "runtime/metrics"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/testenv/effort"
)

// rawClient posts one event again and again over one connection, and allocates nothing itself.
type rawClient struct {
	tb      testing.TB
	conn    net.Conn
	request []byte
	in      *bufio.Reader
}

func newRawClient(tb testing.TB, address string, size int) *rawClient {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { conn.Close() })
	body := `{"eventType":"message","text":"` + strings.Repeat("x", size) + `"}`
	request := fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: relay\r\nContent-Type: "+
		"application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	return &rawClient{tb: tb, conn: conn, request: []byte(request), in: bufio.NewReader(conn)}
}

func (c *rawClient) post() {
	if _, err := c.conn.Write(c.request); err != nil {
		c.tb.Fatal(err)
	}
	length := 0
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			c.tb.Fatal(err)
		}
		if first && !bytes.Contains(line, []byte(" 200 ")) {
			c.tb.Fatalf("answered %q", line)
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length = 0
			for _, digit := range bytes.TrimSpace(value) {
				length = 10*length + int(digit-'0')
			}
		}
		if len(line) == 2 {
			break
		}
	}
	if _, err := c.in.Discard(length); err != nil {
		c.tb.Fatal(err)
	}
}

// rawReceiver acknowledges everything, says so on the channel, and allocates nothing per request.
func rawReceiver(tb testing.TB) (address string, got chan struct{}) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { ln.Close() })
	got = make(chan struct{}, 1024)
	go func() { // ends with the listener
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go acknowledge(conn, got) // ends with the connection
		}
	}()
	return "http://" + ln.Addr().String() + "/", got
}

func acknowledge(conn net.Conn, got chan<- struct{}) {
	defer conn.Close()
	in := bufio.NewReader(conn)
	answer := []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	for length := 0; ; {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length = 0
			for _, digit := range bytes.TrimSpace(value) {
				length = 10*length + int(digit-'0')
			}
		}
		if len(line) > 2 {
			continue
		}
		if _, err := in.Discard(length); err != nil {
			return
		}
		if _, err := conn.Write(answer); err != nil {
			return
		}
		got <- struct{}{}
	}
}

// What an event costs in allocations, from its first byte to the answer, and on to the receiver's.
// The whole process is counted: HTTP library, spool, engine, and a commit for every event, because
// the caller is alone; beside others a commit is shared. About 30 of them are the engine's. The
// bounds are today's counts (48 to 51, and 2 to 5) and a little for flushes between events.
const (
	acceptAllocations  = 55
	deliverAllocations = 7
)

func TestHotPathAllocations(t *testing.T) {
	if effort.Race {
		t.Skip("allocations are measured without -race")
	}
	accepted := allocationsPerEvent(t, true, acceptAllocations)
	both := allocationsPerEvent(t, false, accepted+deliverAllocations)
	t.Logf("%.1f to accept, %.1f more to deliver", accepted, both-accepted)
	if accepted > acceptAllocations {
		t.Errorf("%.1f allocations to accept an event; want at most %d", accepted, acceptAllocations)
	}
	if d := both - accepted; d > deliverAllocations {
		t.Errorf("%.1f allocations to deliver an event; want at most %d", d, deliverAllocations)
	}
}

// allocationsPerEvent is the least of ten batches of 200 events, each of which counts as the median
// of its events. Checkpoints, pulses and tickers allocate by the second, so a slow machine has more
// of their allocations among those of an event. The batch that had the fewest of them says what an
// event costs. A batch that counts no more than enough is the last one.
func allocationsPerEvent(t *testing.T, paused bool, enough float64) float64 {
	const batches, events = 10, 200
	event, commits, stop := oneEvent(t, paused)
	defer stop()
	for range events { // pools and connections
		event()
	}
	least := math.Inf(1)
	for n := 0; n < batches && least > enough; n++ {
		var counts []float64
		for range events {
			before := commits()
			n := testing.AllocsPerRun(1, event) // after one that is not counted
			if commits()-before == 2 {          // no checkpoint was among them
				counts = append(counts, n)
			}
		}
		if len(counts) > 0 {
			slices.Sort(counts)
			least = min(least, counts[len(counts)/2])
		}
	}
	if math.IsInf(least, 1) {
		t.Fatal("beside every event something else was committed")
	}
	return least
}

// oneEvent returns what posts one event to a relay with one target and waits until that has it,
// unless the target is paused; and how much was committed.
func oneEvent(tb testing.TB, paused bool) (event func(), commits func() float64, stop func()) {
	address, got := rawReceiver(tb)
	f := newFixture(tb)
	f.target("crm", address, func(c *config.Target) {
		if paused {
			c.Status = config.StatusPaused
		}
	})
	f.start()
	events, _ := f.Addresses()
	c := newRawClient(tb, events[0], 1000)
	return func() {
		c.post()
		if !paused {
			<-got
		}
	}, func() float64 { return counted(f.metrics.commitEvents) }, f.stop
}

// BenchmarkEvent is one event at a time, from a sender that waits for the answer.
func BenchmarkEvent(b *testing.B) {
	f := func(name string, paused bool) {
		b.Run(name, func(b *testing.B) {
			event, _, stop := oneEvent(b, paused)
			defer stop()
			b.ReportAllocs()
			for b.Loop() {
				event()
			}
		})
	}
	f("accept", true)
	f("accept and deliver", false)
}

// BenchmarkCallers is 64 senders at once and some targets. What it costs to let a goroutine run,
// counted for the whole process, senders and targets included, is told an event.
func BenchmarkCallers(b *testing.B) {
	for _, targets := range []int{1, 3, 10} {
		b.Run(fmt.Sprint(targets), func(b *testing.B) { benchmarkCallers(b, targets) })
	}
}

func benchmarkCallers(b *testing.B, targets int) {
	f := newFixture(b)
	address, got := rawReceiver(b)
	for i := range targets {
		f.target(fmt.Sprint("t", i), address)
	}
	f.start()
	events, _ := f.Addresses()
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ReportAllocs()
	b.ResetTimer()
	before := ran()
	for range 64 {
		c := newRawClient(b, events[0], 1000)
		go func() { // ends when all is posted
			for left.Add(-1) >= 0 {
				c.post()
			}
		}()
	}
	for range targets * b.N {
		<-got
	}
	b.ReportMetric(float64(ran()-before)/float64(b.N), "runs/op")
	b.StopTimer()
	f.stop()
}

// ran estimates how often a goroutine was let run: the runtime counts one in eight.
func ran() (n uint64) {
	s := []sched.Sample{{Name: "/sched/latencies:seconds"}}
	sched.Read(s)
	for _, c := range s[0].Value.Float64Histogram().Counts {
		n += 8 * c
	}
	return n
}
