package accept

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/framing"
	"github.com/hookspool/hookspool/relay/listener"
)

const (
	// connectionsMax bounds the connections of senders, of about 30 KiB each. A low limit of open
	// files bounds them further; see descriptors.go.
	connectionsMax = 8192
	// lingerTime and lingerBytes bound the courtesy of reading on after a refusal: closing at once
	// would reset the connection and with it the answer. The bytes are twice the largest batch by
	// default, so that one somewhat too large hears why.
	lingerTime  = time.Second
	lingerBytes = 16 << 20
)

// eventListener bounds the connections, guards their framing, and gives ones that can close
// politely.
type eventListener struct {
	*listener.Listener
	s *Server
}

// raw is the refusal as it goes over the wire.
func (r *Refusal) raw() []byte {
	var ctx fasthttp.RequestCtx
	r.write(&ctx)
	ctx.SetConnectionClose()
	var out bytes.Buffer
	if _, err := ctx.Response.WriteTo(&out); err != nil {
		panic("BUG: a refusal cannot be written: " + err.Error())
	}
	return out.Bytes()
}

// Accept is part of net.Listener.
func (l eventListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		most := l.s.connectionsMost(time.Now())
		if l.s.connections.Add(1) <= most {
			return &lingerConn{Guarded: framing.Guarded{Conn: conn}, open: &l.s.connections}, nil
		}
		l.s.connections.Add(-1)
		l.refuse(conn, most)
	}
}

// refuse answers and closes. The answer fits in the socket's buffer, so nothing waits here.
func (l eventListener) refuse(conn net.Conn, most int64) {
	l.s.o.Counter.Refused(CodeOverloaded)
	if conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		no := overloaded()
		no.Detail = fmt.Sprintf("%d connections are open; use them again, or try in a second",
			most)
		_, _ = conn.Write(no.raw()) // whoever it was may be gone
	}
	_ = conn.Close()
}

// lingerConn reads on for a moment before it closes, if told to: a sender that is still writing a
// body that was refused would otherwise see a reset instead of the answer.
type lingerConn struct {
	framing.Guarded
	linger atomic.Bool
	// heard: something has come. ended: nothing more will.
	heard, ended atomic.Bool
	// silent drops what is written.
	silent atomic.Bool
	open   *atomic.Int64 // counts connections
	closed atomic.Bool
}

// Read is part of net.Conn.
func (c *lingerConn) Read(b []byte) (int, error) {
	n, err := c.Guarded.Read(b)
	if n > 0 && !c.heard.Load() {
		c.heard.Store(true)
	}
	if err == io.EOF {
		c.ended.Store(true)
	}
	return n, err
}

// Write is part of net.Conn.
func (c *lingerConn) Write(b []byte) (int, error) {
	if c.silent.Load() {
		return len(b), nil
	}
	return c.Conn.Write(b)
}

// Close is part of net.Conn.
func (c *lingerConn) Close() error {
	if !c.closed.Swap(true) {
		defer c.open.Add(-1)
	}
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if ok && c.linger.Load() && half.CloseWrite() == nil &&
		c.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.CopyN(io.Discard, c.Conn, lingerBytes) // a courtesy; its end does not matter
	}
	return c.Conn.Close()
}
