package jetstream

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/jetstream/copies"
	"github.com/hookspool/hookspool/spool/record"
)

// follower applies the stream to the replica, in its order. One goroutine does so.
type follower struct {
	name   string // of the spool
	us     string // this relay's incarnation, and what the names of its batches begin with
	heard  news
	turns  *turns
	relays *relays
	// elections end what it waits for.
	elections *elections
	replica   *replica
	trim      *trimmer
	taken     func(lane record.LaneID, seq uint64)  // hears whose a lane is
	lookSwept func(context.Context) (uint64, error) // asks how far the sweep is
	ctx       context.Context
	log       *slog.Logger
	seal      *sealer
	// cut has a token once the connection is another one.
	cut    chan struct{}
	stream jetstream.Stream
	dense  // partly guarded by mu

	mu sync.Mutex // guards all below
	// applied is the last message whose batch is in the replica; moved is closed and made again
	// whenever it grows.
	applied uint64
	moved   chan struct{}
	failed  error  // nothing is applied any more
	head    uint64 // the message; 0: there was none yet
	writers map[string]seenWriter
	fences  map[record.LaneID]seenFence
	// packLife is how long records of a kind were to live at most that were packed.
	packLife map[byte]time.Duration
	expiry   copies.Expiry

	// The follower's own: what is read of the stream and not applied yet.
	writes  []write
	bytes   int
	largest int
	frame   []byte    // the pieces of one that goes on
	held    []held    // what else counts once the batch is applied
	expire  int       // messages of those that expire
	at      time.Time // when that was stored which is read now
	by      string    // the incarnation of who has written what is read now; empty: it is not known
}

// held is what counts once a batch is applied.
type held struct {
	c   change
	seq uint64
	at  time.Time // when it was stored
	by  string
}

// seenFence is who has a lane.
type seenFence struct {
	seq   uint64 // of the message that says so; 0: nobody ever had it
	owner owner
}

// seenWriter is what a relay has written last.
type seenWriter struct {
	writer
	seq uint64 // of the message that says so; 0: nothing yet
}

// seen is what a batch was planned on.
type seen struct {
	head   uint64
	writer seenWriter
}

func newFollower(f *follower) *follower {
	f.moved, f.heard.token = make(chan struct{}), make(chan struct{}, 1)
	f.cut = make(chan struct{}, 1)
	f.fences = make(map[record.LaneID]seenFence)
	f.writers, f.packLife = make(map[string]seenWriter), make(map[byte]time.Duration)
	return f
}

// run follows the stream until the engine is closed, over whatever becomes of the connection.
func (f *follower) run() {
	for f.ctx.Err() == nil {
		err := f.follow()
		if errors.Is(err, ErrHole) && f.lacks(err) {
			continue
		}
		if errors.Is(err, errApply) {
			f.log.Error("cannot apply the spool's stream; nothing is acknowledged any more", "error", err)
			f.fail(err)
			return
		}
		if f.ctx.Err() == nil && !errors.Is(err, errCut) {
			f.log.Warn("the spool's stream is not read on; it is tried again", "error", err)
			_ = pause(f.ctx)
		}
	}
	f.fail(errClosed)
}

var (
	// errApply: the replica could not take what the stream says, or it says nonsense.
	errApply  = errors.New("cannot apply")
	errClosed = errors.New("it was closed")
)

// forget drops what was read and not applied; it is read again.
func (f *follower) forget() {
	clear(f.writes)
	f.writes, f.bytes, f.largest = f.writes[:0], 0, 0
	f.held, f.frame, f.read, f.pieceOf, f.expire = f.held[:0], nil, 0, "", 0
	f.heard.forget()
}

func (f *follower) fail(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = fmt.Errorf("cannot follow the spool's stream: %w", err)
	close(f.moved)
	f.moved = make(chan struct{})
}

