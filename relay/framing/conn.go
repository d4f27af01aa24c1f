package framing

import (
	"errors"
	"net"
)

// Guarded is a connection that gives out what has come up to the first fault of its framing.
// Reading belongs to one goroutine, as the other methods do.
type Guarded struct {
	net.Conn
	guard Guard
}

// Read is part of net.Conn. Its error may be an *Error.
func (c *Guarded) Read(b []byte) (int, error) { return c.guard.Read(c.Conn, b) }

// Begun is how many requests have been given out, whole or in part.
func (c *Guarded) Begun() uint64 { return c.guard.Begun() }

// Fault is what is wrong with the bytes that have come; nil: nothing was found yet. Who reads a
// body needs it, because the library keeps no more than the text of an error between chunks.
func (c *Guarded) Fault() *Error {
	fault, _ := errors.AsType[*Error](c.guard.err)
	return fault
}
