package main

import (
	"context"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/admin"
)

// lastAttemptsMax bounds the attempts shown with a target.
const lastAttemptsMax = 10

// showTarget shows one target and its last attempts.
func (c *cli) showTarget(ctx context.Context, relay *peer, name string) error {
	path := "/v1/targets/" + url.PathEscape(name)
	var t admin.Target
	if err := relay.call(ctx, "GET", path, &t); err != nil {
		return err
	}
	if c.json {
		return c.printJSON(t)
	}
	var recent admin.RecentAttempts
	limit := "?limit=" + strconv.Itoa(lastAttemptsMax)
	if err := relay.call(ctx, "GET", path+"/attempts"+limit, &recent); err != nil {
		return err
	}
	now := time.Now()
	c.print("%s is %s\n", c.paint(c.out, bold, clean(t.Name)),
		c.paint(c.out, statusColor(statusText(&t, now)), clean(statusText(&t, now))))
	c.printRows(targetRows(&t, now))
	if len(recent.Attempts) > 0 {
		c.print("\n")
		c.printTable(recentTable(recent.Attempts, now))
	}
	return nil
}

func statusText(t *admin.Target, now time.Time) string {
	switch {
	case t.Orphan:
		return "orphan"
	case t.HeldUntil != nil:
		return t.Status + ", held " + age(&now, *t.HeldUntil)
	}
	return t.Status
}

// goneText says why a target is paused, if it was not by hand.
func goneText(t *admin.Target, now time.Time) string {
	if t.GoneSince == nil {
		return ""
	}
	return "paused " + ago(t.GoneSince, now) + ", as it answered 410 Gone"
}

// heldText is until when a target asked to be left alone.
func heldText(t *admin.Target) string {
	if t.HeldUntil == nil {
		return ""
	}
	return "until " + t.HeldUntil.Local().Format(time.DateTime) + ", as it asked (Retry-After)"
}

// targetRows is all there is to know of a target.
func targetRows(t *admin.Target, now time.Time) [][2]string {
	pending := strconv.FormatUint(t.Pending, 10)
	if t.OldestPending != nil {
		pending += ", the oldest accepted " + ago(t.OldestPending, now)
	}
	session := ""
	if t.Session != "any" {
		session = t.Session
	}
	failed := fmt.Sprintf("%d of more than %d in a row", t.FailedJobs, t.FailedJobsMax)
	if t.DefectiveSince != nil {
		failed += ", Defective for " + age(t.DefectiveSince, now)
	}
	lastError := ""
	if t.LastError != nil && *t.LastError != "" {
		lastError = ago(t.LastFailure, now) + ": " + *t.LastError
	}
	method, order := "", ""
	if t.Method != "POST" {
		method = t.Method
	}
	if t.Order != "none" {
		order = t.Order
	}
	return [][2]string{
		{"url", t.URL}, {"method", method}, {"proxy", t.Proxy}, {"tokens", t.TokenURL},
		{"http", t.HTTP}, {"events", strings.Join(t.Events, ", ")}, {"session", session},
		{"where", t.Where}, {"transform", t.Transform}, {"order", order},
		{"pending", pending}, {"exhausted", strconv.FormatUint(t.Exhausted, 10)},
		{"expired", expiredText(t)},
		{"delivered", deliveredText(t, now)},
		{"quarantined", positive(t.Quarantined)},
		{"gone", goneText(t, now)}, {"paused", pausedText(t, now)},
		{"held", heldText(t)}, {"on 410", t.Gone},
		{"retries", retriesText(t.MaxAttempts, t.EveryTicks, t.EarlyRetries)},
		{"failed jobs", failed}, {"last job", lastJobText(t, now)},
		{"last error", lastError}, {"now", busyText(t)},
		{"relay", t.Relay}, {"at most", t.Rate},
		{"rate", rateText(t.RateSuccess) + " succeed, " + rateText(t.RateFailed) + " fail"},
		{"latency", latencies(t)}, {"certificate", certificateText(t.TLSExpiry, now)},
	}
}

// retriesText is the schedule that a target has of its own; nothing if it has none.
func retriesText(most, every int, early []string) string {
	var parts []string
	if len(early) > 0 {
		parts = append(parts, "early after "+strings.Join(early, ", "))
	}
	if most > 0 {
		parts = append(parts, fmt.Sprintf("at most %d", most))
	}
	if every > 1 {
		parts = append(parts, fmt.Sprintf("a job at one of %d ticks", every))
	}
	return strings.Join(parts, ", ")
}

// expiredText is how many deliveries became too old, and when they do.
func expiredText(t *admin.Target) string {
	text := positive(t.Expired)
	if t.Expire == "" {
		return text
	}
	if text == "" {
		text = "0"
	}
	return text + ", after " + t.Expire
}

func deliveredText(t *admin.Target, now time.Time) string {
	if t.LastSuccess == nil {
		return strconv.FormatUint(t.Delivered, 10)
	}
	return strconv.FormatUint(t.Delivered, 10) + ", the last " + ago(t.LastSuccess, now)
}

// busyText is what a target is doing; nothing at rest.
func busyText(t *admin.Target) string {
	switch {
	case t.InFlight == nil:
		return "not known: relay " + clean(t.Relay) + " does not answer"
	case t.JobRunning && t.TicksOutlasted > 0:
		return "a job has outlasted " + count(int(t.TicksOutlasted), "tick") + ", " +
			count(*t.InFlight, "attempt") + " in flight"
	case t.JobRunning:
		return "a job runs, " + count(*t.InFlight, "attempt") + " in flight"
	case *t.InFlight > 0:
		return count(*t.InFlight, "attempt") + " in flight"
	}
	return ""
}

// positive is a number that is worth a line only above 0.
func positive(n uint64) string {
	if n == 0 {
		return ""
	}
	return strconv.FormatUint(n, 10)
}

func latencies(t *admin.Target) string {
	if t.LatencyP50 == nil || t.LatencyP99 == nil {
		return ""
	}
	return latencyText(seconds(*t.LatencyP50)) + " median, " + latencyText(seconds(*t.LatencyP99)) +
		" for 99 of 100"
}

func certificateText(expiry *time.Time, now time.Time) string {
	switch {
	case expiry == nil:
		return ""
	case expiry.Before(now):
		return "expired " + ago(expiry, now)
	}
	return "expires in " + age(&now, *expiry)
}
