package nats

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// Side is on which side of a write a gate is shut.
type Side int

const (
	// Before: the node never gets it. What came before it has got, the rest of a batch as well.
	Before Side = iota
	// After: it is stored and the node has said so, but the client never hears of it.
	After
)

// String is the word for a test's name.
func (s Side) String() string { return [...]string{"before", "after"}[s] }

// Stop is the write at which a gate is shut.
type Stop struct {
	// Nth of the writes from now on, from 1.
	Nth  int
	Side Side
	// Counts says of a subject that a publication there is a write. One that nobody is to answer is
	// none: of a batch it is the last message, which commits it.
	Counts func(subject string) bool
	// Shut is called once, while the client waits. When it returns, the connection is closed.
	Shut func()
}

// Gate stands between a client and a node. It lets everything pass but for the write of its Stop.
type Gate struct {
	node *Node
	ln   net.Listener
	open sync.WaitGroup

	mu     sync.Mutex // guards below
	conns  map[net.Conn]struct{}
	closed bool
	stop   *Stop // nil: there is none, or it was
	writes int   // since there is one
}

// NewGate opens a gate to a node. It ends with the test, and the client should have before.
func NewGate(t testing.TB, to *Node) *Gate {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := &Gate{node: to, ln: ln, conns: make(map[net.Conn]struct{})}
	g.open.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			g.open.Go(func() { g.pass(c) })
		}
	})
	t.Cleanup(g.close)
	return g
}

// URL is where the client connects to. It must not follow what the node tells of others.
func (g *Gate) URL() string { return "nats://" + g.ln.Addr().String() }

// Set counts writes from now on, and shuts the gate at one of them.
func (g *Gate) Set(s Stop) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.stop, g.writes = &s, 0
}

// Lift takes the Stop away. False: its write has come already, and Shut is called.
func (g *Gate) Lift() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	ahead := g.stop != nil
	g.stop = nil
	return ahead
}

// Writes is how many there were since Set, up to the one at which the gate was shut.
func (g *Gate) Writes() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.writes
}

func (g *Gate) close() {
	g.mu.Lock()
	g.closed = true
	_ = g.ln.Close()
	for c := range g.conns {
		_ = c.Close()
	}
	g.mu.Unlock()
	g.open.Wait()
}

// keep closes a connection together with the gate; false: that is closed.
func (g *Gate) keep(c net.Conn) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.closed {
		_ = c.Close()
		return false
	}
	g.conns[c] = struct{}{}
	return true
}

func (g *Gate) drop(c net.Conn) {
	_ = c.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
}

// count is the Stop if this is its write, which there is only once.
func (g *Gate) count(p *publication) *Stop {
	g.mu.Lock()
	defer g.mu.Unlock()
	s := g.stop
	if s == nil || p.reply == "" || !s.Counts(p.subject) {
		return nil
	}
	if g.writes++; g.writes < s.Nth {
		return nil
	}
	g.stop = nil
	return s
}

// passage is one connection through the gate.
type passage struct {
	client, node net.Conn
	mu           sync.Mutex // guards below
	stop         *Stop      // is shut when the node answers; nil: no answer is waited for
	answer       []byte     // how the line begins that the answer has, but for its verb
}

func (g *Gate) pass(client net.Conn) {
	if !g.keep(client) {
		return
	}
	defer g.drop(client)
	node, err := net.Dial("tcp", g.node.client)
	if err != nil || !g.keep(node) {
		return
	}
	defer g.drop(node)
	p := &passage{client: client, node: node}
	var both sync.WaitGroup
	both.Go(func() { p.end(p.answers()) })
	p.end(p.asks(g))
	both.Wait()
}

// end shuts the gate if there is a reason to, and ends the passage.
func (p *passage) end(s *Stop) {
	if s != nil {
		s.Shut()
	}
	_ = p.client.Close()
	_ = p.node.Close()
}

// asks carries what the client says.
func (p *passage) asks(g *Gate) *Stop {
	in := bufio.NewReader(p.client)
	for {
		said, err := readPublication(in)
		if err != nil {
			return nil
		}
		s := g.count(said)
		if s != nil && s.Side == Before {
			return s
		}
		if s != nil {
			p.mu.Lock()
			p.stop, p.answer = s, []byte(" "+said.reply+" ")
			p.mu.Unlock()
		}
		if _, err := p.node.Write(said.bytes); err != nil {
			return nil
		}
	}
}

// answers carries what the node says. Once an answer is waited for the client hears nothing.
func (p *passage) answers() *Stop {
	b := make([]byte, 64<<10)
	var held []byte
	for {
		n, err := p.node.Read(b)
		p.mu.Lock()
		stop, answer := p.stop, p.answer
		p.mu.Unlock()
		if stop != nil {
			if held = append(held, b[:n]...); bytes.Contains(held, answer) {
				return stop
			}
		} else if _, err := p.client.Write(b[:n]); err != nil {
			return nil
		}
		if err != nil {
			return nil
		}
	}
}

// publication is what a client says at once: a line, and what belongs to it.
type publication struct {
	bytes          []byte
	subject, reply string // empty: it is none, or wants no answer
}

// readPublication reads as much as a gate must know of a client's protocol:
//
//	PUB <subject> [reply] <bytes>
//	HPUB <subject> [reply] <bytes of the header> <bytes>
//
// with so many bytes after that and the end of a line. All else is a line.
func readPublication(in *bufio.Reader) (*publication, error) {
	line, err := in.ReadBytes('\n')
	if err != nil {
		return nil, err
	}
	p := &publication{bytes: line}
	words := strings.Fields(string(line))
	sizes := 0
	if len(words) > 0 {
		sizes = map[string]int{"PUB": 1, "HPUB": 2}[strings.ToUpper(words[0])]
	}
	if sizes == 0 {
		return p, nil
	}
	named := len(words) - 1 - sizes
	if named < 1 || named > 2 {
		return nil, fmt.Errorf("a client says %q", line)
	}
	if p.subject = words[1]; named == 2 {
		p.reply = words[2]
	}
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return nil, fmt.Errorf("a client says %q: %w", line, err)
	}
	body := make([]byte, size+len("\r\n"))
	if _, err := io.ReadFull(in, body); err != nil {
		return nil, err
	}
	p.bytes = append(line, body...)
	return p, nil
}
