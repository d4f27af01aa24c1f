package outlook

import (
	"fmt"
	"testing"
	"time"
)

// noon is when these tests are.
func noon() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func crm() Target {
	return Target{Name: "crm", Now: noon(), Retries: 144, Kept: 24 * time.Hour,
		KeptExhausted: 7 * 24 * time.Hour,
		Jobs:          Jobs{Next: noon().Add(5 * time.Minute), Between: 10 * time.Minute}}
}

func text(at time.Time) string {
	if at.IsZero() {
		return "-"
	}
	return at.UTC().Format("2006-01-02T15:04:05")
}

// TestPending is the table of what a pending delivery waits for, the most pressing reason first.
func TestPending(t *testing.T) {
	t.Parallel()
	f := func(target func(*Target), d Delivery, why, hint, next string, left int, exhausts string) {
		t.Helper()
		at := crm()
		target(&at)
		d.State, d.AcceptedAt = "pending", noon().Add(-time.Hour)
		o := Of(&at, &d)
		if o.Why != why {
			t.Errorf("why\n%s, want\n%s", o.Why, why)
		}
		got := fmt.Sprint(o.Hint, ", ", text(o.NextAt), ", ", o.Left, ", ", text(o.ExhaustsAt))
		if want := fmt.Sprint(hint, ", ", next, ", ", left, ", ", exhausts); got != want {
			t.Errorf("%s\n%s, want\n%s", o.Why, got, want)
		}
		if !o.KeptUntil.IsZero() {
			t.Errorf("%s\nis kept until %s", o.Why, o.KeptUntil)
		}
	}
	const retry = "hookspool sample crm, then hookspool retry crm"
	as := func(*Target) {}
	failed := Delivery{ID: "a", Attempts: 13, LastError: "answered 503"}
	// It failed, and waits for a job: 132 of 145 are left, of which the first is at 12:05.
	f(as, failed, "waiting: the last try failed (answered 503); next try 12:05:00 UTC; 132 tries left",
		retry, "2026-03-01T12:05:00", 132, "2026-03-02T09:55:00")
	f(as, Delivery{Attempts: 144}, "waiting: the last try failed; next try 12:05:00 UTC; 1 try left",
		retry, "2026-03-01T12:05:00", 1, "2026-03-01T12:05:00")
	// max_attempts was made less since.
	f(func(a *Target) { a.Retries = 3 }, failed,
		"waiting: the last try failed (answered 503); next try 12:05:00 UTC; 1 try left",
		retry, "2026-03-01T12:05:00", 1, "2026-03-01T12:05:00")
	// A replay begins anew, and one of which no request could be made has spent nothing.
	f(as, Delivery{Replay: true}, "waiting: it is to be sent again; next try 12:05:00 UTC; 145 tries left",
		retry, "2026-03-01T12:05:00", 145, "2026-03-02T12:05:00")
	f(as, Delivery{LastError: "cannot get a token"}, "waiting: no request could be made (cannot get a "+
		"token); next try 12:05:00 UTC; 145 tries left", retry, "2026-03-01T12:05:00", 145,
		"2026-03-02T12:05:00")
	f(as, Delivery{}, "waiting: it was held by its order, and is the first of it now; next try 12:05:00 "+
		"UTC; 145 tries left", retry, "2026-03-01T12:05:00", 145, "2026-03-02T12:05:00")
	// Nobody knows of a tick before the first.
	f(func(a *Target) { a.Jobs.Next = time.Time{} }, Delivery{Attempts: 144},
		"waiting: the last try failed; 1 try left", retry, "-", 1, "-")
	// It expires before it is exhausted, after that, or has expired.
	old := func(d Delivery, at time.Duration) Delivery {
		d.ExpiresAt = noon().Add(at)
		return d
	}
	f(as, old(failed, time.Hour), "waiting: the last try failed (answered 503); next try 12:05:00 UTC; "+
		"132 tries left; expires 13:00:00 UTC", retry, "2026-03-01T12:05:00", 132, "-")
	f(as, old(Delivery{Attempts: 144}, time.Hour), "waiting: the last try failed; next try 12:05:00 UTC; "+
		"1 try left; expires 13:00:00 UTC", retry, "2026-03-01T12:05:00", 1, "2026-03-01T12:05:00")
	f(as, old(failed, -time.Hour), "too old since 11:00:00 UTC: it is not sent any more, and expires "+
		"when its turn comes", "", "-", 0, "-")
	// Nothing is sent at all; what else there is to say presses less.
	hold := func(h Hold) func(*Target) {
		return func(a *Target) {
			a.Hold, a.DefectiveSince, a.ShutUntil = h, noon(), noon().Add(time.Hour)
			a.GoneSince = noon().Add(-13 * time.Hour)
		}
	}
	f(hold(Orphan), failed, "held: crm is not in the config any more, and nothing is sent until its table "+
		"returns; 132 tries left", "put its table back and reload; or hookspool purge --target crm",
		"-", 132, "-")
	const table = `set status = "enabled" in its table and reload`
	f(hold(Disabled), failed, "held: crm is disabled by the config; 132 tries left", table, "-", 132, "-")
	f(hold(ByConfig), failed, "held: crm is paused by the config; 132 tries left", table, "-", 132, "-")
	f(hold(ByHand), failed, "held: crm is paused; 132 tries left", "hookspool resume crm", "-", 132, "-")
	f(hold(ByGone), failed, "held: crm is paused since 2026-02-28 23:00:00 UTC, because it answered 410 "+
		"Gone; 132 tries left", "hookspool resume crm", "-", 132, "-")
}

