package spooltest

import (
	"bytes"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool"
	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// What mutants are made of, and how the suite is run against one.

// recorder notes the first failure of a case instead of failing the test.
type recorder struct {
	testing.TB
	mu       sync.Mutex // guards below
	failure  string
	cleanups []func()
}

// caseTime is more than any case takes; one that a mutant has made endless counts as noticed.
const caseTime = 30 * time.Second

// firstFailure is how a case fails; empty: it passes.
func firstFailure(t *testing.T, c testCase, newBed func(testing.TB) Bed) string {
	t.Helper()
	r := &recorder{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer r.clean()
		defer func() {
			if p := recover(); p != nil {
				r.note(fmt.Sprintf("panic: %v", p))
			}
		}()
		c.run(r, newBed)
	}()
	select {
	case <-done:
	case <-time.After(caseTime):
		r.note("it does not end")
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure
}

func (r *recorder) note(text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.failure == "" {
		r.failure = text
	}
}

func (r *recorder) clean() {
	for _, f := range slices.Backward(r.cleanups) {
		f()
	}
}

func (r *recorder) Failed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.failure != ""
}

func (r *recorder) Fail()                        { r.note("failed") }
func (r *recorder) Error(args ...any)            { r.note(fmt.Sprint(args...)) }
func (r *recorder) Errorf(f string, args ...any) { r.note(fmt.Sprintf(f, args...)) }
func (r *recorder) Fatal(args ...any)            { r.Error(args...); r.FailNow() }
func (r *recorder) Fatalf(f string, args ...any) { r.Errorf(f, args...); r.FailNow() }
func (r *recorder) Cleanup(f func())             { r.cleanups = append(r.cleanups, f) }
func (r *recorder) Helper()                      {}
func (r *recorder) Log(...any)                   {}
func (r *recorder) Logf(string, ...any)          {}
func (r *recorder) FailNow()                     { r.Fail(); runtime.Goexit() }

// mutantEngine is an engine with other transactions or looks.
type mutantEngine struct {
	engine.Engine
	txn  txnHooks
	look func(engine.Engine) engine.Look
}

func (e *mutantEngine) Begin() engine.Txn { return &mutantTxn{e.Engine.Begin(), &e.txn} }

func (e *mutantEngine) Look() engine.Look {
	if e.look == nil {
		return e.Engine.Look()
	}
	return e.look(e.Engine)
}

// txnHooks are what a mutant does instead; nil: what the engine does.
type txnHooks struct {
	get    func(t engine.Txn, key []byte) ([]byte, error)
	keys   func(t engine.Txn, prefix []byte, most int) ([][]byte, error)
	put    func(t engine.Txn, key, value []byte, ttl time.Duration) error
	delete func(t engine.Txn, key []byte) error
	append func(t engine.Txn, seq uint64, rec []byte, lanes []record.LaneID) error
	guard  func(t engine.Txn, lane record.LaneID, fence uint64)
	commit func(t engine.Txn) error
}

type mutantTxn struct {
	engine.Txn
	hooks *txnHooks
}

func (t *mutantTxn) Get(key []byte) ([]byte, error) {
	if t.hooks.get == nil {
		return t.Txn.Get(key)
	}
	return t.hooks.get(t.Txn, key)
}

func (t *mutantTxn) Has(key []byte) bool {
	_, err := t.Get(key)
	return err == nil
}

func (t *mutantTxn) Keys(prefix []byte, most int) ([][]byte, error) {
	if t.hooks.keys == nil {
		return t.Txn.Keys(prefix, most)
	}
	return t.hooks.keys(t.Txn, prefix, most)
}

func (t *mutantTxn) Put(key, value []byte, ttl time.Duration) error {
	if t.hooks.put == nil {
		return t.Txn.Put(key, value, ttl)
	}
	return t.hooks.put(t.Txn, key, value, ttl)
}

func (t *mutantTxn) Delete(key []byte) error {
	if t.hooks.delete == nil {
		return t.Txn.Delete(key)
	}
	return t.hooks.delete(t.Txn, key)
}

func (t *mutantTxn) Append(seq uint64, rec []byte, lanes []record.LaneID) error {
	if t.hooks.append == nil {
		return t.Txn.Append(seq, rec, lanes)
	}
	return t.hooks.append(t.Txn, seq, rec, lanes)
}

func (t *mutantTxn) Guard(lane record.LaneID, fence uint64) {
	if t.hooks.guard == nil {
		t.Txn.Guard(lane, fence)
		return
	}
	t.hooks.guard(t.Txn, lane, fence)
}

func (t *mutantTxn) Commit() error {
	if t.hooks.commit == nil {
		return t.Txn.Commit()
	}
	return t.hooks.commit(t.Txn)
}

// losePuts forgets every n-th record of some.
func losePuts(n int, which func(key []byte) bool) func(*Memory, engine.Engine) txnHooks {
	return func(*Memory, engine.Engine) txnHooks {
		seen := 0
		return txnHooks{put: func(t engine.Txn, key, value []byte, ttl time.Duration) error {
			if which(key) {
				if seen++; seen%n == 0 {
					return nil
				}
			}
			return t.Put(key, value, ttl)
		}}
	}
}

// loseDeletes forgets every n-th deletion of a kind.
func loseDeletes(n int, prefix byte) func(*Memory, engine.Engine) txnHooks {
	return func(*Memory, engine.Engine) txnHooks {
		seen := 0
		return txnHooks{delete: func(t engine.Txn, key []byte) error {
			if key[0] == prefix {
				if seen++; seen%n == 0 {
					return nil
				}
			}
			return t.Delete(key)
		}}
	}
}

// appends stores events in another way.
func appends(put func(t engine.Txn, seq uint64, rec []byte) error) func(*Memory,
	engine.Engine) txnHooks {
	return func(*Memory, engine.Engine) txnHooks {
		return txnHooks{append: func(t engine.Txn, seq uint64, rec []byte, _ []record.LaneID) error {
			return put(t, seq, rec)
		}}
	}
}

// ttls gives records that expire another time.
func ttls(change func(time.Duration) time.Duration) func(*Memory, engine.Engine) txnHooks {
	return func(*Memory, engine.Engine) txnHooks {
		return txnHooks{put: func(t engine.Txn, key, value []byte, ttl time.Duration) error {
			if ttl > 0 {
				ttl = change(ttl)
			}
			return t.Put(key, value, ttl)
		}}
	}
}

func (m *Memory) snapshot() []entry {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.committed
}

func (m *Memory) restore(to []entry) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.committed = to
}

