package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/hunt"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
)

// Purge is part of admin.Care. An orphan can be purged as well, and then be forgotten: that is what
// ends it.
func (r desk) Purge(ctx context.Context, name string, q admin.PurgeQuery) (admin.Purged, error) {
	out := admin.Purged{Target: name, State: q.State, DryRun: q.DryRun}
	if q.Forget {
		out.Forgotten = true
		return out, r.forget(name)
	}
	l := r.laneNamed(name)
	if l == nil {
		return out, noTarget(name)
	}
	h, err := r.begin(&q.Choice, "")
	if err != nil {
		return out, err
	}
	defer h.End()
	p := spool.Purge{State: spool.StatePending, Since: q.Since, Until: q.Until, DryRun: q.DryRun}
	h.Narrow(l.spool.ID(), &p)
	if kept := stateNamed(q.State); kept != spool.StateNone {
		p.State = kept
	}
	if q.ID != "" {
		e, err := r.eventByID(q.ID)
		if err != nil {
			return out, err
		}
		p.Seq = e.Seq
	}
	if match, isType := p.Match, matcher(q.Type); isType != nil {
		p.Match = func(e *spool.Event) bool {
			return isType(e.Type()) && (match == nil || match(e))
		}
	}
	if q.Limit == 0 && q.After == "" {
		p.Enough = nil
		out.Count, err = l.spool.Purge(ctx, p)
		out.Looked = h.Looked(0)
	} else {
		var at spool.PurgeCursor
		out.Count, at, err = purgePage(ctx, l, &p, &q)
		out.Next, out.Looked = purgeCursor(at), lookedPurging(h, l, &p, &at)
	}
	return out, orderError(err)
}

// lookedPurging is looked for a page of a purge, of which at is where the next one begins.
func lookedPurging(h *hunt.Page, l *lane, p *spool.Purge, at *spool.PurgeCursor) admin.Looked {
	out := h.Looked(0)
	out.LookedAt = at.Looked
	if at.On && at.Head >= at.From {
		out.Left = int(min(at.Head-at.From+1, countOf(l, p.State)))
	}
	return out
}

// purgePage purges one page, and returns how many deliveries that were and where to go on.
func purgePage(ctx context.Context, l *lane, p *spool.Purge, q *admin.PurgeQuery) (uint64,
	spool.PurgeCursor, error) {
	at := l.spool.BeginPurge(p)
	if q.After != "" {
		if err := readPurgeCursor(q.After, &at); err != nil {
			return 0, spool.PurgeCursor{}, err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, spool.PurgeCursor{}, fmt.Errorf("cannot purge while the relay stops: %w", err)
	}
	return l.spool.PurgePage(p, at, q.Limit)
}

// purgeCursor is "log-FROM-HEAD" or "kept-FROM-HEAD", or empty at the end.
func purgeCursor(c spool.PurgeCursor) string {
	if !c.On {
		return ""
	}
	stage := "log"
	if c.Kept {
		stage = "kept"
	}
	return fmt.Sprintf("%s-%d-%d", stage, c.From, c.Head)
}

// readPurgeCursor reads a purgeCursor into c, which holds where the purge would begin now.
func readPurgeCursor(text string, c *spool.PurgeCursor) error {
	stage, rest, _ := strings.Cut(text, "-")
	from, head, _ := strings.Cut(rest, "-")
	var ferr, herr error
	kept, newest := c.Kept, c.Head
	c.From, ferr = strconv.ParseUint(from, 10, 64)
	c.Head, herr = strconv.ParseUint(head, 10, 64)
	c.Kept = stage == "kept"
	if errors.Join(ferr, herr) != nil || stage != "log" && stage != "kept" || kept && !c.Kept ||
		c.Head > newest {
		return admin.Refuse(400, accept.CodeMalformed, "after is not the next of an answer")
	}
	return nil
}

// MayBackup is part of admin.Care.
func (r desk) MayBackup() error {
	s := &r.servers.cfg.Spool
	if !s.Shared() {
		return nil
	}
	e := admin.Refuse(409, "no_backup", "the spool is kept by servers, and a backup is of a "+
		"spool on a disk")
	e.Hint = "hookspool spool export --all writes its events; nats stream backup " +
		s.JetStream.Name + " DIRECTORY copies the stream"
	return e
}

// Backup is part of admin.Care.
func (r desk) Backup(ctx context.Context, w io.Writer) error {
	info, err := care.Backup(ctx, r.spool, w)
	if err == nil {
		r.log.Info("the spool was backed up", "newest", info.Head, "bytes", info.Bytes)
	}
	return err
}

// Export is part of admin.Care.
func (r desk) Export(q admin.ExportQuery) (admin.Work, error) {
	if q.Target != "" && r.laneNamed(q.Target) == nil {
		return nil, noTarget(q.Target)
	}
	return func(ctx context.Context, w io.Writer, progress func(done, total int64)) (any, error) {
		selected := care.Selection{All: q.All, Target: q.Target, Progress: progress}
		if q.Actions {
			selected.Action = func(body []byte) []byte { return action.Line(body, q.Target) }
		}
		n, err := care.Export(ctx, r.spool, w, selected)
		if err == nil {
			r.log.Info("events were exported", "events", n.Events, "actions", n.Actions, "unreadable",
				n.Unreadable)
		}
		return n, err
	}, nil
}

// Verify is part of admin.Care.
func (r desk) Verify(ctx context.Context, _ io.Writer, progress func(done, total int64)) (any,
	error) {
	rep, err := care.VerifyLive(ctx, r.spool, progress)
	switch {
	case err != nil:
		return nil, err
	case rep.FaultCount > 0:
		r.log.Error("the spool does not add up; spool verify shows all faults", "faults",
			rep.FaultCount, "first", rep.Faults[0])
	default:
		r.log.Info("the spool was verified", "records", rep.Records, "events", rep.Events)
	}
	return rep, nil
}

// Import is part of admin.Care.
func (r desk) Import(lines []byte, a action.Action) (any, error) {
	b, err := parseLines(lines, r.now())
	if err != nil {
		return nil, err
	}
	n, err := care.Import(r.spool, b.events, func(name string) bool {
		l := r.laneNamed(name)
		return l != nil && l.target() != nil
	})
	if err != nil {
		return nil, importError(err, b.numbers)
	}
	if err := r.meetLanes(); err != nil {
		return nil, orderError(err)
	}
	taken, skipped, err := r.book.Bring(b.actions)
	n.Actions, n.ActionsSkipped = int64(taken), int64(skipped)
	if err != nil {
		return nil, orderError(err)
	}
	out := imported{ImportCount: n}
	if n.Imported > 0 || n.Actions > 0 {
		a.Count, a.Relay = uint64(n.Imported), r.company.Name()
		a.Result = fmt.Sprintf("%d deliveries are pending by it", n.Deliveries)
		if n.Actions > 0 {
			a.Result += fmt.Sprintf("; %d actions came with it", n.Actions)
		}
		r.book.Join(&a, false)
		out.Run = a.Run
	}
	return out, nil
}

// imported is what came of an import. Run names it: the calls with its other lines give it, so that
// they are one action.
type imported struct {
	care.ImportCount
	Run string `json:"run,omitempty"`
}

// batchOfLines are lines of an export.
type batchOfLines struct {
	events  []*care.Exported
	numbers []int // of the events among the lines
	actions []*action.Action
}

// parseLines reads lines of an export.
func parseLines(lines []byte, now time.Time) (b batchOfLines, _ error) {
	bad := admin.Refuse(400, accept.CodeMalformed,
		"some lines cannot be imported; nothing was written")
	number := 0
	for line := range bytes.Lines(lines) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var err error
		if action.IsLine(line) {
			var a *action.Action
			a, err = action.ParseLine(line, now)
			b.actions = append(b.actions, a)
		} else {
			var x *care.Exported
			x, err = accept.ParseImported(line)
			b.events, b.numbers = append(b.events, x), append(b.numbers, number)
		}
		if err != nil {
			bad.Faults, bad.Lines = append(bad.Faults, err.Error()), append(bad.Lines, number)
		}
	}
	if len(bad.Lines) > 0 {
		return b, bad
	}
	return b, nil
}

