package attempt

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// peer2 speaks HTTP/2 without TLS, frame by frame, as a test says.
type peer2 struct {
	net.Conn
	nth int // connection
}

func (p peer2) write(kind, flags byte, stream uint32, body string) bool {
	head := make([]byte, frameHeaderBytes)
	head[0], head[1], head[2] = byte(len(body)>>16), byte(len(body)>>8), byte(len(body))
	head[3], head[4] = kind, flags
	binary.BigEndian.PutUint32(head[5:], stream)
	_, err := p.Write(append(head, body...))
	return err == nil
}

// The frames that the tests write.
func (p peer2) ok(stream uint32) bool { return p.write(1, 5, stream, "\x88") } // :status 200, the end
func (p peer2) rst(stream, code uint32) bool {
	return p.write(3, 0, stream, string(binary.BigEndian.AppendUint32(nil, code)))
}
func (p peer2) goAway(last, code uint32, text string) bool {
	b := binary.BigEndian.AppendUint32(nil, last)
	return p.write(7, 0, 0, string(binary.BigEndian.AppendUint32(b, code))+text)
}

// peers2 are what the connections of a target did.
type peers2 struct {
	settings string
	// slow is how long SETTINGS are held back, early how many requests had come by then.
	slow            time.Duration
	requests, early atomic.Int64
	conns           atomic.Int64
	// reply answers a request that has come whole; whether to go on is what it returns.
	reply func(p peer2, stream uint32) bool
}

// serve is one connection.
func (s *peers2) serve(nc net.Conn) {
	p := peer2{nc, int(s.conns.Add(1))}
	if _, err := io.ReadFull(nc, make([]byte, len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))); err != nil {
		return
	}
	var waiting []uint32
	if s.slow > 0 {
		_ = nc.SetReadDeadline(time.Now().Add(s.slow))
		for {
			kind, flags, stream, err := p.read()
			if err != nil {
				break
			}
			if kind == 1 {
				s.early.Add(1)
			}
			if kind < 2 && flags&1 != 0 {
				waiting = append(waiting, stream)
			}
		}
		_ = nc.SetReadDeadline(time.Time{})
	}
	s.requests.Add(int64(len(waiting)))
	p.write(frameSettings, 0, 0, s.settings)
	for _, stream := range waiting {
		s.reply(p, stream)
	}
	for {
		kind, flags, stream, err := p.read()
		switch {
		case err != nil:
			return
		case kind == frameSettings && flags&1 == 0:
			p.write(frameSettings, 1, 0, "")
		case kind == 1:
			s.requests.Add(1)
		}
		if kind < 2 && flags&1 != 0 && !s.reply(p, stream) {
			return
		}
	}
}

// read reads a frame and passes over what it holds.
func (p peer2) read() (kind, flags byte, stream uint32, err error) {
	head := make([]byte, frameHeaderBytes)
	if _, err = io.ReadFull(p, head); err == nil {
		_, err = io.CopyN(io.Discard, p, int64(head[0])<<16|int64(binary.BigEndian.Uint16(head[1:])))
	}
	return head[3], head[4], binary.BigEndian.Uint32(head[5:]), err
}