// TestPendingTurn goes on with what a target and its other deliveries make it wait for.
func TestPendingTurn(t *testing.T) {
	t.Parallel()
	f := func(target func(*Target), d Delivery, why, next, exhausts string) {
		t.Helper()
		at := crm()
		target(&at)
		d.State = "pending"
		o := Of(&at, &d)
		if got := text(o.NextAt) + " " + text(o.ExhaustsAt); o.Why != why || got != next+" "+exhausts {
			t.Errorf("%s, %s; want\n%s, %s %s", o.Why, got, why, next, exhausts)
		}
	}
	failed := Delivery{Attempts: 143, LastError: "answered 503"}
	// The gate opens within a minute, or after the next two jobs.
	shut := func(after time.Duration) func(*Target) {
		return func(a *Target) { a.ShutUntil = a.Now.Add(after) }
	}
	f(shut(time.Minute), Delivery{Fresh: true}, "held: crm asked to be left alone until 12:01:00 UTC "+
		"(Retry-After); next try 12:01:00 UTC; 145 tries left", "2026-03-01T12:01:00",
		"2026-03-02T11:55:00")
	f(shut(16*time.Minute), failed, "held: crm asked to be left alone until 12:16:00 UTC (Retry-After); "+
		"next try 12:25:00 UTC; 2 tries left", "2026-03-01T12:25:00", "2026-03-01T12:35:00")
	f(shut(15*time.Minute), failed, "held: crm asked to be left alone until 12:15:00 UTC (Retry-After); "+
		"next try 12:15:00 UTC; 2 tries left", "2026-03-01T12:15:00", "2026-03-01T12:25:00")
	// A job that will come to it, and one that has.
	runs := func(a *Target) { a.Jobs.Running, a.Jobs.Tick = true, 7 }
	due := failed
	due.Due = 7
	f(runs, due, "waiting for its turn in the job that runs now, oldest first (answered 503); 2 tries "+
		"left", "-", "2026-03-01T12:05:00")
	due.Due = 8
	f(runs, due, "waiting: the last try failed (answered 503); next try 12:05:00 UTC; 2 tries left",
		"2026-03-01T12:05:00", "2026-03-01T12:15:00")
	// Defective: fresh deliveries wait for the job as well.
	defective := func(a *Target) {
		a.DefectiveSince, a.FailedJobs, a.LastError = noon().Add(-time.Hour), 128, "answered 503"
	}
	f(defective, Delivery{Fresh: true}, "waiting: crm is Defective since 11:00:00 UTC (128 failed jobs in "+
		"a row, last: answered 503); next try 12:05:00 UTC; 145 tries left", "2026-03-01T12:05:00",
		"2026-03-02T12:05:00")
	f(func(a *Target) { defective(a); runs(a) }, Delivery{Fresh: true}, "waiting for its turn in the job "+
		"that runs now, oldest first; 145 tries left", "-", "2026-03-02T11:55:00")
	// Early retries: one waits, one is under way; after the second and last come the jobs.
	early := func(a *Target) { a.Early = []time.Duration{2 * time.Second, 30 * time.Second} }
	soon := Delivery{Attempts: 1, LastError: "timeout", Early: Early{At: noon().Add(2 * time.Second),
		Stage: 1}}
	f(early, soon, "waiting for an early retry (timeout); next try 12:00:02 UTC; 144 tries left",
		"2026-03-01T12:00:02", "2026-03-02T11:35:00")
	soon.Early.Busy = true
	f(early, soon, "sending: an early retry is under way; 144 tries left", "-", "2026-03-02T11:35:00")
	f(early, Delivery{Attempts: 143}, "waiting: the last try failed; next try 12:05:00 UTC; 2 tries left",
		"2026-03-01T12:05:00", "2026-03-01T12:15:00")
	few := func(a *Target) { early(a); a.Retries = 1 }
	f(few, Delivery{Fresh: true}, "sending: its first try is under way; 2 tries left", "-",
		"2026-03-01T12:00:02")
	// Its turn: who is before it, how fast, in which order, with whom.
	turn := func(a *Target) { a.Fresh, a.InFlight = 7, 2 }
	f(turn, Delivery{Fresh: true}, "waiting for its turn: 7 not tried yet, 2 under way; 145 tries "+
		"left", "-", "2026-03-02T11:55:00")
	f(func(a *Target) { turn(a); a.Rate, a.Order, a.Batch = "10/s", "by .k", "100 or 1s" },
		Delivery{Fresh: true}, "waiting for its turn: 7 not tried yet, 2 under way, at most 10/s, "+
			"in order (by .k), in batches of 100 or 1s; 145 tries left", "-", "2026-03-02T11:55:00")
	// In line after another one, it is nobody's guess when.
	order := func(a *Target) { turn(a); a.Order = "by .k" }
	f(order, Delivery{Fresh: true, Behind: Behind{Known: true, ID: "b 1", Attempts: 7}}, "waiting: it "+
		"comes after b 1 in its order (by .k), which failed 7 times; 145 tries left", "-", "-")
	f(order, Delivery{Behind: Behind{Known: true}}, "waiting: it comes after another event in its order "+
		"(by .k); 145 tries left", "-", "-")
}

