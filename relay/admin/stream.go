package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

const (
	// tellEvery lies between two lines about progress. It is also how soon it shows that a caller has
	// gone while nothing else is written.
	tellEvery       = 250 * time.Millisecond
	lineBufferBytes = 64 << 10
)

// slot lets one in at a time. What it guards holds a snapshot of the spool, or memory.
type slot chan struct{}

func newSlot() slot { return make(slot, 1) }

func (s slot) enter(what string) (leave func(), err error) {
	select {
	case s <- struct{}{}:
		return func() { <-s }, nil
	default:
		return nil, Refuse(http.StatusServiceUnavailable, codeOverloaded,
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
func (s *Server) stream(c *call, kind *streamed, content string,
	write func(context.Context, *patientWriter) error) error {
	leave, err := kind.slot.enter(kind.what)
	if err != nil {
		c.header().Set("Retry-After", "10")
		return err
	}
	defer leave()
	c.begin(http.StatusOK, content)
	if err := s.guarded(c, write); err != nil {
		s.options.Log.Warn(kind.what+" broke off; what was sent of it has no end", "error", err)
		panic(http.ErrAbortHandler) // the library closes the connection, and says nothing
	}
	return nil
}

// guarded has a guard of its own against a panic, so that what began to be sent is told of as
// something that broke off: a damaged file can make the engine panic.
func (s *Server) guarded(c *call,
	write func(context.Context, *patientWriter) error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panicked: %v\n%s", r, debug.Stack())
		}
	}()
	// A caller that does not read must not hold up a relay that stops.
	defer context.AfterFunc(s.life, func() { _ = c.conn.SetWriteDeadline(time.Now()) })()
	w := &patientWriter{c, s.life}
	if err := w.flush(); err != nil { // whoever asked hears at once that it goes on
		return err
	}
	return write(s.life, w)
}

// patientWriter gives every piece of a long answer the time of a whole one, until the end of life.
type patientWriter struct {
	call *call
	life context.Context
}

// Write is part of io.Writer.
func (p *patientWriter) Write(b []byte) (int, error) {
	p.call.patience()
	if p.life.Err() != nil { // after the deadline was moved, so that AfterFunc's is never undone
		return 0, context.Cause(p.life)
	}
	return p.call.w.Write(b)
}

func (p *patientWriter) flush() error { return p.call.control.Flush() }

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
	return t.w.flush()
}
