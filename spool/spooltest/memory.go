package spooltest

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

var errCrashed = errors.New("the engine has crashed or was closed")

// The bounds of a transaction are small, so that a batch soon needs several. No event of the suite
// is larger than a transaction.
const (
	memoryBytesMax   = 64 << 10
	memoryEntriesMax = 1000
	entryBytes       = 12 // what an entry counts beside its key and value
)

// entry is a record. Nobody changes it.
type entry struct {
	key     string
	value   []byte
	expires time.Time // zero: never
}

func (e *entry) gone(now time.Time) bool { return !e.expires.IsZero() && !now.Before(e.expires) }

// Memory is what engines in memory keep. It outlives them, as a disk outlives a process. Its
// methods are safe for concurrent use.
type Memory struct {
	CommitFaults
	mu sync.Mutex // guards all below
	// committed is sorted by key. A commit makes another one, so that a look is this slice.
	committed []entry
	now       time.Time
	open      *memoryEngine // the only one that may write
	// fences are the newest of each lane, lost of the tenure that lasts; taken are the lanes that
	// another relay has.
	fences map[record.LaneID]uint64
	lost   map[record.LaneID]chan struct{}
	taken  map[record.LaneID]bool
	// sparse leaves sequences out.
	sparse bool
	// tear is a fault of the engine, for a mutant: a commit that fails leaves half of it.
	tear bool
}

// NewMemory is an empty memory. sparse: its log leaves sequences out.
func NewMemory(sparse bool) *Memory {
	return &Memory{now: time.Unix(1_700_000_000, 0), sparse: sparse,
		fences: make(map[record.LaneID]uint64), lost: make(map[record.LaneID]chan struct{}),
		taken: make(map[record.LaneID]bool)}
}

// Engine opens the memory. One that is open already counts as crashed.
func (m *Memory) Engine() engine.Engine {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = &memoryEngine{m: m}
	return m.open
}

// Crash ends the open engine: what it has committed stays, it commits nothing more.
func (m *Memory) Crash() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open = nil
}

// Pass moves the clock by which records expire.
func (m *Memory) Pass(d time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.now = m.now.Add(d)
}

// Take gives a lane to another relay. late: whoever has it does not hear of that.
func (m *Memory) Take(lane record.LaneID, late bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fences[lane]++
	m.taken[lane] = true
	if lost := m.lost[lane]; lost != nil && !late {
		close(lost)
	}
	delete(m.lost, lane)
}

// Return lets the next who wants a lane that was taken have it.
func (m *Memory) Return(lane record.LaneID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.taken, lane)
}

// memoryEngine is one opening of a memory.
type memoryEngine struct {
	Boundless
	m     *Memory
	looks int // open ones; guarded by Memory.mu
}

var _ engine.Engine = (*memoryEngine)(nil)

func (e *memoryEngine) Bounds() (bytes, entries int) { return memoryBytesMax, memoryEntriesMax }

func (e *memoryEngine) Next(after uint64) uint64 {
	if e.m.sparse {
		return after + 1 + after%5
	}
	return after + 1
}

func (e *memoryEngine) Own(lane record.LaneID) (engine.Tenure, error) {
	m := e.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.taken[lane] {
		return engine.Tenure{}, engine.ErrElsewhere
	}
	m.fences[lane]++
	m.lost[lane] = make(chan struct{})
	return engine.Tenure{Fence: m.fences[lane], Lost: m.lost[lane]}, nil
}

func (e *memoryEngine) Begin() engine.Txn {
	return &memoryTxn{e: e, look: e.lookNow(), writes: make(map[string]*entry)}
}

func (e *memoryEngine) Get(key []byte) ([]byte, error) { return e.lookNow().Get(key) }

func (e *memoryEngine) Look() engine.Look {
	l := e.lookNow()
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	e.looks++
	return l
}

func (e *memoryEngine) lookNow() *memoryLook {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	return &memoryLook{e: e, entries: e.m.committed, now: e.m.now}
}

