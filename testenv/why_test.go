package testenv

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hookspool/hookspool/testenv/effort"
)

// TestWhyInEveryState brings a delivery into each state and asserts that the same sentence says so
// in the API, in a page of it, and in the verbs, and that its fields are those of the config.
func TestWhyInEveryState(t *testing.T) {
	t.Parallel()
	j := NewJourney(t)
	j.Ledger.AllowGaps()
	const hour = time.Hour
	j.Config.Set("retry.interval", "1h").Set("retry.max_attempts", 7).
		Set("defect.after_failed_jobs", 1).Set("spool.keep_delivered", "5h").
		Set("spool.keep_exhausted", "50h").Set("server.drain_timeout", "2s")
	j.whyTargets()
	j.Start()
	j.Send(Post{Type: "gone", ID: "one-gone", Body: []byte(`{}`)})
	j.Relay.Post(Post{Type: "purged", ID: "one-purged", Body: []byte(`{}`)}) // none of the ledger's
	j.Verb("pause", "hand")
	one := j.Send(Post{Type: "t", ID: "one", Body: []byte(`{"k":1}`)})
	j.bringIntoStates(one.ID)
	two := j.Send(Post{Type: "order", ID: "two", Body: []byte(`{"k":1}`)})
	j.RX.AwaitID("rate", one.ID)
	Until(t, Patience, "the second of the order", func() bool {
		return strings.Contains(j.Why(two.ID, "order").Why, "comes after one")
	})
	next := *j.Status().NextTick
	accepted := j.Event(one.ID).AcceptedAt
	f := func(id, target, why, hint string, at time.Time, left int, exhausts, kept time.Time) {
		t.Helper()
		d := j.Why(id, target)
		if !strings.HasPrefix(d.Why, why) || d.Hint != hint || d.AttemptsLeft != left {
			t.Errorf("%s: %s (%s), %d left; want %s (%s), %d", target, d.Why, d.Hint, d.AttemptsLeft, why,
				hint, left)
		}
		near := func(what string, got *time.Time, want time.Time) {
			t.Helper()
			if (got == nil) != want.IsZero() || got != nil && got.Sub(want).Abs() > time.Second {
				t.Errorf("%s: %s is %v, want %v", target, what, got, want)
			}
		}
		near("next_attempt_at", d.NextAttemptAt, at)
		near("exhausts_at", d.ExhaustsAt, exhausts)
		near("kept_until", d.KeptUntil, kept)
		j.sameEverywhere(id, d)
	}
	never := time.Time{}
	clock := func(at time.Time) string { return at.UTC().Format("15:04:05") + " UTC" }
	retry := func(name string) string {
		return "hookspool sample " + name + ", then hookspool retry " + name
	}
	tick := "next try " + clock(next) + "; "
	if next.UTC().YearDay() != time.Now().UTC().YearDay() {
		tick = "next try " + next.UTC().Format(time.DateOnly+" 15:04:05") + " UTC; "
	}
	f(one.ID, "down", "waiting: the last try failed (answered 503 Service Unavailable); "+tick+
		"7 tries left", retry("down"), next, 7, next.Add(6*hour), never)
	f(one.ID, "untold", "waiting: no request could be made (", retry("untold"), next, 8,
		next.Add(7*hour), never)
	f(one.ID, "bad", "waiting: bad is Defective since ", retry("bad"), next, 5, next.Add(4*hour), never)
	f(one.ID, "own", "waiting: the last try failed (answered 503 Service Unavailable); next try ",
		retry("own"), next.Add(hour), 3, next.Add(7*hour), never) // the start was tick 1, this is 3
	held := *j.Target("held").HeldUntil
	f(one.ID, "held", "held: held asked to be left alone until "+clock(held)+" (Retry-After); "+tick+
		"7 tries left", "hookspool resume held goes on now", next, 7, next.Add(6*hour), never)
	f(one.ID, "hand", "held: hand is paused; 8 tries left", "hookspool resume hand", never, 8, never,
		never)
	const table = `set status = "enabled" in its table and reload`
	f(one.ID, "table", "held: table is paused by the config; 8 tries left", table, never, 8, never, never)
	f(one.ID, "off", "held: off is disabled by the config; 7 tries left", table, never, 7, never, never)
	f(one.ID, "quit", "held: quit is paused since ", "hookspool resume quit", never, 7, never, never)
	f("one-gone", "left", "held: left is not in the config any more", "put its table back and reload; "+
		"or hookspool purge --target left", never, 7, never, never)
	f(two.ID, "order", "waiting: it comes after one in its order (by .k), which failed 1 time; 8 tries "+
		"left", "hookspool events one", never, 8, never, never)
	early := j.Why(one.ID, "early").NextAttemptAt
	f(one.ID, "early", "waiting for an early retry (answered 503 Service Unavailable); next try "+
		clock(*early)+"; 7 tries left", "", j.RX.Requests("early")[0].At.Add(20*time.Minute), 7,
		next.Add(5*hour), never)
	f(two.ID, "rate", "waiting for its turn: 1 not tried yet, 0 under way, at most 1/h; 8 tries "+
		"left", "", never, 8, next.Add(6*hour), never)
	f(one.ID, "slow", "sending: its first try is under way; 8 tries left", "", never, 8,
		next.Add(6*hour), never)
	f(one.ID, "spent", "exhausted: 2 tries failed, the last at ", "hookspool replay --target spent "+
		"--id one", never, 0, never, j.lastAt(one.ID, "spent").Add(50*hour))
	f(one.ID, "old", "expired at ", "hookspool replay --state expired --target old --id one", never, 0,
		never, j.lastAt(one.ID, "old").Add(50*hour))
	f("one-purged", "purged", "purged by hand: it is not sent any more", "", never, 0, never,
		accepted.Add(5*hour))
	f(one.ID, "good", "delivered ", "", never, 0, never, accepted.Add(5*hour))
}