// lateBed loses the last commit in a crash.
type lateBed struct {
	*MemoryBed
	before []entry // what was durable before the last commit
}

func (b *lateBed) Prepare(o *spool.Options) {
	b.MemoryBed.Prepare(o)
	o.Engine = &mutantEngine{Engine: o.Engine, txn: txnHooks{commit: func(t engine.Txn) error {
		before := b.snapshot()
		err := t.Commit()
		b.before = before
		return err
	}}}
}

func (b *lateBed) Crash(s *spool.Spool) {
	if b.before != nil {
		b.restore(b.before)
	}
	b.MemoryBed.Crash(s)
}

// greedyEngine has every lane, whoever else has it.
type greedyEngine struct {
	engine.Engine
	m *Memory
}

func (e *greedyEngine) Own(lane record.LaneID) (engine.Tenure, error) {
	e.m.Return(lane)
	return e.Engine.Own(lane)
}

// roomyEngine says that any transaction fits.
type roomyEngine struct{ engine.Engine }

func (e *roomyEngine) Bounds() (bytes, entries int) { return 1 << 30, 1 << 30 }

// liveLook has no instant of its own.
type liveLook struct {
	engine.Look
	e engine.Engine
}

func (l *liveLook) Get(key []byte) ([]byte, error) { return l.e.Get(key) }

func (l *liveLook) View(key []byte, visit func(value []byte) error) error {
	now := l.e.Look()
	defer now.Close()
	return now.View(key, visit)
}

func (l *liveLook) Walk(o engine.Walk) engine.Walker { return &liveWalker{e: l.e, o: o} }

// liveWalker looks again at every step.
type liveWalker struct {
	engine.Walker
	e    engine.Engine
	o    engine.Walk
	look engine.Look
}

func (w *liveWalker) Seek(key []byte) {
	w.Close()
	w.look = w.e.Look()
	w.Walker = w.look.Walk(w.o)
	w.Walker.Seek(key)
}

func (w *liveWalker) Next() {
	at := bytes.Clone(w.Key())
	if w.Seek(at); w.Valid() && bytes.Equal(w.Key(), at) {
		w.Walker.Next()
	}
}

func (w *liveWalker) Close() {
	if w.look != nil {
		w.Walker.Close()
		w.look.Close()
	}
	w.look = nil
}

// wideLook takes the first byte of a prefix for all of it.
type wideLook struct{ engine.Look }

func (l *wideLook) Walk(o engine.Walk) engine.Walker {
	o.Prefix = o.Prefix[:min(len(o.Prefix), 1)]
	return l.Look.Walk(o)
}

// walkMutant goes through other keys than there are, from each Seek on.
type walkMutant struct {
	engine.Look
	change func(o engine.Walk, from []byte, keys [][]byte) [][]byte
}

func (l *walkMutant) Walk(o engine.Walk) engine.Walker {
	return &listWalker{look: l, o: o, inner: l.Look.Walk(o)}
}

// listWalker goes through a list of keys.
type listWalker struct {
	look  *walkMutant
	o     engine.Walk
	inner engine.Walker
	keys  [][]byte
}

func (w *listWalker) Seek(key []byte) {
	w.keys = nil
	for w.inner.Seek(key); w.inner.Valid(); w.inner.Next() {
		w.keys = append(w.keys, bytes.Clone(w.inner.Key()))
	}
	w.keys = w.look.change(w.o, key, w.keys)
}

func (w *listWalker) Valid() bool       { return len(w.keys) > 0 }
func (w *listWalker) Next()             { w.keys = w.keys[1:] }
func (w *listWalker) Key() []byte       { return w.keys[0] }
func (w *listWalker) Gone() bool        { return false }
func (w *listWalker) ExpiresAt() uint64 { return 0 }
func (w *listWalker) Close()            { w.inner.Close() }

func (w *listWalker) Together() (last uint64, bytes int) {
	return record.KeySeq(w.keys[0]), 0
}

func (w *listWalker) View(visit func(value []byte) error) error {
	return w.look.View(w.keys[0], visit)
}