// Close finds a spool that forgot to close what it looked at.
func (e *memoryEngine) Close() error {
	e.m.mu.Lock()
	defer e.m.mu.Unlock()
	if e.m.open == e {
		e.m.open = nil
	}
	if e.looks > 0 {
		return fmt.Errorf("cannot close the engine: %d looks are open", e.looks)
	}
	return nil
}

// memoryTxn is a transaction over what was committed when it began.
type memoryTxn struct {
	e      *memoryEngine
	look   *memoryLook
	writes map[string]*entry // nil: it is deleted
	bytes  int
	last   uint64 // the newest sequence that was appended here
	guards []guard
	err    error
	over   bool
}

func (t *memoryTxn) Get(key []byte) ([]byte, error) {
	if w, ok := t.writes[string(key)]; ok {
		if w == nil {
			return nil, engine.ErrNotFound
		}
		return bytes.Clone(w.value), nil
	}
	return t.look.Get(key)
}

func (t *memoryTxn) Has(key []byte) bool {
	_, err := t.Get(key)
	return err == nil
}

func (t *memoryTxn) Keys(prefix []byte, most int) (keys [][]byte, err error) {
	l := *t.look
	l.entries = merge(l.entries, t.writes)
	w := l.Walk(engine.Walk{Prefix: prefix})
	for w.Seek(prefix); w.Valid() && len(keys) < most; w.Next() {
		keys = append(keys, bytes.Clone(w.Key()))
	}
	return keys, nil
}

func (t *memoryTxn) Put(key, value []byte, ttl time.Duration) error {
	w := &entry{key: string(key), value: value}
	if ttl > 0 {
		w.expires = t.look.now.Add(ttl)
	}
	return t.write(w.key, w, len(value))
}

func (t *memoryTxn) Delete(key []byte) error { return t.write(string(key), nil, 0) }

func (t *memoryTxn) write(key string, w *entry, valueBytes int) error {
	t.bytes += len(key) + valueBytes + entryBytes
	t.writes[key] = w
	switch {
	case t.over:
		return t.fail(errors.New("cannot write: the transaction is over"))
	case t.bytes > memoryBytesMax || len(t.writes) > memoryEntriesMax:
		return t.fail(fmt.Errorf("cannot write %d bytes in %d entries: too much for one transaction",
			t.bytes, len(t.writes)))
	}
	return nil
}

// fail notes the first error, and returns it that one time.
func (t *memoryTxn) fail(err error) error {
	if t.err != nil {
		return nil
	}
	t.err = err
	return err
}

func (t *memoryTxn) Append(seq uint64, rec []byte, lanes []record.LaneID) error {
	newest := t.last
	key, _, err := engine.Last(t.look, []byte{record.PrefixLog}, []byte{record.PrefixLog + 1})
	if err == nil {
		newest = max(newest, record.KeySeq(key))
	}
	e, err := record.DecodeEvent(rec, seq)
	switch {
	case err != nil:
	case seq <= newest:
		err = fmt.Errorf("cannot append event %d: the newest is %d", seq, newest)
	case !slices.Equal(e.Lanes(), lanes):
		err = fmt.Errorf("cannot append event %d for lanes %v: it says %v", seq, lanes, e.Lanes())
	}
	if err != nil {
		return t.fail(err)
	}
	t.last = seq
	key = record.LogKey(seq)
	return t.write(string(key), &entry{key: string(key), value: rec}, len(rec))
}

// guard is a tenure that must last.
type guard struct {
	lane  record.LaneID
	fence uint64
}

func (t *memoryTxn) Guard(lane record.LaneID, fence uint64) {
	t.guards = append(t.guards, guard{lane, fence})
}

