package attempt

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/port"
)

func TestKindString(t *testing.T) {
	want := "unknown success status timeout connect dns tls protocol aborted withheld auth transform " +
		"unknown"
	var got []string
	for k := range kinds + 1 {
		got = append(got, k.String())
	}
	if strings.Join(got, " ") != want {
		t.Errorf("kinds %q, want %q", got, want)
	}
	for _, k := range []Kind{0, Aborted, Withheld, Auth, Transform, kinds} {
		if k.Made() {
			t.Errorf("%v counts", k)
		}
	}
	for k := Success; k <= Protocol; k++ {
		if !k.Made() {
			t.Errorf("%v does not count", k)
		}
	}
}

// What targets answer, each over a real connection, with the verdict.
func TestAnswerVerdicts(t *testing.T) {
	f := func(answer string, want Kind, words string) {
		t.Helper()
		r := newReceiver(t, says(answer, true))
		o := attemptAt(t, options(t, r.url()))
		wantKind(t, o, want, words)
		if o.Remote != r.listener.Addr().String() {
			t.Errorf("remote %q, want %v", o.Remote, r.listener.Addr())
		}
		if n := r.conns.Load(); n != 1 {
			t.Errorf("%q: %d connections, want 1", answer, n)
		}
	}
	// plain success, without reason, with body to the end of the connection, HTTP/1.0
	f(answer200, Success, "")
	f("HTTP/1.1 200\r\n\r\n", Success, "")
	f("HTTP/1.0 200 OK\r\n\r\nbody", Success, "")
	// lines that end in LF alone; an obsolete fold; a field name with a space after it
	f("HTTP/1.1 200 OK\nContent-Length: 0\n\n", Success, "")
	f("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 0\r\n\r\n", Success, "")
	f("HTTP/1.1 200 OK\r\nX : a\r\n\r\n", Success, "")
	// the head says 200, so whatever the body is or lacks
	f("HTTP/1.1 200 OK\r\nContent-Length: 3000000000\r\n\r\nx", Success, "")
	f("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999999\r\n\r\nx", Success, "")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", Success, "")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab", Success, "")
	f("HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope", Success, "")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nx", Success, "")
	f("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 9\r\n\r\n0\r\n\r\n",
		Success, "")
	f("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", Success, "")
	// interim answers are not it
	f("HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"+answer200, Success, "")
	working := "HTTP/1.1 102 Processing\r\n\r\n"
	f(strings.Repeat(working, 9)+answer200, Success, "")
	f(strings.Repeat(working, interimBytesMax/len(working))+answer200, Success, "")
	f(strings.Repeat(working, interimBytesMax/len(working)+1)+answer200,
		Protocol, "the interim answers exceed 256 KiB")
	f("HTTP/1.1 103 Early Hints\r\n\r\n", Protocol, "the target closed the connection")
	f("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n", Protocol, "switched protocols")
	// not HTTP, or not quite
	f("", Protocol, "the target closed the connection")
	f("HTTP/1.1 200 OK\r\nContent-Le", Protocol, "the target closed the connection")
	f("HTTP/1.1 200 OK\r\n", Protocol, "the target closed the connection")
	f("garbage\r\n\r\n", Protocol, "not HTTP/1")
	f("SSH-2.0-OpenSSH_9.9\r\n", Protocol, "not HTTP/1")
	f("\r\nHTTP/1.1 200 OK\r\n\r\n", Protocol, "not HTTP/1")
	f("HTTP/2 200\r\n\r\n", Protocol, "not HTTP/1")
	f("\x15\x03\x01\x00\x02\x02\x16", Protocol, "use https")
	f("HTTP/1.1 abc\r\n\r\n", Protocol, "status line")
	f("HTTP/1.1 20\r\n\r\n", Protocol, "status line")
	f("HTTP/1.1 2000 OK\r\n\r\n", Protocol, "status line")
	f("HTTP/1.1 020 OK\r\n\r\n", Protocol, "status line")
	f("HTTP/1.1 -20 OK\r\n\r\n", Protocol, "status line")
	f("HTTP/1.1  200 OK\r\n\r\n", Protocol, "status line")
	f("HTTP/1.1 200 O\x00K\r\n\r\n", Protocol, "status line")
	f("HTTP/1.x 200 OK\r\n\r\n", Protocol, "status line")
	f("HTTP/1.1 200 OK\r\nno colon\r\n\r\n", Protocol, "header line")
	f("HTTP/1.1 200 OK\r\n: x\r\n\r\n", Protocol, "header line")
	f("HTTP/1.1 200 OK\r\n folded\r\n\r\n", Protocol, "header line")
	f("HTTP/1.1 200 OK\r\nA: b\rC: d\r\n\r\n", Protocol, "header line")
	f("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", Protocol,
		"Content-Length")
	f("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", Protocol, "Content-Length")
	f("HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n", Protocol, "Content-Length")
	f("HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\n", Protocol, "Content-Length")
	// HTTP/2 said by name: the SETTINGS that a server begins with, and a GOAWAY alone
	f("\x00\x00\x12\x04\x00\x00\x00\x00\x00\x00\x03\x00\x00\x00\x64", Protocol,
		"the answer is HTTP/2, and `http` is")
	f("\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01", Protocol,
		"the answer is HTTP/2")
	f("\x00\x00\x08\x08", Protocol, "not HTTP/1")
	f("\x00", Protocol, "not HTTP/1")
}

