package jetstream

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// awayAfter is how long an answer may take until the servers count as away.
const awayAfter = time.Second

// silence is how long the servers have not answered.
type silence struct {
	mu sync.Mutex // guards below
	// waiting publications have no answer yet; since is when the first of them was sent, or of those
	// since the last answer. Zero: nothing waits, and the last one was answered.
	waiting int
	since   time.Time
	last    error // what failed since
}

// asks counts a publication; done is told what became of it.
func (s *silence) asks() (done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.waiting++
	if s.since.IsZero() {
		s.since = time.Now()
	}
	return func(err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.waiting--
		switch {
		case !isAnswer(err):
			s.last = err
		case s.waiting > 0:
			s.since, s.last = time.Now(), nil
		default:
			s.since, s.last = time.Time{}, nil
		}
	}
}

// lost hears that the connection is down.
func (s *silence) lost(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		s.since = time.Now()
	}
	s.last = err
}

// lasts is for how long nothing was answered.
func (s *silence) lasts(now time.Time) time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() {
		return 0
	}
	return now.Sub(s.since)
}

// elsewhereAfter is how long a server may be silent until another one is tried.
const elsewhereAfter = 5 * time.Second

// goElsewhere leaves a server that runs and does not answer: it may be cut off from most of the
// others, which go on without it and never tell a client of its.
func (c *committer) goElsewhere(ctx context.Context) {
	ticker := time.NewTicker(elsewhereAfter / 5)
	defer ticker.Stop()
	for went := time.Now(); ; {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		now := time.Now()
		if c.silence.lasts(now) < elsewhereAfter || now.Sub(went) < elsewhereAfter ||
			!c.nc.IsConnected() {
			continue
		}
		went = now
		c.log.Warn("the spool's server does not answer; another one is asked", "server",
			c.nc.ConnectedUrlRedacted())
		if err := c.nc.ForceReconnect(); err != nil {
			c.log.Debug("cannot leave a server that does not answer", "error", err)
		}
	}
}

// isAnswer reports that the stream has answered: that it has stored something, or why not.
func isAnswer(err error) bool {
	var r *refusal
	return err == nil || errors.As(err, &r) &&
		(r.Code < http.StatusInternalServerError || isFull(err))
}

// Away is part of engine.Shared.
func (c *committer) Away() error {
	if c.replaced.Load() {
		return fmt.Errorf("%w: %w", engine.ErrUnavailable, c.inUse())
	}
	if err := c.follow.away(); err != nil {
		return err
	}
	s := &c.silence
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since.IsZero() || time.Since(s.since) < awayAfter {
		return c.follow.relays.behind(time.Now())
	}
	err := fmt.Errorf("%w: its servers have not answered since %s", engine.ErrUnavailable,
		s.since.UTC().Format(time.RFC3339))
	if s.last != nil {
		err = fmt.Errorf("%w: %w", err, s.last)
	}
	return err
}

// Abandon is part of engine.Shared.
func (e *Engine) Abandon() { e.cancel() }

// electedSubject is where the servers tell that a stream has a new leader. A user who may not hear
// that waits for longer.
const electedSubject = "$JS.EVENT.ADVISORY.STREAM.LEADER_ELECTED."

// errElected: nobody knows what became of what was sent to the leader before.
var errElected = fmt.Errorf("the stream has another leader: %w", nats.ErrTimeout)

// elections end what waits for an answer of a leader that is not there any more: nobody else would
// before it has waited for as long as an answer may take.
type elections struct {
	mu      sync.Mutex // guards below
	waiting map[int]context.CancelFunc
	next    int
}

// within is ctx until the stream has another leader than when it was called.
func (e *elections) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.waiting == nil {
		e.waiting = make(map[int]context.CancelFunc)
	}
	e.next++
	n := e.next
	e.waiting[n] = cancel
	return ctx, func() {
		cancel()
		e.mu.Lock()
		defer e.mu.Unlock()
		delete(e.waiting, n)
	}
}

func (e *elections) held() {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, cancel := range e.waiting {
		cancel()
	}
	clear(e.waiting)
}

// hearElections listens for new leaders.
func (c *committer) hearElections() error {
	_, err := c.nc.Subscribe(electedSubject+c.name, func(*nats.Msg) {
		c.elections.held()
		c.copies.Elected()
	})
	if err != nil {
		return fmt.Errorf("cannot hear of new leaders: %w", err)
	}
	return nil
}

// ErrHole: a node's copy of the stream lacks events, or has some twice, while it says that it is
// whole. Other nodes may have everything.
var ErrHole = errors.New("a node's copy of the spool's stream is not whole")

// openTries are made to read the stream from a node whose copy is whole. The servers choose the
// node at random.
const openTries = 5

