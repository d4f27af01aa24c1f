package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/hookspool/hookspool/relay/action"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/care"
)

// problemBytesMax bounds a refusal: an import has a fault for each of its lines.
const problemBytesMax = 4 << 20

// relay is the one to ask: that of --admin, or that of the config when it uses the spool, or
// without a config the one at the usual address. Nil: the spool is at rest.
func (k *spoolVerb) relay() (*peer, error) {
	if k.adminURL == "" && k.dir == "" && k.configPath() == "" {
		return k.usualRelay() // as every other verb does without a config
	}
	if k.adminURL != "" {
		if err := k.find(); err != nil && k.config != "" {
			return nil, err
		}
		return k.admin()
	}
	if err := k.find(); err != nil {
		return nil, err
	}
	err := care.InUse(k.dir, k.shared())
	switch {
	case !errors.Is(err, spool.ErrInUse):
		return nil, nil // whoever opens it says what is wrong with it
	case !k.ofConfig:
		return nil, k.explainSpool(fmt.Errorf("cannot open spool %q: %w", k.dir, err))
	}
	k.locked = true
	return k.admin()
}

// usualRelay is the one at the usual address, if there is one.
func (k *spoolVerb) usualRelay() (*peer, error) {
	relay, err := k.admin()
	if err != nil {
		return nil, err
	}
	var status admin.Status
	err = relay.call(context.Background(), "GET", "/v1/status", &status)
	var u *unreachable
	if errors.As(err, &u) {
		none := noConfig()
		return nil, fail(none.hint, "%w, and %w", none, err)
	}
	return relay, err
}

// explain adds the hint to a failure to reach the relay: who uses the spool need not be one.
func (k *spoolVerb) explain(err error) error {
	var u *unreachable
	if k.locked && errors.As(err, &u) && u.absent {
		return fail("wait until another verb is done with it, or name the relay with --admin URL",
			"spool %q is in use, and %w", k.dir, err)
	}
	return k.cli.explain(err)
}

// open makes a call whose answer is read as it comes.
func (p *peer) open(ctx context.Context, path string, body []byte) (io.ReadCloser, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, p.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("cannot make a request: %w", err)
	}
	p.sign(r)
	answer, err := p.http.Do(r)
	if err != nil {
		return nil, brokeOff(ctx, p, err)
	}
	if answer.StatusCode == http.StatusOK {
		return answer.Body, nil
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(io.LimitReader(answer.Body, problemBytesMax)) // half of it says less
	f := refusalOf(p, answer.StatusCode, answer.Header, text)
	var problem admin.Problem
	if json.Unmarshal(text, &problem) == nil && len(problem.Lines) > 0 {
		return nil, &refusedLines{failure: f, problem: problem}
	}
	return nil, f
}

// brokeOff is the end of a call in the middle.
func brokeOff(ctx context.Context, p *peer, err error) error {
	if ctx.Err() != nil {
		return interrupted(ctx, err)
	}
	return newUnreachable(p, err)
}

// decodeAnswer reads the whole of a short answer.
func decodeAnswer(p *peer, answer io.Reader, into any) error {
	text, err := io.ReadAll(io.LimitReader(answer, answerBytesMax))
	if err != nil {
		return newUnreachable(p, err)
	}
	return decodeText(p, text, into)
}

func decodeText(p *peer, text []byte, into any) error {
	if err := json.Unmarshal(text, into); err != nil {
		return fail("is that the admin listener of a hookspool of this version?",
			"cannot read the answer of %s: %w", p.shown, err)
	}
	return nil
}

// following is where the lines of a long answer go.
type following struct {
	events io.Writer // lines that are events or actions, as they are
	show   func(done, total int64)
	result any // of the last line
}

// follow makes a call that answers in lines: events, how far it is, and at the end what came of it.
// An answer without such an end is none.
func (p *peer) follow(ctx context.Context, path string, f *following) error {
	answer, err := p.open(ctx, path, nil)
	if err != nil {
		return err
	}
	defer answer.Close()
	lines := bufio.NewScanner(answer)
	lines.Buffer(make([]byte, 256<<10), importLineMax)
	for lines.Scan() {
		done, err := f.take(p, lines.Bytes())
		if err != nil || done {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return brokeOff(ctx, p, err)
	}
	return fail("its log says why; run it again", "the answer of %s broke off", p.shown)
}

// take reads one line; true if it is the last.
func (f *following) take(p *peer, line []byte) (done bool, err error) {
	if bytes.HasPrefix(line, []byte(`{"id":`)) || action.IsLine(line) {
		if _, err = f.events.Write(line); err == nil {
			_, err = f.events.Write([]byte{'\n'})
		}
		return false, err
	}
	var told struct {
		admin.Told
		Result json.RawMessage `json:"result"`
	}
	if err := decodeText(p, line, &told); err != nil {
		return false, err
	}
	switch {
	case told.Error != "":
		return false, fail("the log of the relay says more", "%s", told.Error)
	case told.Result != nil:
		return true, decodeText(p, told.Result, f.result)
	case told.Progress != nil:
		f.show(told.Progress.Done, told.Progress.Total)
	}
	return false, nil
}