// meetLanes adds the lanes that an import has made for targets that the relay never had: they are
// orphans until the config has them.
func (r desk) meetLanes() error {
	r.reloads.mu.Lock()
	defer r.reloads.mu.Unlock()
	if closed(r.stopping) {
		return spool.ErrClosed // the next start finds them
	}
	for _, s := range r.spool.Lanes() {
		if r.laneNamed(s.Name()) == nil {
			r.addLane(s)
		}
	}
	return nil
}

// forget removes an orphan that owes nothing any more.
func (r desk) forget(name string) error {
	r.reloads.mu.Lock() // or the target could come back meanwhile
	defer r.reloads.mu.Unlock()
	l := r.laneNamed(name)
	if l == nil {
		return noTarget(name)
	}
	if l.target() != nil {
		e := admin.Refuse(409, "in_config", "target %q is in the config", name)
		e.Hint = "remove its table and reload; then its deliveries can be purged and it be forgotten"
		return e
	}
	r.settleRetired()
	err := r.spool.Forget(l.spool)
	if errors.Is(err, spool.ErrOwing) {
		c := l.spool.Counts()
		e := admin.Refuse(409, "not_empty", "target %q still has %d pending and %d exhausted deliveries",
			name, c.Pending, c.Exhausted)
		e.Hint = fmt.Sprintf("hookspool purge --target %.100q", name)
		if c.Pending == 0 {
			e.Hint += " --state exhausted"
		}
		return e
	}
	if err != nil {
		return orderError(err)
	}
	dropLane(r.Relay, l)
	return nil
}

// importError is a refusal of the spool as the caller hears it.
func importError(err error, numbers []int) error {
	var bad *care.ImportError
	if errors.As(err, &bad) {
		e := admin.Refuse(400, accept.CodeMalformed, "some lines cannot be imported; nothing was written")
		for i, number := range numbers {
			if reason := bad.Reasons[i]; reason != "" {
				e.Faults, e.Lines = append(e.Faults, reason), append(e.Lines, number)
			}
		}
		return e
	}
	return orderError(err)
}

// SpoolStat is part of admin.Care.
func (r desk) SpoolStat() (any, error) { return care.StatOf(r.spool) }
