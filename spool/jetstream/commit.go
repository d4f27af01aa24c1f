package jetstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream/copies"
	"github.com/hookspool/hookspool/spool/record"
)

// fence is a tenure that a commit wants to last.
type fence struct {
	lane record.LaneID
	seq  uint64
}

// committer stores what this relay writes.
type committer struct {
	*sender
	follow             *follower
	ctx                context.Context
	log                *slog.Logger
	relay, incarnation string
	turns              *turns
	saying             saying
	copies             *copies.Watch
	asked              questions
	// replaced: another relay writes under this one's name.
	replaced atomic.Bool
	// contends: the last batch was one of those of which only one can be next.
	contends bool
	// tries counts the batches that were sent. It is the spool's committer's own.
	tries uint64
	// full: the stream has taken no more at the last try; waits: what must be written waits for room.
	full, waits atomic.Bool
}

func (c *committer) await(seq uint64) error { return c.follow.await(c.ctx, seq) }

// try sends a batch once, if nobody has written what it was not planned on.
func (c *committer) try(b *batch, on seen) (uint64, error) {
	if b.writer == nil {
		if b.ordered {
			b.head = b.add(headSubject, nil, true)
		}
		b.writer = b.add(named(writerSubject, c.relay), nil, true)
	}
	c.tries++
	b.number = c.tries
	data, err := json.Marshal(writer{c.incarnation, b.number})
	if err != nil {
		return 0, fmt.Errorf("cannot write what a relay has written: %w", err)
	}
	b.writer.Data = data
	expect(b.writer, b.writer.Subject, on.writer.seq)
	if b.head != nil {
		expect(b.head, b.head.Subject, on.head)
	}
	return c.send(c.ctx, b.msgs...)
}

// begin makes this relay the one that writes under its name.
func (c *committer) begin() error {
	return c.commit(&batch{s: c.sender}, nil)
}

// commit stores a batch. It returns when it knows what has become of it: nil, ErrConflict,
// ErrElsewhere or ErrInUse, or when the engine is closed. In a stream that is full a batch with
// events is refused (ErrFull), so that they are in the way of nothing that gives room; any other
// waits for room.
func (c *committer) commit(b *batch, fences []fence) error {
	err := c.settle(b, fences)
	if c.contends = b.ordered; errors.Is(err, engine.ErrConflict) {
		c.second(b.planned)
	}
	return err
}

// settle sends a batch until it is known what has become of it.
func (c *committer) settle(b *batch, fences []fence) error {
	for {
		on := c.follow.now(c.relay)
		on.head = b.planned
		if c.tries > 0 && on.writer.Incarnation != c.incarnation {
			return fmt.Errorf("cannot commit: %w", c.inUse())
		}
		if err := c.judge(b, on, fences); !errors.Is(err, errNothing) {
			return err // that it is refused is known already
		}
		seq, err := c.try(b, on)
		switch {
		case err == nil:
			c.hasRoom()
			return c.await(seq)
		case isFull(err):
			if err := c.noRoom(b, err); err != nil {
				return err
			}
		case isConflict(err):
			if err := c.afterConflict(b, on, fences, err); !errors.Is(err, errNothing) {
				return err
			}
		default:
			if !isFinal(err) {
				c.log.Warn("the spool's servers do not answer; it is tried again", "error", err)
			}
			if then := c.shutOut(b, on, fences); !errors.Is(then, errNothing) {
				return then
			}
			if isFinal(err) {
				return fmt.Errorf("cannot commit: the server refuses it: %w", err)
			}
		}
	}
}

// noRoom says what becomes of a batch that met a full stream; nil: it is sent again.
func (c *committer) noRoom(b *batch, reason error) error {
	if !c.full.Swap(true) {
		c.log.Error("the spool's stream is full; no events are accepted, and what else must be written "+
			"waits until there is room", "error", reason)
	}
	if b.events {
		return fmt.Errorf("%w: its stream takes no more: %w", engine.ErrFull, reason)
	}
	c.waits.Store(true)
	return pause(c.ctx)
}

