package care

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

// Snapshot is the whole spool as one read transaction of the engine sees it: an instant between two
// commits, whatever is written meanwhile. Stat, export, verify and backup read it, of a spool at
// rest and of one that runs; a recount does. Lane records in it may be a checkpoint old after a
// crash. It is not safe for concurrent use.
type Snapshot struct {
	look   engine.Look
	format record.Format
	tick   record.Tick
	// Checkpoint is the event up to which the records of lanes count, Swept the one up to which
	// events are gone that nobody needed.
	Checkpoint, Swept uint64
	// Head is the newest event; newest is above it while a batch is only partly written, or if its
	// writing was cut off.
	Head, newest uint64
	Lanes        []*Lane
	ByID         map[record.LaneID]*Lane
	Forgotten    map[record.LaneID]bool // lanes that events may still list
	faults       faults
	// unreadable counts log records that a walk could not decode.
	unreadable int64
	seen       int // records, for giveWay
}

// giveWayEvery records, some tens of microseconds of work, a reader lets others run.
const giveWayEvery = 8

// giveWay is called for every record. A reader is all work and no waiting, and would otherwise keep
// a core from the committer for whole time slices of the scheduler, 10 ms each.
func (v *Snapshot) giveWay() {
	if v.seen++; v.seen%giveWayEvery == 0 {
		runtime.Gosched()
	}
}

// Lane is a lane in a snapshot. One without a record or a standing has zero values.
type Lane struct {
	ID       record.LaneID
	Name     string
	Record   record.Lane
	standing record.Standing
	// Cursors over what the lane keeps beside the log, made when they are first asked.
	failed, kept, purged *cursor
	receipts             *look.Receipts
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

// OpenSnapshot reads the small records. What is wrong with them is in Faults; the error says that
// there is no spool of this format. The snapshot is to be closed before the look.
func OpenSnapshot(look engine.Look) (*Snapshot, error) {
	v := &Snapshot{look: look, ByID: make(map[record.LaneID]*Lane),
		Forgotten: make(map[record.LaneID]bool)}
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

// Close lets go of what walks have opened.
func (v *Snapshot) Close() {
	for _, l := range v.Lanes {
		for _, c := range []*cursor{l.failed, l.kept, l.purged} {
			if c != nil {
				c.walk.Close()
			}
		}
		if l.receipts != nil {
			l.receipts.Close()
		}
	}
}

// receipt is what is known of a delivery that was delivered; the sequences of a lane must come in
// ascending order.
func (v *Snapshot) receipt(l *Lane, seq uint64) (look.Receipt, error) {
	if l.receipts == nil {
		l.receipts = look.OpenReceipts(v.look, l.ID, l.Record.Receipts)
	}
	return l.receipts.Find(seq)
}

// Get is a record's value. ErrNotFound: there is none.
func (v *Snapshot) Get(key []byte) ([]byte, error) {
	return v.look.Get(key)
}

// Faults are what did not add up so far, in words, the first 200.
func (v *Snapshot) Faults() []string { return v.faults.list }

func (v *Snapshot) loadFormat() error {
	value, err := v.Get(record.MetaKey(record.MetaFormat))
	if err != nil {
		return fmt.Errorf("cannot read its format: %w", err)
	}
	v.format, err = record.DecodeFormat(value)
	return err
}

// small reads one small record, if it is there.
func (v *Snapshot) small(what string, key []byte, read func(value []byte) error) {
	value, err := v.Get(key)
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

func (v *Snapshot) loadMeta() {
	v.small("the last tick", record.MetaKey(record.MetaTick), func(value []byte) (err error) {
		v.tick, err = record.DecodeTick(value)
		return err
	})
	v.small("the checkpoint", record.MetaKey(record.MetaCheckpoint), func(value []byte) error {
		c, err := record.DecodeCheckpoint(value)
		v.Checkpoint, v.Swept = c.Head, c.Swept
		return err
	})
}

func (v *Snapshot) loadLanes() {
	names := make(map[string]record.LaneID)
	err := v.Scan([]byte{record.PrefixName}, nil, func(key, value []byte) (bool, error) {
		name, err := record.DecodeName(value)
		if err != nil || len(key) != 5 {
			v.faults.add("cannot read the name of lane %x: %v", key[1:], err)
			return true, nil
		}
		l := &Lane{ID: record.KeyLane(key), Name: name}
		if l.Name == "" {
			v.Forgotten[l.ID] = true
			return true, nil
		}
		if twin, twice := names[l.Name]; twice {
			v.faults.add("lanes %d and %d have the same name %q", twin, l.ID, l.Name)
		}
		names[l.Name] = l.ID
		v.Lanes = append(v.Lanes, l)
		v.ByID[l.ID] = l
		return true, nil
	})
	if err != nil {
		v.faults.add("cannot read the names of lanes: %v", err)
	}
	for _, l := range v.Lanes {
		value, err := v.Get(record.LaneKey(record.PrefixLane, l.ID))
		if err == nil {
			var r *record.Lane
			if r, err = record.DecodeLane(value); err == nil {
				l.Record = *r
			}
		}
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			v.faults.add("target %q: %v", l.Name, err)
		}
		value, err = v.Get(record.LaneKey(record.PrefixStanding, l.ID))
		if err == nil {
			l.standing, err = record.DecodeStanding(value)
		}
		if err != nil && !errors.Is(err, engine.ErrNotFound) {
			v.faults.add("target %q: %v", l.Name, err)
		}
	}
}

// loadHead finds the newest event. A batch whose last record is not there was not answered yet, or
// never: the next start would remove what there is of it.
func (v *Snapshot) loadHead() error {
	w := v.look.Walk(engine.Walk{Reverse: true})
	defer w.Close()
	v.Head = v.Checkpoint
	w.Seek([]byte{record.PrefixLog + 1})
	for ; w.Valid() && w.Key()[0] == record.PrefixLog; w.Next() {
		seq := record.KeySeq(w.Key())
		v.newest = max(v.newest, seq)
		if seq <= v.Checkpoint {
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
			v.Head = seq
			break
		}
	}
	v.newest = max(v.newest, v.Head)
	return nil
}

// first is the oldest event that the log has a record of; 0: it has none.
func (v *Snapshot) first() uint64 {
	w := v.look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}})
	defer w.Close()
	if w.Seek([]byte{record.PrefixLog}); !w.Valid() || len(w.Key()) != seqKeyBytes {
		return 0
	}
	return record.KeySeq(w.Key())
}

