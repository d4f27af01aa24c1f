package testenv

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"
)

// orderWatch is a receiver that knows in which order the events of a target were accepted, and holds
// every attempt to it: nothing is attempted while an event of the same key before it was neither
// acknowledged nor given up.
type orderWatch struct {
	most int // requests of a delivery

	mu       sync.Mutex // guards below
	accepted map[string][]string
	place    map[string]int // of an id among those of its key
	good     map[string]int
	seen     map[string]int
	lasts    map[string]map[int]bool
	faults   []string
}

func newOrderWatch(most int) *orderWatch {
	return &orderWatch{most: most, accepted: map[string][]string{}, place: map[string]int{},
		good: map[string]int{}, seen: map[string]int{}, lasts: map[string]map[int]bool{}}
}

// will is called before an event is posted: its attempt may come before the answer does.
func (w *orderWatch) will(key, id string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.place[id] = len(w.accepted[key])
	w.accepted[key] = append(w.accepted[key], id)
}

// script answers as fails says, and notes what is out of order.
func (w *orderWatch) script(keyOf func(*Request) string, fails func(*Request) bool) Script {
	return func(req *Request) Reply {
		w.mu.Lock()
		defer w.mu.Unlock()
		key := keyOf(req)
		for _, before := range w.accepted[key][:w.place[req.ID]] {
			if w.good[before] == 0 && len(w.lasts[before]) < w.most {
				w.faults = append(w.faults, fmt.Sprintf("attempt %d of %s came while %s was pending",
					req.Attempt, req.ID, before))
				break
			}
		}
		if w.lasts[req.ID] == nil {
			w.lasts[req.ID] = map[int]bool{}
		}
		w.lasts[req.ID][req.Attempt] = true
		w.seen[req.ID]++
		if fails(req) {
			return Code(503)
		}
		w.good[req.ID]++
		return OK()
	}
}

func (w *orderWatch) check(t *testing.T) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.faults); n > 0 {
		t.Errorf("%d attempts out of order, such as: %s", n, w.faults[0])
	}
}

// bodyKey is the key in a test's payload.
func bodyKey(req *Request) string {
	var p struct{ Key string }
	_ = json.Unmarshal(req.Body, &p)
	return p.Key
}

// TestOrderAll lets a target with order = "all" fail now and then: one at a time is attempted, what
// waits costs no attempt and no record, and goes on in the job in which the one before it is
// acknowledged.
func TestOrderAll(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Set("retry.interval", "1h").Target("all", j.RX.URL("all"), "order", "all")
	w := newOrderWatch(attemptsMax + 1)
	down := true
	j.RX.On("all", w.script(func(*Request) string { return "" }, func(*Request) bool { return down }))
	j.Start()
	const events = 500
	for n := range events {
		id := fmt.Sprint("e", n)
		w.will("", id)
		j.Send(Post{ID: id, Body: fmt.Appendf(nil, `{"eventType":"message","n":%d}`, n)})
	}
	Until(t, Patience, "the first to fail", func() bool {
		return j.Target("all").LastError != nil
	})
	if n := j.RX.Count("all"); n != 1 {
		t.Errorf("%d requests; the first has failed, and the rest waits", n)
	}
	j.Restart()
	if target := j.Target("all"); target.Pending != events || j.RX.Count("all") != 1 {
		t.Errorf("after a restart %+v, %d requests", target, j.RX.Count("all"))
	}
	w.mu.Lock()
	down = false
	w.mu.Unlock()
	j.Verb("retry", "all")
	Until(t, Patience, "all of them", func() bool { return j.Target("all").Delivered == events })
	w.check(t)
	if n, peak := j.RX.Count("all"), j.RX.Peak("all"); n != events+1 || peak != 1 {
		t.Errorf("%d requests, up to %d at once; want %d, 1", n, peak, events+1)
	}
	for _, req := range j.RX.Requests("all")[1:] {
		if want := min(req.Nth-2, 1); req.Attempt != 0 && (req.ID != "e0" || want > 0) {
			t.Errorf("%s is attempt %d", req.ID, req.Attempt)
		}
	}
}

