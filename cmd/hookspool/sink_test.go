package main

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// fakeStream is a stream whose writes follow a plan.
type fakeStream struct {
	mu   sync.Mutex
	text bytes.Buffer
	// plan gives the fate of each write: how much of it gets through, and its error. After the last
	// everything does.
	plan  []func(text []byte) (int, error)
	tries int
}

func (f *fakeStream) Write(text []byte) (int, error) {
	f.mu.Lock()
	f.tries++
	var next func([]byte) (int, error)
	if len(f.plan) > 0 {
		next, f.plan = f.plan[0], f.plan[1:]
	}
	f.mu.Unlock()
	n, err := len(text), error(nil)
	if next != nil {
		n, err = next(text)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text.Write(text[:n])
	return n, err
}

func (f *fakeStream) String() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.text.String()
}

// gate is a write that waits until it is opened, as one into a full pipe does.
type gate struct{ reached, open chan struct{} }

func newGate() *gate { return &gate{make(chan struct{}), make(chan struct{})} }

func (g *gate) write(text []byte) (int, error) {
	close(g.reached)
	<-g.open
	return len(text), nil
}

func fails(n int, err error) func([]byte) (int, error) {
	return func([]byte) (int, error) { return n, err }
}

func missing(n int) []byte { return fmt.Appendf(nil, "[%d missing]\n", n) }

