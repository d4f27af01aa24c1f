package spool

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/care"
	"github.com/hookspool/hookspool/spool/idpass"
	"github.com/hookspool/hookspool/spool/record"
)

// Draft is an event on its way into the spool. The caller fills the first part; Append the second.
// Its bytes are copied before Append waits, so they may be the caller's reused buffers.
type Draft struct {
	// ID is the id that the app gave, if Given; otherwise one is made.
	ID    string
	Given bool
	// Hash decides for a given id between a repeat and a conflict: SHA-256 of the payload, or of what
	// the caller takes for the same in another encoding.
	Hash              [32]byte
	Type, ContentType string
	Headers           []record.Header
	Payload           []byte
	// At is the instant of acceptance.
	At time.Time
	// Note is the caller's own, for its Decide.
	Note any

	// Session is what Decide settled, frozen with the event.
	Session record.Session
	// Duplicate: the id and the hash were accepted before; nothing was spooled.
	Duplicate bool
	// Seq is the event's place in the log; 0: no target wanted it and it was not spooled.
	Seq uint64

	lanes []record.LaneID
	few   [2]record.LaneID // the first room of lanes
	// imported, when set, says instead of Decide what becomes of the event.
	imported *care.Incoming
	rec      []byte
	sum      uint32
	same     *Draft // earlier in the same batch, same id
}

// Owe makes the event owed to a lane; Decide calls it.
func (d *Draft) Owe(l record.LaneID) {
	if d.lanes == nil {
		d.lanes = d.few[:0]
	}
	d.lanes = append(d.lanes, l)
}

// Lanes are the lanes that owe the event. The caller must not change them.
func (d *Draft) Lanes() []record.LaneID { return d.lanes }

// ConflictError refuses an Append in which ids were accepted before with other payloads.
type ConflictError struct {
	// Indexes of the drafts in conflict.
	Indexes []int
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%d ids were accepted before with another payload", len(e.Indexes))
}

// TooLargeError refuses an event whose record would not fit.
type TooLargeError struct{ Index, Bytes int }

func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the record would have %d bytes; at most %d fit", e.Bytes, record.BytesMax)
}

// View is what Decide may read and write: small keyed state that is committed with the event.
type View struct{ g *group }

// Get reads a value, seeing everything that was put before in commit order. The caller must not
// change it. Nil: there is none.
func (v *View) Get(key []byte) []byte {
	if p, ok := v.g.state[string(key)]; ok {
		return p.value
	}
	value, err := v.g.get(append([]byte{record.PrefixState}, key...))
	if err != nil {
		return nil // unreadable state is no state; the event is what matters
	}
	state, err := record.DecodeState(value)
	if err != nil {
		v.g.s.log.Error("cannot read a state record; it counts as absent", "error", err)
		return nil
	}
	return state
}

// Was is when something happened at the latest that has an instant, as of now: itself, unless that
// is still to come; see package wallclock.
func (v *View) Was(at, now time.Time) time.Time { return v.g.s.clock.Was(at, now) }

// Put stores a value that may be forgotten after ttl.
func (v *View) Put(key, value []byte, ttl time.Duration) {
	v.g.state[string(key)] = statePut{value: value, ttl: ttl}
}

type statePut struct {
	value []byte
	ttl   time.Duration
}

// Append spools drafts, all or none, and returns once they are synced (P1). Several calls share
// one sync. Errors: *ConflictError, *TooLargeError, ErrFull, ErrFailed, ErrClosed; after any of
// them nothing is spooled, except that after ErrFailed the next start may find the drafts.
func (s *Spool) Append(drafts ...*Draft) error {
	if err := errors.Join(s.Err(), s.gate.err()); err != nil {
		return err
	}
	if s.shared != nil {
		if err := s.shared.Away(); err != nil {
			return err
		}
	}
	s.lanesMu.RLock()
	lanes := len(s.lanes)
	s.lanesMu.RUnlock()
	o := s.free.Get().(*op)
	o.appends = appending{drafts: drafts}
	n := &o.appends.n
	for i, d := range drafts {
		parts := d.parts()
		d.rec, d.sum = parts.LayOut(min(lanes, 8))
		size := len(d.rec) + 4*lanes
		if d.imported != nil {
			size += 4 * d.imported.NewNames
			n.entries += 2 * d.imported.NewNames
		}
		if size > record.BytesMax || !parts.Fits() {
			return &TooLargeError{Index: i, Bytes: size}
		}
		n.add(draftOverheadBytes, size)
		n.largest = max(n.largest, idBytesALane*lanes)
		n.entries += 3
	}
	o.order, o.cost = &o.appends, *n
	var err error
	if s.shared == nil {
		err = s.submit(o)
	} else if err = s.enqueue(o); err == nil {
		err = s.crew.await(o)
	}
	held := errors.Is(err, ErrClosed) || errors.Is(err, errStuck) || o.hand.Load() == withdrawn
	if !held { // else the committer may have it
		*o = op{done: o.done}
		s.free.Put(o)
	}
	return err
}

