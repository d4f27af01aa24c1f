package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"
)

const (
	idleBelow   = 8000   // below the relay's limit of 8,192 connections, with room for the load
	idleBeyond  = 10_000 // beyond it
	idleDialers = 16
)

// idle lets many senders stay connected and say nothing. The first part of them fits; with the rest
// the relay's limit is reached while a load of older connections goes on.
func (b *bench) idle(_ *report) ([]sheet, error) {
	c := calm()
	rx, s, err := b.start(c)
	if err != nil {
		return nil, err
	}
	defer rx.stop()
	defer s.stop()
	latency := sheet{Title: "accepting at 1,000/s beside idle connections", Columns: []string{
		"idle connections", "accepted/s", "p50 ms", "p99 ms", "p99.9 ms", "failed"}}
	facts := newFacts("idle connections")
	crowd := &crowd{address: s.address}
	defer crowd.close()
	load := startLoad(s.address, c)
	b.look(load, 0, &latency)
	load.end()
	time.Sleep(pauseLength)
	before := memoryOf(s.pid())
	if err := crowd.grow(idleBelow); err != nil {
		return nil, err
	}
	time.Sleep(pauseLength)
	beside := memoryOf(s.pid())
	open := len(crowd.conns)
	facts.add("connections that were taken", float64(open), "")
	facts.add("memory of each, RssAnon", (beside.Anon-before.Anon)*1024/float64(open), "KiB")
	facts.addMemory(" before", before)
	facts.addMemory(" beside them", beside)
	load = startLoad(s.address, c)
	b.look(load, open, &latency)
	if err := crowd.grow(idleBeyond - idleBelow); err != nil {
		return nil, err
	}
	b.look(load, len(crowd.conns), &latency)
	load.end()
	crowd.tell(&facts)
	crowd.close()
	time.Sleep(pauseLength)
	facts.addMemory(" after they left", memoryOf(s.pid()))
	load = startLoad(s.address, c)
	b.look(load, 0, &latency)
	load.end()
	return []sheet{latency, facts}, nil
}

// look measures the load for a window, once it runs.
func (b *bench) look(l *loader, idle int, t *sheet) {
	time.Sleep(warmUp)
	l.latency.reset()
	failed := l.failed.Load()
	l.measured.Store(true)
	began := time.Now()
	time.Sleep(b.o.window)
	l.measured.Store(false)
	t.add(float64(idle), float64(l.latency.Count.Load())/time.Since(began).Seconds(),
		milliseconds(l.latency.quantile(0.5)), milliseconds(l.latency.quantile(0.99)),
		milliseconds(l.latency.quantile(0.999)), float64(l.failed.Load()-failed))
}

// crowd are idle connections, each of which has asked once.
type crowd struct {
	address string
	refused histogram // answered 503 and closed
	bare503 atomic.Uint64
	dropped atomic.Uint64 // closed without an answer
	mu      sync.Mutex
	conns   []net.Conn // guarded by mu
}

// grow opens n more.
func (c *crowd) grow(n int) error {
	var next atomic.Int64
	var dialers sync.WaitGroup
	errs := make([]error, idleDialers)
	for i := range idleDialers {
		dialers.Go(func() { // ends with n, or an error
			for errs[i] == nil && next.Add(1) <= int64(n) {
				errs[i] = c.open()
			}
		})
	}
	dialers.Wait()
	return errors.Join(errs...)
}

// open connects and asks what needs no disk. An error is one of this side.
func (c *crowd) open() error {
	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		return err
	}
	began := time.Now()
	_ = conn.SetDeadline(began.Add(readyWithin))
	_, _ = io.WriteString(conn, "GET /v1/events HTTP/1.1\r\nHost: relay\r\n\r\n")
	got, err := readAnswer(bufio.NewReaderSize(conn, 4096))
	switch {
	case errors.Is(err, os.ErrDeadlineExceeded):
		return errors.Join(errors.New("a connection was neither served nor refused"), conn.Close())
	case err != nil:
		c.dropped.Add(1)
		return conn.Close()
	case got.status == 503:
		c.refused.add(time.Since(began))
		if !got.retryAfter {
			c.bare503.Add(1)
		}
		return conn.Close()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.conns = append(c.conns, conn)
	return nil
}

func (c *crowd) tell(t *sheet) {
	t.add("connections asked for in all", float64(idleBeyond), "")
	t.add("taken in all", float64(len(c.conns)), "")
	t.add("beyond the limit, refused by 503", float64(c.refused.Count.Load()), "")
	t.add("of these without Retry-After", float64(c.bare503.Load()), "")
	t.add("503 p50", milliseconds(c.refused.quantile(0.5)), "ms")
	t.add("503 p99", milliseconds(c.refused.quantile(0.99)), "ms")
	t.add("closed without an answer", float64(c.dropped.Load()), "")
}

func (c *crowd) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, conn := range c.conns {
		_ = conn.Close()
	}
	c.conns = nil
}
