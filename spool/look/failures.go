package look

import (
	"bytes"
	"fmt"
	"math"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// Failing selects what failed of one lane's deliveries: those that wait for another attempt
// (record.StatePending), or those that are kept, exhausted or expired (record.StateExhausted).
type Failing struct {
	Lane  record.LaneID
	State record.State
	// From is the next of the page before; 0: from the oldest on.
	From uint64
	// Most are looked at, until Enough, which is asked now and then; at least one.
	Most   int
	Enough func() bool
}

// Failed is one delivery that failed.
type Failed struct {
	Seq   uint64
	State record.State
	record.Exception
	// Last is the last attempt that is kept of it; nil: none is.
	Last *record.Attempt
}

// Failures visits a page of them, oldest event first, and says how many it has looked at and where
// the next page goes on; 0 after the last. What was never tried is looked at and not visited.
func Failures(s Source, q Failing, visit func(Failed)) (looked int, next uint64, err error) {
	if _, ok := s.LaneNow(q.Lane); !ok {
		return 0, 0, nil
	}
	s.Barrier()
	look := s.Records().Look()
	defer look.Close()
	attempts := look.Walk(engine.Walk{Prefix: record.LaneKey(record.PrefixHistory, q.Lane)})
	defer attempts.Close()
	table := stretch{record.PrefixExhausted, q.Lane, q.From, math.MaxUint64}
	if q.State == record.StatePending {
		table.prefix = record.PrefixException
	}
	cut, err := table.scan(look, 4*q.Most, func(seq uint64, value []byte) bool {
		if looked >= q.Most || looked > 0 && looked%16 == 0 && q.Enough() {
			next = seq
			return false
		}
		looked++
		x, err := record.DecodeException(value)
		if err != nil || x.LastError == "" && x.LastStatus == 0 {
			return true
		}
		f := Failed{Seq: seq, State: q.State, Exception: *x,
			Last: lastAttempt(attempts, record.Ref{Lane: q.Lane, Seq: seq})}
		if q.State != record.StatePending {
			f.State = x.Kept()
		}
		visit(f)
		return true
	})
	if err != nil {
		return looked, 0, fmt.Errorf("cannot read what failed: %w", err)
	}
	return looked, max(next, cut), nil
}

// LastAttempt is the newest attempt that is kept beside a delivery, as Failures finds it; nil: none
// is.
func LastAttempt(r engine.Records, d record.Ref) *record.Attempt {
	look := r.Look()
	defer look.Close()
	attempts := look.Walk(engine.Walk{Prefix: record.LaneSeqKey(record.PrefixHistory, d.Lane, d.Seq)})
	defer attempts.Close()
	return lastAttempt(attempts, d)
}

// lastAttempt is the newest of a delivery's attempts that are kept beside it.
func lastAttempt(at engine.Walker, d record.Ref) (last *record.Attempt) {
	prefix := record.LaneSeqKey(record.PrefixHistory, d.Lane, d.Seq)
	for at.Seek(prefix); at.Valid() && bytes.HasPrefix(at.Key(), prefix); at.Next() {
		_ = at.View(func(value []byte) error {
			a, err := record.DecodeAttempt(value)
			if err == nil && (last == nil || a.At.After(last.At)) {
				last = &a
			}
			return nil // one that cannot be read is a gap
		})
	}
	return last
}
