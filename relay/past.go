package relay

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/failures"
	"github.com/hookspool/hookspool/relay/head"
	"github.com/hookspool/hookspool/relay/history"
	"github.com/hookspool/hookspool/relay/hunt"
	"github.com/hookspool/hookspool/relay/peers"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// This file tells what has been: what was counted, what fails, what was sent and answered.

// Failures is part of admin.Finder.
func (r desk) Failures(name, after string) (admin.Failures, error) {
	out := admin.Failures{Target: name}
	l := r.laneNamed(name)
	if l == nil {
		return out, noTarget(name)
	}
	turn, err := hunt.Enter(r.walks, r.attempts)
	if err != nil {
		return out, err
	}
	defer turn.Leave(r.attempts)
	page, err := failures.Look(r.spool, l.spool.ID(), after, turn.Enough)
	if errors.Is(err, failures.CursorError{}) {
		err = admin.Refuse(400, accept.CodeMalformed, "%s", err)
	}
	if err != nil {
		return out, err
	}
	out.LookedAt, out.Next, out.Others = page.LookedAt, page.Next, page.Others
	for i := range page.Groups {
		out.Groups = append(out.Groups, failureGroup(r.spool, &page.Groups[i]))
	}
	return out, nil
}

// failureGroup is a group with the id of its newest event.
func failureGroup(s *spool.Spool, g *failures.Group) admin.FailureGroup {
	out := admin.FailureGroup{Outcome: g.Outcome, Status: g.Status, Error: g.Error, Line: g.Line,
		Count: g.Count(), Pending: g.Pending, Exhausted: g.Exhausted, Expired: g.Expired,
		FirstSeen: g.First.UTC(), LastSeen: g.Last.UTC()}
	if f, err := look.Summary(s.Records(), g.Seq); err == nil {
		out.Example = f.ID
	}
	out.Failure = g.Name()
	out.ByStatus, out.ByError = g.Filter()
	return out
}

// History is part of admin.Finder. What is not kept yet is asked of the relay that serves the
// target, or of all where it is about them. From when on that is not known is told.
func (f front) History(name, span string) (admin.History, error) {
	out := admin.History{Target: name, Span: span, Failed: make(map[string][]uint32)}
	of, known := spanNamed(span)
	if !known {
		return out, admin.Refuse(400, accept.CodeMalformed, "there is no span %.20q", span)
	}
	lane, relays := spool.SpoolItself, f.company.Names()
	if name != "" {
		l := f.laneNamed(name)
		if l == nil {
			return out, noTarget(name)
		}
		lane, relays = l.spool.ID(), nil
		if owner, mine := f.servedBy(name); !mine {
			relays = []string{owner}
		}
	}
	parts := []history.Part{f.partOf(name, of)}
	var silent []string
	switch {
	case len(relays) == 1 && (relays[0] == "" || relays[0] == f.company.Name()):
		silent = []string{"no relay serves it at the moment"}
	case len(relays) > 0:
		ctx, cancel := context.WithTimeout(context.Background(), lookPatience)
		defer cancel()
		heard := f.company.AskEach(ctx, relays, &peers.Question{Verb: peers.Past, Target: name,
			Span: span})
		for _, relay := range relays {
			p, err := peers.ResultOf[history.Part](heard.Answers[relay], heard.Silent[relay])
			if err != nil {
				silent = append(silent, fmt.Sprintf("relay %q does not answer", relay))
				continue
			}
			parts = append(parts, p)
		}
	}
	if len(silent) > 0 {
		out.UnknownFrom, out.UnknownWhy = unknownFrom(f.now()), strings.Join(silent, ", ")
	}
	s, err := f.metrics.history.Of(lane, of, f.now(), parts...)
	if name == "" {
		out.Refused, out.Unmatched = s.Values(history.Refused), s.Values(history.Unmatched)
	}
	return fillHistory(out, &s), err
}

func spanNamed(name string) (history.Span, bool) {
	for _, s := range history.Spans() {
		if s.Name == name {
			return s, true
		}
	}
	return history.Span{}, false
}

// unknownFrom is from when on nothing is known that another relay counts: it keeps a minute soon
// after that has ended, so the last one may not be there.
func unknownFrom(now time.Time) *time.Time {
	return instantOrNil(now.Truncate(time.Minute).Add(-time.Minute))
}

// partOf is what this relay knows of a history.
func (f front) partOf(name string, span history.Span) history.Part {
	h := &f.metrics.history
	if l := f.laneNamed(name); l != nil && name != "" {
		return h.Part(countedBy(l), span, f.now())
	}
	return h.WholePart(span, f.now(), sourcesOf(f.Relay))
}

func fillHistory(out admin.History, s *history.Series) admin.History {
	out.From, out.StepSeconds = s.From, int(s.Step/time.Second)
	out.Accepted, out.Delivered = s.Values(history.Accepted), s.Values(history.Delivered)
	for _, kind := range countedKinds() {
		if values, some := s.Failed(uint8(kind)); some {
			out.Failed[kind.String()] = values
		}
	}
	out.P50, out.P99 = s.Milliseconds(.5), s.Milliseconds(.99)
	return out
}

// addHeads tells of an attempt at an event what was sent and answered, as far as it is kept, and
// how to do it again. What is not kept would be sent today.
func addHeads(r desk, out *admin.Attempt, a *spool.Attempt, l *spool.Lane, e *spool.Event) {
	if len(a.Request) > 0 {
		h := head.Parse(a.Request)
		method, url := h.Request()
		out.Request = &admin.RequestHead{Method: method, URL: url, Headers: fieldsOf(&h), Cut: h.Cut}
	}
	if len(a.Response) > 0 {
		h := head.Parse(a.Response)
		out.Response = &admin.ResponseHead{StatusLine: h.First, Headers: fieldsOf(&h), Cut: h.Cut}
	}
	again := head.Again{ID: e.ID()}
	text := a.Request
	if w := workOf(r, l.Name()); w != nil {
		again.Transformed, again.Batched = w.transform != nil, w.target.Batch.MaxEvents > 0
		if len(text) == 0 {
			text = headToday(w.client, a, e)
		}
	}
	if len(text) > 0 {
		again.Head = head.Parse(text)
		out.Curl = head.Curl(&again)
	}
}

// workOf is how the target of a name is sent to; nil: it is not in the config.
func workOf(r desk, name string) *work {
	if l := r.laneNamed(name); l != nil {
		return l.work.Load()
	}
	return nil
}

// headToday is the head that an attempt would be made with now. Its payload is left out, because
// whoever makes it again signs for himself.
func headToday(c *attempt.Client, a *spool.Attempt, e *spool.Event) []byte {
	req := attempt.Request{ID: e.ID(), Type: e.Type(), Session: e.Session.String(),
		ContentType: e.ContentType(), Attempt: max(a.Number, 0), Replay: a.Replay, At: a.At}
	for _, h := range e.Headers() {
		req.Header = append(req.Header, attempt.Header(h))
	}
	return c.Head(&req)
}

func fieldsOf(h *head.Head) []admin.HeaderField {
	out := make([]admin.HeaderField, len(h.Fields))
	for i, f := range h.Fields {
		out[i] = admin.HeaderField(f)
	}
	return out
}
