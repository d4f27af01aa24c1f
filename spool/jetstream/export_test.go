package jetstream

import "github.com/hookspool/hookspool/spool/record"

// Kill ends an engine at once: what is committed stays, and nothing else.
func (e *Engine) Kill() {
	e.cancel()
	e.nc.Close()
}

// Mute lets it give no sign of life of its own accord.
func (e *Engine) Mute() { e.quiet() }

// Take takes a lane, whoever has it.
func (e *Engine) Take(lane record.LaneID) error {
	return e.give(lane, owner{e.relay, e.incarnation})
}

// Return gives a lane away.
func (e *Engine) Return(lane record.LaneID) error {
	return e.give(lane, owner{})
}

// give says who has a lane, as soon as nothing of the lane is under way.
func (e *Engine) give(lane record.LaneID, o owner) error {
	for {
		seq, err := e.claim(lane, e.follow.fenceOf(lane).seq, o)
		if err == nil {
			return e.await(seq)
		}
		if !isUnderWay(err) {
			return err
		}
		if err := pause(e.ctx); err != nil {
			return err
		}
	}
}

// Deafen lets it not hear that its lanes are taken.
func (e *Engine) Deafen() {
	e.crew.mu.Lock()
	defer e.crew.mu.Unlock()
	clear(e.crew.lanes)
}

// Await waits until it has read what another has.
func (e *Engine) Await(other *Engine) error {
	seq, err := other.live()
	if err != nil {
		return err
	}
	return e.await(seq)
}

// Refusal is an answer of a server.
func Refusal(code int) error { return &refusal{Code: code, Description: "refused by the test"} }

// Full is the answer of a server whose stream has no room.
func Full() error {
	return &refusal{Code: 503, ErrCode: storeFailed, Description: "maximum bytes exceeded"}
}
