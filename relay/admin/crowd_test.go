package admin

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// open opens a connection and says something on it.
func (f *fixture) open(said string) net.Conn {
	f.Helper()
	c, err := net.Dial("tcp", strings.TrimPrefix(f.base, "http://"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(30 * time.Second))
	if _, err := io.WriteString(c, said); err != nil {
		f.Fatal(err)
	}
	return c
}

// gets sends a request on a connection that stays, and wants this status.
func (f *fixture) gets(c net.Conn, path string, status int) {
	f.Helper()
	if _, err := fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", path); err != nil {
		f.Fatal(err)
	}
	a, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		f.Fatal(err)
	}
	defer a.Body.Close()
	if _, err := io.Copy(io.Discard, a.Body); err != nil || a.StatusCode != status {
		f.Fatalf("%s: status %d, %v", path, a.StatusCode, err)
	}
}

// until waits until a condition of the crowd holds.
func (f *fixture) until(what string, holds func(c *crowd) bool) {
	f.Helper()
	c := f.server.crowd
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(30 * time.Second); ; <-tick.C {
		c.mu.Lock()
		ok := holds(c)
		c.mu.Unlock()
		if ok {
			return
		}
		if time.Now().After(end) {
			f.Fatalf("waited in vain: %s", what)
		}
	}
}

// probes asks what must be answered whatever else there is, each on a connection of its own.
func (f *fixture) probes() {
	f.Helper()
	for _, path := range []string{"/livez", "/readyz", "/healthz", "/metrics"} {
		f.gets(f.open(""), path, 200)
	}
}

// gone wants a connection to be closed without a word.
func (f *fixture) gone(what string, c net.Conn) {
	f.Helper()
	if n, err := c.Read(make([]byte, 1)); n != 0 || err == nil {
		f.Errorf("%s: read %d bytes, %v", what, n, err)
	} else if network, ok := err.(net.Error); ok && network.Timeout() {
		f.Errorf("%s is not closed", what)
	}
}

// However many connections there are, silent, with half a head, or idle after an answer, the next
// one is served, and the one goes whose turn is the longest ago.
func TestCrowdOfWaiting(t *testing.T) {
	for what, said := range map[string]string{
		"silent":    "",
		"half head": "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX: ",
		"half body": "POST /v1/reload HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 9\r\n\r\n1",
		"idle":      "GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n",
	} {
		f := newFixture(t)
		first := f.open(said)
		for range 1100 {
			f.open(said)
		}
		f.probes()
		if said == "" {
			f.gone(what, first)
		}
		f.until(what+": the bound", func(c *crowd) bool {
			return c.waiting.Len()+c.calls <= connectionsMax
		})
		f.ok(f.ask("GET", "/v1/status"), "")
	}
}

// Every stream and every other call goes on while silent connections come and go. As many calls as
// there may be leave room for probes, and one more is told to come again.
func TestCrowdOfCalls(t *testing.T) {
	t.Parallel()
	f := newFixture(t)
	var streams []*listener
	for range streamsMax {
		streams = append(streams, f.listen())
	}
	f.backend.wait, f.backend.entered = make(chan struct{}), make(chan struct{}, samplesMax)
	answers := make(chan int, samplesMax)
	for range samplesMax {
		go func() { answers <- f.ask("POST", "/v1/targets/crm/sample").StatusCode }()
		<-f.backend.entered
	}
	for range 600 {
		f.open("")
	}
	f.probes()
	for i, stream := range streams {
		for range 3 {
			if event, _ := stream.next(t); event == "" {
				t.Errorf("stream %d ended", i)
			}
		}
	}
	f.server.crowd.mu.Lock()
	calls := f.server.crowd.calls
	f.server.crowd.calls = f.server.crowd.callsMost()
	f.server.crowd.mu.Unlock()
	if calls != streamsMax+samplesMax {
		t.Errorf("%d calls are counted", calls)
	}
	a := f.ask("GET", "/v1/status")
	f.problem(a, 503, codeOverloaded)
	if a.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	f.probes()
	f.until("room", func(c *crowd) bool { c.calls = calls; return true })
	close(f.backend.wait)
	for range samplesMax {
		if status := <-answers; status != 200 {
			t.Errorf("a sample is answered %d", status)
		}
	}
	for _, stream := range streams {
		stream.Body.Close()
	}
	f.until("the calls to end", func(c *crowd) bool { return c.calls == 0 })
}

