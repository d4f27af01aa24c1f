package testenv

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/port"
)

// Request is one request that a receiver got. A request is remembered when it is whole.
type Request struct {
	Target  string // the first segment of the path
	Method  string
	Path    string // with query
	Host    string
	Header  http.Header
	Body    []byte
	Sum     [32]byte // of a body that is too long to be kept; see Receiver.KeepShort
	ID      string   // webhook-id
	Attempt int      // webhook-attempt, -1 if it has none
	Type    string
	Session string
	Replay  bool
	Sample  bool
	At      time.Time
	Conn    int // which connection, from 1
	// Nth is which request this is to its target, from 1; NthOfID which one of its delivery.
	Nth, NthOfID int
	// Answered is the status that was written to the end, 0 if none was.
	Answered int
}

// Reply answers one request on its connection, or does not. It reports whether the connection can
// be used for another request, and the status it wrote, 0 for none.
type Reply func(conn net.Conn, req *Request) (keep bool, status int)

// Script chooses the reply to a request. It must be safe for concurrent use.
type Script func(req *Request) Reply

// Receiver is an HTTP server with every vice. One receiver serves many targets: the first segment
// of a path is the target's name. Every target answers 200 until it is told otherwise.
type Receiver struct {
	t       testing.TB
	address string

	mu       sync.Mutex // guards below
	listener net.Listener
	closed   bool
	conns    map[net.Conn]struct{}
	scripts  map[string]Script
	requests []*Request
	ofTarget map[string]int
	ofID     map[string]int // target, id
	inHand   map[string]int
	peak     map[string]int
	dials    int
	running  sync.WaitGroup
	bodyMax  int // longer bodies are not kept; 0: all are
}

// NewReceiver starts a receiver on a port of its own; it ends with the test.
func NewReceiver(t testing.TB) *Receiver {
	t.Helper()
	rx := &Receiver{t: t, conns: map[net.Conn]struct{}{}, scripts: map[string]Script{},
		ofTarget: map[string]int{}, ofID: map[string]int{}, inHand: map[string]int{},
		peak: map[string]int{}}
	rx.up(port.Listen())
	t.Cleanup(func() {
		rx.mu.Lock()
		rx.closed = true
		rx.mu.Unlock()
		rx.Down()
		rx.running.Wait()
	})
	return rx
}

func (rx *Receiver) up(ln net.Listener, err error) {
	rx.t.Helper()
	if err != nil {
		rx.t.Fatalf("cannot start the receiver: %v", err)
	}
	rx.mu.Lock()
	rx.listener, rx.address = ln, ln.Addr().String()
	rx.mu.Unlock()
	rx.running.Add(1)
	go rx.accept(ln)
}

// Address is host:port.
func (rx *Receiver) Address() string { return rx.address }

// URL is where a target points. A path may follow the target's name.
func (rx *Receiver) URL(target string) string { return "http://" + rx.address + "/" + target }

// On lets a script answer for a target from now on.
func (rx *Receiver) On(target string, s Script) {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	rx.scripts[target] = s
}

// Always gives every request of a target the same reply from now on.
func (rx *Receiver) Always(target string, r Reply) {
	rx.On(target, func(*Request) Reply { return r })
}

// KeepShort has the receiver keep only the sums of long bodies.
func (rx *Receiver) KeepShort() {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	rx.bodyMax = shortBytes
}

// shortBytes is the longest body that is kept by who keeps only short ones.
const shortBytes = 32 << 10

// Down closes the port and all connections: targets are refused.
func (rx *Receiver) Down() {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	if rx.listener != nil {
		_ = rx.listener.Close()
		rx.listener = nil
	}
	for conn := range rx.conns {
		_ = conn.Close()
	}
}

// Up opens the port again.
func (rx *Receiver) Up() {
	rx.t.Helper()
	rx.up(net.Listen("tcp", rx.address))
}

func (rx *Receiver) accept(ln net.Listener) {
	defer rx.running.Done()
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		rx.mu.Lock()
		if rx.closed {
			rx.mu.Unlock()
			_ = conn.Close()
			return
		}
		rx.dials++
		number := rx.dials
		rx.conns[conn] = struct{}{}
		rx.running.Add(1)
		rx.mu.Unlock()
		go rx.serve(conn, number)
	}
}

func (rx *Receiver) serve(conn net.Conn, number int) {
	defer rx.running.Done()
	defer func() {
		_ = conn.Close()
		rx.mu.Lock()
		delete(rx.conns, conn)
		rx.mu.Unlock()
	}()
	in := bufio.NewReader(conn)
	for {
		req, err := readRequest(in)
		if err != nil {
			return
		}
		req.Conn = number
		reply := rx.begin(req)(req)
		inHand := &inHandConn{Conn: conn, left: func() { rx.left(req.Target) }}
		keep, status := reply(inHand, req)
		inHand.once.Do(inHand.left)
		rx.end(req, status)
		if !keep {
			return
		}
	}
}

