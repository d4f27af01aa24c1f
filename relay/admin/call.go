package admin

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// call is one request on its way to its answer. It belongs to the goroutine of its handler.
type call struct {
	w    http.ResponseWriter
	r    *http.Request
	conn *conn
	// control moves the deadline of writing, and flushes.
	control *http.ResponseController
	params  url.Values // see query
	reading bool       // the body has been asked for
	begun   bool       // the head of an answer has left, so that there can be no other
}

// header is that of the answer.
func (c *call) header() http.Header { return c.w.Header() }

// arg is what stands in the path at a name in braces, decoded: an event's id may hold anything, a
// slash too.
func (c *call) arg(name string) string {
	arg, err := url.PathUnescape(c.r.PathValue(name))
	if err != nil {
		panic("BUG: the library has let a malformed path pass: " + err.Error())
	}
	return arg
}

// begin sends the head of an answer. What is left of the body is read before that, because a caller
// that is still writing would not read an answer.
func (c *call) begin(status int, kind string) {
	c.finishBody()
	c.begun = true
	c.header().Set("Content-Type", kind)
	c.patience()
	c.w.WriteHeader(status)
}

// patience gives what is written next the time of a whole answer.
func (c *call) patience() {
	_ = c.control.SetWriteDeadline(time.Now().Add(writeTimeout)) // writing says if it is gone
}

// send makes a whole answer.
func (c *call) send(status int, kind string, body []byte) {
	c.header().Set("Content-Length", strconv.Itoa(len(body)))
	c.begin(status, kind)
	_, _ = c.w.Write(body) // whoever asked may be gone
}

// json answers with one of this package's types.
func (c *call) json(status int, v any) { c.send(status, plainJSON, encode(v)) }
