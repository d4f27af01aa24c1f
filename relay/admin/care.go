package admin

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/relay/sieve"
)

// Care is what an operator asks of the spool of a running relay. Errors as in Backend.
type Care interface {
	// Purge deletes deliveries of a target that nobody will get any more, and counts them.
	Purge(ctx context.Context, name string, q PurgeQuery) (Purged, error)
	// MayBackup says why there is no backup of this spool; nil: there is.
	MayBackup() error
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
	// fault. It notes the action.
	Import(lines []byte, a action.Action) (any, error)
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
	// Actions are what operators did, to Target if that is set; they come after the events.
	Actions bool
}

// PurgeQuery selects deliveries; empty fields select all.
type PurgeQuery struct {
	State  string // pending or exhausted
	Type   string // exact, or with * as in the config
	Choice sieve.Choice
	Since  time.Time // accepted at this instant or later
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
	Looked
	// Run names the purge: the calls for its other pages give it, so that they are one action.
	Run string `json:"run,omitempty"`
}

func (s *Server) purge(c *call) error {
	q, err := readPurge(c.query())
	if err != nil {
		return err
	}
	out, err := s.options.Backend.Purge(s.life, c.arg("name"), q)
	a := acting(s, c, "purge", c.arg("name"))
	switch a.Count, a.Result = out.Count, "done"; {
	case q.Forget && err == nil:
		a.Verb = "forget"
		note(s, a, false, nil)
	case !q.DryRun && (out.Count > 0 || a.Run != ""):
		out.Run = note(s, a, out.Next != "", err)
	}
	if err != nil {
		return err
	}
	c.json(http.StatusOK, out)
	return nil
}

func readPurge(args url.Values) (PurgeQuery, error) {
	p := &params{args: args}
	q := PurgeQuery{State: p.oneOf("state", "pending", "exhausted", "expired"), Type: p.text("type"),
		DryRun: p.flag("dry_run"), After: p.text("after")}
	w := p.window()
	q.Since, q.Until = w.Since, w.Until
	q.Choice, q.ID = p.choice()
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
	if err := s.options.Backend.MayBackup(); err != nil {
		return err
	}
	return s.stream(c, &s.backups, octets, func(life context.Context, w *patientWriter) error {
		err := s.options.Backend.Backup(life, w)
		a := acting(s, c, "backup", "")
		if a.Result = "done"; err != nil {
			a.Result = err.Error()
		}
		s.options.Backend.Act(a, false)
		return err
	})
}

// export streams events as lines of JSON, and nothing else unless progress is asked for: then there
// are lines about that between them, and the last one is the result.
func (s *Server) export(c *call) error {
	p := paramsOf(c)
	q := ExportQuery{Target: p.text("target"), All: p.flag("all"), Actions: p.flag("actions")}
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
	count, err := s.options.Backend.Import(body, acting(s, c, "import", ""))
	if err != nil {
		return err
	}
	c.json(http.StatusOK, count)
	return nil
}
