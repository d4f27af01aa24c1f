package relay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"github.com/hookspool/hookspool/relay/framing"
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

// patient is a listener that goes on after whatever keeps it from taking a connection, be it no
// descriptor, no memory or a firewall: all but its own end passes.
type patient struct {
	net.Listener
	log  *slog.Logger
	once sync.Once
	// ended is closed by Close.
	ended chan struct{}
	// failing is since when nothing could be taken, failedAt when the last try failed, in unix
	// nanoseconds; 0: it can.
	failing, failedAt atomic.Int64
	failed            atomic.Pointer[error]
	rare              seldom // lets through what the log says of it
}

const (
	// acceptPauseMin and acceptPauseMax lie between two tries to take a connection.
	acceptPauseMin = 5 * time.Millisecond
	acceptPauseMax = time.Second
	// acceptSayPause lies between two lines about it, acceptFailingMax before the relay is unready.
	acceptSayPause   = 10 * time.Second
	acceptFailingMax = 5 * time.Second
)

func newPatient(ln net.Listener, log *slog.Logger) *patient {
	return &patient{Listener: ln, log: log, ended: make(chan struct{})}
}

// Accept is part of net.Listener.
func (p *patient) Accept() (net.Conn, error) {
	for pause := acceptPauseMin; ; pause = min(2*pause, acceptPauseMax) {
		conn, err := p.Listener.Accept()
		if err == nil {
			p.failing.Store(0)
			return conn, nil
		}
		if errors.Is(err, net.ErrClosed) {
			return nil, err
		}
		p.note(err)
		timer := time.NewTimer(pause)
		select {
		case <-p.ended:
			timer.Stop()
			return nil, net.ErrClosed
		case <-timer.C:
		}
	}
}

func (p *patient) note(err error) {
	now := time.Now()
	p.failed.Store(&err)
	if p.waits(now) {
		p.failing.Store(0) // that was another time
	}
	p.failedAt.Store(now.UnixNano())
	p.failing.CompareAndSwap(0, now.UnixNano())
	if n, ok := p.rare.pass(now, acceptSayPause); ok {
		p.log.Warn("cannot take a connection; those that come wait, and it is tried again",
			"address", addressOf(p.Listener), "error", err, "failures", n)
	}
}

// deaf is why nothing has been taken for so long that senders should go elsewhere, or nil.
func (p *patient) deaf(now time.Time) error {
	since := p.failing.Load()
	if since == 0 || now.Sub(time.Unix(0, since)) < acceptFailingMax || p.waits(now) {
		return nil
	}
	return fmt.Errorf("cannot take connections at %s: %w", addressOf(p.Listener), *p.failed.Load())
}

// waits reports whether the last try has not failed by now: it waits for somebody who connects. An
// error may have taken the connection with it, and who is unready is sent no other.
func (p *patient) waits(now time.Time) bool {
	return now.Sub(time.Unix(0, p.failedAt.Load())) > 2*acceptPauseMax
}

// Close is part of net.Listener.
func (p *patient) Close() error {
	p.once.Do(func() { close(p.ended) })
	return p.Listener.Close()
}

// eventListener bounds the connections, guards their framing, and gives ones that can close
// politely.
type eventListener struct {
	*patient
	r *Relay
}

// raw is the refusal as it goes over the wire.
func (r *refusal) raw() []byte {
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
		conn, err := l.patient.Accept()
		if err != nil {
			return nil, err
		}
		most := l.r.connectionsMost(time.Now())
		if l.r.connections.Add(1) <= most {
			return &lingerConn{Guarded: framing.Guarded{Conn: conn}, open: &l.r.connections}, nil
		}
		l.r.connections.Add(-1)
		l.refuse(conn, most)
	}
}

// refuse answers and closes. The answer fits in the socket's buffer, so nothing waits here.
func (l eventListener) refuse(conn net.Conn, most int64) {
	l.r.metrics.refused[codeOverloaded].Inc()
	if conn.SetWriteDeadline(time.Now().Add(time.Second)) == nil {
		no := overloaded()
		no.detail = fmt.Sprintf("%d connections are open; use them again, or try in a second",
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
