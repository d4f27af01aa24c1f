package main

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

const (
	batchEventsMax = 500
	// eventBytesMax bounds what is read of one event; the relay takes less.
	eventBytesMax  = 16 << 20
	contentIDBytes = 12 // of the digest: beyond any chance of two alike
)

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

// key names the batch; the relay adds the number of the line in the request to it.
func (b *batch) key(prefix, typ string) string {
	if prefix != "" {
		return fmt.Sprintf("%s-%d", prefix, b.lines[0])
	}
	return contentID(b.lines[0], typ, b.body)
}

// contentID names events by everything that makes them what they are: their place in the input,
// their type, their bytes. A single event has place 0. So sending them again is a duplicate.
func contentID(place int, typ string, body []byte) string {
	h := sha256.New()
	fmt.Fprintf(h, "%d\x00%s\x00", place, typ)
	h.Write(body)
	return "send_" + hex.EncodeToString(h.Sum(nil)[:contentIDBytes])
}

// span names the lines of the input that the batch is made of.
func (b *batch) span() string {
	first, last := b.lines[0], b.lines[len(b.lines)-1]
	if first == last {
		return fmt.Sprintf("line %d", first)
	}
	return fmt.Sprintf("lines %d to %d", first, last)
}

// sendBatches posts one batch after the other. The first that is refused ends it; what came before
// is accepted.
func (c *cli) sendBatches(ctx context.Context, p *poster, s *sending, from *source) error {
	bar := c.progress(from.size)
	p.onWait = func(reason string, pause time.Duration) {
		_ = bar.Clear() // a bar that cannot be drawn is no reason to stop
		c.say("%s; trying again in %s", clean(reason), latencyText(pause))
	}
	from.lines.in = bufio.NewReaderSize(untilDone(ctx, from.lines.in), 256<<10)
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
	if ctx.Err() != nil && (err == nil || errors.Is(err, context.Canceled)) {
		err = stopped()
	}
	return c.endBatches(s, &t, from.guessed, err)
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
			"cannot read the answer of %s about %s", p.peer.shown, b.span())
	}
	return answer.Events, nil
}

// locate tells a refusal in the numbers of the input's lines: the relay counts the request's.
func (b *batch) locate(err error) error {
	var no *refused
	if !errors.As(err, &no) {
		return err
	}
	var at []int
	for _, n := range no.lines {
		if n >= 1 && n <= len(b.lines) {
			at = append(at, b.lines[n-1])
		}
	}
	if len(at) > 0 {
		no.err = fmt.Errorf("the relay refused line %d: %s (%d %s)", at[0],
			withoutLines(no.problem.Detail), no.status, no.problem.Code)
	}
	if len(at) > 1 {
		no.detail = []string{"lines at fault: " + linesText(at)}
	}
	if len(b.lines) > 1 {
		no.detail = append(no.detail, "nothing of "+b.span()+" was accepted")
	}
	return no
}

// withoutLines takes out of the detail of a refused batch what counts lines from the beginning of
// the request, and leaves the reason. A relay that words it otherwise is quoted as it is.
func withoutLines(detail string) string {
	reason, ok := strings.CutPrefix(detail, "nothing of the batch was accepted; line ")
	if !ok {
		return detail
	}
	_, reason, ok = strings.Cut(reason, ": ")
	end := strings.LastIndex(reason, " (lines at fault: ")
	if !ok || end < 0 {
		return detail
	}
	return reason[:end]
}

// endBatches reports what was accepted, also when the rest was not.
func (c *cli) endBatches(s *sending, t *tally, guessed bool, err error) error {
	if printErr := c.printTally(s, t); printErr != nil {
		return printErr
	}
	if err == nil {
		return nil
	}
	err = c.explainSend(err)
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	var no *refused
	if f.hint == "" || errors.As(err, &no) && no.problem.Code == "malformed" {
		f.hint = "run it again when that is mended: what was accepted is answered as duplicate"
		if guessed {
			f.hint += "; if the input is one event, say --single"
		}
	}
	return err
}

// progress is a bar on a terminal and nothing elsewhere. Of stdin the end is not known; the library
// would then turn a spinner in a goroutine of its own, which races with what it draws (seen).
func (c *cli) progress(size int64) *progressbar.ProgressBar {
	to := c.errOut
	if !isTerminal(to) {
		to = io.Discard
	}
	return progressbar.NewOptions64(size,
		progressbar.OptionSetSpinnerChangeInterval(0),
		progressbar.OptionSetWriter(to),
		progressbar.OptionSetDescription("sending"),
		progressbar.OptionShowBytes(true),
		progressbar.OptionSetWidth(30),
		progressbar.OptionThrottle(100*time.Millisecond),
		progressbar.OptionSetPredictTime(size > 0),
		progressbar.OptionClearOnFinish(),
	)
}