// TestSettled is the table of what is pending no more.
func TestSettled(t *testing.T) {
	t.Parallel()
	f := func(d Delivery, why, hint, kept string) {
		t.Helper()
		at := crm()
		d.AcceptedAt = noon().Add(-time.Hour)
		o := Of(&at, &d)
		if o.Why != why || o.Hint != hint || text(o.KeptUntil) != kept || o.Left != 0 ||
			!o.NextAt.IsZero() || !o.ExhaustsAt.IsZero() {
			t.Errorf("%+v, want\n%s, %s, %s", o, why, hint, kept)
		}
	}
	const dayLater = "2026-03-02T11:00:00"
	done := Delivery{State: "delivered", Attempts: 1, Receipt: Receipt{
		At: noon().Add(-time.Second + 412*time.Millisecond), Status: 200, Took: 38 * time.Millisecond}}
	f(done, "delivered 11:59:59.412 UTC, 200, 38 ms", "", dayLater)
	done.Attempts, done.Receipt.Took = 3, 4200*time.Microsecond
	f(done, "delivered 11:59:59.412 UTC, 200, 4.2 ms, after 3 tries", "", dayLater)
	done.Attempts, done.Receipt.Took = 1, 40*time.Microsecond // which is known
	f(done, "delivered 11:59:59.412 UTC, 200, 0.1 ms", "", dayLater)
	// Nothing is known of how it went; it was delivered after its event had its time.
	f(Delivery{State: "delivered"}, "delivered", "", dayLater)
	f(Delivery{State: "delivered", Receipt: Receipt{At: noon().AddDate(0, 0, 2)}},
		"delivered 2026-03-03 12:00:00.000 UTC", "", "2026-03-04T12:00:00")
	gone := Delivery{ID: "a b", State: "exhausted", Attempts: 145, LastAt: noon().Add(-time.Minute),
		LastError: "answered 503"}
	f(gone, "exhausted: 145 tries failed, the last at 11:59:00 UTC (answered 503); kept until 2026-03-08 "+
		"11:59:00 UTC", "hookspool replay --target crm --id 'a b'", "2026-03-08T11:59:00")
	gone.State, gone.LastError = "expired", "expired at 2026-03-01T11:59:00Z"
	f(gone, "expired at 2026-03-01T11:59:00Z; kept until 2026-03-08 11:59:00 UTC",
		"hookspool replay --state expired --target crm --id 'a b'", "2026-03-08T11:59:00")
	f(Delivery{State: "purged"}, "purged by hand: it is not sent any more", "", dayLater)
	f(Delivery{State: "none"}, "", "", "-")
}
