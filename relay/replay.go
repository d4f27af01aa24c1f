package relay

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// Replay is part of admin.Replayer. A page is one commit, so that a kill leaves whole pages, and
// whoever goes on from the cursor, or begins again, replays nothing twice: what is pending stays as
// it is.
func (r desk) Replay(ctx context.Context, q admin.ReplayQuery) (admin.Replayed, error) {
	out := admin.Replayed{DryRun: q.DryRun}
	refs, lanes, next, err := r.replayable(&q)
	if err != nil {
		return out, err
	}
	if err := ctx.Err(); err != nil {
		return out, fmt.Errorf("cannot replay while the relay stops: %w", err)
	}
	out.Count, out.Next = len(refs), cursor(next)
	if q.DryRun {
		return out, nil
	}
	if len(refs) > 0 {
		// An event that went meanwhile is not there to be replayed.
		if out.Count, err = r.spool.Replay(refs...); err != nil && !errors.Is(err, spool.ErrNotFound) {
			return out, orderError(err)
		}
		r.log.Info("deliveries are replayed", "target", q.Target, "state", q.State, "id", q.ID,
			"deliveries", out.Count)
	}
	if next > 0 || out.Count == 0 && q.After == "" {
		return out, nil
	}
	// A job a page would count as many failed jobs of a target that is down.
	for _, l := range lanes {
		if l.status() != Enabled {
			continue
		}
		if _, err := r.jobNow(l); err != nil {
			return out, err
		}
	}
	return out, nil
}

// replayable is one page of what a query selects, and the lanes that it is about.
func (r desk) replayable(q *admin.ReplayQuery) (refs []spool.Ref, lanes []*lane, next uint64,
	err error) {
	if q.ID != "" {
		refs, lanes, err = r.replayableOf(q)
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
		Page: q.Page}, from)
	for i := range found {
		if found[i].ID != "" { // else it cannot be read
			refs = append(refs, spool.Ref{Lane: l.spool.ID(), Seq: found[i].Seq})
		}
	}
	return refs, []*lane{l}, next, err
}

// replayableOf selects among the deliveries of one event, which are one page.
func (r desk) replayableOf(q *admin.ReplayQuery) (refs []spool.Ref, lanes []*lane, err error) {
	e, err := r.eventByID(q.ID)
	if err != nil {
		return nil, nil, err
	}
	if match := matcher(q.Type); match != nil && !match(e.Type()) ||
		!q.Since.IsZero() && e.At.Before(q.Since) || !q.Until.IsZero() && e.At.After(q.Until) {
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
		if p := &places[i]; p.State == stateNamed(q.State) {
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
	case errors.Is(err, spool.ErrClosed):
		return admin.Refuse(503, accept.CodeDraining, "the relay is stopping")
	}
	return err
}
