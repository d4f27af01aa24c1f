package attempt

import (
	"context"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// do makes attempts one after another and wants a Kind of each.
func do(t *testing.T, c *Client, n int, want Kind) {
	t.Helper()
	for range n {
		wantKind(t, checked(t, c.Do(context.Background(), request())), want, "")
	}
}

// Which answers leave a connection that can be used again.
func TestReuse(t *testing.T) {
	t.Parallel()
	f := func(answer string, want Kind, reused bool) {
		t.Helper()
		r := newReceiver(t, says(answer, false))
		c := newTestClient(t, options(t, r.url()))
		do(t, c, 3, want)
		conns := int64(3)
		if reused {
			conns = 1
		}
		if n := r.conns.Load(); n != conns {
			t.Errorf("%q: %d connections for 3 attempts, want %d", answer, n, conns)
		}
	}
	const ok = "HTTP/1.1 200 OK\r\n"
	// bodies that end
	f(answer200, Success, true)
	f(ok+"Content-Length: 0\r\n\r\n", Success, true)
	f("HTTP/1.1 204 No Content\r\n\r\n", Status, true)
	f("HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", Status, true)
	f("HTTP/1.1 500 X\r\nContent-Length: 4\r\n\r\nfail", Status, true)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Success, true)
	f(ok+"Transfer-Encoding: Chunked\r\n\r\n"+
		"2\r\nok\r\n1;ext=\"a\"\r\n!\r\n00\r\nT: v\r\n\r\n", Success, true)
	f("HTTP/1.1 103 Early Hints\r\n\r\n"+answer200, Success, true)
	f("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\nContent-Length: 0\r\n\r\n", Success, true)
	f(ok+"Content-Length: 65536\r\n\r\n"+string(make([]byte, 65536)), Success, true)
	// bodies that do not, or too late, or not as they should
	f(ok+"\r\n", Success, false)
	f(ok+"Content-Length: 65537\r\n\r\n"+string(make([]byte, 65537)), Success, false)
	f(ok+"Content-Length: 3\r\n\r\nok", Success, false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", Success, false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n2\r\nok!\r\n0\r\n\r\n", Success, false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n2\nok\n0\n\n", Success, false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n", Success, false)
	f(ok+"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n", Success, false)
	f(ok+"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Success, false)
	f(ok+"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", Success, false)
	f(ok+"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", Success, false)
	f(ok+"Content-Length: 0\r\n folded\r\n\r\n", Success, false)
	// the target's word
	f(ok+"Content-Length: 0\r\nConnection: close\r\n\r\n", Success, false)
	f(ok+"Content-Length: 0\r\nConnection: Keep-Alive, CLOSE\r\n\r\n", Success, false)
	f(ok+"Content-Length: 0\r\nConnection: keep-alive\r\nConnection: close\r\n\r\n", Success, false)
	f("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", Success, false)
	f("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		Success, false)
	// a second answer right after the first must not be taken for the next one's
	f(answer200+"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", Success, false)
	f("HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\nno", Status, false)
	f(answer200+"x", Success, false)
	f("HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n", Status, false)
}

// idleHears reports that there is something to read on the connection that a client has idle.
func idleHears(c *Client) (heard bool) {
	wireOf(c).pool.mu.Lock()
	defer wireOf(c).pool.mu.Unlock()
	wireOf(c).pool.idle[0].raw.Read(func(fd uintptr) bool {
		heard = peekReadable(fd)
		return true
	})
	return heard
}

// A spoofed 200 that comes later, when the connection is idle already.
func TestUnaskedAnswerOnIdleConnection(t *testing.T) {
	spoof := make(chan struct{})
	spoofed := make(chan struct{})
	var n atomic.Int64
	r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		if n.Add(1) > 1 {
			io.WriteString(nc, "HTTP/1.1 500 X\r\nContent-Length: 0\r\n\r\n")
			return true
		}
		io.WriteString(nc, answer200)
		<-spoof
		io.WriteString(nc, answer200)
		close(spoofed)
		return true
	}))
	c := newTestClient(t, options(t, r.url()))
	do(t, c, 1, Success)
	close(spoof)
	<-spoofed
	eventually(t, "the spoofed answer to arrive", func() bool { return idleHears(c) })
	do(t, c, 1, Status)
	if got := r.conns.Load(); got != 2 {
		t.Errorf("%d connections, want 2", got)
	}
}