// hasRoom: the stream has taken something, or there is room by its own word.
func (c *committer) hasRoom() {
	c.waits.Store(false)
	if c.full.Swap(false) {
		c.log.Info("the spool's stream has room again")
	}
}

// soon is how long it takes at most, as a rule, until what another relay has stored is applied.
const soon = 200 * time.Millisecond

// afterConflict judges a batch that was refused. What was first is about to be applied here; only
// if it does not come, a message of this relay's own shows what has become of it.
func (c *committer) afterConflict(b *batch, on seen, fences []fence, refused error) error {
	timer := time.NewTimer(soon)
	defer timer.Stop()
	for {
		moved := c.follow.movement()
		if err := c.judge(b, on, fences); !errors.Is(err, errNothing) {
			return err
		}
		if c.follow.now(c.relay).writer.seq != on.writer.seq {
			return errNothing // another relay has the name
		}
		select {
		case <-moved:
			continue
		case <-c.ctx.Done():
			return errClosing
		case <-timer.C:
		}
		if isUnderWay(refused) {
			return errNothing
		}
		if err := c.catchUp(); err != nil {
			return err
		}
		return c.judge(b, on, fences)
	}
}

// giveWay waits for those that were second, for a while, if this relay writes as they do.
func (c *committer) giveWay() {
	if !c.contends {
		return
	}
	timer := time.NewTimer(turnMax)
	defer timer.Stop()
	for {
		moved := c.follow.movement()
		if !c.turns.wanted() {
			return
		}
		select {
		case <-moved:
		case <-timer.C:
			c.turns.passBy()
			return
		case <-c.ctx.Done():
			return
		}
	}
}

// errNothing: a batch was not stored and never will be, and may be sent again as it is.
var errNothing = errors.New("nothing was stored")

// shutOut ends the uncertainty about a batch: it writes in its place with what the batch expected,
// so that it is not stored if it was not already.
func (c *committer) shutOut(b *batch, on seen, fences []fence) error {
	void := &batch{s: c.sender}
	for {
		if err := pause(c.ctx); err != nil {
			return err
		}
		seq, err := c.try(void, on)
		if err == nil {
			err = c.await(seq)
		} else if isConflict(err) {
			err = c.catchUp()
		} else {
			continue
		}
		if err != nil {
			return err
		}
		if c.follow.now(c.relay).writer.seq != on.writer.seq {
			return c.judge(b, on, fences)
		}
	}
}

// judge says what has become of a batch that was refused, or may have been stored, now that all
// before is applied.
func (c *committer) judge(b *batch, on seen, fences []fence) error {
	now := c.follow.now(c.relay)
	if now.writer.writer == (writer{c.incarnation, b.number}) {
		return nil
	}
	if now.writer.Incarnation != on.writer.Incarnation {
		return errNothing // who has the name decides before whose lane it is or who was first
	}
	for _, f := range fences {
		if c.follow.fenceOf(f.lane).seq != f.seq {
			return fmt.Errorf("cannot commit: lane %d: %w", f.lane, engine.ErrElsewhere)
		}
	}
	if b.ordered && now.head != on.head {
		return engine.ErrConflict
	}
	return errNothing
}

// catchUp applies all that is stored by now: what it writes itself comes after.
func (c *committer) catchUp() error {
	for {
		seq, err := c.mark()
		if err == nil {
			return c.await(seq)
		}
		if err := pause(c.ctx); err != nil {
			return err
		}
	}
}

// mark writes what says nothing, and returns its place in the stream.
func (c *committer) mark() (uint64, error) {
	m := nats.NewMsg(c.subject(guardSubject))
	m.Header[rollupHeader] = []string{"sub"}
	return c.send(c.ctx, m)
}

// live gives a sign of life, and returns its place in the stream.
func (c *committer) live() (uint64, error) {
	m, err := c.sign(false)
	if err != nil {
		return 0, err
	}
	return c.send(c.ctx, m)
}
