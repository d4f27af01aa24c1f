package testenv

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// nightEvents are how many events each target is owed.
const nightEvents = 6

// readyNight has three relays whose targets have a night behind them.
func readyNight(t *testing.T) (f *Fleet, ids []string) {
	f = readyFleet(t, 3, "well", "fails", "slow")
	f.Ledger.AllowGaps()
	f.RX.Always("fails", Code(503))
	f.StartAll()
	ids = f.SendIDs("order", nightEvents)
	f.RX.Await("fails", nightEvents)
	f.RX.Await("slow", nightEvents)
	Until(t, Patience, "what was delivered to be settled", func() bool {
		for _, r := range f.Relays {
			if r.Target("well").Delivered != nightEvents || r.Target("slow").Delivered != nightEvents ||
				len(r.Deliveries("fails", "pending")) != nightEvents ||
				r.Target("fails").LastError == nil {
				return false
			}
		}
		return true
	})
	f.Relay.tells(0, []string{"fails is Paused"}, "pause", "fails")
	return f, ids
}

// nightAnswer is what a relay says to one question of the night page, without what grows older.
func nightAnswer(t *testing.T, r *Relay, args ...string) string {
	t.Helper()
	began := time.Now()
	out := r.CLI(args...)
	if took := time.Since(began); took > Patience {
		t.Errorf("hookspool %s took %s", strings.Join(args, " "), took)
	}
	if out.Code != 0 {
		t.Errorf("hookspool %s: %+v", strings.Join(args, " "), out)
	}
	if args[0] == "attempts" {
		return keptOf(t, out.Stdout)
	}
	return regexp.MustCompile(`"curl": "curl -i http://127.0.0.1:\d+/`).ReplaceAllString(out.Stdout,
		`"curl": "curl -i http://ITSELF/`)
}

// keptOf is what of attempts every relay keeps. The one that made them remembers a while longer what
// a receipt does not have: from where it was answered, and each part of a millisecond.
func keptOf(t *testing.T, text string) string {
	t.Helper()
	var kept struct {
		Attempts []struct {
			Target, Outcome, Error, Snippet, Curl string
			Attempt, Status                       int
			Replay                                bool
			At                                    time.Time
			Request, Response                     any
		}
	}
	if err := json.Unmarshal([]byte(text), &kept); err != nil {
		t.Fatal(err)
	}
	for i := range kept.Attempts {
		kept.Attempts[i].At = kept.Attempts[i].At.Truncate(time.Millisecond)
	}
	return fmt.Sprintf("%+v", kept)
}

// TestFleetNight asks every question of the page for the night at each of three relays. All know the
// same; when one of them stands still and until another has its targets, the others say what they
// do not know; and when that has happened they know everything again.
func TestFleetNight(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	f, ids := readyNight(t)
	questions := [][]string{
		{"events", ids[0], "--json"},
		{"events", ids[0]},
		{"attempts", ids[1], "--json"},
		{"failures", "fails", "--json"},
		{"actions", "--since", "24h", "--json"},
		{"deliveries", "--target", "fails", "--json"},
		{"replay", "--target", "well", "--where", "n=1", "--state", "delivered", "--since", "1h",
			"--dry-run"},
		{"events", "--where", "n=2", "--json"},
	}
	same := func(when string, relays []*Relay) {
		t.Helper()
		for _, q := range questions {
			var told []string
			equal := Eventually(Patience, func() bool {
				told = nil
				for _, r := range relays {
					told = append(told, nightAnswer(t, r, q...))
				}
				for _, other := range told {
					if other != told[0] {
						return false
					}
				}
				return len(told[0]) > 20
			})
			if !equal {
				t.Errorf("%s the relays answer hookspool %s with\n%s", when, strings.Join(q, " "),
					strings.Join(told, "\n"))
			}
		}
	}
	same("while all are there", f.Relays)
	f.wantPast("while all are there", f.Relays, "")
	down := f.OwnerOf("slow")
	var rest []*Relay
	for i, r := range f.Relays {
		if i != down {
			rest = append(rest, r)
		}
	}
	f.Relays[down].Signal(syscall.SIGSTOP)
	for _, r := range rest {
		f.wantUnknown(r, fmt.Sprint("r", down))
	}
	same("while one stands still", rest)
	Until(t, 2*Patience, "others to serve its targets", func() bool {
		return rest[0].Target("slow").Relay != fmt.Sprint("r", down)
	})
	f.Relays[down].Kill()
	f.crashes++
	same("after another has its targets", rest)
	f.RX.Always("fails", OK())
	rest[0].tells(0, []string{"fails is Enabled"}, "resume", "fails")
	rest[1].tells(0, []string{"acknowledged"}, "retry", "fails")
	f.Ledger.relay = rest[0]
	f.Ledger.AwaitDelivered()
	same("after all is delivered", rest)
}

