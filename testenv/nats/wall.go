package nats

import (
	"net"
	"regexp"
	"sync"
	"sync/atomic"
)

// wall stands between the nodes of a cluster: whatever they say to each other goes through it. A
// node that is cut off runs on and keeps its clients; what others say to it, and it to them, waits
// on its way, as in a network that loses packets, and comes late.
type wall struct {
	open sync.WaitGroup

	mu      sync.Mutex // guards below
	apart   string     // the node that is cut off; empty: none
	changed chan struct{}
	doors   []net.Listener
	conns   map[net.Conn]struct{}
	closed  bool
}

func newWall() *wall {
	return &wall{changed: make(chan struct{}), conns: make(map[net.Conn]struct{})}
}

// door is where other nodes reach a node from now on.
func (w *wall) door(n *Node) (address string, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	w.doors = append(w.doors, ln)
	w.open.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			w.open.Go(func() { w.pass(c, n) })
		}
	})
	return ln.Addr().String(), nil
}

// cut cuts one node off from all others; empty: none.
func (w *wall) cut(apart string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.apart = apart
	w.tellLocked()
}

func (w *wall) tellLocked() {
	close(w.changed)
	w.changed = make(chan struct{})
}

// close ends all that goes through it, and waits.
func (w *wall) close() {
	w.mu.Lock()
	w.closed = true
	for _, d := range w.doors {
		_ = d.Close()
	}
	for c := range w.conns {
		_ = c.Close()
	}
	w.tellLocked()
	w.mu.Unlock()
	w.open.Wait()
}

// keep closes a connection together with the wall; false: that is closed.
func (w *wall) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		_ = c.Close()
		return false
	}
	w.conns[c] = struct{}{}
	return true
}

func (w *wall) drop(c net.Conn) {
	_ = c.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.conns, c)
}

// await waits until what two nodes say to each other may go through; false: the wall is closed.
func (w *wall) await(a, b string) bool {
	for {
		w.mu.Lock()
		waits, closed, changed := w.apart != "" && (w.apart == a || w.apart == b), w.closed, w.changed
		w.mu.Unlock()
		if closed || !waits {
			return !closed
		}
		<-changed
	}
}

// pass carries one connection to a node.
func (w *wall) pass(from net.Conn, to *Node) {
	if !w.keep(from) {
		return
	}
	defer w.drop(from)
	there, err := net.Dial("tcp", to.route)
	if err != nil || !w.keep(there) {
		return
	}
	defer w.drop(there)
	var caller atomic.Value // the node's name, once it has said so
	caller.Store("")
	ask := regexp.MustCompile(`"server_name":"([^"]+)"`)
	var head []byte
	var both sync.WaitGroup
	both.Go(func() {
		w.carry(there, from, func(b []byte) bool {
			if name := caller.Load(); name == "" {
				if head = append(head, b...); ask.Match(head) {
					caller.Store(string(ask.FindSubmatch(head)[1]))
				}
			}
			return w.await(caller.Load().(string), to.name)
		})
	})
	w.carry(from, there, func([]byte) bool { return w.await(caller.Load().(string), to.name) })
	both.Wait()
}

// carry copies until one side is closed, and closes the other.
func (w *wall) carry(to, from net.Conn, may func([]byte) bool) {
	defer to.Close()
	defer from.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if n > 0 {
			if !may(b[:n]) {
				return
			}
			if _, err := to.Write(b[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}
