package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
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
	p := spool.Purge{State: spool.StatePending, Until: q.Until, DryRun: q.DryRun}
	if q.State == "exhausted" {
		p.State = spool.StateExhausted
	}
	var err error
	if q.ID != "" {
		e, err := r.eventByID(q.ID)
		if err != nil {
			return out, err
		}
		p.Seq = e.Seq
	}
	if q.Type != "" {
		p.Match = func(e *spool.Event) bool { return e.Type() == q.Type }
	}
	if q.Limit == 0 && q.After == "" {
		out.Count, err = l.spool.Purge(ctx, p)
	} else {
		out.Count, out.Next, err = purgePage(ctx, l, &p, &q)
	}
	if out.Count > 0 && !q.DryRun {
		r.log.Warn("deliveries were purged by hand", "target", name, "state", q.State,
			"deliveries", out.Count)
	}
	return out, orderError(err)
}

// purgePage purges one page, and returns how many deliveries that were and where to go on.
func purgePage(ctx context.Context, l *lane, p *spool.Purge, q *admin.PurgeQuery) (uint64, string,
	error) {
	at := l.spool.BeginPurge(p)
	if q.After != "" {
		if err := readPurgeCursor(q.After, &at); err != nil {
			return 0, "", err
		}
	}
	if err := ctx.Err(); err != nil {
		return 0, "", fmt.Errorf("cannot purge while the relay stops: %w", err)
	}
	n, next, err := l.spool.PurgePage(p, at, q.Limit)
	return n, purgeCursor(next), err
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
		n, err := care.Export(ctx, r.spool, w, care.Selection{All: q.All, Target: q.Target,
			Progress: progress})
		if err == nil {
			r.log.Info("events were exported", "events", n.Events, "unreadable", n.Unreadable)
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
func (r desk) Import(lines []byte) (any, error) {
	events, numbers, err := parseLines(lines)
	if err != nil {
		return nil, err
	}
	n, err := care.Import(r.spool, events, func(name string) bool {
		l := r.laneNamed(name)
		return l != nil && l.target() != nil
	})
	if err != nil {
		return nil, importError(err, numbers)
	}
	if err := r.meetLanes(); err != nil {
		return nil, orderError(err)
	}
	if n.Imported > 0 {
		r.log.Info("events were imported", "events", n.Imported, "deliveries", n.Deliveries)
	}
	return n, nil
}

// parseLines reads lines of an export, and what number each event has among them.
func parseLines(lines []byte) (events []*care.Exported, numbers []int, _ error) {
	bad := admin.Refuse(400, accept.CodeMalformed,
		"some lines cannot be imported; nothing was written")
	number := 0
	for line := range bytes.Lines(lines) {
		number++
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		x, err := accept.ParseImported(line)
		if err != nil {
			bad.Faults, bad.Lines = append(bad.Faults, err.Error()), append(bad.Lines, number)
			continue
		}
		events, numbers = append(events, x), append(numbers, number)
	}
	if len(bad.Lines) > 0 {
		return nil, nil, bad
	}
	return events, numbers, nil
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
	r.lanesMu.Lock()
	delete(r.byName, name)
	r.lanesMu.Unlock()
	close(l.forgotten)
	r.seriesMu.Lock()
	r.metrics.forget(name)
	r.seriesMu.Unlock()
	r.log.Warn("a target was forgotten by hand", "target", name)
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