// Take is part of care.Importer: Append of events that another spool has accepted.
func (s *Spool) Take(events []*care.Incoming) error {
	drafts := make([]*Draft, len(events))
	size := 0
	for i, in := range events {
		drafts[i] = &Draft{ID: in.ID, Given: true, Hash: sha256.Sum256(in.Payload), Type: in.Type,
			ContentType: in.ContentType, Headers: in.Headers, Payload: in.Payload, At: in.At,
			imported: in}
		size += len(in.Payload)
	}
	err := s.Admit(size)
	if err == nil && s.shared != nil {
		err = makeAhead(s, events)
	}
	if err == nil {
		err = s.Append(drafts...)
	}
	for i, d := range drafts {
		events[i].Duplicate, events[i].Deliveries = d.Duplicate, len(d.lanes)
	}
	return refusedImport(err, events)
}

// refusedImport turns a refusal of Append into one that names events.
func refusedImport(err error, events []*care.Incoming) error {
	bad := &care.ImportError{Reasons: make(map[int]string)}
	var conflict *ConflictError
	var large *TooLargeError
	switch {
	case errors.As(err, &conflict):
		for _, i := range conflict.Indexes {
			bad.Reasons[i] = care.HeldOtherwise(events[i].ID)
		}
		return bad
	case errors.As(err, &large):
		bad.Reasons[large.Index] = large.Error()
		return bad
	}
	return err
}

func (d *Draft) parts() record.Parts {
	return record.Parts{ID: d.ID, Given: d.Given, At: d.At, Type: d.Type, ContentType: d.ContentType,
		Headers: d.Headers, Payload: d.Payload}
}

// seal completes the draft's record, and its id if that is made here.
func (d *Draft) seal(batchEnd uint64, spool uint32) []byte {
	rec, made := record.SealEvent(d.rec, record.Seal{Seq: d.Seq, BatchEnd: batchEnd,
		Session: d.Session,
		Spool:   spool, Lanes: d.lanes, Sum: d.sum})
	if !d.Given {
		d.ID = made
	}
	return rec
}

const (
	// draftOverheadBytes estimates the id record and the session state that come with an event.
	draftOverheadBytes = 500
	// idBytesALane is at most what a lane takes in the record of an id.
	idBytesALane = 10
)

// appending is the order of an Append.
type appending struct {
	drafts []*Draft
	n      cost
}

func (a *appending) cost() cost   { return a.n }
func (*appending) manner() manner { return appends | comesAgain | readsOthers }

func (a *appending) plan(g *group) error {
	if g.s.shared != nil {
		for _, d := range a.drafts {
			d.planAgain()
		}
	}
	if err := g.findIDs(a.drafts); err != nil {
		return err
	}
	news := make([]*Draft, 0, len(a.drafts))
	for _, d := range a.drafts {
		switch {
		case d.Duplicate && d.same != nil:
			d.Seq, d.lanes, d.Session = d.same.Seq, d.same.lanes, d.same.Session
		case d.Duplicate:
		default:
			g.decide(d)
			if len(d.lanes) > 0 {
				d.Seq = g.s.nextSeq
				g.s.nextSeq = g.s.engine.Next(d.Seq)
				news = append(news, d)
			} else if d.Given {
				g.rememberID(d)
			} else {
				d.ID = g.s.UnspooledID(d.At)
			}
		}
	}
	var batchEnd uint64
	if len(news) > 1 {
		batchEnd = news[len(news)-1].Seq
	}
	for i, d := range news {
		if i == len(news)-1 && i > 0 {
			// The last record of a batch makes it whole, so everything else goes before it.
			g.flushState()
		}
		g.putEvent(d, batchEnd)
	}
	return nil
}

// planAgain takes back what an earlier planning has settled.
func (d *Draft) planAgain() {
	d.Session, d.Duplicate, d.Seq, d.lanes, d.same = record.SessionNone, false, 0, nil, nil
	if !d.Given {
		d.ID = ""
	}
}

// decide settles session and lanes.
func (g *group) decide(d *Draft) {
	if d.imported == nil {
		g.s.decide(&View{g}, d)
		return
	}
	d.Session = d.imported.Session
	for _, name := range d.imported.Names {
		d.Owe(g.planLane(name))
	}
}

// putEvent writes one event and its id into the same chunk.
func (g *group) putEvent(d *Draft, batchEnd uint64) {
	rec := d.seal(batchEnd, g.s.spoolNumber())
	g.reserve(len(rec)+len(d.ID)+draftOverheadBytes+4*len(d.lanes), 3)
	e := record.Sealed(rec)
	g.append(d, rec)
	if d.Given {
		g.rememberID(d)
	}
	g.events = append(g.events, e)
	g.owed = append(g.owed, d.lanes)
}

