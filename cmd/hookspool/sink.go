package main

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// sinkLinesMax and sinkBytesMax bound what waits for a stream. A relay that logs every attempt
	// writes a few thousand lines a second, so a reader may pause for a second or two.
	sinkLinesMax = 16 << 10
	sinkBytesMax = 4 << 20
	// sinkBatchBytes are handed to the stream at once, unless one text alone is longer.
	sinkBatchBytes = 32 << 10
	// sinkAgain lies between two tries of a stream that somebody made non-blocking and that is full.
	sinkAgain = 5 * time.Millisecond
	// sinkStall without a finished write ends the wait of close; sinkLeave ends it in any case.
	sinkStall = 250 * time.Millisecond
	sinkLeave = 2 * time.Second
)

// sink stands before a stream that may be full, slow or gone, so that whoever writes never waits
// for whoever reads. Texts wait in a queue with a bound, one goroutine writes them in their order,
// and what does not fit or cannot be written is dropped and counted. The goroutine may stay in
// write(2) for ever: nothing waits for it longer than close does. Its methods are safe for
// concurrent use.
type sink struct {
	to io.Writer

	wake    chan struct{} // capacity 1: there may be something to do; Write and close send
	over    chan struct{} // closed when close has waited long enough
	done    chan struct{} // closed when the goroutine has ended
	writes  atomic.Uint64 // that got something into the stream
	lost    atomic.Uint64 // lines that were dropped, for good
	closing sync.Once

	mu sync.Mutex // guards what follows; never held across a write
	// note says in the stream how many lines are missing there, once it works again; nil: nothing
	// says it.
	note   func(lines int) []byte
	queue  []entry
	bytes  int // of the queue
	gap    int // lines dropped since the last entry
	closed bool
	err    error // of the first write that failed
}

// entry is one text that waits.
type entry struct {
	text   []byte
	lines  int // 0: it is a note alone
	before int // lines that are missing right before it
}

// newSink starts the goroutine that writes, which close ends.
func newSink(to io.Writer) *sink {
	s := &sink{to: to, wake: make(chan struct{}, 1), over: make(chan struct{}),
		done: make(chan struct{})}
	go s.run()
	return s
}

// under is the stream itself, for who asks what it is.
func (s *sink) under() io.Writer { return s.to }

// Write takes one or more whole lines. It never waits and never fails.
func (s *sink) Write(text []byte) (int, error) {
	lines := max(bytes.Count(text, []byte{'\n'}), 1)
	s.mu.Lock()
	defer s.mu.Unlock()
	// A text that is longer than the bound goes alone: it is in memory anyway.
	full := len(s.queue) >= sinkLinesMax ||
		len(s.queue) > 0 && s.bytes+len(text) > sinkBytesMax
	if full || s.closed {
		s.gap += lines
		s.lost.Add(uint64(lines))
		return len(text), nil
	}
	s.queue = append(s.queue, entry{bytes.Clone(text), lines, s.gap})
	s.bytes += len(text)
	s.gap = 0
	s.rouse()
	return len(text), nil
}

// rouse lets the goroutine look again.
func (s *sink) rouse() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

// tell sets how the stream is told of lines that are missing.
func (s *sink) tell(note func(lines int) []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.note = note
}

// dropped counts the lines that never got into the stream.
func (s *sink) dropped() uint64 { return s.lost.Load() }

// failed is the error of the first write that failed; nil: none did.
func (s *sink) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// close writes what is waiting, as long as the stream takes it: after sinkStall without a finished
// write, and after sinkLeave in any case, what is left is dropped. What is written to a closed sink
// is, too. It may be called more than once; each call returns when the first has.
func (s *sink) close() {
	s.closing.Do(func() {
		s.mu.Lock()
		s.closed = true
		s.mu.Unlock()
		s.rouse()
		s.awaitDone()
		close(s.over)
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, e := range s.queue {
			s.lost.Add(uint64(e.lines))
		}
		s.queue = nil
	})
}

