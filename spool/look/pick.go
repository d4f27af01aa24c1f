package look

import "github.com/hookspool/hookspool/spool/record"

// Picking narrows a look by what costs more than to read a key, and says how far it came. The zero
// Picking picks everything.
type Picking struct {
	// Event says which events, of those that all else selects; it is valid during the call only.
	Event func(e *record.Event) bool
	// Place says which deliveries of an event.
	Place func(seq uint64, p *Place) bool
	// Enough, asked before each record but the first, ends the page there. It needs Seen.
	Enough func() bool
	// Seen, when set, is told what was looked at.
	Seen *Seen
}

// Seen is how far a page came.
type Seen struct {
	// Looked is how many records were looked at, First and Last the sequences of the first and of the
	// last of them.
	Looked      int
	First, Last uint64
}

func (s *Seen) note(seq uint64) {
	if s == nil {
		return
	}
	if s.Looked++; s.Looked == 1 {
		s.First = seq
	}
	s.Last = seq
}

// cut notes that the next page begins earlier than this one came. What is looked at again then is
// counted again.
func (s *Seen) cut(next uint64) {
	if s != nil && s.Looked > 0 {
		s.Last = next
	}
}

func (p *Picking) picks(e *record.Event) bool {
	return p == nil || p.Event == nil || p.Event(e)
}

// enough lets the first record pass, or no page would get on.
func (p *Picking) enough() bool { return p.Enough != nil && p.Seen.Looked > 0 && p.Enough() }
