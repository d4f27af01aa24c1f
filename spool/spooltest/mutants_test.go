package spooltest

import (
	"bytes"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hookspool/hookspool/spool/engine"
	"github.com/hookspool/hookspool/spool/record"
)

// mutant breaks one promise of the engine in memory.
type mutant struct {
	name string
	bed  func(*MemoryBed) Bed
}

// TestMutants breaks one promise after the other. The suite must notice each, and fail without none.
func TestMutants(t *testing.T) {
	for _, m := range append(mutants(), mutant{"none", func(b *MemoryBed) Bed { return b }}) {
		t.Run(m.name, func(t *testing.T) {
			t.Parallel()
			caught := ""
			for _, c := range suite() {
				failure := firstFailure(t, c, func(tb testing.TB) Bed { return m.bed(memoryBed(tb)) })
				if failure != "" {
					caught = c.name + ": " + failure
					break
				}
			}
			switch {
			case m.name == "none" && caught != "":
				t.Errorf("without a mutant the suite fails: %s", caught)
			case m.name != "none" && caught == "":
				t.Error("the suite does not notice")
			default:
				t.Log(caught)
			}
		})
	}
}

func mutants() []mutant {
	return slices.Concat(commitMutants(), recordMutants(), readMutants(), crewMutants())
}

// crewMutants share lanes out in a wrong way.
func crewMutants() []mutant {
	return []mutant{
		txns("the fence is dropped", func(*Memory, engine.Engine) txnHooks {
			return txnHooks{guard: func(engine.Txn, record.LaneID, uint64) {}}
		}),
		txns("every fence is an old one", func(*Memory, engine.Engine) txnHooks {
			return txnHooks{guard: func(t engine.Txn, lane record.LaneID, fence uint64) {
				t.Guard(lane, fence-1)
			}}
		}),
		engines("a lane that another relay has is taken all the same", func(m *Memory,
			e engine.Engine) engine.Engine {
			return &greedyEngine{e, m}
		}),
	}
}

// engines is a mutant that wraps each opening of the engine.
func engines(name string, wrap func(m *Memory, e engine.Engine) engine.Engine) mutant {
	return mutant{name, func(b *MemoryBed) Bed {
		b.Wrap = func(e engine.Engine) engine.Engine { return wrap(b.Memory, e) }
		return b
	}}
}

// txns is a mutant of the transactions.
func txns(name string, hooks func(m *Memory, e engine.Engine) txnHooks) mutant {
	return engines(name, func(m *Memory, e engine.Engine) engine.Engine {
		return &mutantEngine{Engine: e, txn: hooks(m, e)}
	})
}

// looks is a mutant of the looks.
func looks(name string, look func(e engine.Engine) engine.Look) mutant {
	return engines(name, func(_ *Memory, e engine.Engine) engine.Engine {
		return &mutantEngine{Engine: e, look: look}
	})
}

// walks is a mutant of the order and choice of keys.
func walks(name string, change func(o engine.Walk, from []byte, keys [][]byte) [][]byte) mutant {
	return looks(name, func(e engine.Engine) engine.Look {
		return &walkMutant{Look: e.Look(), change: change}
	})
}

// commitMutants break what a transaction promises as a whole.
func commitMutants() []mutant {
	return []mutant{
		txns("a commit is acknowledged and dropped", func(*Memory, engine.Engine) txnHooks {
			n := 0
			return txnHooks{commit: func(t engine.Txn) error {
				if n++; n%7 == 0 {
					t.Discard()
					return nil
				}
				return t.Commit()
			}}
		}),
		txns("the last entry of a commit is dropped", func(*Memory, engine.Engine) txnHooks {
			var last func() error
			later := func(write func() error) (err error) {
				if last != nil {
					err = last()
				}
				last = write
				return err
			}
			return txnHooks{
				put: func(t engine.Txn, key, value []byte, ttl time.Duration) error {
					return later(func() error { return t.Put(key, value, ttl) })
				},
				append: func(t engine.Txn, seq uint64, rec []byte, lanes []record.LaneID) error {
					return later(func() error { return t.Append(seq, rec, lanes) })
				},
				delete: func(t engine.Txn, key []byte) error {
					return later(func() error { return t.Delete(key) })
				},
				commit: func(t engine.Txn) error {
					last = nil
					return t.Commit()
				},
			}
		}),
		{"a commit is durable with the next one", func(b *MemoryBed) Bed { return &lateBed{MemoryBed: b} }},
		{"a commit that fails leaves half of it", func(b *MemoryBed) Bed {
			b.tear = true
			return b
		}},
		txns("a later commit is durable before an earlier one", func(m *Memory,
			_ engine.Engine) txnHooks {
			var before []entry
			return txnHooks{commit: func(t engine.Txn) error {
				earlier, now := before, m.snapshot()
				err := t.Commit()
				if err != nil && earlier != nil {
					m.restore(merge(earlier, t.(*memoryTxn).writes))
				}
				before = now
				return err
			}}
		}),
		engines("it promises more room in a transaction than it has", func(_ *Memory,
			e engine.Engine) engine.Engine {
			return &roomyEngine{e}
		}),
	}
}

