package relay

import (
	"sync"
	"time"

	"github.com/hookspool/hookspool/relay/attempt"
)

// An attempt that is withheld was none: this machine had no descriptor, memory or port for it, or
// the request cannot be sent at all. It is the target's failure in no sum, spends nothing and moves
// no standing. A want is waited out by the worker that met it, which keeps its slot, so that a lane
// without descriptors takes no more from the spool than it has workers.
const (
	// withheldPauseMin to withheldPauseMax is how long a worker waits before it makes the attempt
	// again; each wait is twice the one before.
	withheldPauseMin = 5 * time.Millisecond
	withheldPauseMax = time.Second
	// withheldPatience is how long a worker stays with one delivery. Then it waits for a tick, like
	// one that failed, so that a restart or a pause finds no worker busy with it.
	withheldPatience = time.Minute
	// saySeldom is how often the log says it.
	saySeldom = time.Minute
	// roomSeldom is how often idle connections make room, and roomFor how long none are kept then.
	roomSeldom = 100 * time.Millisecond
	roomFor    = time.Second
)

// insist makes the attempt of a task, again and again while a want of ours withholds it, as long as
// the lane may send. It is Aborted when the relay stops meanwhile.
func (l *lane) insist(t *task) (attempt.Request, attempt.Outcome) {
	end := time.Now().Add(l.r.patience)
	for pause := withheldPauseMin; ; pause = min(2*pause, withheldPauseMax) {
		req, out := l.once(t)
		if out.Kind != attempt.Withheld {
			return req, out
		}
		l.withheld(&req, &out)
		if out.Want == attempt.WantRoom {
			l.r.makeRoom()
		}
		if out.Want == attempt.WantNone || time.Now().Add(pause).After(end) {
			return req, out
		}
		if !l.r.waits(pause) {
			return req, attempt.Outcome{Kind: attempt.Aborted}
		}
		if w := l.work.Load(); w != nil && l.sends(t) {
			t.work = w // a reload may have mended it
			continue
		}
		return req, out
	}
}

// sends reports whether the lane may go on with a task.
func (l *lane) sends(t *task) bool {
	if t.job != nil {
		return !t.job.over()
	}
	return l.status() == Enabled
}

// waits lets some time pass; false if the relay stops.
func (r *Relay) waits(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.stopping:
		return false
	case <-timer.C:
		return true
	}
}

// withheld counts and says that an attempt was not made. A want is the whole relay's, so it is said
// once for all targets.
func (l *lane) withheld(req *attempt.Request, out *attempt.Outcome) {
	l.m().withheld.Inc()
	if out.Want == attempt.WantNone {
		if n, ok := l.unsent.pass(time.Now(), saySeldom); ok {
			l.r.log.Error("cannot send an event to a target; it is tried again at every tick and spends "+
				"nothing", "target", l.name, "id", req.ID, "error", out.Error, "withheld", n)
		}
		return
	}
	if n, ok := l.r.wanting.pass(time.Now(), saySeldom); ok {
		l.r.log.Error("attempts are withheld for a want of this machine's; they are made again until "+
			"it passes and spend nothing", "target", l.name, "error", out.Error, "withheld", n)
	}
}

// makeRoom closes what connections are idle, at all targets, and lets none become idle for a
// moment: where every descriptor is taken by targets that are asked often, the others would never
// get one.
func (r *Relay) makeRoom() {
	if _, ok := r.roomMade.pass(time.Now(), roomSeldom); !ok {
		return
	}
	for _, l := range r.allLanes() {
		if w := l.work.Load(); w != nil {
			w.client.CloseIdle(roomFor)
		}
	}
}

// seldom lets something through at most once in a while. The zero value is ready.
type seldom struct {
	mu   sync.Mutex // guards below
	next time.Time
	n    int
}

// pass reports whether it is time, and for how many it is since the last time.
func (s *seldom) pass(now time.Time, every time.Duration) (n int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.n++
	if now.Before(s.next) {
		return 0, false
	}
	n, s.n, s.next = s.n, 0, now.Add(every)
	return n, true
}
