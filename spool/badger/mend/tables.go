package mend

import (
	"cmp"
	"maps"
	"slices"

	"github.com/dgraph-io/badger/v4/y"
)

// Fit is what becomes of a list of tables and of the tables there are.
type Fit struct {
	// Missing are the tables that the list names and that are not there. Explained: the list is one
	// of some time before, so they may have been replaced since; otherwise they are a loss.
	Missing   []uint64
	Explained bool
	// Aside are the tables that cannot be used; Table.Fault says why. The engine deletes what the
	// list does not name, so they are to be kept elsewhere.
	Aside []uint64
	// Added are the tables that the list did not name and that are listed now.
	Added []uint64
	// List is the list to be written; nil: it stays as it is.
	List []byte
}

// Fit brings the list, and the tables that are there, into a state that the engine can open. What
// the list does not name although it should goes to level 0, where tables may overlap: the engine
// reads the newest version of a key wherever that lies, and compaction puts it in order. A table
// that had been replaced, and not deleted yet, may bring deleted keys back in this way; whoever
// calls makes that good. firstTxn is the first transaction in the engine's logs; 0: there is none.
//
// It changes what the list names.
func (l *List) Fit(there map[uint64]Table, firstTxn uint64) (f Fit) {
	changed := false
	for _, id := range slices.Sorted(maps.Keys(l.Tables)) {
		switch t, found := there[id]; {
		case !found:
			f.Missing = append(f.Missing, id)
		case t.Fault != "":
			f.Aside = append(f.Aside, id)
		default:
			continue
		}
		delete(l.Tables, id)
		changed = true
	}
	unlisted := l.unlisted(there, f.Aside)
	f.Explained = !l.whole || len(f.Missing) > 0 && len(unlisted) > 0 ||
		l.hides(there, unlisted, firstTxn)
	if f.Explained {
		changed = true
		for _, id := range unlisted {
			if there[id].Fault != "" {
				f.Aside = append(f.Aside, id)
				continue
			}
			f.Added = append(f.Added, id)
			l.Tables[id] = Listed{}
		}
		l.level(there)
	}
	if changed {
		f.List = l.Encode()
	}
	return f
}

// unlisted are the tables that the list neither names nor says are gone.
func (l *List) unlisted(there map[uint64]Table, aside []uint64) (ids []uint64) {
	for _, id := range slices.Sorted(maps.Keys(there)) {
		if _, listed := l.Tables[id]; !listed && !l.deleted[id] && !slices.Contains(aside, id) {
			ids = append(ids, id)
		}
	}
	return ids
}

// hides reports whether a list that seems whole leaves out a table that is needed. A crash leaves
// two kinds of tables that no list names, and neither is: one that a log was being written to, so
// that log is still there and begins before the table ends; and one that others were being merged
// into, which holds nothing newer than they do.
func (l *List) hides(there map[uint64]Table, unlisted []uint64, firstTxn uint64) bool {
	listed := l.newest(there)
	return slices.ContainsFunc(unlisted, func(id uint64) bool {
		n := there[id].Newest
		return n > listed && (firstTxn == 0 || n < firstTxn)
	})
}

// newest is the newest transaction in the tables that the list names.
func (l *List) newest(there map[uint64]Table) (n uint64) {
	for id := range l.Tables {
		n = max(n, there[id].Newest)
	}
	return n
}

// level puts the tables on levels where they do not overlap, with the keys that they have: a
// number may have been given twice since the list was cut short.
func (l *List) level(there map[uint64]Table) {
	for id, t := range l.Tables {
		t.KeyID = there[id].KeyID
		l.Tables[id] = t
	}
	for _, id := range l.overlapping(there) {
		t := l.Tables[id]
		t.Level = 0
		l.Tables[id] = t
	}
}

// overlapping are the tables that share keys with another of their level, or may.
func (l *List) overlapping(there map[uint64]Table) (ids []uint64) {
	known := func(id uint64) bool { return there[id].First != nil && there[id].Last != nil }
	all := slices.SortedFunc(maps.Keys(l.Tables), func(a, b uint64) int {
		if d := cmp.Compare(l.Tables[a].Level, l.Tables[b].Level); d != 0 {
			return d
		}
		if !known(a) || !known(b) {
			return cmp.Compare(len(there[a].Last), len(there[b].Last))
		}
		return y.CompareKeys(there[a].First, there[b].First)
	})
	before := -1
	for i, id := range all {
		level := l.Tables[id].Level
		switch {
		case level == 0:
		case !known(id), before >= 0 && l.Tables[all[before]].Level == level &&
			y.CompareKeys(there[all[before]].Last, there[id].First) >= 0:
			ids = append(ids, id)
		default:
			before = i
		}
	}
	return ids
}

// Unfinished are the tables that the list does not name, if it is whole and names only what is
// there and can be used, except those that hold something newer: a memtable was being written to
// them.
func (l *List) Unfinished(there map[uint64]Table) (ids []uint64) {
	if l.empty || !l.whole {
		return nil
	}
	for id := range l.Tables {
		if t, found := there[id]; !found || t.Fault != "" {
			return nil
		}
	}
	listed := l.newest(there)
	for _, id := range slices.Sorted(maps.Keys(there)) {
		if _, named := l.Tables[id]; !named && there[id].Newest <= listed {
			ids = append(ids, id)
		}
	}
	return ids
}
