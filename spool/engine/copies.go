package engine

import "time"

// Copies is what is known of the servers' copies of a spool that relays share.
type Copies struct {
	// Looked is when they were looked at last, by the relay that leads; zero: nothing is known.
	Looked time.Time `json:"looked,omitzero"`
	// Compared is when all of them were compared last; zero: they were not.
	Compared time.Time `json:"compared,omitzero"`
	// Short are those that lack messages which another one has, by node.
	Short []ShortCopy `json:"short,omitempty"`
}

// ShortCopy is a server's copy that lacks messages, though the server says that it is current.
type ShortCopy struct {
	Node string `json:"node"`
	// Missing is how many messages another copy has, at least.
	Missing uint64 `json:"missing"`
	// Since is when that was found.
	Since time.Time `json:"since"`
	// Leads: the others take what they lack from it.
	Leads bool `json:"leads,omitempty"`
	// Doubtful: not all copies could be compared, or they differ in more than one; so it may be the
	// others that keep what was deleted. Or clocks differ by more than a minute.
	Doubtful bool `json:"doubtful,omitempty"`
}
