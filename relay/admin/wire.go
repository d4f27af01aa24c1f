package admin

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/hookspool/hookspool/relay/framing"
)

// refusalTimeout bounds the writing of a refusal that no handler makes. It fits in the buffer of a
// socket.
const refusalTimeout = time.Second

// wire is a connection on which everybody hears the same words. The library refuses a request that
// it cannot read with a line of plain text, or closes the connection silently; a wire says a
// problem document then, as the handlers do. It knows the library's words from an answer because
// they come while no handler has a request.
type wire struct {
	framing.Guarded
	// begun are the requests that have come, whole or in part; served are those that a handler got.
	begun, served atomic.Uint64
	// answering: a handler has a request, or its answer is on its way.
	answering atomic.Bool
	// refused: the last word has been said.
	refused atomic.Bool
	ended   atomic.Pointer[error] // of the last Read; nil: it went well
}

// Read is part of net.Conn.
func (w *wire) Read(b []byte) (int, error) {
	n, err := w.Guarded.Read(b)
	w.begun.Store(w.Begun())
	if err == nil {
		w.ended.Store(nil)
	} else {
		w.ended.Store(&err)
	}
	return n, err
}

// Write is part of net.Conn.
func (w *wire) Write(b []byte) (int, error) {
	if w.answering.Load() {
		return w.Conn.Write(b)
	}
	w.refuse(w.unread(b))
	return len(b), nil
}

// CloseWrite lets the library wait a moment before it closes, so that a caller who still sends gets
// to read the answer.
func (w *wire) CloseWrite() error {
	half, ok := w.Conn.(interface{ CloseWrite() error })
	if !ok {
		return errors.ErrUnsupported
	}
	return half.CloseWrite()
}

// handles notes that a handler has the request that came.
func (w *wire) handles() {
	w.served.Add(1)
	w.answering.Store(true)
}

// answered notes that the answer has left and that the connection stays. The library has ended a
// read of its own before that, which is no end of the connection.
func (w *wire) answered() {
	w.ended.Store(nil)
	w.answering.Store(false)
}

// leave says what was wrong with a request that did not come to its end, if nobody has. A
// connection on which nothing has come was opened in advance: it ends silently, because a refusal
// would be taken for the answer to what comes first.
func (w *wire) leave() {
	err := w.end()
	if err == nil || errors.Is(err, net.ErrClosed) || w.answering.Load() {
		return
	}
	if w.fault() != nil || w.begun.Load() > w.served.Load() {
		w.refuse(w.unread(nil))
	}
}

// end is the error of the last Read. The guard's own word for it belongs to whoever reads.
func (w *wire) end() error {
	if ended := w.ended.Load(); ended != nil {
		return *ended
	}
	return nil
}

// fault is what the guard found at the last Read, or nil.
func (w *wire) fault() *framing.Error {
	fault, _ := errors.AsType[*framing.Error](w.end())
	return fault
}

// unread is what there is to say about a request that cannot be read; words are the library's.
func (w *wire) unread(words []byte) *Error {
	var network net.Error
	switch fault := w.fault(); {
	case fault != nil:
		return misframed(fault)
	case bytes.HasPrefix(words, []byte("HTTP/1.1 417 ")):
		return Refuse(http.StatusExpectationFailed, codeMalformed,
			"of the expectations only 100-continue is known")
	case errors.As(w.end(), &network) && network.Timeout():
		return tooSlow()
	}
	return Refuse(http.StatusBadRequest, codeMalformed, "the request cannot be read")
}

// refuse says the last word, once.
func (w *wire) refuse(e *Error) {
	if w.refused.Swap(true) {
		return
	}
	body := e.problem()
	answer := http.Response{StatusCode: e.Status, ProtoMajor: 1, ProtoMinor: 1, Close: true,
		Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body))}
	setSecurityHeaders(answer.Header)
	answer.Header.Set("Content-Type", problemJSON)
	answer.Header.Set("Date", time.Now().UTC().Format(http.TimeFormat))
	var raw bytes.Buffer
	if err := answer.Write(&raw); err != nil {
		panic("BUG: a refusal cannot be written: " + err.Error())
	}
	if w.SetWriteDeadline(time.Now().Add(refusalTimeout)) == nil {
		_, _ = w.Conn.Write(raw.Bytes()) // whoever it was may be gone
	}
}

// misframed refuses what a proxy in front might read differently, and so let a second request slip
// past its own checks. The connection ends with the answer.
func misframed(fault *framing.Error) *Error {
	switch {
	case fault.Version:
		return Refuse(http.StatusHTTPVersionNotSupported, codeMalformed, "%v", fault)
	case fault.Large:
		return Refuse(http.StatusRequestHeaderFieldsTooLarge, codeTooLarge,
			"a request head has %d bytes at most here", framing.HeadBytesMax)
	}
	return Refuse(http.StatusBadRequest, codeMalformed, "%v", fault)
}

func tooSlow() *Error {
	return Refuse(http.StatusRequestTimeout, codeTimeout,
		"the request did not arrive within %s", readTimeout)
}