func (s *sink) awaitDone() {
	end := time.NewTimer(sinkLeave)
	defer end.Stop()
	stall := time.NewTicker(sinkStall)
	defer stall.Stop()
	for seen := s.writes.Load(); ; {
		select {
		case <-s.done:
			return
		case <-end.C:
			return
		case <-stall.C:
			now := s.writes.Load()
			if now == seen {
				return
			}
			seen = now
		}
	}
}

// run writes until the sink is closed and empty.
func (s *sink) run() {
	defer close(s.done)
	var b sinkBatch
	for {
		note, more := s.take(&b)
		if len(b.entries) == 0 {
			if !more {
				return
			}
			<-s.wake
			continue
		}
		b.render(note)
		n, err := s.put(b.text)
		lost := b.settle(n, err)
		s.lost.Add(uint64(lost))
		if err != nil {
			s.mu.Lock()
			if s.err == nil {
				s.err = err
			}
			s.mu.Unlock()
		}
	}
}

// take moves the next entries of the queue into a batch. When none is left but lines were dropped
// after the last one, that alone is an entry. more: there may be others later.
func (s *sink) take(b *sinkBatch) (note func(lines int) []byte, more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b.entries = b.entries[:0]
	size, n := 0, 0
	for ; n < len(s.queue); n++ {
		if size += len(s.queue[n].text); n > 0 && size > sinkBatchBytes {
			break
		}
		b.entries = append(b.entries, s.queue[n])
		s.bytes -= len(s.queue[n].text)
	}
	if s.queue = s.queue[n:]; len(s.queue) == 0 {
		s.queue = nil // so that the room of a long queue is given back
		if n == 0 && s.gap > 0 {
			b.entries = append(b.entries, entry{before: s.gap})
			s.gap = 0
		}
	}
	return s.note, !s.closed
}

// put writes all of a text. A non-blocking stream that is full is asked again, as a blocking one
// would have been waited for.
func (s *sink) put(text []byte) (n int, err error) {
	for {
		var m int
		m, err = s.to.Write(text[n:])
		n += m
		if m > 0 || err == nil {
			s.writes.Add(1)
		}
		if !errors.Is(err, syscall.EAGAIN) {
			break
		}
		select {
		case <-time.After(sinkAgain):
		case <-s.over:
			return n, err
		}
	}
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	return n, err
}

// sinkBatch is what one write is made of.
type sinkBatch struct {
	entries []entry
	text    []byte
	noted   []int // where each entry's note ends in text
	ends    []int // where each entry ends
	missing int   // lines of writes that failed, not told yet
	torn    bool  // the last line in the stream has no end
}

// render puts the entries one after the other, each after the note of what is missing before it.
func (b *sinkBatch) render(note func(lines int) []byte) {
	b.text, b.noted, b.ends = b.text[:0], b.noted[:0], b.ends[:0]
	if b.torn {
		b.text = append(b.text, '\n')
	}
	b.entries[0].before += b.missing
	b.missing = 0
	for _, e := range b.entries {
		if e.before > 0 && note != nil {
			b.text = append(b.text, note(e.before)...)
		}
		b.noted = append(b.noted, len(b.text))
		b.text = append(b.text, e.text...)
		b.ends = append(b.ends, len(b.text))
	}
}

// settle notes what became of a write of which n bytes got into the stream, and returns how many
// lines did not.
func (b *sinkBatch) settle(n int, err error) (lost int) {
	for i := range b.entries {
		if err == nil || b.ends[i] <= n {
			continue
		}
		lost += b.entries[i].lines
		if b.noted[i] > n {
			b.missing += b.entries[i].before
		}
	}
	b.missing += lost
	if n > 0 {
		b.torn = b.text[n-1] != '\n'
	}
	if cap(b.text) > 4*sinkBatchBytes {
		b.text = nil // one long text is no reason to keep its room
	}
	clear(b.entries)
	return lost
}
