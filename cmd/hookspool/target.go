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
		c.paint(c.out, statusColor(t.Status), clean(statusText(&t))))
	c.printRows(targetRows(&t, now))
	if len(recent.Attempts) > 0 {
		c.print("\n")
		c.printTable(recentTable(recent.Attempts, now))
	}
	return nil
}

func statusText(t *admin.Target) string {
	if t.Orphan {
		return "orphan"
	}
	return t.Status
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
	return [][2]string{
		{"url", t.URL}, {"events", strings.Join(t.Events, ", ")}, {"session", session},
		{"pending", pending}, {"exhausted", strconv.FormatUint(t.Exhausted, 10)},
		{"delivered", deliveredText(t, now)},
		{"quarantined", positive(t.Quarantined)},
		{"failed jobs", failed}, {"last error", lastError}, {"now", busyText(t)},
		{"rate", rateText(t.RateSuccess) + " succeed, " + rateText(t.RateFailed) + " fail"},
		{"latency", latencies(t)}, {"certificate", certificateText(t.TLSExpiry, now)},
	}
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
	case t.JobRunning:
		return "a job runs, " + count(t.InFlight, "attempt") + " in flight"
	case t.InFlight > 0:
		return count(t.InFlight, "attempt") + " in flight"
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
