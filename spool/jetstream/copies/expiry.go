package copies

import "time"

// Some kinds of messages live for as long as each other, kindsExpire at most, and as many go within
// expirySlot as were stored within so long.
const (
	expirySlot  = time.Minute
	kindsExpire = 4
)

// Expiry counts messages that expire, as they were stored. The zero value has counted none.
type Expiry struct {
	slot        int64 // stored then, in units of expirySlot
	inSlot      int64
	mostInASlot int64
}

// Stored counts some, in the order in which they were stored.
func (x *Expiry) Stored(n int, at time.Time) {
	if slot := at.UnixNano() / int64(expirySlot); slot != x.slot {
		x.slot, x.inSlot = slot, 0
	}
	x.inSlot += int64(n)
	x.mostInASlot = max(x.mostInASlot, x.inSlot)
}

// Most is how many messages at most one node may have removed that another one has still, whose
// clocks differ by less than expirySlot.
func (x *Expiry) Most() int64 { return kindsExpire * x.mostInASlot }
