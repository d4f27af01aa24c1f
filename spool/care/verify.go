package care

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	ondisk "github.com/hookspool/hookspool/spool/badger"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/highwater"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// Report is what Verify found.
type Report struct {
	// Records were read and decoded, Events of them are events of the log.
	Records int64 `json:"records"`
	Events  int64 `json:"events"`
	// Faults are what does not add up, in words, the first 200; FaultCount is all of them.
	Faults     []string `json:"faults"`
	FaultCount int      `json:"fault_count"`
	// Notes are no faults: what a crash leaves, what was set aside before, what only takes room.
	Notes []string `json:"notes"`
	// NotChecked is what cannot be proven while a relay uses the spool.
	NotChecked []string `json:"not_checked"`
	// Stat is nil when the spool could not be opened.
	Stat *Stat `json:"stat"`
}

// verifier holds the sums of one pass.
type verifier struct {
	*Snapshot
	ctx    context.Context
	report *Report
	lanes  map[*Lane]*laneSums
	// want is the next sequence that the log must have.
	want     uint64
	leftover int64 // events below the sweep that nobody needs any more
	aside    int64 // missing sequences that are known as such
	unknown  int64 // records of a newer version
	progress func(done, total int64)
	names    names
}

// laneSums are counted from the records, to be compared with the lane's own.
type laneSums struct {
	exceptions, exhausted, expired, fresh uint64
	// unknown are exceptions that the lane's record does not count yet; a start makes that good.
	unknown uint64
	// lost are unreadable events above the position: whether they were owed, nobody knows.
	lost uint64
}

