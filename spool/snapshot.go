package spool

import (
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// snapshot is the whole spool as one read transaction of the engine sees it: an instant between two
// commits, whatever is written meanwhile. Stat, export, verify and backup read it, of a spool at
// rest and of one that runs. Lane records in it may be a checkpoint old after a crash.
type snapshot struct {
	look       engine.Look
	format     record.Format
	tick       record.Tick
	checkpoint uint64
	swept      uint64
	// head is the newest event; newest is above it while a batch is only partly written, or if its
	// writing was cut off.
	head, newest uint64
	lanes        []*laneView
	byID         map[record.LaneID]*laneView
	forgotten    map[record.LaneID]bool // lanes that events may still list
	faults       faults
	// unreadable counts log records that a walk could not decode.
	unreadable int64
	seen       int // records, for giveWay
}

// giveWayEvery records, some tens of microseconds of work, a reader lets others run.
const giveWayEvery = 8

// giveWay is called for every record. A reader is all work and no waiting, and would otherwise keep
// a core from the committer for whole time slices of the scheduler, 10 ms each.
func (v *snapshot) giveWay() {
	if v.seen++; v.seen%giveWayEvery == 0 {
		runtime.Gosched()
	}
}

// laneView is a lane in a snapshot.
type laneView struct {
	id       record.LaneID
	name     string
	rec      record.Lane
	standing record.Standing
	// Cursors over what the lane keeps beside the log, made when they are first asked.
	failed, kept, purged *cursor
}

// faults collects what does not add up; the first faultsMax in words.
type faults struct {
	list  []string
	count int
}

const faultsMax = 200

func (f *faults) add(format string, args ...any) {
	f.count++
	if len(f.list) < faultsMax {
		f.list = append(f.list, fmt.Sprintf(format, args...))
	}
}

// faultsOf are faults that were found elsewhere.
func faultsOf(list []string) *faults {
	return &faults{list: list[:min(len(list), faultsMax)], count: len(list)}
}

func (f *faults) err() error {
	if f.count == 0 {
		return nil
	}
	return fmt.Errorf("%w: %s (%d faults)", engine.ErrDamaged, f.list[0], f.count)
}

// openSnapshot reads the small records. What is wrong with them is in faults; the error says that
// there is no spool of this format. The snapshot is to be closed before the look.
func openSnapshot(look engine.Look) (*snapshot, error) {
	v := &snapshot{look: look, byID: make(map[record.LaneID]*laneView),
		forgotten: make(map[record.LaneID]bool)}
	err := v.loadFormat()
	if err == nil {
		v.loadMeta()
		v.loadLanes()
		err = v.loadHead()
	}
	if err != nil {
		return nil, err
	}
	return v, nil
}

// close lets go of what walks have opened.
func (v *snapshot) close() {
	for _, l := range v.lanes {
		for _, c := range []*cursor{l.failed, l.kept, l.purged} {
			if c != nil {
				c.walk.Close()
			}
		}
	}
}

func (v *snapshot) get(key []byte) ([]byte, error) {
	return v.look.Get(key)
}

func (v *snapshot) loadFormat() error {
	value, err := v.get(record.MetaKey(record.MetaFormat))
	if err != nil {
		return fmt.Errorf("cannot read its format: %w", err)
	}
	if v.format, err = record.DecodeFormat(value); err != nil {
		return err
	}
	if v.format.Version != record.Version {
		return fmt.Errorf("%w: got %d; want %d", record.ErrOldFormat, v.format.Version, record.Version)
	}
	return nil
}

// small reads one small record, if it is there.
func (v *snapshot) small(what string, key []byte, read func(value []byte) error) {
	value, err := v.get(key)
	if errors.Is(err, engine.ErrNotFound) {
		return
	}
	if err == nil {
		err = read(value)
	}
	if err != nil {
		v.faults.add("cannot read %s: %v", what, err)
	}
}

func (v *snapshot) loadMeta() {
	v.small("the last tick", record.MetaKey(record.MetaTick), func(value []byte) (err error) {
		v.tick, err = record.DecodeTick(value)
		return err
	})
	v.small("the checkpoint", record.MetaKey(record.MetaCheckpoint), func(value []byte) error {
		c, err := record.DecodeCheckpoint(value)
		v.checkpoint, v.swept = c.Head, c.Swept
		return err
	})
}

func (v *snapshot) loadLanes() {
	names := make(map[string]record.LaneID)
	err := v.scan([]byte{record.PrefixName}, nil, func(key, value []byte) (bool, error) {
		name, err := record.DecodeName(value)
		if err != nil || len(key) != 5 {
			v.faults.add("cannot read the name of lane %x: %v", key[1:], err)
			return true, nil
		}
		l := &laneView{id: record.KeyLane(key), name: name}
		if l.name == "" {
			v.forgotten[l.id] = true
			return true, nil
		}
		if twin, twice := names[l.name]; twice {
			v.faults.add("lanes %d and %d have the same name %q", twin, l.id, l.name)
		}
		names[l.name] = l.id
		v.lanes = append(v.lanes, l)
		v.byID[l.id] = l
		return true, nil
	})
	if err != nil {
		v.faults.add("cannot read the names of lanes: %v", err)
	}
	for _, l := range v.lanes {
		value, err := v.get(record.LaneKey(record.PrefixLane, l.id))
		if err == nil {
			var r *record.Lane
			if r, err = record.DecodeLane(value); err == nil {
				l.rec = *r
			}
		}
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			v.faults.add("target %q: %v", l.name, err)
		}
		value, err = v.get(record.LaneKey(record.PrefixStanding, l.id))
		if err == nil {
			l.standing, err = record.DecodeStanding(value)
		}
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			v.faults.add("target %q: %v", l.name, err)
		}
	}
}

