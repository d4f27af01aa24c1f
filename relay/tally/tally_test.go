package tally

import (
	"testing"
	"time"
)

// The sentence about a job says what was tried, what came back, why it ended and what follows.
func TestTallyWords(t *testing.T) {
	at := time.Unix(1700000000, 0)
	f := func(due int, end End, want string, outcomes ...Outcome) {
		t.Helper()
		var b Board
		b.Begin(7, at, due)
		for _, o := range outcomes {
			for range o.Count {
				b.Note(o.Outcome, o.Status, o.Outcome != "auth", o.Outcome == "success")
			}
		}
		if end.Why != "" {
			b.End(end)
		}
		if got := b.Last().Summary; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	// Nothing was acknowledged.
	f(336, End{At: at, Why: Done, Status: "Defective"},
		"336 tried, 0 acknowledged (503 × 336); still Defective", Outcome{"status", 503, 336})
	// All was.
	f(2, End{At: at, Why: Done, Status: "Enabled"}, "2 tried, 2 acknowledged; Enabled",
		Outcome{"success", 200, 2})
	// Some was; the most frequent comes first.
	f(5, End{At: at, Why: Done, Status: "Enabled"},
		"5 tried, 2 acknowledged (timeout × 3, 200 × 2); Enabled", Outcome{"success", 200, 2},
		Outcome{"timeout", 0, 3})
	// It ended early.
	f(336, End{At: at, Why: Unreachable, InARow: 64, Status: "Defective"},
		"64 tried, 0 acknowledged (connect × 64); 64 connection failures in a row ended it; "+
			"272 were left for the next tick; still Defective", Outcome{"connect", 0, 64})
	f(2, End{At: at, Why: Held, Status: "Paused"},
		"1 tried, 0 acknowledged (410 × 1); the target was paused or asked to be left alone, which "+
			"ended it; 1 was left for the next tick; Paused", Outcome{"status", 410, 1})
	// An attempt that was none is no try.
	f(1, End{At: at, Why: Done, Status: "Enabled"},
		"0 tried, 0 acknowledged (auth × 1); 1 was left for the next tick; still Enabled",
		Outcome{"auth", 0, 1})
	// It runs.
	f(9, End{}, "1 tried, 0 acknowledged (503 × 1)", Outcome{"status", 503, 1})
}

// What is told apart is bounded, and nothing goes uncounted.
func TestTallyBounded(t *testing.T) {
	var b Board
	b.Begin(1, time.Unix(1, 0), 100)
	for status := range 100 {
		b.Note("status", 400+status, true, false)
	}
	j, sum := b.Last(), 0
	for _, o := range j.Outcomes {
		sum += o.Count
	}
	if len(j.Outcomes) > outcomesMax || sum != 100 || j.Tried != 100 || j.Outcomes[0].Outcome != "other" {
		t.Errorf("%d outcomes with %d in sum: %+v", len(j.Outcomes), sum, j)
	}
}

// Who asked is told of the job that was asked for or a later one, once; of an earlier one only where
// no other follows.
func TestTallyTell(t *testing.T) {
	var b Board
	told := map[string]uint64{}
	ask := func(name string, number uint64) {
		b.Ask(number, func(j *Job) { told[name] += j.Number })
	}
	want := func(want map[string]uint64) {
		t.Helper()
		for _, name := range []string{"before", "during", "nobody"} {
			if told[name] != want[name] {
				t.Errorf("told %v, want %v", told, want)
			}
		}
	}
	b.Tell(9) // there was none
	ask("before", 3)
	b.Begin(3, time.Unix(1, 0), 1)
	ask("during", 5)
	b.Tell(0) // it runs
	want(map[string]uint64{})
	b.End(End{At: time.Unix(2, 0), Why: Done})
	b.Tell(0)
	want(map[string]uint64{"before": 3})
	// The job after it has nothing to do, so this one stands for both.
	b.Tell(b.Asked())
	want(map[string]uint64{"before": 3, "during": 5})
	b.Tell(b.Asked())
	want(map[string]uint64{"before": 3, "during": 5})
	if n := b.Last().Number; n != 5 {
		t.Errorf("the last job is number %d", n)
	}
}
