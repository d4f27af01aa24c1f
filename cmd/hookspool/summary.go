package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hookspool/hookspool/relay/config"
)

// summary is what a config would do, in words. Nothing in it is secret.
type summary struct {
	Listen   []string        `json:"listen"`
	Admin    string          `json:"admin"`
	Spool    string          `json:"spool"`
	Retry    string          `json:"retry"`
	Defect   string          `json:"defect"`
	Sessions string          `json:"sessions"`
	Alerts   string          `json:"alerts"`
	Warns    string          `json:"warns"`
	Targets  []targetSummary `json:"targets"`
}

// targetSummary is one target of a summary.
type targetSummary struct {
	Name    string   `json:"name"`
	URL     string   `json:"url"` // masked
	Status  string   `json:"status"`
	Events  []string `json:"events"`
	Session string   `json:"session"`
	Success string   `json:"success"`
	Signed  bool     `json:"signed"`
	// Details are what is special about it.
	Details string `json:"details"`
}

func summarize(cfg *config.Config) *summary {
	s := &summary{
		Listen: cfg.Server.Listen,
		Admin:  cfg.Server.AdminListen,
		Spool: fmt.Sprintf("%s, up to %s, %s stay free on its disk, delivered kept %s, exhausted %s",
			cfg.Spool.Dir, bytesText(cfg.Spool.MaxSize), bytesText(cfg.Spool.MinFreeDisk),
			durationText(cfg.Spool.KeepDelivered), durationText(cfg.Spool.KeepExhausted)),
		Retry: scheduleText(cfg.Retry.Interval, cfg.Retry.MaxAttempts),
		Defect: fmt.Sprintf("Defective after more than %s in a row, so after %s at the earliest",
			count(cfg.Defect.AfterFailedJobs, "failed job"),
			durationText(time.Duration(cfg.Defect.AfterFailedJobs+1)*cfg.Retry.Interval)),
		Sessions: "not followed",
		Alerts:   alertsText(&cfg.Alert),
		Warns:    warnsText(&cfg.Alert),
		Targets:  []targetSummary{},
	}
	if cfg.Spool.Shared() {
		s.Spool = sharedText(&cfg.Spool)
	}
	if len(cfg.Spool.Key) > 0 {
		s.Spool += ", encrypted"
	}
	if cfg.Session.Enabled {
		s.Sessions = fmt.Sprintf("%s long, by %s", durationText(cfg.Session.Window),
			strings.Join(cfg.Session.KeyFields, ", "))
	}
	for i := range cfg.Targets {
		s.Targets = append(s.Targets, summarizeTarget(&cfg.Targets[i]))
	}
	return s
}

// sharedText says where a spool is that relays share.
func sharedText(s *config.Spool) string {
	j := &s.JetStream
	return fmt.Sprintf("stream %s of %s, on %s, up to %s, a copy in %s, "+
		"delivered kept %s, exhausted %s",
		j.Name, strings.Join(j.Servers(), ", "), count(j.Replicas, "server"), bytesText(s.MaxSize),
		s.Dir, durationText(s.KeepDelivered), durationText(s.KeepExhausted))
}

// alertsText says who hears of a defect.
func alertsText(a *config.Alert) string {
	text := "no mail"
	if e := a.Email; e.SMTP != "" {
		text = fmt.Sprintf("mail to %s through %s (%s)", strings.Join(e.To, ", "), e.SMTP, e.TLS)
	}
	if a.Webhook.URL == nil {
		return text
	}
	posted := "posted to " + config.MaskPath(a.Webhook.URL)
	if len(a.Webhook.Secrets) > 0 {
		posted += ", signed"
	}
	return posted + "; " + text
}

// warnsText says what is warned of before it comes to a defect.
func warnsText(a *config.Alert) string {
	var parts []string
	var levels []string
	for _, level := range slices.Sorted(slices.Values(a.WarnAt)) {
		levels = append(levels, fmt.Sprint(level))
	}
	if len(levels) > 0 {
		parts = append(parts, strings.Join(levels, ", ")+" % of the failed jobs of a defect")
	}
	if a.TLSExpiry > 0 {
		parts = append(parts, durationText(a.TLSExpiry)+" before a target's certificate expires")
	}
	if a.SpoolPercent > 0 {
		parts = append(parts, fmt.Sprintf("spool above %d %% of its room", a.SpoolPercent))
	}
	if len(parts) == 0 {
		return "of nothing"
	}
	return strings.Join(parts, "; ")
}

// scheduleText says when a delivery that keeps failing is attempted.
func scheduleText(interval time.Duration, retries int) string {
	if retries == 0 {
		return "once, never again"
	}
	times := "times"
	if retries == 1 {
		times = "time"
	}
	return fmt.Sprintf("first at once, then every %s, at most %d %s, so for %s",
		durationText(interval), retries, times, durationText(time.Duration(retries)*interval))
}

