package attempt

import (
	"context"
	"crypto/tls"
	"errors"
	"sync/atomic"
	"time"
)

// conn is one connection to a target. It belongs to one exchange or to the pool.
type conn struct {
	*socket
	tls      *tls.Conn // nil: none lies on the socket
	remote   string
	tlsText  string
	reused   bool
	born     time.Time
	idleFrom time.Time

	// busy is set while an exchange may be aborted. done, of a context, says when, and stop ends
	// the waiting for that; ended is closed when it is told.
	busy   atomic.Bool
	done   <-chan struct{}
	stop   func() bool
	ended  chan struct{}
	onDone func()

	// step serves send; made once, because a closure per request is an allocation per request. The
	// rest is what it works on.
	step   func(fd uintptr) bool
	x      *exchange
	sent   bool // the request is on its way, or failed
	noisy  bool // there was something to read before
	failed error
	one    [1]byte
}

// errNoisy says that an idle connection is of no use any more: there is something to read, and
// nothing was asked, or it has ended. Nothing was sent.
var errNoisy = errors.New("the connection is not quiet")

// newConn wraps a fresh connection, and the TLS on it if there is any.
func newConn(s *socket, secure *tls.Conn) *conn {
	pc := &conn{socket: s, tls: secure, remote: s.RemoteAddr().String(), born: time.Now()}
	pc.ended = make(chan struct{})
	pc.onDone = func() {
		pc.abort()
		close(pc.ended)
	}
	pc.step = pc.stepOf
	return pc
}

// watch arranges that a cancelled ctx cuts what pc waits for, until rest. It stays arranged while
// pc is idle: the next exchange mostly has the same ctx, and arranging it costs two allocations and
// a lock that all attempts share.
func (pc *conn) watch(ctx context.Context) {
	if done := ctx.Done(); done != pc.done {
		pc.unwatch()
		if done != nil {
			pc.done, pc.stop = done, context.AfterFunc(ctx, pc.onDone)
		}
	}
	pc.busy.Store(true)
	if pc.done != nil && ctx.Err() != nil {
		pc.abort() // it was cancelled before pc was busy, and nobody tells that again
	}
}

// rest ends what watch began. It is false when ctx was cancelled meanwhile, and then pc is of no
// use for another exchange.
func (pc *conn) rest() bool {
	if pc.busy.CompareAndSwap(true, false) {
		return true
	}
	<-pc.ended
	return false
}

// unwatch forgets the ctx, after which nothing of it runs any more.
func (pc *conn) unwatch() {
	if pc.stop != nil && !pc.stop() {
		<-pc.ended
		pc.ended = make(chan struct{})
	}
	pc.done, pc.stop = nil, nil
}

// abort cuts what pc waits for, if it is busy.
func (pc *conn) abort() {
	if pc.busy.CompareAndSwap(true, false) {
		pc.aborted.Store(true) // before the deadline: early does it in the other order
		pc.SetDeadline(longAgo())
	}
}

// Read reads what the target says.
func (pc *conn) Read(p []byte) (int, error) {
	if pc.tls != nil {
		return pc.tls.Read(p)
	}
	return pc.socket.Read(p)
}

// write sends a request.
func (pc *conn) write(x *exchange) (err error) {
	switch {
	case pc.tls != nil && len(x.rest) > 0:
		err = pc.writeRecords(x)
	case pc.tls != nil:
		_, err = pc.tls.Write(x.out)
	case len(x.rest) > 0:
		x.pieces = [2][]byte{x.out, x.rest}
		x.vector = x.pieces[:]
		err = pc.writePieces(&x.vector)
	default:
		_, err = pc.socket.Write(x.out)
	}
	return err
}

// writeRecords sends a request of several records, for each of which crypto/tls makes a write.
func (pc *conn) writeRecords(x *exchange) error {
	if x.sealed == nil {
		x.sealed = make([]byte, 0, gatherBytes)
	}
	pc.gather = x.sealed
	_, err := pc.tls.Write(x.out)
	if err == nil {
		_, err = pc.tls.Write(x.rest)
	}
	if err == nil {
		err = pc.flush()
	}
	pc.gather = nil
	return err
}

// send has the request of x written and waits until the target says something, or cannot any more:
// what that is, the next Read tells. On a connection that was idle it is errNoisy if that is not
// quiet: a byte there is an answer nobody asked for (a second one would be taken for this
// request's), an alert, or the end. The look never waits.
//
// All is done in one turn of the poller, so that a look, a write and a read are the whole exchange.
// A Read of its own would try before it waits, in vain, since no answer is there as soon as the
// request is written; and it cannot do without trying, because it forgets what the poller told
// before. Here the look was that try: what comes after it is told.
func (pc *conn) send(x *exchange) error {
	if pc.reused && pc.tls != nil && pc.records.torn() && !pc.absorb() {
		return errNoisy
	}
	if !canPeek || pc.raw == nil {
		return pc.write(x)
	}
	err := pc.turn(x)
	if err == errNoisy && pc.tls != nil && pc.absorb() {
		err = pc.turn(x)
	}
	return err
}

// turn is one turn of send.
func (pc *conn) turn(x *exchange) error {
	pc.x, pc.sent, pc.noisy, pc.failed = x, false, false, nil
	err := pc.raw.Read(pc.step)
	for err != nil && pc.early(err) {
		err = pc.raw.Read(pc.step)
	}
	pc.x = nil
	switch {
	case pc.sent:
		return pc.failed // the wait's failure is the next Read's as well
	case pc.noisy:
		return errNoisy
	}
	return err
}

// stepOf is called by the poller at first, and when there is something to read; it waits for more
// until the answer is true.
func (pc *conn) stepOf(fd uintptr) bool {
	if pc.sent {
		return true
	}
	pc.noisy = peekReadable(fd)
	if pc.noisy && pc.reused {
		return true
	}
	pc.sent = true
	pc.failed = pc.write(pc.x)
	// What was there before the request is not told again.
	return pc.failed != nil || pc.noisy
}

// settled reports that TLS holds nothing that it has read and not given out: an answer nobody asked
// for, or the end. What is in the socket it does not see, nor the beginning of a record: send does.
func (pc *conn) settled() bool {
	return pc.tls == nil || pc.silent(readsHeld)
}

// absorb has TLS read what came while the connection was idle, and reports whether that was whole
// and meant for TLS alone: session tickets and new keys, which a target may send at any time.
func (pc *conn) absorb() bool {
	return pc.silent(readsOnce) && !pc.records.torn()
}

// silent reports that TLS has nothing to give out as far as a Read goes.
func (pc *conn) silent(how reads) bool {
	pc.reads = how
	n, err := pc.tls.Read(pc.one[:])
	pc.reads = readsWait
	return n == 0 && errors.Is(err, errHeld)
}

// close closes without the TLS close_notify, for which crypto/tls would wait up to 5 s on a
// target that does not read. Requests are framed, so that nothing can be taken for the end.
func (pc *conn) close() {
	pc.unwatch()
	pc.Close()
}

// reset is close for a connection in the middle of something.
func (pc *conn) reset() {
	pc.unwatch()
	pc.socket.reset()
}
