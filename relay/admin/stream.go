package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"
)

const (
	ndjson = "application/x-ndjson"
	// tellEvery lies between two lines about progress. It is also how soon it shows that a caller has
	// gone while nothing else is written.
	tellEvery       = 250 * time.Millisecond
	lineBufferBytes = 64 << 10
)

// slot lets one in at a time. What is behind it holds a snapshot of the spool, or memory.
type slot chan struct{}

func newSlot() slot { return make(slot, 1) }

func (s slot) enter(what string) (leave func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	default:
		return nil, Refuse(fasthttp.StatusServiceUnavailable, codeOverloaded,
			"%s is under way; wait until it is done", what)
	}
}

// streamed are the calls whose answers are streamed, each one at a time.
type streamed struct {
	what string
	slot slot
}

// stream answers with what write writes, as it comes. The status is long gone when that breaks off,
// so the connection is closed then, without the end that HTTP gives a whole answer.
func (s *Server) stream(ctx *fasthttp.RequestCtx, kind *streamed,
	write func(context.Context, *patientWriter) error) error {
	leave, err := kind.slot.enter(kind.what)
	if err != nil {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "10")
		return err
	}
	conn := ctx.Conn()
	ctx.SetContentType("application/octet-stream")
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer leave()
		if err := s.guarded(&patientWriter{w, conn, s.life}, write); err != nil {
			s.options.Log.Warn(kind.what+" broke off; what was sent of it has no end",
				"error", err)
			_ = conn.Close() // it may be closed already
		}
	})
	return nil
}

// guarded runs outside of Handler, so it has its own guard against a panic, which would end the
// process: a damaged file can make the engine panic.
func (s *Server) guarded(w *patientWriter,
	write func(context.Context, *patientWriter) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panicked: %v\n%s", r, debug.Stack())
		}
	}()
	// A caller that does not read must not hold up a relay that stops.
	defer context.AfterFunc(s.life, func() { _ = w.conn.SetWriteDeadline(time.Now()) })()
	return write(s.life, w)
}

// patientWriter gives every piece of a long answer the time of a whole one, until the end of life.
type patientWriter struct {
	w    *bufio.Writer
	conn net.Conn
	life context.Context
}

// Write is part of io.Writer.
func (p *patientWriter) Write(b []byte) (int, error) {
	if err := p.conn.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return 0, err
	}
	if p.life.Err() != nil { // after the deadline was moved, so that AfterFunc's is never undone
		return 0, context.Cause(p.life)
	}
	return p.w.Write(b)
}

// Told is a line about a Work, between or after what it writes. One field is set.
type Told struct {
	Progress *Progress `json:"progress,omitempty"`
	// Result is the last line of a work that was done, Error of one that was not.
	Result any    `json:"result,omitempty"`
	Error  string `json:"error,omitempty"`
}

// Progress is how far a Work is.
type Progress struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// lines runs a work and, if told, says how far it is and what came of it.
func (s *Server) lines(work Work, told bool) func(context.Context, *patientWriter) error {
	return func(life context.Context, w *patientWriter) error {
		ctx, cancel := context.WithCancelCause(life)
		defer cancel(nil)
		t := &teller{w: w, lines: bufio.NewWriterSize(w, lineBufferBytes), told: told, fail: cancel}
		result, err := work(ctx, t.lines, t.progress)
		switch {
		case err != nil && (!told || ctx.Err() != nil):
			return err // there is nobody to tell, or no way to
		case err != nil:
			s.options.Log.Error("an admin request failed; the caller was told", "error", err)
			t.tell(Told{Error: err.Error()})
		case told:
			t.tell(Told{Result: result})
		}
		return t.flush()
	}
}

// teller writes lines beside those of a work.
type teller struct {
	w     *patientWriter
	lines *bufio.Writer
	told  bool
	last  time.Time
	// fail ends the work: nobody reads any more.
	fail context.CancelCauseFunc
}

func (t *teller) progress(done, total int64) {
	if time.Since(t.last) < tellEvery {
		return
	}
	t.last = time.Now()
	if t.told {
		t.tell(Told{Progress: &Progress{Done: done, Total: total}})
	}
	if err := t.flush(); err != nil {
		t.fail(err)
	}
}

// tell buffers a line; flush says whether it went out.
func (t *teller) tell(line Told) {
	text, err := json.Marshal(line)
	if err != nil {
		panic("BUG: a line cannot be encoded: " + err.Error())
	}
	_, _ = t.lines.Write(append(text, '\n')) // an error sticks until flush
}

func (t *teller) flush() error {
	if err := t.lines.Flush(); err != nil {
		return err
	}
	return t.w.w.Flush()
}
