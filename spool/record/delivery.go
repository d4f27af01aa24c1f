package record

import "time"

// State is where a delivery is.
type State uint8

// The states of a delivery: pending, delivered or exhausted; purged; and none, of one that was
// never owed.
const (
	StateNone State = iota
	StatePending
	StateDelivered
	StateExhausted
	// StatePurged: it was deleted by hand.
	StatePurged
)

// String is the word of the API.
func (s State) String() string {
	return [...]string{"none", "pending", "delivered", "exhausted", "purged"}[s]
}

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
}

// Delivery is what an exception tells of a delivery; its event is read by whoever needs it.
func (x *Exception) Delivery() Delivery {
	return Delivery{Attempts: x.Attempts, FirstFailed: x.FirstFailed, LastAt: x.LastAt,
		LastStatus: x.LastStatus, LastError: x.LastError, Replay: x.Replay}
}
