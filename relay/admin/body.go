package admin

import (
	"errors"
	"io"
	"net"
	"net/http"
)

// Bodies are read when it is settled who may ask, and never further than the call allows.
const (
	// importBytesMax bounds the lines of one import; one line has importLineMax of the verb at most.
	importBytesMax = 16 << 20
	// courtesyBytesMax of a body that nobody wants are read all the same, because a caller that is
	// still writing would hear of a reset instead of the answer.
	courtesyBytesMax = 2 * importBytesMax
)

// body reads the whole body of a request, at most limit bytes.
func (c *call) body(limit int) ([]byte, error) {
	if c.r.ContentLength > int64(limit) {
		return nil, bodyTooLarge(limit)
	}
	c.reading = true
	// The library, if told of the limit, would end the connection; finishBody keeps it.
	body, err := io.ReadAll(http.MaxBytesReader(nil, c.r.Body, int64(limit)))
	var large *http.MaxBytesError
	var network net.Error
	switch {
	case err == nil:
		return body, nil
	case errors.As(err, &large):
		return nil, bodyTooLarge(limit)
	case c.conn.fault() != nil:
		return nil, misframed(c.conn.fault())
	case errors.As(err, &network) && network.Timeout():
		return nil, tooSlow()
	}
	return nil, Refuse(http.StatusBadRequest, codeMalformed, "the body is cut off")
}

// isEndless reports whether more is announced than anything here takes. It is not waited for.
func (c *call) isEndless() bool { return c.r.ContentLength > courtesyBytesMax }

func bodyTooLarge(limit int) *Error {
	return Refuse(http.StatusRequestEntityTooLarge, codeTooLarge,
		"a body has %d bytes at most here", limit)
}

// finishBody reads what is left of a body. The library would read less of it, and ends the
// connection where there is still more, or something wrong. A caller that waits to be told to go on
// with its body is not told.
func (c *call) finishBody() {
	if c.isEndless() || c.r.Header.Get("Expect") != "" && !c.reading {
		return
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(c.r.Body, courtesyBytesMax))
}