// recordMutants lose or change records on their way in.
func recordMutants() (list []mutant) {
	for _, k := range []struct {
		name   string
		prefix byte
		every  int // how many of them are there for each that is lost
	}{
		{"an id", record.PrefixID, 3},
		{"the record of a lane", record.PrefixLane, 3},
		{"an exception", record.PrefixException, 3},
		{"an exhausted delivery", record.PrefixExhausted, 3},
		{"a purge mark", record.PrefixPurged, 3},
		{"a standing", record.PrefixStanding, 1},
		{"a notice", record.PrefixNotice, 2},
		{"a memo", record.PrefixMemo, 2},
		{"small state", record.PrefixState, 3},
		{"the name of a lane", record.PrefixName, 3},
		{"an attempt", record.PrefixHistory, 3},
		{"a piece of receipts", record.PrefixReceipts, 1},
		{"the release of an event", record.PrefixReleased, 3},
	} {
		list = append(list, txns(k.name+" is lost", losePuts(k.every,
			func(key []byte) bool { return key[0] == k.prefix })))
	}
	// The checkpoint is not among them: an older one only makes a start count more.
	list = append(list, txns("a tick is lost", losePuts(2,
		func(key []byte) bool { return bytes.Equal(key, record.MetaKey(record.MetaTick)) })))
	for _, k := range []struct {
		name   string
		prefix byte
	}{
		{"an exception that was settled", record.PrefixException},
		{"an exhausted delivery that was replayed", record.PrefixExhausted},
		{"a notice that was paid", record.PrefixNotice},
		{"an event that was swept", record.PrefixLog},
	} {
		list = append(list, txns(k.name+" stays", loseDeletes(2, k.prefix)))
	}
	return append(list, eventMutants()...)
}

// eventMutants change what is appended, and when records expire.
func eventMutants() []mutant {
	return []mutant{
		txns("an event is stored under another sequence", appends(func(t engine.Txn, seq uint64,
			rec []byte) error {
			return t.Put(record.LogKey(seq+seq%5/4), rec, 0)
		})),
		txns("an event is lost", appends(func(t engine.Txn, seq uint64, rec []byte) error {
			if seq%5 == 0 {
				return nil
			}
			return t.Put(record.LogKey(seq), rec, 0)
		})),
		txns("a bit of an event is another", appends(func(t engine.Txn, seq uint64,
			rec []byte) error {
			rec = bytes.Clone(rec)
			rec[len(rec)-6] ^= byte(seq % 2)
			return t.Put(record.LogKey(seq), rec, 0)
		})),
		txns("records never expire", ttls(func(time.Duration) time.Duration { return 0 })),
		txns("records expire early", ttls(func(ttl time.Duration) time.Duration { return ttl / 2 })),
	}
}

// readMutants break what transactions and looks see.
func readMutants() []mutant {
	return []mutant{
		txns("a transaction does not see its own writes", func(_ *Memory, e engine.Engine) txnHooks {
			return txnHooks{get: func(_ engine.Txn, key []byte) ([]byte, error) { return e.Get(key) }}
		}),
		txns("a transaction does not see its own deletions", func(_ *Memory,
			e engine.Engine) txnHooks {
			return txnHooks{get: func(t engine.Txn, key []byte) ([]byte, error) {
				if value, err := t.Get(key); err == nil {
					return value, nil
				}
				return e.Get(key)
			}}
		}),
		txns("a transaction finds no keys", func(*Memory, engine.Engine) txnHooks {
			return txnHooks{keys: func(engine.Txn, []byte, int) ([][]byte, error) { return nil, nil }}
		}),
		txns("a transaction finds keys of others", func(*Memory, engine.Engine) txnHooks {
			return txnHooks{keys: func(t engine.Txn, prefix []byte, most int) ([][]byte, error) {
				return t.Keys(prefix[:1], most)
			}}
		}),
		txns("a transaction sees another value", func(*Memory, engine.Engine) txnHooks {
			return txnHooks{get: func(t engine.Txn, key []byte) ([]byte, error) {
				value, err := t.Get(key)
				if err == nil && key[0] == record.PrefixState {
					value = record.EncodeState(nil)
				}
				return value, err
			}}
		}),
		looks("a look sees what is written later", func(e engine.Engine) engine.Look {
			return &liveLook{Look: e.Look(), e: e}
		}),
		looks("a walk goes on after its prefix", func(e engine.Engine) engine.Look {
			return &wideLook{e.Look()}
		}),
		engines("a look is one commit old", func(m *Memory, e engine.Engine) engine.Engine {
			var before atomic.Pointer[[]entry]
			var now []entry // the committer's
			before.Store(new([]entry))
			return &mutantEngine{Engine: e, look: func(e engine.Engine) engine.Look {
				l := e.Look().(*memoryLook)
				l.entries = *before.Load()
				return l
			}, txn: txnHooks{commit: func(t engine.Txn) error {
				err := t.Commit()
				last := now
				before.Store(&last)
				now = m.snapshot()
				return err
			}}}
		}),
		walks("a walk is out of order", func(_ engine.Walk, _ []byte, keys [][]byte) [][]byte {
			for i := 1; i < len(keys); i += 2 {
				keys[i-1], keys[i] = keys[i], keys[i-1]
			}
			return keys
		}),
		walks("a walk skips a key", func(_ engine.Walk, _ []byte, keys [][]byte) [][]byte {
			if len(keys) > 3 {
				keys = slices.Delete(keys, 2, 3)
			}
			return keys
		}),
		walks("a walk begins after its first key", func(o engine.Walk, from []byte,
			keys [][]byte) [][]byte {
			if len(keys) > 0 && bytes.Equal(keys[0], from) && !o.Reverse {
				keys = keys[1:]
			}
			return keys
		}),
		walks("a walk ends too early", func(_ engine.Walk, _ []byte, keys [][]byte) [][]byte {
			return keys[:min(len(keys), 5)]
		}),
		walks("a walk backwards begins one too far", func(o engine.Walk, _ []byte,
			keys [][]byte) [][]byte {
			if o.Reverse && len(keys) > 1 {
				keys = keys[1:]
			}
			return keys
		}),
		walks("a walk shows a key twice", func(_ engine.Walk, _ []byte, keys [][]byte) [][]byte {
			if len(keys) > 1 {
				keys = slices.Insert(keys, 1, keys[1])
			}
			return keys
		}),
	}
}
