package attempt

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"
)

// A kept connection has the deadline of an earlier request, which is met before the one of this
// request is due: the attempt goes on, and ends when it should. Where the attempt is to end before
// its own deadline, that one is far, and the receiver has the earlier one be met.
func TestDeadlineOfEarlierRequest(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t)
	config := &tls.Config{Certificates: []tls.Certificate{ca.issue(time.Now().Add(time.Hour))}}
	// second is the second request, as its receiver sees it.
	type second struct {
		conn   net.Conn
		meet   func() // has the earlier deadline be met now
		cancel func()
	}
	f := func(name string, secure bool, payload int, timeout time.Duration, next func(second) bool,
		want Kind) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			ended, kept := make(chan struct{}), make(chan *socket, 1)
			var n atomic.Int64
			r := newReceiver(t, func(nc net.Conn) {
				stream := nc
				if secure {
					stream = tls.Server(nc, config)
				}
				each(func(_ net.Conn, _ *http.Request, _ []byte) bool {
					if n.Add(1) == 1 {
						io.WriteString(stream, answer200)
						if payload > 0 {
							<-ended
						}
						return true
					}
					meet := func() { (<-kept).SetDeadline(longAgo()) }
					return next(second{stream, meet, cancel})
				})(stream)
			})
			t.Cleanup(func() { close(ended) })
			o := options(t, r.url())
			if secure {
				o = options(t, r.secureURL())
				o.RootCAs = ca.pool
			}
			c := newTestClient(t, o)
			do(t, c, 1, Success)
			c.timeout = timeout
			s := wireOf(c).pool.idle[0].socket
			s.shorten(time.Now().Add(timeout * 6 / 10))
			kept <- s
			req := request()
			req.Payload = make([]byte, payload)
			got := checked(t, c.Do(ctx, req))
			wantKind(t, got, want, "")
			if want == Timeout && got.Duration < timeout {
				t.Errorf("%v after %v; its time was %v", got.Kind, got.Duration, timeout)
			}
			if r.conns.Load() != 1 || got.Duration > testTimeout/2 {
				t.Errorf("%d connections, %v", r.conns.Load(), got.Duration)
			}
		})
	}
	hang := func(r second) bool {
		untilClosed(r.conn)
		return false
	}
	late := func(r second) bool {
		r.meet()
		_, err := io.WriteString(r.conn, answer200)
		return err == nil
	}
	abort := func(r second) bool {
		r.meet()
		r.cancel()
		return hang(r)
	}
	const soon = 600 * time.Millisecond
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		f(name+" waits", secure, 0, soon, hang, Timeout)
		f(name+" writes", secure, 16<<20, soon, hang, Timeout)
		f(name+" hears late", secure, 0, testTimeout, late, Success)
		f(name+" aborted", secure, 0, testTimeout, abort, Aborted)
	}
}

// When the deadline is moved: not while it leaves half of the time, never so that it is too late,
// and not against an abort.
func TestExpect(t *testing.T) {
	r := newReceiver(t, untilClosed)
	nc, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(nc.(*net.TCPConn))
	defer s.Close()
	now := time.Now()
	f := func(at, until, want time.Duration) {
		t.Helper()
		s.expect(now.Add(at), now.Add(until))
		if got := s.armed.Sub(now); got != want || s.until.Sub(now) != until {
			t.Errorf("the deadline is %v, for one at %v; want %v", got, until, want)
		}
	}
	f(0, 10*time.Second, 10*time.Second)
	f(5*time.Second, 15*time.Second, 10*time.Second)
	f(6*time.Second, 16*time.Second, 16*time.Second)
	f(7*time.Second, 15*time.Second, 15*time.Second)
	f(20*time.Second, 30*time.Second, 30*time.Second)
	s.shorten(now.Add(21 * time.Second))
	f(21*time.Second, 31*time.Second, 31*time.Second)

	s.shorten(now.Add(-time.Second))
	s.until = now.Add(time.Hour)
	s.aborted.Store(true)
	for range 2 {
		if _, err := s.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v after an abort", err)
		}
	}
}

