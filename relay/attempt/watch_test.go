package attempt

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// counted is a context that counts who waits for its end.
type counted struct {
	context.Context
	done chan struct{}

	mu      sync.Mutex // guards below
	err     error
	waiting map[int]func()
	all     int
}

func newCounted() *counted {
	return &counted{Context: context.Background(), done: make(chan struct{}),
		waiting: map[int]func(){}}
}

func (c *counted) Done() <-chan struct{} { return c.done }

func (c *counted) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc is what context.AfterFunc asks for.
func (c *counted) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := c.all
	c.all++
	c.waiting[n] = f
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, ok := c.waiting[n]
		delete(c.waiting, n)
		return ok
	}
}

func (c *counted) cancel() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.err = context.Canceled
	close(c.done)
	for n, f := range c.waiting {
		delete(c.waiting, n)
		go f()
	}
}

func (c *counted) want(t *testing.T, all, waiting int) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all != all || len(c.waiting) != waiting {
		t.Errorf("the context was waited for %d times, %d wait; want %d, %d", c.all, len(c.waiting),
			all, waiting)
	}
}

// A connection waits for the context of its last request, once for many requests, and not after it
// was closed. What a context's end means to a connection that is idle is nothing.
func TestWatch(t *testing.T) {
	var hang atomic.Bool
	hung := make(chan struct{})
	r := newReceiver(t, each(func(nc net.Conn, _ *http.Request, _ []byte) bool {
		if hang.Load() {
			hung <- struct{}{}
			untilClosed(nc)
			return false
		}
		_, err := io.WriteString(nc, answer200)
		return err == nil
	}))
	c := newTestClient(t, options(t, r.url()))
	f := func(ctx context.Context, want Kind, conns int64) {
		t.Helper()
		wantKind(t, checked(t, c.Do(ctx, request())), want, "")
		if n := r.conns.Load(); n != conns {
			t.Errorf("%d connections, want %d", n, conns)
		}
	}
	one, two := newCounted(), newCounted()
	f(one, Success, 1)
	f(one, Success, 1)
	one.want(t, 2, 1) // the dial did as well
	f(two, Success, 1)
	one.want(t, 2, 0)
	two.want(t, 1, 1)
	f(one, Success, 1)
	one.cancel()
	f(two, Success, 1)
	f(context.Background(), Success, 1)
	two.want(t, 2, 0)
	f(one, Aborted, 1)

	// in the middle of a request, the second of its context
	f(two, Success, 1)
	hang.Store(true)
	go func() {
		<-hung
		two.cancel()
	}()
	f(two, Aborted, 1)
	hang.Store(false)
	three := newCounted()
	f(three, Success, 2)
	three.want(t, 2, 1)
	c.Close()
	three.want(t, 2, 0)
}

// A context that ends while its connection is idle, just before a request begins.
func TestWatchTooLate(t *testing.T) {
	r := newReceiver(t, untilClosed)
	nc, err := net.Dial("tcp", r.listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	pc := newConn(newSocket(nc.(*net.TCPConn)), nil)
	defer pc.close()
	ctx := newCounted()
	pc.watch(ctx)
	if !pc.rest() {
		t.Error("aborted by nobody")
	}
	ctx.cancel()
	<-pc.ended
	pc.watch(ctx)
	if _, err := pc.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || pc.rest() {
		t.Errorf("%v, and not aborted", err)
	}
}

// Contexts that end at any moment: an attempt is aborted or it is none of its business, nobody waits
// for ever, and no attempt is aborted by the context of another.
func TestWatchRaces(t *testing.T) {
	r := newReceiver(t, says(answer200, false))
	c := newTestClient(t, options(t, r.url()))
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 300 {
				ctx, cancel := context.WithCancel(context.Background())
				wait := time.Duration((i*7+worker)%40) * 10 * time.Microsecond
				timer := time.AfterFunc(wait, cancel)
				for range 3 {
					got := checked(t, c.Do(ctx, request()))
					if got.Kind != Success && (got.Kind != Aborted || ctx.Err() == nil) {
						t.Errorf("outcome %v %q", got.Kind, got.Error)
					}
				}
				timer.Stop()
				cancel()
				if got := checked(t, c.Do(context.Background(), request())); got.Kind != Success {
					t.Errorf("outcome %v %q without a cancel", got.Kind, got.Error)
				}
			}
		})
	}
	all.Wait()
}
