package config

import (
	"fmt"
	"log/slog"
	"net/mail"
	"strings"
	"time"
)

// The bounds of the file. Where a bound has no reason beside it, it is far outside of what makes
// sense, and only keeps a slip of the keyboard from becoming a strange relay.
const (
	bodyBytesMax = 1_000_000 // a spool record is below 1 MiB, with room for headers and type
	diskBytesMax = 1 << 50
	// spoolBytesMin are the engine's own files and some room for events. Of the largest events there
	// must be room for some that are delivered and not gone yet, in files that are not given back
	// before they are full: in less the spool stays full for good with nothing that is needed (with
	// four times it did, with six times not). As much again is worth a warning.
	spoolBytesMin   = 4 << 20
	spoolBodiesMin  = 8
	spoolBodiesGood = 16
	targetsMax      = 1000
	patternsMax     = 256
	typeBytesMax    = 256 // an event's type is 1 to 256 bytes: contract §4
	listenMax       = 16
	adminHostsMax   = 64
	keyFieldsMax    = 16
	recipientsMax   = 100
	warnAtMax       = 10
	failedJobsMax   = 100_000
	retriesMax      = 100_000
	day             = 24 * time.Hour
	testDurationMin = 10 * time.Millisecond // far too short for service, legal for tests
)

// schema is the whole file in the order of the contract, bound to the Config that it fills.
func schema(c *Config) []row {
	return []row{
		{name: "server", rows: serverRows(&c.Server)},
		{name: "event", rows: eventRows(&c.Event)},
		{name: "spool", rows: spoolRows(&c.Spool)},
		{name: "retry", rows: retryRows(&c.Retry)},
		{name: "defect", rows: defectRows(&c.Defect)},
		{name: "session", rows: sessionRows(&c.Session)},
		{name: "alert", rows: alertRows(&c.Alert)},
		{name: "log", rows: logRows(&c.Log)},
		{name: "target", set: targets(&c.Targets), named: targetRows(&Target{})},
	}
}

func serverRows(s *Server) []row {
	listen := bound{low: 1, high: listenMax, single: true, hint: `write ["127.0.0.1:8470"]`}
	return []row{
		{name: "listen", set: texts(&s.Listen, listen, checkListen)},
		{name: "admin_listen", set: text(&s.AdminListen, checkListen)},
		{name: "event_token", set: resolved(&s.EventToken, checkToken)},
		{name: "admin_token", set: resolved(&s.AdminToken, checkToken)},
		{name: "max_body_size", set: size(&s.MaxBodySize, 1, bodyBytesMax,
			"an event must fit into one spool record, which is below 1MiB with its headers")},
		{name: "read_timeout", set: duration(&s.ReadTimeout, span{
			low: testDurationMin, high: 10 * time.Minute,
			why: "longer would let stalled senders hold their connections"})},
		{name: "drain_timeout", set: duration(&s.DrainTimeout, span{
			low: testDurationMin, high: time.Hour, off: "leave at once, the spool has it all",
			why: "keep it below the grace period of whoever stops hookspool"})},
		{name: "reload_check", set: duration(&s.ReloadCheck, span{
			low: testDurationMin, high: day, off: "reload only on SIGHUP and by the API",
			why: "the file and those it names are read and compared this often"})},
		{name: "admin_hosts", set: texts(&s.AdminHosts, bound{high: adminHostsMax,
			hint: `write ["hookspool", "hookspool.example.com"]`}, checkHostName)},
	}
}

func eventRows(e *Event) []row {
	return []row{
		{name: "type_field", set: text(&e.TypeField, checkTypeField)},
		{name: "default_type", set: defaultType(&e.DefaultType)},
		{name: "dedupe_window", set: duration(&e.DedupeWindow, span{
			low: testDurationMin, high: 31 * day, off: "ids are not remembered",
			why: "every remembered id takes room in the spool"})},
	}
}

func spoolRows(s *Spool) []row {
	return []row{
		{name: "dir", set: text(&s.Dir, checkDir)},
		{name: "max_size", set: size(&s.MaxSize, spoolBytesMin, diskBytesMax,
			"with less the engine's own files leave no room for events")},
		{name: "min_free_disk", set: size(&s.MinFreeDisk, 0, diskBytesMax,
			"0B: do not look at the disk")},
		{name: "keep_delivered", set: duration(&s.KeepDelivered, span{
			low: testDurationMin, high: 3650 * day, off: "not kept",
			why: "delivered events are kept to be looked up and replayed"})},
		{name: "keep_exhausted", set: duration(&s.KeepExhausted, span{
			low: testDurationMin, high: 3650 * day,
			why: "somebody must have the time to see what was given up, so it cannot be 0"})},
		{name: "encryption_key", set: encryptionKey(s)},
		{name: "engine", set: choice(&s.Engine, EngineBadger, EngineJetStream)},
		{name: "jetstream", rows: jetStreamRows(&s.JetStream)},
	}
}

