package attempt

import (
	"encoding/binary"
	"errors"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// frameHeaderBytes is the length of the header of a frame (RFC 9113 §4.1): a length, a type, flags
// and a stream.
const (
	frameHeaderBytes = 9
	frameSettings    = 4
)

// Faults of HTTP/2. None quotes what came.
var (
	// errNotTwo: the handshake offered HTTP/2 alone.
	errNotTwo = errors.New("the target does not speak HTTP/2 (ALPN); `http` says what is offered")
	errOne    = errors.New("the answer is HTTP/1, and `http` is \"2\"")
	errFrames = errors.New("the answer is not HTTP/2")
	errBroken = errors.New("the answer breaks the rules of HTTP/2, or its header is too large")
	// errTLSWire: there is no TLS on our side.
	errTLSWire = errors.New("the answer is not HTTP/2: the port speaks TLS, use https")
	// errLeft: the request is one of those that a GOAWAY says were not taken (RFC 9113 §6.8).
	errLeft = errors.New("the target was closing the connection and did not take the request (GOAWAY)")
	// errUnsent: the connection had ended before anything of the request was written.
	errUnsent = errors.New("the connection had ended")
	// errEnded is errUnsent of a connection that was new.
	errEnded = errors.New("the target closed the connection")
)

// wire is the connection under one of HTTP/2, read by one goroutine of net/http's and written by
// several. It sees what comes first: a target that begins with anything but SETTINGS is told by
// what it does speak, and one request alone is sent until its limits are known, because those
// beyond would be refused.
type wire struct {
	net.Conn // TLS, or tcp
	tcp      *net.TCPConn
	settled  func() // is told once that net/http has read the SETTINGS

	// Of the goroutine that reads.
	first [frameHeaderBytes]byte
	got   int // bytes read, up to those of the first frame
	told  bool

	// ended is closed when nothing can be read any more; failed, which is set before, says why.
	ended  chan struct{}
	failed error
	once   sync.Once
	// writing is since when a write is under way, in unix nanoseconds; 0: none is.
	writing atomic.Int64
}

// newWire takes over a fresh connection.
func newWire(pc *conn) *wire {
	w := &wire{Conn: pc.TCPConn, tcp: pc.TCPConn, ended: make(chan struct{})}
	if pc.tls != nil {
		pc.tls.NetConn().(*beneath).Conn = pc.TCPConn
		w.Conn = pc.tls
	}
	w.tcp.SetDeadline(time.Time{})
	return w
}

// Read is part of net.Conn.
func (w *wire) Read(p []byte) (int, error) {
	if !w.told && w.got >= frameHeaderBytes && w.got == frameHeaderBytes+w.firstLength() {
		// Whoever reads on has done with what it has.
		w.told = true
		w.settled()
	}
	n, err := w.Conn.Read(p)
	if err == nil && !w.told {
		if err = w.look(p[:n]); err != nil {
			n = 0 // net/http would judge it first
		}
	}
	if err != nil {
		w.end(err)
	}
	return n, err
}

// firstLength is how long the first frame is after its header, which is there.
func (w *wire) firstLength() int {
	return int(w.first[0])<<16 | int(binary.BigEndian.Uint16(w.first[1:]))
}

// look judges the beginning of what comes.
func (w *wire) look(p []byte) error {
	if w.got < frameHeaderBytes {
		n := copy(w.first[w.got:], p)
		w.got, p = w.got+n, p[n:]
		switch text := string(w.first[:w.got]); {
		case strings.HasPrefix(text, "HTTP/"):
			return errOne
		case w.got >= 2 && (w.first[0] == 0x15 || w.first[0] == 0x16) && w.first[1] == 3:
			return errTLSWire
		case w.got == frameHeaderBytes && (w.first[3] != frameSettings || w.firstLength() > 16<<10):
			return errFrames
		case w.got < frameHeaderBytes:
			return nil
		}
	}
	w.got = min(w.got+len(p), frameHeaderBytes+w.firstLength())
	return nil
}

// end notes why nothing can be read any more.
func (w *wire) end(err error) {
	w.once.Do(func() {
		w.failed = err
		close(w.ended)
	})
}

// Write is part of net.Conn.
func (w *wire) Write(p []byte) (int, error) {
	w.writing.Store(time.Now().UnixNano())
	n, err := w.Conn.Write(p)
	if err != nil && isClosed(err) {
		w.why(afterWrite) // what net/http is told first closes the connection
	}
	w.writing.Store(0)
	return n, err
}

// cutStalled closes the connection if a write has been under way for long: the target does not
// read, and what waits for its turn to write has no deadline.
func (w *wire) cutStalled() {
	if since := w.writing.Load(); since != 0 && time.Since(time.Unix(0, since)) >= stallMax {
		w.Close()
	}
}

// Close is part of net.Conn. It closes without close_notify, for which crypto/tls would wait, and
// drops what the target does not read.
func (w *wire) Close() error {
	if w.writing.Load() != 0 {
		w.tcp.SetLinger(0)
	}
	return w.tcp.Close()
}

// why is why nothing can be read, if that is so or becomes so within a while; else nil.
func (w *wire) why(within time.Duration) error {
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-w.ended:
	case <-timer.C:
		if !closed(w.ended) {
			return nil
		}
	}
	return w.failed
}