func (g *group) rememberID(d *Draft) {
	r := &record.ID{At: d.At, Seq: d.Seq, Hash: d.Hash, Lanes: d.lanes}
	g.ids[d.ID] = r
	// The record's own instant decides whether another event is a duplicate.
	g.put(record.IDKey(d.ID), r.Encode(), max(g.dedupeWindow(d), idLife(g.s))+idpass.Grace)
}

// idLife is for how long an event is found by the id that it was given, before anybody looks
// whether it is still kept: as long as one that is delivered, so that those cost nothing more.
// Where servers keep the spool each id costs them memory.
func idLife(s *Spool) time.Duration {
	l := s.limits.Load()
	if s.shared != nil {
		return l.DedupeWindow
	}
	return max(l.DedupeWindow, l.KeepDelivered)
}

// importWindow is the least dedupe window of an import, so that running it again after it broke off
// skips what is there, whatever the config says.
const importWindow = 24 * time.Hour

// dedupeWindow says how long a draft's id is remembered.
func (g *group) dedupeWindow(d *Draft) time.Duration {
	window := g.s.limits.Load().DedupeWindow
	if d.imported != nil {
		window = max(window, importWindow)
	}
	return window
}

// findIDs marks the duplicates among the drafts and reports conflicts.
func (g *group) findIDs(drafts []*Draft) error {
	g.s.clock.See(g.s.now())
	var conflicts []int
	var seen map[string]*Draft
	if len(drafts) > 1 {
		seen = make(map[string]*Draft, len(drafts))
	}
	for i, d := range drafts {
		if !d.Given || g.dedupeWindow(d) <= 0 {
			continue
		}
		same := true
		if first := seen[d.ID]; first != nil {
			d.Duplicate, d.same = true, first
			same = first.Hash == d.Hash
		} else if e := g.lookupMade(d); e != nil {
			d.Duplicate, d.Seq = true, e.Seq
			same = d.repeats(sha256.Sum256(e.Payload()))
			d.lanes = g.s.known(e.Lanes())
		} else if r := g.lookupID(d); r != nil {
			d.Duplicate, d.Seq = true, r.Seq
			same = d.repeats(r.Hash)
			d.lanes = g.s.known(r.Lanes)
		} else if seen != nil {
			seen[d.ID] = d
		}
		if !same {
			conflicts = append(conflicts, i)
		}
	}
	if len(conflicts) > 0 {
		return &ConflictError{Indexes: conflicts}
	}
	return nil
}

// repeats reports whether a hash is of what d holds, or of its very bytes, which an import
// remembers.
func (d *Draft) repeats(hash [32]byte) bool {
	return hash == d.Hash || hash == sha256.Sum256(d.Payload)
}

// lookupMade is the event whose id was made here and is now given by an app: by its sender, who
// repeats it with the id of our answer, or by somebody else. Such an id has no record; its event is
// where the id says, for as long as it is kept. Any other id costs a look at its length.
func (g *group) lookupMade(d *Draft) *record.Event {
	seq, ok := g.s.format.MadeSeq(d.ID)
	if !ok {
		return nil
	}
	rec, err := g.get(record.LogKey(seq))
	if err != nil {
		return nil // swept, or never made
	}
	e, err := record.DecodeEvent(rec, seq)
	if err != nil {
		g.s.log.Error("cannot read the event that an id names; the one that came counts as new",
			"error", err)
		return nil
	}
	if e.Given || e.ID() != d.ID || since(g, d, e.At) >= g.dedupeWindow(d) {
		return nil
	}
	return e
}

// lookupID is the id's record if it is within the window.
func (g *group) lookupID(d *Draft) *record.ID {
	r := g.ids[d.ID]
	if r == nil {
		value, err := g.get(record.IDKey(d.ID))
		if err != nil {
			return nil
		}
		if r, err = record.DecodeID(value); err != nil {
			g.s.log.Error("cannot read an id record; the event counts as new", "error", err)
			return nil
		}
	}
	if since(g, d, r.At) >= g.dedupeWindow(d) {
		return nil
	}
	return r
}

// since is how long before a draft something was accepted.
func since(g *group, d *Draft, at time.Time) time.Duration {
	return d.At.Sub(g.s.clock.Was(at, g.s.now()))
}

// known are those of some lanes that were not forgotten.
func (s *Spool) known(ids []record.LaneID) []record.LaneID {
	lanes := make([]record.LaneID, 0, len(ids))
	for _, id := range ids {
		if s.LaneByID(id) != nil {
			lanes = append(lanes, id)
		}
	}
	return lanes
}

// UnspooledID makes an id for an event that was accepted but that no target wanted.
func (s *Spool) UnspooledID(at time.Time) string {
	return record.MakeID(at, s.unspooled.Add(1), ^s.spoolNumber())
}
