package record

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
