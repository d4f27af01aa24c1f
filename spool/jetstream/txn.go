package jetstream

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

const (
	// bytesMax and entriesMax bound what is gathered for a transaction, most of whose entries may be
	// messages of their own.
	bytesMax   = 2 << 20
	entriesMax = 900
	// messagesMax and batchBytesMax bound a batch: a server takes 1,000 messages, unless it is told
	// otherwise, and holds them in memory until the last is there. What one Append may hold fits:
	// events, ids and most states are packed.
	messagesMax   = 1000
	batchBytesMax = 32 << 20
	// entryBytes is what an entry counts beside its key and value.
	entryBytes = 12
)

// txn is a transaction of the committer.
type txn struct {
	e *Engine
	content
	kept    content // as it was when Keep was called
	planned uint64  // the head before it began: what others have written since it has not read
	over    bool
}

// content is what a transaction writes.
type content struct {
	records map[string]put
	events  []event
	gone    []uint64 // events to delete
	fences  []fence
	bytes   int
	err     error
}

func newTxn(e *Engine) *txn {
	e.giveWay()
	t := &txn{e: e}
	t.resume()
	return t
}

// resume goes on with what was kept, on all that is applied by now.
func (t *txn) resume() {
	t.content, t.over = t.kept.clone(), false
	t.planned = t.e.follow.now(t.e.relay).head
}

func (c *content) clone() content {
	n := content{records: maps.Clone(c.records), events: slices.Clone(c.events),
		gone: slices.Clone(c.gone), fences: slices.Clone(c.fences), bytes: c.bytes, err: c.err}
	if n.records == nil {
		n.records = make(map[string]put)
	}
	return n
}

// Keep is part of engine.SharedTxn.
func (t *txn) Keep() { t.kept = t.content.clone() }

// Again is part of engine.SharedTxn.
func (t *txn) Again() {
	lost := make(map[record.LaneID]bool)
	for _, f := range t.fences {
		if t.e.follow.fenceOf(f.lane).seq != f.seq {
			lost[f.lane] = true
		}
	}
	if len(lost) > 0 {
		t.kept.drop(lost)
	}
	t.resume()
}

// drop forgets what is about some lanes. What is left is counted as before: it fits.
func (c *content) drop(lost map[record.LaneID]bool) {
	maps.DeleteFunc(c.records, func(key string, _ put) bool {
		lane, ok := laneOf([]byte(key))
		return ok && lost[lane]
	})
	c.fences = slices.DeleteFunc(c.fences, func(f fence) bool { return lost[f.lane] })
}

// put is a record that is written, or deleted.
type put struct {
	value []byte
	ttl   time.Duration
	gone  bool
}

// event is one that is appended.
type event struct {
	seq uint64
	rec []byte
}

var _ engine.SharedTxn = (*txn)(nil)

// isEvent reports whether a key is one of the log.
func isEvent(key []byte) bool { return len(key) == 9 && key[0] == record.PrefixLog }

// isShared reports whether any relay writes records of a kind: those that no lane has. Whoever
// writes one has read others.
func isShared(prefix byte) bool {
	switch prefix {
	case record.PrefixID, record.PrefixState, record.PrefixName, record.PrefixMeta:
		return true
	}
	return false
}

// Get is part of engine.Txn.
func (t *txn) Get(key []byte) ([]byte, error) {
	if isEvent(key) {
		seq := record.KeySeq(key)
		i, here := slices.BinarySearchFunc(t.events, seq, func(e event, seq uint64) int {
			return cmp.Compare(e.seq, seq)
		})
		if here {
			return bytes.Clone(t.events[i].rec), nil
		}
		if slices.Contains(t.gone, seq) {
			return nil, engine.ErrNotFound
		}
	} else if p, ok := t.records[string(key)]; ok {
		if p.gone {
			return nil, engine.ErrNotFound
		}
		return bytes.Clone(p.value), nil
	}
	return t.e.replica.Get(key)
}

// Has is part of engine.Txn.
func (t *txn) Has(key []byte) bool {
	_, err := t.Get(key)
	return err == nil
}

// Keys is part of engine.Txn.
func (t *txn) Keys(prefix []byte, most int) (keys [][]byte, err error) {
	fresh := slices.DeleteFunc(slices.Sorted(maps.Keys(t.records)), func(key string) bool {
		return t.records[key].gone || !bytes.HasPrefix([]byte(key), prefix)
	})
	for _, e := range t.events {
		if key := record.LogKey(e.seq); bytes.HasPrefix(key, prefix) {
			fresh = append(fresh, string(key))
		}
	}
	look := t.e.replica.Look()
	defer look.Close()
	w := look.Walk(engine.Walk{Prefix: prefix})
	defer w.Close()
	for w.Seek(prefix); w.Valid() && len(keys) < most; w.Next() {
		key := bytes.Clone(w.Key())
		if _, written := t.records[string(key)]; written ||
			isEvent(key) && slices.Contains(t.gone, record.KeySeq(key)) {
			continue
		}
		keys = append(keys, key)
	}
	for _, key := range fresh {
		keys = append(keys, []byte(key))
	}
	slices.SortFunc(keys, bytes.Compare)
	return keys[:min(len(keys), most)], nil
}

