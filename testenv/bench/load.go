package main

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// The payload begins with the instant at which it was due, so that the receiver can tell how long
// it took from there: {"eventType":"message","t":"16 hexadecimal digits"…
const (
	stampPrefix = `{"eventType":"message","t":"`
	stampBytes  = 16
	alphabet    = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789+/"
)

// loader is the load on one server. Its clients write raw requests, so that they cost little of the
// machine that they share with the server.
type loader struct {
	address  string
	cell     cell
	latency  histogram     // of answers 200
	refused  histogram     // of answers 503
	accepted atomic.Uint64 // answers 200 since the beginning, measured or not
	bare503  atomic.Uint64 // answers 503 that do not say when to come again
	failed   atomic.Uint64 // broken connections, and answers that are neither
	measured atomic.Bool   // latency and refused count only while set
	stop     chan struct{}
	done     sync.WaitGroup
}

func startLoad(address string, c cell) *loader {
	l := &loader{address: address, cell: c, stop: make(chan struct{})}
	begin := time.Now()
	for i := range c.conns {
		l.done.Go(func() { // ends with stop
			for !l.over() {
				l.client(i, begin)
			}
		})
	}
	return l
}

func (l *loader) end() {
	close(l.stop)
	l.done.Wait()
}

func (l *loader) over() bool {
	select {
	case <-l.stop:
		return true
	default:
		return false
	}
}

// client is one connection's life.
func (l *loader) client(number int, begin time.Time) {
	conn, err := net.Dial("tcp", l.address)
	if err != nil {
		l.failed.Add(1)
		time.Sleep(10 * time.Millisecond)
		return
	}
	defer conn.Close()
	rng := rand.New(rand.NewPCG(uint64(number), uint64(begin.UnixNano())))
	request := newRequest(rng, &l.cell)
	in := bufio.NewReaderSize(conn, 4096)
	pace := newPace(rng, &l.cell)
	for !l.over() {
		due := pace.next()
		request.vary(rng, due)
		if _, err := conn.Write(request.text); err != nil {
			l.failed.Add(1)
			return
		}
		got, err := readAnswer(in)
		if err != nil {
			l.failed.Add(1)
			return
		}
		l.count(&got, time.Since(due))
		if got.closing {
			return
		}
	}
}

func (l *loader) count(got *answer, took time.Duration) {
	switch got.status {
	case 200:
		l.accepted.Add(uint64(l.cell.perRequest()))
		if l.measured.Load() {
			l.latency.add(took)
		}
	case 503:
		if !got.retryAfter {
			l.bare503.Add(1)
		}
		if l.measured.Load() {
			l.refused.add(took)
		}
	default:
		l.failed.Add(1)
	}
}

// pace says when a client sends: at once in a closed loop, by the clock in an open one.
type pace struct {
	gap time.Duration // 0: closed
	due time.Time
}

func newPace(rng *rand.Rand, c *cell) *pace {
	if c.rate == 0 {
		return &pace{}
	}
	gap := time.Duration(c.conns) * time.Second / time.Duration(c.rate)
	return &pace{gap: gap, due: time.Now().Add(time.Duration(rng.Int64N(int64(gap))))}
}

// next waits for the next event's turn and returns the instant from which it is timed: when it was
// due, if the answer before it came later than that (so that a slow answer is charged for all whom
// it kept waiting), else the end of the wait, because a timer that fires up to a millisecond late
// is not the server's fault.
func (p *pace) next() time.Time {
	if p.gap == 0 {
		return time.Now()
	}
	due := p.due
	p.due = due.Add(p.gap)
	wait := time.Until(due)
	if wait <= 0 {
		return due
	}
	time.Sleep(wait)
	return time.Now()
}

// request is a whole POST, to be varied each time that it is sent.
type request struct {
	text   []byte
	bodies [][]byte // of its events, parts of text, each from the stamp on
}

func newRequest(rng *rand.Rand, c *cell) *request {
	kind, n, body := "application/json", c.perRequest(), newBody(rng, c.size)
	if c.batch > 0 {
		kind = "application/x-ndjson"
		body = append(body, '\n')
	}
	r := &request{text: fmt.Appendf(nil, "POST /v1/events HTTP/1.1\r\nHost: relay\r\nContent-Type: "+
		"%s\r\nContent-Length: %d\r\n\r\n", kind, n*len(body))}
	head := len(r.text)
	for range n {
		r.text = append(r.text, body...)
	}
	for i := range n {
		at := head + i*len(body)
		r.bodies = append(r.bodies, r.text[at+len(stampPrefix):at+c.size])
	}
	return r
}

func (r *request) vary(rng *rand.Rand, due time.Time) {
	for _, b := range r.bodies {
		vary(rng, b, due)
	}
}

// newBody returns a payload, to be varied for every event.
func newBody(rng *rand.Rand, size int) []byte {
	body := []byte(stampPrefix + "0000000000000000\",\"x\":\"")
	for len(body) < size-2 {
		body = append(body, alphabet[rng.IntN(len(alphabet))])
	}
	return append(body, `"}`...)
}

// vary writes the stamp, and changes an eighth of what follows, so that nothing compresses.
func vary(rng *rand.Rand, payload []byte, due time.Time) {
	var at [8]byte
	binary.BigEndian.PutUint64(at[:], uint64(due.UnixNano()))
	hex.Encode(payload, at[:])
	text := payload[stampBytes+len(`","x":"`) : len(payload)-2]
	for i := 0; i+16 <= len(text); i += 16 {
		n := rng.Uint64()
		text[i+int(n>>32)%16] = byte('A' + n%26)
		text[i+int(n>>40)%16] = byte('a' + n>>8%26)
	}
}

// stampOf reads the instant out of a payload.
func stampOf(payload []byte) (time.Time, bool) {
	if len(payload) < len(stampPrefix)+stampBytes {
		return time.Time{}, false
	}
	var at [8]byte
	if _, err := hex.Decode(at[:], payload[len(stampPrefix):][:stampBytes]); err != nil {
		return time.Time{}, false
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(at[:]))), true
}

// answer is what a client looks at of an answer.
type answer struct {
	status     int
	retryAfter bool
	closing    bool // the server ends the connection
}

// readAnswer reads one answer with a Content-Length.
func readAnswer(in *bufio.Reader) (a answer, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return a, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			_, err := in.Discard(length)
			return a, err
		}
		if first {
			if len(line) < 12 {
				return a, io.ErrUnexpectedEOF
			}
			if a.status, err = strconv.Atoi(string(line[9:12])); err != nil {
				return a, err
			}
			continue
		}
		name, value, _ := bytes.Cut(line, []byte{':'})
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, []byte("Content-Length")):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return a, err
			}
		case bytes.EqualFold(name, []byte("Retry-After")):
			a.retryAfter = true
		case bytes.EqualFold(name, []byte("Connection")):
			a.closing = bytes.EqualFold(value, []byte("close"))
		}
	}
}
