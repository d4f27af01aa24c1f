package relay

import (
	"context"
	"io"

	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/spool"
)

// Purge is part of admin.Care. An orphan can be purged as well: that is what ends it.
func (r *Relay) Purge(ctx context.Context, name string, q admin.PurgeQuery) (admin.Purged, error) {
	out := admin.Purged{Target: name, State: q.State, DryRun: q.DryRun}
	l := r.laneNamed(name)
	if l == nil {
		return out, noTarget(name)
	}
	p := spool.Purge{State: spool.StatePending, Until: q.Until, DryRun: q.DryRun}
	if q.State == "exhausted" {
		p.State = spool.StateExhausted
	}
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
	n, err := l.spool.Purge(ctx, p)
	out.Count = n
	if n > 0 && !q.DryRun {
		r.log.Warn("deliveries were purged by hand", "target", name, "state", q.State,
			"deliveries", n)
	}
	return out, err
}

// Backup is part of admin.Care.
func (r *Relay) Backup(ctx context.Context, w io.Writer) error {
	info, err := r.spool.Backup(ctx, w)
	if err == nil {
		r.log.Info("the spool was backed up", "newest", info.Head, "bytes", info.Bytes)
	}
	return err
}

// SpoolStat is part of admin.Care.
func (r *Relay) SpoolStat() (any, error) { return r.spool.Stat() }
