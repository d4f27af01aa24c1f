package care

import (
	"bytes"
	"errors"
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/look"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// importAhead is how far a clock may have been ahead where an event was accepted. One that is
	// accepted in ten years would stay for ten years, and all that follow it in the log.
	importAhead = 24 * time.Hour
	// ImportNamesMax bounds the names that one import brings. It is what a config can hold: nobody
	// moves from a relay with more.
	ImportNamesMax = 1000
	// OrphansMax bounds the lanes without a target that imports may make, in all. A lane costs
	// memory, a record and, while it owes something, its series for as long as it is there, and
	// without a target only an operator ends it.
	OrphansMax = 1000
)

// ImportCount says what became of events.
type ImportCount struct {
	// Imported events became pending for the targets that they were not delivered to; Deliveries
	// is how many deliveries that makes.
	Imported   int64 `json:"imported"`
	Deliveries int64 `json:"deliveries"`
	// Duplicates are events whose id the spool holds already; Finished ones owe nothing any more.
	Duplicates int64 `json:"duplicates"`
	Finished   int64 `json:"finished"`
	// Actions are what operators did and the spool now tells; ActionsSkipped it told already, or they
	// are too old. Import takes none: they are in a form of the caller's.
	Actions        int64 `json:"actions"`
	ActionsSkipped int64 `json:"actions_skipped"`
}

// Add adds up.
func (n *ImportCount) Add(m ImportCount) {
	n.Imported += m.Imported
	n.Deliveries += m.Deliveries
	n.Duplicates += m.Duplicates
	n.Finished += m.Finished
	n.Actions += m.Actions
	n.ActionsSkipped += m.ActionsSkipped
}

// ImportError refuses a batch; nothing of it was written.
type ImportError struct {
	// Reasons by the index of the event in the batch.
	Reasons map[int]string
}

func (e *ImportError) Error() string {
	return fmt.Sprintf("%d events cannot be imported", len(e.Reasons))
}

// At is the refusal by other indexes, such as those of lines: at has one for each event.
func (e *ImportError) At(at []int) *ImportError {
	out := &ImportError{Reasons: make(map[int]string)}
	for i, reason := range e.Reasons {
		out.Reasons[at[i]] = reason
	}
	return out
}

// Importer is a spool that events of another one can be brought into.
type Importer interface {
	// Now is the spool's clock.
	Now() time.Time
	// Events are found in it by their ids.
	look.IDs
	// LaneNames are the names of all lanes.
	LaneNames() []string
	// Take spools events, all or none, synced when it returns. Lanes that are missing are made in
	// the same commit; of very many in a spool that relays share, before it. Their ids are remembered
	// for a day at least, whatever the dedupe window is.
	// Errors: *ImportError by the indexes of these events, ErrFull, ErrFailed, ErrClosed.
	Take(events []*Incoming) error
}

// Incoming is an event that is brought into a spool.
type Incoming struct {
	ID, Type, ContentType string
	Headers               []record.Header
	Payload               []byte
	At                    time.Time
	Session               record.Session
	// Names are the targets that it is owed to. NewNames of them have no lane yet.
	Names    []string
	NewNames int

	// Duplicate and Deliveries are what became of it: its id and payload were held already, or so
	// many deliveries are owed. Take sets them.
	Duplicate  bool
	Deliveries int
}