func readRequest(in *bufio.Reader) (*Request, error) {
	r, err := http.ReadRequest(in)
	if err != nil {
		return nil, err
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	attempt, err := strconv.Atoi(r.Header.Get("webhook-attempt"))
	if err != nil {
		attempt = -1
	}
	target, _, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	return &Request{
		Target: target, Method: r.Method, Path: r.RequestURI, Host: r.Host, Header: r.Header,
		Body: body, ID: r.Header.Get("webhook-id"), Attempt: attempt,
		Type:    r.Header.Get("webhook-event-type"),
		Session: r.Header.Get("webhook-session"),
		Replay:  r.Header.Get("webhook-replay") == "true",
		Sample:  r.Header.Get("webhook-sample") == "true",
	}, nil
}

// begin remembers a request and finds the script that answers it.
func (rx *Receiver) begin(req *Request) Script {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	req.At = time.Now()
	if rx.bodyMax > 0 && len(req.Body) > rx.bodyMax {
		req.Sum, req.Body = sha256.Sum256(req.Body), nil
	}
	rx.ofTarget[req.Target]++
	rx.ofID[req.Target+" "+req.ID]++
	req.Nth, req.NthOfID = rx.ofTarget[req.Target], rx.ofID[req.Target+" "+req.ID]
	rx.requests = append(rx.requests, req)
	rx.inHand[req.Target]++
	rx.peak[req.Target] = max(rx.peak[req.Target], rx.inHand[req.Target])
	if s := rx.scripts[req.Target]; s != nil {
		return s
	}
	return func(*Request) Reply { return OK() }
}

func (rx *Receiver) end(req *Request, status int) {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	req.Answered = status
}

func (rx *Receiver) left(target string) {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	rx.inHand[target]--
}

// inHandConn tells when the first byte of an answer is about to go out: from then on the other side
// may know, and what it sends next is not concurrent any more.
type inHandConn struct {
	net.Conn
	once sync.Once
	left func()
}

func (c *inHandConn) Write(b []byte) (int, error) {
	c.once.Do(c.left)
	return c.Conn.Write(b)
}

// Requests returns all requests of a target so far, in the order of their arrival; "" is all.
func (rx *Receiver) Requests(target string) []Request {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	var out []Request
	for _, r := range rx.requests {
		if target == "" || r.Target == target {
			out = append(out, *r)
		}
	}
	return out
}

// Count is how many requests a target got.
func (rx *Receiver) Count(target string) int {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	return rx.ofTarget[target]
}

// CountID is how many requests a target got for one event.
func (rx *Receiver) CountID(target, id string) int {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	return rx.ofID[target+" "+id]
}

// Peak is the largest number of requests a target had in hand at once.
func (rx *Receiver) Peak(target string) int {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	return rx.peak[target]
}

// InHand is how many requests of a target are being answered.
func (rx *Receiver) InHand(target string) int {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	return rx.inHand[target]
}

// Dials is how many connections were ever made.
func (rx *Receiver) Dials() int {
	rx.mu.Lock()
	defer rx.mu.Unlock()
	return rx.dials
}

// Await waits until a target got n requests in all, and returns them.
func (rx *Receiver) Await(target string, n int) []Request {
	rx.t.Helper()
	what := fmt.Sprintf("%d requests to target %q", n, target)
	ok := Eventually(Patience, func() bool { return rx.Count(target) >= n })
	if !ok {
		rx.t.Fatalf("waited %s in vain: %s; it got %d", Patience, what, rx.Count(target))
	}
	return rx.Requests(target)
}

// AwaitID waits for the first request of an event to a target.
func (rx *Receiver) AwaitID(target, id string) Request {
	rx.t.Helper()
	Until(rx.t, Patience, fmt.Sprintf("event %q at target %q", id, target), func() bool {
		return rx.CountID(target, id) > 0
	})
	requests := rx.Requests(target)
	at := slices.IndexFunc(requests, func(r Request) bool { return r.ID == id })
	return requests[at]
}

// Attempts are the attempt numbers that a target saw of one event, in order.
func (rx *Receiver) Attempts(target, id string) []int {
	var out []int
	for _, r := range rx.Requests(target) {
		if r.ID == id {
			out = append(out, r.Attempt)
		}
	}
	return out
}

// Bodies reports whether a body arrived at a target.
func (rx *Receiver) Bodies(target string, body []byte) bool {
	return slices.ContainsFunc(rx.Requests(target), func(r Request) bool {
		return bytes.Equal(r.Body, body)
	})
}
