package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

const (
	postTimeout   = time.Minute
	backoffFirst  = 200 * time.Millisecond
	backoffMost   = 5 * time.Second
	retryAfterMax = 30 * time.Second
)

// poster posts to the events listener and tries again what may be tried again.
type poster struct {
	peer          *peer
	path          string
	typ           string
	batchBytesMax int64
	retryFor      time.Duration
	// patient: a relay that does not listen yet is waited for. Otherwise nobody listening is an
	// error at once, unless somebody did before.
	patient bool
	met     bool // there was an answer
	// onWait, when set, is told before each pause.
	onWait func(reason string, pause time.Duration)
}

// request is one POST.
type request struct {
	id          string
	contentType string
	body        []byte
}

// eventProblem is a refusal of the events listener.
type eventProblem struct {
	admin.Problem
	Lines []int `json:"lines"`
}

// post returns the body of the answer 200. Sending the same request again is safe, because it has
// an id. Its error is *unreachable, *refused or *failure.
func (p *poster) post(ctx context.Context, r request) ([]byte, error) {
	end := time.Now().Add(p.retryFor)
	for pause := backoffFirst; ; pause = min(2*pause, backoffMost) {
		body, err := p.try(ctx, r)
		switch {
		case err == nil:
			return body, nil
		case ctx.Err() != nil:
			return nil, stopped()
		}
		again, wait := p.retryable(err, pause)
		if !again || time.Now().Add(wait).After(end) {
			return nil, err
		}
		if p.onWait != nil {
			p.onWait(err.Error(), wait)
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, stopped()
		}
	}
}

func stopped() *failure {
	return fail("run it again: what was accepted is answered as duplicate", "stopped")
}

// refused is an answer that is not 200.
type refused struct {
	*failure
	status  int
	problem admin.Problem
	lines   []int // of the request, from 1, that are at fault
	again   bool  // it may be another one later
	after   time.Duration
}

// Unwrap lets it be treated as a failure.
func (r *refused) Unwrap() error { return r.failure }

// retryable says whether an error may pass, and after how long to try.
func (p *poster) retryable(err error, pause time.Duration) (bool, time.Duration) {
	var u *unreachable
	var no *refused
	switch {
	case errors.As(err, &u):
		return !u.absent || p.patient || p.met, pause
	case errors.As(err, &no):
		return no.again, max(pause, min(no.after, retryAfterMax))
	}
	return false, 0
}

// try posts once.
func (p *poster) try(ctx context.Context, r request) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, postTimeout)
	defer cancel()
	post, err := http.NewRequest(http.MethodPost, p.peer.base+p.path, bytes.NewReader(r.body))
	if err != nil {
		return nil, fmt.Errorf("cannot make a request: %w", err)
	}
	post.Header.Set("Content-Type", r.contentType)
	post.Header.Set("Idempotency-Key", r.id)
	status, header, body, err := p.peer.do(ctx, post)
	if err != nil {
		return nil, err
	}
	p.met = true
	if status == http.StatusOK {
		return body, nil
	}
	return nil, p.refusal(status, header, body)
}

// refusal tells an answer that is not 200 in the relay's words, with what to do.
func (p *poster) refusal(status int, header http.Header, body []byte) *refused {
	var problem eventProblem
	if !strings.HasPrefix(header.Get("Content-Type"), "application/problem+json") ||
		json.Unmarshal(body, &problem) != nil {
		return &refused{status: status, failure: fail("is that where a hookspool takes events?",
			"%s answered %d %s", p.peer.shown, status, http.StatusText(status))}
	}
	seconds, _ := strconv.Atoi(header.Get("Retry-After")) // absent or a date: our own pause
	r := &refused{
		failure: fail("", "the relay refused: %s (%d %s)", problem.Detail, status, problem.Code),
		status:  status, problem: problem.Problem, lines: problem.Lines,
		again: status == http.StatusServiceUnavailable ||
			status == http.StatusInsufficientStorage,
		after: time.Duration(min(max(seconds, 0), int(retryAfterMax/time.Second))) * time.Second,
	}
	r.reason = problem.Code
	switch problem.Code {
	case "malformed":
		r.hint = "mend the event, its --type or its --id, and send it again"
	case "unauthorized":
		r.hint = "set " + eventTokenEnv + ", or event_token in the config that --config names"
	case "id_conflict":
		r.hint = "another event had this id before; choose another with --id"
	case "too_large":
		r.hint = "server.max_body_size bounds one event"
	case "spool_full":
		r.hint = "nothing accepted is dropped for it: make room, raise spool.max_size, or wait until " +
			"targets have caught up"
	case "disk_error":
		r.hint = "the log of the relay says what its disk said"
	case "overloaded", "draining":
		r.hint = "send it again later, or wait longer with --retry-for"
	}
	return r
}

// linesText lists numbers, the first twenty.
func linesText(lines []int) string {
	const shown = 20
	words := make([]string, 0, shown+1)
	for i, n := range lines {
		if i == shown {
			words = append(words, fmt.Sprintf("and %d more", len(lines)-shown))
			break
		}
		words = append(words, strconv.Itoa(n))
	}
	return strings.Join(words, ", ")
}

// listen asks a relay where it takes events.
func (p *peer) listen(ctx context.Context) (string, error) {
	var status admin.Status
	if err := p.call(ctx, "GET", "/v1/status", &status); err != nil {
		return "", err
	}
	if len(status.Listen) == 0 {
		return "", errors.New("it names no address")
	}
	return status.Listen[0], nil
}
