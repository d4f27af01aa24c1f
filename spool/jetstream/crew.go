package jetstream

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// crew are the lanes that this relay has.
type crew struct {
	mu    sync.Mutex // guards below
	lanes map[record.LaneID]tenure
}

type tenure struct {
	seq  uint64
	lost chan struct{}
}

// moved hears whose a lane is.
func (c *crew) moved(lane record.LaneID, seq uint64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t, ours := c.lanes[lane]; ours && seq > t.seq {
		close(t.lost)
		delete(c.lanes, lane)
	}
}

// has is the tenure that this relay has of a lane.
func (c *crew) has(lane record.LaneID) (t tenure, ours bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t, ours = c.lanes[lane]
	return t, ours
}

// took begins a tenure.
func (c *crew) took(lane record.LaneID, seq uint64) tenure {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := tenure{seq, make(chan struct{})}
	c.lanes[lane] = t
	return t
}

func (t tenure) told() engine.Tenure { return engine.Tenure{Fence: t.seq, Lost: t.lost} }

func (e *Engine) us() owner { return owner{e.relay, e.incarnation} }

// Own is part of engine.Crew. A lane is this relay's for the asking if nobody has it, if whoever
// has it has gone or was not seen to live for long enough, or if it was the relay's of the same
// name.
func (e *Engine) Own(lane record.LaneID) (engine.Tenure, error) {
	if t, ours := e.crew.has(lane); ours {
		return t.told(), nil
	}
	now := e.follow.fenceOf(lane)
	if name := now.owner.Relay; name != "" && name != e.relay {
		if !e.lives(now.owner) {
			if err := e.catchUp(); err != nil { // it may be this relay that has heard nothing
				return engine.Tenure{}, err
			}
			now = e.follow.fenceOf(lane)
		}
		if e.lives(now.owner) {
			return engine.Tenure{}, engine.ErrElsewhere
		}
	}
	seq, err := e.claim(lane, now.seq, e.us())
	for err != nil {
		// Nobody answers, or something was first; it may have been an earlier try of this.
		if err := e.catchUp(); err != nil {
			return engine.Tenure{}, err
		}
		switch then := e.follow.fenceOf(lane); {
		case then.seq == now.seq:
			seq, err = e.claim(lane, now.seq, e.us())
		case then.owner == e.us():
			seq, err = then.seq, nil
		default:
			return engine.Tenure{}, engine.ErrElsewhere
		}
	}
	t := e.crew.took(lane, seq)
	if err := e.await(seq); err != nil {
		return engine.Tenure{}, err
	}
	e.crew.moved(lane, e.follow.fenceOf(lane).seq) // it may have been taken before it was noted
	return t.told(), nil
}

// Copies is part of engine.Shared.
func (e *Engine) Copies() engine.Copies {
	told := e.copies.Told()
	if leader := e.Owner(record.SpoolItself); leader != "" && leader != e.relay {
		s, _ := e.follow.relays.of(leader)
		told = s.Copies
	}
	if told == nil {
		told = e.follow.relays.copies() // as the one before it has told
	}
	if told == nil {
		return engine.Copies{}
	}
	return *told
}

// Release is part of engine.Shared. An error: nobody knows whether it is ended; this relay serves
// the lane no more, and may ask for it again, or release it again.
func (e *Engine) Release(lane record.LaneID) error {
	e.crew.moved(lane, math.MaxUint64)
	for range releaseTries {
		now := e.follow.fenceOf(lane)
		if now.owner != e.us() {
			return nil
		}
		moved := e.follow.movement()
		seq, err := e.claim(lane, now.seq, owner{})
		if err == nil {
			ctx, cancel := context.WithTimeout(e.ctx, answerMax)
			defer cancel()
			return e.follow.await(ctx, seq)
		}
		if !isConflict(err) {
			return fmt.Errorf("cannot release lane %d: %w: %w", lane, engine.ErrUnavailable, err)
		}
		e.linger(moved)
	}
	return fmt.Errorf("cannot release lane %d: %w", lane, engine.ErrConflict)
}

