package spool

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"
)

// importWindow is the least dedupe window of an import, so that running it again after it broke
// off skips what is there, whatever the config says.
const importWindow = 24 * time.Hour

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
	session Session
	lanes   []*Lane
}

// Import writes a batch of exported events, all or none, synced when it returns. They keep id,
// instant, session and headers, and become pending for the targets that they were not delivered to,
// whose lanes are made if there are none; attempts start anew. An id that the spool holds is safe,
// for importWindow at least, whatever the dedupe window is. Errors: *ImportError, ErrFull,
// ErrFailed, ErrClosed.
func (s *Spool) Import(events []*Exported) (ImportCount, error) {
	var n ImportCount
	var drafts []*Draft
	var indexes []int // of the drafts in the batch
	bad := &ImportError{Reasons: make(map[int]string)}
	size := 0
	for i, x := range events {
		if len(x.Undelivered()) == 0 {
			n.Finished++
			continue
		}
		held, same := s.held(x)
		switch {
		case held && !same:
			bad.Reasons[i] = heldOtherwise(x.ID)
		case held:
			n.Duplicates++
		default:
			d := x.draft()
			drafts, indexes = append(drafts, d), append(indexes, i)
			size += len(d.Payload)
		}
	}
	if len(bad.Reasons) > 0 {
		return ImportCount{}, bad
	}
	if len(drafts) == 0 {
		return n, nil
	}
	if err := s.appendImported(drafts, size, events, indexes); err != nil {
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

// appendImported makes the lanes that are missing and writes the drafts.
func (s *Spool) appendImported(drafts []*Draft, size int, events []*Exported, indexes []int) error {
	if err := s.Admit(size); err != nil {
		return err
	}
	for i, d := range drafts {
		for _, name := range events[indexes[i]].Undelivered() {
			l, err := s.Lane(name)
			if err != nil {
				return err
			}
			d.imported.lanes = append(d.imported.lanes, l)
		}
	}
	return s.Append(drafts...)
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
		imported: &importOrder{session: session}}
	for _, h := range x.Headers {
		d.Headers = append(d.Headers, Header{Name: string(h.Name), Value: string(h.Value)})
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
