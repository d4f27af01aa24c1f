package engine

import "github.com/hookspool/hookspool/spool/record"

// Crew shares the lanes out among the relays that use one spool. Where there is only one relay,
// they are all its own, always.
type Crew interface {
	// Own begins a tenure of a lane. ErrElsewhere: another relay has it.
	Own(lane record.LaneID) (Tenure, error)
}

// Tenure is the time in which a lane is this relay's. What it hands out, settles and counts of the
// lane is valid in that time only.
type Tenure struct {
	// Fence is larger than that of every tenure of the lane before; see Txn.Guard.
	Fence uint64
	// Lost is closed once another relay may have the lane. It may be closed late, so it spares work
	// and protects nothing: the fence does. Nil: never.
	Lost <-chan struct{}
}

// Over reports whether another relay may have the lane.
func (t Tenure) Over() bool {
	select {
	case <-t.Lost:
		return true
	default:
		return false
	}
}

// Elsewhere is the tenure of a lane that another relay has.
func Elsewhere() Tenure {
	lost := make(chan struct{})
	close(lost)
	return Tenure{Lost: lost}
}
