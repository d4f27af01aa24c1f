package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	"github.com/hookspool/hookspool/spool/record"
)

const (
	// importWindow is the least dedupe window of an import, so that running it again after it broke
	// off skips what is there, whatever the config says.
	importWindow = 24 * time.Hour
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
}

// Add adds up.
func (n *ImportCount) Add(m ImportCount) {
	n.Imported += m.Imported
	n.Deliveries += m.Deliveries
	n.Duplicates += m.Duplicates
	n.Finished += m.Finished
}

// ImportError refuses a batch; nothing of it was written.
type ImportError struct {
	// Reasons by the index of the event in the batch.
	Reasons map[int]string
}

func (e *ImportError) Error() string {
	return fmt.Sprintf("%d events cannot be imported", len(e.Reasons))
}

// importOrder is what becomes of an event that is imported.
type importOrder struct {
	session record.Session
	names   []string // of the targets
	newOnes int      // of them
}

// Import writes a batch of exported events, all or none, synced when it returns. They keep id,
// instant, session and headers, and become pending for the targets that they were not delivered to;
// attempts start again. Lanes that are missing are made in the same commit, so a batch that is
// refused makes none. claimed says which names are those of targets, and so no orphans; nil: none
// is. An id that the spool holds is safe, for importWindow at least, whatever the dedupe window is.
// Errors: *ImportError, ErrFull, ErrFailed, ErrClosed.
func (s *Spool) Import(events []*Exported, claimed func(name string) bool) (ImportCount, error) {
	var n ImportCount
	var drafts []*Draft
	var indexes []int // of the drafts in the batch
	bad := &ImportError{Reasons: make(map[int]string)}
	names := s.newcomers(claimed)
	size, latest := 0, s.now().Add(importAhead)
	for i, x := range events {
		if len(x.Undelivered()) == 0 {
			n.Finished++
			continue
		}
		held, same := s.held(x)
		switch {
		case x.AcceptedAt.After(latest):
			bad.Reasons[i] = fmt.Sprintf("accepted_at is %s, which is still to come",
				x.AcceptedAt.UTC().Format(time.RFC3339))
		case held && !same:
			bad.Reasons[i] = heldOtherwise(x.ID)
		case held:
			n.Duplicates++
		default:
			d := x.draft()
			drafts, indexes = append(drafts, d), append(indexes, i)
			size += len(d.Payload)
			if reason := names.take(d.imported); reason != "" {
				bad.Reasons[i] = reason
			}
		}
	}
	if len(bad.Reasons) > 0 {
		return ImportCount{}, bad
	}
	if len(drafts) == 0 {
		return n, nil
	}
	err := s.Admit(size)
	if err == nil {
		err = s.Append(drafts...)
	}
	if err != nil {
		return ImportCount{}, explainImport(err, events, indexes)
	}
	for _, d := range drafts {
		if d.Duplicate {
			n.Duplicates++
		} else {
			n.Imported++
			n.Deliveries += int64(len(d.lanes))
		}
	}
	return n, nil
}

// newcomers are the names of an import that no lane has.
type newcomers struct {
	known   map[string]bool
	claimed func(name string) bool
	brought int
	orphans int // in all
}

func (s *Spool) newcomers(claimed func(name string) bool) *newcomers {
	if claimed == nil {
		claimed = func(string) bool { return false }
	}
	n := &newcomers{known: make(map[string]bool), claimed: claimed}
	for _, l := range s.Lanes() {
		n.known[l.name] = true
		if !claimed(l.name) {
			n.orphans++
		}
	}
	return n
}

// take counts the new names of an event, and says why there may not be so many; empty: there may.
func (n *newcomers) take(o *importOrder) (reason string) {
	for _, name := range o.names {
		if n.known[name] {
			continue
		}
		n.known[name] = true
		o.newOnes++
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
		if t.State == "pending" || t.State == "exhausted" {
			names = append(names, t.Name)
		}
	}
	return names
}

// held reports whether the spool has the event in its log. Append looks for ids that were given;
// this finds the ones made by this very spool, too.
func (s *Spool) held(x *Exported) (held, same bool) {
	e, err := s.EventByID(x.ID)
	if err != nil {
		return false, false
	}
	return true, bytes.Equal(e.Payload(), x.payload())
}

func (x *Exported) draft() *Draft {
	session, _ := sessionOf(x.Session)
	payload := x.payload()
	d := &Draft{ID: x.ID, Given: true, Hash: sha256.Sum256(payload), Type: x.Type,
		ContentType: string(x.ContentType), Payload: payload, At: x.AcceptedAt,
		imported: &importOrder{session: session, names: x.Undelivered()}}
	for _, h := range x.Headers {
		d.Headers = append(d.Headers, record.Header{Name: string(h.Name), Value: string(h.Value)})
	}
	return d
}

// explainImport turns a refusal of Append into one that names events of the batch.
func explainImport(err error, events []*Exported, indexes []int) error {
	bad := &ImportError{Reasons: make(map[int]string)}
	var conflict *ConflictError
	var large *TooLargeError
	switch {
	case errors.As(err, &conflict):
		for _, i := range conflict.Indexes {
			bad.Reasons[indexes[i]] = heldOtherwise(events[indexes[i]].ID)
		}
		return bad
	case errors.As(err, &large):
		bad.Reasons[indexes[large.Index]] = large.Error()
		return bad
	}
	return fmt.Errorf("cannot import: %w", err)
}

func heldOtherwise(id string) string {
	return fmt.Sprintf("id %q is held with another payload", id)
}