// One attempt is one request, whatever the target says of it, and whether there is a payload or
// none. Only what it left on a connection kept from before, and says so, goes over another one.
func TestHTTP2Once(t *testing.T) {
	f := func(what string, want []Kind, words string, requests int64,
		reply func(p peer2, stream uint32) bool) {
		t.Helper()
		for _, payload := range []string{"", `{"id":1}`} {
			peers := &peers2{reply: reply}
			server, seen := newReceiver(t, peers.serve), &peers.requests
			o := options(t, server.url()+"?token=very-secret-token")
			o.HTTP = "2"
			c := newTestClient(t, o)
			for _, kind := range want {
				r := request()
				r.Payload = []byte(payload)
				out := checked(t, c.Do(context.Background(), r))
				if out.Kind != kind || kind != Success && !strings.Contains(out.Error, words) {
					t.Errorf("%s, payload %q: %v %q; want %v", what, payload, out.Kind, out.Error, kind)
				}
				if strings.Contains(out.Error, "secret") {
					t.Errorf("%s: %q", what, out.Error)
				}
			}
			if seen.Load() != requests {
				t.Errorf("%s, payload %q: %d requests, want %d", what, payload, seen.Load(), requests)
			}
		}
	}
	lost, won := []Kind{Protocol}, []Kind{Success, Success}
	f("a refusal", lost, "reset the stream (REFUSED_STREAM)", 1, func(p peer2, s uint32) bool {
		return p.rst(s, 7)
	})
	f("a refusal on a kept connection", []Kind{Success, Protocol}, "REFUSED_STREAM", 2,
		func(p peer2, s uint32) bool {
			if s == 1 {
				return p.ok(s)
			}
			return p.rst(s, 7)
		})
	f("a reset", lost, "(INTERNAL_ERROR)", 1, func(p peer2, s uint32) bool { return p.rst(s, 2) })
	f("a code of nobody's", lost, "unknown code", 1, func(p peer2, s uint32) bool {
		return p.rst(s, 99)
	})
	f("a GOAWAY on a new connection", lost, "GOAWAY", 1, func(p peer2, s uint32) bool {
		return p.goAway(0, 0, "")
	})
	f("an angry GOAWAY on a new connection", lost, "GOAWAY, ENHANCE_YOUR_CALM", 1,
		func(p peer2, s uint32) bool { return p.goAway(0, 11, "very-secret-token") })
	f("a GOAWAY with the request taken, then the end", lost, "GOAWAY, NO_ERROR", 1,
		func(p peer2, s uint32) bool {
			p.goAway(s, 0, "very-secret-token")
			return false
		})
	f("a GOAWAY with the request taken, then the answer", won, "", 2, func(p peer2, s uint32) bool {
		return p.goAway(s, 0, "") && p.ok(s)
	})
	f("a request left on a kept connection", won, "", 3, func(p peer2, s uint32) bool {
		if p.nth == 1 && s > 1 {
			return p.goAway(1, 0, "")
		}
		return p.ok(s)
	})
	f("a request left again and again", []Kind{Success, Protocol}, "did not take the request", 3,
		func(p peer2, s uint32) bool {
			if p.nth == 1 && s == 1 {
				return p.ok(s)
			}
			return p.goAway(s-1, 0, "")
		})
	f("the end instead of an answer", lost, "the connection", 1, func(peer2, uint32) bool {
		return false
	})
	f("the end instead of a second answer", []Kind{Success, Protocol}, "the connection", 2,
		func(p peer2, s uint32) bool { return s == 1 && p.ok(s) })
	f("no status", lost, "not HTTP/2", 1, func(p peer2, s uint32) bool {
		return p.write(1, 5, s, "\x86")
	})
	f("a frame of nobody's", lost, "", 1, func(p peer2, s uint32) bool {
		return p.write(0, 0, 77, "unasked")
	})
}

// A target that ends connections as fast as others fill them leaves a request on one after the other.
// That costs no attempt: in the end the request goes first, over a connection of its own.
func TestHTTP2LeftByMany(t *testing.T) {
	const two = "\x00\x03\x00\x00\x00\x02" // MAX_CONCURRENT_STREAMS
	came, leave, hold := make(chan peer2), make(chan bool), make(chan bool)
	peers := &peers2{settings: two, reply: func(p peer2, s uint32) bool {
		switch {
		case s > 1: // the second on a connection, after one that is not answered yet
			came <- p
			<-leave
			return p.goAway(1, 0, "")
		case p.nth <= leftMax+1:
			hold <- true
			return true
		}
		return p.ok(s)
	}}
	o := options(t, newReceiver(t, peers.serve).url())
	o.HTTP, o.Concurrency = "2", leftMax+2
	c := newTestClient(t, o)
	others := make(chan Outcome, leftMax+1)
	fill := func() {
		go func() { others <- c.Do(context.Background(), request()) }()
		<-hold
	}
	fill()
	mine := make(chan Outcome, 1)
	go func() { mine <- c.Do(context.Background(), request()) }()
	var ended []peer2
	for range leftMax {
		ended = append(ended, <-came)
		fill() // on the next connection, where there is a place beside it
		leave <- true
	}
	select {
	case p := <-came:
		ended = append(ended, p)
		t.Errorf("it went beside another request %d times", len(ended))
		leave <- true
		<-mine
	case out := <-mine:
		wantKind(t, checked(t, out), Success, "")
	}
	for _, p := range ended {
		p.ok(1)
		wantKind(t, checked(t, <-others), Success, "")
	}
	if n := peers.conns.Load(); n != leftMax+2 {
		t.Errorf("%d connections", n)
	}
}