// Dense: the log leaves no sequence out, so that one which is missing is a loss.
func (v *Snapshot) Dense() bool { return v.look.Dense() }

// Scan visits the keys with a prefix from a start on, in order, until visit says no. Keys and
// values are only valid during the visit.
func (v *Snapshot) Scan(prefix, start []byte, visit func(key, value []byte) (bool, error)) error {
	return engine.Scan(v.look, prefix, start, visit)
}

// Gap goes through the sequences of [from, to) that a walk through the log did not visit, in order.
// there is told those that were set aside and those whose record cannot be read; missing is told
// the runs of which there is nothing at all. It takes as long as there are records, however far
// away a damaged sequence is.
func (v *Snapshot) Gap(ctx context.Context, from, to uint64, there func(seq uint64, aside bool),
	missing func(first, last uint64)) {
	if from >= to {
		return
	}
	walk := func(prefix byte, start []byte) engine.Walker {
		w := v.look.Walk(engine.Walk{Prefix: []byte{prefix}})
		w.Seek(start)
		return w
	}
	at := func(w engine.Walker) uint64 {
		for ; w.Valid(); w.Next() {
			if len(w.Key()) == seqKeyBytes {
				return min(record.KeySeq(w.Key()), to)
			}
		}
		return to
	}
	said := walk(record.PrefixUnread, record.UnreadKey(from))
	defer said.Close()
	log := walk(record.PrefixLog, record.LogKey(from))
	defer log.Close()
	for from < to && ctx.Err() == nil {
		a, b := at(said), at(log)
		next := min(a, b)
		if next > from {
			missing(from, next-1)
		}
		if next == to {
			return
		}
		there(next, a == next)
		if a == next {
			said.Next()
		}
		if b == next {
			log.Next()
		}
		from = next + 1
	}
}

// seqKeyBytes is the length of a key that is a prefix and a sequence.
const seqKeyBytes = 9

// count is the number of keys with a prefix; it reads no values.
func (v *Snapshot) count(prefix ...byte) int64 {
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

func (v *Snapshot) cursor(prefix byte, l *Lane, passed func(seq uint64)) *cursor {
	all := record.LaneKey(prefix, l.ID)
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

// Owed is one delivery of an event on a walk.
type Owed struct {
	Lane  *Lane
	State record.State
	x     *record.Exception // of a pending or exhausted delivery that was tried
	// Fresh: it is pending, and still on its way through the log.
	Fresh bool
}

// Walk visits the events from a sequence on, oldest first, with the state of all their deliveries.
// The event and the list are only valid during the visit. Records that cannot be read are counted.
func (v *Snapshot) Walk(from uint64, visit func(e *record.Event, owed []Owed) error) error {
	var owed []Owed
	return v.Scan([]byte{record.PrefixLog}, record.LogKey(from),
		func(key, value []byte) (bool, error) {
			if len(key) != seqKeyBytes {
				v.faults.add("the log has a record with the key %x", key)
				return true, nil
			}
			if record.KeySeq(key) > v.Head {
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
				l := v.ByID[id]
				if l == nil && v.Forgotten[id] {
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
func (v *Snapshot) delivery(l *Lane, seq uint64) Owed {
	d := Owed{Lane: l, State: record.StateDelivered}
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
		d.State = look.state
		if err == nil && look.state != record.StatePurged {
			d.x, err = record.DecodeException(value)
			if err == nil && look.state == record.StateExhausted {
				d.State = d.x.Kept()
			}
		}
		if err != nil {
			v.faults.add("target %q, event %d: %v", l.Name, seq, err)
		}
		return d
	}
	if !l.Passed(seq) {
		d.State, d.Fresh = record.StatePending, true
	}
	return d
}

// Passed reports whether the lane's record counts a delivery as settled or beside the log.
func (l *Lane) Passed(seq uint64) bool {
	if seq <= l.Record.Position {
		return true
	}
	_, found := slices.BinarySearch(l.Record.Above, seq)
	return found
}