// Put is part of engine.Txn.
func (t *txn) Put(key, value []byte, ttl time.Duration) error {
	return t.write(key, put{value: value, ttl: ttl}, len(value))
}

// Delete is part of engine.Txn.
func (t *txn) Delete(key []byte) error {
	if !isEvent(key) {
		return t.write(key, put{gone: true}, 0)
	}
	seq := record.KeySeq(key)
	t.events = slices.DeleteFunc(t.events, func(e event) bool { return e.seq == seq })
	t.gone = append(t.gone, seq)
	return t.count(len(key))
}

func (t *txn) write(key []byte, p put, bytes int) error {
	t.records[string(key)] = p
	return t.count(len(key) + bytes)
}

// Append is part of engine.Txn.
func (t *txn) Append(seq uint64, rec []byte, _ []record.LaneID) error {
	t.events = append(t.events, event{seq, rec})
	return t.count(len(rec))
}

// Guard is part of engine.Txn.
func (t *txn) Guard(lane record.LaneID, seq uint64) {
	t.fences = append(t.fences, fence{lane, seq})
}

func (t *txn) count(bytes int) error {
	t.bytes += bytes + entryBytes
	if t.err == nil && t.bytes > batchBytesMax {
		t.err = fmt.Errorf("cannot write %d bytes: at most %d fit into one transaction", t.bytes,
			batchBytesMax)
		return t.err
	}
	return nil
}

// Commit is part of engine.Txn: one atomic batch.
func (t *txn) Commit() error {
	if t.over || t.err != nil {
		return errors.Join(t.err, errors.New("cannot commit"))
	}
	t.over = true
	events := len(t.events) > 0
	b := &batch{s: t.e.sender, events: events, ordered: events, planned: t.planned}
	t.addEvents(b)
	if len(t.gone) > 0 {
		b.add(deletedSubject, writeSeqs(t.gone), false)
	}
	t.addRecords(b)
	if len(b.msgs) == 0 {
		return nil
	}
	for _, f := range t.fences {
		b.guard(fenced(f.lane), f.seq)
	}
	n := len(b.msgs) + ownMessages
	if n > messagesMax {
		return fmt.Errorf("cannot write %d messages: at most %d fit into one transaction", n, messagesMax)
	}
	if !events { // those were counted before
		t.e.space.stored.Add(int64(t.bytes + n*messageBytes))
	}
	return t.e.commit(b, t.fences)
}

// addRecords adds the records: as messages of their own, or packed. Where room is short the history
// of attempts and what was counted have gaps, which nothing depends on, so that outcomes have it;
// see needed.
func (t *txn) addRecords(b *batch) {
	packs := packs{packed: t.e.follow.longest, known: t.e.replica.has}
	for key, p := range t.records {
		if !t.e.space.leisure() {
			if p = needed(key, p); p.value == nil && !p.gone {
				continue
			}
		}
		key := []byte(key)
		b.ordered = b.ordered || isShared(key[0])
		life := packs.lifeOf(key, p)
		if !p.gone && packs.admit(key, p.value, life) {
			continue
		}
		m := b.add(keyed(key), p.value, true)
		if p.gone {
			m.Header[goneHeader] = []string{"1"}
		}
		if life > 0 {
			writeLife(m, seconds(life))
		}
	}
	packs.addTo(b, t.e.pieceMax())
}

// needed is what of a record is written where room is short; nothing of the history and of what
// was counted, but when and how a delivery that had failed before was delivered: what stays of it
// for as long as its event. That fits into what its exception took, or was to take.
func needed(key string, p put) put {
	switch {
	case p.gone || key[0] != record.PrefixHistory && key[0] != record.PrefixTally:
		return p
	case key[0] == record.PrefixTally || p.ttl > 0:
		return put{}
	}
	a, err := record.DecodeAttempt(p.value)
	if err != nil {
		return put{}
	}
	a.Snippet, a.Remote, a.Error, a.Request, a.Response = nil, "", "", nil, nil
	return put{value: a.Encode()}
}

// addEvents adds the events as one frame, in pieces that the servers take.
func (t *txn) addEvents(b *batch) {
	if len(t.events) == 0 {
		return
	}
	size := 0
	for _, e := range t.events {
		size += len(e.rec)
	}
	frame := make([]byte, 0, size)
	for _, e := range t.events {
		frame = append(frame, e.rec...)
	}
	last := strconv.FormatUint(t.events[len(t.events)-1].seq, 10)
	for most := t.e.pieceMax(); len(frame) > 0; {
		n := min(len(frame), most)
		m := b.add(eventSubject, frame[:n], false)
		m.Header[lastHeader] = []string{last}
		if frame = frame[n:]; len(frame) > 0 {
			m.Header[moreHeader] = []string{"1"}
		}
	}
}

// Discard is part of engine.Txn.
func (t *txn) Discard() { t.over = true }
