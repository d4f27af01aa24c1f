package admin

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"
)

// Care is what an operator asks of the spool of a running relay. Errors as in Backend.
type Care interface {
	// Purge deletes deliveries of a target that nobody will get any more, and counts them.
	Purge(ctx context.Context, name string, q PurgeQuery) (Purged, error)
	// Backup writes the spool as of now.
	Backup(ctx context.Context, w io.Writer) error
	// SpoolStat is the spool in numbers, as JSON.
	SpoolStat() (any, error)
	// Export checks what is asked for; the Work then writes a line of JSON for each event, as of its
	// begin.
	Export(q ExportQuery) (Work, error)
	// Verify reads every record as of now and returns a report. Nothing is written.
	Verify(ctx context.Context, _ io.Writer, progress func(done, total int64)) (any, error)
	// Import puts lines of an export into the spool, all or none. An error with Lines names those at
	// fault.
	Import(lines []byte) (any, error)
}

// Work is a long answer in the making: it writes to w as it goes on, tells how far it is, and
// returns what is to be said at its end. It ends early with an error when ctx is done.
type Work func(ctx context.Context, w io.Writer, progress func(done, total int64)) (any, error)

// ExportQuery selects events.
type ExportQuery struct {
	// All are all events that are kept; otherwise those with a pending or exhausted delivery.
	All bool
	// Target, when set, is the only one whose deliveries are looked at.
	Target string
}

// PurgeQuery selects deliveries; empty fields select all.
type PurgeQuery struct {
	State  string // pending or exhausted
	Type   string
	Until  time.Time // accepted at this instant at the latest
	ID     string
	DryRun bool // count only
	// Limit and After ask for one page of so many deliveries to look at; without either it is all.
	Limit int
	After string
	// Forget deletes no delivery, but a target that is not in the config and has none left.
	Forget bool
}

// Purged is the answer of a purge.
type Purged struct {
	Target string `json:"target"`
	State  string `json:"state"`
	Count  uint64 `json:"count"`
	DryRun bool   `json:"dry_run"`
	// Next goes on after a page; empty: there is no more.
	Next string `json:"next"`
	// Forgotten: the target is gone.
	Forgotten bool `json:"forgotten"`
}

func (s *Server) purge(c *call) error {
	q, err := readPurge(c.query())
	if err != nil {
		return err
	}
	out, err := s.options.Backend.Purge(s.life, c.arg("name"), q)
	if err != nil {
		return err
	}
	c.json(http.StatusOK, out)
	return nil
}

func readPurge(args url.Values) (PurgeQuery, error) {
	p := &params{args: args}
	q := PurgeQuery{State: p.oneOf("state", "pending", "exhausted"), Type: p.text("type"),
		Until: p.instant("until"), ID: p.text("id"), DryRun: p.flag("dry_run"), After: p.text("after")}
	if q.After != "" || p.text("limit") != "" {
		q.Limit = p.limit()
	}
	if q.Forget = p.flag("forget"); q.Forget && len(args) > 1 && p.err == nil {
		p.err = Refuse(http.StatusBadRequest, codeMalformed, "forget stands alone: it deletes a "+
			"target and no deliveries")
	}
	return q, p.err
}

func (s *Server) spoolStat(c *call) error {
	stat, err := s.options.Backend.SpoolStat()
	if err != nil {
		return err
	}
	c.json(http.StatusOK, stat)
	return nil
}

// backup streams the spool. One that breaks off has no end mark, which whoever reads it notices.
func (s *Server) backup(c *call) error {
	return s.stream(c, &s.backups, octets, func(life context.Context, w *patientWriter) error {
		return s.options.Backend.Backup(life, w)
	})
}

// export streams events as lines of JSON, and nothing else unless progress is asked for: then there
// are lines about that between them, and the last one is the result.
func (s *Server) export(c *call) error {
	p := paramsOf(c)
	q := ExportQuery{Target: p.text("target"), All: p.flag("all")}
	progress := p.flag("progress")
	if p.err != nil {
		return p.err
	}
	work, err := s.options.Backend.Export(q)
	if err != nil {
		return err
	}
	return s.stream(c, &s.exports, ndjson, s.lines(work, progress))
}

// verify streams lines about its progress; the last line is the result.
func (s *Server) verify(c *call) error {
	return s.stream(c, &s.verifies, ndjson, s.lines(s.options.Backend.Verify, true))
}

// importLines takes the lines of an export. Only one caller at a time may have its lines in memory.
func (s *Server) importLines(c *call) error {
	leave, err := s.imports.enter("an import")
	if err != nil {
		c.header().Set("Retry-After", "1")
		return err
	}
	defer leave()
	body, err := c.body(importBytesMax)
	if err != nil {
		return err
	}
	count, err := s.options.Backend.Import(body)
	if err != nil {
		return err
	}
	c.json(http.StatusOK, count)
	return nil
}
