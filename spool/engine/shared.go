package engine

import (
	"context"
	"time"

	"github.com/hookspool/hookspool/spool/record"
)

// Shared is an engine that several relays use at once. Each has a replica of everything, which may
// be behind what others have written, and is not behind what this relay has.
type Shared interface {
	Engine
	// Heard has a token once others have written something that News tells of.
	Heard() <-chan struct{}
	// News is what others have written since it was asked last, and the newest event of anybody's.
	News() News
	// Owner is the relay that has a lane; empty: nobody, or one that does not live.
	Owner(lane record.LaneID) string
	// Release ends a tenure of this relay's: whoever wants the lane may have it.
	Release(lane record.LaneID) error
	// Name is that of this relay.
	Name() string
	// Relays are those that live, this one among them, by name.
	Relays() []Relay
	// Say is what this relay lets the others know of itself: the note of its Relay.
	Say(note []byte)
	// Leave lets the others know that this relay takes no lanes any more: Relays leaves it out.
	Leave()
	// Ask puts a question to a relay and waits for the answer. ErrUnavailable: there was none.
	Ask(ctx context.Context, relay string, question []byte) ([]byte, error)
	// Answer says who answers the questions of other relays, on goroutines of the engine's.
	Answer(answer func(ctx context.Context, question []byte) []byte)
	// Abandon ends whatever waits for servers that do not answer, with ErrUnavailable: nobody knows
	// then what is stored. Nothing is written any more.
	Abandon()
	// Away is why nothing is written at the moment, ErrUnavailable; nil: as far as is known, it is.
	Away() error
	// Copies is what the relay that leads has found of the servers' copies.
	Copies() Copies
}

// News is what others have written. What this relay has written may be among it.
type News struct {
	// Newest is the newest event that is in the replica, or was.
	Newest uint64
	// Kinds are the prefixes of the records that were written or deleted.
	Kinds map[byte]bool
	// Lanes are those that records were written or deleted of.
	Lanes map[record.LaneID]bool
	// Crew: a relay came, went or said something else, or a lane has another owner.
	Crew bool
}

// Relay is one of those that share a spool.
type Relay struct {
	Name string
	// Note is what it says of itself.
	Note []byte
	// Seen is when it last gave a sign of life, by this machine's clock.
	Seen time.Time
	// Ahead is how far its clock is ahead of the servers'; behind: negative. It is as exact as a
	// message is fast.
	Ahead time.Duration
}

// SharedTxn is the transaction of a Shared engine. What it was planned on may be old by the time of
// its commit, which is refused then (ErrConflict), or a tenure may be over (ErrElsewhere), or there
// is no room for the events in it (ErrFull; without events it waits for room). Nothing is written
// then, and it can be planned again.
type SharedTxn interface {
	Txn
	// Keep: what was written until now was not planned on what others write.
	Keep()
	// Again begins once more, on what is there now, after Commit has returned ErrConflict,
	// ErrElsewhere or ErrFull: with what was kept, but for what is about lanes whose tenures are over.
	// What came after is to be written again.
	Again()
}
