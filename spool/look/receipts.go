package look

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/receipt"
	"github.com/hookspool/hookspool/spool/record"
)

// Receipt is what is kept of the success of a delivery. The zero value: nothing, because it was
// before there were receipts, or is lost.
type Receipt struct {
	At     time.Time
	Status int
	Took   time.Duration
	// Attempts are the requests that it took, since it was asked for last; Replay: it was asked for
	// again.
	Attempts int
	Replay   bool
}

// Milliseconds are how long the request took, with one decimal, 0.1 at least; 0: nobody knows.
func (r Receipt) Milliseconds() float64 {
	if r.Took > 0 {
		r.Took = max(r.Took, time.Millisecond/10)
	}
	return math.Round(float64(r.Took)/float64(time.Millisecond)*10) / 10
}

// Receipts finds receipts of one lane, in ascending order of their sequences, so that each piece is
// read once, whatever is asked. It must be closed.
type Receipts struct {
	tail   map[uint64]receipt.Receipt
	pieces onward
	ahead  []receipt.Piece // that end at or after what was asked last, in their order
	tried  onward
}

// onward goes through what a lane has of deliveries, one way.
type onward struct {
	engine.Walker
	prefix byte
	lane   record.LaneID
	begun  bool
}

// on reports whether it stands at something of the lane's.
func (w *onward) on() bool { return w.Valid() && record.KeyLane(w.Key()) == w.lane }

// to goes to a delivery or to the next one that there is something of; if it stands there already,
// it stays.
func (w *onward) to(seq uint64) {
	if !w.begun || w.on() && record.KeyDelivery(w.Key()) < seq {
		w.Seek(record.LaneSeqKey(w.prefix, w.lane, seq))
	}
	w.begun = true
}

// OpenReceipts begins. tail are those that memory or the lane's record has.
func OpenReceipts(look engine.Look, lane record.LaneID, tail []receipt.Receipt) *Receipts {
	return receiptsOf(look.Walk(engine.Walk{Prefix: []byte{record.PrefixReceipts}}),
		look.Walk(engine.Walk{Prefix: []byte{record.PrefixHistory}}), lane, tail)
}

// receiptsOf is OpenReceipts with walkers that several lanes use, one after the other: where an
// event has a thousand targets, opening theirs would cost more than all that is read.
func receiptsOf(pieces, tried engine.Walker, lane record.LaneID, tail []receipt.Receipt) *Receipts {
	r := &Receipts{tail: make(map[uint64]receipt.Receipt, len(tail)),
		pieces: onward{Walker: pieces, prefix: record.PrefixReceipts, lane: lane},
		tried:  onward{Walker: tried, prefix: record.PrefixHistory, lane: lane}}
	for _, t := range tail {
		r.tail[t.Seq] = t
	}
	return r
}

// Close lets go of what it reads.
func (r *Receipts) Close() {
	r.pieces.Close()
	r.tried.Close()
}

// Find is the receipt of a delivery that is known to be delivered. One that was asked for again has
// two; the later counts.
func (r *Receipts) Find(seq uint64) (Receipt, error) {
	var out Receipt
	last, err := r.success(seq)
	if err != nil {
		return out, fmt.Errorf("cannot read attempts at event %d: %w", seq, err)
	}
	t, ok, err := r.first(seq)
	switch {
	case err != nil:
		return out, err
	case !last.At.IsZero() && (!ok || last.At.After(t.At())):
		return Receipt{last.At, last.Status, last.Duration, last.Number + 1, last.Replay}, nil
	case ok:
		return Receipt{t.At(), int(t.Status), t.Took(), 1, false}, nil
	}
	return out, nil
}

// first is the receipt of a delivery that was delivered at once, whatever became of it since.
func (r *Receipts) first(seq uint64) (t receipt.Receipt, ok bool, err error) {
	if t, ok = r.tail[seq]; ok {
		return t, true, nil
	}
	if t, ok, err = r.piece(seq); err != nil {
		err = fmt.Errorf("cannot read the receipt of event %d: %w", seq, err)
	}
	return t, ok, err
}

// stored are the receipts in a lane's record.
func stored(look engine.Look, lane record.LaneID) []receipt.Receipt {
	value, err := look.Get(record.LaneKey(record.PrefixLane, lane))
	if err != nil {
		return nil // there is no record yet
	}
	l, err := record.DecodeLane(value)
	if err != nil {
		return nil
	}
	return l.Receipts
}

