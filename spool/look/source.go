package look

import (
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/receipt"
	"github.com/hookspool/hookspool/spool/record"
)

// Source is a running spool, as far as it is looked into. It is safe for concurrent use.
type Source interface {
	// Records reads what is committed.
	Records() engine.Records
	// Head is the newest event that is committed.
	Head() uint64
	// Swept is the sequence up to which the sweep has been. It moves before a removal can be seen.
	Swept() uint64
	// Barrier waits until what was begun before can be read. A spool that failed does not wait: it
	// tells what is on its disk.
	Barrier()
	// LaneNow is what is known of a lane without reading; false: there is none, or its target was
	// forgotten.
	LaneNow(lane record.LaneID) (Lane, bool)
	// Unsettled says which of some events, in ascending order, are still on their way through the
	// log to a lane, all at one instant: an attempt that was settled since may be written or not.
	Unsettled(lane record.LaneID, seqs []uint64) []bool
	// Fresh are events that are still on their way through the log to a lane, oldest first, from a
	// sequence on, most of them at most. It reads a bounded part of the log; next is where to go on,
	// 0 at the end.
	Fresh(lane record.LaneID, from uint64, most int) (list []*record.Event, next uint64, err error)
}

// Lane is what a spool knows of a lane without reading. Its sums may be ahead of what can be read,
// by what is being committed.
type Lane struct {
	// Target is the name of its target.
	Target string
	// Failed and Exhausted report that it may have such deliveries, beside the log.
	Failed, Exhausted bool
	// PurgedTo is the newest event of which a delivery may have been purged; 0: none was.
	PurgedTo uint64
	// Receipts are the receipts that memory has: those that are not stored, and perhaps others. Nil:
	// another relay has the lane.
	Receipts func() []receipt.Receipt
}

// IDs are what ids are found by.
type IDs interface {
	// Records reads what is committed.
	Records() engine.Records
	// MadeSeq is the sequence inside an id that this spool has made, or one that it was restored
	// from; false: somebody else made it.
	MadeSeq(id string) (seq uint64, ok bool)
}