const (
	// applyBytes and applyEntries are applied at once while more is to come.
	applyBytes   = 512 << 10
	applyEntries = 1000
)

// message is one of the stream.
type message struct {
	subject string
	header  nats.Header
	data    []byte
	seq     uint64
	at      time.Time
}

// take reads a message, and applies what is read where a batch ends. more: others are there.
func (f *follower) take(m *message, more bool) error {
	if m.seq <= f.applied {
		return nil // it was read in another way before
	}
	below, data, err := f.seal.unwrap(strings.TrimPrefix(m.subject, f.name+"."), m.data)
	if err != nil {
		return err
	}
	c, err := read(below, m.header, data, m.at, time.Now())
	id := m.header.Get(batchHeader)
	f.at, f.by, f.batch = m.at, id[:min(len(id), authorBytes)], id
	f.place, _ = strconv.Atoi(m.header.Get(batchPlaceHeader))
	if err == nil {
		err = f.plan(c, m.seq)
	}
	if c.life > 0 {
		f.expire++
	}
	if err != nil {
		f.holeNow = m.seq
		return err
	}
	// The end of a batch may have been replaced since; then there is more to come.
	ends := id == "" || m.header.Get(batchCommitHeader) != ""
	if !ends || more && f.holes == 0 && f.bytes < applyBytes && len(f.writes) < applyEntries {
		return nil
	}
	return f.apply(m)
}

// plan notes what a message says.
func (f *follower) plan(c change, seq uint64) error {
	switch c.kind {
	case eventSubject:
		if whole, err := f.addPiece(&c); !whole {
			return err
		}
		frame := f.frame
		f.frame = nil
		parts := record.SplitFrame(nil, frame, c.last)
		if err := f.follows(parts[0].Seq, c.last); err != nil {
			return err
		}
		for _, p := range parts {
			f.note(write{change{kind: eventSubject, last: p.Seq}, frame[p.From:p.To]}, p.To-p.From)
		}
		f.held = append(f.held, held{c, seq, f.at, f.by})
	case deletedSubject:
		f.note(write{change: c}, len(c.value))
		f.held = append(f.held, held{c, seq, f.at, f.by})
	case keySubject:
		f.note(write{change: c}, len(c.key)+len(c.value))
		if c.isCheckpoint() {
			f.held = append(f.held, held{c, seq, f.at, f.by})
		}
	case packSubject:
		return f.planPack(c, seq)
	case headSubject, fenceSubject, relaySubject, writerSubject:
		f.held = append(f.held, held{c, seq, f.at, f.by})
	}
	return nil
}

// planPack notes the records of a pack, as if each had come by itself.
func (f *follower) planPack(c change, seq uint64) error {
	all, err := unpack(c)
	if err != nil {
		return err
	}
	for i := range all {
		if err := f.plan(all[i], seq); err != nil {
			return err
		}
	}
	c.key, c.value = all[0].key[:1], nil
	f.held = append(f.held, held{c, seq, f.at, f.by})
	return nil
}

func (f *follower) note(w write, bytes int) {
	f.writes = append(f.writes, w)
	if f.by != f.us {
		f.heard.wrote(&w)
	}
	f.bytes += bytes
	f.largest = max(f.largest, bytes)
}

// apply commits what was planned, up to a message.
func (f *follower) apply(last *message) error {
	if err := f.commit(); err != nil {
		return err
	}
	clear(f.writes)
	f.writes, f.bytes, f.largest = f.writes[:0], 0, 0
	f.relays.applied(last.at, time.Now())
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.held {
		if err := f.learnLocked(h); err != nil {
			return err
		}
	}
	f.held = f.held[:0]
	f.expiry.Stored(f.expire, last.at)
	f.expire = 0
	f.applied = last.seq
	f.wentOnLocked()
	f.heard.tell()
	close(f.moved)
	f.moved = make(chan struct{})
	return nil
}

