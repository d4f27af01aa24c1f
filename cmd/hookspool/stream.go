package main

import (
	"context"
	"errors"
	"io"
	"os"
	"sync"
	"syscall"
)

// stream is stdout for a verb that answers and ends. It remembers the first write that failed, so
// that no verb has to look at each: run asks once, at the end. What is written after that is
// dropped, and the verb's context ends, because nobody would read what it goes on to find out.
type stream struct {
	to     io.Writer
	broken context.CancelFunc

	mu  sync.Mutex // guards err, and keeps two writes apart
	err error
}

// under is the stream itself, for who asks what it is.
func (s *stream) under() io.Writer { return s.to }

// Write is that of the stream until one fails; then it is that error.
func (s *stream) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return 0, s.err
	}
	n, err := s.to.Write(text)
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	if err != nil {
		s.err = err
		s.broken()
	}
	return n, err
}

// failed is the error of the write that failed; nil: none did.
func (s *stream) failed() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// close is for what a file system says only then: that there is no room after all (NFS, quotas).
// Writing is over.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f, ok := s.to.(*os.File); ok && s.err == nil {
		s.err = f.Close()
	}
}

// fileOf is the file behind one of the cli's streams, if there is one.
func fileOf(stream any) (*os.File, bool) {
	if s, ok := stream.(interface{ under() io.Writer }); ok {
		stream = s.under()
	}
	f, ok := stream.(*os.File)
	return f, ok
}

// neverWait is for verbs that serve: what they say, and their data, wait in sinks from now on, so
// that a reader that is slow or gone costs lines and never the service. With data on stdout, note
// says in it how many lines are missing.
func (c *cli) neverWait(note func(lines int) []byte) {
	out, log := newSink(c.out.(*stream).to), newSink(c.errOut)
	out.tell(note)
	log.tell(missingLines)
	c.out, c.errOut = out, log
}

// missingLines says for people how many lines are missing.
func missingLines(lines int) []byte {
	return []byte("(" + count(lines, "line") + " could not be written)\n")
}

// lastWord tells the user why the process ends now, and writes what is still waiting; it takes no
// longer than the sinks allow, even where a write is stuck.
func (c *cli) lastWord(format string, args ...any) {
	log, ok := c.errOut.(*sink)
	if !ok {
		log = newSink(c.errOut)
	}
	(&cli{errOut: log}).say(format, args...)
	log.close()
}

// leave ends what the verb left to be written, and returns why stdout did not get all of it; nil:
// it did. The log may not be read by anybody: that is counted elsewhere and no failure.
func (c *cli) leave() *failure {
	var err error
	switch out := c.out.(type) {
	case *stream:
		out.close()
		err = out.failed()
	case *sink:
		out.close()
		if n := out.dropped(); n > 0 {
			if err = out.failed(); err == nil {
				err = errors.New("nobody reads " + count(int(n), "line"))
			}
		}
	}
	switch {
	case err == nil:
		return nil
	case errors.Is(err, syscall.EPIPE):
		return silent() // whoever closed it has heard enough: hookspool targets | head -1
	}
	return fail("stdout must be open for writing and have room", "cannot write to stdout: %w",
		cause(err))
}
