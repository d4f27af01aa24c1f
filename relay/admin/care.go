package admin

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"runtime/debug"
	"time"

	"github.com/valyala/fasthttp"
)

// Care is what an operator asks of the spool of a running relay. Errors as in Backend.
type Care interface {
	// Purge deletes deliveries of a target that nobody will get any more, and counts them.
	Purge(ctx context.Context, name string, q PurgeQuery) (Purged, error)
	// Backup writes the spool as of now.
	Backup(ctx context.Context, w io.Writer) error
	// SpoolStat is the spool in numbers, as JSON.
	SpoolStat() (any, error)
}

// PurgeQuery selects deliveries; empty fields select all.
type PurgeQuery struct {
	State  string // pending or exhausted
	Type   string
	Until  time.Time // accepted at this instant at the latest
	ID     string
	DryRun bool // count only
}

// Purged is the answer of a purge.
type Purged struct {
	Target string `json:"target"`
	State  string `json:"state"`
	Count  uint64 `json:"count"`
	DryRun bool   `json:"dry_run"`
}

func (s *Server) purge(ctx *fasthttp.RequestCtx, args []string) error {
	q, err := readPurge(ctx)
	if err != nil {
		return err
	}
	out, err := s.options.Backend.Purge(s.life, args[0], q)
	if err != nil {
		return err
	}
	writeJSON(ctx, out)
	return nil
}

func readPurge(ctx *fasthttp.RequestCtx) (PurgeQuery, error) {
	p := paramsOf(ctx)
	q := PurgeQuery{State: p.oneOf("state", "pending", "exhausted"), Type: p.text("type"),
		Until: p.instant("until"), ID: p.text("id"), DryRun: p.flag("dry_run")}
	return q, p.err
}

func (s *Server) spoolStat(ctx *fasthttp.RequestCtx, _ []string) error {
	stat, err := s.options.Backend.SpoolStat()
	if err != nil {
		return err
	}
	writeJSON(ctx, stat)
	return nil
}

// backup streams, one at a time. One that breaks off has no end mark, which whoever reads it
// notices; the status is long gone by then.
func (s *Server) backup(ctx *fasthttp.RequestCtx, _ []string) error {
	select {
	case s.backups <- struct{}{}:
	default:
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, "10")
		return Refuse(fasthttp.StatusServiceUnavailable, codeOverloaded,
			"a backup is under way; wait until it is done")
	}
	conn := ctx.Conn()
	ctx.SetContentType("application/octet-stream")
	ctx.SetBodyStreamWriter(func(w *bufio.Writer) {
		defer func() { <-s.backups }()
		if err := s.streamBackup(&patientWriter{w, conn, s.life}, conn); err != nil {
			s.options.Log.Error("a backup broke off; what was sent of it has no end mark",
				"error", err)
		}
	})
	return nil
}

// streamBackup runs outside of Handler, so it has its own guard against a panic, which would end
// the process: a damaged file can make the engine panic.
func (s *Server) streamBackup(w *patientWriter, conn net.Conn) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("it panicked: %v\n%s", r, debug.Stack())
		}
	}()
	// A caller that does not read must not hold up a relay that stops.
	defer context.AfterFunc(s.life, func() { _ = conn.SetWriteDeadline(time.Now()) })()
	return s.options.Backend.Backup(s.life, w)
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
