// Package memory divides the memory that a relay may have among those who take most of it. What is
// not there is refused at the door: an event that was accepted finds room.
package memory

import (
	"cmp"
	"math"
)

const (
	// apartShare and apartBytes of a container's memory are for what is no heap: pages of the
	// spool's files that are being written, sockets, the kernel's tables.
	apartShare = 8
	apartBytes = 16 << 20
	// brinkShare of a GOMEMLIMIT may be in use beyond it.
	brinkShare = 8
	// bodiesShare of the heap is for bodies in hand: each is there three times while it is taken, as
	// it came, as the spool's record and as what was read in it.
	bodiesShare = 5
	bodiesMin   = 4 << 20
	bodiesMax   = 64 << 20
	// freshShare is for events on their way to the lanes, engineShare for the spool's engine.
	freshShare  = 12
	freshMax    = 32 << 20
	engineShare = 2
	// connectionBytes is what a sender's connection takes; all of them have connectionsShare.
	connectionBytes  = 32 << 10
	connectionsShare = 6
	connectionsMin   = 64
	connectionsMax   = 8192
)

// Budget divides the memory that a relay may have. Without a limit all of it is as much as is of
// use; bytes where nothing else is said, 0: no bound.
type Budget struct {
	// Limit is what all follows from: the container's limit, or GOMEMLIMIT if that leaves less.
	Limit int64
	// Heap is what the garbage collector is to keep to, Brink what makes the relay refuse events
	// until it has less: what is in use then cannot be collected.
	Heap, Brink int64
	// Bodies bounds the bodies in hand, Connections the senders' connections.
	Bodies, Connections int64
	// Fresh bounds the events that wait in memory for their lanes, Engine what the spool's engine
	// takes.
	Fresh, Engine int64
}

// For divides the memory of a container, and what GOMEMLIMIT allows; 0: no such limit.
func For(container, heap int64) Budget {
	b := Budget{Bodies: bodiesMax, Connections: connectionsMax, Fresh: freshMax}
	if container > 0 {
		b.Limit = container
		b.Heap = max(container-container/apartShare-apartBytes, container/2)
		b.Brink = (b.Heap + container) / 2
	}
	if heap > 0 && (b.Limit == 0 || heap < b.Heap) {
		b.Limit, b.Heap = heap, heap
		b.Brink = min(heap+heap/brinkShare, cmp.Or(b.Brink, math.MaxInt64))
	}
	if b.Limit == 0 {
		return b
	}
	b.Bodies = min(max(b.Heap/bodiesShare, bodiesMin), bodiesMax)
	b.Connections = min(max(b.Heap/connectionsShare/connectionBytes, connectionsMin), connectionsMax)
	b.Fresh = min(b.Heap/freshShare, freshMax)
	b.Engine = b.Heap / engineShare
	return b
}