// Every status is a Status but 200; none is followed.
func TestEveryStatus(t *testing.T) {
	var visits atomic.Int64
	elsewhere := newReceiver(t, each(func(net.Conn, *http.Request, []byte) bool {
		visits.Add(1)
		return false
	}))
	var status atomic.Int64
	r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		_, err := fmt.Fprintf(nc, "HTTP/1.1 %d X\r\nLocation: %s\r\nContent-Length: 0\r\n\r\n",
			status.Load(), elsewhere.url())
		return err == nil
	}))
	c := newTestClient(t, options(t, r.url()))
	for code := 200; code <= 999; code++ {
		status.Store(int64(code))
		o := checked(t, c.Do(context.Background(), request()))
		if o.Status != code || (o.Kind == Success) != (code == 200) {
			t.Errorf("status %d: outcome %v %d %q", code, o.Kind, o.Status, o.Error)
		}
		if o.Kind != Success && !strings.HasPrefix(o.Error, fmt.Sprintf("answered %d", code)) {
			t.Errorf("status %d: error %q", code, o.Error)
		}
	}
	if visits.Load() != 0 || elsewhere.conns.Load() != 0 {
		t.Errorf("%d redirects followed", elsewhere.conns.Load())
	}
	if n := r.conns.Load(); n != 1 {
		t.Errorf("%d connections for 800 clean answers, want 1", n)
	}
	status.Store(204)
	wantKind(t, checked(t, c.Do(context.Background(), request())), Status, `; success = ["2xx"] would take it`)
	status.Store(302)
	wantKind(t, checked(t, c.Do(context.Background(), request())), Status, "302 Found; redirects")
}

func TestSuccessOption(t *testing.T) {
	r := newReceiver(t, says("HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n", false))
	o := options(t, r.url())
	o.Success = func(status int) bool { return status/100 == 2 }
	got := attemptAt(t, o)
	if got.Kind != Success || got.Status != 202 {
		t.Errorf("outcome %+v", got)
	}
}

func TestConnectRefused(t *testing.T) {
	nobody, err := port.Free()
	if err != nil {
		t.Fatal(err)
	}
	o := attemptAt(t, options(t, "http://user:hunter2hunter2@"+nobody+"/p?token=abcdefgh"))
	wantKind(t, o, Connect, nobody+": connect: connection refused")
	for _, secret := range []string{"hunter2", "token", "abcdefgh", "user"} {
		if strings.Contains(o.Error, secret) {
			t.Errorf("error shows %q: %s", secret, o.Error)
		}
	}
	if o.Remote != "" {
		t.Errorf("remote %q without a connection", o.Remote)
	}
}