// releaseTries are made while something else of the lane is under way.
const releaseTries = 10

// linger waits until more is applied, or for a while.
func (c *committer) linger(moved <-chan struct{}) {
	timer := time.NewTimer(soon)
	defer timer.Stop()
	select {
	case <-moved:
	case <-timer.C:
	case <-c.ctx.Done():
	}
}

// Owner is part of engine.Shared.
func (e *Engine) Owner(lane record.LaneID) string {
	if o := e.follow.fenceOf(lane).owner; o == e.us() || e.lives(o) {
		return o.Relay
	}
	return ""
}

// lives reports whether a relay is there that has lanes.
func (e *Engine) lives(o owner) bool { return o.Relay != "" && e.follow.relays.lives(o) }

// Name is part of engine.Shared.
func (e *Engine) Name() string { return e.relay }

// Heard is part of engine.Shared.
func (e *Engine) Heard() <-chan struct{} { return e.follow.heard.token }

// News is part of engine.Shared.
func (e *Engine) News() engine.News {
	told := e.follow.heard.take()
	told.Newest = e.trim.appliedTo()
	return told
}

// nameIsFree waits for a relay of the same name that may live, as long as it would take to be seen
// to. One that was killed gives no sign any more.
func (c *committer) nameIsFree(ctx context.Context) error {
	timer := time.NewTimer(c.follow.relays.deadAfter)
	defer timer.Stop()
	first, known := c.follow.relays.of(c.relay)
	for {
		moved := c.follow.movement()
		switch now, _ := c.follow.relays.of(c.relay); {
		case !known || now.Gone:
			return nil
		case now.seq != first.seq:
			return c.inUse()
		}
		select {
		case <-moved:
		case <-timer.C:
			return nil
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", engine.ErrUnavailable, ctx.Err())
		}
	}
}

// giveSigns gives signs of life, and looks who gives none any more.
func (c *committer) giveSigns(ctx context.Context) {
	deadAfter := c.follow.relays.deadAfter
	ticker := time.NewTicker(deadAfter / lookShare)
	defer ticker.Stop()
	for said, changed := time.Now(), false; ; {
		select {
		case <-ctx.Done():
			return
		case <-c.saying.changed:
			changed = true
		case <-ticker.C:
		}
		if c.follow.now(c.relay).writer.Incarnation != c.incarnation {
			c.log.Error("this relay gives no sign of life any more, and takes no events", "error", c.inUse())
			c.replaced.Store(true)
			return
		}
		now := time.Now()
		died, doubt := c.follow.relays.died(now)
		if died {
			c.follow.heard.died()
		}
		if since := now.Sub(said); since < deadAfter/lookShare ||
			!changed && !doubt && since < deadAfter/liveShare {
			continue
		}
		said, changed = now, false
		if m, err := c.sign(false); err != nil {
			c.log.Error("this relay gives no sign of life", "error", err)
		} else if _, err = c.send(ctx, m); err != nil && ctx.Err() == nil {
			c.log.Debug("the spool's servers take no sign of life", "error", err)
		}
	}
}

// Relays is part of engine.Shared.
func (e *Engine) Relays() []engine.Relay { return e.follow.relays.list() }

// Say is part of engine.Shared. A note of more than 128 KiB is not said.
func (e *Engine) Say(note []byte) {
	if !e.saying.say(note) {
		e.log.Error("what this relay says of itself is too large for the others to hear",
			"bytes", len(note), "most", noteBytesMax)
	}
}

// claim writes who has a lane, if nobody was first.
func (e *Engine) claim(lane record.LaneID, seen uint64, o owner) (uint64, error) {
	data, err := json.Marshal(o)
	if err != nil {
		return 0, fmt.Errorf("cannot write who has a lane: %w", err)
	}
	m := nats.NewMsg(e.subject(fenced(lane)))
	m.Data = data
	m.Header[rollupHeader] = []string{"sub"}
	expect(m, m.Subject, seen)
	return e.send(e.ctx, m)
}
