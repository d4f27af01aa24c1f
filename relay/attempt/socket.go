package attempt

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// socket is the TCP connection under an exchange, on which TLS lies if there is any. It belongs to
// one goroutine, but for aborted.
type socket struct {
	*net.TCPConn
	raw syscall.RawConn
	// until is when what is read and written has to be done; armed is the deadline that the
	// connection has, never a later one. Moving it for every request costs as much as looking
	// whether the connection is quiet, so it stays behind and is moved when it is met.
	until, armed time.Time
	aborted      atomic.Bool
	late         int // bytes that were read after that
	// secure says that TLS lies on it, records where in its stream the reading is.
	secure  bool
	records records
	reads   reads
	// gather holds back what is written until it is full, or flush; nil: nothing is held back.
	gather []byte
}

// reads is how far a Read goes for bytes.
type reads uint8

const (
	readsWait reads = iota // until there are some
	readsOnce              // to the kernel, and no wait
	readsHeld              // nowhere
)

// errHeld ends a Read that does not wait. TLS may go on after it: crypto/tls takes no error for
// final that says it is temporary.
var errHeld error = heldError{}

type heldError struct{}

func (heldError) Error() string   { return "nothing to read yet" }
func (heldError) Timeout() bool   { return true }
func (heldError) Temporary() bool { return true }

// newSocket wraps a fresh connection.
func newSocket(tcp *net.TCPConn) *socket {
	s := &socket{TCPConn: tcp}
	// A connection without a descriptor is a stranger to us; raw stays nil then, and whoever wants
	// to look at it takes it as alive.
	s.raw, _ = tcp.SyscallConn()
	return s
}

// lateBytesMax bounds what is read of an answer after its time is over.
const lateBytesMax = 64 << 10

// longAgo is a deadline that makes reads and writes return at once.
func longAgo() time.Time { return time.Unix(1, 0) }

// expect gives what comes next until an instant. A deadline that is set already stays if it leaves
// at least half of that time, so that one is seldom met before it is due.
func (s *socket) expect(now, until time.Time) {
	s.until, s.late = until, 0
	if s.armed.After(until) || s.armed.Sub(now) < until.Sub(now)/2 {
		s.arm()
	}
}

// shorten is expect for an instant that is near, and exact.
func (s *socket) shorten(until time.Time) {
	s.until = until
	s.arm()
}

// arm moves the deadline to where it is due.
func (s *socket) arm() {
	s.armed = s.until
	s.SetDeadline(s.until)
}

// early reports an error of a deadline that was met before it was due, and moves it: then the same
// is to be done again. An abort meanwhile stands.
func (s *socket) early(err error) bool {
	if !s.armed.Before(s.until) || !errors.Is(err, os.ErrDeadlineExceeded) {
		return false
	}
	s.arm()
	if s.aborted.Load() { // after arm: an abort looks in the other order
		s.SetDeadline(longAgo())
		return false
	}
	return true
}

// Read is part of net.Conn.
func (s *socket) Read(p []byte) (n int, err error) {
	switch s.reads {
	case readsHeld:
		return 0, errHeld
	case readsOnce:
		n, err = s.readOnce(p)
	default:
		for {
			if n, err = s.TCPConn.Read(p); err == nil || n > 0 || !s.early(err) {
				break
			}
		}
		if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
			n, err = s.arrived(p, err)
		}
	}
	if s.secure {
		s.records.pass(p[:n])
	}
	return n, err
}

// arrived reads what has come although its time is over: the process may have stood still, with the
// machine or by a signal, while the answer was there in time.
func (s *socket) arrived(p []byte, over error) (int, error) {
	p = p[:min(len(p), lateBytesMax-s.late)]
	if len(p) == 0 || s.aborted.Load() {
		return 0, over
	}
	s.SetReadDeadline(time.Time{}) // it would not read at all otherwise
	n, err := s.readOnce(p)
	s.SetReadDeadline(longAgo())
	s.late += n
	if err == errHeld {
		err = over
	}
	return n, err
}

// readOnce reads what is there.
func (s *socket) readOnce(p []byte) (n int, err error) {
	if s.raw == nil {
		return 0, errHeld
	}
	failed := s.raw.Read(func(fd uintptr) bool {
		n, err = readNow(fd, p)
		return true
	})
	if failed != nil {
		return 0, failed
	}
	return n, err
}

// Write is part of net.Conn.
func (s *socket) Write(p []byte) (n int, err error) {
	if s.gather == nil {
		return s.writeOut(p)
	}
	if len(s.gather)+len(p) > cap(s.gather) {
		if err := s.flush(); err != nil {
			return 0, err
		}
		if len(p) > cap(s.gather) {
			return s.writeOut(p)
		}
	}
	s.gather = append(s.gather, p...)
	return len(p), nil
}

// flush writes what was gathered.
func (s *socket) flush() error {
	_, err := s.writeOut(s.gather)
	s.gather = s.gather[:0]
	return err
}

func (s *socket) writeOut(p []byte) (n int, err error) {
	for {
		var part int
		part, err = s.TCPConn.Write(p[n:])
		if n += part; err == nil || !s.early(err) {
			return n, err
		}
	}
}

// writePieces writes pieces of memory, together if the system can, and consumes them.
func (s *socket) writePieces(pieces *net.Buffers) error {
	for {
		if _, err := pieces.WriteTo(s.TCPConn); err == nil || !s.early(err) {
			return err
		}
	}
}

// reset closes and drops what was not sent yet. Without it the kernel would go on for minutes, and
// hold a megabyte each, for targets that do not read.
func (s *socket) reset() {
	s.SetLinger(0)
	s.Close()
}

// recordHeaderBytes is the length of the header of a TLS record (RFC 8446 §5.1): a type, a version
// and the length of what follows.
const recordHeaderBytes = 5

// records follows the records of a TLS stream by their headers, which are not encrypted.
type records struct {
	header [recordHeaderBytes]byte
	got    int // bytes of the header
	left   int // bytes of the record after it
}

// pass goes over bytes that were read.
func (r *records) pass(p []byte) {
	for len(p) > 0 {
		if r.left > 0 {
			n := min(r.left, len(p))
			r.left, p = r.left-n, p[n:]
			continue
		}
		n := copy(r.header[r.got:], p)
		r.got, p = r.got+n, p[n:]
		if r.got == recordHeaderBytes {
			r.got, r.left = 0, int(r.header[3])<<8|int(r.header[4])
		}
	}
}

// torn reports that the last record has come in part only.
func (r *records) torn() bool { return r.got > 0 || r.left > 0 }