// awaitTries waits until the stream was asked so often.
func awaitTries(t *testing.T, f *fakeStream, tries int) {
	t.Helper()
	for end := time.Now().Add(testPatience); ; {
		f.mu.Lock()
		got := f.tries
		f.mu.Unlock()
		if got >= tries {
			return
		}
		if time.Now().After(end) {
			t.Fatalf("%d writes, want %d", got, tries)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestSinkKeepsAll asserts that everything is written, in order, before close returns.
func TestSinkKeepsAll(t *testing.T) {
	t.Parallel()
	var f fakeStream
	s := newSink(&f)
	s.tell(missing)
	var want strings.Builder
	for i := range 10_000 {
		line := fmt.Sprintf("line %d\n", i)
		want.WriteString(line)
		if n, err := s.Write([]byte(line)); n != len(line) || err != nil {
			t.Fatalf("a write gave %d, %v", n, err)
		}
	}
	s.close()
	if f.String() != want.String() || s.dropped() != 0 || s.failed() != nil {
		t.Errorf("%d bytes of %d were written, %d lines dropped, error %v", len(f.String()),
			want.Len(), s.dropped(), s.failed())
	}
}

// TestSinkNeverWaits asserts that a stream that takes nothing costs lines, exactly those beyond the
// bound, that the gap is told where it is, and that close does not wait for such a stream.
func TestSinkNeverWaits(t *testing.T) {
	t.Parallel()
	stuck := newGate()
	f := &fakeStream{plan: []func([]byte) (int, error){stuck.write}}
	s := newSink(f)
	s.tell(missing)
	write := func(text string) { _, _ = s.Write([]byte(text)) }
	write("first\n")
	<-stuck.reached // so that the queue is empty
	for i := range sinkLinesMax + 7 {
		write(fmt.Sprintf("line %d\n", i))
	}
	if s.dropped() != 7 {
		t.Errorf("%d lines were dropped, want 7", s.dropped())
	}
	close(stuck.open)
	awaitText(t, f, fmt.Sprintf("line %d\n[7 missing]\n", sinkLinesMax-1))
	write("last\n")
	s.close()
	text := f.String()
	if lines := strings.Count(text, "\n"); lines != 1+sinkLinesMax+1+1 ||
		!strings.HasSuffix(text, "[7 missing]\nlast\n") {
		t.Errorf("%d lines were written; they end in %q", lines, text[len(text)-60:])
	}
}

// awaitText waits until a stream ends in a text.
func awaitText(t *testing.T, f *fakeStream, want string) {
	t.Helper()
	for end := time.Now().Add(testPatience); !strings.HasSuffix(f.String(), want); {
		if time.Now().After(end) {
			t.Fatalf("the stream does not end in %q", want)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestSinkBytes asserts the bound in bytes, and that one text beyond it goes all the same.
func TestSinkBytes(t *testing.T) {
	t.Parallel()
	stuck := newGate()
	f := &fakeStream{plan: []func([]byte) (int, error){stuck.write}}
	s := newSink(f)
	large := strings.Repeat("x", sinkBytesMax) + "\n"
	_, _ = s.Write([]byte("first\n"))
	<-stuck.reached
	_, _ = s.Write([]byte(large))
	_, _ = s.Write([]byte("no room\nfor two\n"))
	if s.dropped() != 2 {
		t.Errorf("%d lines were dropped, want 2", s.dropped())
	}
	close(stuck.open)
	s.close()
	if f.String() != "first\n"+large {
		t.Errorf("%d bytes were written, want %d", len(f.String()), len(large)+6)
	}
}

// TestSinkLeaves asserts that close gives up on a stream that is stuck, and counts what is left.
func TestSinkLeaves(t *testing.T) {
	t.Parallel()
	stuck := newGate()
	f := &fakeStream{plan: []func([]byte) (int, error){stuck.write}}
	s := newSink(f)
	_, _ = s.Write([]byte("first\n"))
	<-stuck.reached
	_, _ = s.Write([]byte("second\n"))
	began := time.Now()
	s.close()
	if took := time.Since(began); took > 10*sinkLeave {
		t.Errorf("close took %s", took)
	}
	if _, _ = s.Write([]byte("third\n")); s.dropped() != 2 {
		t.Errorf("%d lines were dropped, want the two after the one in hand", s.dropped())
	}
	close(stuck.open)
}

// TestSinkFailures asserts that a write that fails costs its own lines, that they are counted once,
// that the next one says how many are missing, and that a torn line does not run into the next.
func TestSinkFailures(t *testing.T) {
	t.Parallel()
	f := func(want string, lost uint64, plan ...func([]byte) (int, error)) {
		t.Helper()
		stream := &fakeStream{plan: plan}
		s := newSink(stream)
		s.tell(missing)
		for i := range len(plan) {
			_, _ = s.Write(fmt.Appendf(nil, "bad %d\n", i))
			awaitTries(t, stream, i+1)
		}
		_, _ = s.Write([]byte("good\n"))
		s.close()
		if stream.String() != want || s.dropped() != lost {
			t.Errorf("%q was written and %d dropped; want %q and %d", stream.String(), s.dropped(),
				want, lost)
		}
		if s.failed() == nil {
			t.Error("no error is remembered")
		}
	}
	// a disk without room, for one line and for three
	f("[1 missing]\ngood\n", 1, fails(0, syscall.ENOSPC))
	f("[3 missing]\ngood\n", 3, fails(0, syscall.ENOSPC), fails(0, syscall.EIO),
		fails(0, errors.New("another")))
	// room for half of a line; then for the note and half of the next
	f("bad\n[1 missing]\ngood\n", 1, fails(3, syscall.ENOSPC))
	f("bad\n[1 missing]\nbad\n[1 missing]\ngood\n", 2, fails(3, syscall.ENOSPC),
		fails(len("\n[1 missing]\nbad"), syscall.ENOSPC))
	// a write that is short without a word
	f("[1 missing]\ngood\n", 1, fails(0, nil))
}

// TestSinkAgain asserts that a non-blocking stream that is full for a moment loses nothing.
func TestSinkAgain(t *testing.T) {
	t.Parallel()
	f := &fakeStream{plan: []func([]byte) (int, error){fails(0, syscall.EAGAIN),
		fails(2, syscall.EAGAIN), fails(0, syscall.EAGAIN)}}
	s := newSink(f)
	_, _ = s.Write([]byte("a line\n"))
	s.close()
	if f.String() != "a line\n" || s.dropped() != 0 {
		t.Errorf("%q was written, %d lines dropped", f.String(), s.dropped())
	}
}