func TestDNS(t *testing.T) {
	f := func(resolve resolverFunc, timeout time.Duration, want Kind, words string) {
		t.Helper()
		o := options(t, "http://crm.example.com/")
		o.Resolver, o.Timeout = resolve, timeout
		wantKind(t, attemptAt(t, o), want, words)
	}
	// the name does not exist
	f(func(_ context.Context, host string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}, testTimeout, DNS, "no such host")
	// the server does not answer the resolver, and our deadline is far
	f(func(_ context.Context, host string) ([]netip.Addr, error) {
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	}, testTimeout, DNS, "i/o timeout")
	// no addresses and no error
	f(func(context.Context, string) ([]netip.Addr, error) {
		return nil, nil
	}, testTimeout, DNS, "no address")
	// our deadline ends the lookup
	f(func(ctx context.Context, host string) ([]netip.Addr, error) {
		<-ctx.Done()
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	}, 50*time.Millisecond, Timeout, "cannot resolve crm.example.com: not done within 50ms")
}

// The system's resolver is asked for a name that cannot be one, as its first label has more than 63
// bytes, so that no name server hears of it.
func TestDefaultResolver(t *testing.T) {
	o := options(t, "http://"+strings.Repeat("n", 64)+".invalid/")
	if got := attemptAt(t, o); got.Kind != DNS || !strings.Contains(got.Error, "no such host") {
		t.Errorf("outcome %v %q", got.Kind, got.Error)
	}
}

func TestReset(t *testing.T) {
	f := func(serve func(net.Conn), early bool) {
		t.Helper()
		r := newReceiver(t, serve)
		o := attemptAt(t, options(t, r.url()))
		if early && o.Kind == Connect {
			o.Kind = Protocol // the kernel may tell us of the reset at the end of connect
		}
		wantKind(t, o, Protocol, "the target reset the connection")
		if n := r.conns.Load(); n != 1 {
			t.Errorf("%d connections: a fresh one must not be redialled", n)
		}
	}
	rst := func(nc net.Conn) { nc.(*net.TCPConn).SetLinger(0) }
	// before the request was read
	f(rst, true)
	// after it
	f(each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		rst(nc)
		return false
	}), false)
	// after half a head: what came in before may be lost with the reset
	f(each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		io.WriteString(nc, "HTTP/1.1 200 OK\r\n")
		rst(nc)
		return false
	}), false)
}

// What never ends, and the bound on it.
func TestTimeouts(t *testing.T) {
	t.Parallel()
	// It leaves time to connect and to write on a busy machine: some of the words tell how far it was.
	const timeout = 1500 * time.Millisecond
	stop := make(chan struct{})
	f := func(name string, serve func(net.Conn), payload int, words string) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := options(t, newReceiver(t, serve).url())
			if payload > 10 {
				t.Cleanup(func() { close(stop) }) // before the receiver waits for its connections
			}
			o.Timeout = timeout
			c := newTestClient(t, o)
			r := request()
			r.Payload = make([]byte, payload)
			start := time.Now()
			got := checked(t, c.Do(context.Background(), r))
			took := time.Since(start)
			wantKind(t, got, Timeout, words)
			if got.Duration < timeout || took > testTimeout/2 {
				t.Errorf("took %v, duration %v, timeout %v", took, got.Duration, timeout)
			}
		})
	}
	f("says nothing", untilClosed, 10, "cannot read answer: not done within 1.5s")
	f("reads nothing", func(net.Conn) { <-stop }, 16<<20, "cannot write request: not done within 1.5s")
	f("drips the head", each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		return drip(nc, "HTTP/1.1 200 OK\r\n", "X-Y: z\r\n")
	}), 10, "cannot read answer")
	f("half a head", says("HTTP/1.1 200 OK\r\nX: y\r\n", false), 10, "cannot read answer")
	f("a late 200", each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		time.Sleep(timeout + 50*time.Millisecond)
		_, err := io.WriteString(nc, answer200)
		return err == nil
	}), 10, "cannot read answer")
	f("an interim answer that does not end", each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		return drip(nc, "HTTP/1.1 102 Processing\r\n", "X: y\r\n")
	}), 10, "cannot read answer")
	f("one interim answer after the other", each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		return drip(nc, "", "HTTP/1.1 102 Processing\r\n\r\n")
	}), 10, "cannot read answer")
}

