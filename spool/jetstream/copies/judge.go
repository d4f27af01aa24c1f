package copies

import "maps"

// rounds are what a verdict needs. What one copy lacks for a moment, because it is late with the
// removal of others, is not missing in each; and a hole stays as it is from round to round.
const rounds = 6

// span is from the least to the most.
type span struct{ least, most uint64 }

// counted is how many messages a node has: of those that never expire and were stored a while ago,
// and of all, with as many more as it may not have yet, or not any more.
type counted struct{ steady, all span }

// round is what those nodes have that have the newest message, by name.
type round map[string]counted

// missing is how many messages that never expire a node lacks at most.
func (r round) missing(node string) (n uint64) {
	for _, other := range r {
		n = max(n, other.steady.most-min(other.steady.most, r[node].steady.least))
	}
	return n
}

// pair are two nodes, of which one has fewer messages than the other.
type pair struct{ fewer, more string }

// judge watches round after round whether copies lack messages, by one of the ways to count.
type judge struct {
	of func(counted) span
	n  int // rounds
	// open are the pairs of which each round has said so, and how many can be missing so that all
	// rounds say it.
	open map[pair]span
	// suspect are the nodes of which the first round has said so.
	suspect map[string]bool
}

func (j *judge) goesOn() bool { return j.n < rounds && len(j.open) > 0 }

// add takes the next round.
func (j *judge) add(r round) {
	if j.n++; j.n == 1 {
		j.open, j.suspect = make(map[pair]span), make(map[string]bool)
		for a := range r {
			for b := range r {
				j.open[pair{a, b}] = span{0, j.of(r[b]).most}
			}
		}
	}
	maps.DeleteFunc(j.open, func(p pair, missing span) bool {
		_, one := r[p.fewer]
		_, two := r[p.more]
		a, b := j.of(r[p.fewer]), j.of(r[p.more])
		if !one || !two || a.most >= b.least {
			return true
		}
		missing = span{max(missing.least, b.least-a.most), min(missing.most, b.most-a.least)}
		j.open[p] = missing
		return missing.least > missing.most
	})
	if j.n == 1 {
		for p := range j.open {
			j.suspect[p.fewer] = true
		}
	}
}

// verdict are the pairs of which all rounds have said that one lacks messages of the other, and how
// many at least.
func (j *judge) verdict() map[pair]uint64 {
	out := make(map[pair]uint64)
	for p, missing := range j.open {
		if j.n == rounds {
			out[p] = missing.least
		}
	}
	return out
}
