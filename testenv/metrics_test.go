package testenv

import (
	"bytes"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// plainSeries are the metrics of CONTRACT §9 without labels; histograms by their count.
func plainSeries() []string {
	return []string{"events_accepted_total", "events_unmatched_total", "events_duplicate_total",
		"accept_duration_seconds_count", "spool_sync_duration_seconds_count",
		"spool_commit_events_count", "spool_size_bytes", "spool_size_limit_bytes",
		"spool_quarantined_records", "memory_limit_bytes", "bodies_limit_bytes", "ready",
		"clock_steps_total",
		"retry_job_duration_seconds_count",
		"config_reload_success_timestamp_seconds", "config_last_reload_successful",
		"log_lines_dropped_total"}
}

// sharedSeries are those of relays that share a spool.
func sharedSeries() []string {
	return []string{"relays", "lanes_owned", "relay_leads", "config_differs"}
}

// targetSeries are those with the label target alone.
func targetSeries() []string {
	return []string{"deliveries_pending", "deliveries_exhausted",
		"delivery_oldest_pending_timestamp_seconds", "attempt_duration_seconds_count",
		"delivery_duration_seconds_count", "target_consecutive_failed_jobs", "target_status",
		"target_tls_expiry_timestamp_seconds", "target_held_until_timestamp_seconds",
		"deliveries_expired"}
}

func refusalCodes() []string {
	return []string{"malformed", "unauthorized", "not_found", "method_not_allowed", "id_conflict",
		"too_large", "unsupported_media_type", "overloaded", "draining", "spool_full",
		"disk_error"}
}

// TestMetricsExistFromTheStart asserts that every series of CONTRACT §9 exists before anything has
// happened, for every target and every value of the other labels, and at 0 where it counts; that
// there are no other labels; and that promtool finds nothing to object to.
func TestMetricsExistFromTheStart(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("crm")
	j.Config.Target("off", j.RX.URL("off"), "status", "disabled")
	j.Start()
	m := j.Metrics()
	want := func(zero bool, name string, labels ...string) {
		t.Helper()
		if !m.Has(name, labels...) {
			t.Errorf("%s does not exist at the start", Series(name, labels...))
		} else if value := m.Get(name, labels...); zero && value != 0 {
			t.Errorf("%s is %d at the start", Series(name, labels...), value)
		}
	}
	for _, name := range plainSeries() {
		zero := strings.HasPrefix(name, "events_") || name == "accept_duration_seconds_count" ||
			strings.HasPrefix(name, "retry_") || name == "spool_quarantined_records" ||
			name == "log_lines_dropped_total" || name == "clock_steps_total"
		want(zero, name)
	}
	for _, code := range refusalCodes() {
		want(true, "events_refused_total", "reason", code)
	}
	for _, result := range []string{"success", "failed"} {
		want(true, "alerts_total", "result", result)
	}
	for _, target := range []string{"crm", "off"} {
		for _, name := range targetSeries() {
			want(name != "target_status", name, "target", target)
		}
		for _, outcome := range outcomes() {
			want(true, "attempts_total", "target", target, "outcome", outcome)
			want(true, "samples_total", "target", target, "outcome", outcome)
		}
		for _, result := range []string{"success", "failed"} {
			want(true, "retry_jobs_total", "target", target, "result", result)
		}
	}
	for _, name := range sharedSeries() {
		if m.Has(name) != onCluster() {
			t.Errorf("%s: %v; it exists where relays share a spool, and only there", name, m.Has(name))
		}
	}
	checkLabels(t, m)
	limit := 10 << 30
	if onCluster() {
		limit = spoolMaxBytes / 16 * 15 // the rest is for outcomes
	}
	if m.Get("config_last_reload_successful") != 1 || m.Get("ready") != 1 ||
		m.Get("spool_size_limit_bytes") != limit ||
		m.Get("target_status", "target", "crm") != 1 || m.Get("target_status", "target", "off") != 0 {
		t.Error("the gauges of the start are wrong")
	}
	for _, name := range []string{"go_goroutines", "process_resident_memory_bytes"} {
		if _, ok := m[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	checkPromtool(t, j)
}

// checkLabels allows the four labels of the contract, le of histograms and what build_info has.
func checkLabels(t *testing.T, m Metrics) {
	t.Helper()
	allowedLabels := []string{"target", "outcome", "result", "reason", "le"}
	info := false
	for series := range m {
		name, labels, ok := strings.Cut(series, "{")
		if !strings.HasPrefix(name, "hookspool_") {
			continue
		}
		if name == "hookspool_build_info" {
			info = true
			continue
		}
		for pair := range strings.SplitSeq(strings.TrimSuffix(labels, "}"), ",") {
			label, _, _ := strings.Cut(pair, "=")
			if ok && !slices.Contains(allowedLabels, label) {
				t.Errorf("%s has the label %q", series, label)
			}
		}
	}
	if !info {
		t.Error("hookspool_build_info does not exist")
	}
}

// checkPromtool runs promtool over a scrape, at the start and after traffic.
func checkPromtool(t *testing.T, j *Journey) {
	t.Helper()
	promtool, ok := tool(t, "PROMTOOL", "promtool", "prometheus")
	if !ok {
		return
	}
	j.SendIDs("x", 3)
	j.Ledger.AwaitDelivered()
	_, scrape := j.Admin("GET", "/metrics")
	cmd := exec.Command(promtool, "check", "metrics")
	cmd.Stdin = bytes.NewReader(scrape)
	if out, err := cmd.CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// TestMetricsAddUp asserts that the counters tell what happened, exactly: events, refusals by code,
// attempts by outcome, durations, pending, exhausted and the oldest pending.
func TestMetricsAddUp(t *testing.T) {
	t.Parallel()
	j := NewJourney(t).Aim("good", "bad")
	j.Config.Set("retry.max_attempts", 1)
	j.RX.Always("bad", Code(500))
	j.Start()
	j.SendIDs("first", 10)
	j.AwaitFailed("bad", 10)
	j.Verb("enable", "bad")
	Until(t, Patience, "exhaustion", func() bool { return j.Target("bad").Exhausted == 10 })
	j.SendIDs("second", 5)
	j.AwaitPending("good", 0)
	j.AwaitPending("bad", 5)
	j.RX.Await("bad", 25)
	Until(t, Patience, "the last attempt to be counted", func() bool {
		return j.Metrics().Attempts("bad") == 25
	})
	m := j.Metrics()
	f := func(want int, name string, labels ...string) {
		t.Helper()
		if got := m.Get(name, labels...); got != want {
			t.Errorf("%s is %d, want %d", Series(name, labels...), got, want)
		}
	}
	f(15, "events_accepted_total")
	f(15, "accept_duration_seconds_count")
	f(15, "attempts_total", "target", "good", "outcome", "success")
	f(25, "attempts_total", "target", "bad", "outcome", "status")
	f(15, "attempt_duration_seconds_count", "target", "good")
	f(25, "attempt_duration_seconds_count", "target", "bad")
	f(15, "delivery_duration_seconds_count", "target", "good")
	f(0, "delivery_duration_seconds_count", "target", "bad")
	f(0, "deliveries_pending", "target", "good")
	f(5, "deliveries_pending", "target", "bad")
	f(10, "deliveries_exhausted", "target", "bad")
	f(1, "retry_jobs_total", "target", "bad", "result", "failed")
	f(1, "target_consecutive_failed_jobs", "target", "bad")
	f(1, "retry_job_duration_seconds_count")
	f(0, "delivery_oldest_pending_timestamp_seconds", "target", "good")
	oldest := j.Target("bad").OldestPending
	at := m[Series("delivery_oldest_pending_timestamp_seconds", "target", "bad")]
	if oldest == nil || at < float64(oldest.Unix()) || at > float64(oldest.Unix()+1) {
		t.Errorf("the oldest pending is of %v, the metric says %f", oldest, at)
	}
}
