package attempt

import (
	"sync"
	"time"
)

// idleMax is how long a connection may be idle. Common servers close after 5 s (Node, Apache)
// or later; being earlier than they are avoids sending into a closing connection.
const idleMax = 4 * time.Second

// pool keeps idle connections of one target, last in, first out: the one least likely to
// have been closed goes first, and a target that needs fewer lets the oldest expire. One
// timer closes them.
type pool struct {
	max    int
	maxAge time.Duration // of a connection; 0: any

	mu     sync.Mutex // guards what follows
	idle   []*conn    // by idleFrom, the oldest first
	timer  *time.Timer
	armed  bool
	closed bool
	// short is until when no connection is kept.
	short time.Time
}

// take returns a connection that has the deadline, or nil. It may have ended, or have something to
// read, which conn.send sees. take never waits.
func (p *pool) take(now, deadline time.Time) *conn {
	for {
		pc := p.pop()
		if pc == nil {
			return nil
		}
		if now.Sub(pc.idleFrom) < idleMax {
			pc.reused = true
			pc.expect(now, deadline)
			return pc
		}
		pc.close()
	}
}

// pop takes the youngest.
func (p *pool) pop() *conn {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.idle) == 0 {
		return nil
	}
	last := len(p.idle) - 1
	pc := p.idle[last]
	p.idle[last] = nil
	p.idle = p.idle[:last]
	return pc
}

// put keeps pc for another exchange, or closes it when there are enough. Nothing may be left
// to read on it.
func (p *pool) put(pc *conn, now time.Time) {
	pc.idleFrom = now
	p.mu.Lock()
	if p.closed || len(p.idle) >= p.max || now.Before(p.short) || isOld(pc.born, now, p.maxAge) {
		p.mu.Unlock()
		pc.close()
		return
	}
	p.idle = append(p.idle, pc)
	p.armLocked(idleMax)
	p.mu.Unlock()
}

// isOld reports that a connection is to carry no further request: the name may lead elsewhere by
// now, and the certificate be another.
func isOld(born, now time.Time, most time.Duration) bool {
	return most > 0 && now.Sub(born) >= most
}

// armLocked sets the timer unless it is set.
func (p *pool) armLocked(d time.Duration) {
	switch {
	case p.armed:
		return
	case p.timer == nil:
		p.timer = time.AfterFunc(d, func() { p.expire(time.Now()) })
	default:
		p.timer.Reset(d)
	}
	p.armed = true
}

// expire closes what has been idle for idleMax and sets the timer for the next.
func (p *pool) expire(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.armed = false
	n := 0
	for n < len(p.idle) && now.Sub(p.idle[n].idleFrom) >= idleMax {
		p.idle[n].close()
		n++
	}
	p.idle = append(p.idle[:0], p.idle[n:]...)
	clear(p.idle[len(p.idle) : len(p.idle)+n])
	if len(p.idle) > 0 {
		p.armLocked(idleMax - now.Sub(p.idle[0].idleFrom))
	}
}

// empty closes the idle connections, and those that come back before an instant.
func (p *pool) empty(until time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.short = until
	p.emptyLocked()
}

func (p *pool) emptyLocked() {
	for _, pc := range p.idle {
		pc.close()
	}
	p.idle = nil
}

// close closes the idle connections and all that come back later.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed = true
	p.emptyLocked()
	if p.timer != nil {
		p.timer.Stop()
	}
}