// What does not speak HTTP/2 is told by what it says.
func TestHTTP2Strangers(t *testing.T) {
	t.Parallel()
	f := func(says, words string) {
		t.Helper()
		o := options(t, newReceiver(t, func(nc net.Conn) {
			_, _ = io.ReadFull(nc, make([]byte, 24))
			_, _ = io.WriteString(nc, says)
			untilClosed(nc)
		}).url())
		o.HTTP, o.Timeout = "2", 2*time.Second
		kind := Protocol
		if words == "not done within" {
			kind = Timeout
		}
		wantKind(t, attemptAt(t, o), kind, words)
	}
	f("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", "the answer is HTTP/1, and `http` is")
	f("\x15\x03\x01\x00\x02\x02\x0a", "the port speaks TLS")
	f("220 smtp.example.com ESMTP\r\n", "not HTTP/2")
	f("\x00\x00\x00\x07\x00\x00\x00\x00\x00", "not HTTP/2")
	f("\x00\x40\x06\x04\x00\x00\x00\x00\x00", "not HTTP/2")
	f("", "not done within")
	f("\x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x03", "not done within")
}

// Limits are waited for: a target that takes one request at once is sent one at once, over more
// connections if need be, and refuses none.
func TestHTTP2Limits(t *testing.T) {
	const one = "\x00\x03\x00\x00\x00\x01" // MAX_CONCURRENT_STREAMS
	peers := &peers2{settings: one, slow: 30 * time.Millisecond,
		reply: func(p peer2, s uint32) bool { return p.ok(s) }}
	server, seen := newReceiver(t, peers.serve), &peers.requests
	o := options(t, server.url())
	o.HTTP, o.Concurrency = "2", 16
	c := newTestClient(t, o)
	outs := make(chan Outcome)
	for range 16 {
		go func() {
			for range 10 {
				outs <- c.Do(context.Background(), request())
			}
		}()
	}
	for range 160 {
		wantKind(t, checked(t, <-outs), Success, "")
	}
	if n := peers.early.Load(); n > peers.conns.Load() {
		t.Errorf("%d requests before the limits of %d connections were known", n, peers.conns.Load())
	}
	if seen.Load() != 160 || server.conns.Load() > 33 {
		t.Errorf("%d requests over %d connections", seen.Load(), server.conns.Load())
	}
}

// A target that does not read cannot hold an attempt beyond its time, nor one that is stopped.
func TestHTTP2Unread(t *testing.T) {
	t.Parallel()
	stop := make(chan struct{})
	defer close(stop)
	r := newReceiver(t, func(nc net.Conn) {
		_ = nc.(*net.TCPConn).SetReadBuffer(4096)
		p := peer2{nc, 1}
		p.write(frameSettings, 0, 0, "\x00\x04\x7f\xff\xff\xff") // as much of a stream as it likes
		p.write(8, 0, 0, "\x7f\x00\x00\x00")                     // and of the connection
		<-stop
	})
	o := options(t, r.url())
	o.HTTP, o.Timeout = "2", 500*time.Millisecond
	c := newTestClient(t, o)
	big := request()
	big.Payload = make([]byte, 16<<20)
	began := time.Now()
	wantKind(t, checked(t, c.Do(context.Background(), big)), Timeout, "not done within")
	if took := time.Since(began); took > testTimeout/2 {
		t.Errorf("it took %v", took)
	}
}

// What options cannot go together.
func TestHTTPVersions(t *testing.T) {
	for version, url := range map[string]string{"auto": "http://a/", "3": "https://a/"} {
		o := options(t, url)
		o.HTTP = version
		if _, err := NewClient(o); err == nil {
			t.Errorf("%q with %s is taken", version, url)
		}
	}
}