// dense watches that no event is left out. The events of the stream have sequences without gaps, in
// its order; only what was swept is ever taken out of it, from the front.
type dense struct {
	// The follower's own: the newest event that is read, and where in its batch the message is.
	read  uint64
	batch string
	place int
	// pieces of the batch pieceOf are in the frame that goes on.
	pieces  int
	pieceOf string
	// holes is how often it was read in vain since it last went on, and holeNow the message where.
	holes   int
	holeNow uint64

	// What the follower's mu guards: live, all that was there at the start is read, and gaps up to
	// the event missing were found then.
	live    bool
	missing uint64
	// newest is the newest event that is applied, or that was swept; checkpoint is applied as well.
	newest     uint64
	checkpoint record.Checkpoint
	// hole is why nothing is applied, at the message holeAt; nil: it is.
	hole   error
	holeAt uint64
	node   string // that is read from, if it is known
}

// addPiece adds a piece to the frame that is read; whole: it was the last. The pieces are the first
// messages of a batch. Of a frame that was purged meanwhile the end is not there; one that lacks
// another piece counts as missing.
func (f *follower) addPiece(c *change) (whole bool, err error) {
	if f.place <= 1 {
		f.frame, f.pieces, f.pieceOf = nil, 0, f.batch
	}
	if f.pieces++; f.place <= 1 || f.place == f.pieces && f.batch == f.pieceOf {
		f.frame = append(f.frame, c.value...)
		return !c.more, nil
	}
	f.mu.Lock()
	live := f.live
	f.missing = max(f.missing, c.last)
	f.mu.Unlock()
	if live {
		return false, f.holed(fmt.Sprintf("a part of the events up to %d is missing", c.last))
	}
	f.frame, f.read = nil, max(f.read, c.last)
	return false, nil
}

// follows refuses a frame that does not go on where the one before it ends, unless what is missing
// was swept. While it is read what was there at the start, that is seen at its end.
func (f *follower) follows(first, last uint64) error {
	f.mu.Lock()
	want, live, swept := max(f.read, f.newest)+1, f.live, f.checkpoint.Swept
	if first > want && !live {
		f.missing = max(f.missing, first-1)
	}
	f.mu.Unlock()
	if first < want {
		return f.holed(fmt.Sprintf("event %d comes again after event %d", first, want-1))
	}
	if first > want && live && swept < first-1 {
		asked, err := f.lookSwept(f.ctx)
		if err != nil {
			return fmt.Errorf("%w: %w", f.holed(lack(want, first-1)), err)
		}
		if asked < first-1 {
			return f.holed(lack(want, first-1))
		}
	}
	f.read = last
	return nil
}

func lack(from, to uint64) string { return fmt.Sprintf("events %d to %d are missing", from, to) }

func (f *follower) holed(what string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Errorf("%w: %s; it was read from node %q", ErrHole, what, cmp.Or(f.node, "(unknown)"))
}

// isCheckpoint reports whether a message says how far the sweep is.
func (c *change) isCheckpoint() bool {
	return c.kind == keySubject && string(c.key) == string(record.MetaKey(record.MetaCheckpoint))
}

// goLive says whether what was there at the start is whole. From now on what comes must be.
func (f *follower) goLive(ctx context.Context, acceptLoss bool) error {
	f.mu.Lock()
	p, to := f.checkpoint, f.missing
	if p.Head > max(f.newest, p.Swept) { // it was there when that was written
		to = max(to, p.Head)
	}
	f.live, f.newest = true, max(f.newest, p.Head, p.Swept)
	f.mu.Unlock()
	if to <= p.Swept {
		return nil
	}
	swept, err := f.lookSwept(ctx)
	if err != nil || to <= swept {
		return err
	}
	err = f.holed(fmt.Sprintf("of the events %d to %d some are missing", swept+1, to))
	if acceptLoss {
		f.log.Error("events that were acknowledged are missing from the spool's stream; it goes on "+
			"without them", "error", err)
		return nil
	}
	return err
}

// lacks notes that this copy of the stream is not whole. It reports, after a while, whether it is
// to be read on, from whichever node it is then.
func (f *follower) lacks(err error) bool {
	f.mu.Lock()
	live := f.live
	if live {
		f.hole, f.holeAt = err, f.holeNow
	}
	f.mu.Unlock()
	if !live {
		return false
	}
	if f.holes++; f.holes == 1 || f.holes == openTries {
		f.log.Error("nothing is applied or acknowledged until the spool's stream is read from a node "+
			"that has all of it; hookspool check compares the nodes' copies: let the one that lacks "+
			"messages, while another leads, begin with an empty store_dir", "error", err, "tries", f.holes)
	}
	timer := time.NewTimer(min(againAfter<<min(f.holes, openTries), answerMax))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-f.ctx.Done():
	}
	return true
}

// wentOnLocked hears that messages are applied.
func (f *follower) wentOnLocked() {
	if f.hole != nil && f.applied >= f.holeAt {
		f.hole, f.holes = nil, 0
		f.log.Info("the spool's stream is read on", "node", f.node)
	}
}

// away is why nothing is applied; nil: it is, as soon as it comes.
func (f *follower) away() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.hole == nil {
		return nil
	}
	return fmt.Errorf("%w: %w", engine.ErrUnavailable, f.hole)
}

// readsFrom notes which node a consumer reads.
func (f *follower) readsFrom(info *jetstream.ConsumerInfo) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.node = ""; info != nil && info.Cluster != nil {
		f.node = info.Cluster.Leader
	}
}