func summarizeTarget(t *config.Target) targetSummary {
	s := targetSummary{Name: t.Name, URL: config.MaskURL(t.URL), Status: t.Status.String(),
		Session: t.Session, Success: t.Success.String(), Signed: len(t.Secrets) > 0}
	for _, p := range t.Events {
		s.Events = append(s.Events, string(p))
	}
	details := []string{"acknowledged by " + s.Success, "within " + durationText(t.Timeout),
		fmt.Sprintf("%d at once", t.Concurrency)}
	if b := t.Batch; b.Format != "" {
		details = append(details, fmt.Sprintf("batches of %s with up to %s, or what comes within %s",
			b.Format, count(b.MaxEvents, "event"), durationText(b.MaxWait)))
	}
	switch t.HTTP {
	case "2":
		details = append(details, "over HTTP/2")
	case "auto":
		details = append(details, "over HTTP/2 or HTTP/1.1, as it chooses")
	}
	switch len(t.Secrets) {
	case 0:
		details = append(details, "not signed")
	case 1:
		details = append(details, "signed")
	default:
		details = append(details, fmt.Sprintf("signed with %d secrets", len(t.Secrets)))
	}
	if n := len(t.Headers); n > 0 {
		details = append(details, count(n, "header"))
	}
	authorized := slices.ContainsFunc(t.Headers, func(h config.Header) bool {
		return strings.EqualFold(h.Name, "Authorization")
	})
	if t.URL.User != nil && !authorized { // a header of the file goes first
		details = append(details, "Basic auth")
	}
	if t.OAuth2.TokenURL != nil {
		details = append(details, "with tokens of "+config.MaskURL(t.OAuth2.TokenURL))
	}
	if t.CAFile != "" {
		details = append(details, "ca_file")
	}
	if t.ClientCert != "" {
		details = append(details, "mutual TLS")
	}
	if t.Proxy != (config.Proxy{}) {
		through := "through the proxy " + t.Proxy.String()
		if t.Proxy.Env {
			through = "through the proxy of the environment, if it names one"
		}
		details = append(details, through)
	}
	s.Details = strings.Join(append(details, deliveryDetails(t)...), ", ")
	return s
}

func retryAfterText(most time.Duration) string {
	if most == 0 {
		return "Retry-After is ignored"
	}
	return "held by Retry-After for " + durationText(most) + " at most"
}

// deliveryDetails are what of a target is not as it is by itself: which events, what of them, when
// and how fast.
func deliveryDetails(t *config.Target) (details []string) {
	if t.Order != (config.Order{}) {
		details = append(details, "in order: "+t.Order.String())
	}
	if t.Method != "POST" {
		details = append(details, t.Method+" and not POST")
	}
	if n := len(t.AllowAddresses); n > 0 {
		details = append(details, count(n, "address range")+" excepted from the address rules")
	}
	if t.Where != "" {
		details = append(details, "only where "+programText(t.Where))
	}
	if t.Transform != "" {
		details = append(details, "transformed")
	}
	if t.Rate.N > 0 {
		details = append(details, "at most "+t.Rate.String())
	}
	var early []string
	for _, wait := range t.EarlyRetries {
		early = append(early, durationText(wait))
	}
	if text := retriesText(t.MaxAttempts, t.EveryTicks, early); text != "" {
		details = append(details, "retries "+text)
	}
	if t.Expire > 0 {
		details = append(details, "expire after "+durationText(t.Expire))
	}
	if t.RetryAfterMax != time.Hour {
		details = append(details, retryAfterText(t.RetryAfterMax))
	}
	switch most := t.ConnectionMaxAge; most {
	case 5 * time.Minute:
	case 0:
		details = append(details, "connections of any age")
	default:
		details = append(details, "connections of "+durationText(most)+" at most")
	}
	if t.Gone == "pause" {
		details = append(details, "paused by 410")
	}
	return details
}

// programText is the beginning of a program, on one line.
func programText(text string) string {
	const most = 60
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > most {
		return string(runes[:most]) + "…"
	}
	return string(runes)
}

func (c *cli) printReport(r *report) {
	for i, problem := range r.Problems {
		c.print("%s %s\n", c.paint(c.out, red, "problem:"), clean(problem))
		if r.hints[i] != "" {
			c.print("  %s %s\n", c.paint(c.out, yellow, "hint:"), clean(r.hints[i]))
		}
	}
	for _, warning := range r.Warnings {
		c.print("%s %s\n", c.paint(c.out, yellow, "warning:"), clean(warning))
	}
	for _, note := range r.Notes {
		c.print("%s %s\n", c.paint(c.out, cyan, "note:"), clean(note))
	}
	if len(r.Problems)+len(r.Warnings)+len(r.Notes) > 0 {
		c.print("\n")
	}
	s := r.Summary
	for _, row := range [][2]string{
		{"config", r.Path}, {"events", strings.Join(s.Listen, ", ")}, {"admin", s.Admin},
		{"spool", s.Spool}, {"retries", s.Retry}, {"defect", s.Defect}, {"sessions", s.Sessions},
		{"alerts", s.Alerts}, {"warnings", s.Warns},
	} {
		c.print("%-9s %s\n", row[0], clean(row[1]))
	}
	for _, t := range s.Targets {
		c.print("\n%s\n", c.paint(c.out, bold, clean("target "+t.Name+" ("+t.Status+")")))
		c.print("  %-8s %s\n", "url", clean(t.URL))
		c.print("  %-8s %s\n", "events", clean(eventsText(t.Events)))
		if t.Session != "any" {
			c.print("  %-8s only of %s ones, and events without a conversation\n", "sessions", t.Session)
		}
		c.print("  %-8s %s\n", "answers", clean(t.Details))
	}
	c.print("\nnot checked: %s\n", strings.Join(r.NotChecked, "; "))
	if r.OK {
		c.print("%s\n", c.paint(c.out, green, "ok"))
	}
}

func eventsText(events []string) string {
	if len(events) == 1 && events[0] == "*" {
		return "all"
	}
	return strings.Join(events, ", ")
}
