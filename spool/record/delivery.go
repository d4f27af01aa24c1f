package record

import "time"

// State is where a delivery is.
type State uint8

// The states of a delivery: pending, delivered, exhausted or expired; purged; and none, of one that
// was never owed.
const (
	StateNone State = iota
	StatePending
	StateDelivered
	StateExhausted
	// StatePurged: it was deleted by hand.
	StatePurged
	// StateExpired: it became too old to be sent; kept like an exhausted one.
	StateExpired
)

// String is the word of the API.
func (s State) String() string {
	return [...]string{"none", "pending", "delivered", "exhausted", "purged", "expired"}[s]
}

// ExpiryHeader is the CloudEvents attribute that says until when an event is worth sending, as
// RFC 3339 has it.
const ExpiryHeader = "ce-expirytime"

// Delivery is one delivery that failed before, or was asked for again, with its event.
type Delivery struct {
	Event *Event
	// Attempts is the number of requests made so far.
	Attempts    int
	FirstFailed time.Time
	LastAt      time.Time
	LastStatus  int
	LastError   string
	Replay      bool
	// Order is the number of the deliveries that it waits for, or lets wait; 0: none.
	Order uint64
	// Due is the first tick that may take it.
	Due uint64
}

// Delivery is what an exception tells of a delivery; its event is read by whoever needs it.
func (x *Exception) Delivery() Delivery {
	return Delivery{Attempts: x.Attempts, FirstFailed: x.FirstFailed, LastAt: x.LastAt,
		LastStatus: x.LastStatus, LastError: x.LastError, Replay: x.Replay,
		Order: x.Order, Due: x.Due}
}
