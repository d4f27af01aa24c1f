package copies

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// judged is what becomes of rounds, each as a function of its number, by what never expires.
func judged(of func(n int) round) (verdict map[pair]uint64, n int) {
	j := &judge{of: func(n counted) span { return n.steady }}
	for j.n == 0 || j.goesOn() {
		j.add(of(j.n))
	}
	return j.verdict(), j.n
}

// TestJudge asserts that only what each round says, and says alike, is a verdict, and that it takes
// one round where there is nothing to be found.
func TestJudge(t *testing.T) {
	f := func(what string, want string, most int, of func(n int) map[string]span) {
		t.Helper()
		verdict, n := judged(func(n int) round {
			r := make(round)
			for node, s := range of(n) {
				r[node] = counted{steady: s}
			}
			return r
		})
		if got := fmt.Sprint(verdict); got != want || n > most {
			t.Errorf("%s: %s after %d rounds; want %s", what, got, n, want)
		}
	}
	type nodes = map[string]span
	const none = "map[]"
	exact := func(n int) span { return span{uint64(n), uint64(n)} }
	f("nobody answers", none, 1, func(int) nodes { return nil })
	f("one answers", none, 1, func(int) nodes { return nodes{"a": exact(7)} })
	f("alike", none, 1, func(int) nodes { return nodes{"a": exact(7), "b": exact(7)} })
	f("not exactly known", none, 1, func(int) nodes { return nodes{"a": {5, 8}, "b": {7, 9}} })
	f("short", "map[{b a}:8 {b c}:2]", rounds, func(n int) nodes {
		return nodes{"a": {uint64(20 - n), 30}, "b": {9, 12}, "c": {14, 15}}
	})
	f("short of one", "map[{b a}:2]", rounds, func(int) nodes {
		return nodes{"a": exact(9), "b": exact(7), "c": {6, 12}}
	})
	f("two are short", "map[{a c}:1 {b c}:2]", rounds, func(int) nodes {
		return nodes{"a": {6, 8}, "b": exact(7), "c": exact(9)}
	})
	f("short of the same while all grow", "map[{b a}:3]", rounds, func(n int) nodes {
		return nodes{"a": exact(100 + 10*n), "b": exact(97 + 10*n)}
	})
	for bad := range rounds {
		f("all rounds but one", none, bad+1, func(n int) nodes {
			if n == bad {
				return nodes{"a": exact(9), "b": exact(9)}
			}
			return nodes{"a": exact(9), "b": exact(7)}
		})
		f("it is away in one", none, bad+1, func(n int) nodes {
			if n == bad {
				return nodes{"a": exact(9)}
			}
			return nodes{"a": exact(9), "b": exact(7)}
		})
	}
	f("now one, now the other", none, 2, func(n int) nodes {
		return nodes{"a": exact(7 + n%2*4), "b": exact(9)}
	})
	f("it lacks less and less", none, 2, func(n int) nodes {
		return nodes{"a": exact(900), "b": exact(100 + n)}
	})
	f("it lacks less and less while others get more", none, 3, func(n int) nodes {
		return nodes{"a": {uint64(900 + 10*n), uint64(905 + 10*n)}, "b": exact(100 + 20*n)}
	})
	r := round{"a": counted{steady: span{7, 9}}, "b": counted{steady: span{3, 8}},
		"c": counted{steady: span{8, 8}}}
	for node, want := range map[string]uint64{"a": 2, "b": 6, "c": 1} {
		if got := r.missing(node); got != want {
			t.Errorf("%s lacks %d at most, want %d", node, got, want)
		}
	}
}

// TestJudgeUnderTraffic asserts that copies which are alike are never said to differ, however many
// are stored between two counts of a round, and one that lacks more than that is.
func TestJudgeUnderTraffic(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	const stored, between, hole = 10_000, 40, 60
	for range 2000 {
		of := func(missing uint64) func(int) round {
			return func(int) round {
				r := make(round)
				for _, node := range []string{"a", "b", "c"} {
					before := rng.Uint64N(between)
					all := stored + before + rng.Uint64N(between)
					after := all - stored + rng.Uint64N(between)
					if node == "b" {
						all -= missing
					}
					r[node] = counted{steady: span{all - min(all, after), all - before}}
				}
				return r
			}
		}
		if verdict, _ := judged(of(0)); len(verdict) > 0 {
			t.Fatalf("of whole copies it is said: %v", verdict)
		}
		verdict, _ := judged(of(hole + 2*between))
		if len(verdict) != 2 || verdict[pair{"b", "a"}] == 0 || verdict[pair{"b", "c"}] == 0 {
			t.Fatalf("of a copy with a hole it is said: %v", verdict)
		}
	}
}