// The target closes a kept connection just when the next request arrives: one redial, one
// attempt, one success.
func TestStaleConnectionIsRedialled(t *testing.T) {
	f := func(end func(nc net.Conn)) {
		t.Helper()
		var conns, answered atomic.Int64
		r := newReceiver(t, func(nc net.Conn) {
			first := conns.Add(1) == 1
			served := 0
			each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
				if served++; first && served == 2 {
					end(nc)
					return false
				}
				answered.Add(1)
				io.WriteString(nc, answer200)
				return true
			})(nc)
		})
		c := newTestClient(t, options(t, r.url()))
		do(t, c, 2, Success)
		if conns.Load() != 2 || answered.Load() != 2 {
			t.Errorf("%d connections, %d requests answered; want 2, 2", conns.Load(), answered.Load())
		}
	}
	f(func(net.Conn) {})
	f(func(nc net.Conn) { nc.(*net.TCPConn).SetLinger(0) })
}

// What must not be redialled: a second failure, a fresh connection, a part of an answer, a
// timeout.
func TestRedialOnlyOnce(t *testing.T) {
	t.Parallel()
	f := func(second string, hang bool, want Kind, conns int64) {
		t.Helper()
		var n atomic.Int64
		r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
			if n.Add(1) == 1 {
				io.WriteString(nc, answer200)
				return true
			}
			io.WriteString(nc, second)
			if hang {
				untilClosed(nc)
			}
			return false
		}))
		c := newTestClient(t, options(t, r.url()))
		do(t, c, 1, Success)
		if hang {
			c.timeout = time.Second
		}
		wantKind(t, checked(t, c.Do(context.Background(), request())), want, "cannot read answer")
		if got := r.conns.Load(); got != conns {
			t.Errorf("%q: %d connections, want %d", second, got, conns)
		}
	}
	f("", false, Protocol, 2)
	f("\n", false, Protocol, 1)
	f("HTTP/1.1 200", false, Protocol, 1)
	f("HTTP/1.1 100 Continue\r\n\r\n", false, Protocol, 1)
	f("rubbish", false, Protocol, 1)
	f("", true, Timeout, 1)
}

// A connection that ended while idle is noticed before anything is sent.
func TestEndedIdleConnection(t *testing.T) {
	var requests atomic.Int64
	r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		requests.Add(1)
		io.WriteString(nc, answer200)
		return false
	}))
	c := newTestClient(t, options(t, r.url()))
	do(t, c, 1, Success)
	eventually(t, "the end to arrive", func() bool { return idleHears(c) })
	pc := wireOf(c).pool.take(time.Now(), time.Now().Add(testTimeout))
	if err := pc.send(&exchange{out: []byte("POST ")}); err != errNoisy || pc.sent {
		t.Errorf("%v on a connection that ended, sent: %v", err, pc.sent)
	}
	pc.close()
	do(t, c, 1, Success)
	if r.conns.Load() != 2 || requests.Load() != 2 {
		t.Errorf("%d connections, %d requests", r.conns.Load(), requests.Load())
	}
}