// whyTargets are a target for each state.
func (j *Journey) whyTargets() {
	target := func(name string, settings ...any) {
		j.Config.Target(name, j.RX.URL(name), append([]any{"events", []string{"t", "order"}},
			settings...)...)
		j.RX.Always(name, Code(503))
	}
	j.Config.Target("left", j.RX.URL("left"), "events", []string{"gone"})
	j.RX.Always("left", Code(503))
	target("down")
	target("untold", "transform", `error("no")`)
	target("bad")
	target("own", "max_attempts", 3, "every_ticks", 3)
	target("held")
	j.RX.Always("held", RetryAfter(429, "1200"))
	target("hand")
	target("table", "status", "paused")
	target("off")
	target("quit", "gone", "pause")
	j.RX.Always("quit", Code(410))
	target("order", "order", "by .k")
	target("early", "early_retries", []string{"20m"})
	target("rate", "rate", "1/h")
	target("slow", "timeout", "5m")
	j.RX.Always("slow", Hang())
	target("spent", "max_attempts", 1)
	target("old", "expire", "2s")
	target("purged", "status", "paused", "events", []string{"purged"})
	target("good")
	j.RX.Always("good", OK())
}

// bringIntoStates waits for what comes by itself, and does the rest.
func (j *Journey) bringIntoStates(id string) {
	j.t.Helper()
	for _, name := range []string{"down", "bad", "own", "held", "off", "quit", "order", "early", "spent",
		"old", "left"} {
		j.AwaitFailed(name, 1)
	}
	j.AwaitPending("good", 0)
	j.AwaitStatus("quit", "Paused")
	j.CLI("purge", "--target", "purged", "--yes")
	j.CLI("retry", "spent")
	for n := range 2 {
		j.CLI("retry", "bad")
		j.RX.Await("bad", n+2)
		Until(j.t, Patience, "a failed job", func() bool { return j.Target("bad").FailedJobs == n+1 })
	}
	j.AwaitStatus("bad", "Defective")
	Until(j.t, Patience, "the end of its time", func() bool {
		return time.Since(j.Event(id).AcceptedAt) > 2*time.Second
	})
	j.CLI("retry", "old")
	Until(j.t, Patience, "what expires", func() bool { return j.Target("old").Expired == 1 })
	Until(j.t, Patience, "what is exhausted", func() bool { return j.Target("spent").Exhausted == 1 })
	j.Config.Set("target.off.status", "disabled").Remove("target.left.url").
		Remove("target.left.events")
	j.Reload()
	Until(j.t, Patience, "what hangs", func() bool { return j.Why(id, "slow").State == "pending" })
}

// lastAt is when a delivery was tried, or given up.
func (j *Journey) lastAt(id, target string) time.Time {
	j.t.Helper()
	var e struct {
		Deliveries []struct {
			Target      string    `json:"target"`
			LastAttempt time.Time `json:"last_attempt"`
		} `json:"deliveries"`
	}
	j.mustGet("/v1/events/"+id, &e)
	for _, d := range e.Deliveries {
		if d.Target == target {
			return d.LastAttempt
		}
	}
	return time.Time{}
}

// sameEverywhere asserts that the verbs and the pages have the sentence of a delivery.
func (j *Journey) sameEverywhere(id string, d Delivery) {
	j.t.Helper()
	var pages []Delivery
	if d.State != "purged" {
		var page struct{ Deliveries []Delivery }
		j.mustGet("/v1/deliveries?target="+d.Target+"&state="+d.State, &page)
		pages = append(pages, page.Deliveries...)
		var told struct{ Deliveries []Delivery }
		out := j.CLI("deliveries", "--target", d.Target, "--state", d.State, "--json")
		if err := json.Unmarshal([]byte(out.Stdout), &told); err != nil {
			j.t.Errorf("deliveries --json: %v\n%s", err, out.Stdout)
		}
		pages = append(pages, told.Deliveries...)
	}
	var events struct{ Events []Event }
	j.mustGet("/v1/events?limit=100", &events)
	for _, e := range events.Events {
		if e.ID == id {
			for _, other := range e.Deliveries {
				other.ID = id
				pages = append(pages, other)
			}
		}
	}
	n := 0
	for _, p := range pages {
		if p.ID == id && p.Target == d.Target {
			n++
			if p.Why != d.Why || p.Hint != d.Hint || p.AttemptsLeft != d.AttemptsLeft {
				j.t.Errorf("a page says\n%s; the event\n%s", p.Why, d.Why)
			}
		}
	}
	if want := 3; n != want && !(d.State == "purged" && n == 1) {
		j.t.Errorf("%s is %d times in the pages of %s, want %d", id, n, d.Target, want)
	}
	text := j.CLI("events", id).Stdout
	if !strings.Contains(text, "\n"+d.Target+": "+d.Why+"\n") || !strings.Contains(text, d.Hint) {
		j.t.Errorf("hookspool events says\n%s\nwithout\n%s", text, d.Why)
	}
}

