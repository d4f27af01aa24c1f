// Package port hands out ports of loopback that stay with who was given them while nobody listens
// there: a receiver that is down, a relay between two starts. Neither the system gives them to
// whoever asks for any, nor does this package give one twice, in whatever process.
//
// A process takes a block of ports: it listens at the first one until it ends. The rest are handed
// out in turn.
package port

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
)

// The blocks are below the ports that systems give to whoever asks for any, which begin at 32768
// (Linux) or 49152 (the BSDs).
const (
	first      = 10_000
	blockPorts = 1_000
	blocks     = 22
)

// own is the block of this process.
var own block

// block are the ports of a process.
type block struct {
	mu   sync.Mutex // guards below
	lock net.Listener
	next int // from 1
}

// Listen listens on a port of its own at 127.0.0.1. Who closes it may come back to it.
func Listen() (net.Listener, error) { return own.listen() }

// Free is host:port of loopback where nobody listens.
func Free() (string, error) {
	ln, err := Listen()
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

func (b *block) listen() (net.Listener, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := b.take(); err != nil {
		return nil, err
	}
	start := b.lock.Addr().(*net.TCPAddr).Port
	var faults []error
	for range blockPorts - 1 {
		b.next = b.next%(blockPorts-1) + 1
		ln, err := listen(start + b.next)
		if err == nil {
			return ln, nil
		}
		faults = append(faults, err)
	}
	return nil, fmt.Errorf("no port is free: %w", errors.Join(faults...))
}

// take takes a block that no other process has; the system gives it back.
func (b *block) take() error {
	if b.lock != nil {
		return nil
	}
	var last error
	for _, i := range rand.Perm(blocks) {
		ln, err := listen(first + i*blockPorts)
		if err == nil {
			b.lock = ln
			return nil
		}
		last = err
	}
	return fmt.Errorf("no block of ports is free: %w", last)
}

func listen(port int) (net.Listener, error) {
	return net.Listen("tcp", fmt.Sprint("127.0.0.1:", port))
}
