package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/hookspool/hookspool/relay/sample"
)

// source is what is sent: one event, or lines.
type source struct {
	name    string      // as a person would name it
	single  []byte      // the event, unless there are lines
	lines   *lineReader // nil: one event
	guessed bool        // that these are lines, from the content alone
	size    int64       // bytes, -1: not known
	file    *os.File
}

func (s *source) close() {
	if s.file != nil {
		_ = s.file.Close() // it was only read
	}
}

// openSource finds out whether the input is one event or many.
func (c *cli) openSource(s *sending) (*source, error) {
	if s.sample != "" {
		payload, ok := sample.Payload(s.sample)
		if !ok {
			return nil, noSample(s.sample)
		}
		if s.typ == "" {
			s.typ = s.sample
		}
		return &source{single: payload}, nil
	}
	from, in := &source{name: "stdin", size: -1}, c.in
	if s.file != "-" {
		f, err := os.Open(s.file)
		if err != nil {
			return nil, fail(inputHint, "cannot read %q: %w", s.file, cause(err))
		}
		from.name, from.file, in = fmt.Sprintf("%q", s.file), f, f
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			from.size = info.Size()
		}
	}
	if err := from.read(in, s); err != nil {
		from.close()
		return nil, err
	}
	return from, nil
}

// read looks at the beginning of the input and reads on to its end if it is one event. What the
// flags or the name of the file say is believed, so that a bad first line is an error of that line;
// otherwise the content tells.
func (s *source) read(in io.Reader, told *sending) error {
	lines := newLineReader(in)
	head, many, err := lines.peek()
	if err != nil {
		return s.unreadable(err)
	}
	if len(bytes.TrimSpace(head)) == 0 {
		return fail("it must hold one event, or one a line", "there is nothing to send: %s is empty",
			s.name)
	}
	if !told.single {
		named := namedNDJSON(told.file)
		s.guessed = many && !named && !told.ndjson
		if many || named || told.ndjson {
			s.lines = newLineReader(io.MultiReader(bytes.NewReader(head), lines.in))
			return nil
		}
	}
	rest, err := io.ReadAll(io.LimitReader(lines.in, eventBytesMax+1))
	if s.single = append(head, rest...); err == nil && len(s.single) > eventBytesMax {
		err = errTooLong
	}
	return s.unreadable(err)
}

func namedNDJSON(file string) bool {
	suffix := strings.ToLower(filepath.Ext(file))
	return suffix == ".ndjson" || suffix == ".jsonl"
}

// unreadable is the failure to read the input; nil stays nil.
func (s *source) unreadable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errTooLong):
		return fail("server.max_body_size bounds one event", "cannot send %s: an event is longer "+
			"than %s", s.name, bytesText(eventBytesMax))
	}
	return fail(inputHint, "cannot read %s: %w", s.name, cause(err))
}

const inputHint = "name a file that can be read, or - for stdin"

var errTooLong = errors.New("a line is too long")

// lineReader reads NDJSON line by line. Empty lines are passed over, and counted.
type lineReader struct {
	in     *bufio.Reader
	number int    // of the line that next returned last, from 1
	back   []byte // that line again, if it was put back
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 256<<10)}
}

// peek reads up to the end of the first line that is not empty, and says whether the input is
// NDJSON: that line is one JSON value, and more follows it. A value that is printed over several
// lines does not end in its first. The bytes returned are those read.
func (r *lineReader) peek() (head []byte, many bool, err error) {
	var line []byte
	for err == nil && len(bytes.TrimSpace(line)) == 0 {
		line, err = r.readLine()
		if head = append(head, line...); len(head) > eventBytesMax {
			return nil, false, errTooLong
		}
	}
	if err == io.EOF {
		return head, false, nil
	}
	if err != nil || !json.Valid(line) {
		return head, false, err
	}
	return r.skipSpace(head)
}

// skipSpace moves what is space from the reader to the end of head, and says whether more follows.
func (r *lineReader) skipSpace(head []byte) ([]byte, bool, error) {
	for len(head) <= eventBytesMax {
		b, err := r.in.ReadByte()
		if err != nil {
			return head, false, nil // an error that is not the end comes again
		}
		if b > ' ' {
			return head, true, r.in.UnreadByte()
		}
		head = append(head, b)
	}
	return nil, false, errTooLong
}

// next returns a line without the spaces around it, and io.EOF after the last. The slice is the
// caller's.
func (r *lineReader) next() ([]byte, error) {
	if line := r.back; line != nil {
		r.back = nil
		return line, nil
	}
	for {
		line, err := r.readLine()
		if len(line) > 0 {
			r.number++
			if line = bytes.TrimSpace(line); len(line) > 0 {
				return line, nil
			}
		}
		if errors.Is(err, errTooLong) {
			return nil, fail("server.max_body_size bounds one event", "line %d is longer than %s",
				r.number+1, bytesText(eventBytesMax))
		}
		if err != nil {
			return nil, err
		}
	}
}

// readLine reads up to a newline, which it keeps, and no line longer than eventBytesMax.
func (r *lineReader) readLine() ([]byte, error) {
	var line []byte
	for {
		part, err := r.in.ReadSlice('\n')
		line = append(line, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return line, err
		}
		if len(line) > eventBytesMax {
			return nil, errTooLong
		}
	}
}