// Import writes a batch of exported events, all or none, synced when it returns. They keep id,
// instant, session and headers, and become pending for the targets that they were not delivered to;
// attempts start again. A batch that is refused makes no lanes: those that are missing are made in
// the commit of its events, or just before it, when all that is known speaks for them. claimed says
// which names are those of targets, and so no orphans; nil: none is. An id that the spool holds is
// safe, for a day at least, whatever the dedupe window is.
// Errors: *ImportError, ErrFull, ErrFailed, ErrClosed.
func Import(into Importer, events []*Exported, claimed func(name string) bool) (ImportCount,
	error) {
	var n ImportCount
	var taken []*Incoming
	var indexes []int // of them in the batch
	bad := &ImportError{Reasons: make(map[int]string)}
	names := newcomersTo(into, claimed)
	latest := into.Now().Add(importAhead)
	held := look.NewReader(into.Records()) // lines are in the order of events, as a rule
	defer held.Close()
	for i, x := range events {
		if len(x.Undelivered()) == 0 {
			n.Finished++
			continue
		}
		e, err := held.EventByID(into, x.ID)
		switch {
		case x.AcceptedAt.After(latest):
			bad.Reasons[i] = fmt.Sprintf("accepted_at is %s, which is still to come",
				x.AcceptedAt.UTC().Format(time.RFC3339))
		case err == nil && !bytes.Equal(e.Payload(), x.payload()):
			bad.Reasons[i] = HeldOtherwise(x.ID)
		case err == nil:
			n.Duplicates++
		default:
			in := x.incoming()
			taken, indexes = append(taken, in), append(indexes, i)
			if reason := names.take(in); reason != "" {
				bad.Reasons[i] = reason
			}
		}
	}
	if len(bad.Reasons) > 0 {
		return ImportCount{}, bad
	}
	if len(taken) == 0 {
		return n, nil
	}
	if err := into.Take(taken); err != nil {
		return ImportCount{}, inBatch(err, indexes)
	}
	for _, in := range taken {
		if in.Duplicate {
			n.Duplicates++
		} else {
			n.Imported++
			n.Deliveries += int64(in.Deliveries)
		}
	}
	return n, nil
}

// inBatch is a refusal by the indexes of the batch.
func inBatch(err error, indexes []int) error {
	refused, ok := errors.AsType[*ImportError](err)
	if !ok {
		return fmt.Errorf("cannot import: %w", err)
	}
	return refused.At(indexes)
}

// newcomers are the names of an import that no lane has.
type newcomers struct {
	known   map[string]bool
	claimed func(name string) bool
	brought int
	orphans int // in all
}

func newcomersTo(into Importer, claimed func(name string) bool) *newcomers {
	if claimed == nil {
		claimed = func(string) bool { return false }
	}
	n := &newcomers{known: make(map[string]bool), claimed: claimed}
	for _, name := range into.LaneNames() {
		n.known[name] = true
		if !claimed(name) {
			n.orphans++
		}
	}
	return n
}

// take counts the new names of an event, and says why there may not be so many; empty: there may.
func (n *newcomers) take(in *Incoming) (reason string) {
	for _, name := range in.Names {
		if n.known[name] {
			continue
		}
		n.known[name] = true
		in.NewNames++
		n.brought++
		if !n.claimed(name) {
			n.orphans++
		}
		switch {
		case n.brought > ImportNamesMax:
			reason = fmt.Sprintf("target %q is one more than the %d new names that an import may bring",
				name, ImportNamesMax)
		case n.orphans > OrphansMax && !n.claimed(name):
			reason = fmt.Sprintf("target %q is not in the config, and would be one more than the %d "+
				"such that there may be: hookspool purge --forget removes those that are done with",
				name, OrphansMax)
		}
	}
	return reason
}

// Undelivered are the targets that an event was not delivered to.
func (x *Exported) Undelivered() (names []string) {
	for _, t := range x.Targets {
		if t.State == "pending" || t.State == "exhausted" || t.State == "expired" {
			names = append(names, t.Name)
		}
	}
	return names
}

func (x *Exported) incoming() *Incoming {
	session, _ := sessionOf(x.Session)
	in := &Incoming{ID: x.ID, Type: x.Type, ContentType: string(x.ContentType), Payload: x.payload(),
		At: x.AcceptedAt, Session: session, Names: x.Undelivered()}
	for _, h := range x.Headers {
		in.Headers = append(in.Headers, record.Header{Name: string(h.Name), Value: string(h.Value)})
	}
	return in
}

// HeldOtherwise is why an event is refused whose id the spool holds with another payload.
func HeldOtherwise(id string) string {
	return fmt.Sprintf("id %q is held with another payload", id)
}