func TestPool(t *testing.T) {
	r := newReceiver(t, untilClosed)
	dial := func() *conn {
		nc, err := net.Dial("tcp", r.listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		tcp := nc.(*net.TCPConn)
		return newConn(newSocket(tcp), nil)
	}
	closed := func(pc *conn) bool { return pc.SetDeadline(time.Time{}) != nil }
	now := time.Now()
	deadline := now.Add(testTimeout)

	p := &pool{max: 2}
	a, b, over := dial(), dial(), dial()
	p.put(a, now)
	p.put(b, now.Add(time.Second))
	p.put(over, now)
	if closed(a) || closed(b) || !closed(over) {
		t.Error("the pool keeps as many as it should, and closes the rest")
	}
	// last in, first out
	if got := p.take(now.Add(time.Second), deadline); got != b || !got.reused {
		t.Error("took another one than the last")
	}
	p.put(b, now.Add(time.Second))
	// the timer's work, at any instant
	p.expire(now.Add(idleMax - 1))
	if closed(a) {
		t.Error("closed too early")
	}
	p.expire(now.Add(idleMax))
	if !closed(a) || closed(b) || len(p.idle) != 1 || !p.armed {
		t.Error("expire closed the wrong ones")
	}
	// too old at its next use
	if got := p.take(now.Add(time.Second+idleMax), deadline); got != nil || !closed(b) {
		t.Error("an old connection was given out")
	}
	// after the end
	c, d := dial(), dial()
	p.put(c, now)
	p.close()
	p.put(d, now)
	if !closed(c) || !closed(d) || p.take(now, deadline) != nil {
		t.Error("a closed pool kept a connection")
	}
	p.close()
}

// The timer is real: an idle connection goes without anybody asking.
func TestIdleConnectionExpires(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("waits 4 s")
	}
	ended := make(chan struct{})
	r := newReceiver(t, func(nc net.Conn) {
		says(answer200, false)(nc)
		close(ended)
	})
	do(t, newTestClient(t, options(t, r.url())), 1, Success)
	start := time.Now()
	select {
	case <-ended:
		if took := time.Since(start); took < idleMax-time.Second {
			t.Errorf("closed after %v", took)
		}
	case <-time.After(idleMax + testTimeout):
		t.Error("still open")
	}
}

// Many at once: never more idle than Concurrency, everything answered, nothing mixed up.
func TestConcurrency(t *testing.T) {
	r := newReceiver(t, each(func(nc net.Conn, req *http.Request, _ []byte) bool {
		// Odd attempts are refused, so that a mixed-up answer shows.
		code := "200"
		if n := req.Header.Get("webhook-attempt"); (n[len(n)-1]-'0')%2 == 1 {
			code = "500"
		}
		_, err := io.WriteString(nc, "HTTP/1.1 "+code+" X\r\nContent-Length: 1\r\n\r\nx")
		return err == nil
	}))
	o := options(t, r.url())
	o.Concurrency = 3
	c := newTestClient(t, o)
	var all sync.WaitGroup
	for worker := range 12 {
		all.Go(func() {
			for i := range 50 {
				req := request()
				req.Attempt = worker + i
				got := checked(t, c.Do(context.Background(), req))
				if want := [...]int{200, 500}[req.Attempt%2]; got.Status != want {
					t.Errorf("attempt %d: %+v", req.Attempt, got)
				}
			}
		})
	}
	all.Wait()
	wireOf(c).pool.mu.Lock()
	defer wireOf(c).pool.mu.Unlock()
	if n := len(wireOf(c).pool.idle); n > 3 || n == 0 {
		t.Errorf("%d idle connections", n)
	}
}

// Close ends what is idle; the client goes on without keeping.
func TestClose(t *testing.T) {
	r := newReceiver(t, says(answer200, false))
	c := newTestClient(t, options(t, r.url()))
	do(t, c, 2, Success)
	c.Close()
	c.Close()
	do(t, c, 2, Success)
	if n := r.conns.Load(); n != 3 {
		t.Errorf("%d connections, want 1 before Close and 2 after", n)
	}
}

// What is idle is closed, and for a while nothing becomes idle; then connections are kept again.
func TestCloseIdle(t *testing.T) {
	r := newReceiver(t, says(answer200, false))
	c := newTestClient(t, options(t, r.url()))
	f := func(want int64) {
		t.Helper()
		wantKind(t, checked(t, c.Do(context.Background(), request())), Success, "")
		if n := r.conns.Load(); n != want {
			t.Errorf("%d connections, want %d", n, want)
		}
	}
	idle := func(want int) {
		t.Helper()
		wireOf(c).pool.mu.Lock()
		defer wireOf(c).pool.mu.Unlock()
		if len(wireOf(c).pool.idle) != want {
			t.Errorf("%d idle connections, want %d", len(wireOf(c).pool.idle), want)
		}
	}
	f(1)
	f(1)
	idle(1)
	c.CloseIdle(time.Hour)
	idle(0)
	f(2)
	idle(0)
	f(3)
	c.CloseIdle(0)
	f(4)
	f(4)
	idle(1)
}
