package spool

import (
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
	"github.com/hookspool/hookspool/spool/volume"
)

// DiskUsage is how much room there is.
type DiskUsage = engine.Usage

// Shared is an engine that several relays use at once, Relay one of them.
type (
	Shared    = engine.Shared
	Relay     = engine.Relay
	Copies    = engine.Copies
	ShortCopy = engine.ShortCopy
)

// ErrDirectory: what spool.dir names cannot be the spool's directory.
var ErrDirectory = volume.ErrDirectory

// What callers see of the records; package record says what is in them.
type (
	// Event is one spooled event. Its bytes are shared by every lane and never change.
	Event = record.Event
	// Header is one header that is delivered with an event as it came.
	Header = record.Header
	// Session is the state of an event's conversation, frozen when the event was accepted.
	Session = record.Session
	// LaneID is the number of a lane, by which everything but a Lane itself names it.
	LaneID = record.LaneID
	// Ref names one delivery.
	Ref = record.Ref
	// Standing is a target's run of failed jobs, and what the operator asked of it.
	Standing = record.Standing
	// State is where a delivery is.
	State = record.State
	// Delivery is one delivery that failed before, or was asked for again, with its event.
	Delivery = record.Delivery
	// Tick is one beat of the retry clock.
	Tick = record.Tick
	// Made is what one request was like.
	Made = record.Made
	// Attempt is one request that was made, as far as the history keeps it.
	Attempt = record.Attempt
)

// The states of a conversation; SessionNone means that the event belongs to none.
const (
	SessionNone     = record.SessionNone
	SessionInactive = record.SessionInactive
	SessionActive   = record.SessionActive
)

// The states of a delivery, and the one of a delivery that was never owed.
const (
	StateNone      = record.StateNone
	StatePending   = record.StatePending
	StateDelivered = record.StateDelivered
	StateExhausted = record.StateExhausted
	StatePurged    = record.StatePurged
	StateExpired   = record.StateExpired
)

const (
	// SpoolItself stands where a lane would, for the spool itself.
	SpoolItself = record.SpoolItself
	// ExpiryHeader says until when an event is worth sending.
	ExpiryHeader = record.ExpiryHeader
	// RecordBytesMax is what one event's record may hold.
	RecordBytesMax = record.BytesMax
)

// ErrFormat: a newer hookspool wrote this spool. ErrOldFormat: an older one did, in a format from
// which no way leads to this one.
var (
	ErrFormat    = record.ErrFormat
	ErrOldFormat = record.ErrOldFormat
)