// piece is what the pieces have of a delivery.
func (r *Receipts) piece(seq uint64) (receipt.Receipt, bool, error) {
	n := 0
	for n < len(r.ahead) && r.ahead[n].Last() < seq {
		n++
	}
	if r.ahead = r.ahead[n:]; len(r.ahead) == 0 {
		r.pieces.to(seq)
	}
	for i := 0; ; i++ {
		if i == len(r.ahead) {
			if more, err := r.read(); err != nil || !more {
				return receipt.Receipt{}, false, err
			}
		}
		p := &r.ahead[i]
		at, found := slices.BinarySearchFunc(p.List, seq, func(t receipt.Receipt, seq uint64) int {
			return cmp.Compare(t.Seq, seq)
		})
		if found {
			return p.List[at], true, nil
		}
		if !p.Apart {
			return receipt.Receipt{}, false, nil
		}
	}
}

// read reads the next piece; false: there is none. One that cannot be read tells nothing.
func (r *Receipts) read() (bool, error) {
	for ; r.pieces.on(); r.pieces.Next() {
		var p receipt.Piece
		err := r.pieces.View(func(value []byte) error {
			if got, err := record.DecodeReceipts(value); err == nil {
				p = got
			}
			return nil
		})
		if err != nil {
			return false, err
		}
		if len(p.List) > 0 {
			r.ahead = append(r.ahead, p)
			r.pieces.Next()
			return true, nil
		}
	}
	return false, nil
}

// success is the last attempt at a delivery that succeeded and left a record of its own.
func (r *Receipts) success(seq uint64) (last record.Attempt, err error) {
	for r.tried.to(seq); r.tried.on(); r.tried.Next() {
		if record.KeyDelivery(r.tried.Key()) != seq {
			break
		}
		err = r.tried.View(func(value []byte) error {
			a, err := record.DecodeAttempt(value)
			if err == nil && a.Error == "" && a.At.After(last.At) {
				last = a
			}
			return nil // one that cannot be read is a gap
		})
		if err != nil {
			return last, err
		}
	}
	return last, nil
}

// receipts adds to the deliveries of a page that were delivered what is known of it. What memory
// has is asked first: it moves from there to where it is read.
func receipts(s Source, found []Found) error {
	byLane := make(map[record.LaneID]*placing)
	var list []*placing
	for i := range found {
		for k := range found[i].Places {
			at := &found[i].Places[k]
			if at.State != record.StateDelivered {
				continue
			}
			p := byLane[at.Lane]
			if p == nil {
				l, ok := s.LaneNow(at.Lane)
				if !ok {
					continue
				}
				p = &placing{id: at.Lane, lane: l}
				byLane[at.Lane] = p
				list = append(list, p)
			}
			p.seqs, p.at = append(p.seqs, found[i].Seq), append(p.at, at)
		}
	}
	if len(list) == 0 {
		return nil
	}
	tails := make([][]receipt.Receipt, len(list))
	for i, p := range list {
		if p.lane.Receipts != nil {
			tails[i] = p.lane.Receipts()
		}
	}
	look := s.Records().Look()
	defer look.Close()
	pieces := look.Walk(engine.Walk{Prefix: []byte{record.PrefixReceipts}})
	defer pieces.Close()
	tried := look.Walk(engine.Walk{Prefix: []byte{record.PrefixHistory}})
	defer tried.Close()
	for i, p := range list {
		if p.lane.Receipts == nil {
			tails[i] = stored(look, p.id)
		}
		if err := p.receipts(receiptsOf(pieces, tried, p.id, tails[i])); err != nil {
			return fmt.Errorf("cannot look up deliveries of target %q: %w", p.lane.Target, err)
		}
	}
	return nil
}

// receipts adds what is known of deliveries, which come newest first.
func (p *placing) receipts(r *Receipts) error {
	for i := len(p.seqs) - 1; i >= 0; i-- {
		got, err := r.Find(p.seqs[i])
		if err != nil {
			return err
		}
		p.at[i].deliveredAs(got)
	}
	return nil
}

func (p *Place) deliveredAs(r Receipt) {
	p.Receipt = r
	p.Attempts, p.Replay, p.LastAt, p.LastStatus = r.Attempts, r.Replay, r.At, r.Status
}
