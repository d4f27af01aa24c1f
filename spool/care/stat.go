package care

import (
	"context"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// Stat is a spool in numbers, as of one instant.
type Stat struct {
	Spool string `json:"spool"` // its id
	// Former are the ids of the spools that it was restored from, newest first.
	Former []string `json:"former"`
	Format uint64   `json:"format"`
	// Head is the newest event's sequence, Swept the one up to which finished events are gone,
	// Events how many are kept.
	Head   uint64 `json:"head"`
	Swept  uint64 `json:"swept"`
	Events int64  `json:"events"`
	// Bytes on disk.
	Bytes       int64      `json:"bytes"`
	Sessions    int64      `json:"sessions"` // records of conversations and their aliases
	Notices     int64      `json:"notices"`  // alerts owed
	Actions     int64      `json:"actions"`  // of operators, as hookspool actions tells them
	Quarantined int64      `json:"quarantined"`
	TickNumber  uint64     `json:"tick_number"`
	LastTick    *time.Time `json:"last_tick"`
	Targets     []LaneStat `json:"targets"`
}

// LaneStat is one target in a Stat.
type LaneStat struct {
	Name string `json:"name"`
	// Position is the sequence up to which nothing is owed but exceptions.
	Position uint64 `json:"position"`
	// Pending are all pending deliveries; Exceptions the ones of them that failed before or were
	// asked for again.
	Pending        uint64     `json:"pending"`
	Exceptions     uint64     `json:"exceptions"`
	Exhausted      uint64     `json:"exhausted"`
	Expired        uint64     `json:"expired,omitempty"`
	Delivered      uint64     `json:"delivered"`   // ever
	Purged         uint64     `json:"purged"`      // ever
	Quarantined    uint64     `json:"quarantined"` // ever
	FailedJobs     int        `json:"failed_jobs"`
	DefectiveSince *time.Time `json:"defective_since"`
	LastSuccess    *time.Time `json:"last_success"`
	LastFailure    *time.Time `json:"last_failure"`
	LastError      string     `json:"last_error"`
}

// StatOf counts what is there. It goes through the keys of the log, not through the payloads.
func StatOf(of Source) (st *Stat, err error) {
	dir, _ := of.Home()
	err = at(context.Background(), of, func(_ context.Context, v *Snapshot) error {
		st, err = v.stat(dir)
		return err
	})
	return st, err
}

func (v *Snapshot) stat(dir string) (*Stat, error) {
	st := &Stat{
		Spool: hex.EncodeToString(v.format.ID[:]), Former: []string{}, Format: v.format.Version,
		Head: v.Head, Swept: v.Swept, Events: v.count(record.PrefixLog),
		Sessions: v.count(record.PrefixState),
		Notices:  v.count(record.PrefixNotice), Actions: v.count(record.PrefixAction),
		Quarantined: v.count(record.PrefixUnread),
		TickNumber:  v.tick.Number, LastTick: instant(v.tick.At), Targets: []LaneStat{},
	}
	for _, id := range v.format.Former {
		st.Former = append(st.Former, hex.EncodeToString(id[:]))
	}
	tail, err := v.owedTail()
	if err == nil {
		st.Bytes, err = volume.BytesOnDisk(dir)
	}
	if err == nil {
		err = v.faults.err()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot count: %w", err)
	}
	for _, l := range v.Lanes {
		r := &l.Record
		owed := r.Owed + tail[l.ID]
		st.Targets = append(st.Targets, LaneStat{
			Name: l.Name, Position: r.Position,
			Pending:    owed - min(owed, r.Passed) + r.Exceptions,
			Exceptions: r.Exceptions,
			Exhausted:  r.Exhausted - min(r.Exhausted, r.Expired), Expired: r.Expired,
			Delivered: r.Delivered, Purged: r.Purged, Quarantined: r.Quarantined,
			FailedJobs:     l.standing.FailedJobs,
			DefectiveSince: instant(l.standing.DefectiveSince),
			LastSuccess:    instant(r.LastSuccess), LastFailure: instant(r.LastFailure),
			LastError: r.LastError,
		})
	}
	return st, nil
}

// owedTail counts what each lane owes of the log behind the point up to which its record counts.
func (v *Snapshot) owedTail() (map[record.LaneID]uint64, error) {
	tail := make(map[record.LaneID]uint64)
	err := v.Scan([]byte{record.PrefixLog}, record.LogKey(v.Checkpoint+1),
		func(key, value []byte) (bool, error) {
			seq := record.KeySeq(key)
			if seq > v.Head {
				return false, nil
			}
			e, err := record.DecodeEvent(value, seq)
			if err != nil {
				return true, nil // whoever reads the log tells
			}
			e.LaneIDs(func(id record.LaneID) {
				if l := v.ByID[id]; l != nil && seq > l.Record.OwedSeq {
					tail[id]++
				}
			})
			return true, nil
		})
	return tail, err
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