// After a failure nothing goes on being sent in our name: the connection is reset.
func TestFailureResetsConnection(t *testing.T) {
	end := make(chan error, 1)
	o := options(t, newReceiver(t, func(nc net.Conn) {
		_, err := io.Copy(io.Discard, nc)
		end <- err
	}).url())
	o.Timeout = 100 * time.Millisecond
	wantKind(t, attemptAt(t, o), Timeout, "")
	if err := <-end; !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the target read %v, want a reset", err)
	}
}

// drip writes start and then piece again and again, until the client has enough.
func drip(nc net.Conn, start, piece string) bool {
	for _, err := io.WriteString(nc, start); err == nil; {
		time.Sleep(10 * time.Millisecond)
		_, err = io.WriteString(nc, piece)
	}
	return false
}

func TestContextDeadlineIsTimeout(t *testing.T) {
	r := newReceiver(t, untilClosed)
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	c := newTestClient(t, options(t, r.url()))
	wantKind(t, checked(t, c.Do(ctx, request())), Timeout, "")
	// and one that has passed already sends nothing
	conns := r.conns.Load()
	wantKind(t, checked(t, c.Do(ctx, request())), Timeout, "cannot begin attempt")
	if r.conns.Load() != conns {
		t.Error("connected after the deadline")
	}
}

// Our own stopping is Aborted in every phase: before, lookup, handshake, wait for the head.
func TestAborted(t *testing.T) {
	f := func(o Options, started <-chan struct{}) {
		t.Helper()
		c := newTestClient(t, o)
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		end := make(chan Outcome, 1)
		go func() { end <- c.Do(ctx, request()) }()
		<-started
		cancel()
		select {
		case got := <-end:
			wantKind(t, checked(t, got), Aborted, "aborted")
		case <-time.After(testTimeout / 2):
			t.Error("Do did not return")
			<-end
		}
		wantKind(t, checked(t, c.Do(ctx, request())), Aborted, "cannot begin attempt")
	}
	// the lookup
	started := make(chan struct{}, 4)
	o := options(t, "http://crm.example.com/")
	o.Resolver = resolverFunc(func(ctx context.Context, _ string) ([]netip.Addr, error) {
		started <- struct{}{}
		<-ctx.Done()
		return nil, ctx.Err()
	})
	f(o, started)
	// the handshake, the answer, half an answer
	serve := func(text string) func(net.Conn) {
		return func(nc net.Conn) {
			nc.Read(make([]byte, 1))
			io.WriteString(nc, text)
			started <- struct{}{}
			untilClosed(nc)
		}
	}
	f(options(t, strings.Replace(newReceiver(t, serve("")).url(), "http", "https", 1)), started)
	f(options(t, newReceiver(t, serve("")).url()), started)
	f(options(t, newReceiver(t, serve("HTTP/1.1 200 OK\r\n")).url()), started)
}

// A head that was complete before we stopped counts, and so does its duration.
func TestAbortAfterHeadKeepsOutcome(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		io.WriteString(nc, "HTTP/1.1 500 X\r\nContent-Length: 9\r\n\r\nhalf")
		untilClosed(nc)
		return false
	}))
	o := options(t, r.url())
	o.Success = func(int) bool { // called between the head and the body
		cancel()
		return false
	}
	got := checked(t, newTestClient(t, o).Do(ctx, request()))
	if got.Kind != Status || got.Status != 500 {
		t.Errorf("outcome %+v", got)
	}
}

func TestIsClosed(t *testing.T) {
	f := func(err error, want bool) {
		t.Helper()
		if isClosed(err) != want {
			t.Errorf("isClosed(%v) = %v", err, !want)
		}
	}
	f(io.EOF, true)
	f(&net.OpError{Err: os.NewSyscallError("read", errors.New("x"))}, false)
	f(os.ErrDeadlineExceeded, false)
}

func TestPrintable(t *testing.T) {
	f := func(in, want string) {
		t.Helper()
		if got := printable(in); got != want {
			t.Errorf("printable(%q) = %q, want %q", in, got, want)
		}
	}
	f("plain text", "plain text")
	f("a\r\nb\x00\x1b[31m\u202e\xff", "a??b??[31m??")
	f(strings.Repeat("é", 200), strings.Repeat("é", 126)+"…")
}