// TestOrderBy has one dead key among healthy ones: those go on live, the dead one's events wait and
// cost no attempt, and go on in the job in which the first is acknowledged, in their order.
func TestOrderBy(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Set("retry.interval", "1h").Target("by", j.RX.URL("by"), "order", "by .key")
	w := newOrderWatch(attemptsMax + 1)
	dead := "b"
	j.RX.On("by", w.script(bodyKey, func(req *Request) bool { return bodyKey(req) == dead }))
	j.Start()
	const events = 300
	for n := range events {
		id, key := fmt.Sprint("e", n), string(rune('a'+n%3))
		w.will(key, id)
		j.Send(Post{ID: id, Body: fmt.Appendf(nil, `{"eventType":"message","key":%q}`, key)})
	}
	Until(t, Patience, "the other keys", func() bool { return j.Target("by").Delivered == events/3*2 })
	Until(t, Patience, "what waits to be set beside the log", func() bool {
		return len(j.Deliveries("by", "pending")) == events/3 && j.RX.Count("by") == events/3*2+1
	})
	j.Kill()
	j.Start()
	j.Verb("retry", "by")
	Until(t, Patience, "a job that tries the first alone", func() bool {
		return j.RX.CountID("by", "e1") == 2 && j.Metrics().Get("retry_jobs_total", "target", "by", "result",
			"failed") == 1
	})
	w.mu.Lock()
	dead = ""
	w.mu.Unlock()
	before := j.RX.Count("by")
	j.Verb("retry", "by")
	Until(t, Patience, "all of them", func() bool { return j.Target("by").Pending == 0 })
	if n := j.RX.Count("by") - before; n != events/3 {
		t.Errorf("the job made %d requests; want %d", n, events/3)
	}
	w.check(t)
}

// TestOrderModel posts events of a few keys to targets with both orders, which fail as chance has
// it, some for good, while the relay is killed, restarted, paused and resumed, and what was
// delivered is replayed. No attempt ever comes while one before it is pending.
func TestOrderModel(t *testing.T) {
	t.Parallel()
	rng := Seed(t)
	j := NewJourney(t)
	const most = 4
	j.Config.Set("retry.interval", "50ms").Set("retry.max_attempts", most-1).
		Set("defect.after_failed_jobs", 5).
		Target("all", j.RX.URL("all"), "order", "all").
		Target("by", j.RX.URL("by"), "order", "by .key", "concurrency", 8)
	watches := map[string]*orderWatch{"all": newOrderWatch(most), "by": newOrderWatch(most)}
	fails := func(req *Request) bool { return (len(req.Body)*7+req.Attempt*3)%11 < 3 }
	j.RX.On("by", watches["by"].script(bodyKey, fails))
	j.RX.On("all", watches["all"].script(func(*Request) string { return "" }, fails))
	j.Start()
	for n := range 600 {
		id, key := fmt.Sprint("e", n), fmt.Sprint(rng.IntN(6))
		watches["by"].will(key, id)
		watches["all"].will("", id)
		pad := make([]byte, rng.IntN(40))
		for i := range pad {
			pad[i] = 'x'
		}
		j.Send(Post{ID: id, Body: fmt.Appendf(nil, `{"eventType":"message","key":%q,"pad":%q}`, key, pad)})
		j.disturb(rng, n)
	}
	for _, target := range []string{"all", "by"} {
		j.Verb("resume", target)
		Until(t, 2*Patience, "nothing to be pending for "+target, func() bool {
			return j.Target(target).Pending == 0
		})
		watches[target].check(t)
		delivered := j.Target(target).Delivered + j.Target(target).Exhausted
		if delivered != 600 {
			t.Errorf("%s: %d are delivered or exhausted", target, delivered)
		}
	}
}

