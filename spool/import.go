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

// Importer puts exported events into a spool at rest; it makes the spool if there is none. It is
// not safe for concurrent use.
type Importer struct {
	s *Spool
}

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

// importNote is what an import wants of Decide.
type importNote struct {
	session Session
	lanes   []*Lane
}

// OpenImporter opens or makes the spool of o. Its Decide is not used.
func OpenImporter(o Options) (*Importer, error) {
	o.Decide = func(_ *View, d *Draft) {
		note := d.Note.(*importNote)
		d.Session = note.session
		for _, l := range note.lanes {
			d.Owe(l)
		}
	}
	o.DedupeWindow = max(o.DedupeWindow, importWindow)
	s, err := Open(o)
	if err != nil {
		return nil, err
	}
	s.Start()
	return &Importer{s}, nil
}

// Close closes the spool.
func (m *Importer) Close() error { return m.s.Close() }

// Import writes a batch, all or none, synced when it returns. The events keep id, instant, session
// and headers; attempts start anew. Errors: *ImportError, ErrFull, ErrFailed, ErrClosed.
func (m *Importer) Import(events []*Exported) (ImportCount, error) {
	var n ImportCount
	var drafts []*Draft
	var indexes []int // of the drafts in the batch
	bad := &ImportError{Reasons: make(map[int]string)}
	size := 0
	for i, x := range events {
		switch open := m.open(x); {
		case len(open) == 0:
			n.Finished++
			continue
		default:
			held, same := m.held(x)
			if held && !same {
				bad.Reasons[i] = heldOtherwise(x.ID)
			} else if held {
				n.Duplicates++
			} else {
				drafts = append(drafts, m.draft(x))
				indexes = append(indexes, i)
				size += len(drafts[len(drafts)-1].Payload)
			}
		}
	}
	if len(bad.Reasons) > 0 {
		return ImportCount{}, bad
	}
	if len(drafts) == 0 {
		return n, nil
	}
	if err := m.append(drafts, size, events, indexes); err != nil {
		return ImportCount{}, m.explain(err, events, indexes)
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

// append makes the lanes that are missing and writes the drafts.
func (m *Importer) append(drafts []*Draft, size int, events []*Exported, indexes []int) error {
	if err := m.s.Admit(size); err != nil {
		return err
	}
	for i, d := range drafts {
		note := d.Note.(*importNote)
		for _, name := range m.open(events[indexes[i]]) {
			l, err := m.s.Lane(name)
			if err != nil {
				return err
			}
			note.lanes = append(note.lanes, l)
		}
	}
	return m.s.Append(drafts...)
}

// open are the targets that an event was not delivered to.
func (m *Importer) open(x *Exported) (names []string) {
	for _, t := range x.Targets {
		if t.State == "pending" || t.State == "exhausted" {
			names = append(names, t.Name)
		}
	}
	return names
}

// held reports whether the spool has the event in its log. Append looks for ids that were given;
// this finds the ones made by this very spool, too.
func (m *Importer) held(x *Exported) (held, same bool) {
	e, err := m.s.EventByID(x.ID)
	if err != nil {
		return false, false
	}
	return true, bytes.Equal(e.Payload(), x.payload())
}

func (m *Importer) draft(x *Exported) *Draft {
	session, _ := sessionOf(x.Session)
	payload := x.payload()
	d := &Draft{ID: x.ID, Given: true, Hash: sha256.Sum256(payload), Type: x.Type,
		ContentType: string(x.ContentType), Payload: payload, At: x.AcceptedAt,
		Note: &importNote{session: session}}
	for _, h := range x.Headers {
		d.Headers = append(d.Headers, Header{Name: string(h.Name), Value: string(h.Value)})
	}
	return d
}

// explain turns a refusal of Append into one that names events of the batch.
func (m *Importer) explain(err error, events []*Exported, indexes []int) error {
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