func retryRows(r *Retry) []row {
	return []row{
		{name: "interval", set: duration(&r.Interval, span{
			low: testDurationMin, high: 7 * day,
			why: "10m is Wati's tick; below 10ms nothing could be tried between ticks"})},
		{name: "max_attempts", set: integer(&r.MaxAttempts, 0, retriesMax,
			"retries after the first send; 0: none; 144 ticks of 10m are a day")},
		{name: "stop_job_after", set: integer(&r.StopJobAfter, 0, retriesMax,
			"connection failures or timeouts in a row that end a job early; 0: never")},
	}
}

func defectRows(f *Defect) []row {
	return []row{{name: "after_failed_jobs", set: integer(&f.AfterFailedJobs, 0, failedJobsMax,
		"a target is Defective after more than this many failed jobs in a row")}}
}

func sessionRows(s *Session) []row {
	fields := bound{high: keyFieldsMax, hint: `write ["conversationId", "waId"]`}
	events := bound{high: patternsMax, hint: `write ["message", "templateMessageSent*"]`}
	return []row{
		{name: "enabled", set: boolean(&s.Enabled)},
		{name: "window", set: duration(&s.Window, span{
			low: testDurationMin, high: 31 * day, why: "WhatsApp's session is 24h"})},
		{name: "key_fields", set: texts(&s.KeyFields, fields, checkField)},
		{name: "user_events", set: texts(&s.UserEvents, events, checkPattern)},
		{name: "business_events", set: texts(&s.BusinessEvents, events, checkPattern)},
	}
}

func alertRows(a *Alert) []row {
	return []row{
		{name: "warn_at", set: percents(&a.WarnAt)},
		{name: "tls_expiry", set: duration(&a.TLSExpiry, span{
			low: testDurationMin, high: 365 * day, off: "no warning",
			why: "a certificate must be good for longer, or there is a warning"})},
		{name: "spool_percent", set: integer(&a.SpoolPercent, 0, percentMax,
			"percent of the room that the spool has; 0: no warning")},
		{name: "email", rows: emailRows(&a.Email)},
		{name: "webhook", rows: webhookRows(&a.Webhook)},
	}
}

func webhookRows(w *Webhook) []row {
	return []row{
		{name: "url", set: optionalURL(&w.URL)},
		{name: "timeout", set: duration(&w.Timeout, timeoutSpan())},
		{name: "secret", set: secrets(&w.Secrets)},
		{name: "headers", set: headers(&w.Headers)},
		{name: "ca_file", set: text(&w.CAFile, checkPath)},
		{name: "allow_addresses", set: prefixes(&w.AllowAddresses)},
	}
}

func emailRows(e *Email) []row {
	to := bound{high: recipientsMax, hint: `write ["oncall@example.com"]`}
	return []row{
		{name: "smtp", set: resolved(&e.SMTP, checkSMTP)},
		{name: "tls", set: choice(&e.TLS, "starttls", "tls", "none")},
		{name: "username", set: resolved(&e.Username, checkCredential)},
		{name: "password", set: resolved(&e.Password, checkCredential)},
		{name: "from", set: text(&e.From, checkMail)},
		{name: "to", set: texts(&e.To, to, checkMail)},
		{name: "warnings", set: boolean(&e.Warnings)},
	}
}

func logRows(l *Log) []row {
	level := func(word string) slog.Level {
		return map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo,
			"warn": slog.LevelWarn, "error": slog.LevelError}[word]
	}
	return []row{
		{name: "level", set: mapped(&l.Level, level, "debug", "info", "warn", "error")},
		{name: "format", set: choice(&l.Format, "text", "json")},
		{name: "deliveries", set: boolean(&l.Deliveries)},
	}
}

// checkTypeField wants field names joined by dots, or nothing.
func checkTypeField(s string) problem {
	for part := range strings.SplitSeq(s, ".") {
		if p := checkField(part); s != "" && p != (problem{}) {
			return problem{fmt.Sprintf("%q is not field names joined by dots", s),
				`write "eventType" or "data.type"`}
		}
	}
	return problem{}
}

func checkField(s string) problem {
	if s == "" || len(s) > typeBytesMax || hasControl(s) {
		return problem{fmt.Sprintf("a field name is 1 to %d bytes without control characters",
			typeBytesMax), ""}
	}
	return problem{}
}

func checkDir(s string) problem {
	if strings.TrimSpace(s) == "" || hasControl(s) {
		return problem{"is not a directory", `write "./hookspool-data" or an absolute path`}
	}
	return problem{}
}

func checkMail(s string) problem {
	if _, err := mail.ParseAddress(s); err != nil {
		return problem{fmt.Sprintf("%q is not a mail address", s),
			`write "name@host" or "Name <name@host>"`}
	}
	return problem{}
}