// TestOrderByHand replays, purges and pauses what others wait for.
func TestOrderByHand(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Config.Set("retry.interval", "1h").Target("by", j.RX.URL("by"), "order", "by .key")
	j.Start()
	send := func(id string) {
		j.Send(Post{ID: id, Body: []byte(`{"eventType":"message","key":"a"}`)})
	}
	ids := func() (ids []string) {
		for _, req := range j.RX.Requests("by") {
			ids = append(ids, req.ID)
		}
		return ids
	}
	send("one")
	Until(t, Patience, "the first", func() bool { return j.Target("by").Delivered == 1 })
	j.RX.Always("by", Code(503))
	if out := j.CLI("replay", "--id", "one", "--state", "delivered"); out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	Until(t, Patience, "the replay to fail", func() bool {
		list := j.Deliveries("by", "pending")
		return len(list) == 1 && list[0].Attempts == 1
	})
	send("two")
	send("three")
	Until(t, Patience, "what waits", func() bool { return len(j.Deliveries("by", "pending")) == 3 })
	j.Verb("pause", "by")
	send("four")
	j.Verb("resume", "by")
	Until(t, Patience, "what came while it was paused to wait as well", func() bool {
		return len(j.Deliveries("by", "pending")) == 4
	})
	if got := ids(); !slices.Equal(got, []string{"one", "one"}) {
		t.Errorf("attempted: %v", got)
	}
	if out := j.CLI("purge", "--target", "by", "--id", "one", "--yes"); out.Code != 0 {
		t.Fatalf("%+v", out)
	}
	j.RX.Always("by", OK())
	j.Verb("retry", "by")
	Until(t, Patience, "the rest", func() bool { return j.Target("by").Pending == 0 })
	send("five")
	Until(t, Patience, "the last", func() bool { return j.Target("by").Delivered == 5 })
	if got := ids()[2:]; !slices.Equal(got, []string{"two", "three", "four", "five"}) {
		t.Errorf("attempted after the purge: %v", got)
	}
}

// TestOrderChanges gives targets another order while deliveries are pending, have failed without one
// or with another, or are replayed: from then on they go in it, all in one job, and what is new
// comes after them.
func TestOrderChanges(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after string }{
		"all": {"none", "all"}, "by": {"none", "by .key"}, "other": {"by .n", "by .key"},
		"wider": {"by .key", "all"}, "narrower": {"all", "by .key"}, "off": {"by .key", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			j := NewJourney(t)
			j.Config.Set("retry.interval", "1h").Target("x", j.RX.URL("x"), "order", c.before)
			j.RX.Always("x", Code(500))
			j.Start()
			send := func(from, to int) {
				for n := from; n < to; n++ {
					j.Send(Post{ID: fmt.Sprintf("e%03d", n),
						Body: fmt.Appendf(nil, `{"eventType":"message","key":"k","n":%d}`, n)})
				}
			}
			send(0, 20)
			if c.before == "none" || c.before == "by .n" {
				j.AwaitFailed("x", 20)
			} else {
				Until(t, Patience, "the first to fail", func() bool { return j.Target("x").LastError != nil })
			}
			j.Config.Target("x", j.RX.URL("x"), "order", c.after)
			j.Reload()
			if name == "wider" || name == "by" {
				j.Kill()
				j.Start()
			}
			before := j.RX.Count("x")
			j.RX.Always("x", OK())
			send(20, 25)
			j.Verb("retry", "x")
			Until(t, Patience, "all of them", func() bool { return j.Target("x").Delivered == 25 })
			var ids []string
			for _, req := range j.RX.Requests("x")[before:] {
				ids = append(ids, req.ID)
			}
			if len(ids) != 25 || c.after != "none" && !slices.IsSorted(ids) {
				t.Errorf("they came as %v", ids)
			}
		})
	}
}

func (j *Journey) disturb(rng *rand.Rand, n int) {
	target := []string{"all", "by"}[rng.IntN(2)]
	switch {
	case n%97 == 96:
		j.Kill()
		j.Start()
	case n%151 == 150:
		j.Restart()
	case n%40 == 20:
		j.Verb("pause", target)
	case n%40 == 35:
		j.Verb("resume", "all")
		j.Verb("resume", "by")
	case n%25 == 7:
		<-time.After(time.Duration(rng.IntN(100)) * time.Millisecond)
	}
}
