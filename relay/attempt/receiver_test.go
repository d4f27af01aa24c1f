package attempt

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hookspool/hookspool/testenv/effort"
)

// attemptsAtOnce is how many tests run side by side: most wait for the end of a timeout.
const attemptsAtOnce = 6

func TestMain(m *testing.M) {
	effort.AtOnce(attemptsAtOnce)
	// Those that fasthttp, in the benchmarks, leaves asleep.
	goleak.VerifyTestMain(m,
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*HostClient).connsCleaner"),
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*TCPDialer).tcpAddrsClean"),
	)
}

// receiver is a target that does what a test says with each connection it gets.
type receiver struct {
	t        testing.TB
	listener net.Listener
	serve    func(nc net.Conn)
	conns    atomic.Int64 // connections accepted
	done     chan struct{}

	mu   sync.Mutex // guards open
	open map[net.Conn]bool
}

// newReceiver listens on a loopback port and calls serve for each connection, which is closed
// when serve returns or the test ends.
func newReceiver(t testing.TB, serve func(nc net.Conn)) *receiver {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	r := &receiver{
		t: t, listener: l, serve: serve, done: make(chan struct{}), open: map[net.Conn]bool{},
	}
	go r.accept()
	t.Cleanup(r.close)
	return r
}

func (r *receiver) accept() {
	defer close(r.done)
	var all sync.WaitGroup
	defer all.Wait()
	for {
		nc, err := r.listener.Accept()
		if err != nil {
			return
		}
		r.conns.Add(1)
		r.mu.Lock()
		r.open[nc] = true
		r.mu.Unlock()
		all.Go(func() {
			defer r.forget(nc)
			r.serve(nc)
		})
	}
}

func (r *receiver) forget(nc net.Conn) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.open, nc)
	nc.Close()
}

func (r *receiver) close() {
	r.listener.Close()
	r.mu.Lock()
	for nc := range r.open {
		nc.Close()
	}
	r.mu.Unlock()
	<-r.done
}

func (r *receiver) url() string { return "http://" + r.listener.Addr().String() + "/hook" }

// each serves the connections of a receiver request by request: reply gets a whole request
// and whether to go on is its answer.
func each(reply func(nc net.Conn, req *http.Request, body []byte) bool) func(net.Conn) {
	return func(nc net.Conn) {
		br := bufio.NewReader(nc)
		for {
			req, err := http.ReadRequest(br)
			if err != nil {
				return
			}
			body, err := io.ReadAll(req.Body)
			if err != nil || !reply(nc, req, body) {
				return
			}
		}
	}
}

// says answers every request with text and waits for the next; with hang-up it closes.
func says(text string, hangUp bool) func(net.Conn) {
	return each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		_, err := io.WriteString(nc, text)
		return err == nil && !hangUp
	})
}

const answer200 = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

// untilClosed blocks until the other side closes.
func untilClosed(nc net.Conn) { io.Copy(io.Discard, nc) }

// testTimeout is long enough for loaded machines; tests of timeouts set their own.
const testTimeout = 2 * time.Minute

func options(t testing.TB, rawURL string) Options {
	t.Helper()
	u, err := url.Parse(rawURL)
	if err != nil {
		t.Fatal(err)
	}
	return Options{Name: "crm", URL: u, Timeout: testTimeout, Concurrency: 4,
		UserAgent: "hookspool/test"}
}

func newTestClient(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := NewClient(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func request() *Request {
	return &Request{
		ID: "evt_1", Type: "message", ContentType: "application/json",
		Payload: []byte(`{"id":1}`), At: time.Unix(1614265330, 0),
	}
}

// attemptAt makes one attempt at a target, by a client of its own.
func attemptAt(t testing.TB, o Options) Outcome {
	t.Helper()
	return checked(t, newTestClient(t, o).Do(context.Background(), request()))
}

// checked fails the test when an Outcome breaks what its comments promise.
func checked(t testing.TB, o Outcome) Outcome {
	t.Helper()
	if o.Kind == 0 || o.Kind >= kinds || (o.Error == "") != (o.Kind == Success) {
		t.Errorf("kind %v with error %q", o.Kind, o.Error)
	}
	if len(o.Error) > errorBytesMax || o.Error != printable(o.Error) {
		t.Errorf("error is too long or not printable: %q", o.Error)
	}
	if len(o.Snippet) > snippetBytesMax+len(moreMark) || len(o.StatusLine) > errorBytesMax {
		t.Errorf("snippet %d bytes, status line %d bytes", len(o.Snippet), len(o.StatusLine))
	}
	if len(o.Request) > shownHeadMax+len(moreMark) || len(o.Response) > shownHeadMax+len(moreMark) ||
		o.Kind == Success && len(o.Request)+len(o.Response) > 0 {
		t.Errorf("kind %v with heads %q and %q", o.Kind, o.Request, o.Response)
	}
	if (o.Status != 0) != (o.Kind == Success || o.Kind == Status) {
		t.Errorf("kind %v with status %d", o.Kind, o.Status)
	}
	if o.Duration <= 0 {
		t.Errorf("duration %v", o.Duration)
	}
	return o
}

func wantKind(t testing.TB, o Outcome, want Kind, words string) {
	t.Helper()
	if o.Kind != want || !strings.Contains(o.Error, words) {
		t.Errorf("outcome %v %d %q, want %v with %q", o.Kind, o.Status, o.Error, want, words)
	}
}

// eventually waits for a condition of another goroutine.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(testTimeout)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("waited %v for %s", testTimeout, what)
		}
		time.Sleep(time.Millisecond)
	}
}

// resolverFunc is a Resolver made of a function.
type resolverFunc func(ctx context.Context, host string) ([]netip.Addr, error)

func (f resolverFunc) LookupNetIP(
	ctx context.Context, _, host string,
) ([]netip.Addr, error) {
	return f(ctx, host)
}

// resolvesTo answers every name with addrs.
func resolvesTo(addrs ...string) Resolver {
	return resolverFunc(func(context.Context, string) ([]netip.Addr, error) {
		var list []netip.Addr
		for _, a := range addrs {
			list = append(list, netip.MustParseAddr(a))
		}
		return list, nil
	})
}

func portOf(r *receiver) string {
	return fmt.Sprint(r.listener.Addr().(*net.TCPAddr).Port)
}

// wireOf is the transport of a client.
func wireOf(c *Client) *http1 { return c.transport.(*http1) }