func closed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// streamError is what net/http lets itself be taken for (errors.As of its own type of the same
// fields).
type streamError struct {
	StreamID uint32
	Code     uint32
	Cause    error
}

// Error is part of error.
func (e streamError) Error() string { return codeText(e.Code) }

// codeText is the name of an error code (RFC 9113 §7).
func codeText(code uint32) string {
	names := [...]string{"NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR",
		"SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM", "CANCEL",
		"COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM", "INADEQUATE_SECURITY",
		"HTTP_1_1_REQUIRED"}
	if code < uint32(len(names)) {
		return names[code]
	}
	return "unknown code"
}

// faultOf says in our words why a request over w has no answer. net/http's may quote a stranger,
// such as the text that comes with a GOAWAY.
func faultOf(w *wire, err error) *fault {
	f := &fault{Protocol, "read answer", err}
	text := err.Error()
	var reset streamError
	switch {
	case errors.As(err, &reset) && reset.Cause != nil && reset.Cause.Error() == "received from peer":
		f.err = errors.New("the target reset the stream (" + codeText(reset.Code) + ")")
	case errors.As(err, &reset):
		f.err = errors.New("the answer is not HTTP/2 (" + codeText(reset.Code) + ")")
	case text == "http2: Transport received Server's graceful shutdown GOAWAY":
		f.err = errLeft
	case text == "http2: client conn not usable", text == "connection is unavailable":
		f.err = errUnsent
	case strings.Contains(text, "GOAWAY"):
		f.err = errors.New("the target ended the connection (GOAWAY" + goAwayCode(text) + ")")
	case strings.HasPrefix(text, "http2: request header list larger"):
		f.verb, f.err = "send request", errors.New("the target takes no header of this size")
	case strings.HasPrefix(text, "http2: response header list larger"),
		strings.HasPrefix(text, "connection error: "):
		f.err = errBroken
	default:
		f.err = w.reasonOf(err)
	}
	return f
}

// unsent is errUnsent for people.
func (w *wire) unsent() error {
	if failed := w.why(0); failed != nil && !errors.Is(failed, net.ErrClosed) {
		return failed
	}
	return errEnded
}

// reasonOf is why w has failed, if it has: an alert of TLS comes by reading, and the write that
// failed with it is told first.
func (w *wire) reasonOf(err error) error {
	if failed := w.why(afterWrite); failed != nil && !errors.Is(failed, net.ErrClosed) {
		return failed
	}
	if _, isOp := errors.AsType[*net.OpError](err); isOp || isClosed(err) {
		return err
	}
	return errFrames
}

// goAwayCode is the code in net/http's text about a GOAWAY, behind a comma.
func goAwayCode(text string) string {
	for _, before := range []string{"ErrCode=", "ErrCode:"} {
		if _, after, ok := strings.Cut(text, before); ok {
			end := strings.IndexFunc(after, func(r rune) bool {
				return (r < 'A' || r > 'Z') && r != '_' && (r < '0' || r > '9')
			})
			if end < 0 {
				end = len(after)
			}
			if end > 0 {
				return ", " + after[:end]
			}
		}
	}
	return ""
}
