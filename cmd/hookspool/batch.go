package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	batchEventsMax = 500
	// eventBytesMax bounds what is read of one event; the relay takes less.
	eventBytesMax = 16 << 20
	batchIDBytes  = 12 // of the digest: beyond any chance of two alike
)

// lineReader reads NDJSON line by line. Empty lines are passed over, and counted.
type lineReader struct {
	in     *bufio.Reader
	number int    // of the line that next returned last, from 1
	back   []byte // that line again, if it was put back
}

func newLineReader(in io.Reader) *lineReader {
	return &lineReader{in: bufio.NewReaderSize(in, 256<<10)}
}

// next returns a line without the spaces around it, and io.EOF behind the last. The slice is the
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
			return nil, fail("", "line %d is longer than %s", r.number+1, bytesText(eventBytesMax))
		}
	}
}

// openStream finds out what comes over stdin: one JSON document, or several lines each of which is
// one. A first line that is JSON, with more behind it, makes it NDJSON.
func openStream(in io.Reader, ndjson bool) (*source, error) {
	lines := newLineReader(in)
	if ndjson {
		return &source{lines: lines, size: -1}, nil
	}
	head, err := lines.readLine()
	if err == nil && json.Valid(head) {
		var more bool
		head, more = skipSpace(lines.in, head)
		if more {
			again := newLineReader(io.MultiReader(bytes.NewReader(head), lines.in))
			return &source{lines: again, size: -1}, nil
		}
	}
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("cannot read stdin: %w", err)
	}
	rest, err := io.ReadAll(io.LimitReader(lines.in, eventBytesMax+1))
	if err != nil {
		return nil, fmt.Errorf("cannot read stdin: %w", err)
	}
	body := append(head, rest...)
	if len(body) > eventBytesMax {
		return nil, fail("", "cannot read stdin: it has more than %s", bytesText(eventBytesMax))
	}
	return &source{single: body}, nil
}

// skipSpace moves what is space from the reader to the end of head, and says whether more follows.
func skipSpace(in *bufio.Reader, head []byte) ([]byte, bool) {
	for {
		b, err := in.ReadByte()
		if err != nil {
			return head, false // an error that is not the end comes again
		}
		if b > ' ' {
			_ = in.UnreadByte() // cannot fail behind a ReadByte
			return head, true
		}
		head = append(head, b)
	}
}

// batch is consecutive lines of the input.
type batch struct {
	lines []int // the number of each event's line
	body  []byte
}

// nextBatch gathers lines up to the bounds; an empty one means that there are no more. Where a
// batch ends depends on nothing but the input and the bounds, so that a second run makes the same
// ones.
func nextBatch(r *lineReader, bytesMax int64) (*batch, error) {
	b := &batch{}
	for len(b.lines) < batchEventsMax {
		line, err := r.next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		if len(b.lines) > 0 && int64(len(b.body)+len(line)+1) > bytesMax {
			r.back = line
			break
		}
		b.lines = append(b.lines, r.number)
		b.body = append(append(b.body, line...), '\n')
	}
	return b, nil
}

// key names the batch; the relay adds the number of the line in the request to it. It is made of
// everything that makes the events what they are: their place in the input, their type, their
// bytes.
func (b *batch) key(prefix, typ string) string {
	if prefix != "" {
		return fmt.Sprintf("%s-%d", prefix, b.lines[0])
	}
	h := sha256.New()
	fmt.Fprintf(h, "%d\x00%s\x00", b.lines[0], typ)
	h.Write(b.body)
	return "send_" + hex.EncodeToString(h.Sum(nil)[:batchIDBytes])
}

// sendBatches posts one batch after the other. The first that is refused ends it; what came before
// is accepted.
func (c *cli) sendBatches(ctx context.Context, p *poster, s *sending, from *source) error {
	bar := c.progress(from.size)
	p.onWait = func(reason string, pause time.Duration) {
		_ = bar.Clear() // a bar that cannot be drawn is no reason to stop
		c.say("%s; trying again in %s", clean(reason), latencyText(pause))
	}
	var t tally
	var err error
	for ctx.Err() == nil {
		var b *batch
		if b, err = nextBatch(from.lines, p.batchBytesMax); err != nil || len(b.lines) == 0 {
			break
		}
		var events []accepted
		if events, err = postBatch(ctx, p, s, b); err != nil {
			break
		}
		t.add(events...)
		_ = bar.Add(len(b.body))
	}
	_ = bar.Finish()
	if err == nil && ctx.Err() != nil {
		err = stopped()
	}
	return c.endBatches(&t, err)
}

func postBatch(ctx context.Context, p *poster, s *sending, b *batch) ([]accepted, error) {
	text, err := p.post(ctx, request{id: b.key(s.id, s.typ), contentType: "application/x-ndjson",
		body: b.body})
	if err != nil {
		return nil, b.locate(err)
	}
	var answer struct {
		Events []accepted `json:"events"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || len(answer.Events) != len(b.lines) {
		return nil, fail("is that where a hookspool takes events?",
			"cannot read the answer of %s about lines %d to %d", p.peer.shown, b.lines[0],
			b.lines[len(b.lines)-1])
	}
	return answer.Events, nil
}

// locate says which lines of the input a refusal is about: the relay counts those of the request.
func (b *batch) locate(err error) error {
	var no *refused
	if !errors.As(err, &no) {
		return err
	}
	last := b.lines[len(b.lines)-1]
	no.detail = []string{fmt.Sprintf("lines %d to %d of the input are one batch; nothing of it was "+
		"accepted", b.lines[0], last)}
	var at []int
	for _, n := range no.lines {
		if n >= 1 && n <= len(b.lines) {
			at = append(at, b.lines[n-1])
		}
	}
	if len(at) > 0 {
		no.detail = append(no.detail, "lines of the input at fault: "+linesText(at))
	}
	return no
}

// endBatches reports what was accepted, also when the rest was not.
func (c *cli) endBatches(t *tally, err error) error {
	if c.json {
		if printErr := c.printJSON(t); printErr != nil {
			return printErr
		}
	} else {
		c.print("%s\n", t)
	}
	if err == nil {
		return nil
	}
	err = c.explainSend(err)
	var f *failure
	if errors.As(err, &f) && f.hint == "" {
		f.hint = "run it again when that is mended: what was accepted is answered as duplicate"
	}
	return err
}

// progress is a bar on a terminal and nothing elsewhere. Of stdin the end is not known.
func (c *cli) progress(size int64) *progressbar.ProgressBar {
	if !isTerminal(c.errOut) {
		return progressbar.DefaultSilent(size)
	}
	return progressbar.NewOptions64(size,
		progressbar.OptionSetWriter(c.errOut),
		progressbar.OptionSetDescription("sending"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(size > 0),
		progressbar.OptionClearOnFinish(),
	)
}