// Verify reads every record of a spool at rest: files, checksums, gaps between sequences, every
// delivery against the sums of its lane, and the high-water mark. progress, when set, is told of
// events. The error says that it could not look: ErrNoSpool, ErrInUse, ErrWrongKey, ErrFormat;
// what it found is in the report. A spool with damaged files is not opened, because the engine
// would cut off what it cannot read.
func Verify(ctx context.Context, o ReaderOptions, progress func(done, total int64)) (rep *Report,
	err error) {
	rep = newReport()
	var all faults
	defer func() { rep.conclude(recover(), &all) }()
	if _, err := os.Stat(filepath.Join(o.Dir, ondisk.Dir)); err == nil {
		if err := locked(o.Dir); err != nil {
			return rep, fmt.Errorf("cannot verify spool %q: %w", o.Dir, err)
		}
	}
	bad, notes, err := ondisk.CheckFiles(o.Dir)
	if err != nil {
		return rep, fmt.Errorf("cannot verify: %w", err)
	}
	rep.Notes = append(rep.Notes, notes...)
	all = *faultsOf(bad)
	if all.count > 0 {
		return rep, nil
	}
	r, err := OpenReader(o)
	switch {
	case err == nil:
	case errors.Is(err, engine.ErrInUse), errors.Is(err, engine.ErrWrongKey),
		errors.Is(err, record.ErrFormat), errors.Is(err, record.ErrOldFormat),
		errors.Is(err, engine.ErrNoSpool), errors.Is(err, engine.ErrFull),
		errors.Is(err, os.ErrPermission):
		return rep, err
	default:
		if _, system := volume.NameSystem(err); system && !errors.Is(err, engine.ErrDamaged) {
			return rep, err // it says nothing of what is in the files
		}
		all.add("%v", err)
		return rep, nil
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	err = at(ctx, r, func(ctx context.Context, view *Snapshot) error {
		bad, err := ondisk.CheckOlderValueLogs(ctx, o.Dir)
		if err != nil {
			return fmt.Errorf("cannot verify: %w", err)
		}
		for _, fault := range bad {
			view.faults.add("%s", fault)
		}
		if err := r.tree.DB.VerifyChecksum(); err != nil {
			view.faults.add("a table does not fit its checksums: %v", err)
		}
		highWater, herr := highwater.Read(o.Dir)
		v := newVerifier(ctx, view, rep, progress)
		defer func() { all = v.faults }()
		if err := v.run(o.Dir); err != nil {
			return err
		}
		v.checkHighWater(highWater, herr)
		return nil
	})
	return rep, err
}

func newReport() *Report {
	return &Report{Notes: []string{}, Faults: []string{}, NotChecked: []string{}}
}

// conclude puts the faults into the report. panicked is what a damaged file made the engine say.
func (rep *Report) conclude(panicked any, all *faults) {
	if panicked != nil {
		all.add("the engine panicked over what it read: %v", panicked)
	}
	rep.Faults, rep.FaultCount = append(rep.Faults, all.list...), all.count
}

func newVerifier(ctx context.Context, view *Snapshot, rep *Report,
	progress func(done, total int64)) *verifier {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	return &verifier{Snapshot: view, ctx: ctx, report: rep, progress: progress,
		lanes: make(map[*Lane]*laneSums)}
}

// run goes through all records. The error says that it was cut short.
func (v *verifier) run(dir string) error {
	v.checkSmall()
	v.checkLog()
	if v.ctx.Err() != nil {
		return fmt.Errorf("cannot verify to the end: %w", context.Cause(v.ctx))
	}
	v.checkSums()
	st, err := (&Snapshot{look: v.look, format: v.format, tick: v.tick, Checkpoint: v.Checkpoint,
		Swept: v.Swept, Head: v.Head, Lanes: v.Snapshot.Lanes, ByID: v.ByID,
		Forgotten: v.Forgotten}).stat(dir)
	if err != nil {
		v.faults.add("%v", err)
	}
	v.report.Stat = st
	if n := v.count(record.PrefixUnread); n > 0 {
		v.note("%d records were set aside before, because they could not be read", n)
	}
	if v.unknown > 0 {
		v.note("%d records are of kinds that this version does not know: a newer one wrote them",
			v.unknown)
	}
	if n := v.leftover - v.count(record.PrefixReleased); n > 0 {
		v.note("%d events that nobody needs take room; no sweep will find them", n)
	}
	if v.newest > v.Head {
		v.note("a batch was cut off before its answer: the next start removes events %d to %d",
			v.Head+1, v.newest)
	}
	return nil
}

func (v *verifier) note(format string, args ...any) {
	v.report.Notes = append(v.report.Notes, fmt.Sprintf(format, args...))
}

// checkSmall reads everything that is neither in the log nor beside it.
func (v *verifier) checkSmall() {
	w := v.look.Walk(engine.Walk{})
	defer w.Close()
	v.names.begin(v.first(), v.Head)
	for w.Seek(nil); w.Valid() && v.ctx.Err() == nil; {
		v.giveWay()
		key := bytes.Clone(w.Key())
		if len(key) == 0 {
			v.faults.add("there is a record without a key")
			w.Next()
			continue
		}
		k := record.KindOf(key)
		if k != nil && k.Walked {
			w.Seek([]byte{key[0] + 1}) // checkLog reads them
			if w.Valid() && w.Key()[0] <= key[0] {
				w.Next() // keys of a damaged block have no order
			}
			continue
		}
		if v.report.Records++; v.report.Records%4096 == 0 {
			v.progress(0, v.events()) // a sign of life: there may be millions of ids
		}
		err := w.View(func(value []byte) error { return v.checkSmallRecord(key, value) })
		switch {
		case err != nil && k != nil:
			v.faults.add("record %q, %s: %v", key, k.Name(), err)
		case err != nil:
			v.faults.add("record %q: %v", key, err)
		}
		w.Next()
	}
}

// checkSmallRecord checks one small record by itself.
func (v *verifier) checkSmallRecord(key, value []byte) error {
	if record.KindOf(key) == nil && len(value) > 0 {
		// A newer version may have kinds of its own, in the same envelope; this one lets them be.
		if _, err := record.OpenValue(value); err == nil {
			v.unknown++
			return nil
		}
	}
	if err := record.Check(key, value); err != nil {
		return err
	}
	k := record.KindOf(key)
	if id, ok := k.Lane(key); ok && v.ByID[id] == nil && !v.Forgotten[id] {
		return fmt.Errorf("it is about lane %d, which has no name", id)
	}
	if k.Prefix != record.PrefixID {
		return nil
	}
	r, err := record.DecodeID(value)
	if err == nil && !v.names.note(string(key[1:]), r.Seq) {
		err = fmt.Errorf("another id names event %d as well", r.Seq)
	}
	return err
}

// noteIDs compares the ids of a range of events from one on, of those that the walk comes to next.
func (v *verifier) noteIDs(from uint64) {
	v.names.begin(from, v.Head)
	err := v.Scan([]byte{record.PrefixID}, nil, func(key, value []byte) (bool, error) {
		v.giveWay()
		if r, err := record.DecodeID(value); err == nil {
			v.names.note(string(key[1:]), r.Seq) // what is wrong with it was told
		}
		return v.ctx.Err() == nil, nil
	})
	if err != nil {
		v.faults.add("cannot read the records of ids: %v", err)
	}
}

// checkLog walks through the log and, beside it, through what every lane keeps of it.
func (v *verifier) checkLog() {
	for _, l := range v.Snapshot.Lanes {
		sums := &laneSums{}
		v.lanes[l] = sums
		l.failed = v.cursor(record.PrefixException, l, func(seq uint64) {
			sums.exceptions++
			v.withoutEvent("an exception", l, seq)
		})
		l.kept = v.cursor(record.PrefixExhausted, l, func(seq uint64) {
			sums.exhausted++
			v.withoutEvent("an exhausted delivery", l, seq)
		})
		l.purged = v.cursor(record.PrefixPurged, l, func(seq uint64) {
			v.withoutEvent("a purged delivery", l, seq)
		})
	}
	check := v.checkGap
	v.want = v.Swept + 1
	if !v.Dense() {
		// What is missing may never have been; what was set aside is known by its record.
		check = func(uint64) {}
		v.checkAside()
	}
	err := v.Walk(0, func(e *record.Event, owed []Owed) error {
		v.report.Events++
		v.progress(v.report.Events, max(v.events(), v.report.Events))
		check(e.Seq)
		v.checkEvent(e, owed)
		return v.ctx.Err()
	})
	if v.ctx.Err() != nil {
		return
	}
	if err != nil {
		v.faults.add("cannot read the log to its end: %v", err)
	}
	check(v.Head + 1)
	for _, l := range v.Snapshot.Lanes {
		for _, c := range []*cursor{l.failed, l.kept, l.purged} {
			if _, err := c.at(^uint64(0)); err != nil {
				v.faults.add("target %q: %v", l.Name, err)
			}
		}
	}
	v.report.Records += v.report.Events
	if v.aside > 0 {
		v.note("%d events of the log were set aside before", v.aside)
	}
}

// events is how many the log holds at most, as far as its ends tell.
func (v *verifier) events() int64 { return int64(v.Head - min(v.Head, v.Swept)) }

// withoutEvent is told of a delivery whose event is not in the log or was never owed.
func (v *verifier) withoutEvent(what string, l *Lane, seq uint64) {
	v.report.Records++
	if _, err := v.Get(record.UnreadKey(seq)); err == nil {
		return // its event was set aside; the next job drops it
	}
	v.faults.add("target %q has %s of event %d, which is not in the log or not its own", l.Name,
		what, seq)
}

// setAside notes an event that was set aside.
func (v *verifier) setAside(seq uint64) {
	v.aside++
	for _, l := range v.Snapshot.Lanes {
		if seq > l.Record.Position {
			v.lanes[l].lost++
		}
	}
}

// checkAside notes what was set aside of a log that has gaps.
func (v *verifier) checkAside() {
	err := v.Scan([]byte{record.PrefixUnread}, record.UnreadKey(v.want),
		func(key, _ []byte) (bool, error) {
			if seq := record.KeySeq(key); seq <= v.Head {
				v.setAside(seq)
			}
			return v.ctx.Err() == nil, nil
		})
	if err != nil {
		v.faults.add("cannot read what was set aside: %v", err)
	}
}

// checkGap notes the sequences that are missing before one. Of those that are there and cannot be
// read the walk told.
func (v *verifier) checkGap(seq uint64) {
	v.Gap(v.ctx, v.want, seq, func(seq uint64, aside bool) {
		if aside {
			v.setAside(seq)
		}
	}, func(first, last uint64) {
		v.faults.add("events %d to %d are missing from the log", first, last)
	})
	v.want = max(v.want, seq+1)
}

func (v *verifier) checkEvent(e *record.Event, owed []Owed) {
	if !v.names.holds(e.Seq) {
		v.noteIDs(e.Seq)
	}
	if !v.names.fits(e) {
		v.faults.add("event %d has id %q, and the record of another id names it", e.Seq, e.ID())
	}
	needed := e.Seq > v.Swept
	for _, d := range owed {
		sums := v.lanes[d.Lane]
		switch {
		case d.Fresh:
			sums.fresh++
		case d.State == record.StatePending:
			sums.exceptions++
			if !d.Lane.Passed(e.Seq) {
				sums.unknown++
			}
		case d.State == record.StateExhausted:
			sums.exhausted++
		case d.State == record.StateExpired:
			sums.exhausted++
			sums.expired++
		}
		if d.State != record.StateDelivered {
			if !d.Fresh {
				v.report.Records++
			}
			needed = needed || d.State != record.StatePurged
		}
	}
	if !needed {
		v.leftover++
	}
}

// checkSums compares every lane's sums with what was counted.
func (v *verifier) checkSums() {
	tail, err := v.owedTail()
	if err != nil {
		v.faults.add("cannot read the end of the log: %v", err)
	}
	for _, l := range v.Snapshot.Lanes {
		r, n := &l.Record, v.lanes[l]
		if r.Exceptions+n.unknown != n.exceptions {
			v.faults.add("target %q counts %d exceptions; there are %d", l.Name,
				r.Exceptions+n.unknown, n.exceptions)
		}
		if r.Exhausted != n.exhausted {
			v.faults.add("target %q counts %d exhausted deliveries; there are %d", l.Name,
				r.Exhausted, n.exhausted)
		}
		if r.Expired < n.expired || r.Expired > r.Exhausted {
			v.faults.add("target %q counts %d expired deliveries; there are %d", l.Name, r.Expired,
				n.expired)
		}
		owed, passed := r.Owed+tail[l.ID], r.Passed+n.unknown
		if passed > owed {
			v.faults.add("target %q counts %d deliveries as settled; it owed %d", l.Name, passed,
				owed)
			continue
		}
		if fresh := owed - passed; fresh < n.fresh || fresh > n.fresh+n.lost {
			v.faults.add("target %q counts %d deliveries on their way through the log; there are %d",
				l.Name, fresh, n.fresh)
		}
		if r.Position > v.Head || r.OwedSeq > v.Head {
			v.faults.add("target %q is at %d and counts up to %d; the newest event is %d", l.Name,
				r.Position, r.OwedSeq, v.Head)
		}
	}
}

// checkHighWater compares the log's end with what was answered when the mark was read.
func (v *verifier) checkHighWater(h uint64, err error) {
	switch {
	case errors.Is(err, os.ErrNotExist) && v.Head == 0:
	case err != nil:
		v.faults.add("file %s: %v", highwater.Name, err)
	case h > v.Head:
		v.faults.add("event %d was answered, but the newest in the log is %d (%d missing)", h, v.Head,
			h-v.Head)
	}
}
