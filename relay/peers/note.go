package peers

import (
	"encoding/json"
	"time"
)

// Note is what a relay lets the others know of itself, as JSON.
type Note struct {
	Version string `json:"version"`
	// Config is the Fingerprint of what it was configured with last.
	Config string `json:"config"`
	// Admin is the address of its admin API, as bound.
	Admin string `json:"admin"`
	// Started is when it did, by its own clock.
	Started time.Time `json:"started"`
}

// Encode is the note as the others read it.
func (n Note) Encode() []byte { return encode(n) }

// ReadNote reads a note. One that cannot be read, such as that of a relay which has not said
// anything yet, is empty.
func ReadNote(text []byte) (n Note) {
	if json.Unmarshal(text, &n) != nil {
		return Note{}
	}
	return n
}
