package testenv

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/valyala/fasthttp"
)

// deluge is load at saturation for as long as wanted, and the targets it is for. Its ledger has some
// bytes an event instead of the bodies, which follow from the names of the events.
type deluge struct {
	senders int
	bytes   int // of an event
	batch   int // events of a request; 0: no batches
	targets int // 0: one
	// hangs: the targets answer nothing until end.
	hangs bool

	*flow
}

// flow is a deluge under way.
type flow struct {
	t        testing.TB
	names    []string // of the targets
	receiver *fasthttp.Server
	address  string
	running  sync.WaitGroup
	stop     chan struct{}
	filler   []byte

	mu      sync.Mutex // guards below
	fates   map[name]fate
	arrived []map[name]int // parallel to names
	faults  []string
	counts  struct{ accepted, refused, unknown int }
}

// name is an event: the n-th of a sender.
type name struct{ sender, n int }

// fate is what became of a request.
type fate byte

const (
	sent fate = iota // or its answer is lost
	accepted
	refused
)

// eventPrefix is how an event begins; the filler follows.
const eventPrefix = `{"eventType":"message","sender":"%04d","n":"%010d","text":"`

// newDeluge starts the receiver of its targets, whose first segments of the path are their names.
func newDeluge(t testing.TB, d deluge) *deluge {
	t.Helper()
	f := &d
	f.flow = &flow{t: t, stop: make(chan struct{}), fates: make(map[name]fate)}
	f.filler = append(bytes.Repeat([]byte("0123456789abcdef"), f.bytes/16+1)[:f.bytes-len(
		fmt.Sprintf(eventPrefix, 0, 0))-len(`"}`)], `"}`...)
	for i := range max(f.targets, 1) {
		f.names = append(f.names, fmt.Sprint("t", i))
		f.arrived = append(f.arrived, make(map[name]int))
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.address = ln.Addr().String()
	f.receiver = &fasthttp.Server{Handler: f.receive, MaxRequestBodySize: 64 << 20}
	var serving sync.WaitGroup
	serving.Go(func() { _ = f.receiver.Serve(ln) }) // ends with Shutdown
	t.Cleanup(func() {
		if err := f.receiver.Shutdown(); err != nil {
			t.Error(err)
		}
		serving.Wait()
	})
	return f
}

// receive notes what arrives.
func (f *deluge) receive(ctx *fasthttp.RequestCtx) {
	var e name
	body := ctx.PostBody()
	head := len(body) - len(f.filler)
	target := string(bytes.Trim(ctx.Path(), "/"))
	fault := ""
	if head != len(fmt.Sprintf(eventPrefix, 0, 0)) || !bytes.Equal(body[head:], f.filler) {
		fault = fmt.Sprintf("target %q got %d bytes that nobody sent", target, len(body))
	} else if _, err := fmt.Sscanf(string(body[:head]), eventPrefix, &e.sender, &e.n); err != nil {
		fault = fmt.Sprintf("target %q got %q: %v", target, body[:head], err)
	}
	if f.hangs {
		<-f.stop
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if fault != "" {
		f.faults = append(f.faults, fault)
	}
	for i, t := range f.names {
		if t == target {
			f.arrived[i][e]++
		}
	}
}

// begin lets the senders send until end. Each is another connection, and sends again as soon as it
// has its answer, or a moment after a refusal.
func (f *deluge) begin(address string) {
	for i := range f.senders {
		f.running.Go(func() { // ends with stop
			for n := 0; !f.over(); {
				n = f.connect(address, i, n)
			}
		})
	}
}

func (f *deluge) over() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// refusalPause is how long a sender waits after a refusal: much less than it is told to.
const refusalPause = 20 * time.Millisecond

// connect sends on one connection until that ends, and returns the number of the next event.
func (f *deluge) connect(address string, sender, n int) int {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		f.pause()
		return n
	}
	defer conn.Close()
	in, out := bufio.NewReader(conn), bufio.NewWriterSize(conn, 64<<10)
	for !f.over() {
		events := f.write(out, sender, n)
		n += len(events)
		_ = conn.SetDeadline(time.Now().Add(requestTimeout))
		flushed := out.Flush() // whoever refuses a body may not read it to its end
		var resp fasthttp.Response
		if err := resp.Read(in); err != nil {
			f.note(events, sent, fmt.Sprintf("%v, %v", flushed, err))
			f.pause()
			return n
		}
		switch resp.StatusCode() {
		case http.StatusOK:
			f.note(events, accepted, "")
		case http.StatusServiceUnavailable, http.StatusInsufficientStorage:
			after, err := strconv.Atoi(string(resp.Header.Peek("Retry-After")))
			if err != nil || after < 1 {
				f.fault("a refusal says Retry-After %q", resp.Header.Peek("Retry-After"))
			}
			f.note(events, refused, "")
			f.pause()
		default:
			f.fault("an event was answered %d: %s", resp.StatusCode(), resp.Body())
			f.pause()
		}
		if flushed != nil || resp.ConnectionClose() {
			return n
		}
	}
	return n
}

// write writes a request with the events from n on.
func (f *deluge) write(out io.Writer, sender, n int) (events []name) {
	kind, count := "application/json", 1
	if f.batch > 0 {
		kind, count = "application/x-ndjson", f.batch
	}
	length := count * f.bytes
	if f.batch > 0 {
		length += count // newlines
	}
	fmt.Fprintf(out, "POST /v1/events HTTP/1.1\r\nHost: relay\r\nContent-Type: %s\r\n"+
		"Content-Length: %d\r\n\r\n", kind, length)
	for i := range count {
		e := name{sender, n + i}
		events = append(events, e)
		fmt.Fprintf(out, eventPrefix, e.sender, e.n)
		_, _ = out.Write(f.filler) // Flush tells
		if f.batch > 0 {
			_, _ = out.Write([]byte{'\n'})
		}
	}
	return events
}

func (f *deluge) pause() {
	select {
	case <-f.stop:
	case <-time.After(refusalPause):
	}
}

func (f *deluge) fault(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

// note enters what became of a request.
func (f *deluge) note(events []name, to fate, why string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range events {
		f.fates[e] = to
	}
	switch to {
	case accepted:
		f.counts.accepted += len(events)
	case refused:
		f.counts.refused++
	default:
		if f.counts.unknown++; f.counts.unknown < 5 {
			f.t.Logf("an answer is lost: %s", why)
		}
	}
}

// end stops the senders.
func (f *deluge) end() {
	close(f.stop)
	f.running.Wait()
}

// open counts the deliveries that are owed and have not arrived.
func (f *deluge) open() (n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, arrived := range f.arrived {
		for e, to := range f.fates {
			if to == accepted && arrived[e] == 0 {
				n++
			}
		}
	}
	return n
}

// awaitArrivals waits until all is delivered, as long as some arrive and the relay has not ended.
func (f *deluge) awaitArrivals(ended func() bool) {
	last, since := f.open(), time.Now()
	for last > 0 && !ended() && time.Since(since) < 2*Patience {
		<-time.After(pollMost)
		if open := f.open(); open < last {
			last, since = open, time.Now()
		}
	}
}

// check proves that what was accepted has arrived at every target, and nothing else has.
func (f *deluge) check() {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	lost, invented, twice := 0, 0, 0
	for i := range f.names {
		for e, to := range f.fates {
			if to == accepted && f.arrived[i][e] == 0 {
				lost++
			}
		}
		for e, times := range f.arrived[i] {
			if to, was := f.fates[e]; !was || to == refused {
				invented++
			}
			twice += times - 1
		}
	}
	f.t.Logf("%d events accepted, %d requests refused, %d answers lost; %d deliveries made twice",
		f.counts.accepted, f.counts.refused, f.counts.unknown, twice)
	if lost > 0 || invented > 0 || len(f.faults) > 0 {
		f.t.Errorf("%d deliveries are LOST, %d INVENTED; %d faults: %v", lost, invented,
			len(f.faults), f.faults[:min(len(f.faults), 5)])
	}
}

// progress counts what was accepted and what has arrived, refused requests left out.
func (f *deluge) progress() (accepted, arrived int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, a := range f.arrived {
		arrived += len(a)
	}
	return f.counts.accepted, arrived
}
