package jetstream

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// space is what the stream takes.
type space struct {
	limit atomic.Int64 // bytes that the operator gives it; 0: as many as the stream may have
	// stored are the bytes that it has, and those of groups since that was asked; promised those that
	// were admitted since, which may never come.
	stored, promised atomic.Int64
	most             atomic.Int64 // that the stream may have; 0: no bound
	owed             atomic.Int64 // bytes that the outcomes of all that is pending may take
}

const (
	// outcomeBytes is what the exception of a delivery that fails takes of the stream, endBytes what
	// comes to it when it ends: that it was deleted, until the stream forgets that, and when it was
	// delivered take some 450 bytes together, and no exception takes less than 200.
	outcomeBytes, endBytes = 512, 256
	// entriesAnEvent is how many entries of a group an event counts.
	entriesAnEvent = 3
	// messageBytes is what a message takes beside its key and value.
	messageBytes = 200
)

// SetLimits is part of engine.Space. The bytes are those of the stream, what must stay free is this
// machine's.
func (e *Engine) SetLimits(l engine.Limits) {
	e.space.limit.Store(l.MaxBytes)
	e.replica.SetLimits(engine.Limits{MinFreeBytes: l.MinFreeBytes})
}

// measure asks for the bytes of the stream.
func measure(e *Engine) {
	ctx, cancel := context.WithTimeout(e.ctx, answerMax)
	defer cancel()
	if info, err := e.stream.Info(ctx); err == nil {
		e.space.stored.Store(int64(info.State.Bytes))
		e.space.most.Store(max(0, info.Config.MaxBytes))
	}
	e.space.owed.Store(e.replica.owing())
}

// Measure is part of engine.Space.
func (e *Engine) Measure(held bool) error {
	measure(e)
	e.space.promised.Store(0)
	if most := e.space.eventsMax(); !e.waits.Load() && (most == 0 || e.space.stored.Load() < most) {
		e.hasRoom()
	}
	e.replica.mu.Lock()
	defer e.replica.mu.Unlock()
	return e.replica.Measure(held)
}

// reserveShare of the stream is left for all else when events are refused, beside the exceptions of
// what is pending. Half of it is not for the history.
const reserveShare = 16

// eventsMax is how many bytes of the stream events may fill; 0: no bound.
func (s *space) eventsMax() int64 {
	limit := s.limit.Load()
	if most := s.most.Load(); most > 0 {
		rest := max(1, most-most/reserveShare-s.owed.Load())
		if limit == 0 || limit > rest {
			return rest
		}
	}
	return limit
}

// leisure reports whether there is room for what nothing depends on.
func (s *space) leisure() bool {
	most := s.most.Load()
	return most == 0 || s.stored.Load()+s.owed.Load() <= most-most/reserveShare/2
}

// Usage is part of engine.Space.
func (e *Engine) Usage() engine.Usage {
	u := e.replica.Usage()
	u.Bytes, u.Limit = e.space.stored.Load(), e.space.eventsMax()
	u.Short = u.Short || u.Limit > 0 && u.Bytes > u.Limit-u.Limit/reserveShare
	return u
}

// Admit is part of engine.Space.
func (e *Engine) Admit(n int) error {
	bytes, most := e.space.stored.Load()+e.space.promised.Add(int64(n)), e.space.eventsMax()
	err := e.replica.Admit(n)
	if err == nil && (e.full.Load() || most > 0 && bytes > most) {
		e.replica.Forgo(n)
		err = fullError(bytes, most)
	}
	if err != nil {
		e.space.promised.Add(-int64(n))
	}
	return err
}

func fullError(bytes, most int64) error {
	return fmt.Errorf("%w: its stream has %d bytes; events may have %d", engine.ErrFull, bytes, most)
}

// kept counts as promised no more what is written, or never will be.
func (s *space) kept(n int64) {
	if s.promised.Add(-n) < 0 {
		s.promised.Store(0) // it was measured since
	}
}

// Forgo is part of engine.Space.
func (e *Engine) Forgo(n int) {
	e.space.kept(int64(n))
	e.replica.Forgo(n)
}