func (t *memoryTxn) Commit() error {
	m := t.e.m
	m.mu.Lock()
	defer m.mu.Unlock()
	if t.err != nil || t.over {
		return errors.Join(t.err, errors.New("cannot commit"))
	}
	t.over = true
	if m.open != t.e {
		return errCrashed
	}
	for _, g := range t.guards {
		if m.fences[g.lane] != g.fence {
			return fmt.Errorf("cannot commit: lane %d: %w", g.lane, engine.ErrElsewhere)
		}
	}
	effect, err := m.Next()
	if !effect && m.tear {
		for i, key := range sortedKeys(t.writes) {
			if i%2 > 0 {
				delete(t.writes, key)
			}
		}
		effect = true
	}
	if effect {
		m.committed = merge(m.committed, t.writes)
	}
	return err
}

func (t *memoryTxn) Discard() { t.over = true }

func sortedKeys(writes map[string]*entry) []string {
	keys := make([]string, 0, len(writes))
	for key := range writes {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	return keys
}

// merge is what is there after writes. It changes neither.
func merge(before []entry, writes map[string]*entry) []entry {
	after := make([]entry, 0, len(before)+len(writes))
	for _, key := range sortedKeys(writes) {
		n := sort.Search(len(before), func(i int) bool { return before[i].key >= key })
		after = append(after, before[:n]...)
		before = before[n:]
		if len(before) > 0 && before[0].key == key {
			before = before[1:]
		}
		if w := writes[key]; w != nil {
			after = append(after, *w)
		}
	}
	return append(after, before...)
}

// memoryLook is what was committed at one instant.
type memoryLook struct {
	e       *memoryEngine
	entries []entry
	now     time.Time
}

func (l *memoryLook) Get(key []byte) (value []byte, err error) {
	err = l.View(key, func(v []byte) error {
		value = append([]byte{}, v...)
		return nil
	})
	return value, err
}

func (l *memoryLook) View(key []byte, visit func(value []byte) error) error {
	i := l.from(string(key))
	if i == len(l.entries) || l.entries[i].key != string(key) || l.entries[i].gone(l.now) {
		return engine.ErrNotFound
	}
	return visit(l.entries[i].value)
}

// from is the place of the first entry at or after a key.
func (l *memoryLook) from(key string) int {
	return sort.Search(len(l.entries), func(i int) bool { return l.entries[i].key >= key })
}

func (l *memoryLook) Walk(o engine.Walk) engine.Walker {
	return &memoryWalker{l: l, o: o, step: 1, at: len(l.entries)}
}

func (l *memoryLook) Dense() bool { return !l.e.m.sparse }

func (l *memoryLook) Close() {
	l.e.m.mu.Lock()
	defer l.e.m.mu.Unlock()
	l.e.looks--
}

type memoryWalker struct {
	l        *memoryLook
	o        engine.Walk
	at, step int
}

func (w *memoryWalker) Seek(key []byte) {
	w.at = w.l.from(string(key))
	if w.o.Reverse {
		w.step = -1
		if w.at == len(w.l.entries) || w.l.entries[w.at].key != string(key) {
			w.at--
		}
	}
	w.pass()
}

// pass goes on over what has expired.
func (w *memoryWalker) pass() {
	for w.Valid() && !w.o.Gone && w.Gone() {
		w.at += w.step
	}
}

func (w *memoryWalker) Valid() bool {
	return w.at >= 0 && w.at < len(w.l.entries) &&
		strings.HasPrefix(w.l.entries[w.at].key, string(w.o.Prefix))
}

func (w *memoryWalker) Next() {
	w.at += w.step
	w.pass()
}

func (w *memoryWalker) Key() []byte { return []byte(w.l.entries[w.at].key) }

func (w *memoryWalker) View(visit func(value []byte) error) error {
	return visit(w.l.entries[w.at].value)
}

func (w *memoryWalker) Together() (last uint64, bytes int) {
	return record.KeySeq(w.Key()), len(w.l.entries[w.at].value)
}

func (w *memoryWalker) Gone() bool { return w.l.entries[w.at].gone(w.l.now) }

func (w *memoryWalker) ExpiresAt() uint64 {
	if at := w.l.entries[w.at].expires; !at.IsZero() {
		return uint64(at.Unix())
	}
	return 0
}

func (w *memoryWalker) Close() {}