// TestFleetPast lets a relay leave in order and come back, so that targets move twice: nothing of
// what happened is lost, and no relay tells it late.
func TestFleetPast(t *testing.T) {
	t.Parallel()
	f := readyFleet(t, 2, "well", "slow", "fails")
	f.RX.Always("fails", Code(503))
	f.StartAll()
	f.SendIDs("order", nightEvents)
	for name := range f.Relay.Targets() {
		f.RX.Await(name, nightEvents)
	}
	f.wantPast("while both are there", f.Relays, "")
	leaves := f.OwnerOf("well")
	other := f.Relays[1-leaves]
	f.Relays[leaves].Signal(syscall.SIGTERM)
	if code := f.Relays[leaves].WaitExit(); code != 0 {
		t.Errorf("it left with code %d", code)
	}
	f.wantPast("after one has left", []*Relay{other}, "")
	f.Relays[leaves].Start()
	f.AwaitEven()
	f.wantPast("after it has come back", f.Relays, "")
	f.Ledger.relay = other
	f.RX.Always("fails", OK())
	other.tells(0, []string{"acknowledged"}, "retry", "fails")
	f.Ledger.AwaitDelivered()
}

// wantPast asserts that the relays tell the same of what happened, all of it, and know it.
func (f *Fleet) wantPast(when string, relays []*Relay, unknown string) {
	f.t.Helper()
	for target, want := range map[string]string{
		"well":  fmt.Sprintf("%d accepted, %d delivered", nightEvents, nightEvents),
		"slow":  fmt.Sprintf("%d accepted, %d delivered", nightEvents, nightEvents),
		"fails": fmt.Sprintf("%d accepted, 0 delivered, %d status", nightEvents, nightEvents),
		"": fmt.Sprintf("%d accepted, %d delivered, %d status, 0 refused, 0 unmatched", nightEvents,
			2*nightEvents, nightEvents),
	} {
		for i, r := range relays {
			for _, span := range []string{"1h", "24h", "30d"} {
				var got string
				var h happened
				if !Eventually(Patience, func() bool {
					h = r.history(target, span)
					got = h.sums()
					return got == want && h.UnknownWhy == unknown
				}) {
					f.t.Errorf("%s in %s at %q relay %d says that happened %q, want %q; not known: %q", when,
						span, target, i, got, want, h.UnknownWhy)
				}
			}
		}
	}
}

// wantUnknown asserts that a relay says that it does not know what another one does and counts.
func (f *Fleet) wantUnknown(r *Relay, silent string) {
	f.t.Helper()
	var listed struct {
		Targets []struct {
			Name, Relay string
			InFlight    *int `json:"in_flight"`
		}
	}
	// What it said just before is good for a moment.
	Until(f.t, Patience, "what "+silent+" has in flight to be unknown", func() bool {
		code, body := r.Admin("GET", "/v1/targets")
		if code != 200 || json.Unmarshal(body, &listed) != nil {
			f.t.Fatalf("targets: %d %s", code, body)
		}
		for _, l := range listed.Targets {
			if l.Relay == silent && l.InFlight != nil {
				return false
			}
		}
		return true
	})
	h := r.history("slow", "1h")
	moved := r.Target("slow").Relay != silent // by now, on a machine that is slow
	if h.UnknownFrom == nil && !moved {
		f.t.Errorf("what %s has counted is known: %+v", silent, h)
	}
	if n := len(h.UnknownWhy); (h.UnknownFrom == nil) != (n == 0) {
		f.t.Errorf("unknown since %v: %q", h.UnknownFrom, h.UnknownWhy)
	}
	if !moved {
		out := r.CLI("history", "slow")
		if !strings.Contains(out.Stdout, "not known: ") && r.Target("slow").Relay == silent {
			f.t.Errorf("hookspool history: %s", out.Stdout)
		}
	}
}