// Fit is part of engine.Space.
func (e *Engine) Fit(engine.Group) error { return nil }

// FitEvents is part of engine.Space. Events that meet a stream which is full are refused in vain
// work, so near the limit it asks again.
func (e *Engine) FitEvents(g engine.Group) error {
	if most := e.space.eventsMax(); most > 0 {
		if e.space.stored.Load()+g.Bytes > most-most/reserveShare {
			measure(e)
			most = e.space.eventsMax()
		}
		if bytes := e.space.stored.Add(g.Bytes); bytes > most {
			e.space.stored.Add(-g.Bytes)
			return fullError(bytes, most)
		}
		e.space.kept(g.Bytes)
		e.space.owed.Add(int64(g.Entries/entriesAnEvent) * outcomeBytes)
	}
	e.replica.mu.Lock()
	defer e.replica.mu.Unlock()
	return e.replica.FitEvents(g)
}

// Yield is part of engine.Space.
func (e *Engine) Yield(reason error) bool { return e.replica.Yield(reason) }

// Swept is part of engine.Trimmer.
func (e *Engine) Swept(bytes int64, to uint64) { e.replica.Swept(bytes, to) }

// Reclaim is part of engine.Trimmer: first of the stream, then of the replica.
func (e *Engine) Reclaim(now time.Time, newest uint64, between func(func() error) error) error {
	if err := e.trimStream(); err != nil {
		e.log.Debug("cannot trim the spool's stream; it is tried again", "error", err)
	}
	return e.replica.Reclaim(now, newest, func(run func() error) error {
		return between(func() error {
			e.replica.mu.Lock()
			defer e.replica.mu.Unlock()
			return run()
		})
	})
}

// trimStream removes what is not needed any more: events that were applied and are not there.
func (e *Engine) trimStream() error {
	first := e.trim.appliedTo() + 1 // before the look: what comes later is not in it
	if there, ok := firstEvent(e); ok {
		first = min(first, there)
	}
	frame, deletion := e.trim.before(first)
	if err := purge(e, eventSubject, frame.message); err != nil {
		return err
	}
	e.trim.trimmed(frame, mark{})
	if err := purge(e, deletedSubject, deletion.message); err != nil {
		return err
	}
	e.trim.trimmed(mark{}, deletion)
	return nil
}

// sweptTo asks the servers how far the sweep is: whoever sweeps says so before anything goes.
func sweptTo(ctx context.Context, e *Engine) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, answerMax)
	defer cancel()
	below, _ := e.seal.wrap(keyed(record.MetaKey(record.MetaCheckpoint)), nil)
	m, err := e.stream.GetLastMsgForSubject(ctx, e.subject(below))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return 0, nil
	}
	var data []byte
	if err == nil {
		_, data, err = e.seal.unwrap(below, m.Data)
	}
	var p record.Checkpoint
	if err == nil {
		p, err = record.DecodeCheckpoint(data)
	}
	if err != nil {
		return 0, fmt.Errorf("cannot ask how far the spool is swept: %w", err)
	}
	return p.Swept, nil
}

// purge removes the messages of a subject up to one; 0: none.
func purge(e *Engine, subject string, upTo uint64) error {
	if upTo == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(e.ctx, answerMax)
	defer cancel()
	err := e.stream.Purge(ctx, jetstream.WithPurgeSubject(e.subject(subject)),
		jetstream.WithPurgeSequence(upTo+1))
	if err != nil {
		return fmt.Errorf("cannot purge up to message %d: %w", upTo, err)
	}
	return nil
}

// firstEvent is the first in the log.
func firstEvent(e *Engine) (seq uint64, ok bool) {
	look := e.replica.Look()
	defer look.Close()
	w := look.Walk(engine.Walk{Prefix: []byte{record.PrefixLog}})
	defer w.Close()
	w.Seek([]byte{record.PrefixLog})
	if !w.Valid() {
		return 0, false
	}
	return record.KeySeq(w.Key()), true
}
