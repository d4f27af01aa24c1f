package testenv

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// receipts are the deliveries of some events, by event and target.
func (j *Journey) receipts(ids []string) map[string]Delivery {
	j.t.Helper()
	all := make(map[string]Delivery)
	for _, id := range ids {
		for _, d := range j.Event(id).Deliveries {
			all[id+" "+d.Target] = d
		}
	}
	return all
}

// awaitNonePending waits until the relay says that nothing is owed, which is a little after the receiver has
// answered.
func (j *Journey) awaitNonePending() {
	j.t.Helper()
	Until(j.t, Patience, "deliveries", func() bool { return j.Status().Pending == 0 })
}

// wantReceipt compares what is told of a delivery with what its receiver saw.
func (j *Journey) wantReceipt(when, id string, d *Delivery, requests []Request) {
	j.t.Helper()
	if d.State != "delivered" || d.DeliveredAt == nil || d.Status == nil || d.Duration == nil {
		j.t.Errorf("%s, %s is %s at %s, delivered at %v with %v after %v", when, id, d.State, d.Target,
			d.DeliveredAt, d.Status, d.Duration)
		return
	}
	if d.DeliveredAt.Nanosecond()%int(time.Millisecond) != 0 {
		j.t.Errorf("%s, %s is delivered at %s, which is no whole millisecond", when, id, d.DeliveredAt)
	}
	near := slices.ContainsFunc(requests, func(r Request) bool {
		ended := r.At.Add(time.Duration(*d.Duration * float64(time.Millisecond)))
		return r.ID == id && r.Answered == *d.Status &&
			math.Abs(float64(d.DeliveredAt.Sub(ended))) < float64(20*time.Second)
	})
	if !near {
		j.t.Errorf("%s, %s is told as delivered to %s at %s with %d after %g ms; the receiver saw none "+
			"such", when, id, d.Target, d.DeliveredAt, *d.Status, *d.Duration)
	}
}

// TestP1Receipts asserts that every delivered delivery tells when, with which status, after how many
// attempts and how long it took: one that succeeded at once, one that was retried, one that was
// replayed; in the API, the CLI and the export; the same before and after a kill and a clean
// restart.
func TestP1Receipts(t *testing.T) {
	effort.OnlyLong(t, "it waits for ticks")
	t.Parallel()
	j := NewJourney(t).Aim("crm", "slow")
	j.Config.Set("retry.interval", "100ms")
	j.RX.Always("slow", Slow(30*time.Millisecond, OK()))
	j.Config.Target("flaky", j.RX.URL("flaky"))
	j.RX.On("flaky", func(req *Request) Reply {
		if req.NthOfID <= 2 {
			return Code(503)
		}
		return OK()
	})
	j.Start()
	ids := j.SendIDs("order", 300)
	j.Ledger.AwaitDelivered()
	j.awaitNonePending()
	before := j.receipts(ids)
	check := func(when string) {
		t.Helper()
		now := j.receipts(ids)
		for key, d := range now {
			id, target, _ := strings.Cut(key, " ")
			j.wantReceipt(when, id, &d, j.RX.Requests(target))
			attempts := map[string]int{"crm": 1, "slow": 1, "flaky": 3}[target]
			if d.Attempts != attempts && j.Crashes() == 0 {
				t.Errorf("%s, %s took %d attempts to %s; want %d", when, id, d.Attempts, target, attempts)
			}
			if old := before[key]; !d.DeliveredAt.Equal(*old.DeliveredAt) &&
				d.DeliveredAt.Before(*old.DeliveredAt) {
				t.Errorf("%s, %s was delivered at %s; before that, at %s", when, key, d.DeliveredAt,
					old.DeliveredAt)
			}
		}
		if n := len(now); n != 3*len(ids) {
			t.Errorf("%s, there are %d deliveries", when, n)
		}
	}
	check("at first")
	j.Restart()
	check("after a restart")
	same := j.receipts(ids)
	for key, d := range same {
		if !d.DeliveredAt.Equal(*before[key].DeliveredAt) || *d.Duration != *before[key].Duration {
			t.Errorf("a restart has changed %s", key)
		}
	}
	more := j.SendIDs("late", 200) // the last of them may be delivered again after the kill
	j.Kill()
	j.Start()
	j.awaitNonePending()
	ids = append(ids, more...)
	before = j.receipts(ids)
	check("after a kill")
	j.wantToldByCLI(ids[0])
	if out := j.CLI("replay", "--target", "crm", "--state", "delivered", "--id", ids[0],
		"--yes"); out.Code != 0 {
		t.Fatalf("cannot replay: %s", out.Stderr)
	}
	j.awaitNonePending()
	Until(t, Patience, "the replay", func() bool {
		d := j.receipts(ids[:1])[ids[0]+" crm"]
		return d.State == "delivered" && d.DeliveredAt.After(*before[ids[0]+" crm"].DeliveredAt)
	})
	check("after a replay")
}

// wantToldByCLI asserts that an event's deliveries say when in all that a person looks at.
func (j *Journey) wantToldByCLI(id string) {
	j.t.Helper()
	f := func(pattern string, args ...string) {
		j.t.Helper()
		out := j.CLI(args...)
		if out.Code != 0 || !regexp.MustCompile(pattern).MatchString(out.Stdout) {
			j.t.Errorf("hookspool %s does not say %s:\n%s%s", strings.Join(args, " "), pattern, tail(
				out.Stdout), out.Stderr)
		}
	}
	const clock = `\d\d:\d\d:\d\d`
	f(`(?m)^crm +delivered +1 .*`+clock+`\.\d{3}, 200, [\d.]+ ms$`, "events", id)
	f(`(?m)^slow +delivered +1 .*`+clock+`\.\d{3}, 200, [\d.]+ ms$`, "events", id)
	f(`(?m)^flaky +delivered +3 .*`+clock+`\.\d{3}, 200, [\d.]+ ms$`, "events", id)
	f(clock+`\.\d{3} UTC, 200, [\d.]+ ms`, "deliveries", "--target", "slow", "--state", "delivered")
	f(`delivered: .*crm `+clock, "events", "--limit", "5")
	f(`(?m)success`, "attempts", id, "--target", "slow")
	lines, told := 0, 0
	for s := bufio.NewScanner(strings.NewReader(j.CLI("spool", "export", "--all").Stdout)); s.Scan(); {
		var x struct{ Targets []map[string]any }
		if err := json.Unmarshal(s.Bytes(), &x); err != nil {
			j.t.Fatal(err)
		}
		lines++
		for _, target := range x.Targets {
			if fmt.Sprint(target["status"], target["delivered_at"]) != "<nil> <nil>" {
				told++
			}
		}
	}
	if told != 3*lines || lines == 0 {
		j.t.Errorf("an export of %d events says of %d deliveries when they were", lines, told)
	}
}
