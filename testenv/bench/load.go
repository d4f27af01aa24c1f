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
	latency  histogram
	failed   atomic.Uint64
	measured atomic.Bool // counts only while set
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
	request, stamp := newRequest(rng, l.cell.size)
	in := bufio.NewReaderSize(conn, 4096)
	var gap time.Duration
	due := time.Now()
	if l.cell.rate > 0 {
		gap = time.Duration(l.cell.conns) * time.Second / time.Duration(l.cell.rate)
		due = due.Add(time.Duration(rng.Int64N(int64(gap))))
	}
	for !l.over() {
		if gap > 0 {
			time.Sleep(time.Until(due))
		} else {
			due = time.Now()
		}
		vary(rng, request[stamp:], due)
		if _, err := conn.Write(request); err != nil {
			l.failed.Add(1)
			return
		}
		status, err := readAnswer(in)
		if err != nil {
			l.failed.Add(1)
			return
		}
		if l.measured.Load() {
			if status == 200 {
				l.latency.add(time.Since(due))
			} else {
				l.failed.Add(1)
			}
		}
		due = due.Add(gap)
	}
}

// newRequest returns a whole POST and where in it the stamp begins.
func newRequest(rng *rand.Rand, size int) (request []byte, stamp int) {
	body := []byte(stampPrefix + "0000000000000000\",\"x\":\"")
	for len(body) < size-2 {
		body = append(body, alphabet[rng.IntN(len(alphabet))])
	}
	body = append(body, `"}`...)
	head := fmt.Sprintf("POST /v1/events HTTP/1.1\r\nHost: relay\r\nContent-Type: "+
		"application/json\r\nContent-Length: %d\r\n\r\n", len(body))
	return append([]byte(head), body...), len(head) + len(stampPrefix)
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

// readAnswer reads one answer with a Content-Length.
func readAnswer(in *bufio.Reader) (status int, err error) {
	length := 0
	for first := true; ; first = false {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return 0, err
		}
		line = bytes.TrimRight(line, "\r\n")
		switch {
		case first:
			if len(line) < 12 {
				return 0, io.ErrUnexpectedEOF
			}
			status, err = strconv.Atoi(string(line[9:12]))
			if err != nil {
				return 0, err
			}
		case len(line) == 0:
			_, err := in.Discard(length)
			return status, err
		case len(line) > 16 && bytes.EqualFold(line[:15], []byte("Content-Length:")):
			if length, err = strconv.Atoi(string(bytes.TrimSpace(line[15:]))); err != nil {
				return 0, err
			}
		}
	}
}
