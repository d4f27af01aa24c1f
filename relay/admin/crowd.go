package admin

import (
	"container/list"
	"net"
	"sync"

	"github.com/hookspool/hookspool/relay/framing"
)

// The bounds of the connections. Whoever reaches the listener may open as many as the system gives
// away, and be silent on them, or slow; a probe, a scrape or an operator's call must get through
// all the same. So a new connection is never refused: at the bound the one goes that has made no
// request, or got no answer, for the longest time. Calls of the API are spared, and have a bound of
// their own.
const (
	// connectionsMax is far above what consoles, scrapers and probes need; each costs a descriptor
	// and about 20 KiB. The bound of a server is lower when its Options say so.
	connectionsMax = 512
	connectionsMin = 32
	// leavingMax are closed already, but their goroutines have not seen it yet.
	leavingMax = 64
	// callsMax bounds the calls under way, which may be less for half of the connections.
	callsMax = 128
	// scrapesMax bounds the scrapes under way, because one that is not read holds a whole answer in
	// memory: one more ends the oldest.
	scrapesMax = 64
)

// crowd is all connections of a server. Of HTTP it knows nothing but the framing.
type crowd struct {
	most int // connections, at least connectionsMin
	// room has a token for each connection and for each that is leaving. Accept sends, Close receives.
	room chan struct{}

	mu sync.Mutex // guards below
	// waiting are the connections that may go, the one whose turn is the longest ago first. Those not
	// in it make a call.
	waiting list.List
	scrapes list.List // those that scrape, the oldest first; they are waiting, too
	calls   int
	over    bool // the server ends
}

func newCrowd(most int) *crowd {
	if most <= 0 || most > connectionsMax {
		most = connectionsMax
	}
	most = max(most, connectionsMin)
	return &crowd{most: most, room: make(chan struct{}, most+leavingMax)}
}

// callsMost bounds the calls under way, so that there always is a connection that may go.
func (c *crowd) callsMost() int { return min(callsMax, c.most/2) }

// crowdListener gives connections of a crowd.
type crowdListener struct {
	net.Listener
	crowd *crowd
	// closed ends an Accept that waits for room. Close closes it.
	closed chan struct{}
	once   sync.Once
}

func newListener(ln net.Listener, c *crowd) *crowdListener {
	return &crowdListener{Listener: ln, crowd: c, closed: make(chan struct{})}
}

// Accept is part of net.Listener. It waits only for goroutines of closed connections to end.
func (l *crowdListener) Accept() (net.Conn, error) {
	select {
	case l.crowd.room <- struct{}{}:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	inner, err := l.Listener.Accept()
	if err != nil {
		<-l.crowd.room
		return nil, err
	}
	return l.crowd.join(inner), nil
}

// Close is part of net.Listener.
func (l *crowdListener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// conn is a connection of a crowd.
type conn struct {
	wire
	crowd *crowd

	// Guarded by crowd.mu: the places in the lists, nil where it is in none, and whether it makes a
	// call and has left.
	place, scrape *list.Element
	call, gone    bool
	closing       sync.Once
}

// join adds a connection, in place of another if the crowd is at its bound.
func (c *crowd) join(inner net.Conn) *conn {
	joined := &conn{wire: wire{Guarded: framing.Guarded{Conn: inner}}, crowd: c}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.over {
		_ = inner.Close()
	}
	if c.waiting.Len()+c.calls >= c.most {
		c.dropLocked(c.waiting.Front().Value.(*conn))
	}
	joined.place = c.waiting.PushBack(joined)
	return joined
}

// end drops whatever has no request at hand, and whatever comes from now on.
func (c *crowd) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	for at := c.waiting.Front(); at != nil; {
		x := at.Value.(*conn)
		at = at.Next()
		if !x.answering.Load() {
			c.dropLocked(x)
		}
	}
}

// dropLocked ends a connection that may go. Its goroutine sees that, and then calls Close.
func (c *crowd) dropLocked(x *conn) {
	c.removeLocked(x)
	_ = x.Conn.Close() // does not block; it may be broken already
}

// removeLocked takes a connection out of the crowd.
func (c *crowd) removeLocked(x *conn) {
	x.gone = true
	if x.place != nil {
		c.waiting.Remove(x.place)
		x.place = nil
	}
	c.endLocked(x)
}

// endLocked ends what a connection asked for.
func (c *crowd) endLocked(x *conn) {
	if x.scrape != nil {
		c.scrapes.Remove(x.scrape)
		x.scrape = nil
	}
	if x.call {
		x.call = false
		c.calls--
	}
}

// Close is part of net.Conn. Whoever serves the connection calls it when its goroutine is done.
func (x *conn) Close() error {
	c := x.crowd
	c.mu.Lock()
	c.removeLocked(x)
	c.mu.Unlock()
	x.leave()
	x.closing.Do(func() { <-c.room })
	return x.Conn.Close()
}

// turn notes that a request has come: the connection is the last to go.
func (x *conn) turn() {
	c := x.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.place != nil {
		c.waiting.MoveToBack(x.place)
	}
}

// spare keeps a connection from going, because it makes a call. It is false when there are as many
// calls as there may be.
func (x *conn) spare() bool {
	c := x.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.gone || x.call {
		return true
	}
	if c.calls >= c.callsMost() {
		return false
	}
	x.call = true
	c.calls++
	c.waiting.Remove(x.place)
	x.place = nil
	return true
}

// beginScrape begins a scrape, which ends the oldest one if there are as many as there may be.
func (x *conn) beginScrape() {
	c := x.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.gone || x.scrape != nil {
		return
	}
	if c.scrapes.Len() >= scrapesMax {
		c.dropLocked(c.scrapes.Front().Value.(*conn))
	}
	x.scrape = c.scrapes.PushBack(x)
}

// rest ends what the connection asked for: it has been answered, and may go when its turn comes.
func (x *conn) rest() {
	c := x.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	if x.gone {
		return
	}
	c.endLocked(x)
	if x.place == nil {
		x.place = c.waiting.PushBack(x)
	} else {
		c.waiting.MoveToBack(x.place)
	}
}
