package attempt

import (
	"context"
	"errors"
	"net"
	"os"
	"syscall"
	"time"
)

// conn is one connection to a target. It belongs to one exchange or to the pool.
type conn struct {
	net.Conn              // what is read and written: tcp, or TLS over it
	tcp      *net.TCPConn // what is closed and watched
	raw      syscall.RawConn
	remote   string
	tlsText  string
	reused   bool
	idleFrom time.Time

	// abort and aborted serve context.AfterFunc; made once, because a closure per request is
	// an allocation per request.
	abort   func()
	aborted chan struct{}

	// peek and readable serve quiet; made once for the same reason.
	peek     func(fd uintptr) bool
	readable bool
}

// newConn wraps a fresh connection.
func newConn(tcp *net.TCPConn, nc net.Conn) *conn {
	pc := &conn{Conn: nc, tcp: tcp, remote: tcp.RemoteAddr().String()}
	pc.aborted = make(chan struct{})
	pc.abort = func() {
		pc.SetDeadline(longAgo())
		close(pc.aborted)
	}
	// A connection without a descriptor is a stranger to us; raw stays nil then, and quiet
	// takes the connection as alive.
	pc.raw, _ = tcp.SyscallConn()
	pc.peek = func(fd uintptr) bool {
		pc.readable = peekReadable(fd)
		return true
	}
	return pc
}

// longAgo is a deadline that makes reads and writes return at once.
func longAgo() time.Time { return time.Unix(1, 0) }

// watch arranges that a cancelled ctx cuts what pc waits for. Give what it returns to unwatch.
func (pc *conn) watch(ctx context.Context) (stop func() bool) {
	if ctx.Done() == nil {
		return nil
	}
	return context.AfterFunc(ctx, pc.abort)
}

// unwatch ends a watch, after which nothing of it runs any more. It is false when ctx was
// cancelled meanwhile, and then pc is of no use for another exchange.
func (pc *conn) unwatch(stop func() bool) bool {
	if stop == nil || stop() {
		return true
	}
	<-pc.aborted
	return false
}

// quiet reports whether an idle connection is still open with nothing to read, and gives it
// its next deadline. A byte there is an answer nobody asked for (a second one would be taken
// for the next request's), an alert, or the end. It never waits.
func (pc *conn) quiet(deadline time.Time) bool {
	if pc.Conn != net.Conn(pc.tcp) {
		// TLS may hold a record that it has read from the socket and not given out.
		pc.SetReadDeadline(longAgo())
		var b [1]byte
		n, err := pc.Read(b[:])
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return false
		}
	}
	pc.SetDeadline(deadline)
	return pc.raw == nil || pc.raw.Read(pc.peek) == nil && !pc.readable
}

// close closes without the TLS close_notify, for which crypto/tls would wait up to 5 s on a
// target that does not read. Requests are framed, so that nothing can be taken for the end.
func (pc *conn) close() { pc.tcp.Close() }

// reset closes and drops what was not sent yet. Without it the kernel would go on for
// minutes, and hold a megabyte each, for targets that do not read.
func reset(tcp *net.TCPConn) {
	tcp.SetLinger(0)
	tcp.Close()
}