// pipes is a listener whose connections hold nothing: what is not read is not written.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}

func (p *pipes) Close() error {
	close(p.closed)
	return nil
}

func (p *pipes) Addr() net.Addr { return &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)} }

// A scraper that does not read costs the memory of one answer, until there are too many of them.
func TestCrowdOfScrapes(t *testing.T) {
	ln := &pipes{make(chan net.Conn), make(chan struct{})}
	f := serveOn(t, ln, &http.Client{})
	open := func() net.Conn {
		ours, theirs := net.Pipe()
		t.Cleanup(func() { ours.Close() })
		ours.SetDeadline(time.Now().Add(30 * time.Second))
		ln.conns <- theirs
		return ours
	}
	scrape := func() net.Conn {
		c := open()
		if _, err := io.WriteString(c, "GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"); err != nil {
			t.Fatal(err)
		}
		return c
	}
	var all []net.Conn
	for i := range scrapesMax {
		all = append(all, scrape())
		f.until("a scrape", func(c *crowd) bool { return c.scrapes.Len() == i+1 })
	}
	f.gets(open(), "/metrics", 200) // takes the place of the first, and leaves it
	f.gone("the oldest scrape", all[0])
	f.until("its end", func(c *crowd) bool { return c.scrapes.Len() == scrapesMax-1 })
	for _, c := range all[1:] {
		if a, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || a.StatusCode != 200 {
			t.Errorf("another scrape: %v, %v", a, err)
		}
	}
}

// Whoever asks for the metrics while they are collected waits for the next time, with all others.
func TestScrapesAtOnce(t *testing.T) {
	f := newFixture(t)
	began, goOn, gathers := make(chan struct{}), make(chan struct{}), atomic.Int32{}
	f.backend.gathers = func() {
		if gathers.Add(1) == 1 {
			close(began)
			<-goOn
		}
	}
	const later = 20
	answers := make(chan int, 1+later)
	ask := func() { answers <- f.ask("GET", "/metrics").StatusCode }
	go ask()
	<-began
	for range later {
		go ask()
	}
	f.until("the others", func(c *crowd) bool { return c.scrapes.Len() == 1+later })
	close(goOn)
	for range 1 + later {
		if status := <-answers; status != 200 {
			t.Errorf("a scrape is answered %d", status)
		}
	}
	if n := gathers.Load(); n > later/2 { // two, but for one that was slow to wait
		t.Errorf("%d scrapes cost %d collections", 1+later, n)
	}
	f.ok(f.ask("GET", "/metrics"), "")
	f.backend.gathers = func() { panic("a bug") }
	f.problem(f.ask("GET", "/metrics"), 500, codeInternal)
	f.backend.gathers = nil
	f.ok(f.ask("GET", "/metrics"), "")
}

// The bound is an option; what it leaves is never nothing, and never less than half for probes.
func TestCrowdBound(t *testing.T) {
	f := func(in, most, calls int) {
		t.Helper()
		if c := newCrowd(in); c.most != most || c.callsMost() != calls {
			t.Errorf("%d gives %d and %d calls, want %d and %d", in, c.most, c.callsMost(), most, calls)
		}
	}
	f(0, connectionsMax, callsMax)
	f(-1, connectionsMax, callsMax)
	f(1, connectionsMin, connectionsMin/2)
	f(100, 100, 50)
	f(10_000, connectionsMax, callsMax)
}

// A listener that waits for room ends when it is closed.
func TestCrowdCloses(t *testing.T) {
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := newCrowd(0)
	for range cap(c.room) {
		c.room <- struct{}{}
	}
	ln := newListener(inner, c)
	ended := make(chan error, 1)
	go func() {
		_, err := ln.Accept()
		ended <- err
	}()
	if err := ln.Close(); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-ended:
		if err == nil {
			t.Error("a connection was accepted")
		}
	case <-time.After(30 * time.Second):
		t.Error("it waits for ever")
	}
}
