package receiver

import "hash/maphash"

// idSet remembers the last ids that were added, up to a limit. It keeps a 64-bit hash of each: the
// sender chooses how long an id is, and two of 100,000 ids share a hash once in four billion runs.
type idSet struct {
	seed   maphash.Seed
	hashes map[uint64]struct{}
	order  []uint64 // a ring, oldest at next once it is full
	next   int
	limit  int
}

func newIDSet(limit int) idSet {
	return idSet{seed: maphash.MakeSeed(), hashes: make(map[uint64]struct{}), limit: limit}
}

// has reports whether id was added and not yet forgotten.
func (s *idSet) has(id string) bool {
	_, ok := s.hashes[maphash.String(s.seed, id)]
	return ok
}

// add remembers id, forgets the oldest one beyond the limit, and reports whether id was there.
func (s *idSet) add(id string) bool {
	hash := maphash.String(s.seed, id)
	if _, ok := s.hashes[hash]; ok {
		return true
	}
	s.hashes[hash] = struct{}{}
	if len(s.order) < s.limit {
		s.order = append(s.order, hash)
		return false
	}
	delete(s.hashes, s.order[s.next])
	s.order[s.next] = hash
	s.next = (s.next + 1) % s.limit
	return false
}