// A target that speaks before it is asked, on a fresh connection: its word is read and not waited
// for once more.
func TestGreeting(t *testing.T) {
	f := func(greeting string, want Kind, words string) {
		t.Helper()
		r := newReceiver(t, func(nc net.Conn) {
			io.WriteString(nc, greeting)
			untilClosed(nc)
		})
		pc, failed := wireOf(newTestClient(t, options(t, r.url()))).dialer.dial(context.Background())
		if failed != nil {
			t.Fatal(failed.err)
		}
		eventually(t, "the greeting", func() bool {
			heard := false
			pc.raw.Read(func(fd uintptr) bool {
				heard = peekReadable(fd)
				return true
			})
			return heard
		})
		c := newTestClient(t, options(t, r.url()))
		wireOf(c).pool.put(pc, time.Now())
		pc = wireOf(c).pool.take(time.Now(), time.Now().Add(testTimeout))
		pc.reused = false
		x := wireOf(c).buffers.get()
		x.h, x.call = wireOf(c), new(call)
		x.call.begin(c, request(), time.Now())
		h, fault := x.ask(pc)
		pc.close()
		if (fault == nil) != (want == Success) || fault != nil && fault.err.Error() != words {
			t.Errorf("%q: %+v, %+v", greeting, h, fault)
		}
	}
	f("220 mail.example ESMTP\r\n", Protocol, errNotHTTP.Error())
	f(answer200, Success, "")
}

// What is gathered is written when the next piece does not fit, and nothing is out of order.
func TestGather(t *testing.T) {
	got := make(chan string, 1)
	r := newReceiver(t, func(nc net.Conn) {
		text, _ := io.ReadAll(nc)
		got <- string(text)
	})
	nc, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(nc.(*net.TCPConn))
	defer s.Close()
	write := func(p string, held string) {
		t.Helper()
		n, err := s.Write([]byte(p))
		if n != len(p) || err != nil || string(s.gather) != held {
			t.Errorf("%d, %v, held %q; want %q", n, err, s.gather, held)
		}
	}
	write("1", "")
	s.gather = make([]byte, 0, 5)
	write("23", "23")
	write("456", "23456")
	write("7", "7")
	write("89abcdef", "")
	write("g", "g")
	if err := s.flush(); err != nil || len(s.gather) != 0 {
		t.Errorf("%v, held %q", err, s.gather)
	}
	s.gather = nil
	write("h", "")
	s.CloseWrite()
	if text := <-got; text != "123456789abcdefgh" {
		t.Errorf("%q arrived", text)
	}
}

// What has come is read although its time is over, as after the process stood still: as far as it
// is there, up to a bound, and not of an attempt that was aborted.
func TestReadLate(t *testing.T) {
	said := make(chan []byte)
	r := newReceiver(t, func(nc net.Conn) {
		for b := range said {
			_, _ = nc.Write(b)
		}
	})
	nc, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	s := newSocket(nc.(*net.TCPConn))
	defer s.Close()
	p := make([]byte, 2*lateBytesMax)
	over := time.Now().Add(-time.Hour)
	come := func(n int) {
		t.Helper()
		said <- make([]byte, n)
		eventually(t, "bytes", func() bool { return s.readable() })
	}
	f := func(what string, want int) {
		t.Helper()
		n, err := s.Read(p)
		if n != want || (want == 0) != errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%s: %d bytes, %v; want %d", what, n, err, want)
		}
	}
	s.shorten(over)
	f("nothing", 0)
	come(9)
	f("what has come", 9)
	f("no more", 0)
	s.late = lateBytesMax - 3
	come(9)
	f("up to a bound", 3)
	f("which is reached", 0)
	s.expect(time.Now(), time.Now().Add(time.Hour))
	f("within the time of another", 6)
	s.shorten(over)
	come(9)
	s.aborted.Store(true)
	f("of an attempt that was aborted", 0)
	close(said)
}

// readable reports whether there is anything to read.
func (s *socket) readable() (is bool) {
	s.SetReadDeadline(time.Time{})
	_ = s.raw.Read(func(fd uintptr) bool {
		is = peekReadable(fd)
		return true
	})
	s.SetReadDeadline(longAgo())
	return is
}