// commit writes the replica, once there is room for that. What does not fit into one transaction
// of it becomes several.
func (f *follower) commit() error {
	r := f.replica
	bytesMax, entriesMax := r.Bounds()
	for rest := f.writes; len(rest) > 0; {
		n, bytes, entries := 0, 0, 0
		for n < len(rest) {
			b, k := rest[n].size()
			if n > 0 && (bytes+b > bytesMax/2 || entries+k > entriesMax/2) {
				break
			}
			n, bytes, entries = n+1, bytes+b, entries+k
		}
		group := engine.Group{Bytes: int64(bytes), Entries: entries, Largest: int64(bytes), Events: true}
		for {
			err := r.write(group, rest[:n])
			if err == nil {
				break
			}
			if !errors.Is(err, engine.ErrFull) {
				return err
			}
			if err := pause(f.ctx); err != nil {
				return err
			}
		}
		rest = rest[n:]
	}
	return nil
}

// learnLocked takes what a message says of heads, lanes and relays.
func (f *follower) learnLocked(h held) (err error) {
	c, seq := h.c, h.seq
	switch c.kind {
	case eventSubject:
		f.trim.stored(c.last, seq)
		f.newest = max(f.newest, c.last)
	case keySubject:
		if p, err := record.DecodeCheckpoint(c.value); err == nil { // the spool says what is wrong
			f.checkpoint = p
		}
	case deletedSubject:
		f.trim.deleted(c.gonners, seq)
	case packSubject:
		f.packLife[c.key[0]] = max(f.packLife[c.key[0]], c.life)
	case headSubject:
		f.head = seq
		f.turns.wrote(h.by, seq)
	case writerSubject:
		var w writer
		w, err = readWriter(c.value)
		f.writers[c.relay] = seenWriter{w, seq}
		if err == nil && f.relays.wrote(c.relay, w.Incarnation) {
			f.heard.moved()
		}
	case relaySubject:
		var s sign
		s, err = readSign(c.value)
		if err == nil && f.relays.gave(c.relay, seenRelay{sign: s, seq: seq, stored: h.at}, time.Now()) &&
			s.Incarnation != f.us {
			f.heard.moved()
		}
	case fenceSubject:
		var o owner
		if o, err = readOwner(c.value); err == nil {
			f.fences[c.lane] = seenFence{seq, o}
			f.taken(c.lane, seq)
			if o.Incarnation != f.us {
				f.heard.moved()
			}
		}
	}
	return err
}

// expiring is how many messages at most one node may have removed and another one not yet.
func (f *follower) expiring() int64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.expiry.Most()
}

// await waits until a message is applied, and all before it.
func (f *follower) await(ctx context.Context, seq uint64) error {
	for {
		f.mu.Lock()
		applied, moved, failed := f.applied, f.moved, f.failed
		f.mu.Unlock()
		switch {
		case applied >= seq:
			return nil
		case failed != nil:
			return failed
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", engine.ErrUnavailable, ctx.Err())
		case <-moved:
		}
	}
}

// catchUp waits until a message is applied, for as long as there is more to be read: an error after
// so long without any.
func (f *follower) catchUp(ctx context.Context, seq uint64, most time.Duration) error {
	for {
		before := f.reached()
		once, cancel := context.WithTimeout(ctx, most)
		err := f.await(once, seq)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil || f.reached() == before {
			return err
		}
	}
}

// reached is the last message that is applied.
func (f *follower) reached() uint64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.applied
}

// movement is closed once more is applied.
func (f *follower) movement() <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.moved
}

// now is the head, and what a relay has written last.
func (f *follower) now(relay string) seen {
	f.mu.Lock()
	defer f.mu.Unlock()
	return seen{f.head, f.writers[relay]}
}

func (f *follower) fenceOf(lane record.LaneID) seenFence {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.fences[lane]
}

// longest is how long a packed record of a kind was to live at most.
func (f *follower) longest(kind byte) time.Duration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.packLife[kind]
}
