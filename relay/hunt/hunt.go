// Package hunt is one page of a walk through what is kept, narrowed by what somebody asks for
// (package sieve), in its turn (package walk).
package hunt

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/hookspool/hookspool/relay/accept"
	"github.com/hookspool/hookspool/relay/admin"
	"github.com/hookspool/hookspool/relay/attempt"
	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/relay/failures"
	"github.com/hookspool/hookspool/relay/session"
	"github.com/hookspool/hookspool/relay/sieve"
	"github.com/hookspool/hookspool/relay/walk"
	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/look"
)

// Ground is where pages are made.
type Ground struct {
	Spool *spool.Spool
	Gate  *walk.Gate
	// Session is that of the config, Memory what is known of conversations; it must forget.
	Session *config.Session
	Memory  session.Memory
	// Life ends when the relay stops.
	Life context.Context
}

// Page is one page. One that looks at more than keys waits for its turn, so End must be called. It
// is not safe for concurrent use.
type Page struct {
	on   *Ground
	of   sieve.Choice
	by   *sieve.Sieve // nil: everything is asked for
	turn *walk.Page   // nil: it asks for nothing that costs
	// Only is the sequence of the only event; 0: there are more. Nothing: there is no such event.
	Only    uint64
	Nothing bool
	seen    look.Seen
	// recent are the last attempts of lanes, of which some are in memory only.
	recent map[spool.LaneID][]spool.Attempt
}

// Begin begins a page. id is that of the only event that is asked for; empty: there is none. Errors
// are *admin.Error when whoever asks is at fault, or is to ask again later.
func Begin(on *Ground, of *sieve.Choice, id string) (*Page, error) {
	h := &Page{on: on, of: *of}
	if id != "" {
		e, err := look.EventByID(on.Spool, id)
		if errors.Is(err, spool.ErrNotFound) {
			h.Nothing = true
			return h, nil
		}
		if err != nil {
			return nil, err
		}
		h.Only = e.Seq
	}
	if of.IsEmpty() {
		return h, nil
	}
	var err error
	if h.by, err = sieve.New(of, on.Session, on.Memory); err != nil {
		return nil, admin.Refuse(400, accept.CodeMalformed, "%v", err)
	}
	if h.turn, err = Enter(on.Gate, on.Life); err != nil {
		return nil, err
	}
	return h, nil
}

// Enter waits for a turn, which Leave ends. The error is the answer to a walk that was not let in.
func Enter(gate *walk.Gate, life context.Context) (*walk.Page, error) {
	turn, err := gate.Enter(life)
	if errors.Is(err, walk.ErrBusy) {
		no := admin.Refuse(503, accept.CodeOverloaded, "%v", err)
		no.RetryAfter = 1
		return nil, no
	}
	if err != nil {
		return nil, admin.Refuse(503, accept.CodeDraining, "the relay is stopping")
	}
	return turn, nil
}

// End lets the next walk in, if there was a turn.
func (h *Page) End() {
	if h.turn != nil {
		h.turn.Leave(h.on.Life)
	}
}

// Picking is what the page picks.
func (h *Page) Picking() look.Picking {
	p := look.Picking{Seen: &h.seen}
	if h.Only > 0 {
		p.Event, p.Enough = h.isOnly, func() bool { return true }
	}
	if h.by == nil {
		return p
	}
	if h.of.OfEvents() {
		p.Event = h.picks
	}
	if h.of.OfDeliveries() {
		p.Place = h.Asks
	}
	if h.Only == 0 {
		p.Enough = h.turn.Enough
	}
	return p
}

// Bounds are those of the page alone: it picks everything.
func (h *Page) Bounds() look.Picking {
	p := look.Picking{Seen: &h.seen}
	if h.turn != nil {
		p.Enough = h.turn.Enough
	}
	return p
}

func (h *Page) isOnly(e *spool.Event) bool { return h.Only == 0 || e.Seq == h.Only }

func (h *Page) picks(e *spool.Event) bool { return h.isOnly(e) && h.by.Event(e) }

// Takes reports whether an event is asked for that was found in another way.
func (h *Page) Takes(e *spool.Event) bool { return h.by == nil || h.by.Event(e) }

// Asks reports whether a delivery of an event is asked for, by what came back last.
func (h *Page) Asks(seq uint64, at *look.Place) bool {
	return h.by == nil || h.asks(seq, at)
}

func (h *Page) asks(seq uint64, at *look.Place) bool {
	return h.by.Delivery(at.LastStatus, at.LastError, h.outcome(at.Lane, seq)) &&
		(h.of.Failure == "" || h.failure(seq, at) == h.of.Failure)
}

// failure is the name of the group of failures that a delivery is in.
func (h *Page) failure(seq uint64, at *look.Place) string {
	if at.LastError == "" && at.LastStatus == 0 {
		return "" // it is in none, and that costs no look
	}
	f := look.Failed{Seq: seq, State: at.State,
		Last: look.LastAttempt(h.on.Spool.Records(), spool.Ref{Lane: at.Lane, Seq: seq})}
	f.LastStatus, f.LastError = at.LastStatus, at.LastError
	return failures.NameOf(&f)
}

// outcome looks up the word for the last attempt of a delivery, when it is asked.
func (h *Page) outcome(lane spool.LaneID, seq uint64) func() string {
	return func() string {
		if h.recent == nil {
			h.recent = make(map[spool.LaneID][]spool.Attempt)
		}
		recent, ok := h.recent[lane]
		if l := h.on.Spool.LaneByID(lane); !ok && l != nil {
			recent, _ = l.Recent(0)
			h.recent[lane] = recent
		}
		list, err := look.History(h.on.Spool.Records(), spool.Ref{Lane: lane, Seq: seq}, recent)
		if err != nil || len(list) == 0 {
			return ""
		}
		return attempt.Kind(list[len(list)-1].Outcome).String()
	}
}

// GoOn is where the page after this one begins; 0: there is none.
func (h *Page) GoOn(next uint64) uint64 {
	if h.Only > 0 {
		return 0
	}
	return next
}

// Looked tells how far the page came; rest is how many sequences are left, of which as many count
// as did on this page.
func (h *Page) Looked(rest uint64) admin.Looked {
	out := admin.Looked{LookedAt: h.seen.Looked}
	if h.by != nil {
		out.WhereErrors, out.WhereError = h.by.Failed()
	}
	span := max(h.seen.First, h.seen.Last) - min(h.seen.First, h.seen.Last) + 1
	if h.seen.Looked > 0 {
		out.Left = int(min(float64(rest)*float64(h.seen.Looked)/float64(span), math.MaxInt32))
	}
	return out
}

// LookedDown is Looked for a walk that goes from the newest event to the oldest.
func (h *Page) LookedDown(next uint64, since time.Time) admin.Looked {
	low := h.on.Spool.Swept() + 1
	if next > 0 && !since.IsZero() {
		if first, err := look.First(h.on.Spool, since); err == nil {
			low = max(low, first)
		}
	}
	if next <= low {
		return h.Looked(0)
	}
	return h.Looked(next - low)
}

// Narrow makes a purge of a target one of what is asked for.
func (h *Page) Narrow(lane spool.LaneID, p *spool.Purge) {
	if h.by == nil {
		return
	}
	if h.of.OfEvents() {
		p.Match = h.by.Event
	}
	if h.of.OfDeliveries() {
		p.Failed = func(seq uint64, status int, lastError string) bool {
			at := look.Place{Lane: lane, State: p.State}
			at.LastStatus, at.LastError = status, lastError
			return h.asks(seq, &at)
		}
	}
	p.Enough = h.turn.Enough
}