// loadHead finds the newest event. A batch whose last record is not there was not answered yet, or
// never: the next start would remove what there is of it.
func (v *snapshot) loadHead() error {
	w := v.look.Walk(engine.Walk{Reverse: true})
	defer w.Close()
	v.head = v.checkpoint
	w.Seek([]byte{record.PrefixLog + 1})
	for ; w.Valid() && w.Key()[0] == record.PrefixLog; w.Next() {
		seq := record.KeySeq(w.Key())
		v.newest = max(v.newest, seq)
		if seq <= v.checkpoint {
			break
		}
		cut := false
		err := w.View(func(value []byte) error {
			e, err := record.DecodeEvent(value, seq)
			cut = err == nil && e.BatchEnd > v.newest
			return nil
		})
		if err != nil {
			return fmt.Errorf("cannot read the newest events: %w", err)
		}
		if !cut {
			v.head = seq
			break
		}
	}
	v.newest = max(v.newest, v.head)
	return nil
}

// scan visits the keys with a prefix from a start on, in order, until visit says no. Keys and
// values are only valid during the visit.
func (v *snapshot) scan(prefix, start []byte, visit func(key, value []byte) (bool, error)) error {
	return engine.Scan(v.look, prefix, start, visit)
}

// count is the number of keys with a prefix; it reads no values.
func (v *snapshot) count(prefix ...byte) int64 {
	w := v.look.Walk(engine.Walk{Prefix: prefix})
	defer w.Close()
	n := int64(0)
	for w.Seek(prefix); w.Valid(); w.Next() {
		n++
	}
	return n
}

// cursor goes through one lane's exceptions (or exhausted deliveries, or purge marks) beside a walk
// through the log: both are in the order of sequences, so that neither memory nor a lookup per
// delivery is needed.
type cursor struct {
	walk engine.Walker
	// passed is told what the walk went past without asking; nil: nobody wants to know.
	passed func(seq uint64)
}

func (v *snapshot) cursor(prefix byte, l *laneView, passed func(seq uint64)) *cursor {
	all := record.LaneKey(prefix, l.id)
	c := &cursor{walk: v.look.Walk(engine.Walk{Prefix: all}), passed: passed}
	c.walk.Seek(all)
	return c
}

// at is the entry of a sequence, nil if there is none. Sequences must be asked in ascending order.
func (c *cursor) at(seq uint64) ([]byte, error) {
	for ; c.walk.Valid(); c.walk.Next() {
		switch s := record.KeySeq(c.walk.Key()); {
		case s > seq:
			return nil, nil
		case s == seq:
			value, err := engine.Copy(c.walk)
			c.walk.Next()
			return value, err
		default:
			if c.passed != nil {
				c.passed(s)
			}
		}
	}
	return nil, nil
}

// owedDelivery is one delivery of an event on a walk.
type owedDelivery struct {
	lane  *laneView
	state record.State
	x     *record.Exception // of a pending or exhausted delivery that was tried
	fresh bool              // pending, and still on its way through the log
}

// walk visits the events from a sequence on, oldest first, with the state of all their deliveries.
// The event and the list are only valid during the visit. Records that cannot be read are counted.
func (v *snapshot) walk(from uint64, visit func(e *record.Event, owed []owedDelivery) error) error {
	var owed []owedDelivery
	return v.scan([]byte{record.PrefixLog}, record.LogKey(from),
		func(key, value []byte) (bool, error) {
			if len(key) != 9 {
				v.faults.add("the log has a record with the key %x", key)
				return true, nil
			}
			if record.KeySeq(key) > v.head {
				return false, nil
			}
			v.giveWay()
			e, err := record.DecodeEvent(value, record.KeySeq(key))
			if err != nil {
				v.unreadable++
				v.faults.add("%v", err)
				return true, nil
			}
			owed = owed[:0]
			e.LaneIDs(func(id record.LaneID) {
				l := v.byID[id]
				if l == nil && v.forgotten[id] {
					return
				}
				if l == nil {
					v.faults.add("event %d is owed to lane %d, which has no name", e.Seq, id)
					return
				}
				owed = append(owed, v.delivery(l, e.Seq))
			})
			return true, visit(e, owed)
		})
}

// delivery finds one delivery's state; the sequences of a lane must come in ascending order.
func (v *snapshot) delivery(l *laneView, seq uint64) owedDelivery {
	d := owedDelivery{lane: l, state: record.StateDelivered}
	if l.failed == nil {
		l.failed = v.cursor(record.PrefixException, l, nil)
	}
	if l.kept == nil {
		l.kept = v.cursor(record.PrefixExhausted, l, nil)
	}
	if l.purged == nil {
		l.purged = v.cursor(record.PrefixPurged, l, nil)
	}
	for _, look := range []struct {
		c     *cursor
		state record.State
	}{{l.failed, record.StatePending}, {l.kept, record.StateExhausted},
		{l.purged, record.StatePurged}} {
		value, err := look.c.at(seq)
		if value == nil && err == nil {
			continue
		}
		d.state = look.state
		if err == nil && look.state != record.StatePurged {
			d.x, err = record.DecodeException(value)
		}
		if err != nil {
			v.faults.add("target %q, event %d: %v", l.name, seq, err)
		}
		return d
	}
	if !l.passed(seq) {
		d.state, d.fresh = record.StatePending, true
	}
	return d
}

// passed reports whether the lane's record counts a delivery as settled or beside the log.
func (l *laneView) passed(seq uint64) bool {
	if seq <= l.rec.Position {
		return true
	}
	_, found := slices.BinarySearch(l.rec.Above, seq)
	return found
}
