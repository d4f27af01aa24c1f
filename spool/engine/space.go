package engine

import (
	"context"
	"time"
)

// Limits are the bounds that an operator gives.
type Limits struct {
	// MaxBytes bounds the bytes on disk, MinFreeBytes what must stay free on the file system. Zero: no
	// bound.
	MaxBytes, MinFreeBytes int64
}

// Usage is how much room there is.
type Usage struct {
	// Bytes on disk of the spool's directory, and its limit; Limit 0: none.
	Bytes, Limit int64
	// FreeBytes on the file system for this user, and the least that must stay.
	FreeBytes, MinFreeBytes int64
	// ReserveBytes must stay free for the engine's work; it grows with what is stored.
	ReserveBytes int64
	// FreeInodes are the files that the file system can still hold, MinFreeInodes those that must
	// stay. FreeInodes is -1 where nobody counts them.
	FreeInodes, MinFreeInodes int64
	// Short: what need not be there any more is to go at once.
	Short bool
}

// Group is what the committer is about to write.
type Group struct {
	Bytes   int64 // of keys and values, by estimate
	Entries int
	// Largest is the largest value among them, by estimate; what rides with a group is not counted.
	Largest int64
	// Events are among them.
	Events bool
	// Between: a function of Trimmer.Reclaim runs after it, which writes as well.
	Between bool
}

// Space is the room that an engine has. It is safe for concurrent use.
type Space interface {
	// SetLimits replaces the operator's bounds.
	SetLimits(l Limits)
	// Measure looks how things are, once a second. held: nothing is written for want of room. An error
	// stops the spool: what it has open is not where it was opened.
	Measure(held bool) error
	// Usage is what Measure saw last.
	Usage() Usage
	// Admit says whether n more bytes may be accepted, or ErrFull. Until the next measurement they
	// count as written; what is not written after all is given back by Forgo.
	Admit(n int) error
	Forgo(n int)
	// Fit says whether a group may be committed now. ErrFull: there may be room later. ErrFull of
	// FitEvents is about its events alone. Any other error stops the spool.
	Fit(g Group) error
	FitEvents(g Group) error
	// Yield gives up a reserve, so that what did not fit may do so; false: there is none that helps.
	Yield(reason error) bool
}

// Trimmer gets back the room of what is deleted. One goroutine uses it, the keeper.
type Trimmer interface {
	// Swept is told how many bytes of events were deleted since, and up to which event the sweep has
	// been.
	Swept(bytes int64, to uint64)
	// Reclaim gives room back to the file system, if there is enough of it. between runs a function
	// of its own between two groups of the committer.
	Reclaim(now time.Time, head uint64, between func(run func() error) error) error
}

// Worker is an engine that has work of its own to do.
type Worker interface {
	// Run does it until ctx ends.
	Run(ctx context.Context)
	// Errors counts what it reported only in its log, and says when it last did.
	Errors() (n int64, last time.Time)
}