// TestWhyNobodyWantedIt asserts that an event that no target wanted is answered with the reason of
// each, whatever became of the config since, until it is forgotten; and that what was never there is
// told from it.
func TestWhyNobodyWantedIt(t *testing.T) {
	effort.OnlyLong(t, "it takes a minute")
	t.Parallel()
	j := NewJourney(t)
	j.Config.Target("crm", j.RX.URL("crm"), "events", []string{"order*"})
	j.Config.Target("erp", j.RX.URL("erp"), "session", "active")
	j.Config.Target("off", j.RX.URL("off"), "status", "disabled")
	j.Config.Target("de", j.RX.URL("de"), "where", `.country == "DE" and .waId != null`)
	j.Start()
	want := []Unwanted{{"crm", "events", "its events do not match message"},
		{"de", "where", "its where did not hold"},
		{"erp", "session", "session was inactive, it wants active"},
		{"off", "disabled", "it was disabled by the config"}}
	talk := Post{Type: "message", Body: []byte(`{"waId":"1","country":"FR"}`)}
	made := j.wantTargets(talk)
	talk.ID = "given"
	j.wantTargets(talk)
	batch := j.SendBatch([]byte(`{"eventType":"message","waId":"2"}`),
		[]byte(`{"eventType":"message","waId":"2","n":2}`))
	j.Config.Target("crm", j.RX.URL("crm"), "events", []string{"*"})
	j.Reload()
	for _, id := range []string{made.ID, "given", batch.Events[1].ID} {
		e := j.Event(id)
		if e.ID != id || e.Type != "message" || e.Session != "inactive" || len(e.Deliveries) != 0 ||
			!slices.Equal(e.Unwanted, want) || time.Since(e.AcceptedAt) > time.Minute {
			t.Errorf("it says %+v", e)
		}
		const why = "no target wanted it: crm: its events do not match message; de: its where did not " +
			"hold; erp: session was inactive, it wants active; off: it was disabled by the config"
		out := j.CLI("events", id)
		if e.Why != why || out.Code != 0 || !strings.Contains(out.Stdout, why) {
			t.Errorf("it says %s\n%s", e.Why, out.Stdout)
		}
		for _, verb := range [][]string{{"attempts", id}, {"events", id, "--payload"},
			{"replay", "--id", id, "--yes"}} {
			out := j.CLI(verb...)
			if out.Code != 1 || !strings.Contains(out.Stderr, "no target wanted event") ||
				!strings.Contains(out.Stderr, "hookspool events "+id) {
				t.Errorf("hookspool %s says %s", strings.Join(verb, " "), out.Stderr)
			}
		}
	}
	out := j.CLI("events", "never")
	if out.Code != 1 || !strings.Contains(out.Stderr, `there is no event "never"`) ||
		!strings.Contains(out.Stderr, "the newest 4096 since the start are remembered") {
		t.Errorf("of what was never there: %+v", out)
	}
}

// TestFleetWhy asserts that each relay knows what those know that serve a target, or have accepted
// an event that nobody wanted.
func TestFleetWhy(t *testing.T) {
	effort.OnlyLong(t, "a cluster that breaks takes its time")
	t.Parallel()
	f := readyFleet(t, 2, "a", "b")
	f.Config.Set("target.a.early_retries", []string{"20m"}).Set("target.a.events", []string{"t"}).
		Set("target.b.events", []string{"t"})
	f.RX.Always("a", Code(503))
	f.StartAll()
	f.PostTo(0, Post{ID: "one", Type: "t", Body: []byte(`{}`)})
	f.PostTo(1, Post{ID: "none", Type: "x", Body: []byte(`{}`)})
	owner := f.OwnerOf("a")
	for i, r := range f.Relays {
		Until(t, Patience, "the early retry", func() bool {
			var e Event
			return r.client.get("/v1/events/one", &e) == nil && len(e.Deliveries) == 2 &&
				strings.HasPrefix(e.Deliveries[0].Why, "waiting for an early retry")
		})
		var e Event
		r.mustGet("/v1/events/none", &e)
		if e.Why != "no target wanted it: a: its events do not match x; b: its events do not match x" {
			t.Errorf("relay %d of a, which %d serves, says %q", i, owner, e.Why)
		}
		code, _, err := r.client.call("GET", "/v1/events/never")
		if code != 404 || err != nil {
			t.Errorf("of what never was relay %d says %d, %v", i, code, err)
		}
	}
}
