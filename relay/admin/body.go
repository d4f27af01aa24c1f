package admin

import (
	"bytes"
	"errors"
	"io"
	"net"

	"github.com/valyala/fasthttp"
)

// Bodies are read here and not by the HTTP library: it would read one before anybody has asked who
// may, and make room for all that a head declares.
const (
	// importBytesMax bounds the lines of one import; one line has importLineMax of the verb at most.
	importBytesMax = 16 << 20
	// courtesyBytesMax of a body that nobody wants are read all the same, because a caller that is
	// still writing would hear of a reset instead of the answer.
	courtesyBytesMax = 2 * importBytesMax
)

// readBody reads the whole body of a request, at most limit bytes.
func readBody(ctx *fasthttp.RequestCtx, limit int) ([]byte, error) {
	length := ctx.Request.Header.ContentLength()
	in := ctx.RequestBodyStream()
	if length > limit {
		return nil, bodyTooLarge(limit)
	}
	if in == nil {
		return nil, nil
	}
	var body bytes.Buffer
	n, err := io.Copy(&body, io.LimitReader(in, int64(limit)+1))
	var network net.Error
	x, known := ctx.Conn().(*conn)
	switch {
	case err != nil && known && x.Fault() != nil:
		return nil, misframed(x.Fault())
	case errors.As(err, &network) && network.Timeout():
		return nil, Refuse(fasthttp.StatusRequestTimeout, codeTimeout,
			"the request did not arrive within %s", readTimeout)
	case err != nil || length >= 0 && n < int64(length):
		// The library ends a body by io.EOF also when the connection ended in it.
		return nil, Refuse(fasthttp.StatusBadRequest, codeMalformed, "the body is cut off")
	case n > int64(limit):
		return nil, bodyTooLarge(limit)
	}
	return body.Bytes(), nil
}

// disown takes the length away from a head that declares more than anything here takes, so that the
// library does not wait for the beginning of such a body before the handler can refuse it.
func disown(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
	if h.ContentLength() > courtesyBytesMax {
		h.SetContentLength(0)
	}
	return fasthttp.RequestConfig{}
}

// checkDisowned refuses what disown has met. What follows on the connection is no request.
func checkDisowned(ctx *fasthttp.RequestCtx) error {
	if ctx.Request.Header.ContentLength() != 0 {
		return nil
	}
	for raw := ctx.Request.Header.RawHeaders(); len(raw) > 0; {
		var line []byte
		line, raw, _ = bytes.Cut(raw, []byte{'\n'})
		name, value, _ := bytes.Cut(line, []byte{':'})
		if bytes.EqualFold(name, []byte(fasthttp.HeaderContentLength)) &&
			len(bytes.Trim(value, " \t\r0")) > 0 {
			ctx.SetConnectionClose()
			return bodyTooLarge(importBytesMax)
		}
	}
	return nil
}

func bodyTooLarge(limit int) *Error {
	return Refuse(fasthttp.StatusRequestEntityTooLarge, codeTooLarge,
		"a body has %d bytes at most here", limit)
}

// finishBody readies the connection for what follows: what is left of a body must not be taken for
// another request.
func finishBody(ctx *fasthttp.RequestCtx) {
	in := ctx.RequestBodyStream()
	if in == nil {
		return
	}
	n, err := io.Copy(io.Discard, io.LimitReader(in, courtesyBytesMax))
	if err != nil || n == courtesyBytesMax {
		ctx.SetConnectionClose()
	}
}
