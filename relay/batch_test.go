package relay

import (
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/relay/config"
	"github.com/hookspool/hookspool/spool/record"
)

// gathered adds deliveries until one does not go with the others, and returns how many did.
func gathered(t *testing.T, b *config.Batch, tasks ...task) int {
	t.Helper()
	r := &Relay{}
	r.setup.Store(&setup{cfg: &config.Config{Server: config.Server{MaxBodySize: 1000}}})
	g := gathering{l: &lane{r: r}}
	w := &work{target: &config.Target{Batch: *b}}
	for i := range tasks {
		if !g.add(&tasks[i], w) {
			if g.take(); !g.add(&tasks[i], w) {
				t.Error("what does not go with others does not go alone")
			}
			return i
		}
	}
	return len(tasks)
}

// delivery is a task with an event of so many bytes.
func delivery(attempts, bytes int, typ string) task {
	payload := []byte(`"` + strings.Repeat("x", max(bytes-2, 0)) + `"`)
	e := record.Sealed(record.NewEvent(record.Parts{ID: "e", Given: true, Type: typ,
		ContentType: "application/json", Payload: payload}, record.Seal{}))
	e.At = time.Unix(1, 0)
	return task{event: e, attempts: attempts}
}

// What goes in one request: no more than the target wants, half of that after each failure of any of
// them, replays by themselves, no more bytes than a relay takes, and alone what cannot be carried.
func TestGathering(t *testing.T) {
	t.Parallel()
	b := &config.Batch{MaxEvents: 8, Format: "cloudevents"}
	f := func(want int, tasks ...task) {
		t.Helper()
		if got := gathered(t, b, tasks...); got != want {
			t.Errorf("%d of %d go together, want %d", got, len(tasks), want)
		}
	}
	several := func(n int, like task) (out []task) {
		for range n {
			out = append(out, like)
		}
		return out
	}
	f(8, several(9, delivery(0, 10, "m"))...)
	f(4, several(9, delivery(1, 10, "m"))...)
	f(1, several(9, delivery(3, 10, "m"))...)
	f(1, several(9, delivery(144, 10, "m"))...)
	f(2, append(several(1, delivery(2, 10, "m")), several(8, delivery(0, 10, "m"))...)...)
	f(3, append(several(3, delivery(0, 10, "m")), delivery(2, 10, "m"))...)
	f(2, append(several(2, delivery(0, 10, "m")), delivery(0, 10, ""))...)
	f(1, delivery(0, 10, ""), delivery(0, 10, "m"))
	f(1, delivery(0, 990, "m"), delivery(0, 10, "m"))
	replay := delivery(0, 10, "m")
	replay.replay = true
	f(1, delivery(0, 10, "m"), replay)
	f(2, replay, replay)
	b.MaxEvents = 100
	if n := gathered(t, b, several(100, delivery(0, 500, "m"))...); n < 16 || n > 32 {
		t.Errorf("%d of 500 bytes go together; 16,000 bytes is what a relay takes", n)
	}
}
