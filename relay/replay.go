package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/hunt"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
)

// Replay is part of admin.Replayer. A page is one commit, so that a kill leaves whole pages, and
// whoever goes on from the cursor, or begins again, replays nothing twice: what is pending stays as
// it is.
func (r desk) Replay(ctx context.Context, q admin.ReplayQuery) (admin.Replayed, error) {
	out := admin.Replayed{DryRun: q.DryRun}
	h, err := r.begin(&q.Choice, "")
	if err != nil {
		return out, err
	}
	defer h.End()
	refs, lanes, next, err := r.replayable(&q, h)
	if err != nil {
		return out, err
	}
	out.Looked = h.Looked(0)
	if q.ID == "" {
		out.Looked = lookedIn(h, lanes[0], &admin.Query{State: q.State, Window: q.Window}, next)
	}
	if err := ctx.Err(); err != nil {
		return out, fmt.Errorf("cannot replay while the relay stops: %w", err)
	}
	out.Count, out.Next = len(refs), cursor(next)
	out.Sends, out.WhyNot = sends(lanes)
	if q.DryRun {
		return out, nil
	}
	if len(refs) > 0 {
		// An event that went meanwhile is not there to be replayed.
		orders := r.ordersOf(refs)
		out.Count, err = r.spool.ReplayInOrder(refs, orders)
		if err != nil && !errors.Is(err, spool.ErrNotFound) {
			return out, orderError(err)
		}
	}
	if next > 0 || out.Count == 0 && q.After == "" {
		return out, nil
	}
	// A job a page would count as many failed jobs of a target that is down.
	for _, l := range lanes {
		if l.status() != Enabled {
			continue
		}
		if _, err := r.jobNow(l, nil); err != nil {
			return out, err
		}
	}
	return out, nil
}

// sends reports whether what is pending for all of some lanes will be sent, and what is in the way
// of that, or puts it off.
func sends(lanes []*lane) (all bool, whyNot string) {
	all = true
	var reasons []string
	for _, l := range lanes {
		ok, why := sending(l)
		all = all && ok
		if why != "" {
			reasons = append(reasons, why)
		}
	}
	return all, strings.Join(reasons, "; ")
}

// sending is sends for one lane.
func sending(l *lane) (ok bool, whyNot string) {
	l.mu.Lock()
	t, status, standing := l.target(), l.statusLocked(), standingLocked(l)
	l.mu.Unlock()
	until := shutBy(t, standing, l.r.now())
	switch {
	case t == nil:
		return false, l.name + " is not in the config: nothing is sent until its table returns"
	case status == Disabled:
		return false, l.name + " is disabled by the config: nothing is sent until it is enabled there"
	case t.Status == config.StatusPaused:
		return false, l.name + " is paused by the config: nothing is sent until it is enabled there"
	case status == Paused:
		return false, l.name + " is paused: nothing is sent until hookspool resume " + l.name
	case status == Defective:
		return true, l.name + " is Defective: its next job sends it; hookspool retry " + l.name +
			" runs one now"
	case !until.IsZero():
		return true, l.name + " asked to be left alone until " + until.UTC().Format(time.RFC3339)
	}
	return true, ""
}

// ordersOf are the orders of deliveries that are to be pending again, whose lines hear of it; nil:
// they have none. An event that cannot be read is refused by whoever replays it.
func (r desk) ordersOf(refs []spool.Ref) (orders []uint64) {
	byLane := make(map[*lane][]uint64)
	events := look.NewReader(r.spool.Records())
	defer events.Close()
	for i, ref := range refs {
		l := r.laneNamed(r.spool.NameOf(ref.Lane))
		if l == nil {
			continue
		}
		w := l.work.Load()
		if w == nil || w.orderOf == nil {
			continue
		}
		if orders == nil {
			orders = make([]uint64, len(refs))
		}
		if e, err := events.Event(ref.Seq); err == nil {
			orders[i] = w.orderOf(e)
			byLane[l] = append(byLane[l], orders[i])
		}
	}
	for l, orders := range byLane {
		l.lines.Replays(l.tenure.Load(), orders)
	}
	return orders
}

// replayable is one page of what a query selects, and the lanes that it is about.
func (r desk) replayable(q *admin.ReplayQuery, h *hunt.Page) (refs []spool.Ref, lanes []*lane,
	next uint64, err error) {
	if q.ID != "" {
		refs, lanes, err = r.replayableOf(q, h)
		return refs, lanes, 0, err
	}
	l := r.laneNamed(q.Target)
	if l == nil {
		return nil, nil, 0, noTarget(q.Target)
	}
	from, err := readCursor(q.After)
	if err != nil {
		return nil, nil, 0, err
	}
	found, next, err := find(l, &admin.Query{State: q.State, Type: q.Type, Window: q.Window,
		Page: q.Page}, from, h)
	for i := range found {
		if found[i].ID != "" { // else it cannot be read
			refs = append(refs, spool.Ref{Lane: l.spool.ID(), Seq: found[i].Seq})
		}
	}
	return refs, []*lane{l}, next, err
}

// replayableOf selects among the deliveries of one event, which are one page.
func (r desk) replayableOf(q *admin.ReplayQuery, h *hunt.Page) (refs []spool.Ref, lanes []*lane,
	err error) {
	e, err := r.eventByID(q.ID)
	if err != nil {
		return nil, nil, err
	}
	if match := matcher(q.Type); match != nil && !match(e.Type()) ||
		!q.Since.IsZero() && e.At.Before(q.Since) || !q.Until.IsZero() && e.At.After(q.Until) ||
		!h.Takes(e) {
		return nil, nil, nil
	}
	places, err := look.Places(r.spool, e)
	if err != nil {
		return nil, nil, err
	}
	if q.Target != "" {
		places = slices.DeleteFunc(places, func(p look.Place) bool { return p.Target != q.Target })
		if len(places) == 0 {
			return nil, nil, admin.Refuse(404, accept.CodeNotFound,
				"event %.256q is not owed to a target %.100q", q.ID, q.Target)
		}
	}
	for i := range places {
		if p := &places[i]; p.State == stateNamed(q.State) && h.Asks(e.Seq, p) {
			refs = append(refs, spool.Ref{Lane: p.Lane, Seq: e.Seq})
			lanes = append(lanes, r.laneNamed(p.Target))
		}
	}
	return refs, lanes, nil
}

// orderError is the answer to an order that the spool refuses.
func orderError(err error) error {
	switch {
	case errors.Is(err, spool.ErrFull):
		e := admin.Refuse(507, accept.CodeSpoolFull, "%v", err)
		e.Hint = "make room on its disk, or raise spool.max_size"
		if errors.Is(err, spool.ErrNoInodes) {
			e.Hint = "remove small files from its disk: it has too few free inodes (df -i)"
		}
		return e
	case errors.Is(err, spool.ErrFailed):
		return admin.Refuse(507, accept.CodeDiskError, "%v", err)
	case errors.Is(err, engine.ErrUnavailable):
		e := admin.Refuse(503, accept.CodeOverloaded, "nothing can be written at the moment: %v", err)
		e.RetryAfter = silentRetryAfter
		return e
	case errors.Is(err, spool.ErrClosed):
		return admin.Refuse(503, accept.CodeDraining, "the relay is stopping")
	}
	return err
}
